//! The secret halves of a device's prekeys: made here, kept as long as a first message may need them.
//!
//! | key | renewed | secret kept |
//! |---|---|---|
//! | signed X25519 | weekly | 81 days from its making |
//! | last-resort ML-KEM | weekly | the same |
//! | one-time, both kinds | as they are used up | until used; the oldest go first beyond 80 of one relay, and 512 |
//!
//! A bundle is usable for 37 days from the signed prekey's making (`bundle`); after that a first
//! message may be retried for 7 days and wait for 30, and 7 more are for clocks. A last-resort key that
//! has begun 512 sessions is replaced sooner, one that has begun 1024 begins no more (`last_resort`).

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::accept::AcceptError;
use super::bundle::{PreKeyBase, PreKeyOneTime};
use super::last_resort::{CROWDED, LastResortUse, Logs, MAX_SESSIONS};
use super::prekeys::{KemPreKey, OneTimePreKey, SignedPreKey};
use crate::crypto::Secret;
use crate::crypto::dh::X25519Secret;
use crate::crypto::ml_kem::{MlKemPublic, MlKemSecret, SEED_LEN};
use crate::crypto::sign::SigningKey;
use crate::id::NodeId;
use crate::identity::DeviceCertificate;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedList;

/// A new signed prekey and last-resort key are made this long after the last.
const ROTATE_AFTER: Duration = Duration::from_days(7);
/// A replaced secret is kept this long after its making: 37 + 7 + 30 + 7 days, as said above.
const KEEP: Duration = Duration::from_days(81);
/// Most replaced secrets of one kind.
const MAX_FORMER: usize = 16;
/// Most one-time secrets of one kind: six relays with what one may have, and some of relays that were left.
const MAX_ONE_TIME: usize = 512;
/// Most one-time secrets of one kind for one relay: batches of 20, four times over. Who drains a relay, or a relay that
/// says it has none, so costs no key that another one hands out.
const MAX_OF_RELAY: usize = 80;

/// A secret of `N` bytes under its id. `{0: id, 1: secret, 2: made, ? 3: relay that a one-time key was made for}`.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
struct Stored<const N: usize> {
    #[n(0)]
    id: u32,
    #[n(1)]
    secret: Secret<N>,
    #[n(2)]
    made: Timestamp,
    #[n(3)]
    relay: Option<NodeId>,
}

/// A key that is rotated, and its predecessors. `{0: current, 1: former, newest first}`.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
struct Rotated<const N: usize> {
    #[n(0)]
    current: Stored<N>,
    #[n(1)]
    former: BoundedList<Stored<N>, MAX_FORMER>,
}

/// Which prekeys a first message used that cannot serve in the same way again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedPreKeys {
    /// The one-time X25519 prekey.
    pub one_time: Option<u32>,
    /// The one-time KEM prekey; none if it was the last-resort one.
    pub kem: Option<u32>,
    /// The last-resort KEM prekey, if nothing one-time was used beside it.
    pub last_resort: Option<LastResortUse>,
}

impl UsedPreKeys {
    /// Whether there is nothing to [`consume`](PreKeySecrets::consume).
    pub const fn is_empty(&self) -> bool {
        self.one_time.is_none() && self.kem.is_none() && self.last_resort.is_none()
    }
}

/// The versions of the record; append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
enum RecordVersion {
    #[n(1)]
    V1,
    /// Remembers the sessions that last-resort keys began.
    #[n(2)]
    V2,
}

/// The prekey secrets of one device. As CBOR it is a record to be encrypted at rest: `{0: version,
/// 1: next id, 2: signed, 3: last-resort KEM, 4: one-time X25519, 5: one-time KEM, ? 6: sessions that
/// last-resort keys began}`; without the last it is written as version 1. It is part of no
/// backup: a restored device makes new prekeys. Every secret wipes itself on drop.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct PreKeySecrets {
    #[n(0)]
    version: RecordVersion,
    #[n(1)]
    next_id: u32,
    #[n(2)]
    signed: Rotated<32>,
    #[n(3)]
    last_resort: Rotated<SEED_LEN>,
    #[n(4)]
    one_time: BoundedList<Stored<32>, MAX_ONE_TIME>,
    #[n(5)]
    one_time_kem: BoundedList<Stored<SEED_LEN>, MAX_ONE_TIME>,
    #[n(6)]
    #[cbor(default, skip_if = "Logs::is_empty")]
    last_resort_began: Logs<{ MAX_FORMER + 1 }>,
}

