//! Receiving: from a session message to a plaintext and whose it is.

use core::fmt;

use thiserror::Error;

use super::message::SessionMessage;
use super::peer::{LocalDevice, PeerDevice};
use super::record::SessionRecord;
use super::session::Session;
use crate::identity::{AccountKeys, CertificateError, DeviceCertificate};
use crate::ratchet::DecryptError;
use crate::time::Timestamp;
use crate::x3dh::{AcceptError, PreKeySecrets, UsedPreKeys};

/// A message that authenticated. Store the record, and remove the used prekeys, in the transaction that
/// stores the plaintext.
pub struct Received {
    /// What it says; never shown before it authenticated.
    pub plaintext: Vec<u8>,
    /// The sessions with its sender as they are now. [`SessionRecord::peer`] is the sender.
    pub record: SessionRecord,
    /// If it began a session: with whom, proven.
    pub first: Option<FirstMessage>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("plaintext", &format_args!("{} bytes", self.plaintext.len()))
            .field("record", &self.record)
            .field("first", &self.first.is_some())
            .finish()
    }
}

/// What a first message proves and uses up.
#[derive(Debug)]
pub struct FirstMessage {
    /// The account whose keys certified the device.
    pub account: AccountKeys,
    /// The device's certificate, verified. Whether it is (still) on the account's device list is for
    /// the caller to see.
    pub certificate: DeviceCertificate,
    /// Prekeys to forget.
    pub used: UsedPreKeys,
    /// Its session took the place of another one: the peer may have lost that, or never been able to open it, and what
    /// was sealed in it and not yet delivered may not open there.
    pub started_over: bool,
}

/// A message was refused; nothing has changed. Unless said otherwise the fault is the sender's, who may
/// be anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// There is no such session with this device, and the message does not begin one: this side has
    /// lost it, or it never was.
    #[error("there is no such session")]
    UnknownSession,
    /// The session is over here: a straggler, or the peer goes on sending in it.
    #[error("the session is over")]
    RetiredSession,
    /// The record is of another device than the message claims; the caller's, or a sender who claims to
    /// be another.
    #[error("the message claims another sender than its session has")]
    OtherPeer,
    /// The session id does not follow from the agreement.
    #[error("the session id does not fit the first message")]
    OtherSessionId,
    /// A first message from this very device.
    #[error("the message claims to come from this device")]
    FromMyself,
    /// The account that claims to send did not certify the device.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The agreement fails.
    #[error(transparent)]
    Agreement(#[from] AcceptError),
    /// The message does not decrypt.
    #[error(transparent)]
    Ratchet(#[from] DecryptError),
}

impl ReceiveError {
    /// Whether the two sides seem to have come apart: the peer relies on a session or on prekeys that
    /// this device has not, or what it sends does not decrypt because one side's state is of another time
    /// (restored from a copy, say). If the sender is a contact, a
    /// [new session](SessionRecord::start_over) puts it right. Whoever knows the sealing key can provoke
    /// this, so do it seldom. A message of the present chain that was seen before never does; one of a chain that
    /// has ended may: relays can repeat those at will, so remember which envelopes came.
    pub const fn calls_for_new_session(&self) -> bool {
        match self {
            Self::UnknownSession | Self::RetiredSession => true,
            Self::Agreement(error) => matches!(
                error,
                AcceptError::UnknownSignedPreKey(_)
                    | AcceptError::UnknownKemPreKey(_)
                    | AcceptError::UnknownOneTimePreKey(_)
                    | AcceptError::Replayed
            ),
            Self::Ratchet(error) => !matches!(error, DecryptError::AlreadyUsed),
            Self::OtherPeer | Self::OtherSessionId | Self::FromMyself | Self::Certificate(_) => {
                false
            }
        }
    }
}

/// Decrypts `message`. `record` is what is stored for its sender, if anything: for a first message the
/// record of (claimed address, claimed sender), else the one that has the session.
///
/// A message of a known session is decrypted in it, whatever else it carries: a replayed first message
/// resets nothing. A first message of any other session begins that session, and is never ignored.
pub fn receive(
    record: Option<&SessionRecord>,
    me: LocalDevice<'_>,
    prekeys: &PreKeySecrets,
    message: &SessionMessage,
    now: Timestamp,
) -> Result<Received, ReceiveError> {
    if let Some(record) = record {
        if record.peer().device != message.sender {
            return Err(ReceiveError::OtherPeer);
        }
        if let Some((plaintext, record)) = record.decrypt(message, now)? {
            return Ok(Received {
                plaintext,
                record,
                first: None,
            });
        }
        if record.has_retired(&message.session, now) {
            return Err(ReceiveError::RetiredSession);
        }
    }
    receive_first(record, me, prekeys, message, now)
}

fn receive_first(
    record: Option<&SessionRecord>,
    me: LocalDevice<'_>,
    prekeys: &PreKeySecrets,
    message: &SessionMessage,
    now: Timestamp,
) -> Result<Received, ReceiveError> {
    let initial = message
        .initial
        .clone()
        .ok_or(ReceiveError::UnknownSession)?;
    let (account, certificate, header) = initial.verify()?;
    let peer = PeerDevice::from(&certificate);
    if peer == PeerDevice::from(&**me.certificate) {
        return Err(ReceiveError::FromMyself);
    }
    if peer.device != message.sender || record.is_some_and(|record| *record.peer() != peer) {
        return Err(ReceiveError::OtherPeer);
    }
    let accepted = Session::accept(me, prekeys, &certificate, &header, message, now)?;
    let (record, started_over) = match record {
        Some(record) => record.adopt(accepted.session, now),
        None => (SessionRecord::with(peer, accepted.session), false),
    };
    let first = FirstMessage {
        account,
        certificate,
        used: accepted.used,
        started_over,
    };
    Ok(Received {
        plaintext: accepted.plaintext,
        record,
        first: Some(first),
    })
}
