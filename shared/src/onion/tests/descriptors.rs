//! Descriptors, signers and directories.

use super::support::{
    NOW, info, onion_keys, onion_keys_of, publication, relay, relay_with, signer,
};
use crate::crypto::kem::{Suite, X25519Kem};
use crate::crypto::sign::BadSignature;
use crate::onion::descriptor::{
    CLOCK_SKEW, DescriptorError, Features, MAX_VALIDITY, OnionKey, RelayDescriptor, RelayInfo,
    UnverifiedDescriptor, node_id,
};
use crate::onion::directory::{Directory, Inserted};
use crate::onion::epoch::{EPOCH_LENGTH, Epoch};
use crate::onion::signer::{LinkSide, LinkTranscript, Publication, RelaySigner};
use crate::onion::url::RelayUrl;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::CodecError;
use proptest::prelude::*;

fn signed(index: u16) -> RelayDescriptor {
    signer(index)
        .sign_descriptor(&info(index), &onion_keys(index, NOW), publication(NOW))
        .unwrap()
}

fn verify(bytes: &[u8], now: Timestamp) -> Result<RelayDescriptor, DescriptorError> {
    UnverifiedDescriptor::decode(bytes)?.verify(now)
}

#[test]
fn what_a_relay_signs_a_reader_verifies() {
    let signer = signer(0);
    let descriptor = signed(0);
    let read = verify(descriptor.bytes(), NOW).unwrap();
    assert_eq!(read, descriptor);
    assert_eq!(read.node(), node_id(signer.rsa_public()));
    assert_eq!(read.info(), &info(0));
    assert_eq!(read.relay_key(), &signer.signing_key().verifying_key());
    let hop = read.hop::<X25519Kem>(NOW, Duration::from_ms(5)).unwrap();
    assert_eq!(
        (hop.node, hop.epoch, hop.delay),
        (read.node(), Epoch::at(NOW), Duration::from_ms(5))
    );
    assert!(
        read.hop::<X25519Kem>(NOW + EPOCH_LENGTH, Duration::ZERO)
            .is_some()
    );
    assert!(
        read.hop::<X25519Kem>(NOW + EPOCH_LENGTH * 2, Duration::ZERO)
            .is_none()
    );
}

#[test]
fn no_flipped_byte_is_accepted() {
    let bytes = signed(0).bytes().to_vec();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(verify(&damaged, NOW).is_err(), "byte {at}");
    }
    for length in [0, 36, bytes.len() - 1] {
        assert!(verify(&bytes[..length], NOW).is_err());
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        verify(&longer, NOW).unwrap_err(),
        DescriptorError::Codec(CodecError::Trailing)
    );
    let huge = vec![0xa0; 8193];
    assert_eq!(
        verify(&huge, NOW).unwrap_err(),
        DescriptorError::Codec(CodecError::TooLong(8192))
    );
}

#[test]
fn an_identity_of_other_parts_is_refused() {
    let (one, two) = (signer(0), signer(1));
    let parts = RelaySigner::from_parts;
    let (rsa, key) = (one.rsa_public().clone(), one.signing_key().clone());
    assert!(parts(rsa.clone(), one.certificate().clone(), key.clone()).is_ok());
    let others = parts(rsa, two.certificate().clone(), key.clone());
    assert_eq!(others.unwrap_err(), BadSignature);
    // The certificate of another RSA key under a descriptor that is otherwise in order.
    let forged = RelaySigner::uncertified(two.node(), two.rsa_public().clone(), key)
        .sign_descriptor(&info(1), &onion_keys(1, NOW), publication(NOW))
        .unwrap();
    assert_eq!(
        verify(forged.bytes(), NOW).unwrap_err(),
        DescriptorError::Certificate
    );
}

#[test]
fn another_relays_node_id_is_refused() {
    let (one, two) = (signer(0), signer(1));
    let mut thief = one.clone();
    thief.claim(two.node());
    let forged = thief
        .sign_descriptor(&info(0), &onion_keys(0, NOW), publication(NOW))
        .unwrap();
    assert_eq!(
        verify(forged.bytes(), NOW).unwrap_err(),
        DescriptorError::NodeId
    );
    let unverified = UnverifiedDescriptor::decode(forged.bytes()).unwrap();
    assert_eq!(unverified.claimed_node(), two.node());
    let renewal = unverified.verify_renewal(&signed(0), NOW);
    assert_eq!(renewal.unwrap_err(), DescriptorError::NodeId);
}

#[test]
fn a_renewal_is_checked_without_rsa_but_for_all_that_is_new() {
    let previous = signed(0);
    let later = NOW + Duration::from_hours(6);
    let renewed = signer(0)
        .sign_descriptor(&info(0), &onion_keys(0, later), publication(later))
        .unwrap();
    let unverified = UnverifiedDescriptor::decode(renewed.bytes()).unwrap();
    assert_eq!(
        unverified.clone().verify_renewal(&previous, later).unwrap(),
        renewed
    );
    assert_eq!(
        unverified.verify_renewal(&signed(1), later).unwrap(),
        renewed,
        "with an unrelated predecessor everything is checked"
    );
    let mut damaged = renewed.bytes().to_vec();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let unverified = UnverifiedDescriptor::decode(&damaged).unwrap();
    assert_eq!(
        unverified.verify_renewal(&previous, later).unwrap_err(),
        DescriptorError::Signature
    );
}

