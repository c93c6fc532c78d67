//! Faults that an earlier implementation had, as far as they are a session's.

use super::support::{Party, acquainted, strangers};
use crate::content::Content;
use crate::identity::DeviceCertificate;
use crate::identity::UnverifiedCertificate;
use crate::identity::test_support::{MADE, account, device};
use crate::ratchet::DecryptError;
use crate::session::{MAX_ARCHIVED, PeerDevice, ReceiveError, SessionMessage};
use crate::test_support::rng;
use crate::time::Duration;
use crate::wire::codec::BoundedBytes;
use crate::x3dh::{AcceptError, Initial};

/// `to` refuses `bytes`, and nothing that it stores changes.
fn refused(to: &mut Party, bytes: &[u8]) -> ReceiveError {
    let before = to.snapshot();
    let error = to.receives(bytes).unwrap_err();
    assert_eq!(to.snapshot(), before);
    error
}

fn altered(bytes: &[u8], change: impl FnOnce(&mut SessionMessage)) -> Vec<u8> {
    let mut message = SessionMessage::decode(bytes).unwrap();
    change(&mut message);
    message.encode()
}

#[test]
fn fault_01_a_reply_needs_the_responders_secrets() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let hello = alice.sends(bob.peer(), b"hello");
    bob.reads(&hello);
    let reply = bob.sends(alice.peer(), b"reply");
    // Whoever has seen everything on the way, but has other secrets, reads nothing.
    let mut eve = Party::new(2);
    assert_eq!(
        refused(&mut eve, &hello),
        ReceiveError::Agreement(unknown_prekey(&hello))
    );
    assert_eq!(refused(&mut eve, &reply), ReceiveError::UnknownSession);
    assert_eq!(alice.reads(&reply), b"reply");
    let (first, second) = (
        SessionMessage::decode(&hello).unwrap(),
        SessionMessage::decode(&reply).unwrap(),
    );
    assert_ne!(first.header().dh(), second.header().dh());
}

fn unknown_prekey(bytes: &[u8]) -> AcceptError {
    let initial = SessionMessage::decode(bytes).unwrap().initial.unwrap();
    AcceptError::UnknownSignedPreKey(initial.verify().unwrap().2.signed_prekey)
}

#[test]
fn fault_02_a_refused_message_leaves_the_records_byte_identical() {
    let (mut alice, mut bob) = acquainted();
    let genuine = alice.sends(bob.peer(), b"genuine");
    for byte in [0, 500, 2000, 2311] {
        let forged = altered(&genuine, |message| message.header.0[byte] ^= 1);
        refused(&mut bob, &forged);
    }
    let forged = altered(&genuine, |message| {
        let mut ciphertext = message.ciphertext.to_vec();
        ciphertext[0] ^= 1;
        message.ciphertext = BoundedBytes::new(ciphertext).unwrap();
    });
    assert_eq!(
        refused(&mut bob, &forged),
        ReceiveError::Ratchet(DecryptError::Forged)
    );
    let truncated = altered(&genuine, |message| {
        message.ciphertext = BoundedBytes::new(*b"short").unwrap()
    });
    assert_eq!(
        refused(&mut bob, &truncated),
        ReceiveError::Ratchet(DecryptError::Forged)
    );
    assert_eq!(bob.reads(&genuine), b"genuine");
    assert_eq!(
        refused(&mut bob, &genuine),
        ReceiveError::Ratchet(DecryptError::AlreadyUsed)
    );
}

#[test]
fn fault_02_a_refused_first_message_burns_no_prekey() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let hello = alice.sends(bob.peer(), b"hello");
    let outstanding = bob.prekeys.one_time_outstanding();
    let forged = altered(&hello, |message| message.header.0[2311] ^= 1);
    assert_eq!(
        refused(&mut bob, &forged),
        ReceiveError::Ratchet(DecryptError::Forged)
    );
    let other_id = altered(&hello, |message| {
        message.session = crate::id::SessionId::from_bytes([1; 16])
    });
    assert_eq!(refused(&mut bob, &other_id), ReceiveError::OtherSessionId);
    assert_eq!(bob.prekeys.one_time_outstanding(), outstanding);
    assert_eq!(bob.reads(&hello), b"hello");
    assert_eq!(bob.prekeys.one_time_outstanding(), outstanding - 1);
}

