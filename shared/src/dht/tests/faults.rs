//! What systems of this kind got wrong (FAULTS 18, 19, 20), at the border of a whole relay.

use proptest::prelude::*;

use super::support::{
    NOW, Plain, account, account_id, contact, contact_in, node_id, peer, plain, plain_node,
    reply_of, verified,
};
use crate::crypto::sign::SigningKey;
use crate::dht::{
    Admission, Application, BadRecord, Contacts, Cost, DhtRecordBytes, Facts, FindValueRequest, K,
    Node, NodeConfig, NodesReply, Output, Peer, Proof, RecordId, RecordKind, RecordScheme, Reply,
    Request, SignedRecords, StoreOutcome, StoreRequest, StoredReply, ValueReply,
};
use crate::id::{MessageId, NodeId};
use crate::identity::DirectorySecret;
use crate::onion::{Epoch, OnionKey, Publication, RelayInfo, RelaySigner};
use crate::rpc::AccountRecord;
use crate::test_support::{account_rsa, rng};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedBytes;
use crate::wire::{Tag, decode_frame, encode_frame};

const ID: MessageId = MessageId::from_bytes([0xA5; 16]);

fn node() -> super::support::PlainNode {
    plain_node(0, NodeConfig::default())
}

fn handle<R: RecordScheme, A: Admission>(node: &mut Node<R, A>, peer: &Peer, frame: &[u8]) {
    let frame = decode_frame(frame).unwrap();
    node.handle_frame(peer, &frame, NOW, &mut rng(1)).unwrap();
}

/// Stores a record, with a disk that works.
fn store<R: RecordScheme, A: Admission>(
    node: &mut Node<R, A>,
    kind: RecordKind,
    record: &[u8],
    proof: Option<&[u8]>,
) -> StoredReply {
    let record = DhtRecordBytes::new(record).unwrap();
    let proof = proof.map(|proof| BoundedBytes::new(proof).unwrap());
    let request = Request::Store(StoreRequest {
        kind,
        record,
        proof,
    });
    handle(node, &peer(1), &request.encode(ID));
    let mut reply = None;
    while let Some(output) = node.poll() {
        match output {
            Output::Write(ticket, ..) => node.handle_written(ticket, true, NOW, &mut rng(1)),
            Output::Answer(to, frame) => {
                assert_eq!(to, contact(1).node());
                reply = Some(reply_of(&frame));
            }
            _ => {}
        }
    }
    let Some(Reply::Stored(stored)) = reply else {
        panic!("{reply:?}");
    };
    stored
}

fn signed(seed: u64, sequence: u64, sealed: &[u8]) -> (RecordId, Vec<u8>) {
    let key = DirectorySecret::random(&mut rng(seed));
    let record = AccountRecord::sign(
        &key,
        sequence,
        NOW + Duration::from_days(9),
        sealed.to_vec(),
    )
    .unwrap();
    (RecordId::account(record.key()), record.bytes().to_vec())
}

#[test]
fn fault_18_nobody_overwrites_a_record_without_its_key() {
    let mut node = Node::new(
        contact(0),
        NodeConfig::default(),
        SignedRecords,
        crate::dht::AdmitAll,
        NOW,
    );
    let (id, record) = signed(1, 5, b"hers");
    assert_eq!(
        store(&mut node, RecordKind::Account, &record, None).outcome,
        StoreOutcome::Stored
    );
    // The same key with other contents under her signature.
    let at = record.windows(4).position(|w| w == b"hers").unwrap();
    let mut forged = record.clone();
    forged[at..at + 4].copy_from_slice(b"mine");
    assert_eq!(
        store(&mut node, RecordKind::Account, &forged, None).outcome,
        StoreOutcome::Bad
    );
    // Whatever another key signs belongs somewhere else.
    let (other, theirs) = signed(2, 9, b"mine");
    assert_ne!(other, id);
    assert_eq!(
        store(&mut node, RecordKind::Account, &theirs, None).outcome,
        StoreOutcome::Stored
    );
    assert_eq!(node.store().get(&id).unwrap().sequence, 5);
}

#[test]
fn fault_18_an_older_sequence_is_refused_and_one_ahead_of_time_too() {
    let mut node = Node::new(
        contact(0),
        NodeConfig::default(),
        SignedRecords,
        crate::dht::AdmitAll,
        NOW,
    );
    let put = |node: &mut _, sequence| {
        store(
            node,
            RecordKind::Account,
            &signed(1, sequence, b"x").1,
            None,
        )
    };
    assert_eq!(put(&mut node, 5).outcome, StoreOutcome::Stored);
    let rollback = put(&mut node, 4);
    assert_eq!(
        (rollback.outcome, rollback.sequence),
        (StoreOutcome::Held, Some(5))
    );
    assert_eq!(put(&mut node, NOW.as_ms() * 2).outcome, StoreOutcome::Bad);
    assert_eq!(put(&mut node, 6).outcome, StoreOutcome::Stored);
}

