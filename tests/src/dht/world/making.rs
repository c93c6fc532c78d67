//! How a network comes to be: grown, or as it is after some time.

use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use zentalk_shared::dht::{
    AdmitAll, Contact, DialBack, Network, NodeConfig, StoreLimits, Verified,
};
use zentalk_shared::id::{NodeId, Position};
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::{Duration, Timestamp};

use super::{Event, Plan, SimNode, Slot, World};
use crate::dht::churn::{rest_of_session, uniform};
use crate::dht::liars::Liars;
use crate::dht::records::HashedRecords;

impl World {
    /// A network as it is after some time: every table knows a random choice of who is there.
    pub fn new(plan: Plan) -> Self {
        let mut world = Self::empty(plan);
        for n in 0..plan.relays {
            // Spread evenly over the relays, so that a share is exact.
            let lies = ((n + 1) as f64 * plan.liars) as usize > (n as f64 * plan.liars) as usize;
            world.add(lies);
        }
        world.introduce_everybody();
        for at in 0..plan.relays as u32 {
            if plan.churn && world.slots[at as usize].node.is_some() {
                let rest = rest_of_session(&mut world.rng);
                world.schedule(world.now + rest, Event::Leave(at));
            }
        }
        world
    }

    /// A network that grows from two relays, all others joining through these.
    pub fn grown(plan: Plan, apart: Duration) -> Self {
        let mut world = Self::empty(plan);
        for n in 0..plan.relays as u32 {
            world.add(false);
            (0..n.min(2)).for_each(|seed| world.meet(n, seed));
            world.pass(apart);
        }
        world
    }

    fn empty(plan: Plan) -> Self {
        Self {
            plan,
            now: Timestamp::from_secs(1_700_000_000),
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            slots: Vec::new(),
            events: BinaryHeap::new(),
            bodies: HashMap::new(),
            next_event: 0,
            liars: Liars::default(),
            done: HashMap::new(),
            frames: 0,
            left: 0,
            published: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, lies: bool) -> u32 {
        let at = self.slots.len() as u32;
        let contact = contact(at, self.rng.next_u32());
        let mut config = NodeConfig {
            store: StoreLimits {
                records: 10_000,
                ..StoreLimits::default()
            },
            max_askers: 1024,
            ..NodeConfig::default()
        };
        if !self.plan.upkeep {
            config.join_after = Duration::MAX;
            config.refresh_every = Duration::MAX;
            config.upkeep_every = Duration::from_days(1);
        }
        let node = SimNode::new(
            contact.contact().clone(),
            config,
            HashedRecords,
            AdmitAll,
            self.now,
        );
        if lies {
            self.liars.add(contact.contact().clone());
        }
        let place = (uniform(&mut self.rng), uniform(&mut self.rng));
        self.slots.push(Slot {
            contact,
            node: (!lies).then_some(node),
            disk: HashMap::new(),
            up: true,
            place,
            timer: Timestamp::MAX,
        });
        at
    }

    /// Every relay meets, in every bucket, a random choice of who belongs there.
    fn introduce_everybody(&mut self) {
        let mut sorted: Vec<(_, u32)> = (0..)
            .zip(&self.slots)
            .map(|(at, s)| (*s.contact.contact().position(), at))
            .collect();
        sorted.sort_unstable();
        for at in 0..self.slots.len() as u32 {
            let me = *self.slots[at as usize].contact.contact().position();
            // From the whole network inwards: the part that shares one bit more with this relay, and the other half.
            let mut range = 0..sorted.len();
            for bit in 0..160u8 {
                let (side, other) = halves(&sorted, range.clone(), bit, &me);
                for _ in 0..other.len().min(24) {
                    let pick = other.start + (self.rng.next_u64() % other.len() as u64) as usize;
                    self.meet(at, sorted[pick].1);
                }
                range = side;
                if range.len() <= 1 {
                    break;
                }
            }
        }
    }

    pub(super) fn meet(&mut self, at: u32, other: u32) {
        let seen = self.slots[other as usize].contact.clone();
        let (now, rng) = (self.now, &mut self.rng);
        if let Some(node) = &mut self.slots[at as usize].node {
            node.handle_verified(&seen, now, rng);
        }
        self.drain(at);
    }
}

/// The part of a sorted range that has `me`'s bit, and the other part.
fn halves(
    sorted: &[(Position, u32)],
    range: Range<usize>,
    bit: u8,
    me: &Position,
) -> (Range<usize>, Range<usize>) {
    let at =
        |position: &Position| position.as_bytes()[usize::from(bit / 8)] & (0x80 >> (bit % 8)) != 0;
    let middle = range.start + sorted[range.clone()].partition_point(|(p, _)| !at(p));
    match at(me) {
        true => (middle..range.end, range.start..middle),
        false => (range.start..middle, middle..range.end),
    }
}

/// The `at`-th relay, in a /24 of its own.
fn contact(at: u32, salt: u32) -> Verified {
    let mut node = [0; 20];
    node[..4].copy_from_slice(&at.to_be_bytes());
    node[16..].copy_from_slice(&salt.to_be_bytes());
    let node = NodeId::from_bytes(node);
    // From 11.0.0.0 on, without the networks that nobody can be in.
    let address = (0..).map(|skip| Ipv4Addr::from(0x0B00_0001 + ((at * 4 + skip) << 8)));
    let mut networks = address.filter_map(|a| Some((a, Network::of(IpAddr::V4(a), 443, false)?)));
    let (address, network) = networks.next().expect("there are enough networks");
    let url = RelayUrl::parse("wss://r.example").expect("a URL");
    let found = DialBack {
        node,
        address: IpAddr::V4(address),
        port: 443,
    };
    Verified::check(Contact::new(node, network, &url), found, false).expect("a true claim")
}
