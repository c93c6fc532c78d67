//! Device lists of contacts: rollback, freshness, when they are read again, and what becomes of devices that
//! are gone or new.

use std::collections::BTreeSet;

use super::people::*;
use super::*;
use crate::client::api::Step;
use crate::client::contacts::Contacts;
use crate::client::held::HOLD;
use crate::client::lookup::StartSession;
use crate::client::records::ContactRow;
use crate::client::requests::Purpose;
use crate::client::store::Table;
use crate::client::view::{Notice, Verification};
use crate::client::{Command, Query};
use crate::id::{Address, DeviceId};
use crate::identity::{ContactCode, MailboxSecret};
use crate::rpc::{AccountContents, MailboxDescriptor, PublishedDevice, open_record_contents};
use crate::test_support::rng;
use crate::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// Ada, who has read Bob's list with one device on it; Bob; another device of his; what signs for him.
struct World {
    ada: Host,
    bob: Host,
    second: Host,
    account: Account,
    a: Address,
    b: Address,
}

fn world() -> World {
    let (mut ada, bob, a, b) = acquainted();
    let account = Account::of(&bob, 1);
    let second = account.link(&bob, 77);
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, NOW);
    World {
        ada,
        bob,
        second,
        account,
        a,
        b,
    }
}

impl World {
    /// Ada reads a list with these devices.
    fn read_list(&mut self, sequence: u64, bob: bool, second: bool) -> Vec<Event> {
        let devices: Vec<&Host> = [(bob, &self.bob), (second, &self.second)]
            .into_iter()
            .filter_map(|(listed, host)| listed.then_some(host))
            .collect();
        let list = self.account.list(sequence, &devices);
        let record = self.account.record(&list, &devices, NOW);
        read(&mut self.ada, &record, self.b, NOW)
    }

    /// Ada has sessions with both of Bob's devices, and both have her as a contact.
    fn both() -> Self {
        let mut world = world();
        world.read_list(2, true, true);
        start(&mut world.ada, &world.second, NOW);
        send(&mut world.ada, world.b, 3, NOW);
        deliver(&mut world.ada, &mut world.bob, NOW);
        deliver(&mut world.ada, &mut world.second, NOW);
        assert_eq!(texts(&world.second, world.a), ["text 3"]);
        world
    }

    fn devices(&self) -> Vec<DeviceId> {
        self.ada.client.contacts.sessions(&self.b)
    }

    fn notices(&self) -> usize {
        notices_of(&self.ada, self.b, Notice::KeysChanged)
    }
}

fn device(host: &Host) -> DeviceId {
    host.client.me.device.id()
}

fn rows_of(host: &Host, table: Table) -> usize {
    host.rows.keys().filter(|key| key.table == table).count()
}

fn write(host: &mut Host, to: Address, number: u8, now: Timestamp) {
    let command = Command::Send {
        address: to,
        id: id(number),
        text: format!("text {number}"),
    };
    host.turn(Input::Command(command), now);
}

fn is_sealed(host: &Host, to: Address, number: u8) -> bool {
    let item = host.client.outbox.get(&(to, id(number)));
    item.unwrap().row.body.is_none()
}

fn asks_for_record(purpose: &Purpose) -> bool {
    matches!(purpose, Purpose::FindRecord { .. })
}

fn prekeys_asked(host: &Host) -> usize {
    let asked = host.client.requests.values();
    asked
        .filter(|purpose| matches!(purpose, Purpose::TakePreKeys { .. }))
        .count()
}

/// The bundle of a device that was fetched before there was anything to say is no reason to leave it out.
#[test]
fn a_kept_bundle_of_a_further_device_is_used_when_its_list_is_read() {
    let mut world = world();
    let start = bundle(&world.second);
    world.ada.client.lookups.keep(start, NOW);
    let devices = [&world.bob, &world.second];
    let list = world.account.list(2, &devices);
    let record = world.account.record_of(&list, &devices, NOW);
    read(&mut world.ada, &record, world.b, NOW);
    let both = [device(&world.bob), device(&world.second)];
    assert_eq!(BTreeSet::from_iter(world.devices()), both.into());
    assert_eq!(prekeys_asked(&world.ada), 0, "no second bundle is taken");
}