#[test]
fn fault_18_a_record_of_another_kind_is_refused() {
    let (_, account) = signed(1, 1, b"x");
    assert_eq!(
        SignedRecords.check(RecordKind::Relay, &account, NOW),
        Err(BadRecord::Malformed)
    );
    let relay = relay_record(&info());
    assert_eq!(
        SignedRecords.check(RecordKind::Account, &relay.1, NOW),
        Err(BadRecord::Malformed)
    );
    let facts = SignedRecords
        .check(RecordKind::Relay, &relay.1, NOW)
        .unwrap();
    assert_eq!(facts.id, RecordId::relay(&relay.0));
    let mut changed = relay.1.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(
        SignedRecords.check(RecordKind::Relay, &changed, NOW),
        Err(BadRecord::Signature)
    );
    let later = NOW + Duration::from_days(2);
    assert_eq!(
        SignedRecords.check(RecordKind::Relay, &relay.1, later),
        Err(BadRecord::Expired)
    );
    let mut node = node();
    let record = plain(RecordKind::Relay, 1, 1, NOW + Duration::from_hours(9));
    assert_eq!(
        store(&mut node, RecordKind::Account, &record, None).outcome,
        StoreOutcome::Bad
    );
    // One key, two spaces.
    assert_eq!(
        store(&mut node, RecordKind::Relay, &record, None).outcome,
        StoreOutcome::Stored
    );
    assert!(node.store().get(&account_id(1)).is_none());
}

fn info() -> RelayInfo {
    RelayInfo {
        urls: vec![super::support::url()],
        operator: "test".into(),
        region: String::new(),
        software: "test".into(),
        max_connections: 1,
        features: crate::onion::Features::ALL,
    }
}

fn relay_record(info: &RelayInfo) -> (NodeId, Vec<u8>) {
    let key = SigningKey::random(&mut rng(4));
    let signer = RelaySigner::certify(&account_rsa(0), key, &mut rng(5)).unwrap();
    let onion = OnionKey {
        suite: 1,
        epoch: Epoch::at(NOW),
        key: vec![9; 32],
    };
    let publication = Publication {
        sequence: NOW.as_ms(),
        from: NOW,
        until: NOW + Duration::from_hours(12),
    };
    let descriptor = signer.sign_descriptor(info, &[onion], publication).unwrap();
    (signer.node(), descriptor.bytes().to_vec())
}

/// A relay that knows one other, and asks it for a record: the id of its question.
fn asking(node: &mut super::support::PlainNode) -> MessageId {
    let rng = &mut rng(1);
    node.handle_verified(&verified(&contact(1)), NOW, rng);
    node.find_value(account_id(1), NOW, rng).unwrap();
    let ask = core::iter::from_fn(|| node.poll()).find_map(|output| match output {
        Output::Ask(_, frame) => Some(decode_frame(&frame).unwrap().id),
        _ => None,
    });
    ask.unwrap()
}

fn value_found(node: &mut super::support::PlainNode) -> Option<bool> {
    core::iter::from_fn(|| node.poll()).find_map(|output| match output {
        Output::Done(_, crate::dht::Answer::Found(outcome)) => Some(outcome.value.is_some()),
        _ => None,
    })
}

fn value_reply(id: MessageId, record: &[u8]) -> Vec<u8> {
    Reply::Value(ValueReply {
        record: DhtRecordBytes::new(record).unwrap(),
        contacts: Contacts::default(),
        proof: None,
    })
    .encode(id)
}

#[test]
fn fault_18_an_answer_with_another_keys_record_is_no_answer() {
    let expires = NOW + Duration::from_days(1);
    let forged = [&account(1, 1)[..37], b"evil"].concat();
    for record in [
        account(2, 9),
        plain(RecordKind::Relay, 1, 9, expires),
        plain(RecordKind::Account, 1, 9, NOW),
        forged,
        b"garbage".to_vec(),
    ] {
        let mut node = node();
        let id = asking(&mut node);
        handle(&mut node, &peer(1), &value_reply(id, &record));
        assert_eq!(value_found(&mut node), Some(false));
    }
    let mut node = node();
    let id = asking(&mut node);
    handle(&mut node, &peer(1), &value_reply(id, &account(1, 1)));
    assert_eq!(value_found(&mut node), Some(true));
}

