//! One session: a ratchet, what binds it to its two ends, and how it began.

use core::fmt;

use rand_core::CryptoRng;

use super::message::SessionMessage;
use super::peer::LocalDevice;
use super::receive::ReceiveError;
use crate::id::SessionId;
use crate::identity::DeviceCertificate;
use crate::ratchet::{DecryptError, EncryptError, Ratchet};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedBytes, Bytes};
use crate::x3dh::{
    AssociatedData, Initial, InitialHeader, InitiateError, PreKeyBundle, PreKeySecrets,
    UsedPreKeys, accept, initiate,
};

/// A session with one device.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Binds both addresses, both certificates, the KEM key and the time of beginning.
    pub(super) ad: AssociatedData,
    pub(super) ratchet: Ratchet,
    pub(super) origin: Origin,
    /// When it was begun, by the clock of who began it.
    pub(super) begun: Timestamp,
}

/// Who began, and whether the other one is known to have the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// We did, and every message carries how, since the peer has not answered.
    Unanswered(Box<InitialHeader>),
    /// We did, and the peer has answered.
    Answered,
    /// The peer did.
    Peer,
}

/// A session that a first message began.
pub(super) struct AcceptedSession {
    pub(super) session: Session,
    pub(super) plaintext: Vec<u8>,
    pub(super) used: UsedPreKeys,
}

impl Session {
    /// Begins a session with the device of `bundle`.
    pub(super) fn start(
        me: LocalDevice<'_>,
        bundle: PreKeyBundle,
        begun: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, InitiateError> {
        let agreed = initiate(me.identity(), bundle, begun, rng)?;
        let ratchet =
            Ratchet::initiate(agreed.secret, agreed.peer_ratchet_key, agreed.peer_kem_key);
        Ok(Self {
            id: agreed.ad.session_id(&agreed.header),
            ad: agreed.ad,
            ratchet,
            origin: Origin::Unanswered(Box::new(agreed.header)),
            begun,
        })
    }

    /// The session that a first message of the device of `peer` begins, if it authenticates.
    pub(super) fn accept(
        me: LocalDevice<'_>,
        prekeys: &PreKeySecrets,
        peer: &DeviceCertificate,
        initial: &InitialHeader,
        message: &SessionMessage,
        now: Timestamp,
    ) -> Result<AcceptedSession, ReceiveError> {
        let agreed = accept(me.identity(), prekeys, initial, peer)?;
        if agreed.session != message.session {
            return Err(ReceiveError::OtherSessionId);
        }
        let ad = agreed.ad.as_bytes();
        let (header, ciphertext) = (message.header(), &message.ciphertext);
        let (dh, ek) = (&agreed.ratchet_key, &agreed.kem_key);
        let (plaintext, ratchet) =
            Ratchet::accept(agreed.secret.clone(), dh, ek, ad, &header, ciphertext, now)?;
        let session = Self {
            id: agreed.session,
            ad: agreed.ad.clone(),
            ratchet,
            origin: Origin::Peer,
            begun: initial.begun,
        };
        Ok(AcceptedSession {
            session,
            plaintext,
            used: agreed.used,
        })
    }

    /// Encrypts one message. Unchanged on failure.
    pub(super) fn encrypt(
        &mut self,
        me: LocalDevice<'_>,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<SessionMessage, EncryptError> {
        let (header, ciphertext) = self.ratchet.encrypt(self.ad.as_bytes(), plaintext, rng)?;
        let initial = match &self.origin {
            Origin::Unanswered(initial) => Some(Initial::new(
                me.account.clone(),
                me.certificate,
                (**initial).clone(),
            )),
            Origin::Answered | Origin::Peer => None,
        };
        // Within its bound: the ratchet bounds the plaintext by what a session message has room for.
        let ciphertext =
            BoundedBytes::new(ciphertext).map_err(|over| EncryptError::TooLong(over.actual))?;
        Ok(SessionMessage {
            session: self.id,
            sender: me.certificate.device_id(),
            initial,
            header: Bytes(*header.encode()),
            ciphertext,
        })
    }

    /// Decrypts one message: its plaintext and the session that follows.
    pub(super) fn decrypt(
        &self,
        message: &SessionMessage,
        now: Timestamp,
    ) -> Result<(Vec<u8>, Self), DecryptError> {
        let (plaintext, ratchet) = self.ratchet.decrypt(
            self.ad.as_bytes(),
            &message.header(),
            &message.ciphertext,
            now,
        )?;
        let origin = match &self.origin {
            Origin::Peer => Origin::Peer,
            Origin::Unanswered(_) | Origin::Answered => Origin::Answered,
        };
        Ok((
            plaintext,
            Self {
                id: self.id,
                ad: self.ad.clone(),
                ratchet,
                origin,
                begun: self.begun,
            },
        ))
    }

    /// When it was begun, as it counts now.
    pub(super) fn begun_at(&self, now: Timestamp) -> Timestamp {
        begun_at(self.begun, now)
    }

    /// Whether we began it.
    pub(super) fn is_mine(&self) -> bool {
        !matches!(self.origin, Origin::Peer)
    }

    /// When it was begun, unless the peer is known to have it.
    pub(super) fn unanswered_since(&self) -> Option<Timestamp> {
        (!self.is_confirmed()).then_some(self.begun)
    }

    /// Whether the peer is known to have it, or to have had it.
    pub(super) fn is_confirmed(&self) -> bool {
        !matches!(self.origin, Origin::Unanswered(_))
    }
}

/// A time that a clock gave which was more than a day ahead says nothing: what has it is older than everything else.
fn begun_at(begun: Timestamp, now: Timestamp) -> Timestamp {
    match begun.is_ahead_of(now) {
        false => begun,
        true => Timestamp::EPOCH,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("mine", &self.is_mine())
            .field("confirmed", &self.is_confirmed())
            .field("ratchet", &self.ratchet)
            .finish_non_exhaustive()
    }
}
