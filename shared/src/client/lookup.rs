//! Looking a contact up: their account record from the directory, then a prekey bundle for each device.
//!
//! ```text
//!   Waiting ──3, 6, 12 relays──▶ Record ──newest that verifies──▶ PreKeys ──▶ StartSession, done
//!      ▲───────── nobody has it, or nothing verifies: backoff ────────┘
//! ```
//! It goes on until something is found, while something is to be said: a contact who has not published yet will have one
//! day. Who has just been added is looked up before, a few times; the bundles wait in memory for the first message.

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use super::outbox::backoff;
use super::view::FailReason;
use crate::id::{Address, DeviceId};
use crate::rpc::{AccountContents, AccountRecord, PublishedDevice};
use crate::time::{Duration, Timestamp};
use crate::x3dh::PreKeyBundle;

const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_mins(5);
/// After so many attempts that found nobody a person is told.
const PERSISTS: u32 = 3;

/// What a contact's messages say about its device list is looked into at most this often.
const NEWS_PAUSE: Duration = Duration::from_mins(1);
/// After an attempt that failed, sending does not wait for another within this time.
const TRUST_OLD: Duration = Duration::from_mins(10);
/// Bundles wait so long for a first message, for so many contacts at most.
const FETCHED_FOR: Duration = Duration::from_hours(1);
const MAX_FETCHED: usize = 16;

/// Lookups under way.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    open: BTreeMap<Address, Lookup>,
    /// When a contact's own word last led to a lookup.
    news: BTreeMap<Address, Timestamp>,
    /// When an attempt last failed.
    failures: BTreeMap<Address, Timestamp>,
    /// Bundles for contacts to whom nothing has been said yet.
    fetched: BTreeMap<Address, Fetched>,
}

/// Bundles that wait for a first message.
#[derive(Debug)]
struct Fetched {
    at: Timestamp,
    starts: Vec<StartSession>,
}

#[derive(Debug)]
struct Lookup {
    stage: Stage,
    attempts: u32,
    /// Attempts in which every relay said that it has nothing.
    absences: u32,
    /// Why the last attempt failed.
    failure: Option<FailReason>,
    /// Sending waits until this is done, or has failed once.
    first: bool,
}

#[derive(Debug)]
enum Stage {
    Waiting {
        due: Timestamp,
    },
    Record {
        asked: usize,
        answers: Vec<Answer>,
    },
    PreKeys {
        contents: Box<AccountContents>,
        asked: Vec<DeviceId>,
    },
}

/// A verified bundle of a device, to start a session with.
#[derive(Debug)]
pub(super) struct StartSession {
    pub(super) address: Address,
    pub(super) device: PublishedDevice,
    pub(super) bundle: PreKeyBundle,
    /// When its account's devices were last confirmed, if that is long ago.
    pub(super) stale_since: Option<Timestamp>,
}

/// What one relay says.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has a record, which verified.
    Record(Box<AccountRecord>),
    /// It has none.
    Absent,
    /// It did not say.
    Nothing,
}

/// What the answers of all relays that were asked amount to.
#[derive(Debug)]
pub(super) enum Found {
    /// Others are still to answer.
    NotYet,
    /// The records that there are.
    Records(Vec<AccountRecord>),
    /// Nobody has one.
    Absent,
    /// Some did not answer, and the others have none.
    NoAnswer,
}

impl Lookups {
    /// Wants a session with every device of this contact.
    pub(super) fn want(&mut self, address: Address, now: Timestamp) {
        self.entry(address, now);
    }

    /// The same before anything is to be said, unless that was done a moment ago or for enough others.
    pub(super) fn want_early(&mut self, address: Address, now: Timestamp) {
        self.forget_kept(now);
        if !self.fetched.contains_key(&address) && self.fetched.len() < MAX_FETCHED {
            self.want(address, now);
        }
    }

    /// The same, and without waiting out a pause: a person asks.
    pub(super) fn want_now(&mut self, address: Address, now: Timestamp) {
        self.entry(address, now).hurry(now);
    }

