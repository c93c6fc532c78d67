//! Making an account: the only moment at which the RSA key is used. The host makes and uses that key
//! (in a browser WebCrypto, which is ten times faster), the rest happens here.
//!
//! ```text
//!   host: RSA-4096 key pair ──▶ NewAccount::begin ──to_sign()──▶ host: RSA-PSS ──▶ finish ──▶ writes
//! ```

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::records::{
    AccountRow, MailboxRow, ProfileRow, PublicationRow, Record, current_version, meta,
};
use super::store::{Row, Write};
use crate::content::display_name;
use crate::crypto::ml_dsa::MlDsaSecret;
use crate::crypto::rsa::{RsaPublic, RsaSignature};
use crate::id::Address;
use crate::identity::{
    AccountKeys, AccountSignature, AccountSigned, AccountToSign, DeviceCertificate, DeviceEntry,
    DeviceList, DeviceSecret, DirectorySecret, SignedCertificate, UnverifiedCertificate,
    UnverifiedDeviceList,
};
use crate::rpc::WriteSecret;
use crate::time::Timestamp;
use crate::wire::codec::{BoundedBytes, BoundedText, SecretBytes, to_secret_cbor};
use crate::x3dh::PreKeySecrets;

/// Why an account cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NewAccountError {
    /// The host's key is no RSA-4096 key in SPKI and PKCS#8.
    #[error("the account key is not an RSA-4096 key")]
    Key,
    /// The host's signatures do not verify.
    #[error("the account key's signature does not verify")]
    Signature,
    /// Empty or longer than 64 characters.
    #[error("a name has 1 to 64 characters")]
    Name,
}

/// An account that waits for the RSA signature of its device's certificate.
pub struct NewAccount {
    unsigned: Unsigned,
    certificate: AccountToSign<256>,
}

/// An account that waits for the RSA signature of its device list.
pub struct CertifiedAccount {
    unsigned: Unsigned,
    certificate: SignedCertificate,
    list: AccountToSign<1024>,
}

struct Unsigned {
    keys: AccountKeys,
    rsa_pkcs8: Zeroizing<Vec<u8>>,
    ml_dsa: MlDsaSecret,
    device: DeviceSecret,
    name: String,
    created: Timestamp,
}

impl NewAccount {
    /// Draws every key but the RSA one. `rsa_pkcs8` goes into the sealed store only.
    pub fn begin(
        rsa_spki: &[u8],
        rsa_pkcs8: Zeroizing<Vec<u8>>,
        name: &str,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, NewAccountError> {
        let rsa = RsaPublic::from_spki_der(rsa_spki).map_err(|_| NewAccountError::Key)?;
        let name = display_name(name).ok_or(NewAccountError::Name)?;
        let ml_dsa = MlDsaSecret::random(rng);
        let keys = AccountKeys {
            rsa,
            ml_dsa: ml_dsa.public().clone(),
        };
        let device = DeviceSecret::random(now, rng);
        let certificate = DeviceCertificate::to_sign(keys.address(), &device, now);
        let unsigned = Unsigned {
            keys,
            rsa_pkcs8,
            ml_dsa,
            device,
            name,
            created: now,
        };
        Ok(Self {
            unsigned,
            certificate,
        })
    }

    /// What the host's RSA key signs: RSA-PSS, SHA-256, salt of 32 bytes.
    pub fn to_sign(&self) -> Vec<u8> {
        self.certificate.rsa_message()
    }

    /// Takes the signature of [`NewAccount::to_sign`].
    pub fn certified(
        self,
        rsa_signature: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<CertifiedAccount, NewAccountError> {
        let signed = self.unsigned.join(self.certificate, rsa_signature, rng)?;
        let certificate = UnverifiedCertificate::from(signed)
            .verify(&self.unsigned.keys)
            .map_err(|_| NewAccountError::Signature)?;
        let address = self.unsigned.keys.address();
        let list = DeviceList::to_sign(address, 1, &[DeviceEntry::from(&*certificate)])
            .map_err(|_| NewAccountError::Signature)?;
        Ok(CertifiedAccount {
            unsigned: self.unsigned,
            certificate,
            list,
        })
    }
}

impl CertifiedAccount {
    /// What the host's RSA key signs next.
    pub fn to_sign(&self) -> Vec<u8> {
        self.list.rsa_message()
    }

    /// Takes the signature of [`CertifiedAccount::to_sign`]; yields the rows of a new store. The engine
    /// is then restored from them.
    pub fn finish(
        self,
        rsa_signature: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Write>, NewAccountError> {
        let Self {
            unsigned,
            certificate,
            list,
        } = self;
        let signed = unsigned.join(list, rsa_signature, rng)?;
        let list = UnverifiedDeviceList::from(signed)
            .verify(&unsigned.keys)
            .map_err(|_| NewAccountError::Signature)?;
        unsigned.rows(&certificate, &list, rng)
    }
}

impl Unsigned {
    /// Adds the ML-DSA half and checks both.
    fn join<const MAX: usize>(
        &self,
        job: AccountToSign<MAX>,
        rsa_signature: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<AccountSigned<MAX>, NewAccountError> {
        let rsa = RsaSignature::try_from(rsa_signature).map_err(|_| NewAccountError::Signature)?;
        let ml_dsa = self
            .ml_dsa
            .sign(job.domain(), job.ml_dsa_message(), rng)
            .map_err(|_| NewAccountError::Signature)?;
        job.finish(&self.keys, AccountSignature { rsa, ml_dsa })
            .map_err(|_| NewAccountError::Signature)
    }

    fn rows(
        &self,
        certificate: &SignedCertificate,
        list: &DeviceList,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Write>, NewAccountError> {
        let bounded = |bytes: Vec<u8>| BoundedBytes::new(bytes).map_err(|_| NewAccountError::Key);
        let account = AccountRow {
            version: current_version(),
            rsa_spki: BoundedBytes::new(self.keys.rsa.spki_der())
                .map_err(|_| NewAccountError::Key)?,
            rsa_pkcs8: SecretBytes::new(self.rsa_pkcs8.clone())
                .map_err(|_| NewAccountError::Key)?,
            ml_dsa_seed: self.ml_dsa.seed().clone(),
            directory: DirectorySecret::random(rng),
            certificate: bounded(certificate.encode())?,
            device_list: bounded(list.encode())?,
            created: self.created,
        };
        let name = BoundedText::new(self.name.clone()).map_err(|_| NewAccountError::Name)?;
        let profile = ProfileRow {
            version: current_version(),
            name,
            introduction: 1,
        };
        let mailbox = MailboxRow {
            version: current_version(),
            write_secret: WriteSecret::random(rng),
            descriptor: None,
            owner_sequence: 0,
            former: None,
            former_members: None,
            absent: None,
        };
        let publication = PublicationRow {
            version: current_version(),
            record_sequence: 0,
            record_stored: None,
            relays: None,
        };
        let prekeys = PreKeySecrets::random(self.created, rng);
        let put = |key, value| Write::Put(Row::plain(key, value));
        Ok(vec![
            put(meta::account(), account.to_value()),
            put(meta::device(), to_secret_cbor(&self.device)),
            put(meta::profile(), profile.to_value()),
            put(meta::mailbox(), mailbox.to_value()),
            put(meta::publication(), publication.to_value()),
            put(meta::prekeys(), to_secret_cbor(&prekeys)),
        ])
    }

    fn address(&self) -> Address {
        self.keys.address()
    }
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewAccount(…, {:?})", self.unsigned.address())
    }
}

impl fmt::Debug for CertifiedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertifiedAccount(…, {:?})", self.unsigned.address())
    }
}
