//! Which relays hold a mailbox: chosen and signed by its owner. DESIGN §3.4.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::sign::Signature;
use crate::id::{MailboxId, NodeId};
use crate::identity::{MailboxKey, MailboxSecret};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedBytes, BoundedList, from_cbor, to_cbor};

/// Members listed at most.
pub const MAX_SWARM: usize = 6;
/// Longest descriptor, in bytes.
pub const MAX_MAILBOX_DESCRIPTOR_LEN: usize = 1024;
const DOMAIN: &str = "ZenTalk mailbox descriptor v1";

/// A descriptor as it travels; [`MailboxDescriptor::verify`] reads it.
pub type MailboxDescriptorBytes = BoundedBytes<MAX_MAILBOX_DESCRIPTOR_LEN>;

/// A verified descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxDescriptor {
    body: Body,
    bytes: MailboxDescriptorBytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    key: MailboxKey,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    members: BoundedList<NodeId, MAX_SWARM>,
    #[n(3)]
    active: u8,
    #[n(4)]
    issued: Timestamp,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Signed {
    #[n(0)]
    body: BoundedBytes<MAX_MAILBOX_DESCRIPTOR_LEN>,
    #[n(1)]
    signature: Signature,
}

/// Not a descriptor that its mailbox's key has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// Malformed, no members, a member twice, or more active than listed.
    #[error("mailbox descriptor is malformed")]
    Malformed,
    /// The signature does not verify.
    #[error("mailbox descriptor is not signed by its key")]
    Signature,
}

impl MailboxDescriptor {
    /// Signs a list of one to six distinct members, of which the first `active` hold the mail.
    pub fn sign(
        key: &MailboxSecret,
        sequence: u64,
        members: Vec<NodeId>,
        active: u8,
        issued: Timestamp,
    ) -> Result<Self, DescriptorError> {
        let members = BoundedList::new(members).map_err(|_| DescriptorError::Malformed)?;
        let body = Body {
            key: key.public(),
            sequence,
            members,
            active,
            issued,
        };
        body.check()?;
        let encoded = to_cbor(&body);
        let signature = key.sign(DOMAIN, &encoded);
        let body_bytes = BoundedBytes::new(encoded).map_err(|_| DescriptorError::Malformed)?;
        let bytes = BoundedBytes::new(to_cbor(&Signed {
            body: body_bytes,
            signature,
        }))
        .map_err(|_| DescriptorError::Malformed)?;
        Ok(Self { body, bytes })
    }

    /// Checks form and signature.
    pub fn verify(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let signed: Signed =
            from_cbor(bytes, MAX_MAILBOX_DESCRIPTOR_LEN).map_err(|_| DescriptorError::Malformed)?;
        let body: Body = from_cbor(&signed.body, MAX_MAILBOX_DESCRIPTOR_LEN)
            .map_err(|_| DescriptorError::Malformed)?;
        body.check()?;
        body.key
            .verify(DOMAIN, &signed.body, &signed.signature)
            .map_err(|_| DescriptorError::Signature)?;
        let bytes = BoundedBytes::new(bytes).map_err(|_| DescriptorError::Malformed)?;
        Ok(Self { body, bytes })
    }

    /// Whose mailbox.
    pub fn mailbox(&self) -> MailboxId {
        self.body.key.id()
    }

    /// Every member listed, first the active ones.
    pub fn members(&self) -> &[NodeId] {
        &self.body.members
    }

    /// The members that hold the mail: the first R.
    pub fn active(&self) -> &[NodeId] {
        self.body
            .members
            .get(..usize::from(self.body.active))
            .unwrap_or_default()
    }

    /// Members that must have an envelope on disk before it counts as sent: ⌊R/2⌋ + 1.
    pub const fn majority(&self) -> u8 {
        self.body.active / 2 + 1
    }

    /// The newer of two descriptors has the higher.
    pub const fn sequence(&self) -> u64 {
        self.body.sequence
    }

    /// As it travels.
    pub const fn bytes(&self) -> &MailboxDescriptorBytes {
        &self.bytes
    }
}

impl Body {
    fn check(&self) -> Result<(), DescriptorError> {
        let distinct = self
            .members
            .iter()
            .enumerate()
            .all(|(i, node)| !self.members.iter().take(i).any(|n| n == node));
        let active = usize::from(self.active);
        if active == 0 || active > self.members.len() || !distinct {
            return Err(DescriptorError::Malformed);
        }
        Ok(())
    }
}
