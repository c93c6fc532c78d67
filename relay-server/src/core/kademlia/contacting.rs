//! Contacts of the DHT: nobody is asked anything before this relay has found it in the network that is claimed of it.
//!
//! ```text
//!  linked, and proven there ─▶ asked          linked, and proven elsewhere ─▶ not there, for this question
//!  not linked, or nothing proven yet ─▶ dialed: there ─▶ asked, else not there
//! ```
//! Lookups rank contacts by the places that are claimed of them: a link alone must not make a claim true.
//! A link that was made so is closed again when nothing was said on it for a minute.

use std::collections::{BTreeMap, HashMap};

use zentalk_shared::dht::{Contact, DialBack as Met, Peer, Verified};
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayDescriptor, RelayUrl, Subnet};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::codec::to_cbor;
use zentalk_shared::wire::link::LinkProof;

use super::super::admission::{Bucket, Rate};
use super::super::claims::Source;
use super::super::io::{ConnId, Metric, Output};
use super::super::links::State;
use super::super::peers::{Attempt, Target};
use super::super::relay::{Relay, Step};

/// Connections made for the DHT.
const DIALS: Rate = Rate {
    per_minute: 1_200,
    burst: 256,
};
/// Of these, under way.
pub(in crate::core) const AT_ONCE: usize = 128;
/// Questions that wait for one relay to be met.
const MAX_WAITING: usize = 16;
/// A network in which so many contacts were not found is left alone for [`QUIET`]: somebody may be making them up.
const MAX_MISSES: u8 = 4;
/// How long.
const QUIET: Duration = Duration::from_mins(1);
/// Networks that are remembered for it.
const MAX_NETWORKS: usize = 1024;

/// Who is being dialed, and what is to be said there.
pub(in crate::core) struct Contacting {
    /// [`AT_ONCE`] at most.
    dials: Vec<(Contact, Vec<Vec<u8>>)>,
    /// Where linked relays were met that the directory has no room for.
    met: BTreeMap<NodeId, Verified>,
    rate: Bucket,
    misses: HashMap<Subnet, (u8, Timestamp)>,
}

impl Contacting {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            dials: Vec::new(),
            met: BTreeMap::new(),
            rate: Bucket::full(DIALS, now),
            misses: HashMap::new(),
        }
    }

    fn waiting(&mut self, contact: &Contact) -> Option<&mut Vec<Vec<u8>>> {
        let mut dials = self.dials.iter_mut();
        let dial = dials.find(|(dialed, _)| dialed == contact);
        dial.map(|(_, waiting)| waiting)
    }

    /// An attempt is at its end: what was to be said there.
    fn end(&mut self, contact: &Contact) -> Option<Vec<Vec<u8>>> {
        let at = self
            .dials
            .iter()
            .position(|(dialed, _)| dialed == contact)?;
        Some(self.dials.remove(at).1)
    }

    /// Where a linked relay was met.
    pub(super) fn met(&self, node: &NodeId) -> Option<&Verified> {
        self.met.get(node)
    }

    /// A link is at its end.
    pub(in crate::core) fn unlinked(&mut self, node: &NodeId) {
        self.met.remove(node);
    }

    fn missed(&mut self, network: Subnet, now: Timestamp) {
        if self.misses.len() >= MAX_NETWORKS && !self.misses.contains_key(&network) {
            self.misses
                .retain(|_, (_, since)| now.since(*since) < QUIET);
            self.forget_oldest_miss();
        }
        let (count, since) = self.misses.entry(network).or_insert((0, now));
        if now.since(*since) >= QUIET {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }

    fn forget_oldest_miss(&mut self) {
        if self.misses.len() >= MAX_NETWORKS {
            let oldest = self.misses.iter().min_by_key(|(_, (_, since))| *since);
            let oldest = oldest.map(|(network, _)| network.clone());
            oldest.and_then(|network| self.misses.remove(&network));
        }
    }

    fn is_quiet(&self, network: &Subnet, now: Timestamp) -> bool {
        let misses = self.misses.get(network);
        misses.is_some_and(|(count, since)| *count >= MAX_MISSES && now.since(*since) < QUIET)
    }

    /// Attempts in a network that are under way: each may turn out to be a miss.
    fn under_way_in(&self, network: &Subnet) -> usize {
        let urls = self
            .dials
            .iter()
            .map(|(contact, _)| RelayUrl::parse(contact.url()));
        urls.filter(|url| url.as_ref().is_ok_and(|url| url.subnet(true) == *network))
            .count()
    }
}

impl Relay {
    /// Sends a question to a contact, and to nobody else.
    pub(super) fn ask_contact(&mut self, contact: Contact, frame: Vec<u8>, step: &mut Step<'_>) {
        let node = contact.node();
        if let Some(conn) = self.peers.conn(&node)
            && let Peer::Verified(known) = self.dht_peer(node)
        {
            if known.contact().network() == contact.network() {
                self.count(Metric::Dht("asked"));
                self.links.used(conn, step.now);
                return self.output(Output::Send(conn, frame));
            }
            self.count(Metric::Dht("elsewhere"));
            // It may have moved.
            self.dial_back.proofs.doubt(&node, step.now);
            self.schedule_dial_back();
            return self.dht_unreachable(&contact, step);
        }
        match self.dht.contacting.waiting(&contact) {
            Some(waiting) if waiting.len() < MAX_WAITING => waiting.push(frame),
            Some(_) => {}
            None => self.dial_contact(&contact, vec![frame], step),
        }
    }