    /// Wants what is known to be read again before anything more is sent; unless that failed a moment ago.
    pub(super) fn want_first(&mut self, address: Address, now: Timestamp) {
        let failed = self.failures.get(&address);
        if failed.is_none_or(|at| now.since(*at) >= TRUST_OLD) {
            let lookup = self.entry(address, now);
            if lookup.attempts == 0 {
                lookup.first = true;
                lookup.hurry(now);
            }
        }
    }

    /// Whether the last attempt for this contact has come to nothing.
    pub(super) fn has_failed(&self, address: &Address) -> bool {
        let lookup = self.open.get(address);
        lookup.is_some_and(|lookup| lookup.attempts > 0)
    }

    /// Whether sending waits for this contact to be looked up.
    pub(super) fn is_first(&self, address: &Address) -> bool {
        self.open.get(address).is_some_and(|lookup| lookup.first)
    }

    /// A contact says that its devices have changed: wants to know, soon. Anybody can say so again and again.
    pub(super) fn want_news(&mut self, address: Address, now: Timestamp) {
        if self.open.contains_key(&address) {
            return;
        }
        let last = self.news.get(&address);
        let due = last.map_or(now, |last| now.max(last.saturating_add(NEWS_PAUSE)));
        self.news.insert(address, due);
        self.entry(address, due);
    }

    fn entry(&mut self, address: Address, now: Timestamp) -> &mut Lookup {
        self.open.entry(address).or_insert(Lookup {
            stage: Stage::Waiting { due: now },
            attempts: 0,
            absences: 0,
            failure: None,
            first: false,
        })
    }

