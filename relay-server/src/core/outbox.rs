//! What another member of a swarm must still be told: envelopes and tombstones, in order, a window of
//! them in flight, each sent again until it is confirmed. Lives in memory only: what a restart forgets,
//! the owner's fetch from every member makes up for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use zentalk_shared::id::{MailboxId, MessageId};
use zentalk_shared::time::{Duration, Timestamp};

use super::swarm::PutKey;

/// Unconfirmed items sent to one member.
const WINDOW: usize = 64;
/// What waits for a member that has confirmed nothing for so long is dropped: it gets what it lacks by anti-entropy.
pub(super) const FORGET_AFTER: Duration = Duration::from_mins(10);
/// An item that is not confirmed by then is sent again.
pub(super) const RESEND_AFTER: Duration = Duration::from_secs(3);

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An envelope; its frame's payload, while that is at hand. Otherwise it is read from the store.
    Put(PutKey, Option<Arc<[u8]>>),
    /// A tombstone's frame payload.
    Tombstone(MailboxId, Arc<[u8]>),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this frame: its id, and whether it is a tombstone.
    Send(MessageId, Item),
    /// Read this envelope from the store, then call [`Outbox::read`].
    Read(PutKey),
}

/// What waits for one member.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Item>,
    flying: HashMap<MessageId, (Item, Timestamp)>,
    /// Envelopes that are being read.
    reading: HashSet<PutKey>,
    /// Envelopes anywhere in here.
    puts: HashSet<PutKey>,
    /// When the member last confirmed anything, or when there was nothing to confirm.
    heard: Timestamp,
    /// A timer is set.
    pub(super) armed: bool,
}

