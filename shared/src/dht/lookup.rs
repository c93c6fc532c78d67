//! One lookup as a value: whom to ask next, and what has come of it. Kademlia §2.3 over disjoint paths, as
//! S/Kademlia (Baumgart and Mies, 2007, §4.4) has them.
//!
//! ```text
//!  contacts of the table ─▶ dealt out to 8 paths ─▶ α = 3 questions at a time, one a path
//!  a path asks the nearest that it knows; no relay is asked by two paths; it ends with the value,
//!  or when its 3 nearest have answered
//!  value: done when 3 paths have it, or all have ended      nodes: done when all paths have ended
//! ```
//! A relay that lies can spoil its own path and no other. With a fifth of all relays lying together, about a third of
//! the paths are spoilt, and all eight of one in several thousand lookups.

use std::collections::BTreeMap;

use super::admission::Proof;
use super::bucket::{K, MAX_OF_NETWORK};
use super::contact::{Contact, Network};
use super::distance::Distance;
use super::record::RecordId;
use crate::id::{NodeId, Position};

/// Questions under way at a time (Kademlia's α).
pub const ALPHA: usize = 3;
/// Disjoint paths of a lookup for a value, or for where to store one.
pub const PATHS: usize = 8;
/// Candidates that a path keeps: the nearest.
const MAX_CANDIDATES: usize = 64;
/// Questions of one path, those without an answer included.
const MAX_ASKED: usize = 32;
/// Paths that must have a value before the others are given up.
const QUORUM: usize = 3;

/// What a lookup is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The relays nearest to the target.
    Nodes,
    /// A record.
    Value(RecordId),
}

/// How many paths, and how far each goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breadth {
    /// Disjoint paths.
    pub(super) paths: usize,
    /// A path ends when so many of the nearest that it knows have answered.
    pub(super) want: usize,
}

impl Breadth {
    /// For what must not fail: values, and where to store them. The paths together ask the K nearest.
    pub(super) const WIDE: Self = Self {
        paths: PATHS,
        want: K.div_ceil(PATHS),
    };
    /// For the table's sake.
    pub(super) const NARROW: Self = Self {
        paths: ALPHA,
        want: K.div_ceil(2 * ALPHA),
    };
}

/// A record that was found, and has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// The record.
    pub bytes: Vec<u8>,
    /// Its sequence.
    pub sequence: u64,
    /// What was shown for its admission, if that is worth what is asked for here.
    pub proof: Option<Proof>,
}

impl FoundRecord {
    /// Whether it takes the place of one that was found before.
    fn is_better(&self, best: &Self) -> bool {
        let proven = self.proof.is_some() && best.proof.is_none();
        self.sequence > best.sequence || (self.sequence == best.sequence && proven)
    }
}

/// A lookup.
#[derive(Clone, Debug)]
pub struct Lookup {
    target: Position,
    goal: Goal,
    breadth: Breadth,
    me: NodeId,
    paths: Vec<Path>,
    /// Where somebody has been asked, and by which path: a lie about a relay's place does not keep others from asking it.
    asked: BTreeMap<(NodeId, Network), usize>,
    /// Those that were not there: another URL may be the right one.
    failed: Vec<Contact>,
    answered: BTreeMap<(Distance, NodeId), Contact>,
    best: Option<FoundRecord>,
    /// Who has brought that.
    giver: Option<NodeId>,
    /// Who has which sequence.
    holders: Vec<(Contact, u64)>,
    hops: u8,
}

/// What a lookup has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The relays nearest to the target that have answered, the nearest first; K at most.
    pub nearest: Vec<Contact>,
    /// The record of the highest sequence.
    pub value: Option<FoundRecord>,
    /// Who has brought it.
    pub giver: Option<NodeId>,
    /// Relays that have an older one.
    pub outdated: Vec<Contact>,
    /// Paths that have brought the value.
    pub agreed: usize,
    /// How many relays were asked.
    pub asked: usize,
    /// On the way to the value, or to the nearest relay: 1 if this relay knew it.
    pub hops: u8,
}

#[derive(Clone, Debug, Default)]
struct Path {
    /// The nearest first.
    candidates: Vec<Candidate>,
    asked: usize,
    waits: bool,
    ended: bool,
}

