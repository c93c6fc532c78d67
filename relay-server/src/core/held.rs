//! What this relay holds of a mailbox, as anti-entropy asks the store for it.

use zentalk_shared::id::{EnvelopeId, MailboxId};

/// A page lists so many ids at most.
pub const PAGE_IDS: usize = zentalk_shared::rpc::MAX_PAGE_IDS;
/// Proofs handed out for one comparison; the next one has the others.
pub const MAX_PROOFS: usize = 32;

/// An acknowledgement is kept as a proof if it names at most so many ids for each that is new here: else its owner could
/// fill the disk with long ones that differ in one id.
pub const NAMED_PER_NEW: usize = 8;

/// Envelopes that wait in one mailbox, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldMail {
    /// Whose.
    pub mailbox: MailboxId,
    /// How many.
    pub count: u32,
    /// Digest of their ids: `held_digest`.
    pub digest: [u8; 16],
}

/// A range of ids and what another member holds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareIds {
    /// Whose.
    pub mailbox: MailboxId,
    /// First id of the range.
    pub from: EnvelopeId,
    /// First id after it; `None`: to the end.
    pub until: Option<EnvelopeId>,
    /// What the other member holds of it.
    pub theirs: Vec<EnvelopeId>,
}

/// How this relay's holdings compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// What is held here of the range, ascending, at most [`PAGE_IDS`].
    pub held: Vec<EnvelopeId>,
    /// Where `held` ends before the range does: the first id that is not listed.
    pub until: Option<EnvelopeId>,
    /// Of `theirs`: neither held nor tombstoned here, as far as the mailbox has room.
    pub missing: Vec<EnvelopeId>,
    /// Signed tombstones of `theirs`, at most [`MAX_PROOFS`], none twice.
    pub proofs: Vec<Vec<u8>>,
}