#[test]
fn fault_18_nobody_answers_for_somebody_else() {
    let mut node = node();
    let id = asking(&mut node);
    let answer = value_reply(id, &account(1, 1));
    handle(&mut node, &peer(2), &answer);
    assert_eq!(value_found(&mut node), None, "another relay");
    handle(&mut node, &peer(1), &value_reply(ID, &account(1, 1)));
    assert_eq!(value_found(&mut node), None, "another question");
    handle(&mut node, &peer(1), &answer);
    assert_eq!(value_found(&mut node), Some(true));
    handle(&mut node, &peer(1), &answer);
    assert_eq!(value_found(&mut node), None, "a second time");
}

#[test]
fn fault_18_what_a_disk_has_spoilt_is_not_passed_on() {
    let mut node = node();
    store(&mut node, RecordKind::Account, &account(1, 1), None);
    let find = Request::FindValue(FindValueRequest {
        kind: RecordKind::Account,
        key: account_id(1).key,
    });
    handle(&mut node, &peer(1), &find.encode(ID));
    let ticket = core::iter::from_fn(|| node.poll()).find_map(|output| match output {
        Output::Read(ticket, _) => Some(ticket),
        _ => None,
    });
    node.handle_read(ticket.unwrap(), Some(account(2, 1)), NOW, &mut rng(1));
    let outputs: Vec<_> = core::iter::from_fn(|| node.poll()).collect();
    assert!(
        outputs.contains(&Output::Remove(account_id(1))),
        "{outputs:?}"
    );
    assert!(outputs.iter().any(|output| match output {
        Output::Answer(_, frame) => matches!(reply_of(frame), Reply::Nodes(_)),
        _ => false,
    }));
    assert!(node.store().is_empty());
}

#[test]
fn a_record_is_said_to_be_stored_once_it_is_on_disk() {
    let mut node = node();
    let request = Request::Store(StoreRequest {
        kind: RecordKind::Account,
        record: DhtRecordBytes::new(account(1, 1)).unwrap(),
        proof: None,
    });
    handle(&mut node, &peer(1), &request.encode(ID));
    let outputs: Vec<_> = core::iter::from_fn(|| node.poll()).collect();
    let mut ticket = None;
    for output in outputs {
        match output {
            Output::Write(of, id, _, bytes) => {
                assert_eq!((id, bytes), (account_id(1), account(1, 1)));
                ticket = Some(of);
            }
            Output::Answer(..) => panic!("too early"),
            _ => {}
        }
    }
    assert!(node.store().is_empty());
    node.handle_written(ticket.unwrap(), false, NOW, &mut rng(1));
    let Some(Output::Answer(_, frame)) = node.poll() else {
        panic!("no answer");
    };
    assert_eq!(
        reply_of(&frame),
        Reply::Stored(StoredReply::of(StoreOutcome::Busy))
    );
    assert_eq!(
        store(&mut node, RecordKind::Account, &account(1, 1), None).outcome,
        StoreOutcome::Stored
    );
}

#[test]
fn fault_19_a_store_comes_from_a_proven_relay_and_null_contacts_are_malformed() {
    // There is no sender in a body: it is whoever the link has proven. What is null or missing is refused.
    let mut node = node();
    let bodies: [(Tag, &[u8]); 9] = [
        (Tag::DhtStore, &[0xA0]),
        (Tag::DhtStore, &[0xA2, 0, 2, 1, 0xF6]),
        (Tag::DhtStore, &[0xF6]),
        (Tag::DhtNodes, &[0xA1, 0, 0x81, 0xF6]),
        (Tag::DhtNodes, &[0xA1, 0, 0xF6]),
        (
            Tag::DhtNodes,
            &[0xA1, 0, 0x81, 0xA3, 0, 0xF6, 1, 0xF6, 2, 0xF6],
        ),
        (Tag::DhtValue, &[0xA2, 0, 0xF6, 1, 0x80]),
        (Tag::DhtFindNode, &[0xA1, 0, 0xF6]),
        (Tag::DhtFindValue, &[0xA2, 0, 9, 1, 0x40]),
    ];
    for (tag, body) in bodies {
        let frame = encode_frame(tag, ID, body);
        let frame = decode_frame(&frame).unwrap();
        let result = node.handle_frame(&peer(1), &frame, NOW, &mut rng(1));
        assert!(result.is_err(), "{} {body:?}", tag.name());
    }
    assert_eq!(node.poll(), None);
    // A relay that was not dialed back is served and stays out of the table.
    handle(
        &mut node,
        &Peer::Linked(node_id(3)),
        &Request::Ping(Default::default()).encode(ID),
    );
    assert!(matches!(node.poll(), Some(Output::Answer(..))));
    assert!(node.table().is_empty());
}

