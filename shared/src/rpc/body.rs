//! The bodies of requests and replies, as PROTOCOL §6 gives them in CDDL.

use minicbor::{Decode, Encode};

use super::envelope::{EnvelopeBytes, EnvelopeItem};
use super::mailbox_descriptor::{MAX_MAILBOX_DESCRIPTOR_LEN, MailboxDescriptorBytes};
use super::permit::{FormerPermit, Permit};
use super::record::MAX_RECORD_LEN;
use super::work::{Work, WorkWanted};
use crate::id::{EnvelopeId, MailboxId, RecordKey};
use crate::onion::{Layout, Suite};
use crate::time::{Duration, Timestamp};
use crate::wire::budget::{MAX_RPC_LEN, XWING_CT_LEN, surb_len};
use crate::wire::codec::{BoundedBytes, BoundedList, Bytes};
use crate::wire::link::DescriptorBytes;

/// Reply blocks in one subscription.
pub const MAX_SURBS: usize = 48;
/// Envelopes in one `bulk` reply or push.
pub const MAX_FETCH: usize = 3;
/// One-time prekeys in one publication.
pub const MAX_ONE_TIME_BATCH: usize = 20;

/// Times of directory syncs are multiples of this.
pub const SYNC_STEP: Duration = Duration::from_mins(10);

/// What CBOR puts before a string of 256 to 65535 bytes.
const CBOR_BYTES_HEAD: usize = 3;

/// A reply block as bytes.
pub type SurbBytes = BoundedBytes<{ surb_len(XWING_CT_LEN) }>;
/// A sealed prekey base.
pub type PreKeyBaseBytes = BoundedBytes<8192>;
/// A sealed one-time prekey.
pub type OneTimeBytes = BoundedBytes<2048>;
/// A signed account record.
pub type RecordBytes = BoundedBytes<MAX_RECORD_LEN>;

/// Put an envelope into a mailbox; any member of the swarm takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutRequest {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Of `envelope`, or the request is refused.
    #[n(1)]
    pub id: EnvelopeId,
    /// Shows that the sender is a contact; absent at first contact.
    #[n(2)]
    pub permit: Option<Permit>,
    /// What is stored.
    #[n(3)]
    pub envelope: EnvelopeBytes,
    /// In place of a permit, or beside one that may have been replaced.
    #[n(4)]
    pub work: Option<Work>,
}

/// The envelope is durable on `held` of `of` members, at least a majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PutReply {
    /// Members on whose disk it is.
    #[n(0)]
    pub held: u8,
    /// Active members of the swarm.
    #[n(1)]
    pub of: u8,
}

/// Owner: opens or refreshes the mailbox at this member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SubscribeBody {
    /// Forget the stock that is there.
    #[n(0)]
    pub replace: bool,
    /// Who the swarm is.
    #[n(1)]
    pub descriptor: MailboxDescriptorBytes,
    /// Reply blocks for pushes.
    #[n(2)]
    pub surbs: BoundedList<SurbBytes, MAX_SURBS>,
    /// What contacts of the owner show to this relay.
    #[n(3)]
    pub permit: Option<Permit>,
    /// What those show who have not heard of the new secret yet.
    #[n(4)]
    pub former: Option<FormerPermit>,
    /// What it takes to open a mailbox that the member does not have.
    #[n(5)]
    pub work: Option<Work>,
}

impl SubscribeBody {
    /// Bytes of a subscription that reply blocks may take: what a `bulk` request carries, less the owner's
    /// signature and all the rest.
    pub const SURBS_ROOM: usize = MAX_RPC_LEN - MAX_MAILBOX_DESCRIPTOR_LEN - 256;

    /// Bytes that one reply block of a suite takes of it: 48 of X25519 fit, 11 of RSA-4096, 5 of X-Wing.
    pub const fn surb_needs(suite: Suite) -> usize {
        // A list of more would be refused.
        let least = Self::SURBS_ROOM / MAX_SURBS;
        let needs = Layout::of_suite(suite).surb() + CBOR_BYTES_HEAD;
        if needs > least { needs } else { least }
    }
}

/// What the member now has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SubscribeReply {
    /// Reply blocks in stock.
    #[n(0)]
    pub stock: u16,
    /// Envelopes that wait.
    #[n(1)]
    pub waiting: u32,
}

/// Owner: reads waiting envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FetchBody {
    /// After this cursor; 0 from the start.
    #[n(0)]
    pub after: u64,
    /// At most so many.
    #[n(1)]
    pub limit: u8,
}

/// Waiting envelopes, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FetchReply {
    /// None: nothing waits after the cursor.
    #[n(0)]
    pub envelopes: BoundedList<EnvelopeItem, MAX_FETCH>,
    /// Cursor after the last of them.
    #[n(1)]
    pub next: u64,
    /// How many wait after it.
    #[n(2)]
    pub remaining: u32,
}

/// The tombstone is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AcknowledgeReply {
    /// Envelope ids recorded.
    #[n(0)]
    pub recorded: u16,
}

/// Owner: prekeys for this member to hand out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyPublishBody {
    /// Forget the batch that is there.
    #[n(0)]
    pub replace: bool,
    /// The part that everybody gets, sealed.
    #[n(1)]
    pub base: PreKeyBaseBytes,
    /// One for each asker, sealed; no other member has the same.
    #[n(2)]
    pub one_time: BoundedList<OneTimeBytes, MAX_ONE_TIME_BATCH>,
}

