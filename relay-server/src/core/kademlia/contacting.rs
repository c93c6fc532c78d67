//! Contacts of the DHT: asked over the link to them, or dialed first and asked if they are where they say.
//!
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
const AT_ONCE: usize = 128;
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
    dials: BTreeMap<NodeId, Vec<Vec<u8>>>,
    rate: Bucket,
    misses: HashMap<Subnet, (u8, Timestamp)>,
}

impl Contacting {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            dials: BTreeMap::new(),
            rate: Bucket::full(DIALS, now),
            misses: HashMap::new(),
        }
    }

    /// What waits for a relay that has just been linked.
    pub(in crate::core) fn take_waiting(&mut self, node: &NodeId) -> Vec<Vec<u8>> {
        let waiting = self.dials.get_mut(node);
        waiting.map(core::mem::take).unwrap_or_default()
    }

    fn missed(&mut self, network: Subnet, now: Timestamp) {
        if self.misses.len() >= MAX_NETWORKS && !self.misses.contains_key(&network) {
            self.misses
                .retain(|_, (_, since)| now.since(*since) < QUIET);
            if self.misses.len() >= MAX_NETWORKS {
                return;
            }
        }
        let (count, since) = self.misses.entry(network).or_insert((0, now));
        if now.since(*since) >= QUIET {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }

    fn is_quiet(&self, network: &Subnet, now: Timestamp) -> bool {
        let misses = self.misses.get(network);
        misses.is_some_and(|(count, since)| *count >= MAX_MISSES && now.since(*since) < QUIET)
    }
}

impl Relay {
    /// Sends a question to a contact, and to nobody else.
    pub(super) fn ask_contact(&mut self, contact: Contact, frame: Vec<u8>, step: &mut Step<'_>) {
        let node = contact.node();
        if let Some(conn) = self.peers.conn(&node) {
            self.count(Metric::Dht("asked"));
            self.links.used(conn, step.now);
            return self.output(Output::Send(conn, frame));
        }
        match self.dht.contacting.dials.get_mut(&node) {
            Some(waiting) if waiting.len() < MAX_WAITING => waiting.push(frame),
            Some(_) => {}
            None => self.dial_contact(&contact, vec![frame], step),
        }
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
            _ if self.dht.contacting.dials.contains_key(&node) => {}
            _ => self.dial_contact(&contact, Vec::new(), step),
        }
    }

    fn dial_contact(&mut self, contact: &Contact, frames: Vec<Vec<u8>>, step: &mut Step<'_>) {
        let node = contact.node();
        let url = RelayUrl::parse(contact.url()).ok();
        let url = url.filter(|url| self.may_dial(url) && !self.config.info.urls.contains(url));
        let hidden = contact.network().is_private() && !self.config.allow_private;
        let Some(url) = url.filter(|_| !hidden) else {
            self.count(Metric::Dht("private"));
            return self.dht_unreachable(&node, step);
        };
        let contacting = &mut self.dht.contacting;
        if contacting.is_quiet(&url.subnet(true), step.now) {
            self.count(Metric::Dht("quiet"));
            return self.dht_unreachable(&node, step);
        }
        // Its question times out.
        if contacting.dials.len() >= AT_ONCE || !contacting.rate.take(DIALS, 1, step.now) {
            return self.count(Metric::Dht("busy"));
        }
        contacting.dials.insert(node, frames);
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
        let Some(frames) = self.dht.contacting.dials.remove(&node) else {
            return self.close(conn, None, step);
        };
        if let Some(dht) = &mut self.dht.node {
            dht.handle_verified(&verified, step.now, &mut step.rng);
        }
        if frames.is_empty() {
            return self.close(conn, None, step);
        }
        self.dht.contacting.dials.insert(node, frames);
        self.send(conn, Tag::LinkProof, &to_cbor(proof), step);
        self.links.set_on_demand(conn);
        self.open_link(conn, State::Relay(node), step);
        self.relay_linked(conn, node, true, step);
        // If another link was the better one, it waits still.
        let waiting = self.dht.contacting.dials.remove(&node);
        if let Some(conn) = self.peers.conn(&node) {
            for frame in waiting.unwrap_or_default() {
                self.output(Output::Send(conn, frame));
            }
        }
    }

    /// A contact is not where it should be.
    pub(in crate::core) fn contact_missed(&mut self, contact: &Contact, step: &mut Step<'_>) {
        let node = contact.node();
        self.dht.contacting.dials.remove(&node);
        if let Ok(url) = RelayUrl::parse(contact.url()) {
            self.dht.contacting.missed(url.subnet(true), step.now);
        }
        self.dht_unreachable(&node, step);
    }
}
