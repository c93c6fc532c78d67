//! Safety numbers and verified contacts on the engine: what a change of devices blocks, and until when.

use super::people::*;
use super::*;
use crate::client::api::Step;
use crate::client::records::{ContactRow, Record};
use crate::client::view::{Direction, MessageState, MessageView, Notice, Verification, WaitReason};
use crate::client::{Command, CommandError};
use crate::id::Address;
use crate::identity::{Comparison, ContactCode, ScannedSafetyNumber};
use crate::test_support::unhex;
use crate::time::Duration;

/// Ada, who has verified Bob and read his list of one device; Bob; another device of his.
struct World {
    ada: Host,
    bob: Host,
    second: Host,
    account: Account,
    a: Address,
    b: Address,
}

fn set_verified(address: Address, verified: bool) -> Input {
    Input::Command(Command::SetVerified { address, verified })
}

fn world(verified: bool) -> World {
    let (mut ada, bob, a, b) = acquainted();
    let account = Account::of(&bob, 1);
    let second = account.link(&bob, 77);
    let record = account.record(&account.list(1, &[&bob]), &[&bob], NOW);
    read(&mut ada, &record, b, NOW);
    if verified {
        ada.turn(set_verified(b, true), NOW);
    }
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
    /// Bob's account has a second device, and Ada reads it.
    fn gain(&mut self) -> Vec<Event> {
        let devices = [&self.bob, &self.second];
        let list = self.account.list(2, &devices);
        let record = self.account.record(&list, &devices, NOW);
        read(&mut self.ada, &record, self.b, NOW)
    }

    fn verification(&self) -> Verification {
        let contacts = self.ada.client.contacts();
        let bob = contacts.iter().find(|contact| contact.address == self.b);
        bob.unwrap().verification
    }

    fn notices(&self) -> usize {
        notices_of(&self.ada, self.b, Notice::KeysChanged)
    }

    fn state(&self, number: u8) -> Direction {
        let talk = talk(&self.ada, self.b);
        let message = talk.iter().find(|view| view.id == id(number));
        message.unwrap().direction
    }

    /// What leaves when everything that can be sealed is, long after.
    fn leaves(&mut self) -> usize {
        step(&mut self.ada, Step::Seal(self.b), NOW);
        let late = later(Duration::from_hours(5));
        self.ada.client.outbox.take_due(late).len()
    }
}

const WAITS: Direction = Direction::Out(MessageState::Sending(Some(WaitReason::KeysChanged)));

#[test]
fn who_was_never_looked_up_has_no_safety_number() {
    let (mut ada, bob) = pair();
    let b = address(&bob);
    let number = |address| {
        ada.client
            .safety_number(&address)
            .map(|number| number.digits())
    };
    assert_eq!(number(b), Err(CommandError::KeysUnknown));
    let stranger = Address::from_bytes([9; 32]);
    assert_eq!(number(stranger), Err(CommandError::UnknownContact));
    let check = |address, verified| {
        let command = Command::SetVerified { address, verified };
        ada.client.check(&command)
    };
    assert_eq!(check(b, true), Err(CommandError::KeysUnknown));
    assert_eq!(check(b, false), Ok(()));
    assert_eq!(check(stranger, true), Err(CommandError::UnknownContact));
    ada.turn(set_verified(b, true), NOW);
    let contact = &ada.client.contacts()[0];
    assert_eq!(contact.verification, Verification::Unverified);
}

#[test]
fn both_ends_see_the_same_number_and_comparing_it_verifies_nobody() {
    let World { ada, bob, a, b, .. } = world(false);
    let here = ada.client.safety_number(&b).unwrap();
    let there = bob.client.safety_number(&a).unwrap();
    assert_eq!(here.digits(), there.digits());
    let scanned = ScannedSafetyNumber::parse(&there.qr_text()).unwrap();
    assert_eq!(here.compare(&scanned), Comparison::Match);
    let contact = &ada.client.contacts()[0];
    assert_eq!(contact.verification, Verification::Unverified);
}

#[test]
fn a_verified_contact_is_one_after_a_restart_until_it_is_taken_back() {
    let mut world = world(true);
    world.ada.restart();
    assert_eq!(world.verification(), Verification::Verified);
    let shown = events(world.ada.turn(set_verified(world.b, false), NOW));
    let told = |event: &Event| matches!(event, Event::Contact(view) if view.verification == Verification::Unverified);
    assert!(shown.iter().any(told));
    world.ada.restart();
    assert_eq!(world.verification(), Verification::Unverified);
}