impl PreKeySecrets {
    /// The prekeys of a new device. Ids begin anywhere, so that they do not count its sessions.
    pub fn random(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let mut next_id = rng.next_u32();
        let signed = Rotated::first(Stored::random(&mut next_id, now, rng));
        let last_resort = Rotated::first(Stored::random(&mut next_id, now, rng));
        Self {
            version: RecordVersion::V1,
            next_id,
            signed,
            last_resort,
            one_time: BoundedList::default(),
            one_time_kem: BoundedList::default(),
            last_resort_began: Logs::default(),
        }
    }

    /// When [`rotate`](Self::rotate) will next make new keys.
    pub fn rotation_due(&self) -> Timestamp {
        let current = &self.last_resort.current;
        match self.last_resort_began.count(current.id) < CROWDED {
            true => self.signed.current.made.saturating_add(ROTATE_AFTER),
            false => current.made,
        }
    }

    /// Makes a new signed prekey and last-resort key if they are due, and drops secrets whose time is
    /// over. True if anything changed: store the record, and publish the base.
    pub fn rotate(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> bool {
        let dropped = self.signed.prune(now) | self.last_resort.prune(now);
        let made = self.signed.current.made;
        if now < self.rotation_due() && !made.is_ahead_of(now) {
            self.forget_logs();
            return dropped;
        }
        let signed = Stored::random(&mut self.next_id, now, rng);
        self.signed.replace(signed);
        let last_resort = Stored::random(&mut self.next_id, now, rng);
        self.last_resort.replace(last_resort);
        self.forget_logs();
        true
    }

    /// The base to publish, signed by the device.
    pub fn base(&self, signing: &SigningKey, certificate: &DeviceCertificate) -> PreKeyBase {
        let Stored {
            id,
            ref secret,
            made,
            ..
        } = self.signed.current;
        let key = *X25519Secret::from_bytes(secret).public();
        let kem = &self.last_resort.current;
        PreKeyBase {
            device: certificate.device_id(),
            certificate: certificate.hash(),
            signed: SignedPreKey::sign(id, key, made, signing),
            kem: Some(KemPreKey::sign(kem.id, kem.public_kem(), true, signing)),
        }
    }

    /// Makes `count` one-time entries (at most 80) for a relay to hand out. Store the record before the entries
    /// leave; every relay gets a batch of its own, so that no two hand out the same key.
    pub fn make_one_time(
        &mut self,
        relay: &NodeId,
        count: usize,
        signing: &SigningKey,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Vec<PreKeyOneTime> {
        let mut entries = Vec::new();
        let mut secrets = (Vec::new(), Vec::new());
        for _ in 0..count.min(MAX_OF_RELAY) {
            let mut one = Stored::<32>::random(&mut self.next_id, now, rng);
            let mut kem = Stored::<SEED_LEN>::random(&mut self.next_id, now, rng);
            (one.relay, kem.relay) = (Some(*relay), Some(*relay));
            let key = *X25519Secret::from_bytes(&one.secret).public();
            entries.push(PreKeyOneTime {
                key: OneTimePreKey { id: one.id, key },
                kem: Some(KemPreKey::sign(kem.id, kem.public_kem(), false, signing)),
            });
            secrets.0.push(one);
            secrets.1.push(kem);
        }
        append(&mut self.one_time, relay, secrets.0);
        append(&mut self.one_time_kem, relay, secrets.1);
        entries
    }

    /// How many one-time X25519 secrets are outstanding, at relays or on their way.
    pub fn one_time_outstanding(&self) -> usize {
        self.one_time.len()
    }

    /// Forgets one-time secrets and remembers what a last-resort key began, after the first message that
    /// used them authenticated. Store the record in the transaction that stores the session.
    pub fn consume(&mut self, used: &UsedPreKeys) {
        retain(&mut self.one_time, |one| Some(one.id) != used.one_time);
        retain(&mut self.one_time_kem, |one| Some(one.id) != used.kem);
        if let Some(used) = &used.last_resort {
            self.last_resort_began.add(used);
            self.version = RecordVersion::V2;
        }
    }

    /// Whether a last-resort key may begin this session: not if it did before, and not if too many others
    /// are to be remembered already.
    pub(super) fn may_begin(&self, used: &LastResortUse) -> Result<(), AcceptError> {
        if self.last_resort_began.has(used) {
            return Err(AcceptError::Replayed);
        }
        match self.last_resort_began.count(used.key) < MAX_SESSIONS {
            true => Ok(()),
            false => Err(AcceptError::UnknownKemPreKey(used.key)),
        }
    }

    /// What keys began whose secrets are gone can begin no more.
    fn forget_logs(&mut self) {
        let (keys, logs) = (&self.last_resort, &mut self.last_resort_began);
        logs.retain(|key| keys.find(key).is_some());
    }

    pub(super) fn signed(&self, id: u32) -> Option<X25519Secret> {
        self.signed
            .find(id)
            .map(|stored| X25519Secret::from_bytes(&stored.secret))
    }

    pub(super) fn one_time(&self, id: u32) -> Option<X25519Secret> {
        find(&self.one_time, id).map(|stored| X25519Secret::from_bytes(&stored.secret))
    }

    /// The KEM secret of that id, and whether it is a one-time one.
    pub(super) fn kem(&self, id: u32) -> Option<(MlKemSecret, bool)> {
        let one_time = find(&self.one_time_kem, id).map(|stored| (stored, true));
        let found = one_time.or_else(|| self.last_resort.find(id).map(|stored| (stored, false)));
        found.map(|(stored, one_time)| (MlKemSecret::from_seed(stored.secret.clone()), one_time))
    }
}

impl fmt::Debug for PreKeySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreKeySecrets(…, {} one-time)", self.one_time.len())
    }
}

