//! What the core asks of its disk: operations as values, each atomic, each answered once.
//!
//! The store is a state machine of its own. It applies operations one after another, and every rule
//! that two requests could race for (an envelope id already held, a tombstone that came first, a quota,
//! an owner's sequence) is decided there, inside the operation, so that the order of the store is the
//! only order there is.
//!
//! The contract, which the SQLite store and [`MemStore`](super::mem_store::MemStore) both keep and the
//! conformance tests check: an operation that was answered with `Ok` survives a crash; one that was not
//! answered may have happened or not, and operations happen in the order in which they were submitted.

use thiserror::Error;
use zentalk_shared::dht::{Held, RecordId};
use zentalk_shared::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
use zentalk_shared::onion::{Epoch, ReplayEntry};
use zentalk_shared::rpc::{EnvelopeBytes, FormerPermit, OneTimeBytes, PreKeyBaseBytes};
use zentalk_shared::time::{Duration, Timestamp};
use zeroize::Zeroizing;

pub use super::held::{CompareIds, Compared, HeldMail, MAX_PROOFS, NAMED_PER_NEW, PAGE_IDS};
use super::proofs::Proof;

/// Envelopes live this long.
pub const ENVELOPE_LIFE: Duration = Duration::from_days(30);
/// Tombstones live this long: longer than any envelope, so that no late copy comes back.
pub const TOMBSTONE_LIFE: Duration = Duration::from_days(37);
/// A mailbox whose owner has not been here for this long is forgotten.
pub const MAILBOX_IDLE_LIFE: Duration = Duration::from_days(60);

/// A time in whole hours since the Unix epoch: nothing finer is stored about mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u32);

impl Hour {
    /// The hour that `now` falls into.
    pub fn at(now: Timestamp) -> Self {
        Self(u32::try_from(now.as_ms() / Duration::from_hours(1).as_ms()).unwrap_or(u32::MAX))
    }

    /// The last hour that has passed out of a life of `life` at `now`.
    pub fn expired(now: Timestamp, life: Duration) -> Self {
        Self::at(now - life)
    }
}

/// How much one relay keeps. All of them bound what strangers can make it store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Mailboxes in all.
    pub mailboxes: u32,
    /// Envelopes of contacts waiting in one mailbox.
    pub envelopes: u32,
    /// Bytes of contacts waiting in one mailbox.
    pub bytes: u64,
    /// Beside these, envelopes that came without a permit; each has 8000 bytes. Neither takes the other's room.
    pub first_contact: u32,
    /// Reply blocks in one mailbox's stock.
    pub stock: u32,
    /// Tombstones of one mailbox; the oldest give way.
    pub tombstones: u32,
    /// One-time prekeys of one mailbox.
    pub one_time: u32,
    /// Account records in all.
    pub records: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            mailboxes: 100_000,
            envelopes: 4096,
            bytes: 32 << 20,
            first_contact: 64,
            stock: 96,
            tombstones: 50_000,
            one_time: 200,
            records: 200_000,
        }
    }
}

/// Which owner request this is: its sequence, and a hash of all else in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerStamp {
    /// The owner's sequence; must exceed the last one.
    pub sequence: u64,
    /// Tells a repetition of the last request from another one with its number.
    pub digest: [u8; 32],
}

/// A reply block in the stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockedSurb {
    /// Of no use afterwards.
    pub expires: Timestamp,
    /// Its encoding; holds a key, so it is wiped.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Put an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutEnvelope {
    /// Whose.
    pub mailbox: MailboxId,
    /// Of the envelope, which has been checked.
    pub id: EnvelopeId,
    /// 8000 bytes.
    pub envelope: Box<EnvelopeBytes>,
    /// When it came.
    pub hour: Hour,
    /// It showed the mailbox's permit.
    pub permitted: bool,
}

/// Open or refresh a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveSubscription {
    /// Whose.
    pub mailbox: MailboxId,
    /// Which request.
    pub stamp: OwnerStamp,
    /// Forget the stock that is there.
    pub replace: bool,
    /// Sequence of `descriptor`; one older than what is held makes the request stale.
    pub descriptor_sequence: u64,
    /// The signed mailbox descriptor.
    pub descriptor: Vec<u8>,
    /// What contacts show here.
    pub permit: Option<[u8; 32]>,
    /// What they showed before, while it counts.
    pub former: Option<FormerPermit>,
    /// Reply blocks to add; beyond the quota the surplus is dropped.
    pub surbs: Vec<StockedSurb>,
    /// For expiry.
    pub now: Timestamp,
}

/// A relay's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedDescriptor {
    /// Whose.
    pub node: NodeId,
    /// Verified bytes.
    pub descriptor: Vec<u8>,
    /// When and where the relay was found. `None`: it is this one, or an older version did not look.
    pub proof: Option<Proof>,
}

