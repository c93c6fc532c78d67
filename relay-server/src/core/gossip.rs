//! What relays tell each other of relays: whole directories that were asked for, and a relay's own new descriptor.

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayDescriptor, UnverifiedDescriptor};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::codec::{Bytes, to_cbor};
use zentalk_shared::wire::link::{Directory as DirectoryBody, DirectoryGet, LinkErrorCode};

use super::claims::Source;
use super::io::{ConnId, Output};
use super::relay::{Relay, Step, Timer};

/// A directory is asked of one peer this often.
const SYNC_EVERY: Duration = Duration::from_mins(10);
/// An answer is waited for this long.
const ANSWER_DEADLINE: Duration = Duration::from_mins(5);
/// Relays that may owe an answer at a time: each may be 4 MiB.
const MAX_QUESTIONS: usize = 8;
/// To verify the descriptor of a relay that is not known yet costs as much as this many frames.
const DESCRIPTOR_COST: u32 = 100;

/// Who was asked for a directory and has not answered.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<(NodeId, Timestamp)>);

impl Questions {
    /// False: enough others owe an answer.
    fn ask(&mut self, node: NodeId, now: Timestamp) -> bool {
        self.0
            .retain(|(asked, at)| *asked != node && now.since(*at) < ANSWER_DEADLINE);
        let has_room = self.0.len() < MAX_QUESTIONS;
        if has_room {
            self.0.push((node, now));
        }
        has_room
    }

    fn is_open(&self, node: &NodeId, now: Timestamp) -> bool {
        let owes =
            |(asked, at): &(NodeId, Timestamp)| asked == node && now.since(*at) < ANSWER_DEADLINE;
        self.0.iter().any(owes)
    }

    /// It has answered, or is gone.
    pub(super) fn close(&mut self, node: &NodeId) {
        self.0.retain(|(asked, _)| asked != node);
    }
}

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
        if !self.directory.questions.ask(node, step.now) {
            return;
        }
        self.output(Output::ExpectDirectory(conn));
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
        let asked = self.directory.questions.is_open(&from, step.now);
        if body.descriptors.len() > 1 && !asked {
            return Err(LinkErrorCode::Malformed);
        }
        // One may be an announcement that crossed the question.
        if body.descriptors.len() != 1 {
            self.directory.questions.close(&from);
        }
        let source = match asked {
            true => Source::Gossip(from),
            false => Source::Itself(self.origin(conn)),
        };
        for bytes in body.descriptors.iter() {
            let claimed =
                UnverifiedDescriptor::decode(bytes).map_err(|_| LinkErrorCode::Malformed)?;
            let node = claimed.claimed_node();
            if node == self.me || (!asked && node != from) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_may_owe_a_directory_and_none_for_ever() {
        let node = |n: usize| NodeId::from_bytes([u8::try_from(n).unwrap(); 20]);
        let mut now = Timestamp::from_secs(1_800_000_000);
        let mut questions = Questions::default();
        for n in 0..MAX_QUESTIONS {
            assert!(questions.ask(node(n), now));
        }
        assert!(
            questions.ask(node(0), now),
            "who owes one may be asked again"
        );
        assert!(!questions.ask(node(99), now) && !questions.is_open(&node(99), now));
        questions.close(&node(3));
        assert!(questions.ask(node(99), now) && !questions.is_open(&node(3), now));
        now += ANSWER_DEADLINE;
        assert!(!questions.is_open(&node(1), now));
        assert!(
            questions.ask(node(3), now),
            "those that keep silent are forgotten"
        );
        assert_eq!(questions.0.len(), 1);
    }
}
