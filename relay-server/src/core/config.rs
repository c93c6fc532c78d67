//! What the operator decides, and what the relay must keep secret.

use zentalk_shared::dht::StoreLimits;
use zentalk_shared::onion::{RelayInfo, RelaySigner, RelayUrl, ReplayLimits, Suites};

use super::admission::Rate;
use super::toll::WorkPolicy;

/// How a relay behaves.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// What its descriptor says.
    pub info: RelayInfo,
    /// Relays to stay connected to. Its own URL may be among them.
    pub peers: Vec<RelayUrl>,
    /// Development: connect to `ws://` URLs and to this machine.
    pub allow_private: bool,
    /// Bounds.
    pub limits: Limits,
    /// What is asked of strangers.
    pub work: WorkPolicy,
    /// Onion suites that it peels and publishes keys of.
    pub suites: Suites,
    /// Size of the replay filters.
    pub replay: ReplayLimits,
}

/// Bounds of everything that others can make the relay hold or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Accepted connections.
    pub connections: usize,
    /// Of these, from one /24 or /48.
    pub connections_per_origin: usize,
    /// Frames from one client.
    pub client_frames: Rate,
    /// Frames from one relay; what exceeds it is dropped, and the link stays.
    pub relay_frames: Rate,
    /// Peeling for one client, in units of 100 µs of a core; packets that exceed it are dropped.
    pub client_peeling: Rate,
    /// The same for one relay.
    pub relay_peeling: Rate,
    /// Peeling of suites that cost hundreds of times as much as others (RSA-4096), for all together, in the same units.
    pub dear_peeling: Rate,
    /// Comparing holdings with one relay, in units of about 25 µs of the store; questions that exceed it are dropped.
    pub comparing: Rate,
    /// Replay tags kept while the store cannot log them; beyond, the keys that they are of are replaced.
    pub replay_backlog: usize,
    /// Connection tags remembered.
    pub tags: usize,
    /// Bytes kept for clients that have not counted them yet, over all tags.
    pub tag_bytes: usize,
    /// Packets held back by their sender's delay.
    pub delayed: usize,
    /// Of these, from one client.
    pub delayed_of_client: usize,
    /// Frames for a relay that is not connected.
    pub peer_queue: usize,
    /// Relays that frames wait for.
    pub peer_queues: usize,
    /// Operations at the store.
    pub operations: usize,
    /// Puts on their way to a majority.
    pub puts: usize,
    /// Records held for the DHT. Of this and the next the next start takes note.
    pub dht_records: usize,
    /// Bytes of the records held for the DHT.
    pub dht_bytes: usize,
    /// Envelopes and tombstones that other members have not confirmed.
    pub replication: usize,
    /// Of these, for one member.
    pub replication_each: usize,
    /// One-time prekeys handed out of one mailbox.
    pub prekeys: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        let dht = StoreLimits::default();
        Self {
            connections: 10_000,
            connections_per_origin: 256,
            client_frames: Rate {
                per_minute: 6_000,
                burst: 1_000,
            },
            relay_frames: Rate {
                per_minute: 600_000,
                burst: 60_000,
            },
            client_peeling: Rate {
                per_minute: 30_000,
                burst: 8_000,
            },
            relay_peeling: Rate {
                per_minute: 600_000,
                burst: 60_000,
            },
            dear_peeling: Rate {
                per_minute: 300_000,
                burst: 30_000,
            },
            comparing: Rate {
                per_minute: 120_000,
                burst: 20_000,
            },
            replay_backlog: 1 << 20,
            tags: 100_000,
            tag_bytes: 256 << 20,
            delayed: 8_000,
            delayed_of_client: 128,
            peer_queue: 128,
            peer_queues: 64,
            operations: 20_000,
            puts: 4_000,
            dht_records: dht.records,
            dht_bytes: dht.bytes,
            replication: 20_000,
            replication_each: 4_000,
            prekeys: Rate {
                per_minute: 2,
                burst: 20,
            },
        }
    }
}

/// What makes a relay this relay.
#[derive(Clone, Debug)]
pub struct RelaySecrets {
    /// Signs its descriptors and links.
    pub signer: RelaySigner,
}
