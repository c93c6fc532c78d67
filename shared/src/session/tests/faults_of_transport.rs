//! Faults 8 and 9: control messages travel as texts do, whatever their size, and nothing travels without a
//! ratchet and a KEM.

use super::support::{NOW, Party, acquainted, strangers};
use crate::id::MessageId;
use crate::ratchet::{DecryptError, Header, MAX_PLAINTEXT_LEN};
use crate::session::{
    Fragment, Inserted, Reassembly, ReceiveError, SessionMessage, open, seal_message,
};
use crate::test_support::rng;
use crate::wire::budget::{ENVELOPE_LEN, MAX_SESSION_MESSAGE_LEN, SINGLE_ENVELOPE_CONTENT};
use crate::wire::{Tag, encode_frame};
use crate::x3dh::{BundleError, PreKeyBase, UnverifiedBundle};

/// Seals a session message, opens its envelopes last first, and joins what is in them.
fn travel(message: &[u8], to: &Party) -> (usize, Vec<u8>) {
    let key = to.device.publish_sealing_key();
    let mailbox = to.device.mailbox().id();
    let key = key.verify(&to.certificate, mailbox).unwrap();
    let envelopes = seal_message(message, &key, &mut rng(1)).unwrap();
    let mut waiting = Reassembly::default();
    for (index, envelope) in envelopes.iter().enumerate().rev() {
        assert_eq!(envelope.len(), ENVELOPE_LEN);
        let opened: Fragment = open(envelope, to.device.sealing(), to.device.id()).unwrap();
        match waiting.insert(opened, NOW) {
            Inserted::Complete { message, .. } if index == 0 => return (envelopes.len(), message),
            Inserted::Kept { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    unreachable!("the first fragment completes the message")
}

/// A change of a group's membership, say: a frame with so many bytes of body.
fn control(length: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    encode_frame(Tag::GroupMessage, MessageId::from_bytes([8; 16]), &body)
}

#[test]
fn fault_08_control_messages_of_any_size_arrive_as_texts_do() {
    let (mut alice, mut bob) = acquainted();
    let sizes = [0, 1, SINGLE_ENVELOPE_CONTENT, 16_384, 200_000, 1 << 20];
    let mut envelopes = Vec::new();
    for size in sizes {
        let plaintext = control(size);
        let message = alice.sends(bob.peer(), &plaintext);
        let (count, joined) = travel(&message, &bob);
        assert_eq!(bob.reads(&joined), plaintext, "{size} bytes");
        envelopes.push(count);
    }
    assert_eq!(envelopes[..4], [1, 1, 1, 3]);
    assert!(
        envelopes.is_sorted() && envelopes[5] <= 160,
        "{envelopes:?}"
    );
}

#[test]
fn fault_08_the_largest_control_message_can_be_the_first() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let plaintext = control(1 << 20);
    assert_eq!(plaintext.len(), MAX_PLAINTEXT_LEN);
    let message = alice.sends(bob.peer(), &plaintext);
    assert!(message.len() <= MAX_SESSION_MESSAGE_LEN);
    let (_, joined) = travel(&message, &bob);
    let (received, sender, first) = bob.receives(&joined).unwrap();
    assert_eq!((received, sender), (plaintext, alice.peer()));
    assert!(first.is_some());
    let over = vec![0; MAX_PLAINTEXT_LEN + 1];
    let mut record = alice.record(bob.peer()).clone();
    assert!(record.encrypt(alice.me(), &over, &mut rng(1)).is_err());
}

/// `bytes` with a change, refused by Bob for that reason.
fn refusal(
    bob: &mut Party,
    bytes: &[u8],
    change: impl FnOnce(&mut SessionMessage),
) -> ReceiveError {
    let mut message = SessionMessage::decode(bytes).unwrap();
    change(&mut message);
    let before = bob.snapshot();
    let error = bob.receives(&message.encode()).unwrap_err();
    assert_eq!(bob.snapshot(), before);
    error
}

#[test]
fn fault_09_no_message_goes_without_a_kem_and_a_ratchet_step() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let mut chains = std::collections::HashSet::new();
    for round in 0..4u8 {
        let message = alice.sends(bob.peer(), &[round]);
        let reply_to = SessionMessage::decode(&message).unwrap();
        // The KEM's part of the header takes part in the key, not only in the tag.
        let forged = refusal(&mut bob, &message, |message| {
            message.header.0[32 + 1184] ^= 1
        });
        assert_eq!(forged, ReceiveError::Ratchet(DecryptError::Forged));
        bob.reads(&message);
        let reply = bob.sends(alice.peer(), &[round]);
        let reply = SessionMessage::decode(&reply).unwrap();
        for header in [reply_to.header(), reply.header()] {
            assert_eq!(header.encode().len(), Header::LEN);
            assert!(header.ct().as_bytes().iter().any(|byte| *byte != 0));
            assert!(chains.insert(header.dh()), "every turn is a new step");
        }
        alice.reads(&reply.encode());
    }
}

#[test]
fn fault_09_an_agreement_without_a_kem_key_does_not_exist() {
    let (mut alice, mut bob) = strangers();
    // A base as another would encode it, without key 3.
    let base = bob.prekeys.base(bob.device.signing(), &bob.certificate);
    let bytes = base.encode();
    let mut stripped = bytes.clone();
    let kem = stripped.windows(2).position(|w| w == [3, 0xa4]).unwrap();
    stripped.truncate(kem);
    stripped[0] -= 1;
    let bundle = UnverifiedBundle {
        base: PreKeyBase::decode(&stripped).unwrap(),
        one_time: None,
    };
    let refused = bundle.verify(&bob.certificate, NOW).unwrap_err();
    assert_eq!(refused, BundleError::MissingKemKey);

    // And a first message whose KEM ciphertext is gone or exchanged begins nothing.
    alice.starts(bob.bundle(false));
    let hello = alice.sends(bob.peer(), b"hello");
    let message = SessionMessage::decode(&hello).unwrap();
    assert!(message.initial.is_some());
    let stripped = refusal(&mut bob, &hello, |message| message.initial = None);
    assert_eq!(stripped, ReceiveError::UnknownSession);
    assert!(bob.records.is_empty());
    assert_eq!(bob.reads(&hello), b"hello");
}