#[test]
fn dates_are_checked() {
    let ms = Duration::from_ms(1);
    let descriptor = signed(0);
    let until = NOW + Duration::from_hours(12);
    assert!(verify(descriptor.bytes(), NOW - CLOCK_SKEW).is_ok());
    let early = verify(descriptor.bytes(), NOW - CLOCK_SKEW - ms).unwrap_err();
    assert_eq!(early, DescriptorError::NotYetValid(NOW));
    assert!(verify(descriptor.bytes(), until - ms).is_ok());
    assert_eq!(
        verify(descriptor.bytes(), until).unwrap_err(),
        DescriptorError::Expired(until)
    );
    assert!(descriptor.is_valid(NOW) && !descriptor.is_valid(until));
    for (from, until) in [(NOW, NOW), (NOW, NOW - ms), (NOW, NOW + MAX_VALIDITY + ms)] {
        let publication = Publication {
            sequence: 1,
            from,
            until,
        };
        let error = signer(0)
            .sign_descriptor(&info(0), &onion_keys(0, NOW), publication)
            .unwrap_err();
        assert_eq!(error, DescriptorError::Validity { from, until });
    }
}

#[test]
fn bounds_hold_for_the_signer_too() {
    let signer = signer(0);
    let keys = onion_keys(0, NOW);
    let sign = |info, keys: &[OnionKey]| signer.sign_descriptor(&info, keys, publication(NOW));
    let mut many_urls = info(0);
    many_urls.urls = vec![many_urls.urls[0].clone(); 5];
    assert!(matches!(
        sign(many_urls, &keys),
        Err(DescriptorError::Codec(_))
    ));
    let mut no_url = info(0);
    no_url.urls.clear();
    assert_eq!(sign(no_url, &keys).unwrap_err(), DescriptorError::Url(None));
    let mut long_name = info(0);
    long_name.operator = "o".repeat(65);
    assert!(matches!(
        sign(long_name, &keys),
        Err(DescriptorError::Codec(_))
    ));
    assert_eq!(sign(info(0), &[]).unwrap_err(), DescriptorError::NoOnionKey);
    assert!(matches!(
        sign(info(0), &vec![keys[0].clone(); 13]),
        Err(DescriptorError::Codec(_))
    ));
    let long_key = OnionKey {
        key: vec![0; 1217],
        ..keys[0].clone()
    };
    assert!(matches!(
        sign(info(0), &[long_key]),
        Err(DescriptorError::Codec(_))
    ));
}

#[test]
fn a_key_that_its_suite_refuses_is_no_reason_to_draw_the_relay() {
    // A point of order one, to which nobody can seal; three keys of wrong lengths.
    let mut one = vec![0; 32];
    one[0] = 1;
    let refused = [
        (Suite::X25519, one),
        (Suite::X25519, vec![1; 31]),
        (Suite::XWing, vec![1; 32]),
        (Suite::Rsa4096, vec![1; 550]),
    ];
    for (suite, key) in refused {
        let odd = OnionKey {
            suite: suite.number(),
            epoch: Epoch::at(NOW),
            key,
        };
        let keys = [onion_keys(0, NOW), vec![odd]].concat();
        let descriptor = signer(0)
            .sign_descriptor(&info(0), &keys, publication(NOW))
            .unwrap();
        let refused = verify(descriptor.bytes(), NOW).unwrap_err();
        assert_eq!(refused, DescriptorError::OnionKey(suite));
    }
}

#[test]
fn keys_of_suites_that_are_not_known_here_do_no_harm() {
    let later = OnionKey {
        suite: 9,
        epoch: Epoch::at(NOW),
        key: vec![1; 99],
    };
    let keys = [onion_keys(0, NOW), vec![later]].concat();
    let descriptor = signer(0)
        .sign_descriptor(&info(0), &keys, publication(NOW))
        .unwrap();
    let read = verify(descriptor.bytes(), NOW).unwrap();
    assert!(read.hop::<X25519Kem>(NOW, Duration::ZERO).is_some());
}

#[test]
fn a_relay_whose_key_is_spent_is_reached_by_the_next_one() {
    let next = onion_keys(0, NOW).split_off(1);
    let epoch = next[0].epoch;
    let descriptor = signer(0)
        .sign_descriptor(&info(0), &next, publication(NOW))
        .unwrap();
    let hop = descriptor.hop::<X25519Kem>(NOW, Duration::ZERO).unwrap();
    assert_eq!(hop.epoch, epoch);
    assert_ne!(hop.epoch, Epoch::at(NOW));
}

