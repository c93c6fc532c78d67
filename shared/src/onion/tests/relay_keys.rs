//! The keys of a relay with several suites.

use std::sync::LazyLock;

use rand_core::Rng;
use zeroize::Zeroizing;

use super::support::NOW;
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem};
use crate::id::NodeId;
use crate::onion::build::Hop;
use crate::onion::epoch::{EPOCH_LENGTH, Epoch};
use crate::onion::keyring::{self, ReplayEntry, RestoreError};
use crate::onion::{
    Class, Layout, OnionKey, PeelError, Peeled, RelayKeys, ReplayError, ReplayLimits, Suite,
    Suites, build_request,
};
use crate::test_support::{account_rsa, rng};
use crate::time::{Duration, Timestamp};

const LIMITS: ReplayLimits = ReplayLimits::small(6);
const ALL: [Suite; 3] = Suite::ALL;

fn start() -> Timestamp {
    NOW.floor_to(EPOCH_LENGTH)
}

/// The record of a relay with keys of all suites, of this epoch and the next: RSA keys come from the pool,
/// because to make one takes seconds here.
fn record() -> &'static [u8] {
    static RECORD: LazyLock<Zeroizing<Vec<u8>>> = LazyLock::new(|| {
        let two = RelayKeys::generate(Suites::OFFERED, LIMITS, start(), &mut rng(1)).unwrap();
        let index = start().as_ms() / EPOCH_LENGTH.as_ms();
        let mut record = Zeroizing::new(two.persist().to_vec());
        assert_eq!(
            record[0], 0x85,
            "an array of version and twice suite and keys"
        );
        record[0] = 0x87;
        let mut e = minicbor::Encoder::new(Vec::new());
        e.u8(3).unwrap().array(2).unwrap();
        for n in [0, 1] {
            let (epoch, key) = (index + n, account_rsa(n as usize));
            e.array(2)
                .unwrap()
                .encode(epoch)
                .unwrap()
                .encode(&key)
                .unwrap();
        }
        record.extend(e.into_writer());
        record
    });
    &RECORD
}

fn all_suites(limits: ReplayLimits) -> RelayKeys {
    let offered = Suites::preferring(Suite::X25519);
    RelayKeys::restore(record(), [], offered, limits).unwrap()
}

fn published(keys: &RelayKeys, suite: Suite, now: Timestamp) -> Vec<OnionKey> {
    let mut published = keys.public(now);
    published.retain(|key| key.suite == suite.number());
    published
}

fn packet_of<K: Kem>(key: &OnionKey, seed: u64) -> Vec<u8> {
    let Ok(public) = K::Public::try_from(key.key.as_slice()) else {
        panic!("a published key is one");
    };
    let hop = Hop::<K> {
        node: NodeId::from_bytes([1; 20]),
        epoch: key.epoch,
        key: public,
        delay: Duration::ZERO,
    };
    build_request(&[hop], None, b"request", Class::Message, &mut rng(seed)).unwrap()
}

fn packet(key: &OnionKey, seed: u64) -> Vec<u8> {
    match Suite::from_number(key.suite).unwrap() {
        Suite::X25519 => packet_of::<X25519Kem>(key, seed),
        Suite::XWing => packet_of::<XWingKem>(key, seed),
        Suite::Rsa4096 => packet_of::<Rsa4096Kem>(key, seed),
    }
}

fn peel(keys: &mut RelayKeys, packet: Vec<u8>, now: Timestamp) -> Result<Peeled, PeelError> {
    keys.peel(packet, now, &mut rng(2))
}

#[test]
fn every_suite_is_published_and_peeled() {
    let mut keys = all_suites(LIMITS);
    let public = keys.public(start());
    let suites: Vec<_> = public.iter().map(|key| key.suite).collect();
    assert_eq!(suites, [1, 1, 2, 2, 3, 3]);
    for suite in ALL {
        let [current, next] = published(&keys, suite, start()).try_into().unwrap();
        assert_eq!(
            (current.epoch, next.epoch),
            (Epoch::at(start()), Epoch::at(start()).next())
        );
        let peeled = peel(&mut keys, packet(&current, 1), start());
        assert!(matches!(peeled, Ok(Peeled::Process { .. })), "{suite:?}");
        let early = peel(&mut keys, packet(&next, 1), start()).unwrap_err();
        assert_eq!(early, PeelError::UnknownEpoch(next.epoch), "{suite:?}");
    }
}

