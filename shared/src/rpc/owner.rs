//! Requests that only the owner of a mailbox may make. DESIGN §5, "Owner requests".

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::sign::Signature;
use crate::id::{MailboxId, NodeId};
use crate::identity::{MailboxKey, MailboxSecret};
use crate::wire::Tag;
use crate::wire::budget::MAX_RPC_LEN;
use crate::wire::codec::BoundedBytes;

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
    key: MailboxKey,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    body: BoundedBytes<MAX_RPC_LEN>,
    #[n(3)]
    signature: Signature,
}

/// Signed by another, for another relay, or for another operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the owner's signature does not verify")]
pub struct NotTheOwner;

impl OwnerRequest {
    /// Signs `body` for `node`. `sequence` is max(last + 1, unix ms).
    pub fn sign(
        key: &MailboxSecret,
        node: &NodeId,
        op: OwnerOp,
        sequence: u64,
        body: BoundedBytes<MAX_RPC_LEN>,
    ) -> Self {
        let signature = key.sign(DOMAIN, &transcript(node, op, sequence, &body));
        Self {
            key: key.public(),
            sequence,
            body,
            signature,
        }
    }

    /// Checks the signature at relay `node`; yields the mailbox and the body.
    pub fn verify(&self, node: &NodeId, op: OwnerOp) -> Result<(MailboxId, &[u8]), NotTheOwner> {
        let transcript = transcript(node, op, self.sequence, &self.body);
        self.key
            .verify(DOMAIN, &transcript, &self.signature)
            .map_err(|_| NotTheOwner)?;
        Ok((self.key.id(), &self.body))
    }

    /// Which of two requests is the newer.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
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
