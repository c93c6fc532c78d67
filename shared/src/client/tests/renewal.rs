//! Two engines that exchange envelopes by hand: what happens without a swarm, and when sessions are lost.

use super::*;
use crate::client::api::{Internal, Step};
use crate::client::lookup::StartSession;
use crate::client::records::{OutboxRow, meta};
use crate::client::store::Table;
use crate::client::view::{Direction, MessageState, MessageView};
use crate::client::{Command, Query};
use crate::id::{Address, MessageId, NodeId};
use crate::identity::ContactCode;
use crate::rpc::{EnvelopeBytes, MailboxDescriptor, PublishedDevice};
use crate::session::PeerDevice;
use crate::time::Duration;
use crate::wire::codec::from_cbor;
use crate::x3dh::{PreKeySecrets, UnverifiedBundle};

const MEMBER: NodeId = NodeId::from_bytes([5; 20]);

fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

fn later(by: Duration) -> Timestamp {
    NOW.saturating_add(by)
}

fn address(host: &Host) -> Address {
    host.client.me.address
}

fn descriptor(host: &Host) -> MailboxDescriptor {
    let key = host.client.me.device.mailbox();
    MailboxDescriptor::sign(key, 1, vec![MEMBER], 1, NOW).unwrap()
}

fn step(host: &mut Host, step: Step, now: Timestamp) {
    host.turn(Input::Internal(Internal(step)), now);
}

fn send(host: &mut Host, to: Address, number: u8, now: Timestamp) {
    let command = Command::Send {
        address: to,
        id: id(number),
        text: format!("text {number}"),
    };
    host.turn(Input::Command(command), now);
    step(host, Step::Seal(to), now);
}

/// Two people, the first of whom has added the second.
fn pair() -> (Host, Host) {
    let (mut ada, bob) = (Host::new(0), Host::new(1));
    let code = ContactCode::parse(&bob.client.me().code).unwrap();
    let name = Some("Bob".into());
    ada.turn(Input::Command(Command::AddContact { code, name }), NOW);
    (ada, bob)
}

/// Gives a host a swarm, as if it had found relays.
fn settle(host: &mut Host) {
    let write = host.client.mailbox.moved(descriptor(host), NOW);
    commit(&mut host.rows, vec![write]);
}

/// What `host` publishes, and a bundle of it.
fn bundle(host: &Host) -> StartSession {
    let me = &host.client.me;
    let sealing_key = me.device.sealing().current().publish(me.device.signing());
    let prekeys = &host.rows[&meta::prekeys()].value;
    let prekeys: PreKeySecrets = from_cbor(prekeys, 1 << 20).unwrap();
    let bundle = UnverifiedBundle {
        base: prekeys.base(me.device.signing(), &me.certificate),
        one_time: None,
    };
    StartSession {
        address: me.address,
        device: PublishedDevice {
            certificate: me.certificate.clone(),
            sealing_key: sealing_key.verify(&me.certificate).unwrap(),
            mailbox: descriptor(host),
        },
        bundle: bundle.verify(&me.certificate, NOW).unwrap(),
    }
}

/// `host` has looked `peer` up.
fn start(host: &mut Host, peer: &Host, now: Timestamp) {
    let start = bundle(peer);
    let (keys, device) = (&peer.client.me.keys, &start.device);
    let contacts = &mut host.client.contacts;
    contacts.set_device(&start.address, keys, device);
    step(host, Step::StartSession(Box::new(start)), now);
}

/// Hands everything that `from` has sealed to `to`, and tells `from` that it is held.
fn deliver(from: &mut Host, to: &mut Host, now: Timestamp) {
    let sealed = from
        .rows
        .values()
        .filter(|row| row.key.table == Table::Outbox);
    let rows: Vec<_> = sealed.map(|row| OutboxRow::decode(row).unwrap()).collect();
    let mut items = Vec::new();
    let mut envelopes = BTreeMap::new();
    for row in rows {
        match row {
            OutboxRow::Item(item) => items.push(item),
            OutboxRow::Envelope(id, bytes) => drop(envelopes.insert(id, bytes)),
        }
    }
    for item in items {
        for entry in &item.envelopes {
            let bytes: Box<EnvelopeBytes> = envelopes[&entry.id].clone();
            let envelope = Step::Envelope {
                member: MEMBER,
                id: entry.id,
                bytes,
            };
            step(to, envelope, now);
            let name = (item.address, item.id);
            let (writes, _) = from.client.outbox.held(&name, &entry.id, 1, 1);
            commit(&mut from.rows, writes);
        }
    }
}

fn talk(host: &Host, with: Address) -> Vec<MessageView> {
    let query = Query::Messages {
        address: with,
        before: None,
        limit: 100,
    };
    let rows = host.scan(&query.scan());
    host.client.messages(&rows, 100).messages
}

/// Sorted: no time passes between them.
fn texts(host: &Host, with: Address) -> Vec<String> {
    let texts = talk(host, with).into_iter().map(|view| view.text);
    let mut texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    texts.sort();
    texts
}

fn notices(host: &Host, with: Address) -> usize {
    let talk = talk(host, with);
    let notice = |view: &&MessageView| view.direction == Direction::Notice;
    talk.iter().filter(notice).count()
}

fn lose_sessions(host: &mut Host) {
    host.rows.retain(|key, _| key.table != Table::Session);
    host.restart();
}

