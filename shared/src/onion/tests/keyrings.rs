//! Onion keys over time: rotation, acceptance, replay across restarts, records.

use super::support::NOW;
use crate::crypto::kem::{Kem, X25519Kem};
use crate::id::NodeId;
use crate::onion::epoch::{ACCEPTED_BEFORE, EPOCH_LENGTH, Epoch};
use crate::onion::keyring::{ReplayEntry, RestoreError};
use crate::onion::{
    Class, Hop, OnionKey, OnionKeys, PeelError, Peeled, ReplayError, ReplayLimits, build_request,
};
use crate::test_support::{hex, rng, unhex};
use crate::time::{Duration, Timestamp};

const LIMITS: ReplayLimits = ReplayLimits::small(6);
const MS: Duration = Duration::from_ms(1);

fn start() -> Timestamp {
    NOW.floor_to(EPOCH_LENGTH)
}

fn keys(now: Timestamp) -> OnionKeys {
    OnionKeys::generate(LIMITS, now, &mut rng(1)).unwrap()
}

fn packet(key: &OnionKey, seed: u64) -> Vec<u8> {
    let public = <X25519Kem as Kem>::Public::try_from(key.key.as_slice()).unwrap();
    let hop = Hop {
        node: NodeId::from_bytes([1; 20]),
        epoch: key.epoch,
        key: public,
        delay: Duration::ZERO,
    };
    build_request(&[hop], None, b"request", Class::Message, &mut rng(seed)).unwrap()
}

fn peel(keys: &mut OnionKeys, packet: Vec<u8>, now: Timestamp) -> Result<Peeled, PeelError> {
    keys.peel(packet, now, &mut rng(2))
}

#[test]
fn publishes_this_epoch_and_the_next() {
    let keys = keys(start());
    let published = keys.public(start());
    let epochs: Vec<_> = published.iter().map(|key| key.epoch).collect();
    assert_eq!(epochs, [Epoch::at(start()), Epoch::at(start()).next()]);
    assert!(
        published
            .iter()
            .all(|key| key.suite == 1 && key.key.len() == 32)
    );
    assert_ne!(published[0].key, published[1].key);
    assert_eq!(OnionKeys::next_rotation(start()), start() + EPOCH_LENGTH);
    assert_eq!(
        OnionKeys::next_rotation(start() + EPOCH_LENGTH - MS),
        start() + EPOCH_LENGTH
    );
}

#[test]
fn a_key_is_accepted_from_ten_minutes_before_its_epoch_until_twelve_hours_after_it_began() {
    let now = start();
    let mut keys = keys(now);
    let next = keys.public(now)[1].clone();
    let begins = now + EPOCH_LENGTH;
    let unknown = PeelError::UnknownEpoch(next.epoch);
    let early = begins - ACCEPTED_BEFORE;
    assert_eq!(
        peel(&mut keys, packet(&next, 1), early - MS).unwrap_err(),
        unknown
    );
    assert!(peel(&mut keys, packet(&next, 2), early).is_ok());
    let late = begins + Duration::from_hours(12);
    keys.rotate(late - MS, &mut rng(3)).unwrap();
    assert!(peel(&mut keys, packet(&next, 3), late - MS).is_ok());
    assert_eq!(
        peel(&mut keys, packet(&next, 4), late).unwrap_err(),
        unknown,
        "not yet rotated"
    );
    keys.rotate(late, &mut rng(4)).unwrap();
    assert!(!keys.holds(next.epoch), "the secret is gone");
}

#[test]
fn rotation_makes_one_key_an_epoch_and_keeps_few() {
    let mut keys = keys(start());
    assert!(
        !keys
            .rotate(start() + EPOCH_LENGTH - MS, &mut rng(1))
            .unwrap()
    );
    for epoch in 1..20 {
        let now = start() + EPOCH_LENGTH * epoch;
        let next = keys.public(now - MS)[1].clone();
        assert!(keys.rotate(now, &mut rng(epoch)).unwrap());
        assert_eq!(
            keys.public(now)[0],
            next,
            "what was announced is what is used"
        );
        assert!(keys.held() <= 3);
    }
}

#[test]
fn a_long_sleep_and_a_clock_set_back_leave_keys_that_work() {
    let mut keys = keys(start());
    for now in [
        start() + Duration::from_days(30),
        start() - Duration::from_days(30),
    ] {
        assert!(keys.rotate(now, &mut rng(9)).unwrap());
        let current = keys.public(now)[0].clone();
        assert_eq!(current.epoch, Epoch::at(now));
        assert!(peel(&mut keys, packet(&current, 1), now).is_ok());
        assert_eq!(keys.held(), 2);
    }
}

#[test]
fn fault_14_a_replay_is_refused_even_after_a_restart() {
    let mut keys = keys(start());
    let current = keys.public(start())[0].clone();
    let packet = packet(&current, 1);
    assert!(peel(&mut keys, packet.clone(), start()).is_ok());
    let seen = PeelError::Replay(ReplayError::Seen);
    assert_eq!(peel(&mut keys, packet.clone(), start()).unwrap_err(), seen);

    let log: Vec<_> = keys
        .drain_replay_log()
        .into_iter()
        .map(ReplayEntry::to_bytes)
        .collect();
    assert_eq!(log.len(), 1, "only what passed is logged");
    assert!(keys.drain_replay_log().is_empty());
    let lines = log.iter().map(ReplayEntry::from_bytes);
    let mut restored = OnionKeys::restore(&keys.persist(), lines, LIMITS).unwrap();
    assert_eq!(restored.public(start()), keys.public(start()));
    assert_eq!(peel(&mut restored, packet, start()).unwrap_err(), seen);
    assert!(
        restored.drain_replay_log().is_empty(),
        "what came from the log is not logged again"
    );
}

