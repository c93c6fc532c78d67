//! The outbox as a state machine.

use super::*;
use crate::client::outbox::{Outbox, backoff};
use crate::client::records::{EnvelopeEntry, ItemBody, ItemRow, OutboxRow};
use crate::id::{Address, DeviceId, EnvelopeId, MessageId};
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

fn envelope(number: u8) -> EnvelopeId {
    EnvelopeId::from_bytes([number; 16])
}

/// An outbox with one item that was sealed into two envelopes.
fn sealed() -> Outbox {
    let mut outbox = Outbox::default();
    outbox.add(text(), NOW);
    let bytes = |number: u8| (DEVICE, envelope(number), Box::new(Bytes([number; 8000])));
    let writes = outbox.sealed(&ID, vec![bytes(10), bytes(11)], NOW);
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
    assert_eq!(writes.len(), 3, "item and envelopes are deleted");
    assert!(outbox.get(&ID).is_none());
    assert!(
        outbox.held(&ID, &envelope(11), 3, 3).0.is_empty(),
        "a late answer changes nothing"
    );
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
    let bytes = vec![(envelope(11), Box::new(Bytes([11; 8000])))];
    let mut outbox = Outbox::restore(vec![row], bytes, NOW);
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