#[test]
fn fault_20_contacts_that_somebody_names_do_not_enter_the_table() {
    let mut node = node();
    let id = asking(&mut node);
    let contacts = Contacts::new((10..10 + K as u32).map(contact).collect()).unwrap();
    handle(
        &mut node,
        &peer(1),
        &Reply::Nodes(NodesReply { contacts }).encode(id),
    );
    assert_eq!(
        node.table()
            .contacts()
            .map(|c| c.node())
            .collect::<Vec<_>>(),
        [node_id(1)]
    );
    // They are asked, at most α at a time, and only whoever is where it says gets in.
    let asked: Vec<_> = core::iter::from_fn(|| node.poll())
        .filter_map(|o| match o {
            Output::Ask(to, _) => Some(to),
            _ => None,
        })
        .collect();
    assert!((1..=crate::dht::ALPHA).contains(&asked.len()));
    node.handle_unreachable(&asked[0], NOW, &mut rng(1));
    assert_eq!(node.table().len(), 1);
}

#[test]
fn fault_20_a_record_that_many_are_nearer_to_is_refused() {
    let mut node = node();
    let target = account_id(1).position();
    let mine = contact(0).position().to(&target);
    let nearer = (1..)
        .map(contact)
        .filter(|c| c.position().to(&target) < mine);
    for contact in nearer.take(8 * K) {
        node.handle_verified(&verified(&contact), NOW, &mut rng(1));
    }
    let nearer = node.table().nearer_than_me(&target, usize::MAX);
    let outcome = store(&mut node, RecordKind::Account, &account(1, 1), None).outcome;
    assert_eq!(outcome == StoreOutcome::Far, nearer >= 2 * K, "{nearer}");
    assert!(nearer >= 2 * K, "the test needs more of them");
}

/// Wants a proof that says how much it is worth.
struct Priced(u32);

impl Admission for Priced {
    fn is_worth(&self, _: &Facts, _: &[u8], proof: &Proof) -> bool {
        proof
            .first()
            .is_some_and(|worth| u32::from(*worth) >= self.0)
    }

    fn admit(&mut self, application: &Application<'_>, _: Timestamp) -> Result<(), Cost> {
        application.proof.map(|_| ()).ok_or(Cost(self.0))
    }
}

#[test]
fn fault_20_storage_has_its_price() {
    let mut node = Node::new(contact(0), NodeConfig::default(), Plain, Priced(7), NOW);
    let refused = store(&mut node, RecordKind::Account, &account(1, 1), Some(&[6]));
    assert_eq!(
        (refused.outcome, refused.cost),
        (StoreOutcome::Costs, Some(Cost(7)))
    );
    assert_eq!(
        store(&mut node, RecordKind::Account, &account(1, 1), Some(&[7])).outcome,
        StoreOutcome::Stored
    );
    let proof = node.store().get(&account_id(1)).unwrap().proof.clone();
    assert_eq!(
        proof.as_deref(),
        Some(&[7][..]),
        "it goes on with the record"
    );
    node.admission().0 = 9;
    assert_eq!(
        store(&mut node, RecordKind::Account, &account(2, 1), Some(&[7])).cost,
        Some(Cost(9))
    );
}

#[test]
fn replies_name_others_and_never_who_asks() {
    let mut node = node();
    for n in 1..=3 {
        node.handle_verified(&verified(&contact_in(n, n)), NOW, &mut rng(1));
    }
    let target = *contact(1).position();
    handle(
        &mut node,
        &peer(1),
        &Request::FindNode(crate::dht::FindNodeRequest { target }).encode(ID),
    );
    let reply = core::iter::from_fn(|| node.poll()).find_map(|o| match o {
        Output::Answer(_, frame) => Some(reply_of(&frame)),
        _ => None,
    });
    let Some(Reply::Nodes(nodes)) = reply else {
        panic!("{reply:?}");
    };
    let mut named: Vec<_> = nodes.contacts.iter().map(|c| c.node()).collect();
    named.sort_unstable();
    assert_eq!(named, [node_id(2), node_id(3)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Frames of every DHT type with any body, in any order, from anybody: no panic, and bounds hold.
    #[test]
    fn garbage_is_survived(
        frames in proptest::collection::vec((0x30u16..0x38, proptest::collection::vec(any::<u8>(), 0..60), 0u32..5), 0..60),
    ) {
        let (mut node, mut rng) = (node(), rng(1));
        for (tag, body, from) in frames {
            let tag = Tag::try_from(tag).unwrap();
            let frame = encode_frame(tag, ID, &body[..body.len().min(tag.max_payload())]);
            let _ = node.handle_frame(&peer(from), &decode_frame(&frame).unwrap(), NOW, &mut rng);
            while node.poll().is_some() {}
        }
        prop_assert!(node.table().len() <= 4);
    }
}
