//! The outbox as a state machine.

use super::*;
use crate::client::outbox::{Outbox, backoff};
use crate::client::records::{EnvelopeEntry, ItemBody, ItemRow, OutboxRow};
use crate::client::view::WaitReason;
use crate::id::{Address, DeviceId, EnvelopeId, MessageId};
use crate::rpc::{EnvelopeBytes, envelope_id};
use crate::time::Duration;
use crate::wire::codec::{BoundedText, Bytes};

const ADDRESS: Address = Address::from_bytes([1; 32]);
const DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);
const ID: (Address, MessageId) = (ADDRESS, MessageId::from_bytes([3; 16]));

fn text() -> ItemRow {
    let body = ItemBody::Text {
        text: BoundedText::new("hi").unwrap(),
        sent: NOW,
    };
    ItemRow::new(ID.1, ADDRESS, NOW, true, body)
}

fn bytes(number: u8) -> Box<EnvelopeBytes> {
    Box::new(Bytes([number; 8000]))
}

fn envelope(number: u8) -> EnvelopeId {
    envelope_id(&bytes(number))
}

/// An outbox with one item that was sealed into two envelopes.
fn sealed() -> Outbox {
    let mut outbox = Outbox::default();
    outbox.add(text(), NOW);
    let envelopes = vec![(DEVICE, bytes(10)), (DEVICE, bytes(11))];
    let writes = outbox.sealed(&ID, envelopes, NOW);
    assert_eq!(writes.len(), 3, "two envelopes and the item");
    outbox
}

#[test]
fn an_item_is_sealed_when_its_time_has_come_and_not_before() {
    let mut outbox = Outbox::default();
    let soon = NOW.saturating_add(Duration::from_ms(150));
    outbox.add(text(), soon);
    assert_eq!(outbox.unsealed(NOW).collect::<Vec<_>>(), [(ADDRESS, false)]);
    assert!(outbox.to_seal(&ADDRESS).is_empty());
    assert_eq!(outbox.next_timeout(false), Some(soon));
    assert_eq!(outbox.unsealed(soon).collect::<Vec<_>>(), [(ADDRESS, true)]);
    assert_eq!(outbox.to_seal(&ADDRESS).len(), 1);
    assert_eq!(
        outbox.next_timeout(false),
        None,
        "what waits for a session does not wake the host"
    );
}

#[test]
fn an_envelope_is_under_way_once_and_comes_back_after_a_pause() {
    let (mut outbox, mut rng) = (sealed(), rng(1));
    assert_eq!(outbox.take_due(NOW).len(), 2);
    assert!(outbox.take_due(NOW).is_empty());
    assert_eq!(outbox.failed(&ID, &envelope(10), NOW, &mut rng), 1);
    assert!(outbox.take_due(NOW).is_empty());
    let due = outbox.next_timeout(true).unwrap();
    assert!(due > NOW && due <= NOW.saturating_add(Duration::from_secs(2)));
    assert_eq!(outbox.next_timeout(false), None);
    let [again] = &outbox.take_due(due)[..] else {
        panic!("one is due")
    };
    assert_eq!((again.envelope, again.attempt), (envelope(10), 1));
}

#[test]
fn a_message_is_sent_when_its_last_envelope_is_held_and_the_worst_held_speaks_for_it() {
    let mut outbox = sealed();
    let (writes, done) = outbox.held(&ID, &envelope(10), 3, 3);
    assert_eq!((writes.len(), done), (1, None));
    let (writes, done) = outbox.held(&ID, &envelope(11), 2, 3);
    assert_eq!(done, Some((2, 3)));
    assert_eq!(writes.len(), 3, "envelopes are deleted, the item is stored");
    assert!(
        outbox.held(&ID, &envelope(11), 3, 3).0.is_empty(),
        "a late answer changes nothing"
    );
}

#[test]
fn a_text_is_remembered_until_its_receipt_in_case_its_session_is_lost() {
    let mut outbox = sealed();
    assert_eq!(outbox.unconfirmed(&ADDRESS), [ID.1], "sealed");
    outbox.held(&ID, &envelope(10), 3, 3);
    let (writes, _) = outbox.held(&ID, &envelope(11), 3, 3);
    assert_eq!(outbox.unconfirmed(&ADDRESS), [ID.1], "held");
    assert!(!outbox.has_any(&ADDRESS), "and yet nothing is left to do");
    assert!(outbox.changed_reasons(None, |_| false).is_empty());
    assert!(outbox.take_due(NOW).is_empty());
    let stored = writes.iter().find_map(|write| match write {
        Write::Put(row) => OutboxRow::decode(row).ok(),
        Write::Delete(_) => None,
    });
    let Some(OutboxRow::Item(row)) = stored else {
        panic!("the item is stored");
    };
    let mut outbox = Outbox::restore(vec![*row], Vec::new(), NOW);
    assert_eq!(outbox.unconfirmed(&ADDRESS), [ID.1]);
    assert_eq!(outbox.remove(&ID).len(), 1);
    assert!(outbox.unconfirmed(&ADDRESS).is_empty());
}

