//! What a relay does by itself: join, refresh, publish, republish, hand over, persist.

use std::collections::VecDeque;

use rand_core::CryptoRng;

use super::queries::Purpose;
use super::stores::After;
use super::{Node, Output};
use crate::dht::admission::Admission;
use crate::dht::bucket::K;
use crate::dht::contact::Contact;
use crate::dht::distance::BUCKETS;
use crate::dht::lookup::{Breadth, Goal};
use crate::dht::record::{RecordId, RecordKind, RecordScheme};
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// Contacts to begin with, and to begin again with when nobody is known.
const MAX_SEEDS: usize = 64;
/// A relay that knows fewer than K others joins again this often.
const REJOIN_EVERY: Duration = Duration::from_mins(10);
/// Newcomers that records are still to be handed to.
const MAX_NEWCOMERS: usize = 64;
/// A relay that comes again within this has been handed what it should hold: where questions get lost, relays go and come
/// all the time, and what they missed is republished every hour.
const HANDED_FOR: Duration = Duration::from_hours(1);
/// Relays of which it is remembered.
const MAX_HANDED: usize = 1024;
/// Records that are looked through for a newcomer at a time.
const LOOK_THROUGH: usize = 1024;
/// From one part of them to the next.
const HAND_OVER_EVERY: Duration = Duration::from_secs(1);
/// So many of a record's holders hand it to a newcomer.
const HANDING: usize = 3;
/// Buckets that are refreshed at a time.
const REFRESH: usize = 2;
/// Records that are republished at a time.
const REPUBLISH: usize = 8;

/// What is due, and when.
pub(super) struct Upkeep {
    pub(super) next: Timestamp,
    regular: Timestamp,
    seeds: Vec<Contact>,
    joins: Option<Timestamp>,
    own: Option<Vec<u8>>,
    publishes: Timestamp,
    persists: Timestamp,
    changed: bool,
    /// Who has come, and from which record on it has yet to be looked through.
    newcomers: VecDeque<(Contact, Option<RecordId>)>,
    /// Whom records were handed to, or are to be, and when they came; the earliest first.
    handed: VecDeque<(Timestamp, NodeId)>,
}

impl Upkeep {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            next: now,
            regular: now,
            seeds: Vec::new(),
            joins: None,
            own: None,
            publishes: Timestamp::MAX,
            persists: now,
            changed: false,
            newcomers: VecDeque::new(),
            handed: VecDeque::new(),
        }
    }

    /// True if it is a new one, and there is room.
    pub(super) fn add_seed(&mut self, contact: Contact) -> bool {
        let known = self.seeds.iter().any(|seed| seed.node() == contact.node());
        if known || self.seeds.len() >= MAX_SEEDS {
            return false;
        }
        self.seeds.push(contact);
        true
    }

    /// A relay has entered the table.
    pub(super) fn newcomer(&mut self, contact: &Contact, join_after: Duration, now: Timestamp) {
        self.changed = true;
        if self.joins.is_none() {
            self.joins = Some(now + join_after);
            self.next = self.next.min(now + join_after);
        }
        if self.newcomers.len() < MAX_NEWCOMERS && !self.was_here(&contact.node(), now) {
            self.newcomers.push_back((contact.clone(), None));
            self.handed.push_back((now, contact.node()));
            self.next = self.next.min(now + HAND_OVER_EVERY);
        }
    }

    fn was_here(&mut self, node: &NodeId, now: Timestamp) -> bool {
        self.handed.retain(|(at, _)| now.since(*at) < HANDED_FOR);
        let excess = (self.handed.len() + 1).saturating_sub(MAX_HANDED);
        self.handed.drain(..excess);
        self.handed.iter().any(|(_, handed)| handed == node)
    }

    pub(super) fn publish_own(&mut self, record: Vec<u8>, now: Timestamp) {
        self.own = Some(record);
        self.publishes = now;
        self.next = self.next.min(now);
    }
}

