//! What members of a swarm tell each other to hold the same mail again. PROTOCOL §6.

use minicbor::{Decode, Encode};

use super::mailbox_descriptor::MailboxDescriptorBytes;
use crate::crypto::hash::blake2b_128_concat;
use crate::id::{EnvelopeId, MailboxId};
use crate::wire::codec::{BoundedList, Bytes};

/// Mailboxes in one summary.
pub const MAX_SUMMARIES: usize = 64;
/// Envelope ids in one page.
pub const MAX_PAGE_IDS: usize = 400;

/// What one member holds of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MailboxSummary {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Of the descriptor that the member has.
    #[n(1)]
    pub sequence: u64,
    /// Envelopes that wait.
    #[n(2)]
    pub held: u32,
    /// Of their ids: [`held_digest`].
    #[n(3)]
    pub digest: Bytes<16>,
}

/// Between relays: summaries of mailboxes that both are members of. The answer has those that differ.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SwarmSummary {
    /// One for each mailbox.
    #[n(0)]
    pub mailboxes: BoundedList<MailboxSummary, MAX_SUMMARIES>,
    /// It answers one with its message id.
    #[n(1)]
    pub answer: bool,
}

/// Between relays: every id within a range that the sender holds. The answer is its receiver's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SwarmIds {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// The range's first id.
    #[n(1)]
    pub from: EnvelopeId,
    /// The first id after the range; none: it goes to the end.
    #[n(2)]
    pub until: Option<EnvelopeId>,
    /// Those held.
    #[n(3)]
    pub ids: BoundedList<EnvelopeId, MAX_PAGE_IDS>,
    /// It answers one with its message id.
    #[n(4)]
    pub answer: bool,
}

/// Between relays: envelopes that the sender lacks, to be sent as [`ReplicatePut`](super::ReplicatePut).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SwarmWant {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Which.
    #[n(1)]
    pub ids: BoundedList<EnvelopeId, MAX_PAGE_IDS>,
}

/// Between relays: a mailbox descriptor that is newer than the receiver's. Its signature is its proof.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SwarmDescriptor {
    /// As its owner has signed it.
    #[n(0)]
    pub descriptor: MailboxDescriptorBytes,
}

/// Digest of ids in ascending order.
pub fn held_digest(ids: impl IntoIterator<Item = EnvelopeId>) -> [u8; 16] {
    let bytes: Vec<u8> = ids.into_iter().flat_map(|id| *id.as_bytes()).collect();
    blake2b_128_concat(b"ZenTalk held mail v1", &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Tag;
    use crate::wire::codec::{from_cbor, to_cbor};

    #[test]
    fn the_longest_of_each_fits_its_frame() {
        let id = EnvelopeId::from_bytes([0xff; 16]);
        let mailbox = MailboxId::from_bytes([0xff; 20]);
        let summary = MailboxSummary {
            mailbox,
            sequence: u64::MAX,
            held: u32::MAX,
            digest: Bytes([0xff; 16]),
        };
        let summaries = SwarmSummary {
            mailboxes: BoundedList::new(vec![summary; MAX_SUMMARIES]).unwrap(),
            answer: true,
        };
        let ids = BoundedList::new(vec![id; MAX_PAGE_IDS]).unwrap();
        let page = SwarmIds {
            mailbox,
            from: id,
            until: Some(id),
            ids: ids.clone(),
            answer: true,
        };
        let want = SwarmWant { mailbox, ids };
        let (one, two, three) = (to_cbor(&summaries), to_cbor(&page), to_cbor(&want));
        assert!(
            one.len() <= Tag::SwarmSummary.max_payload(),
            "{}",
            one.len()
        );
        assert!(two.len() <= Tag::SwarmIds.max_payload(), "{}", two.len());
        assert!(three.len() <= Tag::SwarmWant.max_payload());
        assert_eq!(from_cbor::<SwarmSummary>(&one, one.len()), Ok(summaries));
        assert_eq!(from_cbor::<SwarmIds>(&two, two.len()), Ok(page));
        assert_eq!(from_cbor::<SwarmWant>(&three, three.len()), Ok(want));
    }

    #[test]
    fn a_digest_names_the_set() {
        let id = |n| EnvelopeId::from_bytes([n; 16]);
        assert_eq!(held_digest([id(1), id(2)]), held_digest([id(1), id(2)]));
        assert_ne!(held_digest([id(1), id(2)]), held_digest([id(1)]));
        assert_ne!(held_digest([]), held_digest([id(0)]));
    }
}
