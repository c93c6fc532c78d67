//! What a hop does: one layer of a packet, in place (PROTOCOL.md §5).
//!
//! The order matters. Nothing is remembered and nothing is returned before the header's MAC has
//! verified; the replay tag is recorded before the packet has any effect. Whatever fails is dropped
//! without an answer: [`PeelError`] tells kinds apart for counters only, and must not reach the wire.

use rand_core::CryptoRng;
use thiserror::Error;

use super::build::{VERSION, prefix};
use super::command::{BadCommand, Command};
use super::epoch::Epoch;
use super::keys::HopKeys;
use super::layout::{COMMAND_LEN, HeaderMut, Layout, Reader, Writer};
use super::replay::{ReplayError, ReplayTag};
use super::surb::{Surb, SurbError};
use crate::crypto::kem::{Kem, Suite};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::time::Duration;

/// What a packet turned out to be for.
#[derive(Debug)]
pub enum Peeled {
    /// Send `packet` to `next` once `delay` has passed.
    Forward {
        /// The next relay.
        next: NodeId,
        /// How long to hold the packet; at most a minute.
        delay: Duration,
        /// The packet, of the same length as before.
        packet: Vec<u8>,
    },
    /// A request to this relay.
    Process {
        /// Where the answer goes.
        surb: Option<Surb>,
        /// The request, padded to the capacity of its class.
        payload: Vec<u8>,
    },
    /// A reply for a client that this relay is the guard of.
    Deliver {
        /// Which connection.
        tag: ConnectionTag,
        /// Which of the client's reply blocks.
        surb_id: SurbId,
        /// Opaque to everyone but the client.
        body: Vec<u8>,
    },
}

/// Why a packet is dropped. Counted, never told to anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PeelError {
    /// No class of the suite has packets of this length.
    #[error("no packet has {0} bytes")]
    Length(usize),
    /// Another version of the format.
    #[error("version {0} is unknown")]
    Version(u8),
    /// Another suite than the key's.
    #[error("suite {0} is not this key's")]
    Suite(u8),
    /// No key of this epoch is accepted now.
    #[error("no key of {0:?} is accepted")]
    UnknownEpoch(Epoch),
    /// The KEM refuses the ciphertext.
    #[error("the KEM ciphertext is not acceptable")]
    BadCiphertext,
    /// The header was not made for this key, or was changed.
    #[error("the header does not authenticate")]
    BadMac,
    /// The packet has passed before, or the key is spent.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The sender's command is against the rules.
    #[error(transparent)]
    Command(#[from] BadCommand),
    /// The body was changed on the way.
    #[error("the body does not authenticate")]
    BadBody,
    /// The sender's reply block is unusable.
    #[error(transparent)]
    Surb(#[from] SurbError),
}

impl PeelError {
    /// A label for a counter.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Length(_) => "length",
            Self::Version(_) => "version",
            Self::Suite(_) => "suite",
            Self::UnknownEpoch(_) => "epoch",
            Self::BadCiphertext => "ciphertext",
            Self::BadMac => "mac",
            Self::Replay(ReplayError::Seen) => "replay",
            Self::Replay(ReplayError::KeyExhausted) => "key_exhausted",
            Self::Command(_) => "command",
            Self::BadBody => "body",
            Self::Surb(_) => "surb",
        }
    }
}

/// The suite that a packet names, whatever else is wrong with it.
pub fn suite_of(packet: &[u8]) -> Option<Suite> {
    let [_version, suite] = Reader::new(packet).array()?;
    Suite::from_number(suite)
}

/// The epoch that a packet names, if its length, version and suite are those of `K`.
pub(super) fn epoch_of<K: Kem>(packet: &[u8]) -> Result<Epoch, PeelError> {
    let length = PeelError::Length(packet.len());
    Layout::of::<K>()
        .class_of_packet(packet.len())
        .ok_or(length)?;
    let [version, suite, high, low] = Reader::new(packet).array().ok_or(length)?;
    match (version, suite) {
        (VERSION, s) if s == K::SUITE => Ok(Epoch::from_bytes([high, low])),
        (VERSION, _) => Err(PeelError::Suite(suite)),
        _ => Err(PeelError::Version(version)),
    }
}

