//! Tests of the double ratchet.

mod headers;
mod records;
mod secrecy;

use super::double_ratchet::Turn;
use super::*;
use crate::crypto::Secret32;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::ml_kem::{MlKemPublic, MlKemSecret};
use crate::test_support::rng;
use crate::time::{Duration, Timestamp};

pub(super) const AD: &[u8] = b"associated data of the session";
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What travels.
pub(super) type Message = (Header, Vec<u8>);

/// Both sides right after the agreement; Bob exists once he has received something.
pub(super) struct Pair {
    pub(super) alice: Ratchet,
    shared: Secret32,
    pub(super) bob_dh: X25519Secret,
    pub(super) bob_ek: MlKemSecret,
    pub(super) rng: rand_chacha::ChaCha20Rng,
}

impl Pair {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let shared = Secret32::random(&mut rng);
        let (bob_dh, bob_ek) = (
            X25519Secret::random(&mut rng),
            MlKemSecret::random(&mut rng),
        );
        let alice = Ratchet::initiate(shared.clone(), *bob_dh.public(), bob_ek.public().clone());
        Self {
            alice,
            shared,
            bob_dh,
            bob_ek,
            rng,
        }
    }

    pub(super) fn accept(&self, message: &Message) -> Result<(Vec<u8>, Ratchet), DecryptError> {
        let (header, ciphertext) = message;
        let shared = self.shared.clone();
        Ratchet::accept(
            shared,
            &self.bob_dh,
            &self.bob_ek,
            AD,
            header,
            ciphertext,
            NOW,
        )
    }

    /// A pair that has talked: Alice sent, Bob received.
    fn met(seed: u64) -> (Self, Ratchet) {
        let mut pair = Self::new(seed);
        let first = pair.alice_sends(b"first");
        let (plaintext, bob) = pair.accept(&first).unwrap();
        assert_eq!(plaintext, b"first");
        (pair, bob)
    }

    pub(super) fn alice_sends(&mut self, plaintext: &[u8]) -> Message {
        self.alice.encrypt(AD, plaintext, &mut self.rng).unwrap()
    }
}

fn send(from: &mut Ratchet, plaintext: &[u8], seed: u64) -> Message {
    from.encrypt(AD, plaintext, &mut rng(seed)).unwrap()
}

fn receive(to: &mut Ratchet, message: &Message) -> Result<Vec<u8>, DecryptError> {
    let (plaintext, next) = to.decrypt(AD, &message.0, &message.1, NOW)?;
    *to = next;
    Ok(plaintext)
}

/// The header with its bytes changed.
fn changed(header: &Header, change: impl FnOnce(&mut [u8; Header::LEN])) -> Header {
    let mut bytes = header.encode();
    change(&mut bytes);
    Header::decode(&bytes)
}

/// `to` refuses `message` and its record does not change by a bit.
fn refused(to: &Ratchet, message: &Message) -> DecryptError {
    let before = to.encode();
    let error = to.decrypt(AD, &message.0, &message.1, NOW).unwrap_err();
    assert_eq!(*to.encode(), *before);
    error
}

#[test]
fn both_directions_and_several_rounds() {
    let (mut pair, mut bob) = Pair::met(1);
    for round in 0..5u8 {
        for i in 0..3 {
            let message = send(&mut bob, &[round, i], u64::from(round) * 10 + u64::from(i));
            assert_eq!(receive(&mut pair.alice, &message).unwrap(), [round, i]);
        }
        let message = pair.alice_sends(&[round]);
        assert_eq!(receive(&mut bob, &message).unwrap(), [round]);
    }
}

#[test]
fn an_empty_message_and_the_longest() {
    let (mut pair, mut bob) = Pair::met(1);
    let empty = pair.alice_sends(b"");
    assert_eq!(receive(&mut bob, &empty).unwrap(), b"");
    let longest = pair.alice_sends(&vec![7; MAX_PLAINTEXT_LEN]);
    assert_eq!(
        receive(&mut bob, &longest).unwrap().len(),
        MAX_PLAINTEXT_LEN
    );
    let before = pair.alice.encode();
    let too_long = pair
        .alice
        .encrypt(AD, &vec![7; MAX_PLAINTEXT_LEN + 1], &mut rng(1));
    assert_eq!(
        too_long.unwrap_err(),
        EncryptError::TooLong(MAX_PLAINTEXT_LEN + 1)
    );
    assert_eq!(*pair.alice.encode(), *before);
}