#[test]
fn a_descriptor_has_room_for_all_suites_and_the_longest_words() {
    let info = RelayInfo {
        urls: (0..4)
            .map(|n| RelayUrl::parse(&format!("wss://{}{n}.example/v1", "a".repeat(60))).unwrap())
            .collect(),
        operator: "o".repeat(64),
        region: "r".repeat(32),
        software: "s".repeat(32),
        ..info(0)
    };
    let keys = onion_keys_of(0, &Suite::ALL, NOW);
    let descriptor = signer(0)
        .sign_descriptor(&info, &keys, publication(NOW))
        .unwrap();
    let length = descriptor.bytes().len();
    assert!((4000..6000).contains(&length), "{length} bytes");
}

#[test]
fn features_are_sets() {
    let both = Features::GUARD.with(Features::MAILBOX);
    assert!(both.has(Features::GUARD) && both.has(Features::NONE) && !both.has(Features::ALL));
    assert_eq!(both.with(Features::DIRECTORY), Features::ALL);
}

#[test]
fn the_two_sides_of_a_link_sign_different_things() {
    let (one, two) = (signer(0), signer(1));
    let transcript = LinkTranscript {
        connects: one.node(),
        accepts: two.node(),
        connect_nonce: [1; 32],
        accept_nonce: [2; 32],
    };
    let accept = two.sign_link(LinkSide::Accept, &transcript);
    let connect = one.sign_link(LinkSide::Connect, &transcript);
    let key = |signer: &RelaySigner| signer.signing_key().verifying_key();
    assert!(
        transcript
            .verify(LinkSide::Accept, &key(&two), &accept)
            .is_ok()
    );
    assert!(
        transcript
            .verify(LinkSide::Connect, &key(&one), &connect)
            .is_ok()
    );
    assert!(
        transcript
            .verify(LinkSide::Connect, &key(&two), &accept)
            .is_err(),
        "no reflection"
    );
    let replayed = LinkTranscript {
        accept_nonce: [3; 32],
        ..transcript
    };
    assert!(
        replayed
            .verify(LinkSide::Accept, &key(&two), &accept)
            .is_err()
    );
    let elsewhere = LinkTranscript {
        connects: two.node(),
        ..transcript
    };
    assert!(
        elsewhere
            .verify(LinkSide::Accept, &key(&two), &accept)
            .is_err()
    );
}

#[test]
fn the_newest_descriptor_stays() {
    let later = NOW + Duration::from_hours(1);
    let (old, new) = (relay(1), relay_with(1, &info(1), later));
    let mut directory = Directory::new();
    assert_eq!(directory.insert(old.clone()), Inserted::New);
    assert_eq!(directory.insert(old.clone()), Inserted::Stale);
    assert_eq!(directory.insert(new.clone()), Inserted::Newer);
    assert_eq!(directory.insert(old), Inserted::Stale);
    assert_eq!(directory.get(&new.node()), Some(&new));
    assert_eq!(directory.len(), 1);
}

#[test]
fn of_two_with_one_sequence_every_directory_keeps_the_same() {
    let mut changed = info(1);
    changed.region = "elsewhere".into();
    let (one, two) = (relay(1), relay_with(1, &changed, NOW));
    let forwards = Directory::from_iter([one.clone(), two.clone()]);
    let backwards = Directory::from_iter([two, one]);
    assert_eq!(forwards, backwards);
}

#[test]
fn what_expires_goes() {
    let mut directory = Directory::from_iter((0..5).map(relay));
    assert_eq!(directory.expire(NOW + Duration::from_hours(11)), 0);
    assert_eq!(directory.expire(NOW + Duration::from_hours(12)), 5);
    assert!(directory.is_empty());
}

#[test]
fn the_digest_is_that_of_the_sorted_hashes() {
    let directory = Directory::from_iter((0..3).map(relay));
    let mut hashes: Vec<_> = (0..3).map(|i| *relay(i).hash()).collect();
    hashes.sort_unstable();
    let expected =
        crate::crypto::hash::blake2b_256_concat(b"ZenTalk directory v1", &hashes.concat());
    assert_eq!(directory.digest(), expected);
    assert_ne!(directory.digest(), Directory::new().digest());
}

#[test]
fn what_two_of_three_agree_on_is_accepted() {
    let newer = relay_with(2, &info(2), NOW + Duration::from_hours(1));
    let answers = [
        vec![relay(1), relay(2), relay(9), relay(9)],
        vec![relay(1), newer.clone()],
        vec![relay(1), relay(3)],
    ];
    let agreed = Directory::agree(&answers, 2);
    let nodes: Vec<_> = agreed.iter().map(RelayDescriptor::node).collect();
    assert_eq!(
        nodes,
        [relay(1).node(), relay(2).node()],
        "listing a relay twice is one vote"
    );
    assert_eq!(agreed.get(&newer.node()), Some(&newer));
    assert_eq!(Directory::agree(&answers, 3).len(), 1);
    assert_eq!(Directory::agree(&answers[..1], 1).len(), 3);
    assert!(Directory::agree(&[], 1).is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, NOW).is_err());
    }

    #[test]
    fn a_digest_depends_on_the_set_only(order in Just((0..8u16).collect::<Vec<_>>()).prop_shuffle()) {
        let shuffled = Directory::from_iter(order.into_iter().map(relay));
        prop_assert_eq!(shuffled.digest(), Directory::from_iter((0..8).map(relay)).digest());
    }
}
