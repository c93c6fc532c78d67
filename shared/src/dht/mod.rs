//! The DHT among relays: Kademlia without IO (Maymounkov and Mazières, 2002). PROTOCOL §11.
//!
//! ```text
//!  contact: who, in which network ─▶ position        record: signed bytes ─▶ id ─▶ position
//!       │ dialed back                                     │ checked
//!       ▼                                                 ▼
//!  table: 160 buckets ─ nearest ─▶ lookup: 8 paths ─▶ the K relays that hold it (store)
//! ```
//! [`Node`] is all of it; how a host drives one is said there. The parts stand alone: a [`Table`] knows nothing of
//! questions, a [`Lookup`] nothing of time, the [`LocalStore`] nothing of the network.

mod admission;
mod bucket;
mod contact;
mod distance;
mod lookup;
mod message;
mod node;
mod record;
mod store;
mod table;

pub use admission::{Admission, AdmitAll, Application, Cost, MAX_PROOF_LEN, Proof};
pub use bucket::{Inserted, K, MAX_OF_NETWORK};
pub use contact::{Contact, DialBack, Network, NotVerified, Verified};
pub use distance::{BUCKETS, Distance};
pub use lookup::{ALPHA, FoundRecord, Goal, Lookup, Outcome, PATHS};
pub use message::{
    Contacts, FindNodeRequest, FindValueRequest, MessageError, NodesReply, PingRequest, PongReply,
    Reply, Request, StoreOutcome, StoreRequest, StoredReply, ValueReply, is_dht,
};
pub use node::{
    Answer, Busy, Node, NodeConfig, Output, Peer, PublishError, Published, QueryId, Ticket,
};
pub use record::{
    BadRecord, DhtRecordBytes, Facts, MAX_LEN, RecordId, RecordKind, RecordScheme, SignedRecords,
};
pub use store::{Held, LocalStore, StoreLimits};
pub use table::{MAX_TABLE_RECORD_LEN, Table, TableRecordError, decode_table};

#[cfg(test)]
pub(crate) mod tests;