impl<const N: usize> Stored<N> {
    /// A fresh secret under the next id.
    fn random(next_id: &mut u32, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let id = *next_id;
        *next_id = id.wrapping_add(1);
        Self {
            id,
            secret: Secret::random(rng),
            made: now,
            relay: None,
        }
    }

    /// Whether a first message may still need it.
    fn is_needed(&self, now: Timestamp) -> bool {
        now < self.made.saturating_add(KEEP)
    }
}

impl Stored<SEED_LEN> {
    fn public_kem(&self) -> MlKemPublic {
        MlKemSecret::from_seed(self.secret.clone()).public().clone()
    }
}

impl<const N: usize> Rotated<N> {
    fn first(current: Stored<N>) -> Self {
        Self {
            current,
            former: BoundedList::default(),
        }
    }

    fn find(&self, id: u32) -> Option<&Stored<N>> {
        core::iter::once(&self.current)
            .chain(self.former.iter())
            .find(|stored| stored.id == id)
    }

    fn replace(&mut self, next: Stored<N>) {
        let mut former = core::mem::take(&mut self.former).into_inner();
        former.insert(0, core::mem::replace(&mut self.current, next));
        former.truncate(MAX_FORMER);
        self.former = BoundedList::new(former).unwrap_or_default();
    }

    /// Drops what nobody can need; true if anything was dropped.
    fn prune(&mut self, now: Timestamp) -> bool {
        let before = self.former.len();
        retain(&mut self.former, |stored| stored.is_needed(now));
        self.former.len() != before
    }
}

fn find<const N: usize>(stored: &[Stored<N>], id: u32) -> Option<&Stored<N>> {
    stored.iter().find(|stored| stored.id == id)
}

/// Appends secrets for a relay, and drops the oldest beyond the bounds: of that relay's, then of all.
fn append<const N: usize>(
    list: &mut BoundedList<Stored<N>, MAX_ONE_TIME>,
    relay: &NodeId,
    more: Vec<Stored<N>>,
) {
    let mut items = core::mem::take(list).into_inner();
    items.extend(more);
    let is_theirs = |one: &Stored<N>| one.relay.as_ref() == Some(relay);
    let theirs = items.iter().filter(|one| is_theirs(one)).count();
    let mut excess = theirs.saturating_sub(MAX_OF_RELAY);
    items.retain(|one| {
        let goes = excess > 0 && is_theirs(one);
        excess -= usize::from(goes);
        !goes
    });
    items.drain(..items.len().saturating_sub(MAX_ONE_TIME));
    *list = BoundedList::new(items).unwrap_or_default();
}

fn retain<T, const MAX: usize>(list: &mut BoundedList<T, MAX>, keep: impl FnMut(&T) -> bool) {
    let mut items = core::mem::take(list).into_inner();
    items.retain(keep);
    *list = BoundedList::new(items).unwrap_or_default();
}
