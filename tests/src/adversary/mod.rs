//! What relays could find out: DESIGN §3's table, checked by code on everything that each relay of a run has seen.
//!
//! ```text
//!   Sightings ─▶ log: peeled with the relay's own keys, taken apart ─▶ Event { relay, values, flow }
//!                                                                          │
//!   truth: who has which address, mailbox, record ─▶ Persona ──────────────┤
//!                                                                          ▼
//!   graph: values are nodes, events join them; a component that holds two personas is a Finding
//! ```
//! A *persona* is what a client is in one role: an IP address at one relay, a mailbox, a record of the directory, an
//! account. No relay may join two of them, and no two relays together either. Who joins by *values* needs only bytes
//! that are equal. [`Adversary::by_timing`] gives more: an oracle says which packets belong to one request and its
//! reply, as perfect timing could, and no relay may be at both ends of one.
//!
//! What no oracle covers: two relays at both ends of a path that compare times, and a guard that two clients share,
//! which may guess that they write to each other. docs/THREAT_MODEL.md grants both.

mod graph;
mod log;
mod numbers;
mod truth;
mod values;

use std::collections::BTreeSet;
use std::fmt;

use graph::Graph;
use log::Event;

use crate::sim::Sightings;

pub use truth::Persona;
pub use values::byte_strings;

/// The logs of a run, taken apart.
#[derive(Debug)]
pub struct Adversary {
    relays: usize,
    graph: Graph,
    counts: Counts,
}

/// How much there was to see: a test that has seen nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames and rows.
    pub sightings: usize,
    /// Packets passed on.
    pub forwarded: usize,
    /// Requests in clear.
    pub processed: usize,
    /// Deliveries.
    pub delivered: usize,
    /// Packets that no key of the relay opened.
    pub dropped: usize,
    /// Clients whose account, record and mailbox are known in truth.
    pub known: usize,
}

/// Two personas that somebody can join, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose logs it takes.
    pub relays: BTreeSet<usize>,
    /// What is joined.
    pub joined: [Persona; 2],
    /// The events that lead from the one to the other.
    pub chain: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.joined;
        write!(f, "relays {:?} join {one:?} with {other:?}", self.relays)?;
        self.chain
            .iter()
            .try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl Adversary {
    /// Takes everything apart that the relays of a run have seen.
    pub fn new(sightings: &Sightings) -> Self {
        let (events, counts) = log::events(sightings);
        let relays = sightings.nodes.len();
        Self {
            relays,
            graph: Graph::new(events, relays),
            counts,
        }
    }

    /// How much there was to see.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What a single relay joins by equal values.
    pub fn alone(&self) -> Vec<Finding> {
        (0..self.relays)
            .filter_map(|relay| self.graph.finding(&[relay], false))
            .collect()
    }

    /// What a single relay joins by equal values and perfect timing.
    pub fn by_timing(&self) -> Vec<Finding> {
        (0..self.relays)
            .filter_map(|relay| self.graph.finding(&[relay], true))
            .collect()
    }

    /// What two relays together join by equal values.
    pub fn in_pairs(&self) -> Vec<Finding> {
        let pairs = (0..self.relays).flat_map(|one| (0..one).map(move |other| [other, one]));
        pairs
            .filter_map(|pair| self.graph.finding(&pair, false))
            .collect()
    }

    /// What all relays together join by the times in what clients say.
    pub fn by_numbers(&self) -> Vec<Finding> {
        numbers::findings(self.graph.events())
    }

    /// Events in which a relay sees something of an account: its address, keys, devices.
    pub fn accounts_seen(&self) -> Vec<String> {
        let shows = |event: &&Event| {
            let mut personas = event.personas.iter();
            personas.any(|persona| matches!(persona, Persona::Account(_)))
        };
        self.graph
            .events()
            .iter()
            .filter(shows)
            .map(Event::describe)
            .collect()
    }
}
