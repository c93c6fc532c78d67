//! Envelopes: one length, one recipient.

use super::super::envelope::{Envelope, OpenError, open, seal, seal_message};
use super::super::fragment::{Fragment, split};
use crate::crypto::hpke;
use crate::identity::test_support::{MADE, certificate, device};
use crate::identity::{DeviceSecret, SealingKey};
use crate::test_support::rng;
use crate::time::Duration;
use crate::wire::budget::{ENVELOPE_LEN, FRAGMENT_DATA_LEN, FRAGMENT_LEN};

fn sealing_key(device: &DeviceSecret, number: u64) -> SealingKey {
    let (published, mailbox) = (device.publish_sealing_key(), device.mailbox().id());
    published
        .verify(&certificate(number as usize, number), mailbox)
        .unwrap()
}

fn fragment(message: &[u8]) -> Fragment {
    split(message, &mut rng(1)).unwrap().remove(0)
}

fn sealed(message: &[u8], number: u64) -> (Envelope, DeviceSecret) {
    let device = device(number);
    let envelope = seal(
        &fragment(message),
        &sealing_key(&device, number),
        &mut rng(2),
    )
    .unwrap();
    (envelope, device)
}

#[test]
fn every_message_becomes_envelopes_of_8000_bytes() {
    let device = device(1);
    let key = sealing_key(&device, 1);
    for (length, count) in [
        (1, 1),
        (FRAGMENT_DATA_LEN, 1),
        (FRAGMENT_DATA_LEN + 1, 2),
        (20_000, 3),
    ] {
        let message = vec![5; length];
        let envelopes = seal_message(&message, &key, &mut rng(1)).unwrap();
        assert_eq!(envelopes.len(), count);
        let opened = envelopes.iter().map(|envelope| {
            assert_eq!(envelope.len(), ENVELOPE_LEN);
            open(envelope, device.sealing(), device.id()).unwrap()
        });
        let joined: Vec<u8> = opened
            .flat_map(|fragment| fragment.data().to_vec())
            .collect();
        assert_eq!(joined, message);
    }
}

#[test]
fn another_device_opens_nothing() {
    let (envelope, recipient) = sealed(b"hello", 1);
    let other = device(2);
    assert_eq!(
        open(&envelope, other.sealing(), other.id()),
        Err(OpenError::NotForMe)
    );
    // The DeviceId is bound, not only the key.
    assert_eq!(
        open(&envelope, recipient.sealing(), other.id()),
        Err(OpenError::NotForMe)
    );
    assert!(open(&envelope, recipient.sealing(), recipient.id()).is_ok());
}

#[test]
fn any_change_opens_nothing() {
    let (envelope, device) = sealed(b"hello", 1);
    for byte in [0, 1087, 1119, 1120, 4000, 7999] {
        let mut changed = envelope.clone();
        changed[byte] ^= 1;
        assert_eq!(
            open(&changed, device.sealing(), device.id()),
            Err(OpenError::NotForMe)
        );
    }
    assert_eq!(
        open(&[0; ENVELOPE_LEN], device.sealing(), device.id()),
        Err(OpenError::NotForMe)
    );
}

#[test]
fn former_sealing_keys_still_open() {
    let (envelope, mut device) = sealed(b"hello", 1);
    for week in 1..=3 {
        assert!(
            device
                .sealing_mut()
                .rotate(MADE + Duration::from_days(7 * week), &mut rng(week))
        );
    }
    assert_eq!(
        open(&envelope, device.sealing(), device.id()).unwrap(),
        fragment(b"hello")
    );
    device
        .sealing_mut()
        .rotate(MADE + Duration::from_days(30 + 37 + 1), &mut rng(9));
    assert_eq!(
        open(&envelope, device.sealing(), device.id()),
        Err(OpenError::NotForMe)
    );
}

#[test]
fn equal_fragments_give_different_envelopes() {
    let key = sealing_key(&device(1), 1);
    let mut rng = rng(3);
    let one = seal(&fragment(b"hello"), &key, &mut rng).unwrap();
    assert_ne!(one, seal(&fragment(b"hello"), &key, &mut rng).unwrap());
}

#[test]
fn a_sealed_non_fragment_is_the_senders_fault() {
    let device = device(1);
    let key = sealing_key(&device, 1);
    let info = b"ZenTalk envelope v1";
    let sealed = |plaintext: &[u8]| {
        hpke::seal(
            key.key(),
            info,
            device.id().as_bytes(),
            plaintext,
            &mut rng(1),
        )
        .unwrap()
    };
    let envelope: Envelope = sealed(&[0xff; FRAGMENT_LEN]).try_into().unwrap();
    let refused = open(&envelope, device.sealing(), device.id());
    assert!(
        matches!(refused, Err(OpenError::Fragment(_))),
        "{refused:?}"
    );
}