#[test]
fn fault_01_replies_need_secrets_and_every_turn_steps() {
    let (mut pair, mut bob) = Pair::met(1);
    let mut seen: Vec<X25519Public> = vec![];
    let mut eks: Vec<Vec<u8>> = vec![];
    for round in 0..4 {
        let reply = send(&mut bob, b"reply", round);
        assert_eq!(receive(&mut pair.alice, &reply).unwrap(), b"reply");
        let answer = pair.alice_sends(b"answer");
        assert_eq!(receive(&mut bob, &answer).unwrap(), b"answer");
        seen.extend([reply.0.dh(), answer.0.dh()]);
        eks.extend([reply.0.ek().to_vec(), answer.0.ek().to_vec()]);
    }
    // The DH and the KEM key are new at every change of direction.
    seen.sort();
    seen.dedup();
    eks.sort();
    eks.dedup();
    assert_eq!((seen.len(), eks.len()), (8, 8));
}

#[test]
fn fault_01_constant_keys_do_not_open_a_reply() {
    let (_, mut bob) = Pair::met(1);
    let (header, ciphertext) = send(&mut bob, b"reply", 2);
    let zero = Secret32::from_bytes([0; 32]);
    let guesses = [
        message_key::MessageKey::new(zero.clone()),
        chain_key::ChainKey::new(zero.clone()).message_key(),
        root_key::RootKey::new(zero.clone())
            .step(&zero, &zero)
            .1
            .message_key(),
    ];
    for guess in guesses {
        assert!(guess.open(AD, &header, &ciphertext).is_err());
    }
}

#[test]
fn fault_02_forged_truncated_replayed_leave_the_record_byte_identical() {
    let (mut pair, mut bob) = Pair::met(1);
    let genuine = pair.alice_sends(b"in the chain");
    let reply = send(&mut bob, b"a step", 2);

    for (to, message) in [(&bob, &genuine), (&pair.alice, &reply)] {
        for byte in [0, message.1.len() / 2, message.1.len() - 1] {
            let mut forged = message.clone();
            forged.1[byte] ^= 1;
            assert_eq!(refused(to, &forged), DecryptError::Forged);
        }
        for len in [0, 1, 15, message.1.len() - 1] {
            let truncated = (message.0.clone(), message.1[..len].to_vec());
            assert_eq!(refused(to, &truncated), DecryptError::Forged);
        }
    }
    receive(&mut bob, &genuine).unwrap();
    assert_eq!(refused(&bob, &genuine), DecryptError::AlreadyUsed);
    receive(&mut pair.alice, &reply).unwrap();
    assert_eq!(refused(&pair.alice, &reply), DecryptError::AlreadyUsed);
}

#[test]
fn fault_02_the_associated_data_binds() {
    let (mut pair, bob) = Pair::met(1);
    let (header, ciphertext) = pair.alice_sends(b"hello");
    let other = bob.decrypt(b"other data", &header, &ciphertext, NOW);
    assert_eq!(other.unwrap_err(), DecryptError::Forged);
}

#[test]
fn fault_03_out_of_order_0_2_3_1_4_5() {
    let mut pair = Pair::new(1);
    let messages: Vec<Message> = (0..6).map(|i| pair.alice_sends(&[i])).collect();
    let (first, mut bob) = pair.accept(&messages[0]).unwrap();
    assert_eq!(first, [0]);
    for i in [2u8, 3, 1, 4, 5] {
        assert_eq!(receive(&mut bob, &messages[usize::from(i)]).unwrap(), [i]);
    }
    assert_eq!(bob.skipped_keys(), 0);
    for message in &messages {
        assert_eq!(refused(&bob, message), DecryptError::AlreadyUsed);
    }
}