#[test]
fn a_list_with_a_lower_sequence_is_refused() {
    let mut world = world();
    world.read_list(3, true, true);
    let known = world.ada.client.contacts.get(&world.b).cloned();
    for (sequence, second) in [(2, false), (1, false), (2, true)] {
        world.read_list(sequence, true, second);
        let now = world.ada.client.contacts.get(&world.b).cloned();
        assert_eq!(now, known);
        assert_eq!(world.ada.client.lookups.attempts(&world.b), 1, "it failed");
        world.ada.client.lookups.done(&world.b);
    }
}

/// Whoever has the directory key can publish what it likes under the highest number; one relay still has the truth.
#[test]
fn the_highest_list_counts_whatever_number_its_record_has() {
    let mut world = world();
    let (one, both) = ([&world.bob], [&world.bob, &world.second]);
    let old = world.account.list(1, &one);
    let new = world.account.list(2, &both);
    let honest = world.account.record_of(&new, &both, NOW);
    let ahead = later(HOUR);
    let stale = world.account.record_of(&old, &one, ahead);
    let rubbish = world.account.numbered(ahead.as_ms() + 1, b"rubbish", NOW);
    assert!(honest.sequence() < stale.sequence() && stale.sequence() < rubbish.sequence());
    read_all(&mut world.ada, &[rubbish, honest, stale], world.b, NOW);
    let row = world.ada.client.contacts.get(&world.b).unwrap();
    assert_eq!((row.list_sequence, row.devices.len()), (2, 2));
    assert_eq!(row.record_sequence, NOW.as_ms());
}

#[test]
fn a_second_list_under_one_sequence_is_refused() {
    let mut world = world();
    world.read_list(2, true, true);
    let known = world.ada.client.contacts.get(&world.b).cloned();
    world.ada.restart();
    world.read_list(2, true, false);
    assert_eq!(world.ada.client.contacts.get(&world.b).cloned(), known);
}

#[test]
fn a_stale_proof_of_freshness_begins_no_further_session() {
    let mut world = world();
    world.read_list(2, true, true);
    let devices = [&world.second, &world.bob];
    let list = world.account.list(2, &[&world.bob, &world.second]);
    let week = Duration::from_days(7);
    let mut asked = |vouched: Timestamp| {
        world.ada.client.lookups.done(&world.b);
        let before = prekeys_asked(&world.ada);
        let record = world.account.record(&list, &devices, vouched);
        read(&mut world.ada, &record, world.b, later(week));
        prekeys_asked(&world.ada) - before
    };
    assert_eq!(asked(NOW), 1, "seven days old: for the new device");
    assert_eq!(asked(Timestamp::from_ms(NOW.as_ms() - 1)), 0);
    assert!(world.devices().contains(&device(&world.bob)), "in use");
}

/// Ada, who has added Bob and has no session with him; what signs for him.
fn strangers() -> (Host, Host, Account) {
    let (mut ada, mut bob) = pair();
    settle(&mut ada);
    settle(&mut bob);
    let account = Account::of(&bob, 1);
    (ada, bob, account)
}

#[test]
fn a_first_message_reaches_who_is_away_and_says_when_they_were_last_heard_of() {
    let (mut ada, mut bob, account) = strangers();
    let (a, b) = (address(&ada), address(&bob));
    let now = later(Duration::from_days(20));
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, now);
    assert_eq!(prekeys_asked(&ada), 1);
    let asked = ada.client.lookups.device(&b, &device(&bob));
    assert_eq!(asked.unwrap().1, Some(NOW));
    let begin = |ada: &mut Host, bob: &Host| {
        let stale_since = Some(NOW);
        let begin = StartSession {
            stale_since,
            ..bundle(bob)
        };
        step(ada, Step::StartSession(Box::new(begin)), now);
    };
    begin(&mut ada, &bob);
    // With what has a session no other is begun, and nothing more is said.
    begin(&mut ada, &bob);
    ada.restart();
    let notice = Notice::DevicesUnconfirmed { since: NOW };
    assert_eq!(notices_of(&ada, b, notice), 1);
    send(&mut ada, b, 1, now);
    deliver(&mut ada, &mut bob, now);
    assert_eq!(texts(&bob, a), ["text 1"]);
}

