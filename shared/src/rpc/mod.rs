//! Remote calls: requests to relays that travel inside onions, their replies, and the signed objects
//! that relays store. PROTOCOL §6–§8.
//!
//! ```text
//!   client                         relay
//!   Request::encode(id, class) ──onion──▶ Request::decode ─▶ (MessageId, Request)
//!   Reply::decode ◀──through the reply block── Reply::encode(id, class)
//! ```
//! A request and its reply fill the capacity of their packet class exactly, so that a failure looks like
//! a success in length.

mod account_contents;
mod anti_entropy;
mod body;
mod envelope;
mod mailbox_descriptor;
mod message;
mod owner;
mod permit;
mod prekey_entry;
mod record;
mod tombstone;
mod work;

pub use account_contents::{AccountContents, ContentsError, PublishedDevice};
pub use anti_entropy::{
    MAX_PAGE_IDS, MAX_SUMMARIES, MailboxSummary, SwarmDescriptor, SwarmIds, SwarmSummary,
    SwarmWant, held_digest,
};
pub use body::{
    AcknowledgeReply, DirectorySyncReply, DirectorySyncRequest, FetchBody, FetchReply, MAX_FETCH,
    MAX_ONE_TIME_BATCH, MAX_SURBS, OneTimeBytes, PreKeyBaseBytes, PreKeyPublishBody,
    PreKeyPublishReply, PreKeyTakeReply, PreKeyTakeRequest, Push, PutReply, PutRequest,
    RecordBytes, RecordGetReply, RecordGetRequest, RecordPutReply, RecordPutRequest, Refusal,
    Refused, ReplicatePut, ReplicatePutAck, ReplicateTombstoneAck, SYNC_STEP, SubscribeBody,
    SubscribeReply, SurbBytes,
};
pub use envelope::{EnvelopeBytes, EnvelopeItem, envelope_id};
pub use mailbox_descriptor::{
    DescriptorError, MAX_MAILBOX_DESCRIPTOR_LEN, MAX_SWARM, MailboxDescriptor,
    MailboxDescriptorBytes,
};
pub use message::{Reply, Request, RpcError, TooLarge};
pub use owner::{NotTheOwner, OwnerOp, OwnerRequest};
pub use permit::{FormerPermit, MAX_PERMIT_OVERLAP, Permit, WriteSecret};
pub use prekey_entry::{open_prekey_entry, seal_prekey_entry};
pub use record::{
    AccountRecord, MAX_RECORD_LEN, RecordError, open_record_contents, seal_record_contents,
};
pub use tombstone::{MAX_TOMBSTONE_IDS, Tombstone};
pub use work::{BadWork, MAX_EFFORT, Solver, Subject, WORK_LEN, Work, WorkWanted};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
