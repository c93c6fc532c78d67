//! The first directory: three pinned relays are asked in clear, and what two of them list is taken.
//! DESIGN §3.1.
//!
//! ```text
//!  Idle ──want──▶ Waiting(at) ──due──▶ Asking ──all answered, or 3 s after enough of them──▶ agreed?
//!    ▲                ▲                                                                 │      │
//!    └────────────────┼──────────────────── yes ────────────────────────────────────────┼──────┘
//!                     └──────────────────── no: backoff ────────────────────────────────┘
//! ```
//! A single lying relay can neither add a relay that only it lists, nor hide one that the other two list. Of more relays than
//! an answer holds the client draws which: whoever makes NodeIds that come first in some order gains nothing by it.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_core::CryptoRng;

use super::backoff::Backoff;
use crate::id::NodeId;
use crate::onion::{Directory, RelayDescriptor, RelayUrl, UnverifiedDescriptor};
use crate::time::{Duration, Timestamp};
use crate::wire::link::{DescriptorBytes, Directory as DirectoryBody, MAX_LISTED};

/// Relays asked at once.
const ASKED: usize = 3;
/// Pinned relays that are looked at; a longer list is cut.
const MAX_PINNED: usize = 32;
/// How long the last answers are waited for once enough have come.
const GRACE: Duration = Duration::from_secs(3);
/// Shortest ceiling of the wait before another attempt.
const RETRY_BASE: Duration = Duration::from_secs(1);
/// Longest wait before another attempt.
const RETRY_CAP: Duration = Duration::from_secs(60);
/// An attempt that is only a hunch (every guard fails) is not repeated within.
const COOL_DOWN: Duration = Duration::from_mins(10);

/// A relay that the application ships with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Who answers there.
    pub node: NodeId,
    /// Where: `wss://…/v1`, or `ws://` to loopback in development.
    pub url: String,
}

/// What enough relays agree on.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The relays.
    pub(super) directory: Directory,
    /// There are no others: too few answers were as long as one can be.
    pub(super) whole: bool,
}

/// How far the first directory is.
#[derive(Debug)]
pub(super) struct Bootstrapping {
    pinned: Vec<Bootstrap>,
    state: State,
    /// Of the last attempt: all are asked for the same relays of a directory that is too long to be listed.
    seed: [u8; 16],
    backoff: Backoff,
    succeeded: Option<Timestamp>,
}

#[derive(Debug)]
enum State {
    /// Nothing to do.
    Idle,
    /// The next attempt starts then.
    Waiting(Timestamp),
    /// Links are open, or being opened.
    Asking {
        asked: BTreeMap<NodeId, Answer>,
        until: Option<Timestamp>,
    },
}

#[derive(Debug)]
enum Answer {
    Pending,
    Failed,
    Listed(Vec<DescriptorBytes>),
}

impl Bootstrap {
    /// Whether it is on the machine that uses it.
    pub(super) fn is_loopback(&self) -> bool {
        RelayUrl::parse(&self.url).is_ok_and(|url| url.is_loopback())
    }
}

impl Bootstrapping {
    /// Nothing asked yet.
    pub(super) fn new(mut pinned: Vec<Bootstrap>) -> Self {
        let mut seen = std::collections::BTreeSet::new();
        pinned.retain(|relay| seen.insert(relay.node));
        pinned.truncate(MAX_PINNED);
        Self {
            pinned,
            state: State::Idle,
            seed: [0; 16],
            backoff: Backoff::new(RETRY_BASE, RETRY_CAP),
            succeeded: None,
        }
    }

    /// A directory is needed.
    pub(super) fn want(&mut self, now: Timestamp) {
        if matches!(self.state, State::Idle) {
            self.state = State::Waiting(now);
        }
    }

    /// The directory might be out of date.
    pub(super) fn suggest(&mut self, now: Timestamp) {
        if self.succeeded.is_none_or(|at| at + COOL_DOWN <= now) {
            self.want(now);
        }
    }