#[test]
fn a_record_of_two_devices_begins_a_session_with_each() {
    let (mut ada, bob, account) = strangers();
    let b = address(&bob);
    let second = account.link(&bob, 77);
    let devices = [&second, &bob];
    let list = account.list(2, &[&bob, &second]);
    let record = account.record_of(&list, &devices, NOW);
    read(&mut ada, &record, b, NOW);
    assert_eq!(prekeys_asked(&ada), 2);
    for host in devices {
        let begin = Step::StartSession(Box::new(bundle(host)));
        step(&mut ada, begin, NOW);
    }
    let mut begun = ada.client.contacts.sessions(&b);
    begun.sort();
    let mut both = devices.map(device);
    both.sort();
    assert_eq!(begun, both);
}

#[test]
fn a_first_message_by_a_fresh_proof_says_nothing() {
    let (mut ada, bob, account) = strangers();
    let b = address(&bob);
    let now = later(Duration::from_days(7));
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, now);
    let asked = ada.client.lookups.device(&b, &device(&bob));
    assert_eq!(asked.unwrap().1, None);
    step(&mut ada, Step::StartSession(Box::new(bundle(&bob))), now);
    let notices = talk(&ada, b);
    assert!(notices.is_empty());
}

#[test]
fn a_verified_contact_is_not_written_to_by_a_stale_proof() {
    let (mut ada, bob, account) = strangers();
    let b = address(&bob);
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, NOW);
    let verified = Some(Verification::Verified);
    let verify = |row: &mut ContactRow| row.verification = verified;
    ada.client.contacts.update(&b, verify);
    ada.client.lookups.done(&b);
    let before = prekeys_asked(&ada);
    read(&mut ada, &record, b, later(Duration::from_days(20)));
    assert_eq!(prekeys_asked(&ada), before);
    assert_eq!(ada.client.lookups.attempts(&b), 1, "tried again later");
}

#[test]
fn who_is_verified_while_prekeys_are_on_the_way_is_not_written_to_by_a_stale_proof() {
    let (mut ada, bob, account) = strangers();
    let b = address(&bob);
    let now = later(Duration::from_days(20));
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, now);
    let verify = |row: &mut ContactRow| row.verification = Some(Verification::Verified);
    ada.client.contacts.update(&b, verify);
    let begin = StartSession {
        stale_since: Some(NOW),
        ..bundle(&bob)
    };
    step(&mut ada, Step::StartSession(Box::new(begin)), now);
    assert!(ada.client.contacts.sessions(&b).is_empty());
    assert!(talk(&ada, b).is_empty());
}

#[test]
fn a_lost_session_with_a_device_in_use_is_begun_anew_by_a_stale_proof_too() {
    let mut world = world();
    let now = later(Duration::from_days(8));
    let bob = device(&world.bob);
    world.ada.client.lookups.done(&world.b);
    want_anew(&mut world.ada, world.b, bob, now);
    let record = world
        .account
        .record(&world.account.list(1, &[&world.bob]), &[&world.bob], NOW);
    let before = prekeys_asked(&world.ada);
    read(&mut world.ada, &record, world.b, now);
    assert_eq!(prekeys_asked(&world.ada), before + 1);
}

#[test]
fn a_device_that_is_gone_is_to_get_no_new_session() {
    let mut world = World::both();
    let second = device(&world.second);
    want_anew(&mut world.ada, world.b, second, NOW);
    world.read_list(3, true, false);
    for _ in 0..2 {
        let contacts = &world.ada.client.contacts;
        assert_eq!(contacts.wish(&world.b, &second), None);
        assert!(!world.ada.client.awaits_renewal(&world.b, NOW));
        world.ada.restart();
    }
}

#[test]
fn nothing_is_sealed_to_a_key_that_has_expired_until_another_is_read() {
    let mut world = world();
    world.ada.client.lookups.done(&world.b);
    let sealing = world.bob.client.me.device.sealing().current();
    let expires = sealing.expires();
    write(&mut world.ada, world.b, 3, expires);
    step(&mut world.ada, Step::Seal(world.b), expires);
    assert!(!is_sealed(&world.ada, world.b, 3));
    assert!(
        world.ada.client.requests.values().any(asks_for_record)
            || world.ada.client.lookups.due(expires) == [world.b]
    );
    let bob = &mut world.bob;
    assert!(
        bob.client
            .me
            .device
            .sealing_mut()
            .rotate(expires, &mut bob.rng)
    );
    let list = world.account.list(1, &[&world.bob]);
    let record = world.account.record(&list, &[&world.bob], expires);
    read(&mut world.ada, &record, world.b, expires);
    step(&mut world.ada, Step::Seal(world.b), expires);
    assert!(is_sealed(&world.ada, world.b, 3));
}

