//! What goes into the core and what comes out of it.

use core::net::SocketAddr;

use zentalk_shared::id::NodeId;
use zentalk_shared::wire::link::LinkErrorCode;

use super::config::CoreConfig;
use super::store::{StoreError, StoreOp, StoreReply};

/// One connection, named by the host; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One operation at the store, named by the core; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One attempt to connect to another relay, named by the core; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dial(pub u64);

/// Where a connection comes from, as far as admission must know: a keyed hash of the address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u64);

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// Somebody connected. `None`: from where is not to be counted (loopback in development).
    Accepted(Option<Origin>),
    /// This relay did, as the core had asked; this is where its name has led to.
    Dialed(Dial, SocketAddr),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection is open.
    Opened(ConnId, Remote),
    /// An attempt to connect has failed.
    DialFailed(Dial),
    /// A whole frame has arrived.
    Frame(ConnId, Vec<u8>),
    /// The connection is gone. Not needed after [`Output::Close`].
    Closed(ConnId),
    /// The moment that [`next_timeout`](super::Relay::next_timeout) named is here, or has passed.
    Timer,
    /// The store has answered.
    Stored(Ticket, Result<StoreReply, StoreError>),
    /// The operator has changed limits, peers, or what the descriptor says; the other parts of the
    /// configuration must be as they were.
    Configure(Box<CoreConfig>),
    /// The relay is to stop: every link is told and closed.
    Shutdown,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a frame. If the connection's queue is full the host may drop it.
    Send(ConnId, Vec<u8>),
    /// Whether a directory was asked for here: then one message longer than a packet may come within
    /// [`DIRECTORY_DEADLINE`](super::DIRECTORY_DEADLINE), and a host may hang up on all others.
    ExpectDirectory(ConnId, bool),
    /// Send what is queued, then close. The code is for the log; the peer has been told.
    Close(ConnId, Option<LinkErrorCode>),
    /// Connect to a relay.
    Connect(Dial, String),
    /// Submit an operation to the store.
    Store(Ticket, StoreOp),
    /// Add to a counter.
    Count(Metric, u64),
    /// A link to another relay is up or down.
    Peer(NodeId, bool),
}

/// What is counted. No label ever names who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Packets that authenticated, by onion suite.
    Peeled(&'static str),
    /// Packets passed on to the next relay.
    Forwarded,
    /// Of these, packets that were held back first, as their sender wished.
    Delayed,
    /// Packets delivered to, or kept for, a client.
    Delivered,
    /// Requests that ended here.
    Processed,
    /// Packets dropped, by reason.
    PacketDropped(&'static str),
    /// Relays looked for at the URL that they claim, by whether they were found.
    DialedBack(&'static str),
    /// Descriptors that were not even kept to be looked into, by reason.
    ClaimRefused(&'static str),
    /// Connections refused or closed for what the peer did, by reason.
    LinkRefused(&'static str),
    /// Remote calls answered, by type.
    Answered(&'static str),
    /// Remote calls refused, by reason.
    Refused(&'static str),
    /// Pushes to owners.
    Pushed,
    /// Envelopes stored for another member.
    Replicated,
    /// Comparisons with other members, by what happened.
    Compared(&'static str),
    /// Operations that the store could not do.
    StoreFailed,
    /// Events of the DHT.
    Dht(&'static str),
    /// Replay tags that could neither be logged nor kept: their keys were replaced.
    ReplayTagsLost,
}