    /// Starts an attempt that is due: yields the relays to visit.
    pub(super) fn start(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Vec<Bootstrap> {
        if !matches!(self.state, State::Waiting(at) if at <= now) {
            return Vec::new();
        }
        rng.fill_bytes(&mut self.seed);
        let mut pinned = self.pinned.clone();
        let chosen = pinned.partial_shuffle(rng, ASKED).0.to_vec();
        let asked = chosen.iter().map(|relay| (relay.node, Answer::Pending));
        self.state = State::Asking {
            asked: asked.collect(),
            until: None,
        };
        chosen
    }

    /// What the relays of the last attempt are told of how to choose what they list.
    pub(super) const fn seed(&self) -> [u8; 16] {
        self.seed
    }

    /// How many relays must list a relay: two, or one if only one is pinned.
    fn need(&self) -> usize {
        self.pinned.len().clamp(1, 2)
    }

    /// A relay has answered.
    pub(super) fn answered(&mut self, node: NodeId, directory: DirectoryBody, now: Timestamp) {
        self.settle(
            node,
            Answer::Listed(directory.descriptors.into_inner()),
            now,
        );
    }

    /// A relay's link has failed.
    pub(super) fn failed(&mut self, node: NodeId, now: Timestamp) {
        self.settle(node, Answer::Failed, now);
    }

    fn settle(&mut self, node: NodeId, answer: Answer, now: Timestamp) {
        let need = self.need();
        let State::Asking { asked, until } = &mut self.state else {
            return;
        };
        if let Some(slot @ Answer::Pending) = asked.get_mut(&node) {
            *slot = answer;
        }
        let listed = |answer: &&Answer| matches!(answer, Answer::Listed(_));
        if until.is_none() && asked.values().filter(listed).count() >= need {
            *until = Some(now + GRACE);
        }
    }

    /// Ends an attempt once all have answered, or the grace of the last ones is over. Yields what enough of
    /// them agree on; an attempt that yields nothing is repeated after a wait.
    pub(super) fn conclude(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Option<Agreed> {
        let State::Asking { asked, until } = &mut self.state else {
            return None;
        };
        let pending = asked
            .values()
            .any(|answer| matches!(answer, Answer::Pending));
        if pending && until.is_none_or(|until| now < until) {
            return None;
        }
        let asked = core::mem::take(asked);
        let is_cut = |answer: &Answer| matches!(answer, Answer::Listed(l) if l.len() >= MAX_LISTED);
        let cut = asked.values().filter(|answer| is_cut(answer)).count();
        let whole = cut < self.need();
        let agreed = Directory::agree(&verified(asked.into_values(), now), self.need());
        if agreed.is_empty() {
            self.state = State::Waiting(self.backoff.fail(now, rng));
            return None;
        }
        self.state = State::Idle;
        self.backoff.reset();
        self.succeeded = Some(now);
        Some(Agreed {
            directory: agreed,
            whole,
        })
    }

    /// There is a network again.
    pub(super) fn retry_now(&mut self, now: Timestamp) {
        if let State::Waiting(at) = &mut self.state {
            *at = now.min(*at);
            self.backoff.reset();
        }
    }

    /// There is no network: an attempt under way is given up.
    pub(super) fn suspend(&mut self, now: Timestamp) {
        if matches!(self.state, State::Asking { .. }) {
            self.state = State::Waiting(now);
        }
    }

    /// When an attempt or its conclusion is due.
    pub(super) const fn next_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Idle => None,
            State::Waiting(at) => Some(*at),
            State::Asking { until, .. } => *until,
        }
    }

    /// Attempts since the last success, the one under way included, and when the next one starts.
    pub(super) const fn attempt(&self) -> (u32, Option<Timestamp>) {
        let attempt = self.backoff.failures().saturating_add(1);
        match self.state {
            State::Waiting(at) => (attempt, Some(at)),
            _ => (attempt, None),
        }
    }
}

/// The acceptable descriptors of every answer. What several answers list is verified once.
fn verified(answers: impl Iterator<Item = Answer>, now: Timestamp) -> Vec<Vec<RelayDescriptor>> {
    let mut known: BTreeMap<Vec<u8>, Option<RelayDescriptor>> = BTreeMap::new();
    let mut verify = |bytes: DescriptorBytes| {
        let checked = known.entry(bytes.to_vec()).or_insert_with(|| {
            let descriptor = UnverifiedDescriptor::decode(&bytes).ok()?;
            descriptor.verify(now).ok()
        });
        checked.clone()
    };
    answers
        .filter_map(|answer| match answer {
            Answer::Listed(descriptors) => Some(descriptors),
            Answer::Pending | Answer::Failed => None,
        })
        .map(|descriptors| descriptors.into_iter().filter_map(&mut verify).collect())
        .collect()
}