#[test]
fn a_device_whose_sealing_key_has_expired_is_not_written_to_by_a_stale_proof() {
    let (mut ada, bob, account) = strangers();
    let b = address(&bob);
    let list = account.list(1, &[&bob]);
    let record = account.record(&list, &[&bob], later(Duration::from_days(5)));
    let last = later(Duration::from_ms(Duration::from_days(30).as_ms() - 1));
    read(&mut ada, &record, b, last);
    assert_eq!(prekeys_asked(&ada), 1);
    ada.client.lookups.done(&b);
    read(&mut ada, &record, b, later(Duration::from_days(30)));
    assert_eq!(prekeys_asked(&ada), 1);
    assert_eq!(ada.client.lookups.attempts(&b), 1);
}

#[test]
fn a_stale_proof_of_freshness_still_ends_the_sessions_of_devices_that_are_gone() {
    let mut world = World::both();
    let list = world.account.list(3, &[&world.bob]);
    let record = world.account.record(&list, &[&world.bob], NOW);
    let now = later(Duration::from_days(9));
    read(&mut world.ada, &record, world.b, now);
    assert_eq!(world.devices(), [device(&world.bob)]);
}

#[test]
fn a_record_is_read_again_after_six_hours_before_anything_is_sent() {
    let World {
        mut ada,
        bob,
        account,
        b,
        ..
    } = world();
    let early = later(Duration::from_ms(6 * HOUR.as_ms() - 1));
    write(&mut ada, b, 3, early);
    assert!(is_sealed(&ada, b, 3), "known well enough");
    let due = later(HOUR * 6);
    write(&mut ada, b, 4, due);
    assert!(!is_sealed(&ada, b, 4), "it waits");
    assert_eq!(ada.client.lookups.due(due), [b]);
    let list = account.list(1, &[&bob]);
    read(&mut ada, &account.record(&list, &[&bob], due), b, due);
    ada.turn(Input::Timer, due);
    assert!(is_sealed(&ada, b, 4));
}

#[test]
fn sending_does_not_wait_for_a_record_that_cannot_be_read() {
    let World { mut ada, b, .. } = world();
    let due = later(HOUR * 6);
    write(&mut ada, b, 3, due);
    assert!(!is_sealed(&ada, b, 3));
    by_hand(&mut ada, due, |client, ctx| {
        client.lookup_failed(b, None, ctx)
    });
    ada.turn(Input::Timer, due);
    assert!(is_sealed(&ada, b, 3));
    // Nor for the next attempt, within ten minutes.
    ada.client.lookups.done(&b);
    write(&mut ada, b, 4, due);
    assert!(is_sealed(&ada, b, 4));
    ada.client.lookups.done(&b);
    write(&mut ada, b, 5, due.saturating_add(Duration::from_mins(10)));
    assert!(!is_sealed(&ada, b, 5));
}

#[test]
fn a_message_that_names_a_higher_sequence_has_the_record_read_soon_and_seldom() {
    let mut world = world();
    let say = |world: &mut World, number, now| {
        send(&mut world.bob, world.a, number, now);
        deliver(&mut world.bob, &mut world.ada, now);
        world.ada.client.lookups.due(now)
    };
    let [first, second] = [2, 3].map(|mins| later(Duration::from_mins(mins)));
    assert_eq!(say(&mut world, 3, first), [], "as known");
    world.bob.client.me.list = world.account.list(2, &[&world.bob, &world.second]);
    assert_eq!(say(&mut world, 4, first), [world.b]);
    world.ada.client.lookups.done(&world.b);
    assert_eq!(say(&mut world, 5, first), [], "once a minute");
    assert_eq!(world.ada.client.lookups.due(second), [world.b]);
    world.read_list(2, true, true);
    world.ada.client.lookups.done(&world.b);
    assert_eq!(say(&mut world, 6, second), [], "as known");
}

#[test]
fn a_stranger_who_writes_is_looked_up() {
    let (mut ada, mut bob) = pair();
    let a = address(&ada);
    settle(&mut ada);
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    let b = address(&bob);
    send(&mut ada, b, 1, NOW);
    deliver(&mut ada, &mut bob, NOW);
    assert_eq!(bob.client.lookups.due(NOW), [a]);
}

