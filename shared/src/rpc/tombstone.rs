//! The owner's signed acknowledgement: what lets every relay forget an envelope. DESIGN §3.6.

use minicbor::{Decode, Encode};

use super::owner::NotTheOwner;
use crate::crypto::sign::Signature;
use crate::id::{EnvelopeId, MailboxId};
use crate::identity::{MailboxKey, MailboxSecret};
use crate::wire::codec::{BoundedList, OverBound};

/// Envelope ids in one tombstone.
pub const MAX_TOMBSTONE_IDS: usize = 400;
const DOMAIN: &str = "ZenTalk tombstone v1";

/// Envelopes that their owner has. Proves itself: any relay may pass it on, a replay changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tombstone {
    #[n(0)]
    key: MailboxKey,
    #[n(1)]
    ids: BoundedList<EnvelopeId, MAX_TOMBSTONE_IDS>,
    #[n(2)]
    signature: Signature,
}

impl Tombstone {
    /// Signs for the owner of `key`.
    pub fn sign(key: &MailboxSecret, ids: Vec<EnvelopeId>) -> Result<Self, OverBound> {
        let ids = BoundedList::new(ids)?;
        let signature = key.sign(DOMAIN, &transcript(&key.id(), &ids));
        Ok(Self {
            key: key.public(),
            ids,
            signature,
        })
    }

    /// Checks the signature, and that anything is signed; yields the mailbox and the ids.
    pub fn verify(&self) -> Result<(MailboxId, &[EnvelopeId]), NotTheOwner> {
        if self.ids.is_empty() {
            return Err(NotTheOwner);
        }
        let mailbox = self.key.id();
        let transcript = transcript(&mailbox, &self.ids);
        self.key
            .verify(DOMAIN, &transcript, &self.signature)
            .map_err(|_| NotTheOwner)?;
        Ok((mailbox, &self.ids))
    }
}

fn transcript(mailbox: &MailboxId, ids: &[EnvelopeId]) -> Vec<u8> {
    let ids = ids.iter().flat_map(|id| id.as_bytes().iter().copied());
    mailbox.as_bytes().iter().copied().chain(ids).collect()
}