    /// Attempts that have failed.
    pub(super) fn attempts(&self, address: &Address) -> u32 {
        self.open.get(address).map_or(0, |lookup| lookup.attempts)
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<Address> {
        let is_due =
            |lookup: &Lookup| matches!(&lookup.stage, Stage::Waiting { due } if *due <= now);
        self.open
            .iter()
            .filter(|(_, lookup)| is_due(lookup))
            .map(|(address, _)| *address)
            .collect()
    }

    pub(super) fn record_asked(&mut self, address: &Address, asked: usize) {
        if let Some(lookup) = self.open.get_mut(address) {
            lookup.stage = Stage::Record {
                asked,
                answers: Vec::new(),
            };
        }
    }

    /// One relay has answered, or has not.
    pub(super) fn record_answered(&mut self, address: &Address, answer: Answer) -> Found {
        let Some(Lookup {
            stage: Stage::Record { asked, answers },
            ..
        }) = self.open.get_mut(address)
        else {
            return Found::NotYet;
        };
        answers.push(answer);
        if answers.len() < *asked {
            return Found::NotYet;
        }
        let answers = core::mem::take(answers);
        let silent = answers.iter().any(|one| matches!(one, Answer::Nothing));
        let record = |answer| match answer {
            Answer::Record(record) => Some(*record),
            Answer::Absent | Answer::Nothing => None,
        };
        let records: Vec<_> = answers.into_iter().filter_map(record).collect();
        match records.is_empty() {
            false => Found::Records(records),
            true if silent => Found::NoAnswer,
            true => Found::Absent,
        }
    }

    /// Prekeys of these devices are being taken.
    pub(super) fn prekeys_asked(
        &mut self,
        address: &Address,
        contents: AccountContents,
        asked: Vec<DeviceId>,
    ) {
        if let Some(lookup) = self.open.get_mut(address) {
            (lookup.failure, lookup.absences) = (None, 0);
            lookup.stage = Stage::PreKeys {
                contents: Box::new(contents),
                asked,
            };
        }
    }

    /// The published device whose prekeys have come, and since when its record is stale.
    pub(super) fn device(
        &self,
        address: &Address,
        device: &DeviceId,
    ) -> Option<(&PublishedDevice, Option<Timestamp>)> {
        let Some(Lookup {
            stage: Stage::PreKeys { contents, .. },
            ..
        }) = self.open.get(address)
        else {
            return None;
        };
        let devices = contents.devices.iter();
        let mut named = devices.filter(|one| one.certificate.device_id() == *device);
        named
            .next()
            .map(|published| (published, contents.stale_since))
    }

    /// Nothing more is wanted of this contact.
    pub(super) fn done(&mut self, address: &Address) {
        self.open.remove(address);
    }

    /// A session was started. True when it was the last one wanted.
    pub(super) fn started(&mut self, address: &Address, device: &DeviceId) -> bool {
        let Some(lookup) = self.open.get_mut(address) else {
            return false;
        };
        let Stage::PreKeys { asked, .. } = &mut lookup.stage else {
            return false;
        };
        asked.retain(|waiting| waiting != device);
        let done = asked.is_empty();
        if done {
            self.open.remove(address);
        }
        done
    }

    /// A bundle has come for somebody to whom nothing is to be said yet: it waits for that.
    pub(super) fn keep(&mut self, start: StartSession, now: Timestamp) {
        let address = start.address;
        self.started(&address, &start.device.certificate.device_id());
        self.forget_kept(now);
        if self.fetched.len() < MAX_FETCHED || self.fetched.contains_key(&address) {
            let new = || Fetched {
                at: now,
                starts: Vec::new(),
            };
            let fetched = self.fetched.entry(address).or_insert_with(new);
            fetched.starts.push(start);
        }
    }

    fn forget_kept(&mut self, now: Timestamp) {
        self.fetched
            .retain(|_, fetched| now.since(fetched.at) < FETCHED_FOR);
    }

    /// A contact's devices were read again: bundles of those that are not as they were go. Yields those whose bundles stay.
    pub(super) fn keep_of(
        &mut self,
        address: &Address,
        devices: &[PublishedDevice],
        now: Timestamp,
    ) -> Vec<DeviceId> {
        self.forget_kept(now);
        let Some(fetched) = self.fetched.get_mut(address) else {
            return Vec::new();
        };
        fetched
            .starts
            .retain(|start| devices.contains(&start.device));
        let devices = fetched.starts.iter();
        devices
            .map(|start| start.device.certificate.device_id())
            .collect()
    }

    /// First words are to be said: they wait for every device whose bundle is on its way, unless one fails to come.
    pub(super) fn wait_for_all(&mut self, address: &Address) {
        if let Some(lookup) = self.open.get_mut(address) {
            lookup.first |= lookup.attempts == 0;
        }
    }

    /// Takes the bundles that have waited for a first message. None if that was too long.
    pub(super) fn take_kept(&mut self, address: &Address, now: Timestamp) -> Vec<StartSession> {
        let fetched = self.fetched.remove(address);
        let fetched = fetched.filter(|fetched| now.since(fetched.at) < FETCHED_FOR);
        fetched.map(|fetched| fetched.starts).unwrap_or_default()
    }

    /// This attempt failed; another follows after a growing pause.
    pub(super) fn failed(
        &mut self,
        address: &Address,
        failure: Option<FailReason>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(lookup) = self.open.get_mut(address) {
            self.failures.insert(*address, now);
            lookup.first = false;
            let due = now.saturating_add(backoff(lookup.attempts, FIRST_RETRY, LAST_RETRY, rng));
            lookup.attempts = lookup.attempts.saturating_add(1);
            let absent = failure == Some(FailReason::ContactNotFound);
            lookup.absences = lookup.absences.saturating_add(absent.into());
            lookup.failure = failure.or(lookup.failure);
            lookup.stage = Stage::Waiting { due };
        }
    }

    /// Why the last attempt failed.
    pub(super) fn failure(&self, address: &Address) -> Option<FailReason> {
        self.open.get(address).and_then(|lookup| lookup.failure)
    }

    /// Whether nobody has known the contact for several attempts.
    pub(super) fn is_unknown(&self, address: &Address) -> bool {
        self.open.get(address).is_some_and(|lookup| {
            lookup.absences >= PERSISTS && lookup.failure == Some(FailReason::ContactNotFound)
        })
    }

    /// A link came up, or other relays are known: do not wait out a pause that began without.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for lookup in self.open.values_mut() {
            lookup.hurry(now);
        }
    }

    /// When something is due next; only asked while a guard is connected.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let due = |lookup: &Lookup| match &lookup.stage {
            Stage::Waiting { due } => Some(*due),
            Stage::Record { .. } | Stage::PreKeys { .. } => None,
        };
        self.open.values().filter_map(due).min()
    }
}

impl Lookup {
    fn hurry(&mut self, now: Timestamp) {
        if let Stage::Waiting { due } = &mut self.stage {
            *due = now.min(*due);
        }
    }
}