#[test]
fn a_removed_device_gets_nothing_more_and_its_sessions_end() {
    let mut world = World::both();
    let sessions = rows_of(&world.ada, Table::Session);
    send(&mut world.ada, world.b, 4, NOW);
    for host in [&world.bob, &world.second] {
        assert!(envelopes(&world.ada).contains(&device(host)));
    }
    world.read_list(3, true, false);
    assert_eq!(envelopes(&world.ada), [device(&world.bob)]);
    assert_eq!(
        rows_of(&world.ada, Table::Session),
        sessions - 2,
        "the record and its name are gone"
    );
    send(&mut world.ada, world.b, 5, NOW);
    assert_eq!(envelopes(&world.ada), [device(&world.bob); 2]);
    world.ada.restart();
    assert_eq!(world.devices(), [device(&world.bob)]);
    assert_eq!(
        world.notices(),
        1,
        "of the device that came; not of one that goes"
    );
}

#[test]
fn later_messages_of_a_removed_device_are_refused() {
    let mut world = World::both();
    world.read_list(3, true, false);
    let before = texts(&world.ada, world.b);
    // In the session that it had.
    send(&mut world.second, world.a, 7, NOW);
    deliver(&mut world.second, &mut world.ada, NOW);
    assert_eq!(rows_of(&world.ada, Table::Held), 0);
    // In a new one, with a certificate that the account did sign.
    let ada = device(&world.ada);
    want_anew(&mut world.second, world.a, ada, NOW);
    start(&mut world.second, &world.ada, NOW);
    send(&mut world.second, world.a, 8, NOW);
    deliver(&mut world.second, &mut world.ada, NOW);
    assert!(
        rows_of(&world.ada, Table::Held) > 0,
        "until the list is read"
    );
    let sessions = rows_of(&world.ada, Table::Session);
    world.read_list(3, true, false);
    assert_eq!(texts(&world.ada, world.b), before);
    assert_eq!(rows_of(&world.ada, Table::Session), sessions);
    world.ada.turn(Input::Timer, later(HOLD));
    assert_eq!(rows_of(&world.ada, Table::Held), 0, "forgotten");
    assert_eq!(texts(&world.ada, world.b), before);
}

#[test]
fn a_message_of_a_device_that_was_added_a_moment_ago_waits_for_the_list() {
    let mut world = world();
    let code = ContactCode::parse(&world.ada.client.me().code).unwrap();
    let add = Command::AddContact { code, name: None };
    world.second.turn(Input::Command(add), NOW);
    start(&mut world.second, &world.ada, NOW);
    send(&mut world.second, world.a, 7, NOW);
    deliver(&mut world.second, &mut world.ada, NOW);
    assert_eq!(rows_of(&world.ada, Table::Held), 1);
    assert_eq!(texts(&world.ada, world.b).len(), 2, "it is not shown");
    let soon = later(Duration::from_mins(1));
    assert_eq!(world.ada.client.lookups.due(soon), [world.b]);
    world.ada.restart();
    world.read_list(2, true, true);
    assert_eq!(texts(&world.ada, world.b), ["text 1", "text 2", "text 7"]);
    assert_eq!(world.notices(), 1);
    assert_eq!(rows_of(&world.ada, Table::Held), 0);
    assert_eq!(world.devices().len(), 2);
}

#[test]
fn a_flood_of_messages_that_wait_is_bounded() {
    let mut world = world();
    let code = ContactCode::parse(&world.ada.client.me().code).unwrap();
    let add = Command::AddContact { code, name: None };
    world.second.turn(Input::Command(add), NOW);
    start(&mut world.second, &world.ada, NOW);
    for number in 10..30 {
        send(&mut world.second, world.a, number, NOW);
        deliver(&mut world.second, &mut world.ada, NOW);
    }
    assert_eq!(rows_of(&world.ada, Table::Held), 16);
}

#[test]
fn what_was_on_its_way_to_a_device_that_is_gone_is_encrypted_anew_for_the_others() {
    let mut world = world();
    send(&mut world.ada, world.b, 3, NOW);
    assert_eq!(envelopes(&world.ada), [device(&world.bob)]);
    world.read_list(2, false, true);
    assert_eq!(envelopes(&world.ada), []);
    assert!(!is_sealed(&world.ada, world.b, 3));
    start(&mut world.ada, &world.second, NOW);
    step(&mut world.ada, Step::Seal(world.b), NOW);
    deliver(&mut world.ada, &mut world.second, NOW);
    assert_eq!(texts(&world.second, world.a), ["text 3"]);
}