#[test]
fn fault_03_first_messages_may_come_in_any_order() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let messages: Vec<_> = (0..6u8).map(|i| alice.sends(bob.peer(), &[i])).collect();
    for i in [2u8, 0, 3, 1, 5, 4] {
        assert_eq!(bob.reads(&messages[usize::from(i)]), [i]);
    }
    assert_eq!(bob.records.len(), 1);
    assert_eq!(bob.record(alice.peer()).sessions().count(), 1);
}

#[test]
fn fault_05_every_initiator_has_a_one_time_prekey_of_its_own() {
    let (mut alice, mut bob) = strangers();
    let mut carol = Party::new(2);
    alice.starts(bob.bundle(true));
    carol.starts(bob.bundle(true));
    let (from_alice, from_carol) = (
        alice.sends(bob.peer(), b"from Alice"),
        carol.sends(bob.peer(), b"from Carol"),
    );
    assert_eq!(bob.reads(&from_alice), b"from Alice");
    assert_eq!(bob.reads(&from_carol), b"from Carol");
    assert_eq!(bob.records.len(), 2);
}

#[test]
fn fault_05_a_used_one_time_prekey_is_named_and_calls_for_a_new_session() {
    let (mut alice, mut bob) = strangers();
    let mut carol = Party::new(2);
    let bundle = bob.bundle(true);
    // A relay that hands one entry out twice.
    alice.starts(bundle);
    let used = alice.records[&bob.peer()].clone();
    let hello = alice.sends(bob.peer(), b"hello");
    bob.reads(&hello);
    let header = SessionMessage::decode(&hello)
        .unwrap()
        .initial
        .unwrap()
        .verify()
        .unwrap()
        .2;
    carol.starts(bob.bundle(false));
    let from_carol = carol.sends(bob.peer(), b"hello");
    let from_carol = altered(&from_carol, |message| {
        message.initial = Some(Initial::new(
            carol.account.clone(),
            &carol.certificate,
            header.clone(),
        ));
    });
    let error = refused(&mut bob, &from_carol);
    let one_time = header.one_time_prekey.unwrap();
    let kem = AcceptError::UnknownKemPreKey(header.kem_prekey);
    let dh = AcceptError::UnknownOneTimePreKey(one_time);
    assert!(
        [kem, dh].map(ReceiveError::Agreement).contains(&error),
        "{error:?}"
    );
    assert!(error.calls_for_new_session());
    assert_eq!(
        used.sessions().next(),
        alice.record(bob.peer()).sessions().next()
    );
}

#[test]
fn fault_06_the_sender_is_who_the_certificate_says() {
    let (mut alice, mut bob) = strangers();
    let mut mallory = Party::new(2);
    mallory.starts(bob.bundle(true));
    let hello = mallory.sends(bob.peer(), b"I am Alice");

    // Alice's device id on Mallory's message.
    let claimed = altered(&hello, |message| message.sender = alice.peer().device);
    assert_eq!(refused(&mut bob, &claimed), ReceiveError::OtherPeer);

    // Alice's identity on Mallory's agreement: other associated data, another DH.
    let header = SessionMessage::decode(&hello)
        .unwrap()
        .initial
        .unwrap()
        .verify()
        .unwrap()
        .2;
    let stolen = altered(&hello, |message| {
        message.sender = alice.peer().device;
        message.initial = Some(Initial::new(
            alice.account.clone(),
            &alice.certificate,
            header,
        ));
    });
    assert_eq!(refused(&mut bob, &stolen), ReceiveError::OtherSessionId);

    // As herself she is received, as herself.
    let (_, sender, _) = bob.receives(&hello).unwrap();
    assert_eq!(sender, mallory.peer());
    alice.starts(bob.bundle(true));
    let from_alice = alice.sends(bob.peer(), b"I am");
    assert_eq!(bob.receives(&from_alice).unwrap().1, alice.peer());
    assert_eq!(bob.records.len(), 2);
}

