//! Account records for clients: those that this relay does not hold are looked up, and what was found is kept a while.
//! What clients publish here goes to the relays nearest to its key.

use std::collections::{BTreeMap, VecDeque};

use zentalk_shared::dht::{Proof, PublishError, QueryId, RecordId, RecordKind};
use zentalk_shared::id::RecordKey;
use zentalk_shared::rpc::{RecordBytes, RecordGetReply, Refusal, Reply, Work};
use zentalk_shared::time::{Duration, Timestamp};

use super::super::admission::{Bucket, Rate};
use super::super::io::Metric;
use super::super::relay::{Relay, Step};
use super::super::requests::ReplyTo;
use super::payment::receipt;

/// What was found is handed out for so long without another lookup.
const KEEP_FOUND: Duration = Duration::from_mins(5);
/// What was not found is not looked for again for so long.
const KEEP_ABSENT: Duration = Duration::from_secs(30);
/// Records, and absences, that are kept: 7 MiB of the longest.
const MAX_KEPT: usize = 256;
/// Lookups for clients; half of what the DHT may have under way, so that readers do not stop its upkeep.
const MAX_LOOKUPS: usize = 32;
/// Lookups for clients. A question costs its asker nothing, and other relays a score of answers.
const LOOKUPS: Rate = Rate {
    per_minute: 600,
    burst: 120,
};
/// Clients that wait for one record.
const MAX_WAITING: usize = 32;
/// Records that wait for room to be published.
const MAX_UNPUBLISHED: usize = 64;

/// Who waits for which lookup, and what came of earlier ones.
pub(super) struct Readers {
    waiting: BTreeMap<RecordKey, Waiting>,
    kept: BTreeMap<RecordKey, (Timestamp, Option<RecordBytes>)>,
    unpublished: VecDeque<(Vec<u8>, Option<Proof>)>,
    rate: Bucket,
}

struct Waiting {
    query: QueryId,
    clients: Vec<ReplyTo>,
}

impl Readers {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            waiting: BTreeMap::new(),
            kept: BTreeMap::new(),
            unpublished: VecDeque::new(),
            rate: Bucket::full(LOOKUPS, now),
        }
    }

    /// Whether another lookup may begin.
    fn has_room(&mut self, now: Timestamp) -> bool {
        self.waiting.len() < MAX_LOOKUPS && self.rate.take(LOOKUPS, 1, now)
    }

    fn kept(&self, key: &RecordKey, now: Timestamp) -> Option<&Option<RecordBytes>> {
        let (until, found) = self.kept.get(key)?;
        (*until > now).then_some(found)
    }

    fn keep(&mut self, key: RecordKey, found: Option<RecordBytes>, now: Timestamp) {
        if self.kept.len() >= MAX_KEPT {
            self.kept.retain(|_, (until, _)| *until > now);
        }
        if self.kept.len() >= MAX_KEPT {
            let oldest = self
                .kept
                .iter()
                .min_by_key(|(key, (until, _))| (*until, **key));
            let oldest = oldest.map(|(key, _)| *key);
            oldest.iter().for_each(|key| drop(self.kept.remove(key)));
        }
        let life = match found {
            Some(_) => KEEP_FOUND,
            None => KEEP_ABSENT,
        };
        self.kept.insert(key, (now + life, found));
    }
}

impl Relay {
    /// A client asks for a record that is not held here.
    pub(in crate::core) fn look_up_record(
        &mut self,
        reply: ReplyTo,
        key: RecordKey,
        step: &mut Step<'_>,
    ) {
        if let Some(record) = self.dht.readers.kept(&key, step.now).cloned() {
            return self.respond(reply, &Reply::RecordGet(RecordGetReply { record }), step);
        }
        if let Some(waiting) = self.dht.readers.waiting.get_mut(&key) {
            if waiting.clients.len() < MAX_WAITING {
                return waiting.clients.push(reply);
            }
            return self.refuse_request(reply, Refusal::Busy, step);
        }
        let node = self.dht.node.as_mut();
        let Some(node) = node.filter(|node| !node.table().is_empty()) else {
            // There is nobody to ask.
            let record = None;
            return self.respond(reply, &Reply::RecordGet(RecordGetReply { record }), step);
        };
        if !self.dht.readers.has_room(step.now) {
            return self.refuse_request(reply, Refusal::Busy, step);
        }
        match node.find_value(RecordId::account(key), step.now, &mut step.rng) {
            Ok(query) => {
                let clients = vec![reply];
                let waiting = Waiting { query, clients };
                self.dht.readers.waiting.insert(key, waiting);
            }
            Err(_) => self.refuse_request(reply, Refusal::Busy, step),
        }
    }

    /// A lookup is at its end.
    pub(super) fn record_looked_up(
        &mut self,
        query: QueryId,
        value: Option<Vec<u8>>,
        step: &mut Step<'_>,
    ) {
        let waiting = &mut self.dht.readers.waiting;
        let key = waiting.iter().find(|(_, waiting)| waiting.query == query);
        let Some((key, waiting)) = key
            .map(|(key, _)| *key)
            .and_then(|key| waiting.remove_entry(&key))
        else {
            return;
        };
        let record = value.and_then(|bytes| RecordBytes::new(bytes).ok());
        self.count(Metric::Dht(match record {
            Some(_) => "found",
            None => "absent",
        }));
        self.dht.readers.keep(key, record.clone(), step.now);
        let answer = Reply::RecordGet(RecordGetReply { record });
        for client in waiting.clients {
            self.respond(client, &answer, step);
        }
    }

    /// Lookups of a former place come to nothing: who waits may ask again.
    pub(super) fn forget_lookups(&mut self, step: &mut Step<'_>) {
        self.dht.seekers.forget();
        for waiting in core::mem::take(&mut self.dht.readers.waiting).into_values() {
            for client in waiting.clients {
                self.refuse_request(client, Refusal::Busy, step);
            }
        }
    }

    /// A client's record is on this relay's disk: it goes to the relays nearest to its key, too.
    pub(in crate::core) fn publish_record(
        &mut self,
        key: &RecordKey,
        record: Vec<u8>,
        work: Option<&Work>,
        step: &mut Step<'_>,
    ) {
        self.dht.readers.kept.remove(key);
        let proof = work.and_then(|work| receipt(&self.me, work));
        let unpublished = &mut self.dht.readers.unpublished;
        if unpublished.len() >= MAX_UNPUBLISHED {
            // Its owner publishes at several relays, and again every day.
            return self.count(Metric::Dht("not_published"));
        }
        unpublished.push_back((record, proof));
        self.publish_waiting(step);
    }

    /// Publishes as much as there is room for.
    pub(super) fn publish_waiting(&mut self, step: &mut Step<'_>) {
        let Some(node) = &mut self.dht.node else {
            return;
        };
        while let Some((record, proof)) = self.dht.readers.unpublished.pop_front() {
            let kind = RecordKind::Account;
            let published =
                node.publish(kind, record.clone(), proof.clone(), step.now, &mut step.rng);
            if matches!(published, Err(PublishError::Busy(_))) {
                return self.dht.readers.unpublished.push_front((record, proof));
            }
        }
    }
}