#[test]
fn a_device_with_another_certificate_is_another_device() {
    let mut world = world();
    world.account.certify_again(&mut world.bob);
    world.read_list(2, true, false);
    assert_eq!(world.notices(), 1);
    assert_eq!(world.devices(), []);
    assert_eq!(rows_of(&world.ada, Table::Session), 0);
    // Its messages under the old certificate are refused.
    send(&mut world.bob, world.a, 7, NOW);
    deliver(&mut world.bob, &mut world.ada, NOW);
    assert_eq!(texts(&world.ada, world.b), ["text 1", "text 2"]);
    start(&mut world.ada, &world.bob, NOW);
    assert_eq!(world.devices(), [device(&world.bob)]);
}

#[test]
fn the_first_list_of_somebody_is_no_change_unless_it_lacks_who_wrote() {
    for (bob, second, notices) in [(true, true, 0), (false, true, 1)] {
        let (ada, host, a, b) = acquainted();
        let account = Account::of(&host, 1);
        let other = account.link(&host, 77);
        let mut world = World {
            ada,
            bob: host,
            second: other,
            account,
            a,
            b,
        };
        world.read_list(1, bob, second);
        assert_eq!(world.notices(), notices);
        let contact = world.ada.client.contacts.get(&b).unwrap();
        assert_eq!(contact.verification(), Verification::Unverified);
    }
}

#[test]
fn my_own_list_is_published_vouched_for_and_named_in_messages() {
    let World { bob, .. } = world();
    let mut bob = bob;
    let mut made = None;
    by_hand(&mut bob, NOW, |client, ctx| {
        let mailbox = client.mailbox.descriptor.clone().unwrap();
        made = client.account_record(mailbox, 9, ctx);
    });
    let record = made.unwrap();
    let me = &bob.client.me;
    let contents = open_record_contents(&me.address, record.sealed()).unwrap();
    let verify = |now| AccountContents::verify(&contents, &me.address, now).unwrap();
    let published = verify(NOW);
    assert_eq!((&published.list, published.stale_since), (&me.list, None));
    assert_eq!(published.devices[0].certificate, *me.certificate);
    assert_eq!(verify(later(Duration::from_days(7))).stale_since, None);
    let late = later(Duration::from_days(7)).saturating_add(Duration::from_ms(1));
    assert_eq!(verify(late).stale_since, Some(NOW));
    // Renewed daily: see `a_record_is_published_when_a_majority_has_it`.
    let query = Query::Conversations;
    assert_eq!(bob.client.conversations(&bob.scan(&query.scan())).len(), 1);
}

#[test]
fn of_two_mailboxes_the_one_that_was_signed_with_the_newer_sealing_key_gets_the_mail() {
    let (mut ada, bob) = pair();
    start(&mut ada, &bob, NOW);
    let (b, me) = (address(&bob), &bob.client.me);
    let before = bundle(&bob).device;
    let moved = MailboxSecret::random(&mut rng(77));
    let mut device = me.device.clone();
    let later = later(Duration::from_days(8));
    assert!(device.sealing_mut().rotate(later, &mut rng(78)));
    let current = device.sealing().current();
    let key = current.publish(device.signing(), moved.id());
    let after = PublishedDevice {
        certificate: before.certificate.clone(),
        sealing_key: key.verify(&before.certificate, moved.id()).unwrap(),
        mailbox: MailboxDescriptor::sign(&moved, 1, vec![MEMBER], 1, later).unwrap(),
    };
    let contacts = &mut ada.client.contacts;
    for (published, what) in [(&after, "it moved"), (&before, "an old record")] {
        contacts.set_device(&b, &me.keys, published);
        // As remembered, and as stored and verified again.
        let rows = [contacts.get(&b).unwrap().row()];
        let mut restored = Contacts::restore(&rows).unwrap();
        for contacts in [&mut *contacts, &mut restored] {
            let peer = contacts.peer(&b, &device.id()).expect(what);
            assert_eq!(peer.mailbox, after.mailbox, "{what}");
            assert_eq!(peer.sealing_key, after.sealing_key, "{what}");
        }
    }
}
