//! Everything that each relay of a run sees, as it sees it: who is at the other end of a connection, every frame in and
//! out, every operation at its store, and when. [`adversary`](crate::adversary) reads it.

use std::collections::HashMap;
use std::rc::Rc;

use zentalk_relay::core::ConnId;
use zentalk_relay::core::store::StoreOp;
use zentalk_shared::identity::ContactCode;
use zentalk_shared::time::Timestamp;

use super::wire::End;

/// Header and the beginning of the payload.
const NAME_LEN: usize = 80;

/// Who is at the other end of a relay's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A client: what a relay knows of it is an IP address.
    Client(usize),
    /// Another relay.
    Relay(usize),
}

/// One thing that a relay sees.
#[derive(Clone, Debug)]
pub enum Sight {
    /// A frame that has come.
    Came(ConnId, Peer, Rc<[u8]>),
    /// A frame that it sends, also if it is lost on the wire.
    Sent(ConnId, Peer, Rc<[u8]>),
    /// What it asks of its store.
    Row(StoreOp),
}

/// What a relay sees, and when.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Which relay.
    pub relay: usize,
    /// What.
    pub sight: Sight,
}

/// The complete logs of all relays, and who the clients are in truth.
#[derive(Debug, Default)]
pub struct Sightings {
    /// In the order of time.
    pub all: Vec<Sighting>,
    /// The onion keys of every relay, as it stores them.
    pub onion_records: Vec<Vec<u8>>,
    /// NodeIds of the relays.
    pub nodes: Vec<[u8; 20]>,
    /// Contact codes of the clients.
    pub codes: Vec<ContactCode>,
    /// A frame is kept once, although two ends see it: by its first bytes, which have its id.
    frames: HashMap<Vec<u8>, Rc<[u8]>>,
}

impl Sightings {
    pub(super) fn came(&mut self, at: Timestamp, here: End, there: End, frame: &[u8]) {
        self.frame(at, here, there, frame, Sight::Came);
    }

    pub(super) fn sent(&mut self, at: Timestamp, here: End, there: End, frame: &[u8]) {
        self.frame(at, here, there, frame, Sight::Sent);
    }

    pub(super) fn row(&mut self, at: Timestamp, relay: usize, op: StoreOp) {
        let sight = Sight::Row(op);
        self.all.push(Sighting { at, relay, sight });
    }

    fn frame(
        &mut self,
        at: Timestamp,
        here: End,
        there: End,
        frame: &[u8],
        sight: fn(ConnId, Peer, Rc<[u8]>) -> Sight,
    ) {
        let End::Relay(relay, conn) = here else {
            return;
        };
        let peer = match there {
            End::Client(client, _) => Peer::Client(client),
            End::Relay(relay, _) => Peer::Relay(relay),
        };
        let name = frame.get(..NAME_LEN).unwrap_or(frame).to_vec();
        let kept = self.frames.entry(name).or_insert_with(|| frame.into());
        if **kept != *frame {
            *kept = frame.into();
        }
        let sight = sight(conn, peer, Rc::clone(kept));
        self.all.push(Sighting { at, relay, sight });
    }
}