#[test]
fn a_log_line_is_suite_epoch_and_tag() {
    let bytes: [u8; 19] = core::array::from_fn(|i| i as u8);
    let entry = ReplayEntry::from_bytes(&bytes);
    assert_eq!(entry.epoch(), Epoch::from_number(0x0102));
    assert_eq!(entry.to_bytes(), bytes);
}

#[test]
fn lines_of_other_epochs_and_twice_the_same_do_no_harm() {
    let keys = keys(start());
    let stale = ReplayEntry::from_bytes(&[0xff; 19]);
    let mut line = [1; 19];
    line[1..3].copy_from_slice(&Epoch::at(start()).number().to_be_bytes());
    let mut other_suite = line;
    other_suite[0] = 2;
    let [line, other_suite] = [line, other_suite].map(|line| ReplayEntry::from_bytes(&line));
    assert!(!keys.holds(stale.epoch()) && keys.holds(line.epoch()));
    let log = [stale, other_suite];
    let restored = OnionKeys::restore(&keys.persist(), log, LIMITS).unwrap();
    assert_eq!(restored.filter_memory(), 0);
    let restored = OnionKeys::restore(&keys.persist(), [line, line], LIMITS).unwrap();
    assert_eq!(restored.filter_memory(), 256);
}

#[test]
fn a_spent_key_is_refused_and_not_published() {
    let mut keys = OnionKeys::generate(ReplayLimits::small(0), start(), &mut rng(1)).unwrap();
    let current = keys.public(start())[0].clone();
    for seed in 0..128 {
        assert!(
            peel(&mut keys, packet(&current, seed), start()).is_ok(),
            "{seed}"
        );
    }
    let error = peel(&mut keys, packet(&current, 999), start()).unwrap_err();
    assert_eq!(error, PeelError::Replay(ReplayError::KeyExhausted));
    let published: Vec<_> = keys.public(start()).iter().map(|key| key.epoch).collect();
    assert_eq!(published, [current.epoch.next()], "the next key is there");
    assert!(keys.take_spent(), "to be published anew");
    assert!(!keys.take_spent(), "once");
}

#[test]
fn the_next_key_takes_the_place_of_a_spent_one_at_once() {
    let mut keys = OnionKeys::generate(ReplayLimits::small(0), start(), &mut rng(1)).unwrap();
    let [current, next] = keys.public(start()).try_into().unwrap();
    let unknown = PeelError::UnknownEpoch(next.epoch);
    let early = peel(&mut keys, packet(&next, 1), start()).unwrap_err();
    assert_eq!(early, unknown, "while the current key serves");
    for seed in 0..128 {
        assert!(peel(&mut keys, packet(&current, seed), start()).is_ok());
    }
    assert!(peel(&mut keys, packet(&next, 2), start()).is_ok());
    let mut restored = OnionKeys::restore(
        &keys.persist(),
        keys.drain_replay_log(),
        ReplayLimits::small(0),
    )
    .unwrap();
    assert!(peel(&mut restored, packet(&next, 3), start()).is_ok());
    let spent = peel(&mut restored, packet(&current, 999), start()).unwrap_err();
    assert_eq!(spent, PeelError::Replay(ReplayError::KeyExhausted));
}

#[test]
fn a_packet_for_another_suite_or_version_is_refused_before_any_key_is_used() {
    let mut keys = keys(start());
    let current = keys.public(start())[0].clone();
    let mut other = packet(&current, 1);
    other[1] = 2;
    assert_eq!(
        peel(&mut keys, other.clone(), start()).unwrap_err(),
        PeelError::Suite(2)
    );
    other[0] = 9;
    assert_eq!(
        peel(&mut keys, other, start()).unwrap_err(),
        PeelError::Version(9)
    );
}

#[test]
fn records_of_version_1_stay_readable() {
    let fixture = "83010182821a0001458558201bf8b44a2e18cc3b17fd2d3a24d1c38bc9d5b9d0b8a1d3b6f6a2e0b8d4d1c9f5\
                   821a00014586582002020202020202020202020202020202020202020202020202020202020202aa";
    let record = unhex(&fixture.replace([' ', '\n'], ""));
    let restored = OnionKeys::restore(&record, [], LIMITS).unwrap();
    assert_eq!(hex(&restored.persist()), hex(&record));
    assert!(
        restored.holds(Epoch::at(start())),
        "{:?}",
        Epoch::at(start())
    );
}

#[test]
fn damaged_records_are_refused() {
    let record = keys(start()).persist().to_vec();
    let restore = |bytes: &[u8]| {
        OnionKeys::restore(bytes, [], LIMITS)
            .map(|_| ())
            .unwrap_err()
    };
    for length in 0..record.len() {
        assert_eq!(restore(&record[..length]), RestoreError::Damaged);
    }
    assert_eq!(
        restore(&[&record[..], &[0]].concat()),
        RestoreError::Damaged
    );
    let mut changed = record.clone();
    changed[1] = 2;
    assert_eq!(restore(&changed), RestoreError::Version(2));
    changed[1] = 0;
    assert_eq!(restore(&changed), RestoreError::Damaged);
    changed[1..3].copy_from_slice(&[1, 3]);
    assert_eq!(restore(&changed), RestoreError::Suite(3));
    changed[2..4].copy_from_slice(&[1, 0x89]);
    assert_eq!(restore(&changed), RestoreError::Damaged);
}

#[test]
fn debug_prints_epochs_only() {
    let text = format!("{:?}", keys(Timestamp::EPOCH));
    assert_eq!(text, "OnionKeys { epochs: [Epoch(0), Epoch(1)], .. }");
}
