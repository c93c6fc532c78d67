//! The session record: every session with one device, and which of them we send in.
//!
//! Two devices can have several sessions: both began one at the same time, or one lost its state and
//! began anew. All of them receive; one is *current* and sends. Both sides must come to the same one,
//! without a word about it.
//!
//! One rule does it: the session that was begun last is current, by the time that its first message gives; of two that
//! were begun in the same millisecond, the one with the lower id. Whoever begins one gives a later time than those of
//! all that it has. So both sides choose alike as soon as both have the same sessions, whatever came late or never.

use core::cmp::Reverse;

use rand_core::CryptoRng;

use super::message::SessionMessage;
use super::peer::{LocalDevice, PeerDevice};
use super::session::Session;
use crate::id::SessionId;
use crate::ratchet::{DecryptError, EncryptError};
use crate::time::{Duration, Timestamp};
use crate::x3dh::{InitiateError, PreKeyBundle};

/// Former sessions that still receive. More arise only if a device begins anew again and again.
pub const MAX_ARCHIVED: usize = 5;
/// How long a former session receives: its last message is retried for 7 days and then held for 30.
pub const ARCHIVE_LIFETIME: Duration = Duration::from_days(37);
/// Ids of ended sessions that are remembered, so that their first messages begin nothing again.
pub const MAX_RETIRED: usize = 64;

/// The sessions with one device of somebody. Its record is the unit that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    pub(super) peer: PeerDevice,
    pub(super) current: Session,
    /// Those last used first.
    pub(super) archived: Vec<Archived>,
    /// Those last ended first.
    pub(super) retired: Vec<SessionId>,
}

/// A session that receives only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) session: Session,
    /// When it came here, or was last used.
    pub(super) since: Timestamp,
}

impl Archived {
    fn is_kept(&self, now: Timestamp) -> bool {
        now.since(self.since) <= ARCHIVE_LIFETIME
    }
}

