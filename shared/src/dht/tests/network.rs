//! A few dozen whole relays in memory: frames arrive at once and in order, disks are maps.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;

use super::support::{NOW, PlainNode, contact, plain_node, verified};
use crate::dht::{Answer, Contact, NodeConfig, Output, Peer, QueryId, RecordId};
use crate::id::NodeId;
use crate::test_support::rng;
use crate::time::{Duration, Timestamp};
use crate::wire::decode_frame;

/// Relays and what is between them.
pub(super) struct Mesh {
    pub(super) now: Timestamp,
    pub(super) rng: ChaCha20Rng,
    pub(super) nodes: BTreeMap<NodeId, Host>,
    frames: VecDeque<(NodeId, NodeId, Vec<u8>)>,
    pub(super) done: BTreeMap<(NodeId, QueryId), Answer>,
    pub(super) delivered: usize,
}

/// A relay with its disk.
pub(super) struct Host {
    pub(super) node: PlainNode,
    pub(super) disk: BTreeMap<RecordId, Vec<u8>>,
    pub(super) persisted: Option<Vec<u8>>,
    pub(super) up: bool,
}

impl Mesh {
    pub(super) fn new() -> Self {
        Self {
            now: NOW,
            rng: rng(1),
            nodes: BTreeMap::new(),
            frames: VecDeque::new(),
            done: BTreeMap::new(),
            delivered: 0,
        }
    }

    /// Relays `1..=count`, each begun from the first two.
    pub(super) fn of(count: u32) -> Self {
        let mut mesh = Self::new();
        for n in 1..=count {
            mesh.add(n);
        }
        mesh.pass(Duration::from_mins(3));
        mesh
    }

    pub(super) fn add(&mut self, n: u32) {
        let contact = contact(n);
        let mut node = plain_node(n, NodeConfig::default());
        node.handle_timeout(self.now, &mut self.rng);
        let host = Host {
            node,
            disk: BTreeMap::new(),
            persisted: None,
            up: true,
        };
        self.nodes.insert(contact.node(), host);
        for seed in (1..n).take(2) {
            self.meet(n, seed);
        }
        self.settle();
    }

    /// Two relays have dialed each other back.
    pub(super) fn meet(&mut self, a: u32, b: u32) {
        for (of, to) in [(a, b), (b, a)] {
            let host = self.nodes.get_mut(&contact(of).node()).unwrap();
            host.node
                .handle_verified(&verified(&contact(to)), self.now, &mut self.rng);
        }
        self.settle();
    }

    pub(super) fn host(&mut self, n: u32) -> &mut Host {
        self.nodes.get_mut(&contact(n).node()).unwrap()
    }

    /// Lets time pass, timer by timer.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let up = self.nodes.iter().filter(|(_, host)| host.up);
            let next = up.map(|(id, host)| (host.node.next_timeout(), *id)).min();
            let Some((at, id)) = next.filter(|(at, _)| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            let host = self.nodes.get_mut(&id).unwrap();
            host.node.handle_timeout(self.now, &mut self.rng);
            assert!(
                host.node.next_timeout() > self.now,
                "a timer that is due again at once"
            );
            self.settle();
        }
        self.now = until;
    }

    /// Does what relays ask for until nobody asks for anything.
    pub(super) fn settle(&mut self) {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        ids.iter().for_each(|id| self.drain(id));
        while let Some((from, to, frame)) = self.frames.pop_front() {
            self.delivered += 1;
            let claimed = self.nodes[&from].node.contact().clone();
            let Some(host) = self.nodes.get_mut(&to).filter(|host| host.up) else {
                continue;
            };
            let frame = decode_frame(&frame).unwrap();
            let peer = Peer::Verified(verified(&claimed));
            host.node
                .handle_frame(&peer, &frame, self.now, &mut self.rng)
                .unwrap();
            self.drain(&to);
        }
    }

    fn drain(&mut self, id: &NodeId) {
        while let Some(output) = self.nodes.get_mut(id).and_then(|host| host.node.poll()) {
            self.perform(id, output);
        }
    }

    fn perform(&mut self, id: &NodeId, output: Output) {
        let now = self.now;
        match output {
            Output::Ask(to, frame) => match self.reachable(&to) {
                true => self.frames.push_back((*id, to.node(), frame)),
                false => self.unreachable(id, &to),
            },
            Output::Answer(to, frame) => self.frames.push_back((*id, to, frame)),
            Output::Verify(to) => match self.reachable(&to) {
                true => {
                    let host = self.nodes.get_mut(id).unwrap();
                    host.node
                        .handle_verified(&verified(&to), now, &mut self.rng);
                }
                false => self.unreachable(id, &to),
            },
            Output::Write(ticket, record, _, bytes) => {
                let host = self.nodes.get_mut(id).unwrap();
                host.disk.insert(record, bytes);
                host.node.handle_written(ticket, true, now, &mut self.rng);
            }
            Output::Read(ticket, record) => {
                let host = self.nodes.get_mut(id).unwrap();
                let bytes = host.disk.get(&record).cloned();
                host.node.handle_read(ticket, bytes, now, &mut self.rng);
            }
            Output::Remove(record) => drop(self.host_of(id).disk.remove(&record)),
            Output::Persist(bytes) => self.host_of(id).persisted = Some(bytes),
            Output::Done(query, answer) => drop(self.done.insert((*id, query), answer)),
            Output::Discovered(_) => {}
        }
    }

    fn host_of(&mut self, id: &NodeId) -> &mut Host {
        self.nodes.get_mut(id).unwrap()
    }

    fn reachable(&self, contact: &Contact) -> bool {
        let host = self.nodes.get(&contact.node());
        host.is_some_and(|host| host.up && host.node.contact() == contact)
    }

    fn unreachable(&mut self, id: &NodeId, contact: &Contact) {
        let host = self.nodes.get_mut(id).unwrap();
        host.node
            .handle_unreachable(contact, self.now, &mut self.rng);
    }

    /// Runs a query of the `n`-th relay to its end.
    pub(super) fn query(
        &mut self,
        n: u32,
        begin: impl FnOnce(&mut PlainNode, Timestamp, &mut ChaCha20Rng) -> QueryId,
    ) -> Answer {
        let (now, id) = (self.now, contact(n).node());
        let host = self.nodes.get_mut(&id).unwrap();
        let query = begin(&mut host.node, now, &mut self.rng);
        for _ in 0..100 {
            self.settle();
            if let Some(answer) = self.done.remove(&(id, query)) {
                return answer;
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("the query does not end");
    }
}
