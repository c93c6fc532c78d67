//! What relays tell each other of relays: whole directories that were asked for, and a relay's own new descriptor.

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayDescriptor, UnverifiedDescriptor};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::codec::{Bytes, to_cbor};
use zentalk_shared::wire::link::{Directory as DirectoryBody, DirectoryGet, LinkErrorCode};

use super::claims::Source;
use super::io::ConnId;
use super::relay::{Relay, Step, Timer};

/// A directory is asked of one peer this often.
const SYNC_EVERY: Duration = Duration::from_mins(10);
/// To verify the descriptor of a relay that is not known yet costs as much as this many frames.
const DESCRIPTOR_COST: u32 = 100;

impl Relay {
    pub(super) fn schedule_directory_sync(&mut self, step: &mut Step<'_>) {
        let spread = step.jitter(SYNC_EVERY);
        self.timers
            .set(step.now + spread + SYNC_EVERY, Timer::SyncDirectory);
    }

    /// Asks one linked relay, chosen at random.
    pub(super) fn sync_directory(&mut self, step: &mut Step<'_>) {
        let linked = self.peers.dialed();
        let pick = step
            .rng
            .next_u64()
            .checked_rem(linked.len() as u64)
            .unwrap_or(0);
        if let Some(conn) = usize::try_from(pick).ok().and_then(|pick| linked.get(pick)) {
            self.ask_directory(*conn, step);
        }
        self.schedule_directory_sync(step);
    }

    pub(super) fn ask_directory(&mut self, conn: ConnId, step: &mut Step<'_>) {
        let Some(node) = self
            .peers
            .nodes()
            .find(|node| self.peers.conn(node) == Some(conn))
            .copied()
        else {
            return;
        };
        if !self.directory.asked.contains(&node) {
            self.directory.asked.push(node);
        }
        let known = Some(Bytes(self.directory.answer().0));
        self.send(
            conn,
            Tag::DirectoryGet,
            &to_cbor(&DirectoryGet { known }),
            step,
        );
    }

    /// A directory that was asked for, or a relay's announcement of its own descriptor. To verify one
    /// takes time, so nobody may send more than that unasked.
    pub(super) fn on_directory(
        &mut self,
        conn: ConnId,
        from: NodeId,
        body: DirectoryBody,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let asked = self.directory.asked.iter().position(|node| *node == from);
        if body.descriptors.len() > 1 && asked.is_none() {
            return Err(LinkErrorCode::Malformed);
        }
        if let Some(at) = asked.filter(|_| body.descriptors.len() != 1) {
            self.directory.asked.swap_remove(at);
        }
        let source = match asked {
            Some(_) => Source::Gossip(from),
            None => Source::Itself(self.origin(conn)),
        };
        for bytes in body.descriptors.iter() {
            let claimed =
                UnverifiedDescriptor::decode(bytes).map_err(|_| LinkErrorCode::Malformed)?;
            let node = claimed.claimed_node();
            if node == self.me || (asked.is_none() && node != from) {
                continue;
            }
            let claimed_before = self.dial_back.claims.get(&node);
            let known = self.directory.relays().get(&node);
            let is_same = |known: &RelayDescriptor| known.bytes() == bytes;
            if known.is_some_and(is_same) || claimed_before.is_some_and(is_same) {
                continue;
            }
            let known = known.or(claimed_before).cloned();
            let verified = match known {
                Some(known) => claimed.verify_renewal(&known, step.now),
                None if !self.dial_back.claims.has_room(source) => continue,
                // Too many new ones at once: the others come with a later question.
                None if self.charge(conn, DESCRIPTOR_COST, step).is_err() => return Ok(()),
                None => claimed.verify(step.now),
            };
            // The sender may have it from somebody else, or our clocks may differ: skip it.
            if let Ok(descriptor) = verified {
                self.learn(descriptor, source, step);
            }
        }
        Ok(())
    }
}