impl Path {
    /// It has nobody to begin with so far.
    const fn is_unfed(&self) -> bool {
        self.candidates.is_empty() && self.asked == 0 && !self.ended
    }
}

#[derive(Clone, Debug)]
struct Candidate {
    distance: Distance,
    contact: Contact,
    hops: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Answered,
}

/// What a relay is asked at: it is at one of those that are claimed of it, at most.
const fn place(contact: &Contact) -> (NodeId, Network) {
    (contact.node(), *contact.network())
}

impl Lookup {
    /// Begins from contacts of the table, the nearest first.
    pub(super) fn new(
        me: NodeId,
        target: Position,
        goal: Goal,
        breadth: Breadth,
        start: Vec<Contact>,
    ) -> Self {
        let mut lookup = Self {
            target,
            goal,
            breadth,
            me,
            paths: vec![Path::default(); breadth.paths],
            asked: BTreeMap::new(),
            failed: Vec::new(),
            answered: BTreeMap::new(),
            best: None,
            giver: None,
            holders: Vec::new(),
            hops: 0,
        };
        for (at, contact) in start.into_iter().enumerate() {
            let path = at.checked_rem(breadth.paths).unwrap_or(0);
            lookup.offer(path, contact, 1);
        }
        lookup
    }

    /// The point that it is about.
    pub const fn target(&self) -> &Position {
        &self.target
    }

    /// What it is after.
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// Whom to ask now; `None` if nobody, until an answer has come.
    pub(super) fn next(&mut self) -> Option<Contact> {
        // Paths in their order, as many at a time as questions may be under way.
        let active: Vec<usize> = (0..self.paths.len())
            .filter(|at| self.paths.get(*at).is_some_and(|path| !path.ended))
            .collect();
        let mut running = 0;
        for at in active {
            if running >= ALPHA || self.is_done() {
                break;
            }
            if self.paths.get(at).is_some_and(|path| path.waits) {
                running += 1;
                continue;
            }
            if let Some(contact) = self.next_of(at) {
                return Some(contact);
            }
        }
        None
    }

    /// A relay has answered with contacts, and with the record if it has it. `value` has been checked: it is the
    /// record that was asked for.
    pub(super) fn answered(
        &mut self,
        from: &Contact,
        contacts: &[Contact],
        value: Option<FoundRecord>,
    ) {
        let Some((at, hops)) = self.settle(from, true) else {
            return;
        };
        // Paths that the table had nobody for begin with what the first answers name.
        let mut to: Vec<usize> = (0..self.paths.len())
            .filter(|other| *other == at || self.paths.get(*other).is_some_and(Path::is_unfed))
            .collect();
        let first = to.iter().position(|other| *other == at).unwrap_or(0);
        to.rotate_left(first);
        for (contact, path) in contacts.iter().take(K).zip(to.into_iter().cycle()) {
            self.offer(path, contact.clone(), hops.saturating_add(1));
        }
        match value {
            Some(value) => {
                self.holders.push((from.clone(), value.sequence));
                if self.best.as_ref().is_none_or(|best| value.is_better(best)) {
                    self.hops = hops;
                    self.giver = Some(from.node());
                    self.best = Some(value);
                }
                self.end(at);
            }
            None => self.end_if_settled(at),
        }
    }

    /// A relay has not answered, is not where it should be, or has answered nonsense.
    pub(super) fn failed(&mut self, from: &Contact) {
        if let Some((at, _)) = self.settle(from, false) {
            self.asked.remove(&place(from));
            self.failed.push(from.clone());
            self.end_if_settled(at);
        }
    }

    /// Whether nothing is left to ask.
    pub fn is_done(&self) -> bool {
        let enough = self.holders.len() >= QUORUM.min(self.breadth.paths);
        enough || self.paths.iter().all(|path| path.ended)
    }

