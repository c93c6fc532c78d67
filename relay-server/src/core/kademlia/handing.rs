//! Records that have to be paid for, on their way from holder to holder.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::dht::{
    Contact, DialBack, Held, Network, Node, NodeConfig, Output, Peer, Proof, RecordId, RecordKind,
    Request, SignedRecords, StoreRequest, Verified,
};
use zentalk_shared::id::{MessageId, NodeId};
use zentalk_shared::identity::DirectorySecret;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::rpc::{AccountRecord, RecordBytes, Solver, Subject, WorkWanted};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedBytes, Bytes};
use zentalk_shared::wire::decode_frame;

use super::payment::{Payment, receipt};
use crate::core::WorkPolicy;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const TAKER: NodeId = NodeId::from_bytes([9; 20]);

/// Holders of an older and of a newer record, a reader and a newcomer.
const OLD: usize = 0;
const NEW: usize = 1;
const READER: usize = 2;
const NEWCOMER: usize = 3;

type Disk = BTreeMap<RecordId, Vec<u8>>;

struct Mesh {
    now: Timestamp,
    rng: ChaCha20Rng,
    relays: Vec<(Node<SignedRecords, Payment>, Disk)>,
    frames: VecDeque<(usize, NodeId, Vec<u8>)>,
}

fn verified(n: usize) -> Verified {
    let address = Ipv4Addr::new(20, 0, n as u8, 1).into();
    let node = NodeId::from_bytes([n as u8; 20]);
    let network = Network::of(address, 443, false).unwrap();
    let url = RelayUrl::parse("wss://relay.example/v1").unwrap();
    let met = DialBack {
        node,
        address,
        port: 443,
    };
    Verified::check(Contact::new(node, network, &url), met, false).unwrap()
}

/// An account's record of a sequence, and the proof that somebody has worked for it.
fn paid(sequence: u64) -> (RecordId, Vec<u8>, Proof) {
    let secret = DirectorySecret::random(&mut ChaCha20Rng::seed_from_u64(1));
    let expires = NOW + Duration::from_days(20);
    let record = AccountRecord::sign(&secret, sequence, expires, vec![5; 9000]).unwrap();
    let bytes = record.bytes().to_vec();
    let body = RecordBytes::new(bytes.clone()).unwrap();
    let subject = Subject::record(&TAKER, &record.key(), &body);
    let wanted = WorkWanted {
        seed: Bytes([3; 16]),
        effort: 4,
    };
    let mut solver = Solver::new(&subject, wanted, &mut ChaCha20Rng::seed_from_u64(1));
    let work = (0..1000).find_map(|_| solver.step()).unwrap();
    let proof = receipt(&TAKER, &work).unwrap();
    (RecordId::account(record.key()), bytes, proof)
}

impl Mesh {
    /// The reader knows both holders, and they know it; nobody knows the newcomer.
    fn new() -> Self {
        let policy = WorkPolicy {
            effort: 4,
            ..WorkPolicy::default()
        };
        let config = NodeConfig {
            join_after: Duration::MAX,
            ..NodeConfig::default()
        };
        let node = |n| {
            let me = verified(n).contact().clone();
            let node = Node::new(me, config, SignedRecords, Payment::with(policy), NOW);
            (node, Disk::new())
        };
        let mut mesh = Self {
            now: NOW,
            rng: ChaCha20Rng::seed_from_u64(1),
            relays: (0..4).map(node).collect(),
            frames: VecDeque::new(),
        };
        mesh.meet(READER, OLD);
        mesh.meet(READER, NEW);
        mesh
    }