/// Takes one layer off `packet` with the secret key of the epoch that it names. `record` is asked once,
/// after the header has authenticated, and refuses a tag that it has seen.
pub fn peel<K: Kem>(
    secret: &K::Secret,
    mut packet: Vec<u8>,
    record: impl FnOnce(ReplayTag) -> Result<(), ReplayError>,
    rng: &mut impl CryptoRng,
) -> Result<Peeled, PeelError> {
    epoch_of::<K>(&packet)?;
    let length = PeelError::Length(packet.len());
    let layout = Layout::of::<K>();
    let (header, body) = layout.packet_of_mut(&mut packet).ok_or(length)?;
    let mut header = layout.header_of_mut(header).ok_or(length)?;
    let keys = authenticate::<K>(secret, &header, rng)?;
    record(keys.replay_tag)?;
    let command = Command::decode(&shift(layout, &keys, &mut header))?;
    keys.body.decrypt(body);
    match command {
        Command::Forward {
            next,
            epoch,
            delay,
            mac,
        } => {
            *header.prefix = prefix::<K>(epoch);
            *header.mac = mac;
            Ok(Peeled::Forward {
                next,
                delay,
                packet,
            })
        }
        Command::Process => process(layout, packet),
        Command::Deliver { tag, surb } => {
            packet.drain(..layout.header());
            Ok(Peeled::Deliver {
                tag,
                surb_id: surb,
                body: packet,
            })
        }
    }
}

/// Steps 1 and 2: the hop's keys, if the header was made with them.
fn authenticate<K: Kem>(
    secret: &K::Secret,
    header: &HeaderMut<'_>,
    rng: &mut impl CryptoRng,
) -> Result<HopKeys, PeelError> {
    let ciphertext =
        K::Ciphertext::try_from(header.ciphertext).map_err(|_| PeelError::BadCiphertext)?;
    let shared = K::decapsulate(secret, &ciphertext, rng).map_err(|_| PeelError::BadCiphertext)?;
    let keys = HopKeys::derive::<K>(&shared);
    keys.verify(header.prefix, header.ciphertext, header.routing, header.mac)
        .map_err(|_| PeelError::BadMac)?;
    Ok(keys)
}

/// Step 4: decrypts the routing block with a slot of zeros appended, takes the command and the next
/// ciphertext off its front and leaves the next routing block in its place.
fn shift(layout: Layout, keys: &HopKeys, header: &mut HeaderMut<'_>) -> [u8; COMMAND_LEN] {
    keys.xor_routing(0, header.routing);
    let mut reader = Reader::new(header.routing);
    let command = reader.array().unwrap_or([0; COMMAND_LEN]);
    let _ = Writer::new(header.ciphertext).put(reader.rest());
    let kept = layout.routing() - layout.slot();
    header.routing.copy_within(layout.slot().., 0);
    let (_, appended) = header.routing.split_at_mut(kept);
    appended.fill(0);
    keys.xor_routing(layout.routing(), appended);
    command
}

/// A request: 32 zero bytes, a reply block or zeros, the payload.
fn process(layout: Layout, mut packet: Vec<u8>) -> Result<Peeled, PeelError> {
    let length = PeelError::Length(packet.len());
    let (_, body) = layout.packet_of_mut(&mut packet).ok_or(length)?;
    let view = layout.body_of(body).ok_or(length)?;
    if !crate::crypto::is_zero(view.integrity) {
        return Err(PeelError::BadBody);
    }
    let surb = match crate::crypto::is_zero(view.surb) {
        true => None,
        // The room in the body is as long as the suite's own reply blocks, so it is one of the suite.
        false => Some(Surb::decode(view.surb)?),
    };
    packet.drain(..layout.header() + layout.body_overhead());
    Ok(Peeled::Process {
        surb,
        payload: packet,
    })
}