/// Ada and Bob, who have written to each other.
fn acquainted() -> (Host, Host, Address, Address) {
    let (mut ada, mut bob) = pair();
    let (a, b) = (address(&ada), address(&bob));
    settle(&mut ada);
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    send(&mut ada, b, 1, NOW);
    deliver(&mut ada, &mut bob, NOW);
    send(&mut bob, a, 2, NOW);
    deliver(&mut bob, &mut ada, NOW);
    assert_eq!(texts(&ada, b), ["text 1", "text 2"]);
    assert_eq!(texts(&bob, a), ["text 1", "text 2"]);
    (ada, bob, a, b)
}

#[test]
fn a_text_that_is_written_before_there_is_a_swarm_waits_for_it() {
    let (mut ada, mut bob) = pair();
    let (a, b) = (address(&ada), address(&bob));
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    send(&mut ada, b, 1, NOW);
    let waits = |view: &MessageView| {
        matches!(
            view.direction,
            Direction::Out(MessageState::Sending(Some(_)))
        )
    };
    assert!(talk(&ada, b).iter().all(waits), "{:?}", talk(&ada, b));
    settle(&mut ada);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a), ["text 1"]);
}

#[test]
fn a_lost_session_is_begun_anew_once_a_day_and_people_are_told() {
    let (mut ada, mut bob, a, b) = acquainted();
    lose_sessions(&mut bob);
    for number in 3..6 {
        send(&mut ada, b, number, NOW);
        deliver(&mut ada, &mut bob, NOW);
    }
    assert_eq!(texts(&bob, a).len(), 2, "what came cannot be opened");
    assert_eq!(notices(&bob, a), 1, "told once, not three times");
    let device = ada.client.me.device.id();
    assert!(bob.client.lookups.wants_anew(&a, &device));
    // The new session makes up for what was lost, each text once.
    start(&mut bob, &ada, NOW);
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all = ["text 1", "text 2", "text 3", "text 4", "text 5"];
    assert_eq!(texts(&bob, a), all);
    assert_eq!(texts(&ada, b), all);
    assert_eq!(notices(&ada, b), 0);
}

#[test]
fn a_device_restored_from_a_copy_begins_one_session_anew_and_people_are_told() {
    let (mut ada, mut bob, a, b) = acquainted();
    let is_session = |row: &&Row| row.key.table == Table::Session;
    let copy: Vec<_> = bob.rows.values().filter(is_session).cloned().collect();
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    send(&mut bob, a, 4, NOW);
    deliver(&mut bob, &mut ada, NOW);
    bob.rows.retain(|key, _| key.table != Table::Session);
    for row in copy {
        bob.rows.insert(row.key.clone(), row);
    }
    bob.restart();
    for number in 5..8 {
        send(&mut ada, b, number, NOW);
        deliver(&mut ada, &mut bob, NOW);
    }
    assert_eq!(texts(&bob, a).len(), 4, "what came does not decrypt");
    assert_eq!(notices(&bob, a), 1, "told once, not three times");
    start(&mut bob, &ada, NOW);
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all: Vec<_> = (1..8).map(|number| format!("text {number}")).collect();
    assert_eq!(texts(&bob, a), all);
    assert_eq!(texts(&ada, b), all);
}

#[test]
fn lost_prekeys_cost_no_session() {
    let (mut ada, mut bob, a, b) = acquainted();
    bob.rows.remove(&meta::prekeys());
    bob.restart();
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a).len(), 3);
    assert_eq!(notices(&bob, a), 0);
}

#[test]
fn whoever_sends_what_cannot_be_opened_provokes_one_session_a_day() {
    let (ada, mut bob, a, _) = acquainted();
    let peer = PeerDevice {
        address: a,
        device: ada.client.me.device.id(),
    };
    let contacts = &mut bob.client.contacts;
    let write = contacts.renew(&peer, NOW).unwrap();
    assert!(
        contacts
            .renew(&peer, later(Duration::from_hours(23)))
            .is_none()
    );
    commit(&mut bob.rows, vec![write]);
    bob.restart();
    let contacts = &mut bob.client.contacts;
    assert!(
        contacts
            .renew(&peer, later(Duration::from_hours(23)))
            .is_none()
    );
    assert!(
        contacts
            .renew(&peer, later(Duration::from_hours(24)))
            .is_some()
    );
    let stranger = PeerDevice {
        address: Address::from_bytes([9; 32]),
        ..peer
    };
    assert!(contacts.renew(&stranger, NOW).is_none(), "strangers never");
}

#[test]
fn a_text_that_comes_twice_is_shown_once_and_confirmed_again() {
    let (mut ada, mut bob, a, b) = acquainted();
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    // Bob's receipt is lost with his session.
    let rows = bob.rows.keys().filter(|key| key.table == Table::Outbox);
    let lost: Vec<_> = rows.cloned().collect();
    lost.iter().for_each(|key| drop(bob.rows.remove(key)));
    bob.restart();
    let again = Step::Resend {
        address: b,
        ids: ada.client.outbox.unconfirmed(&b),
    };
    step(&mut ada, again, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3"]);
    let soon = later(Duration::from_secs(1));
    bob.turn(Input::Timer, soon);
    step(&mut bob, Step::Seal(a), soon);
    deliver(&mut bob, &mut ada, soon);
    let view = talk(&ada, b).into_iter().find(|view| view.id == id(3));
    let state = view.map(|view| view.direction);
    assert!(
        matches!(state, Some(Direction::Out(MessageState::Delivered(_)))),
        "{state:?}"
    );
    assert!(ada.client.outbox.unconfirmed(&b).is_empty());
}