#[test]
fn a_restart_goes_on_with_the_same_bytes_and_only_with_what_is_open() {
    let mut row = text();
    row.body = None;
    row.envelopes = vec![
        EnvelopeEntry {
            id: envelope(10),
            device: DEVICE,
            held: Some((3, 3)),
        },
        EnvelopeEntry {
            id: envelope(11),
            device: DEVICE,
            held: None,
        },
    ];
    let stored = OutboxRow::decode(&row.row()).unwrap();
    let OutboxRow::Item(restored) = stored else {
        panic!("an item")
    };
    assert_eq!(*restored, row);
    let mut outbox = Outbox::restore(vec![row], vec![(envelope(11), bytes(11))], NOW);
    let [due] = &outbox.take_due(NOW)[..] else {
        panic!("one is open")
    };
    assert_eq!(outbox.bytes(&due.envelope).unwrap().0, [11; 8000]);
    assert_eq!(outbox.held(&ID, &envelope(11), 2, 3).1, Some((2, 3)));
}

#[test]
fn backoff_doubles_with_jitter_and_stays_within_its_bounds() {
    let mut rng = rng(2);
    let (first, last) = (Duration::from_secs(2), Duration::from_mins(5));
    for attempts in 0..40 {
        let whole = (2_000u64 << attempts.min(20)).min(300_000);
        let pause = backoff(attempts, first, last, &mut rng).as_ms();
        assert!((whole / 2..=whole).contains(&pause), "{attempts}: {pause}");
    }
}

#[test]
fn who_waits_for_somebody_that_nobody_knows_is_told() {
    let mut outbox = Outbox::default();
    outbox.add(text(), NOW);
    let reason = |outbox: &Outbox, unknown| outbox.reason(&ID, None, unknown).unwrap();
    assert_eq!(reason(&outbox, false), WaitReason::LookingUpContact);
    assert_eq!(reason(&outbox, true), WaitReason::ContactNotFound);
    assert_eq!(outbox.changed_reasons(None, |_| false), [ID]);
    assert!(outbox.changed_reasons(None, |_| false).is_empty());
    assert_eq!(outbox.changed_reasons(None, |_| true), [ID], "it is shown");
    assert_eq!(reason(&sealed(), true), WaitReason::WaitingForRelays);
}

#[test]
fn what_waits_for_one_contact_is_hurried_alone() {
    let (mut outbox, mut rng) = (sealed(), rng(1));
    outbox.take_due(NOW);
    outbox.failed(&ID, &envelope(10), NOW, &mut rng);
    outbox.hurry_to(&Address::from_bytes([9; 32]), NOW);
    assert!(outbox.take_due(NOW).is_empty());
    assert!(outbox.has_any(&ADDRESS) && !outbox.has_any(&Address::from_bytes([9; 32])));
    outbox.hurry_to(&ADDRESS, NOW);
    assert_eq!(outbox.take_due(NOW).len(), 1);
}

const OTHER: DeviceId = DeviceId::from_bytes([9; 16]);

/// A text for two devices, one envelope each.
fn for_two_devices() -> Outbox {
    let mut outbox = Outbox::default();
    outbox.add(text(), NOW);
    outbox.sealed(&ID, vec![(DEVICE, bytes(10)), (OTHER, bytes(11))], NOW);
    outbox
}

#[test]
fn what_is_for_a_device_that_is_gone_is_withdrawn_and_the_rest_goes_on() {
    let mut outbox = for_two_devices();
    let forgotten = outbox.forget_devices(&ADDRESS, &[OTHER]);
    assert_eq!((forgotten.again.len(), forgotten.held.len()), (0, 0));
    assert_eq!(forgotten.writes.len(), 2, "the envelope and the item");
    let [due] = &outbox.take_due(NOW)[..] else {
        panic!("one is left")
    };
    assert_eq!(due.device, DEVICE);
    assert!(outbox.bytes(&envelope(11)).is_none());
}

#[test]
fn a_message_that_only_a_gone_device_lacked_is_sent() {
    let mut outbox = for_two_devices();
    outbox.held(&ID, &envelope(10), 2, 3);
    let forgotten = outbox.forget_devices(&ADDRESS, &[OTHER]);
    assert_eq!(forgotten.held, [(ID, (2, 3))]);
    assert_eq!(outbox.unconfirmed(&ADDRESS), [ID.1]);
    assert!(!outbox.has_any(&ADDRESS));
}

#[test]
fn a_message_half_held_for_a_gone_device_alone_is_to_be_encrypted_anew() {
    let mut outbox = sealed();
    outbox.held(&ID, &envelope(10), 3, 3);
    let forgotten = outbox.forget_devices(&ADDRESS, &[DEVICE]);
    assert_eq!((forgotten.again, forgotten.held), (vec![ID.1], vec![]));
    let another = outbox.forget_devices(&ADDRESS, &[DEVICE]);
    assert!(another.writes.is_empty() && another.again.is_empty());
}

#[test]
fn nothing_leaves_for_a_contact_who_is_blocked_and_nobody_is_woken_for_it() {
    let mut outbox = sealed();
    outbox.block(ADDRESS);
    assert!(outbox.take_due(NOW).is_empty());
    assert_eq!(outbox.next_timeout(true), None);
    let reason = |outbox: &Outbox, offline| outbox.reason(&ID, offline, false).unwrap();
    assert_eq!(reason(&outbox, None), WaitReason::KeysChanged);
    assert_eq!(
        reason(&outbox, Some(WaitReason::Offline)),
        WaitReason::KeysChanged
    );
    assert_eq!(outbox.changed_reasons(None, |_| false), [ID]);
    outbox.unblock(&ADDRESS);
    assert_eq!(outbox.changed_reasons(None, |_| false), [ID]);
    assert_eq!(reason(&outbox, None), WaitReason::WaitingForRelays);
    assert_eq!(outbox.take_due(NOW).len(), 2);
}
