//! The two ends of a session: this device, and a device of somebody else.

use minicbor::{Decode, Encode};

use crate::crypto::dh::X25519Secret;
use crate::id::{Address, DeviceId};
use crate::identity::{AccountKeys, DeviceCertificate, SignedCertificate};
use crate::x3dh::LocalIdentity;

/// This device, as sessions need it: everything by reference.
#[derive(Clone, Copy, Debug)]
pub struct LocalDevice<'a> {
    /// The public keys of its account: shown in first messages.
    pub account: &'a AccountKeys,
    /// Its certificate: shown in first messages, too.
    pub certificate: &'a SignedCertificate,
    /// The secret of the certificate's identity key.
    pub identity: &'a X25519Secret,
}

impl<'a> LocalDevice<'a> {
    pub(super) fn identity(&self) -> LocalIdentity<'a> {
        LocalIdentity {
            identity: self.identity,
            certificate: self.certificate,
        }
    }
}

/// Whose device a session is with. Both halves are proven: the address by the account's signature on
/// the device's certificate, the device by the agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct PeerDevice {
    /// The account.
    #[n(0)]
    pub address: Address,
    /// Its device. Accounts can certify each other's device keys, so this alone names nobody.
    #[n(1)]
    pub device: DeviceId,
}

impl From<&DeviceCertificate> for PeerDevice {
    fn from(certificate: &DeviceCertificate) -> Self {
        Self {
            address: certificate.address(),
            device: certificate.device_id(),
        }
    }
}
