//! Relays for tests: signed ones from the pool of test-only keys, and cheap ones for large networks.

use std::sync::LazyLock;

use crate::crypto::Secret32;
use crate::crypto::kem::{Kem, Suite, X25519Kem, XWingKem};
use crate::crypto::rsa::RsaPublic;
use crate::crypto::sign::SigningKey;
use crate::id::NodeId;
use crate::onion::descriptor::{Features, OnionKey, RelayDescriptor, RelayInfo};
use crate::onion::epoch::Epoch;
use crate::onion::signer::{Publication, RelaySigner};
use crate::onion::url::RelayUrl;
use crate::test_support::{account_rsa, rng};
use crate::time::{Duration, Timestamp};

/// The tests' present.
pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// Relay `index` of a network in which all are independent: own operator, own /24.
pub(crate) fn info(index: u16) -> RelayInfo {
    let [high, low] = index.to_be_bytes();
    RelayInfo {
        urls: vec![RelayUrl::parse(&format!("wss://10.{high}.{low}.1/v1")).unwrap()],
        operator: format!("operator {index}"),
        region: "test".into(),
        software: "zentalk 0".into(),
        max_connections: 1_000,
        features: Features::ALL,
    }
}

/// Public X25519 keys for this epoch and the next.
pub(crate) fn onion_keys(index: u16, now: Timestamp) -> Vec<OnionKey> {
    onion_keys_of(index, &[Suite::X25519], now)
}

/// Public keys of these suites for this epoch and the next. All relays have one RSA key.
pub(crate) fn onion_keys_of(index: u16, suites: &[Suite], now: Timestamp) -> Vec<OnionKey> {
    let rng = &mut rng(7_000_000 + u64::from(index));
    let mut key = |suite| match suite {
        Suite::X25519 => X25519Kem::public(&X25519Kem::generate(rng).unwrap())
            .as_ref()
            .to_vec(),
        Suite::XWing => XWingKem::public(&XWingKem::generate(rng).unwrap())
            .as_ref()
            .to_vec(),
        Suite::Rsa4096 => RSA.spki_der().to_vec(),
    };
    let current = Epoch::at(now);
    let both = |suite: &Suite| {
        let key = key(*suite);
        [current, current.next()].map(|epoch| OnionKey {
            suite: suite.number(),
            epoch,
            key: key.clone(),
        })
    };
    suites.iter().flat_map(both).collect()
}

static RSA: LazyLock<RsaPublic> = LazyLock::new(|| account_rsa(0).public().clone());

pub(crate) fn publication(now: Timestamp) -> Publication {
    Publication {
        sequence: now.as_ms(),
        from: now,
        until: now + Duration::from_hours(12),
    }
}

/// The signing identity of relay `index`, certified by a key of the pool.
pub(crate) fn signer(index: u16) -> RelaySigner {
    let key = SigningKey::from_seed(&Secret32::from_bytes([index as u8; 32]));
    RelaySigner::certify(&account_rsa(index.into()), key, &mut rng(index.into())).unwrap()
}

/// The NodeId of relay `index`.
pub(crate) fn node(index: u16) -> NodeId {
    let mut node = [0; 20];
    node[..2].copy_from_slice(&index.to_be_bytes());
    NodeId::from_bytes(node)
}

/// A descriptor without RSA: only tests inside the crate can make one.
pub(crate) fn relay_with(index: u16, info: &RelayInfo, now: Timestamp) -> RelayDescriptor {
    uncertified(index, info, &onion_keys(index, now), now)
}

/// Relay `index` with its standard [`info`], offering these suites.
pub(crate) fn relay_of(index: u16, suites: &[Suite]) -> RelayDescriptor {
    uncertified(index, &info(index), &onion_keys_of(index, suites, NOW), NOW)
}

fn uncertified(index: u16, info: &RelayInfo, keys: &[OnionKey], now: Timestamp) -> RelayDescriptor {
    let key = SigningKey::from_seed(&Secret32::from_bytes([7; 32]));
    RelaySigner::uncertified(node(index), RSA.clone(), key)
        .sign_descriptor(info, keys, publication(now))
        .unwrap()
}

/// Relay `index` with its standard [`info`].
pub(crate) fn relay(index: u16) -> RelayDescriptor {
    relay_with(index, &info(index), NOW)
}