impl<R: RecordScheme, A: Admission> Node<R, A> {
    pub(super) fn on_upkeep(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.upkeep.joins.is_some_and(|at| at <= now) {
            self.join(now, rng);
        }
        self.hand_over();
        if self.upkeep.publishes <= now {
            self.publish_again(now, rng);
        }
        if self.upkeep.regular <= now {
            self.regular(now, rng);
        }
        self.upkeep.next = self.next_upkeep(now);
    }

    fn next_upkeep(&self, now: Timestamp) -> Timestamp {
        let upkeep = &self.upkeep;
        let joins = upkeep.joins.unwrap_or(Timestamp::MAX);
        let next = upkeep.regular.min(joins).min(upkeep.publishes);
        match upkeep.newcomers.is_empty() {
            true => next,
            false => next.min(now + HAND_OVER_EVERY),
        }
    }

    /// What is due every minute.
    fn regular(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let spread = rng
            .next_u64()
            .checked_rem(self.config.upkeep_every.as_ms() / 4 + 1);
        let spread = Duration::from_ms(spread.unwrap_or(0));
        self.upkeep.regular = now + self.config.upkeep_every + spread;
        for gone in self.store.expire(now) {
            self.outputs.push_back(Output::Remove(gone));
        }
        if self.table.is_empty() {
            self.upkeep.joins = None;
            let seeds = self.upkeep.seeds.iter().cloned();
            self.outputs.extend(seeds.map(Output::Verify));
        }
        self.refresh(now, rng);
        self.republish(now);
        if self.upkeep.changed && self.upkeep.persists <= now {
            self.upkeep.changed = false;
            self.upkeep.persists = now + self.config.persist_every;
            self.outputs
                .push_back(Output::Persist(self.table.persist()));
        }
    }

    /// Kademlia §2.3: looks itself up, then a point in every bucket farther away than its nearest neighbour.
    fn join(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.table.is_empty() {
            // The next first contact begins again.
            self.upkeep.joins = None;
            return;
        }
        self.upkeep.joins = Some(match self.table.len() < K {
            true => now + REJOIN_EVERY,
            false => Timestamp::MAX,
        });
        let me = *self.me.position();
        self.look_up(me, Goal::Nodes, Breadth::WIDE, Purpose::Refresh, now, rng);
        let nearest = self.table.nearest_bucket().unwrap_or(BUCKETS - 1);
        // The farthest few: what the first lookup has not shown. Others come with the hourly refresh.
        for bucket in (nearest..BUCKETS).rev().take(self.room()) {
            self.refresh_bucket(bucket, now, rng);
        }
    }

    fn refresh(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let stale = self.table.stale_buckets(now - self.config.refresh_every);
        for bucket in stale.into_iter().rev().take(self.room().min(REFRESH)) {
            self.refresh_bucket(bucket, now, rng);
        }
    }

    fn refresh_bucket(&mut self, bucket: u8, now: Timestamp, rng: &mut impl CryptoRng) {
        let target = self.me.position().random_in(bucket, rng);
        self.look_up(
            target,
            Goal::Nodes,
            Breadth::NARROW,
            Purpose::Refresh,
            now,
            rng,
        );
    }

    /// Lookups that may be begun for upkeep now: a quarter of all is the host's.
    fn room(&self) -> usize {
        let most = self.config.max_lookups - self.config.max_lookups / 4;
        match self.is_busy() {
            true => 0,
            false => most.saturating_sub(self.lookups.len()).min(BUCKETS.into()),
        }
    }

    fn publish_again(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.upkeep.publishes = now + self.config.publish_every;
        let Some(record) = self.upkeep.own.clone() else {
            self.upkeep.publishes = Timestamp::MAX;
            return;
        };
        if self.table.is_empty() {
            // Nobody is there to take it yet.
            self.upkeep.publishes = now + self.config.upkeep_every;
            return;
        }
        match self.records.check(RecordKind::Relay, &record, now) {
            Ok(facts) => self.look_up_and_store(facts, record, None, None, now, rng),
            // Over: there will be another.
            Err(_) => self.upkeep.own = None,
        }
    }

