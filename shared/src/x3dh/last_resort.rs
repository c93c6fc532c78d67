//! Which sessions the last-resort KEM keys have begun: what tells a replayed first message.
//!
//! A one-time prekey serves once because its secret is forgotten. A last-resort key serves many, so the
//! sessions that it began are remembered instead, until its secret is forgotten too: longer than any
//! archive of sessions, and whatever has become of the session meanwhile (PQXDH revision 3, §4.2).
//!
//! Bounded without forgetting: a key whose log is full begins no further session. It is replaced long
//! before that, as soon as its log is [`CROWDED`].

use minicbor::{Decode, Encode};

use crate::id::SessionId;
use crate::wire::codec::BoundedList;

/// Sessions that one last-resort key can begin: 17 bytes of record each.
pub const MAX_SESSIONS: usize = 1024;

/// A key that has begun so many sessions is replaced with the next publication.
pub(super) const CROWDED: usize = MAX_SESSIONS / 2;

/// A session that a first message began with a last-resort key and no one-time key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastResortUse {
    /// Id of the last-resort KEM key.
    pub key: u32,
    /// The session.
    pub session: SessionId,
}

/// The sessions that one key has begun. `{0: key id, 1: SessionIds}`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Log {
    #[n(0)]
    key: u32,
    #[n(1)]
    sessions: BoundedList<SessionId, MAX_SESSIONS>,
}

/// The logs of at most `KEYS` keys, one each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Logs<const KEYS: usize>(#[n(0)] BoundedList<Log, KEYS>);

impl<const KEYS: usize> Logs<KEYS> {
    /// Nothing to store.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this session was begun before.
    pub(super) fn has(&self, used: &LastResortUse) -> bool {
        self.sessions(used.key).contains(&used.session)
    }

    /// How many sessions a key has begun.
    pub(super) fn count(&self, key: u32) -> usize {
        self.sessions(key).len()
    }

    /// Remembers a session. One that is beyond the bound was refused before it came here.
    pub(super) fn add(&mut self, used: &LastResortUse) {
        if self.has(used) {
            return;
        }
        let mut logs = core::mem::take(&mut self.0).into_inner();
        match logs.iter_mut().find(|log| log.key == used.key) {
            Some(log) => log.add(used.session),
            None => logs.push(Log {
                key: used.key,
                sessions: BoundedList::new(vec![used.session]).unwrap_or_default(),
            }),
        }
        self.0 = BoundedList::new(logs).unwrap_or_default();
    }

    /// Forgets the sessions of keys that are gone.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        let mut logs = core::mem::take(&mut self.0).into_inner();
        logs.retain(|log| keep(log.key));
        self.0 = BoundedList::new(logs).unwrap_or_default();
    }

    fn sessions(&self, key: u32) -> &[SessionId] {
        let log = self.0.iter().find(|log| log.key == key);
        log.map_or(&[], |log| &log.sessions)
    }
}

impl Log {
    fn add(&mut self, session: SessionId) {
        let mut sessions = core::mem::take(&mut self.sessions).into_inner();
        sessions.push(session);
        sessions.truncate(MAX_SESSIONS);
        self.sessions = BoundedList::new(sessions).unwrap_or_default();
    }
}
