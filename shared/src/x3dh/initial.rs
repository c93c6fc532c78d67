//! The first-message part: who initiates, and which prekeys were used.

use minicbor::{Decode, Encode};

use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::MlKemCiphertext;
use crate::id::Address;
use crate::identity::{
    AccountKeys, CertificateError, DeviceCertificate, SignedCertificate, UnverifiedCertificate,
};
use crate::time::Timestamp;

/// What the responder needs to compute the same secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialHeader {
    /// The initiator's ephemeral key.
    pub ephemeral: X25519Public,
    /// Which signed prekey was used.
    pub signed_prekey: u32,
    /// Which KEM prekey was used, one-time or last-resort.
    pub kem_prekey: u32,
    /// The KEM ciphertext to it.
    pub kem_ciphertext: MlKemCiphertext,
    /// Which one-time prekey was used, if any.
    pub one_time_prekey: Option<u32>,
    /// When the initiator began, by its clock. Of two sessions that it began, the later one counts.
    pub begun: Timestamp,
}

/// The part of a session message that rides along until the peer has answered: `{0: account keys,
/// 1: certificate, 2: ephemeral key, 3: signed prekey id, 4: KEM prekey id, 5: KEM ciphertext,
/// ? 6: one-time prekey id, 7: begun}`. Not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Initial {
    #[n(0)]
    account: AccountKeys,
    #[n(1)]
    certificate: UnverifiedCertificate,
    #[n(2)]
    ephemeral: X25519Public,
    #[n(3)]
    signed_prekey: u32,
    #[n(4)]
    kem_prekey: u32,
    #[n(5)]
    kem_ciphertext: MlKemCiphertext,
    #[n(6)]
    one_time_prekey: Option<u32>,
    #[n(7)]
    begun: Timestamp,
}

impl Initial {
    /// Joins the initiator's identity to the header of the agreement.
    pub fn new(
        account: AccountKeys,
        certificate: &SignedCertificate,
        header: InitialHeader,
    ) -> Self {
        Self {
            account,
            certificate: certificate.to_unverified(),
            ephemeral: header.ephemeral,
            signed_prekey: header.signed_prekey,
            kem_prekey: header.kem_prekey,
            kem_ciphertext: header.kem_ciphertext,
            one_time_prekey: header.one_time_prekey,
            begun: header.begun,
        }
    }

    /// The account that the sender claims to be: where to look for what is known about it, before
    /// [`verify`](Self::verify) says whether the claim holds.
    pub fn claimed_address(&self) -> Address {
        self.account.address()
    }

    /// When the session was begun, as it claims.
    pub const fn claimed_beginning(&self) -> Timestamp {
        self.begun
    }

    /// Checks that the account signed the device's certificate. Whether the account is one that the
    /// recipient knows is for the caller to say; that the device is really the sender is only known
    /// once the first message authenticates under the agreed secret.
    pub fn verify(
        self,
    ) -> Result<(AccountKeys, DeviceCertificate, InitialHeader), CertificateError> {
        let certificate = self.certificate.verify(&self.account)?.into_certificate();
        let header = InitialHeader {
            ephemeral: self.ephemeral,
            signed_prekey: self.signed_prekey,
            kem_prekey: self.kem_prekey,
            kem_ciphertext: self.kem_ciphertext,
            one_time_prekey: self.one_time_prekey,
            begun: self.begun,
        };
        Ok((self.account, certificate, header))
    }
}