impl SessionRecord {
    /// Begins the first session with the device of `bundle`.
    pub fn start(
        me: LocalDevice<'_>,
        bundle: PreKeyBundle,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InitiateError> {
        let peer = PeerDevice::from(bundle.certificate());
        Ok(Self::with(peer, Session::start(me, bundle, now, rng)?))
    }

    /// Begins another session with the same device, because the peer does not have this one (see
    /// [`ReceiveError::calls_for_new_session`](super::ReceiveError::calls_for_new_session)). A bundle of
    /// another device begins a record of its own. `not_before`: see
    /// [`SessionMessage::time_to_begin_anew`].
    pub fn start_over(
        &self,
        me: LocalDevice<'_>,
        bundle: PreKeyBundle,
        not_before: Timestamp,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InitiateError> {
        let begun = now.max(not_before);
        if PeerDevice::from(bundle.certificate()) != self.peer {
            return Self::start(me, bundle, begun, rng);
        }
        let last = self.every().map(|session| session.begun_at(now)).max();
        let begun = last.map_or(begun, |last| begun.max(last + Duration::from_ms(1)));
        let mut after = self.clone();
        let old = core::mem::replace(&mut after.current, Session::start(me, bundle, begun, rng)?);
        after.archive(old, now);
        after.settle(now);
        Ok(after)
    }

    /// Encrypts one message in the current session: the bytes for
    /// [`seal_message`](super::seal_message). Unchanged on failure; store the record before the bytes
    /// leave.
    pub fn encrypt(
        &mut self,
        me: LocalDevice<'_>,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, EncryptError> {
        self.current
            .encrypt(me, plaintext, rng)
            .map(|message| message.encode())
    }

    /// With whom.
    pub const fn peer(&self) -> &PeerDevice {
        &self.peer
    }

    /// The session that sends.
    pub const fn current_session(&self) -> SessionId {
        self.current.id
    }

    /// Whether the peer has shown that it has the current session: it began it, or has answered.
    pub fn is_confirmed(&self) -> bool {
        self.current.is_confirmed()
    }

    /// When the current session was begun, as long as the peer has not shown that it has it. A peer that was there since
    /// and is silent may lack the prekeys that it was begun with: whatever is sealed in it is lost.
    pub fn unanswered_since(&self) -> Option<Timestamp> {
        self.current.unanswered_since()
    }

    /// Every session that receives, the current one first: for an index from session to record.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.every().map(|session| session.id)
    }

    pub(super) const fn with(peer: PeerDevice, current: Session) -> Self {
        Self {
            peer,
            current,
            archived: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Whether that session is over, settled or not.
    pub(super) fn has_retired(&self, id: &SessionId, now: Timestamp) -> bool {
        let mut archived = self.archived.iter();
        let is_over = |one: &Archived| one.session.id == *id && !one.is_kept(now);
        self.retired.contains(id) || archived.any(is_over)
    }

    /// Decrypts a message of a session that is here, and returns the record that follows; `None` if its
    /// session is not here.
    pub(super) fn decrypt(
        &self,
        message: &SessionMessage,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, Self)>, DecryptError> {
        let mut kept = self.every_kept(now);
        let Some(found) = kept.find(|one| one.id == message.session) else {
            return Ok(None);
        };
        let (plaintext, session) = found.decrypt(message, now)?;
        let mut after = self.clone();
        after.put(session, now);
        after.settle(now);
        Ok(Some((plaintext, after)))
    }

    /// The record with a session that the peer began, and whether it took the place of another one, in which there may
    /// be what the peer cannot open.
    pub(super) fn adopt(&self, new: Session, now: Timestamp) -> (Self, bool) {
        let id = new.id;
        let mut after = self.clone();
        after.archive(new, now);
        after.settle(now);
        let started_over = after.current.id == id;
        (after, started_over)
    }

    /// The current session, then those in the archive.
    fn every(&self) -> impl Iterator<Item = &Session> {
        let archived = self.archived.iter().map(|archived| &archived.session);
        core::iter::once(&self.current).chain(archived)
    }

    /// The current session, and those in the archive whose time is not over, though nothing has settled since.
    fn every_kept(&self, now: Timestamp) -> impl Iterator<Item = &Session> {
        let archived = self.archived.iter().filter(move |one| one.is_kept(now));
        core::iter::once(&self.current).chain(archived.map(|archived| &archived.session))
    }

    /// A session that is here, in its next state. What is in use does not end.
    fn put(&mut self, session: Session, now: Timestamp) {
        if session.id == self.current.id {
            self.current = session;
            return;
        }
        self.archived.retain(|one| one.session.id != session.id);
        self.archive(session, now);
    }

    /// The rule; then what is beyond the bounds of the archive ends.
    fn settle(&mut self, now: Timestamp) {
        self.choose(now);
        self.archived.sort_by_key(|one| Reverse(one.since));
        let kept = self.archived.len().min(MAX_ARCHIVED);
        let excess = self.archived.split_off(kept);
        self.retire(excess);
        let old = |archived: &mut Archived| !archived.is_kept(now);
        let expired = self.archived.extract_if(.., old).collect();
        self.retire(expired);
    }

    fn choose(&mut self, now: Timestamp) {
        let rank = |session: &Session| (session.begun_at(now), Reverse(session.id));
        let archived = self.archived.iter().enumerate();
        let best = archived.max_by_key(|(_, one)| rank(&one.session));
        let Some((index, _)) = best.filter(|(_, one)| rank(&one.session) > rank(&self.current))
        else {
            return;
        };
        let chosen = self.archived.remove(index).session;
        let old = core::mem::replace(&mut self.current, chosen);
        self.archive(old, now);
    }

    fn archive(&mut self, session: Session, since: Timestamp) {
        self.archived.insert(0, Archived { session, since });
    }

    fn retire(&mut self, ended: Vec<Archived>) {
        self.retired
            .splice(0..0, ended.iter().map(|archived| archived.session.id));
        self.retired.truncate(MAX_RETIRED);
    }
}