impl Outbox {
    /// Nothing, yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            waiting: VecDeque::new(),
            flying: HashMap::new(),
            reading: HashSet::new(),
            puts: HashSet::new(),
            heard: now,
            armed: false,
        }
    }

    /// Adds an item at the end, unless it is here already. False: there is no room.
    pub(super) fn add(&mut self, item: Item, limit: usize) -> bool {
        if self.has(&item) {
            return true;
        }
        if self.len() >= limit {
            return false;
        }
        if let Item::Put(key, _) = &item {
            self.puts.insert(*key);
        }
        self.waiting.push_back(item);
        true
    }

    /// Whether an envelope is in here.
    pub(super) fn has(&self, item: &Item) -> bool {
        matches!(item, Item::Put(key, _) if self.puts.contains(key))
    }

    /// Gives up the item that came last, if there is one that has not been sent.
    pub(super) fn drop_last(&mut self) {
        if let Some(Item::Put(key, _)) = self.waiting.pop_back() {
            self.puts.remove(&key);
        }
    }

    /// The member is there again: it has some time to confirm what waits.
    pub(super) fn is_back(&mut self, now: Timestamp) {
        self.heard = now;
    }

    /// Whether the member has confirmed nothing for too long.
    pub(super) fn is_deaf(&self, now: Timestamp) -> bool {
        now.since(self.heard) >= FORGET_AFTER
    }

    /// What can be sent now, if the member is connected.
    pub(super) fn next(&mut self, now: Timestamp, id: impl FnOnce() -> MessageId) -> Option<Next> {
        if self.flying.len() + self.reading.len() >= WINDOW {
            return None;
        }
        match self.waiting.pop_front()? {
            Item::Put(key, None) => {
                self.reading.insert(key);
                Some(Next::Read(key))
            }
            item => {
                let id = id();
                self.flying.insert(id, (item.clone(), now));
                Some(Next::Send(id, item))
            }
        }
    }

    /// The store has answered: the payload, or nothing if the envelope is gone.
    pub(super) fn read(&mut self, key: PutKey, payload: Option<Arc<[u8]>>) {
        if !self.reading.remove(&key) {
            return;
        }
        match payload {
            Some(payload) => self.waiting.push_front(Item::Put(key, Some(payload))),
            None => drop(self.puts.remove(&key)),
        }
    }

    /// The member has answered a frame, whatever it said.
    pub(super) fn confirmed(&mut self, id: &MessageId, now: Timestamp) {
        let Some((item, _)) = self.flying.remove(id) else {
            return;
        };
        self.heard = now;
        if let Item::Put(key, _) = item {
            self.puts.remove(&key);
        }
    }

    /// What has been in flight for too long goes to the front again.
    pub(super) fn resend(&mut self, now: Timestamp) {
        let late = |(id, (_, sent)): (&MessageId, &(Item, Timestamp))| {
            (now.since(*sent) >= RESEND_AFTER).then_some((*sent, *id))
        };
        let mut late: Vec<_> = self.flying.iter().filter_map(late).collect();
        late.sort_unstable();
        for (_, id) in late.into_iter().rev() {
            self.waiting
                .extend(self.flying.remove(&id).map(|(item, _)| item));
            self.waiting.rotate_right(1);
        }
    }

    /// The member is away: all that was in flight goes back, and no memory is spent on envelopes.
    pub(super) fn disconnected(&mut self) {
        self.resend(Timestamp::MAX);
        for item in &mut self.waiting {
            if let Item::Put(_, payload) = item {
                *payload = None;
            }
        }
    }

    /// Whether anything is unconfirmed.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that are unconfirmed.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.flying.len() + self.reading.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zentalk_shared::id::EnvelopeId;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn key(n: u8) -> PutKey {
        (
            MailboxId::from_bytes([1; 20]),
            EnvelopeId::from_bytes([n; 16]),
        )
    }

    fn put(n: u8) -> Item {
        Item::Put(key(n), Some([n].as_slice().into()))
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    #[test]
    fn an_item_is_sent_until_it_is_confirmed() {
        let mut outbox = Outbox::new(NOW);
        outbox.add(put(1), 10);
        outbox.add(put(2), 10);
        outbox.add(put(1), 10);
        assert_eq!(outbox.next(NOW, || id(1)), Some(Next::Send(id(1), put(1))));
        assert_eq!(
            outbox.next(NOW + Duration::from_ms(1), || id(2)),
            Some(Next::Send(id(2), put(2)))
        );
        assert_eq!(
            outbox.next(NOW, || id(3)),
            None,
            "the same envelope is sent once"
        );
        outbox.confirmed(&id(1), NOW);
        outbox.resend(NOW + RESEND_AFTER);
        assert_eq!(outbox.next(NOW, || id(3)), None, "not late yet");
        outbox.resend(NOW + RESEND_AFTER + Duration::from_ms(1));
        assert_eq!(outbox.next(NOW, || id(4)), Some(Next::Send(id(4), put(2))));
        outbox.confirmed(&id(2), NOW);
        assert!(
            !outbox.is_empty(),
            "an answer to an earlier sending names another frame"
        );
        outbox.confirmed(&id(4), NOW);
        assert!(outbox.is_empty() && outbox.puts.is_empty());
    }

    #[test]
    fn a_member_that_was_away_is_told_in_order_from_the_store() {
        let mut outbox = Outbox::new(NOW);
        (1..=3).for_each(|n| assert!(outbox.add(put(n), 10)));
        outbox.next(NOW, || id(1));
        outbox.next(NOW + Duration::from_ms(1), || id(2));
        outbox.disconnected();
        for n in 1..=3 {
            assert_eq!(outbox.next(NOW, || id(0)), Some(Next::Read(key(n))));
        }
        outbox.read(key(2), None);
        outbox.read(key(1), Some([1].as_slice().into()));
        assert_eq!(outbox.next(NOW, || id(5)), Some(Next::Send(id(5), put(1))));
        outbox.read(key(1), Some([1].as_slice().into()));
        assert_eq!(
            outbox.next(NOW, || id(6)),
            None,
            "an answer nobody waits for"
        );
    }

    #[test]
    fn window_and_length_are_bounded() {
        let mut outbox = Outbox::new(NOW);
        (0..=200).for_each(|n| assert_eq!(outbox.add(put(n), 100), n < 100));
        assert_eq!(outbox.len(), 100);
        let sent = (0..=200)
            .filter(|n| outbox.next(NOW, || id(*n)).is_some())
            .count();
        assert_eq!(sent, WINDOW);
    }

    #[test]
    fn who_confirms_nothing_is_told_nothing_more() {
        let mut outbox = Outbox::new(NOW);
        let late = NOW + FORGET_AFTER;
        (1..=2).for_each(|n| assert!(outbox.add(put(n), 10)));
        outbox.next(NOW, || id(1));
        assert!(!outbox.is_deaf(late - Duration::from_ms(1)) && outbox.is_deaf(late));
        outbox.confirmed(&id(9), late);
        assert!(outbox.is_deaf(late), "an answer to nothing");
        outbox.confirmed(&id(1), late);
        assert!(!outbox.is_deaf(late));
    }

    #[test]
    fn what_is_given_up_is_what_came_last() {
        let mut outbox = Outbox::new(NOW);
        (1..=2).for_each(|n| assert!(outbox.add(put(n), 2)));
        assert!(outbox.add(put(1), 2), "it is in there");
        assert!(!outbox.add(put(3), 2));
        outbox.drop_last();
        assert!(outbox.add(put(3), 2));
        let next = |outbox: &mut Outbox, n| outbox.next(NOW, || id(n));
        assert_eq!(next(&mut outbox, 1), Some(Next::Send(id(1), put(1))));
        assert_eq!(next(&mut outbox, 2), Some(Next::Send(id(2), put(3))));
        outbox.drop_last();
        assert_eq!(outbox.len(), 2, "what was sent stays");
    }
}