#[test]
fn a_new_device_of_an_unverified_contact_is_told_and_blocks_nothing() {
    let mut world = world(false);
    world.gain();
    assert_eq!(world.notices(), 1);
    assert_eq!(world.verification(), Verification::Unverified);
    send(&mut world.ada, world.b, 3, NOW);
    assert_ne!(world.state(3), WAITS);
    assert!(world.leaves() > 0);
}

#[test]
fn nothing_leaves_for_a_verified_contact_with_a_new_device_until_it_is_accepted() {
    let mut world = world(true);
    let shown = world.gain();
    let told = |event: &Event| matches!(event, Event::Contact(view) if view.verification == Verification::Changed);
    assert!(shown.iter().any(told));
    send(&mut world.ada, world.b, 3, NOW);
    for _ in 0..2 {
        assert_eq!(world.state(3), WAITS);
        assert_eq!(world.leaves(), 0);
        assert_eq!(world.verification(), Verification::Changed);
        world.ada.restart();
    }
    // What comes is shown, and not even a receipt answers it.
    send(&mut world.bob, world.a, 4, NOW);
    deliver(&mut world.bob, &mut world.ada, NOW);
    world.ada.turn(Input::Timer, later(Duration::from_secs(1)));
    assert!(texts(&world.ada, world.b).contains(&"text 4".to_owned()));
    assert_eq!(world.leaves(), 0);
    let address = world.b;
    let shown = world
        .ada
        .turn(Input::Command(Command::AcceptKeys { address }), NOW);
    let moved = |event: &Event| matches!(event, Event::Message(view) if view.id == id(3) && view.direction != WAITS);
    assert!(events(shown).iter().any(moved), "the reason is another now");
    assert_eq!(world.verification(), Verification::Unverified);
    assert!(
        world.ada.client.lookups.is_first(&address),
        "the new device gets it, too"
    );
    start(&mut world.ada, &world.second, NOW);
    assert!(world.leaves() > 0);
    deliver(&mut world.ada, &mut world.bob, NOW);
    deliver(&mut world.ada, &mut world.second, NOW);
    assert!(texts(&world.bob, world.a).contains(&"text 3".to_owned()));
    assert_eq!(texts(&world.second, world.a), ["text 3"]);
}

#[test]
fn what_was_sealed_before_the_change_waits_as_well() {
    let mut world = world(true);
    send(&mut world.ada, world.b, 3, NOW);
    world.gain();
    assert_eq!(world.state(3), WAITS);
    assert_eq!(world.leaves(), 0);
    world.ada.restart();
    assert_eq!(world.leaves(), 0);
    world.ada.turn(set_verified(world.b, true), NOW);
    assert_eq!(world.verification(), Verification::Verified);
    assert!(world.leaves() > 0);
}

#[test]
fn a_change_is_told_once_and_the_next_one_again() {
    let mut world = world(true);
    world.gain();
    world.gain();
    world.ada.restart();
    world.gain();
    assert_eq!(world.notices(), 1);
    let address = world.b;
    world
        .ada
        .turn(Input::Command(Command::AcceptKeys { address }), NOW);
    world.gain();
    assert_eq!(world.notices(), 1, "what was accepted is known");
    world.account.certify_again(&mut world.bob);
    let devices = [&world.bob, &world.second];
    let list = world.account.list(3, &devices);
    let record = world.account.record(&list, &devices, NOW);
    read(&mut world.ada, &record, address, NOW);
    assert_eq!(world.notices(), 2);
    assert_eq!(world.verification(), Verification::Unverified);
}

#[test]
fn accepting_changes_nothing_where_nothing_waits() {
    for verified in [true, false] {
        let mut world = world(verified);
        let before = world.verification();
        let address = world.b;
        let rows = world.ada.rows.clone();
        world
            .ada
            .turn(Input::Command(Command::AcceptKeys { address }), NOW);
        assert_eq!(world.verification(), before);
        assert_eq!(world.ada.rows, rows);
    }
}

#[test]
fn a_device_that_writes_before_any_list_was_read_blocks_a_verified_contact() {
    let (mut ada, bob, a, b) = acquainted();
    let account = Account::of(&bob, 1);
    let mut second = account.link(&bob, 77);
    ada.turn(set_verified(b, true), NOW);
    let code = ContactCode::parse(&ada.client.me().code).unwrap();
    let add = Command::AddContact { code, name: None };
    second.turn(Input::Command(add), NOW);
    start(&mut second, &ada, NOW);
    send(&mut second, a, 7, NOW);
    deliver(&mut second, &mut ada, NOW);
    assert_eq!(notices_of(&ada, b, Notice::KeysChanged), 1);
    let bob = &ada.client.contacts()[0];
    assert_eq!(bob.verification, Verification::Changed);
    assert!(ada.client.outbox.is_blocked(&b));
}