    /// What has come of it.
    pub(super) fn finish(self) -> Outcome {
        let asked = self.asked.len() + self.failed.len();
        let nearest = self.answered.into_values().take(K).collect();
        let sequence = self.best.as_ref().map_or(0, |best| best.sequence);
        let agreed = self.holders.len();
        let old = self
            .holders
            .into_iter()
            .filter(|(_, held)| *held < sequence);
        Outcome {
            outdated: old.map(|(contact, _)| contact).collect(),
            nearest,
            agreed,
            asked,
            hops: self.hops,
            giver: self.giver,
            value: self.best,
        }
    }

    /// Whether somebody has asked there, or it was not there.
    fn is_taken(&self, contact: &Contact) -> bool {
        self.asked.contains_key(&place(contact)) || self.failed.contains(contact)
    }

    /// The nearest of a path that nobody has asked. Ends the path if there is none.
    fn next_of(&mut self, at: usize) -> Option<Contact> {
        let (asked, failed) = (&self.asked, &self.failed);
        let others_wait = self.paths.iter().any(|path| path.waits);
        let path = self.paths.get_mut(at)?;
        if path.is_unfed() && others_wait {
            return None;
        }
        // Whom another path has asked is that path's.
        let taken = |c: &Contact| asked.contains_key(&place(c)) || failed.contains(c);
        let free = |c: &Candidate| c.state != State::New || !taken(&c.contact);
        path.candidates.retain(free);
        let want = self.breadth.want;
        let next = path
            .candidates
            .iter_mut()
            .take(want)
            .find(|c| c.state == State::New);
        match next.filter(|_| path.asked < MAX_ASKED) {
            None => {
                path.ended = true;
                None
            }
            Some(candidate) => {
                candidate.state = State::Asked;
                path.waits = true;
                path.asked += 1;
                let contact = candidate.contact.clone();
                self.asked.insert(place(&contact), at);
                Some(contact)
            }
        }
    }

    /// An answer, or none, of somebody who was asked: the path, and how far away that was.
    fn settle(&mut self, from: &Contact, answered: bool) -> Option<(usize, u8)> {
        let at = *self.asked.get(&place(from))?;
        let path = self.paths.get_mut(at)?;
        let of = |c: &Candidate| c.contact == *from && c.state == State::Asked;
        let index = path.candidates.iter().position(of)?;
        path.waits = false;
        let candidate = path.candidates.get_mut(index)?;
        let (hops, distance) = (candidate.hops, candidate.distance);
        match answered {
            true => {
                candidate.state = State::Answered;
                if self.best.is_none()
                    && self
                        .answered
                        .keys()
                        .next()
                        .is_none_or(|(d, _)| distance < *d)
                {
                    self.hops = hops;
                }
                self.answered.insert((distance, from.node()), from.clone());
            }
            false => drop(path.candidates.remove(index)),
        }
        Some((at, hops))
    }

    fn end_if_settled(&mut self, at: usize) {
        let want = self.breadth.want;
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let mut near = path.candidates.iter().take(want);
        path.ended |= near.all(|c| c.state == State::Answered);
    }

    fn end(&mut self, at: usize) {
        if let Some(path) = self.paths.get_mut(at) {
            path.ended = true;
        }
    }

    /// A path has heard of a contact.
    fn offer(&mut self, at: usize, contact: Contact, hops: u8) {
        let node = contact.node();
        if node == self.me || self.is_taken(&contact) {
            return;
        }
        let distance = contact.position().to(&self.target);
        let Some(path) = self.paths.get_mut(at).filter(|path| !path.ended) else {
            return;
        };
        let candidates = &mut path.candidates;
        let same = |c: &&Candidate| c.contact.network() == contact.network();
        let crowded = candidates.iter().filter(same).count() >= MAX_OF_NETWORK;
        if crowded || candidates.iter().any(|c| c.contact == contact) {
            return;
        }
        let place = candidates.partition_point(|c| c.distance <= distance);
        if place >= MAX_CANDIDATES {
            return;
        }
        let state = State::New;
        candidates.insert(
            place,
            Candidate {
                distance,
                contact,
                hops,
                state,
            },
        );
        // Those beyond are dropped, but never one whose answer is awaited.
        if candidates.len() > MAX_CANDIDATES
            && let Some(last) = candidates.iter().rposition(|c| c.state == State::New)
        {
            candidates.remove(last);
        }
    }
}