    /// Records that nobody has stored for an hour. Whoever republishes one first spares the other holders the work
    /// (Kademlia §2.5).
    fn republish(&mut self, now: Timestamp) {
        let room = self
            .config
            .max_operations
            .saturating_sub(self.pending.len());
        let most = REPUBLISH.min(room).min(self.room());
        for id in self.store.due(self.config.republish_every, most, now) {
            self.read(id, After::Republish(id));
        }
    }

    /// Looks through a part of the records for those that newcomers should have.
    fn hand_over(&mut self) {
        let Some((newcomer, from)) = self.upkeep.newcomers.pop_front() else {
            return;
        };
        let room = self.config.max_operations / 2;
        let mut room = room.saturating_sub(self.pending.len() + self.jobs.len());
        let begin = from.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
        let (mut last, mut seen, mut due) = (None, 0, Vec::new());
        for id in self.store.from(begin).take(LOOK_THROUGH) {
            if room == 0 {
                break;
            }
            if self.belongs_to(id, &newcomer) {
                room -= 1;
                due.push(*id);
            }
            last = Some(*id);
            seen += 1;
        }
        let stopped = room == 0 || seen == LOOK_THROUGH;
        for id in due {
            self.read(id, After::HandOver(id, newcomer.clone()));
        }
        if stopped {
            self.upkeep.newcomers.push_back((newcomer, last.or(from)));
        }
    }

    /// Whether a newcomer is one of the K nearest to a record, and this relay one of those who hand it over.
    fn belongs_to(&self, id: &RecordId, newcomer: &Contact) -> bool {
        let target = id.position();
        let mine = self.me.position().to(&target);
        let theirs = newcomer.position().to(&target);
        let (mut nearer_than_me, mut nearer_than_them) = (0, usize::from(mine < theirs));
        for contact in self
            .table
            .contacts()
            .filter(|c| c.node() != newcomer.node())
        {
            let distance = contact.position().to(&target);
            nearer_than_me += usize::from(distance < mine);
            nearer_than_them += usize::from(distance < theirs);
        }
        nearer_than_me < HANDING && nearer_than_them < K
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::tests::support::contact;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const SOON: Duration = Duration::from_secs(30);

    /// How many are to be handed records after these have come, one after the other.
    fn handed(came: impl IntoIterator<Item = (u32, Timestamp)>) -> usize {
        let mut upkeep = Upkeep::new(NOW);
        let came = came.into_iter().filter(|(n, at)| {
            upkeep.newcomers.clear();
            upkeep.newcomer(&contact(*n), SOON, *at);
            !upkeep.newcomers.is_empty()
        });
        came.count()
    }

    #[test]
    fn who_comes_again_within_an_hour_is_handed_nothing_again() {
        let minutes = |n| NOW + Duration::from_mins(n);
        let flapping = (0..60).map(|n| (1, minutes(n)));
        assert_eq!(handed(flapping), 1);
        assert_eq!(handed([(1, NOW), (2, NOW), (1, minutes(59))]), 2);
        assert_eq!(handed([(1, NOW), (1, minutes(60)), (1, minutes(61))]), 2);
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let mut upkeep = Upkeep::new(NOW);
        for n in 0..2_000 {
            upkeep.newcomers.clear();
            upkeep.newcomer(&contact(n), SOON, NOW);
            assert!(upkeep.handed.len() <= MAX_HANDED);
        }
        upkeep.newcomers.clear();
        upkeep.newcomer(&contact(1_999), SOON, NOW);
        assert!(upkeep.newcomers.is_empty(), "the latest are");
        upkeep.newcomer(&contact(0), SOON, NOW);
        assert_eq!(upkeep.newcomers.len(), 1);
    }
}