#[test]
fn fault_14_a_replay_is_refused_in_every_suite_even_after_a_restart() {
    let mut keys = all_suites(LIMITS);
    let packets: Vec<_> = ALL
        .into_iter()
        .map(|suite| packet(&published(&keys, suite, start())[0], 1))
        .collect();
    for packet in &packets {
        assert!(peel(&mut keys, packet.clone(), start()).is_ok());
    }
    let log: Vec<_> = keys.drain_replay_log();
    assert_eq!((log.len(), keys.drain_replay_log().len()), (3, 0));
    let lines = log
        .into_iter()
        .map(|line| ReplayEntry::from_bytes(&line.to_bytes()));
    let offered = Suites::preferring(Suite::X25519);
    let mut restored = RelayKeys::restore(&keys.persist(), lines, offered, LIMITS).unwrap();
    for packet in packets {
        let seen = PeelError::Replay(ReplayError::Seen);
        assert_eq!(peel(&mut restored, packet, start()).unwrap_err(), seen);
    }
}

#[test]
fn rotation_makes_keys_of_what_is_offered_and_wipes_what_is_over() {
    let mut keys = RelayKeys::generate(Suites::OFFERED, LIMITS, start(), &mut rng(1)).unwrap();
    assert!(!keys.rotate(start(), &mut rng(2)).unwrap());
    let second = start() + EPOCH_LENGTH;
    assert_eq!(RelayKeys::next_rotation(start()), second);
    let announced: Vec<_> = [Suite::X25519, Suite::XWing]
        .map(|suite| published(&keys, suite, start())[1].clone())
        .into();
    assert!(keys.rotate(second, &mut rng(3)).unwrap());
    for key in announced {
        assert!(keys.public(second).contains(&key), "announced, then used");
        assert!(peel(&mut keys, packet(&key, 1), second).is_ok());
    }
    keys.rotate(start() + Duration::from_hours(12), &mut rng(4))
        .unwrap();
    assert!(!keys.holds(Epoch::at(start())) && keys.holds(Epoch::at(second)));
}

#[test]
fn a_suite_taken_off_the_list_goes_on_peeling_until_its_keys_are_over() {
    let offered = Suites::only(Suite::XWing);
    let mut keys = all_suites(LIMITS);
    let old = published(&keys, Suite::X25519, start())[0].clone();
    keys = RelayKeys::restore(&keys.persist(), [], offered, LIMITS).unwrap();
    assert!(!keys.rotate(start(), &mut rng(1)).unwrap());
    assert!(keys.public(start()).iter().all(|key| key.suite == 2));
    assert!(peel(&mut keys, packet(&old, 1), start()).is_ok());
    let over = start() + Duration::from_hours(18);
    keys.rotate(over, &mut rng(2)).unwrap();
    let error = peel(&mut keys, packet(&old, 2), over).unwrap_err();
    assert_eq!(error, PeelError::Suite(1));
}

#[test]
fn a_suite_put_on_the_list_gets_keys_at_the_next_start() {
    let one = keyring::OnionKeys::<X25519Kem>::generate(LIMITS, start(), &mut rng(1)).unwrap();
    let mut keys = RelayKeys::restore(&one.persist(), [], Suites::OFFERED, LIMITS).unwrap();
    assert_eq!(
        keys.public(start()),
        one.public(start()),
        "a record of version 1"
    );
    assert!(keys.rotate(start(), &mut rng(2)).unwrap());
    assert_eq!(published(&keys, Suite::XWing, start()).len(), 2);
    assert_eq!(
        published(&keys, Suite::X25519, start()),
        one.public(start())
    );
}

