//! Requests that only the owner of a mailbox may make. DESIGN §5, "Owner requests".

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::hash::blake2b_160_concat;
use crate::crypto::sign::{Signature, SigningKey, VerifyingKey};
use crate::id::{MailboxId, NodeId};
use crate::wire::Tag;
use crate::wire::budget::MAX_RPC_LEN;
use crate::wire::codec::{BoundedBytes, Bytes};

const DOMAIN: &str = "ZenTalk owner v1";

/// What the owner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerOp {
    /// Reply blocks for pushes.
    Subscribe,
    /// Read what waits.
    Fetch,
    /// Prekeys to hand out.
    PreKeyPublish,
}

impl OwnerOp {
    const fn tag(self) -> Tag {
        match self {
            Self::Subscribe => Tag::SubscribeRequest,
            Self::Fetch => Tag::FetchRequest,
            Self::PreKeyPublish => Tag::PreKeyPublishRequest,
        }
    }
}

/// A signed request: good at one relay, for one operation, once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OwnerRequest {
    #[n(0)]
    key: Bytes<32>,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    body: BoundedBytes<MAX_RPC_LEN>,
    #[n(3)]
    signature: Bytes<64>,
}

/// The request does not come from the owner of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OwnerError {
    /// The key is no Ed25519 key.
    #[error("mailbox key is not valid")]
    Key,
    /// Signed by another, for another relay, or for another operation.
    #[error("owner's signature does not verify")]
    Signature,
}

impl OwnerRequest {
    /// Signs `body` for `node`. `sequence` is max(last + 1, unix ms).
    pub fn sign(
        key: &SigningKey,
        node: &NodeId,
        op: OwnerOp,
        sequence: u64,
        body: BoundedBytes<MAX_RPC_LEN>,
    ) -> Self {
        let signature = key.sign(DOMAIN, &transcript(node, op, sequence, &body));
        Self {
            key: Bytes(*key.verifying_key().as_bytes()),
            sequence,
            body,
            signature: Bytes(*signature.as_bytes()),
        }
    }

    /// Checks the signature at relay `node`; yields the mailbox and the body.
    pub fn verify(&self, node: &NodeId, op: OwnerOp) -> Result<(MailboxId, &[u8]), OwnerError> {
        let key = VerifyingKey::from_bytes(&self.key.0).map_err(|_| OwnerError::Key)?;
        key.verify(
            DOMAIN,
            &transcript(node, op, self.sequence, &self.body),
            &Signature::from_bytes(self.signature.0),
        )
        .map_err(|_| OwnerError::Signature)?;
        Ok((mailbox_id(&self.key.0), &self.body))
    }

    /// Which of two requests is the newer.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// MailboxId of a mailbox key.
pub(super) fn mailbox_id(key: &[u8; 32]) -> MailboxId {
    MailboxId::from_bytes(blake2b_160_concat(b"ZenTalk mailbox v1", key))
}

fn transcript(node: &NodeId, op: OwnerOp, sequence: u64, body: &[u8]) -> Vec<u8> {
    [
        node.as_bytes(),
        (op.tag() as u16).to_be_bytes().as_slice(),
        &sequence.to_be_bytes(),
        body,
    ]
    .concat()
}