#[test]
fn fault_06_certifying_anothers_device_key_gains_nothing() {
    let (alice, mut bob) = acquainted();
    // Mallory's account certifies Alice's device: the same DeviceId under another address.
    let mallory = account(2);
    let job = DeviceCertificate::to_sign(mallory.keys().address(), &device(0), MADE);
    let signed = mallory.sign_and_finish(job, &mut rng(1)).unwrap();
    let certificate = UnverifiedCertificate::from(signed)
        .verify(&mallory.keys())
        .unwrap();
    assert_eq!(certificate.device_id(), alice.peer().device);
    let before = bob.record(alice.peer()).encode().to_vec();

    // Even with Alice's identity secret she only ever has a record of her own.
    let mut mallory = Party {
        account: mallory.keys(),
        certificate,
        ..Party::new(0)
    };
    mallory.starts(bob.bundle(true));
    let hello = mallory.sends(bob.peer(), b"hello");
    let (_, sender, first) = bob.receives(&hello).unwrap();
    assert_eq!(
        sender,
        PeerDevice {
            address: mallory.account.address(),
            device: alice.peer().device
        }
    );
    assert!(!first.unwrap().started_over);
    assert_eq!(bob.record(alice.peer()).encode().to_vec(), before);
}

#[test]
fn fault_06_a_peer_that_lost_its_sessions_begins_anew() {
    let (mut alice, mut bob) = acquainted();
    let old = bob.record(alice.peer()).current_session();
    alice.records.clear();

    // What Bob sends meanwhile cannot be read, and says why.
    let lost = bob.sends(alice.peer(), b"lost");
    let error = refused(&mut alice, &lost);
    assert_eq!(error, ReceiveError::UnknownSession);
    assert!(error.calls_for_new_session());

    alice.starts(bob.bundle(true));
    let again = alice.sends(bob.peer(), b"again");
    let (plaintext, _, first) = bob.receives(&again).unwrap();
    assert_eq!(plaintext, b"again");
    assert!(first.unwrap().started_over);
    assert_ne!(bob.record(alice.peer()).current_session(), old);
    let reply = bob.sends(alice.peer(), b"reply");
    assert_eq!(alice.reads(&reply), b"reply");
}

#[test]
fn fault_06_first_messages_that_cross_converge_on_the_one_begun_last_or_the_lower_id() {
    for ahead in 0..3 {
        let (mut alice, mut bob) = strangers();
        bob.clock += Duration::from_ms(1);
        alice.clock += Duration::from_ms(ahead);
        alice.starts(bob.bundle(true));
        bob.starts(alice.bundle(true));
        let (a, b) = (alice.sends(bob.peer(), b"a"), bob.sends(alice.peer(), b"b"));
        let of_alice = alice.record(bob.peer()).current_session();
        let of_bob = bob.record(alice.peer()).current_session();
        let chosen = match ahead {
            0 => of_bob,
            1 => of_alice.min(of_bob),
            _ => of_alice,
        };
        assert_eq!(alice.reads(&b), b"b");
        assert_eq!(bob.reads(&a), b"a");
        assert_eq!(alice.record(bob.peer()).current_session(), chosen);
        assert_eq!(bob.record(alice.peer()).current_session(), chosen);
        // Both can still receive in the other one, and go on in this one.
        for round in 0..3u8 {
            let (a, b) = (
                alice.sends(bob.peer(), &[round]),
                bob.sends(alice.peer(), &[round]),
            );
            assert_eq!((alice.reads(&b), bob.reads(&a)), (vec![round], vec![round]));
            assert_eq!(alice.record(bob.peer()).current_session(), chosen);
            assert_eq!(bob.record(alice.peer()).current_session(), chosen);
        }
    }
}

#[test]
fn fault_06_a_replayed_first_message_resets_nothing() {
    let (mut alice, mut bob) = strangers();
    // Without a one-time prekey nothing but the session's id tells the replay.
    alice.starts(bob.bundle(false));
    let hello = alice.sends(bob.peer(), b"hello");
    bob.reads(&hello);
    let hi = bob.sends(alice.peer(), b"hi");
    alice.reads(&hi);
    assert_eq!(
        refused(&mut bob, &hello),
        ReceiveError::Ratchet(DecryptError::AlreadyUsed)
    );
    let on = alice.sends(bob.peer(), b"on");
    assert_eq!(bob.reads(&on), b"on");
}

