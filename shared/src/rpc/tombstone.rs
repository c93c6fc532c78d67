//! The owner's signed acknowledgement: what lets every relay forget an envelope. DESIGN §3.6.

use minicbor::{Decode, Encode};

use super::owner::{OwnerError, mailbox_id};
use crate::crypto::sign::{Signature, SigningKey, VerifyingKey};
use crate::id::{EnvelopeId, MailboxId};
use crate::wire::codec::{BoundedList, Bytes, OverBound};

/// Envelope ids in one tombstone.
pub const MAX_TOMBSTONE_IDS: usize = 400;
const DOMAIN: &str = "ZenTalk tombstone v1";

/// Envelopes that their owner has. Proves itself: any relay may pass it on, a replay changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tombstone {
    #[n(0)]
    key: Bytes<32>,
    #[n(1)]
    ids: BoundedList<EnvelopeId, MAX_TOMBSTONE_IDS>,
    #[n(2)]
    signature: Bytes<64>,
}

impl Tombstone {
    /// Signs for the owner of `key`.
    pub fn sign(key: &SigningKey, ids: Vec<EnvelopeId>) -> Result<Self, OverBound> {
        let ids = BoundedList::new(ids)?;
        let public = *key.verifying_key().as_bytes();
        let signature = key.sign(DOMAIN, &transcript(&mailbox_id(&public), &ids));
        Ok(Self {
            key: Bytes(public),
            ids,
            signature: Bytes(*signature.as_bytes()),
        })
    }

    /// Checks the signature; yields the mailbox and the ids.
    pub fn verify(&self) -> Result<(MailboxId, &[EnvelopeId]), OwnerError> {
        let key = VerifyingKey::from_bytes(&self.key.0).map_err(|_| OwnerError::Key)?;
        let mailbox = mailbox_id(&self.key.0);
        key.verify(
            DOMAIN,
            &transcript(&mailbox, &self.ids),
            &Signature::from_bytes(self.signature.0),
        )
        .map_err(|_| OwnerError::Signature)?;
        Ok((mailbox, &self.ids))
    }
}

fn transcript(mailbox: &MailboxId, ids: &[EnvelopeId]) -> Vec<u8> {
    let ids = ids.iter().flat_map(|id| id.as_bytes().iter().copied());
    mailbox.as_bytes().iter().copied().chain(ids).collect()
}