    fn meet(&mut self, a: usize, b: usize) {
        for (of, to) in [(a, b), (b, a)] {
            let (node, _) = &mut self.relays[of];
            node.handle_verified(&verified(to), self.now, &mut self.rng);
        }
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let count = self.relays.len();
            let next = (0..count).find_map(|n| Some((n, self.relays[n].0.poll()?)));
            if let Some((n, output)) = next {
                self.perform(n, output);
            } else if let Some((from, to, frame)) = self.frames.pop_front() {
                self.deliver(from, to, &frame);
            } else {
                return;
            }
        }
    }

    fn perform(&mut self, n: usize, output: Output) {
        let (node, disk) = &mut self.relays[n];
        match output {
            Output::Ask(to, frame) => self.frames.push_back((n, to.node(), frame)),
            Output::Answer(to, frame) => self.frames.push_back((n, to, frame)),
            Output::Write(ticket, id, _, bytes) => {
                disk.insert(id, bytes);
                node.handle_written(ticket, true, self.now, &mut self.rng);
            }
            Output::Read(ticket, id) => {
                let bytes = disk.get(&id).cloned();
                node.handle_read(ticket, bytes, self.now, &mut self.rng);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, from: usize, to: NodeId, frame: &[u8]) {
        let to = |node: &&mut (Node<SignedRecords, Payment>, Disk)| node.0.contact().node() == to;
        let Some((node, _)) = self.relays.iter_mut().find(to) else {
            return;
        };
        let frame = decode_frame(frame).unwrap();
        let peer = Peer::Verified(verified(from));
        node.handle_frame(&peer, &frame, self.now, &mut self.rng)
            .unwrap();
    }

    /// The reader brings a record to a relay.
    fn give(&mut self, to: usize, record: &[u8], proof: Option<Proof>) {
        let store = Request::Store(StoreRequest {
            kind: RecordKind::Account,
            record: BoundedBytes::new(record).unwrap(),
            proof,
        });
        let to = verified(to).contact().node();
        let frame = store.encode(MessageId::from_bytes([1; 16]));
        self.frames.push_back((READER, to, frame));
        self.settle();
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now += Duration::from_ms(500);
            for (node, _) in &mut self.relays {
                node.handle_timeout(self.now, &mut self.rng);
            }
            self.settle();
        }
    }

    fn held(&self, n: usize, id: &RecordId) -> Option<&Held> {
        self.relays[n].0.store().get(id)
    }

    /// What a relay has of a record, and what it can show for it.
    fn has(&self, n: usize, id: &RecordId) -> (u64, Option<Proof>) {
        let held = self.held(n, id).unwrap();
        (held.sequence, held.proof.clone())
    }
}

#[test]
fn a_record_that_came_by_repair_is_handed_on_to_newcomers() {
    let mut mesh = Mesh::new();
    let (id, older, first) = paid(1);
    let (_, newer, second) = paid(2);
    mesh.give(OLD, &older, Some(first.clone()));
    mesh.give(NEW, &newer, Some(second.clone()));
    assert_eq!(mesh.has(OLD, &id), (1, Some(first)));
    let (reader, _) = &mut mesh.relays[READER];
    reader.find_value(id, mesh.now, &mut mesh.rng).unwrap();
    mesh.settle();
    assert_eq!(mesh.has(OLD, &id), (2, Some(second.clone())));
    mesh.meet(OLD, NEWCOMER);
    mesh.pass(Duration::from_secs(5));
    assert_eq!(mesh.has(NEWCOMER, &id), (2, Some(second)));
}

#[test]
fn a_copy_with_nothing_to_show_for_it_gives_way_to_one_with_a_proof_and_never_the_reverse() {
    let mut mesh = Mesh::new();
    let (id, older, first) = paid(1);
    let (_, newer, second) = paid(2);
    let garbage = Proof::new([7; 65]).unwrap();
    mesh.give(OLD, &older, Some(first.clone()));
    // A contact that knows no more than the newer record.
    mesh.give(OLD, &newer, None);
    assert_eq!(mesh.has(OLD, &id), (2, None));
    for proof in [None, Some(garbage.clone()), Some(first)] {
        mesh.give(OLD, &newer, proof);
        assert_eq!(mesh.has(OLD, &id), (2, None));
    }
    for proof in [Some(second.clone()), None, Some(garbage)] {
        mesh.give(OLD, &newer, proof);
        assert_eq!(mesh.has(OLD, &id), (2, Some(second.clone())));
    }
}

#[test]
fn fault_20_what_is_shown_for_a_record_and_is_worth_nothing_is_not_passed_on() {
    let mut mesh = Mesh::new();
    let (id, older, first) = paid(1);
    let (_, newer, _) = paid(2);
    mesh.give(OLD, &older, Some(first));
    mesh.give(OLD, &newer, Some(Proof::new([7; 65]).unwrap()));
    assert_eq!(mesh.has(OLD, &id), (2, None));
    assert_eq!(mesh.held(NEW, &id), None);
}
