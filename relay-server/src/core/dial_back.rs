//! Dialing back: a descriptor is believed when this relay has connected to its first URL and met its relay there.
//!
//! ```text
//!  handshake ─┐         ┌─ renews what is proven ─▶ directory ─▶ clients, other relays
//!  gossip ────┼─▶ learn ┤                             ▲
//!  own disk ──┘         └─▶ claims ─ due ─▶ Connect ──┤ HandshakeAck of that NodeId, at that URL
//!                             ▲                       │
//!                             └── failed: wait ◀──────┘ anything else
//! ```
//! An attempt says its handshake, reads the answer and hangs up. Proofs are renewed in the same way.

use core::net::SocketAddr;

use zentalk_shared::dht::Peer;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{Directory, RelayDescriptor, RelayUrl};
use zentalk_shared::time::{Duration, Timestamp};

use super::admission::{Bucket, Rate};
use super::claims::{Bounds, Claims, NoRoom, Source, first_url, is_at};
use super::config::CoreConfig;
use super::io::{Metric, Output};
use super::peers::{Attempt, Target};
use super::proofs::{Proof, Proofs, RENEW_AFTER};
use super::relay::{Relay, Step, Timer};
use super::requests::After;
use super::store::{SavedDescriptor, StoreOp};

/// Connections made to look for relays.
const DIALS: Rate = Rate {
    per_minute: 300,
    burst: 60,
};
/// After the burst, one is tried this often.
const WAIT: Duration = Duration::from_secs(1);
/// A URL that this relay is connecting to anyway is not dialed twice meanwhile.
const HEAD_START: Duration = Duration::from_secs(5);

/// Who is to be looked for, and who was found.
#[derive(Debug)]
pub(super) struct DialBack {
    pub(super) claims: Claims,
    pub(super) proofs: Proofs,
    rate: Bucket,
    /// When the timer is due that counts; others are left over.
    timer: Option<Timestamp>,
}

impl DialBack {
    pub(super) fn new(config: &CoreConfig, now: Timestamp) -> Self {
        Self {
            claims: Claims::new(match config.allow_private {
                true => Bounds::PRIVATE,
                false => Bounds::OPEN,
            }),
            proofs: Proofs::new(config.allow_private),
            rate: Bucket::full(DIALS, now),
            timer: None,
        }
    }

    /// A relay that was written down: it is believed if it was found lately, else it must be found again.
    pub(super) fn restore(
        &mut self,
        descriptor: RelayDescriptor,
        proof: Option<Proof>,
        directory: &mut Directory,
        step: &mut Step<'_>,
    ) {
        match proof.filter(|proof| Proofs::is_fresh(proof, step.now)) {
            Some(proof) => {
                let node = descriptor.node();
                if directory.insert(descriptor).fits() {
                    self.proofs.insert(node, proof, step.jitter(RENEW_AFTER));
                }
            }
            // If there is no room others will tell of it.
            None => drop(
                self.claims
                    .offer(descriptor, Source::Disk, step.now, step.now),
            ),
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let claims = self.claims.next_due();
        claims.into_iter().chain(self.proofs.next_due()).min()
    }
}

impl Relay {
    /// Somebody has shown a genuine descriptor. One that renews a proven one is believed, others must be proven.
    pub(super) fn learn(
        &mut self,
        descriptor: RelayDescriptor,
        source: Source,
        step: &mut Step<'_>,
    ) {
        let node = descriptor.node();
        if node == self.me {
            return;
        }
        let Some(url) = first_url(&descriptor) else {
            return;
        };
        if let Some(held) = self.directory.relays().get(&node) {
            if held.sequence() > descriptor.sequence() {
                return;
            }
            if is_at(held, url.as_str()) {
                return self.keep(descriptor, step);
            }
        }
        if !self.may_dial(url) {
            return self.count(Metric::ClaimRefused("private"));
        }
        let due = match self.peers.dials_url(url) {
            true => step.now + HEAD_START,
            false => step.now,
        };
        let taken = self
            .dial_back
            .claims
            .offer(descriptor, source, due, step.now);
        match taken {
            Ok(()) => self.dial_back_at(due),
            Err(NoRoom::Full) => self.count(Metric::ClaimRefused("full")),
            Err(NoRoom::Source) => self.count(Metric::ClaimRefused("source")),
            Err(NoRoom::Network) => self.count(Metric::ClaimRefused("network")),
        }
    }

    /// Whether a URL may be connected to. What its name leads to is checked when it is.
    pub(super) fn may_dial(&self, url: &RelayUrl) -> bool {
        self.config.allow_private || (url.is_secure() && url.is_public())
    }

