//! What happens without a swarm, and when sessions are lost.

use std::collections::BTreeSet;

use super::people::*;
use super::*;
use crate::client::api::Step;
use crate::client::records::meta;
use crate::client::sealing::{index_key, record_key};
use crate::client::store::Table;
use crate::client::view::{Direction, MessageState, MessageView, Notice};
use crate::id::Address;
use crate::session::{MAX_ARCHIVED, PeerDevice, SessionRecord};
use crate::time::Duration;

fn notices(host: &Host, with: Address) -> usize {
    let talk = talk(host, with);
    let renewed = Direction::Notice(Notice::SessionRenewed);
    let notice = |view: &&MessageView| view.direction == renewed;
    talk.iter().filter(notice).count()
}

fn lose_sessions(host: &mut Host) {
    host.rows.retain(|key, _| key.table != Table::Session);
    host.restart();
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
    assert_eq!(notices(&bob, a), 0, "nothing is begun yet");
    let device = ada.client.me.device.id();
    assert!(bob.client.lookups.wants_anew(&a, &device).is_some());
    // The new session makes up for what was lost, each text once.
    start(&mut bob, &ada, later(Duration::from_mins(1)));
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all = ["text 1", "text 2", "text 3", "text 4", "text 5"];
    assert_eq!(texts(&bob, a), all);
    assert_eq!(texts(&ada, b), all);
    assert_eq!((notices(&bob, a), notices(&ada, b)), (1, 0));
}

/// What calls for a new session may be the last that the peer writes for long: a wish that a restart has undone
/// comes back with the next message, and counts only once it is fulfilled.
#[test]
fn a_session_that_could_not_be_begun_yet_is_wanted_again_after_a_restart() {
    let (mut ada, mut bob, a, b) = acquainted();
    lose_sessions(&mut bob);
    let device = ada.client.me.device.id();
    for number in 3..5 {
        send(&mut ada, b, number, NOW);
        deliver(&mut ada, &mut bob, NOW);
        assert!(bob.client.lookups.wants_anew(&a, &device).is_some());
        bob.restart();
    }
}

/// Ada's first message in a session cannot be opened: what she wrote in it comes again in Bob's.
#[test]
fn a_text_in_a_session_that_was_never_opened_comes_again() {
    let (mut ada, mut bob, a, b) = acquainted();
    let of_bob = bob.client.me.device.id();
    ada.client.lookups.want_anew(b, of_bob, NOW, NOW);
    start(&mut ada, &bob, NOW);
    bob.rows.remove(&meta::prekeys());
    bob.restart();
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a), ["text 1", "text 2"], "no prekey opens it");
    let of_ada = ada.client.me.device.id();
    assert!(bob.client.lookups.wants_anew(&a, &of_ada).is_some());
    start(&mut bob, &ada, NOW);
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3"]);
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
    start(&mut bob, &ada, NOW);
    assert_eq!(notices(&bob, a), 1, "told once, not three times");
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all: Vec<_> = (1..8).map(|number| format!("text {number}")).collect();
    assert_eq!(texts(&bob, a), all);
    assert_eq!(texts(&ada, b), all);
}

#[test]
fn a_session_that_has_ended_is_in_the_index_no_longer() {
    let (mut ada, mut bob, a, b) = acquainted();
    let device = |host: &Host| host.client.me.device.id();
    let (of_ada, of_bob) = (device(&ada), device(&bob));
    for _ in 0..=MAX_ARCHIVED {
        ada.client.lookups.want_anew(b, of_bob, NOW, NOW);
        start(&mut ada, &bob, NOW);
        step(&mut ada, Step::Seal(b), NOW);
        deliver(&mut ada, &mut bob, NOW);
    }
    for (host, peer, device) in [(&ada, b, of_bob), (&bob, a, of_ada)] {
        let key = record_key(&peer, &device);
        let record = SessionRecord::decode(&host.rows[&key].value).unwrap();
        assert_eq!(record.sessions().count(), 1 + MAX_ARCHIVED, "one has ended");
        let index = record.sessions().map(|session| index_key(&session));
        let wanted: BTreeSet<Key> = index.chain([key]).collect();
        let of_sessions = |key: &&Key| key.table == Table::Session;
        let stored: BTreeSet<Key> = host.rows.keys().filter(of_sessions).cloned().collect();
        assert_eq!(stored, wanted);
    }
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
    assert!(contacts.may_renew(&peer, NOW));
    let write = contacts.renewed(&peer, NOW).unwrap();
    assert!(!contacts.may_renew(&peer, later(Duration::from_hours(23))));
    commit(&mut bob.rows, vec![write]);
    bob.restart();
    let contacts = &mut bob.client.contacts;
    assert!(!contacts.may_renew(&peer, later(Duration::from_hours(23))));
    assert!(contacts.may_renew(&peer, later(Duration::from_hours(24))));
    let stranger = PeerDevice {
        address: Address::from_bytes([9; 32]),
        ..peer
    };
    assert!(!contacts.may_renew(&stranger, NOW), "strangers never");
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
