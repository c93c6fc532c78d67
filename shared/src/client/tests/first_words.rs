//! Contacts are looked up when they are added, and the first message begins with what was found.

use super::people::{Account, address, bundle, id, later, pair, read, settle, talk};
use super::{Host, NOW};
use crate::client::view::{Direction, MessageState};
use crate::client::{Command, Input};
use crate::id::Address;
use crate::identity::ContactCode;
use crate::time::{Duration, Timestamp};

const HOUR: Duration = Duration::from_hours(1);

/// Ada has added Bob, whose bundle has come.
fn added() -> (Host, Address) {
    let (mut ada, bob) = pair();
    settle(&mut ada);
    keep(&mut ada, &bob);
    (ada, address(&bob))
}

fn keep(ada: &mut Host, bob: &Host) {
    let start = bundle(bob);
    let keys = &bob.client.me.keys;
    let contacts = &mut ada.client.contacts;
    contacts.set_device(&start.address, keys, &start.device);
    // As if their record had been read before.
    contacts.update(&start.address, |row| row.record_read = Some(NOW));
    ada.client.lookups.done(&start.address);
    ada.client.lookups.keep(start, NOW);
}

fn write(ada: &mut Host, to: Address, number: u8, now: Timestamp) {
    let command = Command::Send {
        address: to,
        id: id(number),
        text: "hello".into(),
    };
    ada.turn(Input::Command(command), now);
}

fn is_sealed(ada: &Host, to: Address, number: u8) -> bool {
    let item = ada.client.outbox.get(&(to, id(number)));
    item.unwrap().row.body.is_none()
}

#[test]
fn whoever_is_added_is_looked_up_at_once() {
    let (ada, bob) = pair();
    assert_eq!(ada.client.lookups.due(NOW), [address(&bob)]);
}

#[test]
fn the_first_message_begins_with_the_bundle_that_was_kept() {
    let (mut ada, bob) = added();
    assert!(
        !ada.client.contacts.has_session(&bob),
        "nothing begins by itself"
    );
    write(&mut ada, bob, 1, later(HOUR - Duration::from_ms(1)));
    assert!(is_sealed(&ada, bob, 1));
    let view = talk(&ada, bob).pop().unwrap();
    assert!(matches!(
        view.direction,
        Direction::Out(MessageState::Sending(_))
    ));
    assert!(
        ada.client.lookups.take_kept(&bob, NOW).is_empty(),
        "used once"
    );
}

#[test]
fn a_bundle_that_has_waited_too_long_is_not_used() {
    let (mut ada, bob) = added();
    write(&mut ada, bob, 1, later(HOUR));
    assert!(!is_sealed(&ada, bob, 1));
    assert_eq!(ada.client.lookups.due(later(HOUR)), [bob], "again");
}

#[test]
fn a_device_that_was_certified_anew_voids_what_was_kept_of_it() {
    let (mut ada, mut bob) = pair();
    settle(&mut ada);
    keep(&mut ada, &bob);
    let account = Account::of(&bob, 1);
    account.certify_again(&mut bob);
    let list = account.list(2, &[&bob]);
    let record = account.record_of(&list, &[&bob], NOW);
    read(&mut ada, &record, address(&bob), NOW);
    assert!(ada.client.lookups.take_kept(&address(&bob), NOW).is_empty());
}

#[test]
fn whoever_has_a_session_gets_further_ones_at_once() {
    let (mut ada, bob) = added();
    write(&mut ada, bob, 1, NOW);
    assert!(ada.client.contacts.has_session(&bob));
    // Somebody's second device was fetched before the first one wrote: it begins with the next text.
    let mut second = bundle(&Host::new(1));
    second.address = bob;
    ada.client.lookups.keep(second, NOW);
    write(&mut ada, bob, 2, NOW);
    assert!(ada.client.lookups.take_kept(&bob, NOW).is_empty());
}

#[test]
fn nobody_is_looked_up_twice_for_being_added_twice() {
    let (mut ada, bob) = pair();
    keep(&mut ada, &bob);
    let code = ContactCode::parse(&bob.client.me().code).unwrap();
    let again = Command::AddContact { code, name: None };
    ada.turn(Input::Command(again), NOW);
    assert!(ada.client.lookups.due(NOW).is_empty());
}

#[test]
fn bundles_are_kept_for_a_few_contacts_only() {
    let (mut ada, _) = pair();
    let start = || bundle(&Host::new(1));
    let contact = |number: u8| Address::from_bytes([number; 32]);
    for number in 0..40 {
        let mut start = start();
        start.address = contact(number);
        ada.client.lookups.keep(start, NOW);
    }
    let kept = (0..40).filter(|number| {
        let kept = ada.client.lookups.take_kept(&contact(*number), NOW);
        !kept.is_empty()
    });
    assert_eq!(kept.count(), 16);
}
