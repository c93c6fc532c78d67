//! What relays tell each other of relays: whole directories that were asked for, and a relay's own new descriptor.

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{Directory, RelayDescriptor, UnverifiedDescriptor};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::codec::{Bytes, to_cbor};
use zentalk_shared::wire::link::{Directory as DirectoryBody, DirectoryGet, LinkErrorCode};

use super::claims::Source;
use super::io::{ConnId, Output};
use super::relay::{Relay, Step, Timer};

/// A directory is asked of one peer this often.
const SYNC_EVERY: Duration = Duration::from_mins(10);
/// If enough others owe an answer, or there is nobody to ask, this is looked at again.
const SYNC_AGAIN: Duration = Duration::from_secs(30);
/// A directory that was asked for is waited for this long.
pub const DIRECTORY_DEADLINE: Duration = Duration::from_mins(5);
/// Links that may owe the answer to the question that they began with: each may be 4 MiB.
const MAX_AT_LINKING: usize = 6;
/// Beside them, those that were chosen at random. Others cannot take these places by linking again and again.
const MAX_CHOSEN: usize = 2;
/// To verify the descriptor of a relay that is not known yet costs as much as this many frames.
const DESCRIPTOR_COST: u32 = 100;

/// Why a relay is asked for its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A link to it was made.
    Linked,
    /// It was its turn, by chance.
    Chosen,
}

/// Connections on which a directory was asked for that has not come, oldest first.
#[derive(Debug, Default)]
pub(super) struct Questions(Vec<Question>);

#[derive(Clone, Copy, Debug)]
struct Question {
    conn: ConnId,
    why: Why,
    at: Timestamp,
}

/// Whether one more may be asked.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Yes,
    /// Yes, and this one's answer is waited for no longer.
    InsteadOf(ConnId),
    /// It owes an answer, or enough others do.
    No,
}

impl Question {
    /// A clock that was set back does not keep it open.
    fn is_over(&self, now: Timestamp) -> bool {
        self.at > now || now.since(self.at) >= DIRECTORY_DEADLINE
    }
}

impl Questions {
    /// Forgets those that are waited for no longer.
    fn expire(&mut self, now: Timestamp) -> Vec<ConnId> {
        let over = self.0.extract_if(.., |question| question.is_over(now));
        over.map(|question| question.conn).collect()
    }

    /// Of those that were chosen, the one asked first gives way: they are chosen half a minute apart at least.
    fn ask(&mut self, conn: ConnId, why: Why, now: Timestamp) -> Asked {
        if self.0.iter().any(|question| question.conn == conn) {
            return Asked::No;
        }
        let mut same = self.0.iter().filter(|question| question.why == why);
        let (first, count) = (same.next().copied(), same.count() + 1);
        let asked = match (why, first) {
            (Why::Linked, Some(_)) if count >= MAX_AT_LINKING => return Asked::No,
            (Why::Chosen, Some(first)) if count >= MAX_CHOSEN => Asked::InsteadOf(first.conn),
            _ => Asked::Yes,
        };
        if let Asked::InsteadOf(first) = asked {
            self.close(first);
        }
        self.0.push(Question { conn, why, at: now });
        asked
    }

    fn is_open(&self, conn: ConnId, now: Timestamp) -> bool {
        let owes = |question: &Question| question.conn == conn && !question.is_over(now);
        self.0.iter().any(owes)
    }

    #[cfg(test)]
    pub(super) const fn are_answered(&self) -> bool {
        self.0.is_empty()
    }

    /// It has answered, or is gone.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.0.retain(|question| question.conn != conn);
    }
}

impl Relay {
    pub(super) fn schedule_directory_sync(&mut self, step: &mut Step<'_>) {
        let spread = step.jitter(SYNC_EVERY);
        self.directory.sync_at = step.now + spread + SYNC_EVERY;
        self.timers
            .set(self.directory.sync_at, Timer::SyncDirectory);
    }

    /// Somebody was not asked.
    pub(super) fn sync_soon(&mut self, step: &Step<'_>) {
        let at = step.now + SYNC_AGAIN;
        if self.directory.sync_at <= step.now || at < self.directory.sync_at {
            self.directory.sync_at = at;
            self.timers.set(at, Timer::SyncDirectory);
        }
    }