/// One-time prekeys that this member now holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyPublishReply {
    /// How many.
    #[n(0)]
    pub held: u16,
}

/// Take a bundle of this mailbox's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyTakeRequest {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
}

/// A bundle; without a one-time part when none is left.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyTakeReply {
    /// Sealed base.
    #[n(0)]
    pub base: PreKeyBaseBytes,
    /// Sealed one-time part, handed out once.
    #[n(1)]
    pub one_time: Option<OneTimeBytes>,
}

/// Store an account record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordPutRequest {
    /// The signed record.
    #[n(0)]
    pub record: RecordBytes,
    /// What the relay asks for.
    #[n(1)]
    pub work: Option<Work>,
}

/// Whether it was stored, and what is held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordPutReply {
    /// False: a newer one was there.
    #[n(0)]
    pub stored: bool,
    /// Sequence of the record held.
    #[n(1)]
    pub sequence: u64,
}

/// Read an account record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordGetRequest {
    /// Its key.
    #[n(0)]
    pub key: RecordKey,
}

/// The record, if this relay has one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RecordGetReply {
    /// The signed record.
    #[n(0)]
    pub record: Option<RecordBytes>,
}

/// The relay directory from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DirectorySyncRequest {
    /// Digest of what the client has: equal means nothing to send.
    #[n(0)]
    pub known: Bytes<32>,
    /// Where to go on.
    #[n(1)]
    pub offset: u32,
    /// Only descriptors that the relay has taken since then, by its clock. In steps of [`SYNC_STEP`]: many clients name
    /// the same.
    #[n(2)]
    pub since: Option<Timestamp>,
}

/// A part of the relay directory, ordered by NodeId.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DirectorySyncReply {
    /// Digest of the whole.
    #[n(0)]
    pub digest: Bytes<32>,
    /// Descriptors that were asked for, in all.
    #[n(1)]
    pub total: u32,
    /// Of these, the ones from the offset on, as many as fit.
    #[n(2)]
    pub descriptors: BoundedList<DescriptorBytes, 16>,
    /// The relay's clock, rounded down to a multiple of [`SYNC_STEP`].
    #[n(3)]
    pub time: Option<Timestamp>,
}

/// A member's message to the owner, through a reply block of the stock.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Push {
    /// None: a heartbeat.
    #[n(0)]
    pub envelopes: BoundedList<EnvelopeItem, MAX_FETCH>,
    /// Reply blocks left after this one.
    #[n(1)]
    pub stock: u16,
    /// Envelopes that wait, these not counted.
    #[n(2)]
    pub waiting: u32,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// Not a request, or out of bounds.
    #[n(1)]
    Malformed,
    /// No such mailbox or record here.
    #[n(2)]
    Unknown,
    /// A signature, proof or permit did not verify.
    #[n(3)]
    NotAllowed,
    /// A quota is used up.
    #[n(4)]
    Full,
    /// No majority of the swarm could be reached.
    #[n(5)]
    TooFewMembers,
    /// An owner's sequence that has passed.
    #[n(6)]
    StaleSequence,
    /// Try again later.
    #[n(7)]
    Busy,
    /// Neither a permit nor work that is good here: see [`Refused::work`].
    #[n(8)]
    WorkNeeded,
    /// The mailbox is no longer here: its owner has chosen other relays.
    #[n(9)]
    Moved,
}

/// In place of any reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cbor(map)]
pub struct Refused {
    /// Why.
    #[n(0)]
    pub reason: Refusal,
    /// What it takes, if work is needed.
    #[n(1)]
    pub work: Option<WorkWanted>,
}

impl Refused {
    /// For any reason but missing work.
    pub const fn because(reason: Refusal) -> Self {
        Self { reason, work: None }
    }
}

impl<'b, C> Decode<'b, C> for Refused {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        #[derive(Decode)]
        #[cbor(map)]
        struct Said {
            #[n(0)]
            reason: Refusal,
            #[n(1)]
            work: Option<WorkWanted>,
        }
        let at = d.position();
        let Said { reason, work } = Said::decode(d, ctx)?;
        match (reason, work) {
            (Refusal::WorkNeeded, _) | (_, None) => Ok(Self { reason, work }),
            _ => Err(minicbor::decode::Error::message("work is for missing work only").at(at)),
        }
    }
}

/// Between relays: store this envelope too.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplicatePut {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Of `envelope`, or the frame is malformed.
    #[n(1)]
    pub id: EnvelopeId,
    /// Its bytes.
    #[n(2)]
    pub envelope: EnvelopeBytes,
    /// Received in this hour since the epoch; nothing finer is kept.
    #[n(3)]
    pub hour: u32,
    /// It came with a permit.
    #[n(4)]
    pub permitted: bool,
}

/// Between relays: whether the envelope is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplicatePutAck {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Its id.
    #[n(1)]
    pub id: EnvelopeId,
    /// On this relay's disk, or tombstoned there.
    #[n(2)]
    pub durable: bool,
}

/// Between relays: the tombstone is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplicateTombstoneAck {
    /// Whose.
    #[n(0)]
    pub mailbox: MailboxId,
    /// Ids recorded.
    #[n(1)]
    pub recorded: u16,
}