#[test]
fn a_spent_key_of_one_suite_leaves_the_others_alone() {
    let mut keys = RelayKeys::generate(
        Suites::OFFERED,
        ReplayLimits::small(0),
        start(),
        &mut rng(1),
    )
    .unwrap();
    let [current, next] = published(&keys, Suite::X25519, start()).try_into().unwrap();
    assert!(!keys.take_spent());
    for seed in 0..128 {
        assert!(peel(&mut keys, packet(&current, seed), start()).is_ok());
    }
    assert!(keys.take_spent() && !keys.take_spent(), "said once");
    let error = peel(&mut keys, packet(&current, 999), start()).unwrap_err();
    assert_eq!(error, PeelError::Replay(ReplayError::KeyExhausted));
    assert_eq!(published(&keys, Suite::X25519, start()), [next]);
    assert_eq!(published(&keys, Suite::XWing, start()).len(), 2);
}

#[test]
fn a_packet_is_not_taken_for_one_of_another_suite() {
    let mut keys = all_suites(LIMITS);
    for suite in ALL {
        let key = published(&keys, suite, start())[0].clone();
        let packet = packet(&key, 1);
        for bit in 0..32 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                peel(&mut keys, changed, start()).is_err(),
                "{suite:?}, bit {bit}"
            );
        }
        for other in ALL.into_iter().filter(|other| *other != suite) {
            let mut relabelled = packet.clone();
            relabelled[1] = other.number();
            relabelled.resize(Layout::of_suite(other).packet(Class::Message), 0);
            assert!(peel(&mut keys, relabelled, start()).is_err());
        }
        assert!(peel(&mut keys, packet, start()).is_ok());
    }
}

#[test]
fn a_suite_that_is_not_offered_is_refused_before_any_key_is_used() {
    let mut keys =
        RelayKeys::generate(Suites::only(Suite::XWing), LIMITS, start(), &mut rng(1)).unwrap();
    let other = all_suites(LIMITS);
    let packet = packet(&published(&other, Suite::X25519, start())[0], 1);
    assert_eq!(
        peel(&mut keys, packet, start()).unwrap_err(),
        PeelError::Suite(1)
    );
    assert_eq!(
        peel(&mut keys, vec![1], start()).unwrap_err(),
        PeelError::Length(1)
    );
    assert_eq!(
        peel(&mut keys, vec![1, 9], start()).unwrap_err(),
        PeelError::Suite(9)
    );
}

#[test]
fn garbage_of_every_length_is_refused() {
    let mut keys = all_suites(LIMITS);
    let mut garbage = vec![0; 40_000];
    rng(3).fill_bytes(&mut garbage);
    for suite in 0..5 {
        garbage[..2].copy_from_slice(&[1, suite]);
        for length in (0..100).chain([9088, 12_928, 17_792, 29_568, 33_408, 38_272, 40_000]) {
            assert!(peel(&mut keys, garbage[..length].to_vec(), start()).is_err());
        }
    }
    assert_eq!(keys.filter_memory(), 0, "no tag was taken");
}

#[test]
fn the_record_survives_and_damaged_ones_are_refused() {
    let keys = all_suites(LIMITS);
    assert_eq!(*keys.persist(), record());
    assert!(record().len() < 8192);
    let offered = Suites::OFFERED;
    let restore = |bytes: &[u8]| RelayKeys::restore(bytes, [], offered, LIMITS).map(|_| ());
    for length in (0..200).chain([record().len() - 1]) {
        assert_eq!(restore(&record()[..length]), Err(RestoreError::Damaged));
    }
    let longer = [record(), &[0]].concat();
    assert_eq!(restore(&longer), Err(RestoreError::Damaged));
    for (at, value, error) in [
        (1, 3, RestoreError::Version(3)),
        (1, 0, RestoreError::Damaged),
        (2, 9, RestoreError::Suite(9)),
        (0, 0x86, RestoreError::Damaged),
    ] {
        let mut changed = record().to_vec();
        changed[at] = value;
        assert_eq!(restore(&changed), Err(error));
    }
    let mut twice = record().to_vec();
    twice.extend_from_slice(&record()[2..]);
    twice[0] = 0x8d;
    assert_eq!(restore(&twice), Err(RestoreError::Damaged));
}