/// Put prekeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePreKeys {
    /// Whose.
    pub mailbox: MailboxId,
    /// Which request.
    pub stamp: OwnerStamp,
    /// Forget the one-time keys that are there.
    pub replace: bool,
    /// The sealed part for everybody.
    pub base: PreKeyBaseBytes,
    /// Sealed one-time parts to add; beyond the quota the surplus is dropped.
    pub one_time: Vec<OneTimeBytes>,
    /// For expiry.
    pub now: Timestamp,
}

/// A record of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRecord {
    /// Which.
    pub id: RecordId,
    /// What is known of it.
    pub held: Held,
    /// Its bytes, which have been checked.
    pub record: Vec<u8>,
}

/// Which envelopes a push carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushPick {
    /// None: a heartbeat.
    Heartbeat,
    /// Those of these that are still there. If none is, no reply block is spent.
    These(Vec<EnvelopeId>),
    /// The oldest, at most so many. If there is none, no reply block is spent.
    Oldest(u8),
}

/// One persistent operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Answered by [`StoreReply::Put`].
    Put(PutEnvelope),
    /// Answered by [`StoreReply::Subscription`].
    Subscribe(Box<SaveSubscription>),
    /// Reads waiting envelopes for their owner; answered by [`StoreReply::Fetched`].
    Fetch {
        /// Whose.
        mailbox: MailboxId,
        /// Which request.
        stamp: OwnerStamp,
        /// Cursor, 0 from the start.
        after: u64,
        /// At most so many.
        limit: u8,
        /// For expiry.
        now: Timestamp,
    },
    /// Records that the owner has these, and forgets them; answered by [`StoreReply::Tombstone`].
    Tombstone {
        /// Whose.
        mailbox: MailboxId,
        /// Which.
        ids: Vec<EnvelopeId>,
        /// When.
        hour: Hour,
        /// The owner's signed acknowledgement, kept as long as the tombstones are; see [`NAMED_PER_NEW`].
        proof: Vec<u8>,
    },
    /// Reads in short what is held of these mailboxes; answered by [`StoreReply::Held`].
    Summarise(Vec<MailboxId>),
    /// Compares what is held with another member; answered by [`StoreReply::Compared`].
    Compare(Box<CompareIds>),
    /// Keeps a newer descriptor of a mailbox that is there; answered by [`StoreReply::DescriptorKept`].
    KeepDescriptor {
        /// Whose.
        mailbox: MailboxId,
        /// Its sequence; one that is not higher than that of the descriptor held changes nothing.
        sequence: u64,
        /// The signed mailbox descriptor.
        descriptor: Vec<u8>,
    },
    /// Takes a reply block and envelopes for a push; answered by [`StoreReply::Push`].
    TakePush {
        /// Whose.
        mailbox: MailboxId,
        /// Which envelopes.
        pick: PushPick,
        /// For expiry.
        now: Timestamp,
    },
    /// Reads one envelope for another member; answered by [`StoreReply::Envelope`].
    ReadEnvelope {
        /// Whose.
        mailbox: MailboxId,
        /// Which.
        id: EnvelopeId,
    },
    /// Answered by [`StoreReply::PreKeys`].
    SavePreKeys(Box<SavePreKeys>),
    /// Takes a bundle; the one-time part is gone for good. Answered by [`StoreReply::Bundle`].
    TakePreKey {
        /// Whose.
        mailbox: MailboxId,
        /// Whether to spend a one-time prekey.
        one_time: bool,
    },
    /// Stores a verified account record; answered by [`StoreReply::RecordPut`].
    PutRecord {
        /// Its key.
        key: RecordKey,
        /// Its sequence.
        sequence: u64,
        /// Its expiry.
        expires: Timestamp,
        /// Its bytes.
        record: Vec<u8>,
    },
    /// The newest of what clients have put here and what the DHT holds; answered by [`StoreReply::Record`].
    GetRecord {
        /// Its key.
        key: RecordKey,
        /// Expired records do not exist.
        now: Timestamp,
    },
    /// Keeps a record of the DHT in the place of an older one; answered by [`StoreReply::RecordPut`].
    SaveDhtRecord(Box<SavedRecord>),
    /// Answered by [`StoreReply::Record`].
    ReadDhtRecord(RecordId),
    /// Answered by [`StoreReply::Done`].
    ForgetDhtRecord(RecordId),
    /// Keeps the DHT's table of contacts; answered by [`StoreReply::Done`].
    SaveDhtTable(Vec<u8>),
    /// Replaces the onion keys; answered by [`StoreReply::Done`].
    SaveOnionKeys(Zeroizing<Vec<u8>>),
    /// Removes the onion keys; answered by [`StoreReply::Done`].
    ForgetOnionKeys,
    /// Logs tags of packets that have passed; answered by [`StoreReply::Done`].
    AppendReplay(Vec<ReplayEntry>),
    /// Forgets the log of every epoch but these; answered by [`StoreReply::Done`].
    KeepReplay(Vec<Epoch>),
    /// Keeps a relay's descriptor; answered by [`StoreReply::Done`].
    SaveDescriptor(SavedDescriptor),
    /// Forgets a relay's descriptor; answered by [`StoreReply::Done`].
    ForgetDescriptor(NodeId),
    /// Forgets some of what has expired, in a bounded step; answered by [`StoreReply::Swept`].
    Sweep(Timestamp),
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is on disk now.
    Stored,
    /// It was there already.
    Held,
    /// Its owner has it already.
    Tombstoned,
    /// A quota is used up.
    Full,
    /// No such mailbox here.
    Unknown,
}

