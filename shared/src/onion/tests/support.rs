//! Relays for tests: signed ones from the pool of test-only keys, and cheap ones for large networks.

use std::sync::LazyLock;

use crate::crypto::Secret32;
use crate::crypto::kem::{Kem, X25519Kem};
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
    let secret = X25519Kem::generate(&mut rng(7_000_000 + u64::from(index))).unwrap();
    let key = X25519Kem::public(&secret).as_ref().to_vec();
    let current = Epoch::at(now);
    [current, current.next()]
        .map(|epoch| OnionKey {
            suite: X25519Kem::SUITE,
            epoch,
            key: key.clone(),
        })
        .into()
}

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
    static RSA: LazyLock<RsaPublic> = LazyLock::new(|| account_rsa(0).public().clone());
    let key = SigningKey::from_seed(&Secret32::from_bytes([7; 32]));
    RelaySigner::uncertified(node(index), RSA.clone(), key)
        .sign_descriptor(info, &onion_keys(index, now), publication(now))
        .unwrap()
}

/// Relay `index` with its standard [`info`].
pub(crate) fn relay(index: u16) -> RelayDescriptor {
    relay_with(index, &info(index), NOW)
}