    /// A relay was met at the URL that was dialed.
    pub(super) fn found(
        &mut self,
        descriptor: RelayDescriptor,
        attempt: &Attempt,
        step: &mut Step<'_>,
    ) {
        let (node, url) = (descriptor.node(), attempt.target.url());
        if !is_at(&descriptor, url) {
            // It is there, but says that it is elsewhere.
            self.not_found(&attempt.target, step);
            return self.learn(descriptor, Source::Gossip(node), step);
        }
        let held = self.directory.relays().get(&node);
        let has_moved =
            |held: &RelayDescriptor| held.sequence() > descriptor.sequence() && !is_at(held, url);
        if held.is_some_and(has_moved) {
            return self.not_found(&attempt.target, step);
        }
        let room = |address: &SocketAddr| self.dial_back.proofs.has_room(&node, *address);
        let Some(address) = attempt.address.filter(room) else {
            self.count(Metric::ClaimRefused("network"));
            return self.not_found(&attempt.target, step);
        };
        let newest = self.newest_at(descriptor, url);
        if let Target::Claim(..) = &attempt.target {
            self.dial_back.claims.go_on(&node, step.now);
        }
        self.forget_others_at(&node, url);
        let proof = Proof {
            at: step.now,
            address,
        };
        let spread = step.jitter(RENEW_AFTER);
        self.dial_back.proofs.insert(node, proof, spread);
        self.count(Metric::DialedBack("found"));
        if !self.directory.insert(newest, step.now).fits() {
            self.dial_back.proofs.remove(&node);
        }
        self.save_descriptor(&node);
        self.schedule_dial_back();
        self.dht_found(node, step);
    }

    /// What was met, or a newer descriptor that was claimed of it with the same URL.
    fn newest_at(&mut self, met: RelayDescriptor, url: &str) -> RelayDescriptor {
        let claims = &mut self.dial_back.claims;
        let Some(claimed) = claims.get(&met.node()) else {
            return met;
        };
        let is_newer = claimed.sequence() > met.sequence();
        if is_newer && !is_at(claimed, url) {
            // It is about to move: the new URL has yet to be proven.
            return met;
        }
        let claimed = claims.remove(&met.node());
        claimed.filter(|_| is_newer).unwrap_or(met)
    }

    /// One URL leads to one relay: whoever was found there before is not there any more.
    fn forget_others_at(&mut self, node: &NodeId, url: &str) {
        let others = self.directory.relays().iter();
        let others = others.filter(|other| other.node() != *node && is_at(other, url));
        let others: Vec<NodeId> = others.map(RelayDescriptor::node).collect();
        others.iter().for_each(|other| self.forget_relay(other));
    }

    /// An attempt has led to nobody, or to somebody else.
    pub(super) fn not_found(&mut self, target: &Target, step: &mut Step<'_>) {
        let now = step.now;
        match target {
            Target::Link(_) => return,
            Target::Contact(contact) => return self.contact_missed(contact, step),
            Target::Myself(_) => return self.own_place_not_found(step),
            Target::Claim(node, _) => {
                let claims = &mut self.dial_back.claims;
                claims.failed(node, now, |span| step.jitter(span));
            }
            Target::Proof(node, url) => {
                let held = self.directory.relays().get(node);
                let is_of_now = held.is_some_and(|held| is_at(held, url));
                let place = self.dht_peer(*node);
                let proofs = &mut self.dial_back.proofs;
                if is_of_now && proofs.failed(node, now, |span| step.jitter(span)) {
                    self.forget_relay(node);
                }
                if let Peer::Verified(known) = place {
                    self.dht_unreachable(known.contact(), step);
                }
            }
        }
        self.count(Metric::DialedBack("not_found"));
        self.schedule_dial_back();
    }

    /// A relay of the directory is one no more.
    pub(super) fn forget_relay(&mut self, node: &NodeId) {
        self.dial_back.proofs.remove(node);
        self.directory.remove(node);
        self.store(StoreOp::ForgetDescriptor(*node), After::Nothing);
    }

    /// The time has come to look for relays.
    pub(super) fn dial_back(&mut self, step: &mut Step<'_>) {
        if self.dial_back.timer.is_none_or(|due| due > step.now) {
            return;
        }
        self.dial_back.timer = None;
        if self.stopping {
            return;
        }
        if !self.is_ready() {
            return self.dial_back_at(step.now + WAIT);
        }
        while self.dial_back.next_due().is_some_and(|due| due <= step.now) {
            if !self.dial_back.rate.take(DIALS, 1, step.now) {
                return self.dial_back_at(step.now + WAIT);
            }
            let Some(target) = self.next_to_look_for(step.now) else {
                break;
            };
            let url = target.url().to_owned();
            let dial = self.peers.start(target);
            self.output(Output::Connect(dial, url));
        }
        self.schedule_dial_back();
    }

    /// Relays that are new come before those that were there already.
    fn next_to_look_for(&mut self, now: Timestamp) -> Option<Target> {
        if let Some((node, url)) = self.dial_back.claims.start(now) {
            return Some(Target::Claim(node, url.as_str().to_owned()));
        }
        let node = self.dial_back.proofs.start(now)?;
        let url = first_url(self.directory.relays().get(&node)?)?;
        Some(Target::Proof(node, url.as_str().to_owned()))
    }

    pub(super) fn schedule_dial_back(&mut self) {
        if let Some(due) = self.dial_back.next_due() {
            self.dial_back_at(due);
        }
    }

    fn dial_back_at(&mut self, due: Timestamp) {
        if self.dial_back.timer.is_none_or(|set| set > due) {
            self.dial_back.timer = Some(due);
            self.timers.set(due, Timer::DialBack);
        }
    }

    /// Writes down a relay of the directory, and where it was found.
    pub(super) fn save_descriptor(&mut self, node: &NodeId) {
        let Some(descriptor) = self.directory.relays().get(node) else {
            return;
        };
        let saved = SavedDescriptor {
            node: *node,
            descriptor: descriptor.bytes().to_vec(),
            proof: self.dial_back.proofs.get(node).copied(),
        };
        self.store(StoreOp::SaveDescriptor(saved), After::Nothing);
    }
}