impl PutOutcome {
    /// Whether the envelope can no longer be lost here.
    pub const fn is_durable(self) -> bool {
        matches!(self, Self::Stored | Self::Held | Self::Tombstoned)
    }
}

/// The answer to an owner's operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned<T> {
    /// Done, now or when this very request came first.
    Done(T),
    /// The sequence has passed.
    Stale,
    /// No such mailbox here.
    Unknown,
    /// No room for another mailbox.
    Full,
}

/// What a subscription has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Reply blocks.
    pub surbs: u16,
    /// Envelopes that wait.
    pub waiting: u32,
}

/// Envelopes for their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Oldest first.
    pub envelopes: Vec<(EnvelopeId, Box<EnvelopeBytes>)>,
    /// Cursor after the last of them.
    pub next: u64,
    /// How many wait after it.
    pub remaining: u32,
}

/// What a push may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenPush {
    /// The reply block; `None` if the stock is empty or there is nothing to push.
    pub surb: Option<Zeroizing<Vec<u8>>>,
    /// The envelopes.
    pub envelopes: Vec<(EnvelopeId, Box<EnvelopeBytes>)>,
    /// What is left; `waiting` does not count `envelopes`.
    pub stock: Stock,
}

/// An envelope as another member needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEnvelope {
    /// Its bytes.
    pub envelope: Box<EnvelopeBytes>,
    /// When it came.
    pub hour: Hour,
    /// It showed a permit.
    pub permitted: bool,
}

/// A prekey bundle for one asker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Sealed base.
    pub base: PreKeyBaseBytes,
    /// Sealed one-time part.
    pub one_time: Option<OneTimeBytes>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is held.
    Stored,
    /// Another one is, with this sequence.
    Held(u64),
    /// No room for another record.
    Full,
}

/// What a sweep has forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// There may be more to forget.
    pub more: bool,
    /// Mailboxes whose owner has not come for long.
    pub gone: Vec<MailboxId>,
}

/// The answer to a [`StoreOp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreReply {
    /// To a put.
    Put(PutOutcome),
    /// To a subscription.
    Subscription(Owned<Stock>),
    /// To a fetch.
    Fetched(Owned<Fetched>),
    /// To a tombstone: ids recorded, or `None` for an unknown mailbox.
    Tombstone(Option<u16>),
    /// To a question for summaries: of those mailboxes that are there.
    Held(Vec<HeldMail>),
    /// To a comparison; `None` for an unknown mailbox.
    Compared(Option<Compared>),
    /// To a descriptor: whether it is newer, and is held now.
    DescriptorKept(bool),
    /// To a push.
    Push(TakenPush),
    /// To a read; `None` if it is not there.
    Envelope(Option<StoredEnvelope>),
    /// To prekeys: one-time prekeys held.
    PreKeys(Owned<u16>),
    /// To a take; `None` if nobody has published for this mailbox here.
    Bundle(Option<Bundle>),
    /// To a record.
    RecordPut(RecordOutcome),
    /// To a question for a record.
    Record(Option<Vec<u8>>),
    /// To a sweep.
    Swept(Swept),
    /// To whatever answers nothing.
    Done,
}

/// The environment failed: nothing of the operation has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// The disk or the database failed; the daemon's log has the details.
    #[error("the store failed")]
    Failed,
}

/// A mailbox as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredMailbox {
    /// Whose.
    pub mailbox: MailboxId,
    /// Its signed descriptor, once its owner has subscribed.
    pub descriptor: Option<Vec<u8>>,
    /// Its permit.
    pub permit: Option<[u8; 32]>,
    /// The permit before.
    pub former: Option<FormerPermit>,
    /// What it holds.
    pub stock: Stock,
}

/// What a relay finds on its disk when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Onion keys as last saved.
    pub onion_keys: Option<Zeroizing<Vec<u8>>>,
    /// Tags of packets that have passed.
    pub replay: Vec<ReplayEntry>,
    /// Descriptors of relays, this one's own among them.
    pub descriptors: Vec<SavedDescriptor>,
    /// Mailboxes.
    pub mailboxes: Vec<RestoredMailbox>,
    /// The DHT's table of contacts.
    pub dht_table: Option<Vec<u8>>,
    /// Records of the DHT, without their bytes.
    pub dht_records: Vec<(RecordId, Held)>,
}