#[test]
fn a_notice_is_a_line_without_text_that_survives_a_restart() {
    let mut world = world(false);
    world.gain();
    world.ada.restart();
    let talk = talk(&world.ada, world.b);
    let notice = |view: &&MessageView| view.direction == Direction::Notice(Notice::KeysChanged);
    let [notice] = &talk.iter().filter(notice).collect::<Vec<_>>()[..] else {
        panic!("one notice")
    };
    assert_eq!(notice.text, "");
    let last = talk.last().unwrap();
    assert_eq!(last.id, notice.id, "it is the newest line");
}

/// Of version 1, with one device: before there were keys 14 and 15.
const CONTACT_V1: &str = include_str!("../fixtures/contact-row-v1.hex");

#[test]
fn a_contact_of_version_1_is_still_read_and_is_unverified() {
    let bytes = unhex(CONTACT_V1.trim());
    let row = ContactRow::from_value(&bytes).unwrap();
    assert_eq!((row.version, row.devices.len()), (1, 1));
    assert_eq!(row.verification(), Verification::Unverified);
    assert_eq!(row.list, None);
    let mut ada = Host::new(0);
    let key = row.row().key;
    ada.rows.insert(key.clone(), Row::plain(key.clone(), bytes));
    ada.restart();
    ada.turn(set_verified(row.address, true), NOW);
    let stored = ContactRow::from_value(&ada.rows[&key].value).unwrap();
    assert_eq!(stored.version, 4);
    assert_eq!(stored.verification(), Verification::Verified);
    assert_eq!(stored.devices, row.devices);
}

/// Of version 2, with one device and its account-signed certificate, a list, and verified.
const CONTACT_V2: &str = include_str!("../fixtures/contact-row-v2.hex");

#[test]
fn a_contact_of_version_2_is_still_read_and_keeps_what_was_verified() {
    let bytes = unhex(CONTACT_V2.trim());
    let row = ContactRow::from_value(&bytes).unwrap();
    assert_eq!((row.version, row.devices.len()), (2, 1));
    assert_eq!(row.verification(), Verification::Verified);
    let listed = row.list.as_ref().unwrap().devices[0];
    assert_eq!(row.devices[0].certificate.hash(), listed.certificate);
    let mut ada = Host::new(0);
    let key = row.row().key;
    ada.rows.insert(key.clone(), Row::plain(key.clone(), bytes));
    ada.restart();
    let device = listed.device;
    // Its sealing key names no mailbox: nothing is sealed to it, and the record is read before the next text.
    let contacts = &mut ada.client.contacts;
    assert!(!contacts.may_seal_to(&row.address, &device, NOW));
    assert!(contacts.is_stale(&row.address, NOW));
    assert!(contacts.get(&row.address).unwrap().record_read.is_none());
    // Written as version 4, and read as it was written.
    ada.turn(set_verified(row.address, false), NOW);
    let value = &ada.rows[&key].value;
    let stored = ContactRow::from_value(value).unwrap();
    assert_eq!((stored.version, &stored.devices), (4, &row.devices));
    assert_eq!(stored.list, row.list);
    assert!(value.len() + 3_800 < CONTACT_V2.trim().len() / 2);
}

/// Of version 3, the same contact: before a device had key 6.
const CONTACT_V3: &str = include_str!("../fixtures/contact-row-v3.hex");

#[test]
fn a_contact_without_wishes_for_new_sessions_is_still_read_and_can_have_some() {
    let bytes = unhex(CONTACT_V3.trim());
    let row = ContactRow::from_value(&bytes).unwrap();
    assert_eq!((row.version, row.devices.len()), (3, 1));
    let mut ada = Host::new(0);
    let key = row.row().key;
    let stored = Row::plain(key.clone(), bytes.clone());
    ada.rows.insert(key.clone(), stored);
    ada.restart();
    let (address, device) = (row.address, row.devices[0].device);
    assert!(!ada.client.awaits_renewal(&address, NOW));
    want_anew(&mut ada, address, device, NOW);
    assert_eq!(ada.rows[&key].value.len(), bytes.len() + 10, "key and time");
    ada.restart();
    let contacts = &ada.client.contacts;
    assert_eq!(contacts.wish(&address, &device), Some(NOW));
}
