//! The session record: every session with one device, and which of them we send in.
//!
//! Two devices can have several sessions: both began one at the same time, or one lost its state and
//! began anew. All of them receive; one is *current* and sends. Both sides must come to the same one,
//! without a word about it. The rules, with C our current session:
//!
//! 1. A peer's new first message makes its session N current. Except when the two first messages
//!    visibly crossed (C is ours, not answered yet, and this happens for the first time): then the lower
//!    id stays.
//! 2. They may have crossed unseen: the peer's answer in C can overtake its older first message in N.
//!    So if C was ours, the peer sends in it again, and its id is lower, it becomes current again.
//! 3. If instead the peer makes a step in N that answers us, it did choose N: N becomes current for good.
//! 4. As long as a peer has no answer in its session N, it repeats its first message. If C is ours, answered,
//!    and took the place of N by rule 1 or 2, the peer has begun N after all that: N becomes current. And if
//!    we began C while N was without an answer, the peer keeps N, by rule 1, where that is the lower id: then
//!    N becomes current again, too.
//! 5. Otherwise what was current before stays in the archive: a straggler changes nothing.

use rand_core::CryptoRng;

use super::message::SessionMessage;
use super::peer::{LocalDevice, PeerDevice};
use super::session::{Origin, Session};
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
    /// Newest first.
    pub(super) archived: Vec<Archived>,
    /// Newest first.
    pub(super) retired: Vec<SessionId>,
}

/// A session that was current, or lost against one that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) session: Session,
    pub(super) since: Timestamp,
    /// Can never become current again.
    pub(super) superseded: bool,
}

impl SessionRecord {
    /// Begins the first session with the device of `bundle`.
    pub fn start(
        me: LocalDevice<'_>,
        bundle: PreKeyBundle,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InitiateError> {
        let peer = PeerDevice::from(bundle.certificate());
        Ok(Self::with(peer, Session::start(me, bundle, rng)?))
    }

    /// Begins another session with the same device, because the peer does not have this one (see
    /// [`ReceiveError::calls_for_new_session`](super::ReceiveError::calls_for_new_session)). A bundle of
    /// another device begins a record of its own.
    pub fn start_over(
        &self,
        me: LocalDevice<'_>,
        bundle: PreKeyBundle,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InitiateError> {
        if PeerDevice::from(bundle.certificate()) != self.peer {
            return Self::start(me, bundle, rng);
        }
        let mut after = self.clone();
        let old = core::mem::replace(&mut after.current, Session::start(me, bundle, rng)?);
        after
            .archived
            .iter_mut()
            .for_each(|archived| archived.superseded = true);
        after.archive(old, true, now);
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

    /// Every session that receives, the current one first: for an index from session to record.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let archived = self.archived.iter().map(|archived| archived.session.id);
        core::iter::once(self.current.id).chain(archived)
    }

    pub(super) const fn with(peer: PeerDevice, current: Session) -> Self {
        Self {
            peer,
            current,
            archived: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(super) fn has_retired(&self, id: &SessionId) -> bool {
        self.retired.contains(id)
    }

    /// Decrypts a message of a session that is here, and returns the record that follows; `None` if its
    /// session is not here.
    pub(super) fn decrypt(
        &self,
        message: &SessionMessage,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, Self)>, DecryptError> {
        if message.session == self.current.id {
            let (plaintext, session) = self.current.decrypt(message, now)?;
            let mut after = self.clone();
            after.current = session;
            after.expire(now);
            return Ok(Some((plaintext, after)));
        }
        let mut archived = self.archived.iter().enumerate();
        let Some((index, found)) = archived.find(|(_, one)| one.session.id == message.session)
        else {
            return Ok(None);
        };
        let (plaintext, session) = found.session.decrypt(message, now)?;
        let after = match message.initial.is_some() && self.is_kept_by_the_peer(index, found) {
            true => self.restored(index, session, false, now),
            false => self.received_in_archive(index, found, session, now),
        };
        Ok(Some((plaintext, after)))
    }

    /// Rule 4, for the archive's session at `index`, in which the peer has no answer. Only its newest session
    /// counts: it has given up those before.
    fn is_kept_by_the_peer(&self, index: usize, found: &Archived) -> bool {
        let mut newer = self.archived.iter().take(index);
        let keeps = match self.current.is_confirmed() {
            true => self.current.is_mine() && !found.superseded,
            false => found.session.id < self.current.id,
        };
        keeps && !found.session.is_mine() && newer.all(|newer| newer.session.is_mine())
    }

    /// Rules 2, 3 and 5: `after` follows `before`, which is the archive's at `index`.
    fn received_in_archive(
        &self,
        index: usize,
        before: &Archived,
        after: Session,
        now: Timestamp,
    ) -> Self {
        let chose_again = after.is_mine() && !self.current.is_mine() && after.id < self.current.id;
        let stepped = !after.ratchet.same_receiving_chain(&before.session.ratchet);
        let chose_for_good = !after.is_mine() && self.current.is_mine() && stepped;
        if !before.superseded && (chose_again || chose_for_good) {
            return self.restored(index, after, chose_for_good, now);
        }
        let mut record = self.clone();
        record
            .archived
            .iter_mut()
            .skip(index)
            .take(1)
            .for_each(|one| one.session = after.clone());
        record.expire(now);
        record
    }

    /// The record with the archive's session at `index`, as it is now, in the place of the current one.
    fn restored(&self, index: usize, after: Session, for_good: bool, now: Timestamp) -> Self {
        let mut record = self.clone();
        record.archived.remove(index);
        let old = core::mem::replace(&mut record.current, after);
        record.archive(old, for_good, now);
        record
    }

    /// Rule 1: the record with a session that the peer began, and whether the peer seems to have lost
    /// the one that was current.
    pub(super) fn adopt(&self, new: Session, now: Timestamp) -> (Self, bool) {
        let mut after = self.clone();
        match &mut after.current.origin {
            Origin::Unanswered(pending) if !pending.crossed && self.current.id < new.id => {
                pending.crossed = true;
                after.archive(new, false, now);
                (after, false)
            }
            _ => {
                let old = core::mem::replace(&mut after.current, new);
                let started_over = old.is_confirmed();
                let superseded = !old.is_mine();
                // One of ours that the peer has not answered may be under way to it, and be chosen yet.
                after
                    .archived
                    .iter_mut()
                    .filter(|archived| archived.session.is_confirmed())
                    .for_each(|archived| archived.superseded = true);
                after.archive(old, superseded, now);
                (after, started_over)
            }
        }
    }

    fn archive(&mut self, session: Session, superseded: bool, now: Timestamp) {
        self.archived.insert(
            0,
            Archived {
                session,
                since: now,
                superseded,
            },
        );
        let excess = self
            .archived
            .split_off(self.archived.len().min(MAX_ARCHIVED));
        self.retire(excess);
        self.expire(now);
    }

    /// Ends the sessions whose time in the archive is over.
    fn expire(&mut self, now: Timestamp) {
        let old = |archived: &mut Archived| now.since(archived.since) > ARCHIVE_LIFETIME;
        let expired = self.archived.extract_if(.., old).collect();
        self.retire(expired);
    }

    fn retire(&mut self, ended: Vec<Archived>) {
        self.retired
            .splice(0..0, ended.iter().map(|archived| archived.session.id));
        self.retired.truncate(MAX_RETIRED);
    }
}