#[test]
fn fault_07_what_does_not_decrypt_has_neither_text_nor_sender() {
    let (mut alice, mut bob) = acquainted();
    let genuine = alice.sends(bob.peer(), b"genuine");
    // Clear text where the ciphertext should be, under a claimed sender.
    let plain = Content::Typing(crate::content::Typing {
        active: true,
        at: MADE,
    })
    .encode(crate::id::MessageId::from_bytes([1; 16]));
    let fake = altered(&genuine, |message| {
        message.ciphertext = BoundedBytes::new(plain).unwrap()
    });
    let mut fakes = vec![fake.clone()];
    fakes.push(altered(&fake, |message| message.sender = bob.peer().device));
    fakes.push(altered(&fake, |message| {
        message.session = crate::id::SessionId::from_bytes([7; 16])
    }));
    for fake in fakes {
        let before = bob.snapshot();
        // The error carries no bytes: there is nothing that could be shown.
        let error: ReceiveError = bob.receives(&fake).unwrap_err();
        assert!(!error.to_string().contains("genuine"));
        assert_eq!(bob.snapshot(), before);
    }
    assert_eq!(bob.reads(&genuine), b"genuine");
}

/// A first message on the last-resort key, and the record that it leaves with Bob.
fn on_last_resort() -> (Party, Party, Vec<u8>) {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(false));
    let hello = alice.sends(bob.peer(), b"hello");
    bob.reads(&hello);
    (alice, bob, hello)
}

#[test]
fn fault_06_a_replayed_last_resort_message_begins_nothing_whatever_became_of_the_session() {
    let (mut alice, mut bob, hello) = on_last_resort();
    let seen = ReceiveError::Ratchet(DecryptError::AlreadyUsed);
    assert_eq!(refused(&mut bob, &hello), seen, "current");
    alice.starts(bob.bundle(true));
    let anew = alice.sends(bob.peer(), b"anew");
    bob.reads(&anew);
    assert_eq!(refused(&mut bob, &hello), seen, "archived");
    for _ in 0..MAX_ARCHIVED {
        alice.starts(bob.bundle(true));
        let anew = alice.sends(bob.peer(), b"anew");
        bob.reads(&anew);
    }
    assert_eq!(
        refused(&mut bob, &hello),
        ReceiveError::RetiredSession,
        "retired"
    );
    let peer = alice.peer();
    bob.records.get_mut(&peer).unwrap().retired.clear();
    let replayed = ReceiveError::Agreement(AcceptError::Replayed);
    assert_eq!(refused(&mut bob, &hello), replayed, "retired long ago");
    bob.records.clear();
    assert_eq!(refused(&mut bob, &hello), replayed, "deleted");
    assert!(bob.records.is_empty());
    // Anew, not for ever lost: it may be that this side has lost the session.
    assert!(replayed.calls_for_new_session());
}

#[test]
fn fault_06_a_forged_last_resort_message_leaves_the_genuine_one_its_place() {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(false));
    let hello = alice.sends(bob.peer(), b"hello");
    let forged = altered(&hello, |message| message.header.0[2311] ^= 1);
    for _ in 0..2 {
        assert_eq!(
            refused(&mut bob, &forged),
            ReceiveError::Ratchet(DecryptError::Forged)
        );
    }
    assert_eq!(bob.reads(&hello), b"hello");
}

#[test]
fn fault_06_a_device_restored_from_a_copy_comes_back_into_conversation() {
    let (mut alice, mut bob) = acquainted();
    let copy = bob.records.clone();
    for round in 0..2u8 {
        let there = alice.sends(bob.peer(), &[round]);
        bob.reads(&there);
        let back = bob.sends(alice.peer(), &[round]);
        alice.reads(&back);
    }
    bob.records = copy;
    let lost = alice.sends(bob.peer(), b"lost");
    let error = refused(&mut bob, &lost);
    assert!(matches!(error, ReceiveError::Ratchet(_)), "{error:?}");
    assert!(error.calls_for_new_session());
    bob.starts(alice.bundle(true));
    let again = bob.sends(alice.peer(), b"again");
    let (plaintext, _, first) = alice.receives(&again).unwrap();
    assert_eq!(plaintext, b"again");
    assert!(first.unwrap().started_over);
    let reply = alice.sends(bob.peer(), b"reply");
    assert_eq!(bob.reads(&reply), b"reply");
}

#[test]
fn what_relays_can_repeat_calls_for_nothing() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.sends(bob.peer(), b"once");
    bob.reads(&message);
    assert!(!refused(&mut bob, &message).calls_for_new_session());
    assert!(ReceiveError::RetiredSession.calls_for_new_session());
    assert!(!ReceiveError::OtherPeer.calls_for_new_session());
    assert!(ReceiveError::Ratchet(DecryptError::Forged).calls_for_new_session());
    assert!(ReceiveError::Ratchet(DecryptError::TooFarAhead(2000)).calls_for_new_session());
}
