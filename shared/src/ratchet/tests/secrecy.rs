//! What a copy of a state is worth, before and after.

use super::*;

#[test]
fn forward_secrecy_a_snapshot_opens_nothing_from_before() {
    let (mut pair, mut bob) = Pair::met(1);
    let mut recorded = vec![];
    for round in 0..3u8 {
        let message = pair.alice_sends(&[round]);
        receive(&mut bob, &message).unwrap();
        recorded.push(message);
        let reply = send(&mut bob, &[round], u64::from(round));
        receive(&mut pair.alice, &reply).unwrap();
    }
    let in_chain = pair.alice_sends(b"same chain");
    receive(&mut bob, &in_chain).unwrap();
    recorded.push(in_chain);
    let snapshot = Ratchet::decode(&bob.encode()).unwrap();
    for message in &recorded {
        assert!(snapshot.decrypt(AD, &message.0, &message.1, NOW).is_err());
    }
}

#[test]
fn healing_a_snapshot_is_shut_out_after_one_round_trip() {
    let (mut pair, mut bob) = Pair::met(1);
    let reply = send(&mut bob, b"reply", 2);
    receive(&mut pair.alice, &reply).unwrap();
    let thief = Ratchet::decode(&bob.encode()).unwrap();

    // Alice answers to keys that the thief has: read.
    let read = pair.alice_sends(b"still readable");
    let (plaintext, thief) = thief.decrypt(AD, &read.0, &read.1, NOW).unwrap();
    assert_eq!(plaintext, b"still readable");
    receive(&mut bob, &read).unwrap();

    // Bob steps with fresh randomness, Alice answers: shut out, for good.
    let healing = send(&mut bob, b"healing", 99);
    receive(&mut pair.alice, &healing).unwrap();
    let mut own_attempt = thief.clone();
    let _ = send(&mut own_attempt, b"the thief's own step", 7);
    for seed in 100..103 {
        let secret = pair.alice_sends(b"healed");
        assert!(thief.decrypt(AD, &secret.0, &secret.1, NOW).is_err());
        assert!(own_attempt.decrypt(AD, &secret.0, &secret.1, NOW).is_err());
        assert_eq!(receive(&mut bob, &secret).unwrap(), b"healed");
        let reply = send(&mut bob, b"reply", seed);
        receive(&mut pair.alice, &reply).unwrap();
    }
}

#[test]
fn either_secret_alone_does_not_step() {
    // An attacker who breaks X25519 but not ML-KEM, or the other way round, derives other keys.
    let root = root_key::RootKey::new(Secret32::from_bytes([1; 32]));
    let (dh, kem) = (Secret32::from_bytes([2; 32]), Secret32::from_bytes([3; 32]));
    let unknown = Secret32::from_bytes([0; 32]);
    let genuine = root.step(&dh, &kem);
    assert_ne!(root.step(&dh, &unknown).1, genuine.1);
    assert_ne!(root.step(&unknown, &kem).1, genuine.1);
}