#[test]
fn fault_03_stragglers_of_old_chains_open_and_harm_nothing() {
    let (mut pair, mut bob) = Pair::met(1);
    let mut stragglers = vec![];
    for round in 0..3u8 {
        stragglers.push((pair.alice_sends(&[round, 0]), [round, 0]));
        let seen = pair.alice_sends(&[round, 1]);
        stragglers.push((pair.alice_sends(&[round, 2]), [round, 2]));
        assert_eq!(receive(&mut bob, &seen).unwrap(), [round, 1]);
        let reply = send(&mut bob, b"reply", u64::from(round));
        receive(&mut pair.alice, &reply).unwrap();
    }
    let last = pair.alice_sends(b"last");
    assert_eq!(receive(&mut bob, &last).unwrap(), b"last");
    assert_eq!(bob.skipped_keys(), 6);
    for (message, plaintext) in stragglers.iter().rev() {
        assert_eq!(receive(&mut bob, message).unwrap(), plaintext);
        assert!(
            bob.decrypt(AD, &message.0, &message.1, NOW).is_err(),
            "at most once"
        );
    }
    assert_eq!(bob.skipped_keys(), 0);
}

#[test]
fn fault_03_the_last_of_a_first_chain_may_come_first() {
    let mut pair = Pair::new(1);
    let messages: Vec<Message> = (0..4).map(|i| pair.alice_sends(&[i])).collect();
    let (plaintext, mut bob) = pair.accept(&messages[3]).unwrap();
    assert_eq!(plaintext, [3]);
    for i in [1u8, 0, 2] {
        assert_eq!(receive(&mut bob, &messages[usize::from(i)]).unwrap(), [i]);
    }
}

#[test]
fn fault_03_a_jump_is_bounded() {
    let (mut pair, mut bob) = Pair::met(1);
    for _ in 0..MAX_SKIP {
        pair.alice_sends(b"lost");
    }
    let at_the_bound = pair.alice_sends(b"at the bound");
    let mut beyond = bob.clone();
    assert_eq!(receive(&mut bob, &at_the_bound).unwrap(), b"at the bound");
    assert_eq!(bob.skipped_keys(), 1000);
    let one_more = pair.alice_sends(b"one more");
    assert_eq!(
        refused(&beyond, &one_more),
        DecryptError::TooFarAhead(MAX_SKIP + 1)
    );
    // A message within reach moves the window.
    receive(&mut beyond, &at_the_bound).unwrap();
    assert_eq!(receive(&mut beyond, &one_more).unwrap(), b"one more");
}

#[test]
fn fault_03_the_total_is_bounded_and_the_oldest_go_first() {
    let (mut pair, mut bob) = Pair::met(1);
    let mut lost = vec![];
    for round in 0..3 {
        lost.extend((0..1000).map(|_| pair.alice_sends(b"lost")));
        let seen = pair.alice_sends(b"seen");
        receive(&mut bob, &seen).unwrap();
        let reply = send(&mut bob, b"reply", round);
        receive(&mut pair.alice, &reply).unwrap();
    }
    assert_eq!(bob.skipped_keys(), MAX_SKIPPED);
    assert!(bob.encode().len() <= MAX_RECORD_LEN);
    assert_eq!(Ratchet::decode(&bob.encode()).unwrap(), bob);
    refused(&bob, &lost[0]);
    refused(&bob, &lost[999]);
    assert_eq!(receive(&mut bob, &lost[1000]).unwrap(), b"lost");
    assert_eq!(receive(&mut bob, &lost[2999]).unwrap(), b"lost");
}

#[test]
fn fault_03_a_lost_end_of_a_long_chain_does_not_end_the_session() {
    let (mut pair, mut bob) = Pair::met(1);
    let lost: Vec<Message> = (0..1500).map(|_| pair.alice_sends(b"lost")).collect();
    let reply = send(&mut bob, b"reply", 2);
    receive(&mut pair.alice, &reply).unwrap();
    let next = pair.alice_sends(b"next");
    assert_eq!(receive(&mut bob, &next).unwrap(), b"next");
    assert_eq!(bob.skipped_keys(), 1000);
    assert_eq!(receive(&mut bob, &lost[999]).unwrap(), b"lost");
    refused(&bob, &lost[1000]);
}