    /// What was to be asked of a relay that is linked now, where it is proven to be; what is claimed of it besides waits
    /// until that was looked at.
    pub(in crate::core) fn take_questions(&mut self, node: NodeId) -> Vec<Vec<u8>> {
        let Peer::Verified(known) = self.dht_peer(node) else {
            return Vec::new();
        };
        let waiting = self.dht.contacting.waiting(known.contact());
        let waiting = waiting.map(core::mem::take).unwrap_or_default();
        let asked = waiting.len() as u64;
        self.output(Output::Count(Metric::Dht("asked"), asked));
        waiting
    }

    /// Finds out whether a contact is where it says.
    pub(super) fn verify_contact(&mut self, contact: Contact, step: &mut Step<'_>) {
        let node = contact.node();
        match self.dht_peer(node) {
            Peer::Verified(known) if self.peers.conn(&node).is_some() => {
                if let Some(node) = &mut self.dht.node {
                    node.handle_verified(&known, step.now, &mut step.rng);
                }
            }
            _ if self.dht.contacting.waiting(&contact).is_some() => {}
            _ => self.dial_contact(&contact, Vec::new(), step),
        }
    }

    fn dial_contact(&mut self, contact: &Contact, frames: Vec<Vec<u8>>, step: &mut Step<'_>) {
        let url = RelayUrl::parse(contact.url()).ok();
        let url = url.filter(|url| self.may_dial(url) && !self.config.info.urls.contains(url));
        let hidden = contact.network().is_private() && !self.config.allow_private;
        let Some(url) = url.filter(|_| !hidden) else {
            self.count(Metric::Dht("private"));
            return self.dht_unreachable(contact, step);
        };
        // Inventions of others do not keep anybody from a relay that was found there.
        let is_known = matches!(self.dht_peer(contact.node()), Peer::Verified(known) if known.contact() == contact);
        let contacting = &mut self.dht.contacting;
        let network = url.subnet(true);
        let is_flooded = || contacting.under_way_in(&network) >= usize::from(MAX_MISSES);
        if !is_known && (contacting.is_quiet(&network, step.now) || is_flooded()) {
            self.count(Metric::Dht("quiet"));
            return self.dht_unreachable(contact, step);
        }
        // Its question times out.
        if contacting.dials.len() >= AT_ONCE || !contacting.rate.take(DIALS, 1, step.now) {
            return self.count(Metric::Dht("busy"));
        }
        contacting.dials.push((contact.clone(), frames));
        self.count(Metric::Dht("dialed"));
        let text = url.as_str().to_owned();
        let dial = self.peers.start(Target::Contact(contact.clone()));
        self.output(Output::Connect(dial, text));
    }

    /// The relay that a contact names has answered.
    pub(in crate::core) fn contact_met(
        &mut self,
        conn: ConnId,
        (descriptor, proof): (RelayDescriptor, &LinkProof),
        attempt: &Attempt,
        step: &mut Step<'_>,
    ) {
        let (node, Target::Contact(contact)) = (descriptor.node(), &attempt.target) else {
            return self.close(conn, None, step);
        };
        let verified = attempt.address.and_then(|address| {
            let (address, port) = (address.ip(), address.port());
            let met = Met {
                node,
                address,
                port,
            };
            Verified::check(contact.clone(), met, self.config.allow_private).ok()
        });
        let Some(verified) = verified else {
            self.close(conn, None, step);
            self.contact_missed(contact, step);
            // It has moved, or others lie about it: it is looked for where it says itself.
            return self.learn(descriptor, Source::Gossip(node), step);
        };
        // If it is not to be believed this ends the attempt.
        self.found(descriptor, attempt, step);
        let Some(frames) = self.dht.contacting.end(contact) else {
            return self.close(conn, None, step);
        };
        if let Some(dht) = &mut self.dht.node {
            dht.handle_verified(&verified, step.now, &mut step.rng);
        }
        if frames.is_empty() || self.peers.conn(&node).is_some() {
            self.close(conn, None, step);
        } else {
            self.send(conn, Tag::LinkProof, &to_cbor(proof), step);
            if let Some(unused) = self.links.set_on_demand(conn) {
                self.count(Metric::Dht("closed_for_another"));
                self.close(unused, None, step);
            }
            self.open_link(conn, State::Relay(node), step);
            self.relay_linked(conn, node, true, step);
        }
        let Some(conn) = self.peers.conn(&node) else {
            return;
        };
        if self.dht_peer(node) == Peer::Linked(node) {
            self.dht.contacting.met.insert(node, verified);
        }
        for frame in frames {
            self.count(Metric::Dht("asked"));
            self.links.used(conn, step.now);
            self.output(Output::Send(conn, frame));
        }
    }

    /// A contact is not where it should be.
    pub(in crate::core) fn contact_missed(&mut self, contact: &Contact, step: &mut Step<'_>) {
        self.dht.contacting.end(contact);
        if let Ok(url) = RelayUrl::parse(contact.url()) {
            self.dht.contacting.missed(url.subnet(true), step.now);
        }
        self.dht_unreachable(contact, step);
    }
}
