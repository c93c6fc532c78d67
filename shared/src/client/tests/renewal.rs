//! What happens without a swarm, and when sessions are lost.

use std::collections::BTreeSet;

use super::people::*;
use super::*;
use crate::client::Command;
use crate::client::api::{Internal, Step};
use crate::client::records::{ContactRow, meta};
use crate::client::sealing::{index_key, record_key};
use crate::client::store::Table;
use crate::client::view::{Direction, MessageState, MessageView, Notice, Verification};
use crate::id::{Address, DeviceId};
use crate::identity::ContactCode;
use crate::session::{MAX_ARCHIVED, PeerDevice, SessionRecord};
use crate::test_support::rng;
use crate::time::{CLOCK_AHEAD, Duration};
use crate::wire::codec::to_secret_cbor;
use crate::x3dh::PreKeySecrets;

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
fn a_lost_session_is_begun_anew_once_and_people_are_told() {
    let (mut ada, mut bob, a, b) = acquainted();
    lose_sessions(&mut bob);
    for number in 3..6 {
        send(&mut ada, b, number, NOW);
        deliver(&mut ada, &mut bob, NOW);
    }
    assert_eq!(texts(&bob, a).len(), 2, "what came cannot be opened");
    assert_eq!(notices(&bob, a), 0, "nothing is begun yet");
    assert!(wants_anew(&bob, &ada));
    // The new session makes up for what was lost, each text once.
    start(&mut bob, &ada, later(Duration::from_mins(1)));
    step(&mut bob, Step::Seal(a), NOW);
    deliver(&mut bob, &mut ada, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all = ["text 1", "text 2", "text 3", "text 4", "text 5"];
    assert_eq!(texts(&bob, a), all);
    assert_eq!(texts(&ada, b), all);
    assert_eq!((notices(&bob, a), notices(&ada, b)), (1, 1));
}

/// Whether a session of `host` with the other one's device is to be begun anew.
fn wants_anew(host: &Host, other: &Host) -> bool {
    let contacts = &host.client.contacts;
    let device = other.client.me.device.id();
    contacts.wish(&address(other), &device).is_some()
}

/// `host` begins a session anew, and both send what they owe each other.
fn begin_anew(host: &mut Host, other: &mut Host, now: Timestamp) {
    let (of_host, of_other) = (address(host), address(other));
    start(host, other, now);
    step(host, Step::Seal(of_other), now);
    deliver(host, other, now);
    step(other, Step::Seal(of_host), now);
    deliver(other, host, now);
}

/// What calls for a new session is acknowledged, and may be the last that the peer writes for long.
#[test]
fn a_session_that_could_not_be_begun_yet_is_wanted_after_a_restart() {
    let (mut ada, mut bob, a, b) = acquainted();
    lose_sessions(&mut bob);
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    for _ in 0..2 {
        bob.restart();
        assert!(wants_anew(&bob, &ada));
        assert_eq!(bob.client.lookups.due(NOW), [a], "it is looked for at once");
    }
    begin_anew(&mut bob, &mut ada, later(Duration::from_mins(1)));
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3"]);
    assert_eq!(notices(&bob, a), 1);
    for _ in 0..2 {
        assert!(!wants_anew(&bob, &ada), "it was begun");
        bob.restart();
        assert!(bob.client.lookups.due(NOW).is_empty());
    }
}

#[test]
fn a_beginning_that_was_not_committed_is_still_wanted() {
    let (mut ada, mut bob, a, b) = acquainted();
    lose_sessions(&mut bob);
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    let begin = Step::StartSession(Box::new(bundle(&ada)));
    let batch = bob.uncommitted(Input::Internal(Internal(begin)), NOW);
    assert!(!batch.writes.is_empty() && !wants_anew(&bob, &ada));
    bob.restart();
    assert!(wants_anew(&bob, &ada));
    assert_eq!((notices(&bob, a), notices(&ada, b)), (0, 0));
}

#[test]
fn what_calls_for_a_new_session_is_known_again_only_once_the_wish_is_stored() {
    let (mut ada, mut bob, _, b) = acquainted();
    lose_sessions(&mut bob);
    send(&mut ada, b, 3, NOW);
    let mut flying = in_flight(&ada, &bob);
    let (_, id, bytes) = flying.pop().unwrap();
    assert!(flying.is_empty());
    let member = MEMBER;
    let envelope = Step::Envelope { member, id, bytes };
    let batch = bob.uncommitted(Input::Internal(Internal(envelope)), NOW);
    let is_put = |table| {
        let mut writes = batch.writes.iter();
        writes.any(|write| matches!(write, Write::Put(row) if row.key.table == table))
    };
    assert!(is_put(Table::Seen) && is_put(Table::Contact), "one batch");
    bob.restart();
    assert!(!wants_anew(&bob, &ada), "the commit failed");
    deliver(&mut ada, &mut bob, NOW);
    assert!(wants_anew(&bob, &ada));
}

/// Nothing is begun with somebody whose keys the person has yet to accept; but it is not forgotten either.
#[test]
fn a_blocked_contact_gets_the_new_session_once_the_person_accepts() {
    let (mut ada, mut bob, a, b) = acquainted();
    let change = |row: &mut ContactRow| row.verification = Some(Verification::Changed);
    let write = bob.client.contacts.update(&a, change);
    commit(&mut bob.rows, write.into_iter().collect());
    lose_sessions(&mut bob);
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    for _ in 0..2 {
        assert!(wants_anew(&bob, &ada));
        assert!(bob.client.lookups.due(NOW).is_empty(), "not yet");
        bob.restart();
    }
    let accept = Command::AcceptKeys { address: a };
    bob.turn(Input::Command(accept), NOW);
    assert_eq!(bob.client.lookups.due(NOW), [a]);
    begin_anew(&mut bob, &mut ada, NOW);
    assert!(!wants_anew(&bob, &ada));
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3"]);
}

#[test]
fn a_wish_is_written_when_it_is_news_and_is_for_known_devices_only() {
    let (ada, mut bob, a, _) = acquainted();
    let device = ada.client.me.device.id();
    let peer = PeerDevice { address: a, device };
    let contacts = &mut bob.client.contacts;
    let soon = later(Duration::from_secs(1));
    assert!(contacts.want_anew(&peer, soon).is_some());
    assert!(contacts.want_anew(&peer, soon).is_none(), "no news");
    assert!(contacts.want_anew(&peer, NOW).is_none(), "an earlier time");
    assert_eq!(contacts.wish(&a, &device), Some(soon));
    let device = DeviceId::from_bytes([9; 16]);
    let unknown = PeerDevice { address: a, device };
    assert!(contacts.want_anew(&unknown, NOW).is_none());
}

/// Who has lost a session sends again, too: whoever still has one may be nobody.
#[test]
fn fault_06_a_text_comes_again_although_both_have_lost_its_session() {
    let (mut ada, mut bob, a, b) = acquainted();
    send(&mut ada, b, 3, NOW);
    lose_sessions(&mut bob);
    deliver(&mut ada, &mut bob, NOW);
    assert!(wants_anew(&bob, &ada));
    lose_sessions(&mut ada);
    begin_anew(&mut bob, &mut ada, NOW);
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3"]);
}

#[test]
fn fault_06_a_text_comes_again_when_its_sender_has_lost_its_session_and_begins_another() {
    let (mut ada, mut bob, a, b) = acquainted();
    send(&mut ada, b, 3, NOW);
    lose_sessions(&mut bob);
    deliver(&mut ada, &mut bob, NOW);
    lose_sessions(&mut ada);
    send(&mut ada, b, 4, NOW);
    start(&mut ada, &bob, NOW);
    step(&mut ada, Step::Seal(b), NOW);
    deliver(&mut ada, &mut bob, NOW);
    let all = ["text 1", "text 2", "text 3", "text 4"];
    assert_eq!(texts(&bob, a), all);
    let copies = in_flight(&ada, &bob);
    assert!(copies.is_empty(), "each was sealed once");
}

/// Ada's first message in a session cannot be opened: what she wrote in it comes again in Bob's.
#[test]
fn a_text_in_a_session_that_was_never_opened_comes_again() {
    let (mut ada, mut bob, a, b) = acquainted();
    let of_bob = bob.client.me.device.id();
    want_anew(&mut ada, b, of_bob, NOW);
    start(&mut ada, &bob, NOW);
    bob.rows.remove(&meta::prekeys());
    bob.restart();
    send(&mut ada, b, 3, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(texts(&bob, a), ["text 1", "text 2"], "no prekey opens it");
    assert!(wants_anew(&bob, &ada));
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
        want_anew(&mut ada, b, of_bob, NOW);
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
fn whoever_sends_what_cannot_be_opened_provokes_three_sessions_and_then_one_a_day() {
    let (ada, mut bob, a, _) = acquainted();
    let device = ada.client.me.device.id();
    let peer = PeerDevice { address: a, device };
    let hours = |hours| later(Duration::from_hours(hours));
    for (now, begins) in [
        (hours(0), true),
        (hours(1), true),
        (hours(1), true),
        (hours(2), false),
        (hours(23), false),
        (hours(24), true),
        (hours(24), false),
        (hours(47), false),
        (hours(48), true),
        (hours(200), true),
        (hours(200), true),
        (hours(200), true),
        (hours(200), false),
    ] {
        let contacts = &mut bob.client.contacts;
        let write = contacts.want_anew(&peer, now);
        let wants = contacts.wants_anew(&a, &device, now).is_some();
        assert_eq!(wants, begins, "{now:?}");
        assert!(contacts.wish(&a, &device).is_some(), "none is forgotten");
        let renewed = begins.then(|| contacts.renewed(&peer, now)).flatten();
        commit(&mut bob.rows, write.into_iter().chain(renewed).collect());
        bob.restart();
    }
}

#[test]
fn a_clock_that_was_a_year_ahead_holds_no_new_session_back() {
    let (ada, mut bob, a, _) = acquainted();
    let device = ada.client.me.device.id();
    let peer = PeerDevice { address: a, device };
    let contacts = &mut bob.client.contacts;
    for _ in 0..3 {
        contacts.renewed(&peer, later(Duration::from_days(365)));
    }
    contacts.want_anew(&peer, NOW);
    assert!(contacts.wants_anew(&a, &device, NOW).is_some());
}

/// What calls for one session too many is acknowledged all the same: the wish waits, and what was written comes then.
#[test]
fn a_text_in_a_session_that_is_lost_once_too_often_comes_a_day_later() {
    let (mut ada, mut bob, a, b) = acquainted();
    settle(&mut ada);
    for number in 3..6 {
        // Of two sessions begun in one millisecond chance decides which is the newer one.
        let now = later(Duration::from_secs(number.into()));
        lose_sessions(&mut bob);
        send(&mut ada, b, number, now);
        deliver(&mut ada, &mut bob, now);
        begin_anew(&mut bob, &mut ada, now);
    }
    assert_eq!(texts(&bob, a).len(), 5);
    lose_sessions(&mut bob);
    send(&mut ada, b, 6, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert!(wants_anew(&bob, &ada));
    let almost = later(Duration::from_hours(24) - Duration::from_ms(1));
    bob.turn(Input::Timer, almost);
    assert!(!bob.client.awaits_renewal(&a, almost), "not yet");
    bob.client.lookups.done(&a);
    let then = later(Duration::from_hours(24) + Duration::from_mins(1));
    bob.turn(Input::Timer, then);
    assert_eq!(bob.client.lookups.due(then), [a]);
    begin_anew(&mut bob, &mut ada, then);
    assert_eq!(texts(&bob, a).last().map(String::as_str), Some("text 6"));
    assert!(!wants_anew(&bob, &ada));
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

/// A stranger's first message that is sealed to prekeys which are gone: its recipient knows nobody to answer.
#[test]
fn a_session_that_a_peer_who_was_there_has_not_answered_is_begun_anew_when_something_is_written_in_it()
 {
    let (mut ada, mut bob) = pair();
    let (a, b) = (address(&ada), address(&bob));
    settle(&mut ada);
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    // Bob has others since, which serve after this.
    let mut rng = rng(41);
    let fresh = PreKeySecrets::random(NOW, &mut rng);
    bob.rows.get_mut(&meta::prekeys()).unwrap().value = to_secret_cbor(&fresh);
    bob.restart();
    send(&mut ada, b, 1, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert!(texts(&bob, a).is_empty());

    // Bob has been away as far as Ada knows: the same key, whenever she writes.
    let days_later = later(Duration::from_days(5));
    send(&mut ada, b, 2, days_later);
    assert!(!wants_anew(&ada, &bob));
    deliver(&mut ada, &mut bob, days_later);

    // The maker's clock may have been ahead by a day. A key of later than that: he was there.
    let original = bob.client.me.device.clone();
    let sooner = later(CLOCK_AHEAD);
    for (made, number) in [(sooner, 3), (sooner + Duration::from_ms(1), 4)] {
        let mut device = original.clone();
        // None is due: only after one that a wrong clock made is there another at once.
        for time in [later(Duration::from_days(30)), made] {
            assert!(device.sealing_mut().rotate(time, &mut rng));
        }
        bob.client.me.device = device;
        let shown = bundle(&bob).device;
        assert_eq!(shown.sealing_key.created(), made);
        let contacts = &mut ada.client.contacts;
        contacts.set_device(&b, &bob.client.me.keys, &shown);
        send(&mut ada, b, number, days_later);
        assert_eq!(wants_anew(&ada, &bob), number == 4);
        deliver(&mut ada, &mut bob, days_later);
    }
    assert!(texts(&bob, a).is_empty());
    begin_anew(&mut ada, &mut bob, days_later);
    assert_eq!(texts(&bob, a), ["text 1", "text 2", "text 3", "text 4"]);
    assert_eq!(notices(&ada, b), 1);
    assert!(!wants_anew(&ada, &bob));
}

#[test]
fn two_who_begin_at_once_are_told_nothing_and_are_no_strangers() {
    for ada_is_first in [true, false] {
        let (mut ada, mut bob) = pair();
        let (a, b) = (address(&ada), address(&bob));
        for host in [&mut ada, &mut bob] {
            settle(host);
        }
        let code = ContactCode::parse(&ada.client.me().code).unwrap();
        let name = None;
        bob.turn(Input::Command(Command::AddContact { code, name }), NOW);
        start(&mut ada, &bob, NOW);
        start(&mut bob, &ada, NOW);
        send(&mut ada, b, 1, NOW);
        send(&mut bob, a, 2, NOW);
        if !ada_is_first {
            deliver(&mut bob, &mut ada, NOW);
            step(&mut ada, Step::Seal(b), NOW);
        }
        for _ in 0..2 {
            deliver(&mut ada, &mut bob, NOW);
            step(&mut bob, Step::Seal(a), NOW);
            deliver(&mut bob, &mut ada, NOW);
            step(&mut ada, Step::Seal(b), NOW);
        }
        assert!(texts(&bob, a).contains(&"text 1".to_owned()));
        assert!(texts(&ada, b).contains(&"text 2".to_owned()));
        assert_eq!((notices(&ada, b), notices(&bob, a)), (0, 0));
        let secrets = [(&ada, b), (&bob, a)]
            .map(|(host, of)| host.client.contacts.write_secret(&of).is_some());
        assert_eq!(
            secrets,
            [true, true],
            "the session that was given up was not alone in having it"
        );
    }
}