    /// Asks one linked relay, chosen at random.
    pub(super) fn sync_directory(&mut self, step: &mut Step<'_>) {
        if step.now < self.directory.sync_at {
            // It was done meanwhile.
            return;
        }
        let linked = self.peers.dialed();
        let pick = step
            .rng
            .next_u64()
            .checked_rem(linked.len() as u64)
            .unwrap_or(0);
        let conn = usize::try_from(pick).ok().and_then(|pick| linked.get(pick));
        match conn.is_some_and(|conn| self.ask_directory(*conn, Why::Chosen, step)) {
            true => self.schedule_directory_sync(step),
            false => self.sync_soon(step),
        }
    }

    /// False: not now.
    pub(super) fn ask_directory(&mut self, conn: ConnId, why: Why, step: &mut Step<'_>) -> bool {
        for over in self.directory.questions.expire(step.now) {
            self.output(Output::ExpectDirectory(over, false));
        }
        match self.directory.questions.ask(conn, why, step.now) {
            Asked::No => return false,
            Asked::InsteadOf(over) => self.output(Output::ExpectDirectory(over, false)),
            Asked::Yes => {}
        }
        self.output(Output::ExpectDirectory(conn, true));
        let mut seed = [0; 16];
        step.rng.fill_bytes(&mut seed);
        let get = DirectoryGet {
            known: Some(Bytes(self.directory.digest())),
            seed: Some(Bytes(seed)),
        };
        self.send(conn, Tag::DirectoryGet, &to_cbor(&get), step);
        true
    }

    /// A directory that was asked for, or a relay's announcement of its own descriptor. To verify one
    /// takes time, so of what comes unasked nothing else is read.
    pub(super) fn on_directory(
        &mut self,
        conn: ConnId,
        from: NodeId,
        body: DirectoryBody,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let asked = self.directory.questions.is_open(conn, step.now);
        if body.descriptors.len() > 1 && !asked {
            // It was waited for once: a host lets no long one through that is not.
            return Ok(());
        }
        if asked && !is_announcement(&body) {
            self.directory.questions.close(conn);
            self.output(Output::ExpectDirectory(conn, false));
            if body.descriptors.len() == 1 {
                // It has begun just now and will know more.
                self.sync_soon(step);
            }
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

/// Whether a relay says that its own descriptor is new, which can cross a question. Who knows no relay but itself answers
/// with the same bytes.
fn is_announcement(body: &DirectoryBody) -> bool {
    match &*body.descriptors {
        [one] => body.digest.0 != Directory::digest_of_one(one),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    const LATER: Timestamp = NOW.saturating_add(DIRECTORY_DEADLINE);

    #[test]
    fn only_so_many_may_owe_a_directory_and_none_for_ever() {
        let mut questions = Questions::default();
        for n in 0..MAX_AT_LINKING as u64 {
            assert_eq!(questions.ask(ConnId(n), Why::Linked, NOW), Asked::Yes);
        }
        let new = ConnId(98);
        let owes = questions.ask(ConnId(0), Why::Chosen, NOW);
        assert_eq!(owes, Asked::No, "it owes one already");
        assert_eq!(questions.ask(new, Why::Linked, NOW), Asked::No);
        assert!(!questions.is_open(new, NOW) && questions.is_open(ConnId(3), NOW));
        questions.close(ConnId(3));
        assert_eq!(questions.ask(new, Why::Linked, NOW), Asked::Yes);
        assert!(questions.is_open(new, NOW) && !questions.is_open(ConnId(3), NOW));
        assert!(!questions.is_open(new, LATER));
        let before = NOW - Duration::from_hours(1);
        assert!(
            !questions.is_open(new, before),
            "by a clock that was set back"
        );
        assert_eq!(questions.expire(LATER).len(), MAX_AT_LINKING);
        assert_eq!(questions.expire(LATER), []);
    }

    #[test]
    fn those_that_link_again_and_again_do_not_keep_others_from_being_chosen() {
        let mut questions = Questions::default();
        for n in 0..MAX_AT_LINKING as u64 {
            questions.ask(ConnId(n), Why::Linked, NOW);
        }
        for n in 100..110 {
            let asked = questions.ask(ConnId(n), Why::Chosen, NOW);
            match n < 100 + MAX_CHOSEN as u64 {
                true => assert_eq!(asked, Asked::Yes),
                false => assert_eq!(asked, Asked::InsteadOf(ConnId(n - MAX_CHOSEN as u64))),
            }
            assert!(questions.is_open(ConnId(n), NOW));
        }
        assert_eq!(questions.0.len(), MAX_AT_LINKING + MAX_CHOSEN);
        assert!(questions.is_open(ConnId(0), NOW));
    }
}
