//! How a network comes to be: grown, or as it is after some time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use zentalk_shared::dht::{
    AdmitAll, Contact, DialBack, Network, NodeConfig, StoreLimits, Verified,
};
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::{Duration, Timestamp};

use super::queue::Queue;
use super::{Event, Plan, SimNode, Slot, World};
use crate::dht::churn::{rest_of_session, uniform};
use crate::dht::liars::Liars;
use crate::dht::records::HashedRecords;
use crate::dht::sorted::Sorted;

/// Contacts that are shown to a bucket of an old network: as many as it holds, and some that wait.
const SHOWN: usize = 24;

impl World {
    /// A network as it is after some time: every table knows its relay's neighbours and a random choice of the others,
    /// and was refreshed at some time within the last hour.
    pub fn new(plan: Plan) -> Self {
        let mut world = Self::empty(plan);
        for n in 0..plan.relays {
            // Spread evenly over the relays, so that a share is exact.
            let lies = ((n + 1) as f64 * plan.liars) as usize > (n as f64 * plan.liars) as usize;
            world.add(lies, true);
        }
        let lying = world.slots.iter().filter(|slot| slot.node.is_none());
        world.liars = Liars::new(lying.map(|slot| slot.contact.contact().clone()));
        world.introduce_everybody();
        for at in 0..plan.relays as u32 {
            if plan.churn && world.slots[at as usize].node.is_some() {
                let rest = rest_of_session(&mut world.rng);
                world.events.push(world.now + rest, Event::Leave(at));
            }
        }
        world
    }

    /// A network that grows from two relays, all others joining through these.
    pub fn grown(plan: Plan, apart: Duration) -> Self {
        let mut world = Self::empty(plan);
        for n in 0..plan.relays as u32 {
            world.add(false, false);
            (0..n.min(2)).for_each(|seed| world.meet(n, seed, world.now));
            world.drain(n);
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
            events: Queue::new(),
            liars: Liars::default(),
            done: HashMap::new(),
            frames: 0,
            left: 0,
            again: 0,
            published: Vec::new(),
        }
    }

    /// One more relay; `joined`: it has been there for some time.
    pub(super) fn add(&mut self, lies: bool, joined: bool) -> u32 {
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
        if joined {
            config.join_after = Duration::MAX;
        }
        let node = SimNode::new(
            contact.contact().clone(),
            config,
            HashedRecords,
            AdmitAll,
            self.now,
        );
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

    /// Every relay meets, in every bucket, whoever belongs there, or a random choice of them.
    fn introduce_everybody(&mut self) {
        let slots = (0..).zip(&self.slots);
        let positions = slots.map(|(at, slot)| (*slot.contact.contact().position(), at));
        let sorted: Sorted<u32> = Sorted::new(positions.collect());
        for at in 0..self.slots.len() as u32 {
            let me = *self.slots[at as usize].contact.contact().position();
            let ago = uniform(&mut self.rng) * Duration::from_hours(1).as_ms() as f64;
            let since = self.now - Duration::from_ms(ago as u64);
            // From the whole network inwards: the part that shares one bit more with this relay, and the other half.
            let mut range = sorted.all();
            for bit in 0..160u8 {
                let (side, other) = sorted.halves(range, bit, &me);
                for n in 0..other.len().min(SHOWN) {
                    let pick = match other.len() > SHOWN {
                        true => (self.rng.next_u64() % other.len() as u64) as usize,
                        false => n,
                    };
                    if let Some(who) = sorted.get(other.start + pick) {
                        self.meet(at, *who, since);
                    }
                }
                range = side;
                if range.len() <= 1 {
                    break;
                }
            }
            self.drain(at);
        }
    }

    /// A relay has been shown another one, at that time.
    pub(super) fn meet(&mut self, at: u32, other: u32, since: Timestamp) {
        let seen = self.slots[other as usize].contact.clone();
        if let Some(node) = &mut self.slots[at as usize].node {
            node.handle_verified(&seen, since, &mut self.rng);
        }
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