#[test]
fn skipped_keys_age_out() {
    let (mut pair, mut bob) = Pair::met(1);
    let lost = pair.alice_sends(b"lost");
    let seen = pair.alice_sends(b"seen");
    let next = pair.alice_sends(b"next");
    receive(&mut bob, &seen).unwrap();
    assert_eq!(bob.skipped_keys(), 1);
    let within = NOW + SKIPPED_LIFETIME;
    assert!(bob.decrypt(AD, &lost.0, &lost.1, within).is_ok());
    let (_, later) = bob
        .decrypt(AD, &next.0, &next.1, within + Duration::from_ms(1))
        .unwrap();
    assert_eq!(later.skipped_keys(), 0);
    assert_eq!(refused(&later, &lost), DecryptError::AlreadyUsed);
}

#[test]
fn a_step_out_of_turn_is_refused_without_work() {
    let (_, bob) = Pair::met(1);
    let (stranger, _) = Pair::met(2);
    let mut stranger = stranger;
    let message = stranger.alice_sends(b"not for you");
    assert_eq!(refused(&bob, &message), DecryptError::UnknownChain);
}

#[test]
fn low_order_points_are_refused() {
    let (mut pair, mut bob) = Pair::met(1);
    let mut reply = send(&mut bob, b"reply", 2);
    reply.0 = changed(&reply.0, |bytes| bytes[..32].fill(0));
    assert_eq!(refused(&pair.alice, &reply), DecryptError::LowOrderPoint);

    let ek = pair.bob_ek.public().clone();
    let mut bad = Ratchet::initiate(pair.shared.clone(), X25519Public::from_bytes([0; 32]), ek);
    let before = bad.encode();
    assert_eq!(
        bad.encrypt(AD, b"", &mut pair.rng).unwrap_err(),
        EncryptError::LowOrderPoint
    );
    assert_eq!(*bad.encode(), *before);
}

#[test]
fn a_chain_ends_before_its_numbers_repeat() {
    let (mut pair, _) = Pair::met(1);
    let Turn::Ours(own) = &mut pair.alice.turn else {
        panic!("Alice has sent")
    };
    std::sync::Arc::make_mut(own).n = u32::MAX - 1;
    pair.alice_sends(b"the last");
    let before = pair.alice.encode();
    let error = pair
        .alice
        .encrypt(AD, b"one more", &mut pair.rng)
        .unwrap_err();
    assert_eq!(error, EncryptError::ChainExhausted);
    assert_eq!(*pair.alice.encode(), *before);
}

#[test]
fn debug_shows_counters_only() {
    let (pair, _) = Pair::met(1);
    let shown = format!("{:?}", pair.alice);
    assert_eq!(
        shown,
        "Ratchet { turn: \"ours\", sent: 1, received: None, skipped: 0, .. }"
    );
}

#[test]
fn unusable_kem_key_of_an_authenticated_peer() {
    // A dishonest peer can authenticate anything; a KEM key that is none must end there.
    let mut pair = Pair::new(1);
    let (header, _) = pair.alice_sends(b"hello");
    let header = changed(&header, |bytes| bytes[32..32 + 1184].fill(0xff));
    assert!(MlKemPublic::try_from(header.ek().as_slice()).is_err());
    let (root, own_dh, own_ek) = (pair.shared.clone(), &pair.bob_dh, &pair.bob_ek);
    let dh = own_dh.diffie_hellman(&header.dh()).unwrap();
    let kem = own_ek.decapsulate(&header.ct());
    let (_, chain) = root_key::RootKey::new(root).step(&dh, &kem);
    let ciphertext = chain.message_key().seal(AD, &header, b"hello").unwrap();
    assert_eq!(
        pair.accept(&(header, ciphertext)).unwrap_err(),
        DecryptError::BadKemKey
    );
}
