//! What a sender does: headers and requests (PROTOCOL.md §5; Danezis and Goldberg, "Sphinx", IEEE
//! S&P 2009, §3.2, with a KEM ciphertext per hop in place of one blinded group element).
//!
//! ```text
//!  for each hop       encapsulate ─▶ ss ─▶ routing, MAC and body key
//!  filler             what the hops' zero padding turns into at the end of the last routing block
//!  last hop first     command ‖ next ciphertext ‖ next routing block, encrypted, then its MAC
//!  body               one LIONESS layer per hop, last hop first
//! ```

use rand_core::CryptoRng;
use thiserror::Error;

use super::command::{Command, MAX_DELAY};
use super::epoch::Epoch;
use super::keys::HopKeys;
use super::layout::{
    Class, HeaderMut, INTEGRITY_LEN, Layout, MAC_LEN, MAX_HOPS, PREFIX_LEN, Writer,
};
use super::surb::Surb;
use crate::crypto::Secret32;
use crate::crypto::kem::{EncapsulateError, Kem, Suite};
use crate::id::NodeId;
use crate::time::Duration;

/// Version of the packet format.
pub(super) const VERSION: u8 = 1;

/// One relay of a path, with the onion key that its descriptor publishes.
#[derive(Debug)]
pub struct Hop<K: Kem> {
    /// The relay.
    pub node: NodeId,
    /// Which of its keys.
    pub epoch: Epoch,
    /// The key.
    pub key: K::Public,
    /// How long the relay holds the packet before it sends it on; the last hop's is not used.
    pub delay: Duration,
}

impl<K: Kem> Clone for Hop<K> {
    fn clone(&self) -> Self {
        Self {
            node: self.node,
            epoch: self.epoch,
            key: self.key.clone(),
            delay: self.delay,
        }
    }
}

/// Why a packet cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Caller: a path has 1 to 4 hops.
    #[error("a path has 1 to 4 hops, not {0}")]
    PathLength(usize),
    /// Caller: the payload does not fit the class.
    #[error("{actual} bytes do not fit the class's {capacity}")]
    PayloadTooLong {
        /// What the class carries.
        capacity: usize,
        /// What was given.
        actual: usize,
    },
    /// Caller: a hop's delay is above [`MAX_DELAY`].
    #[error("a delay of {0:?} is too long")]
    DelayTooLong(Duration),
    /// Caller: a hop's key is about to stop being accepted, so a reply block would be born expired.
    #[error("the key of {0:?} expires too soon for a reply block")]
    KeyExpires(NodeId),
    /// Caller: a request carries a reply block of its own suite only, for which its body has the room.
    #[error("a reply block of {surb:?} does not fit a request of {path:?}")]
    SurbSuite {
        /// The path's suite.
        path: Suite,
        /// The reply block's.
        surb: Suite,
    },
    /// Peer: the relay published a key that cannot be encapsulated to.
    #[error("the onion key of {0:?} is unusable")]
    UnusableKey(NodeId, #[source] EncapsulateError),
}

/// A request for the last relay of `path`, as the packet for the first. `payload` is padded with zeros
/// to the capacity of `class`; `surb` is for the answer.
pub fn build_request<K: Kem>(
    path: &[Hop<K>],
    surb: Option<&Surb>,
    payload: &[u8],
    class: Class,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, BuildError> {
    let capacity = class.capacity();
    if payload.len() > capacity {
        return Err(BuildError::PayloadTooLong {
            capacity,
            actual: payload.len(),
        });
    }
    if let Some(surb) = surb.map(Surb::suite).filter(|suite| *suite != K::ID) {
        return Err(BuildError::SurbSuite { path: K::ID, surb });
    }
    let layout = Layout::of::<K>();
    let mut packet = vec![0; layout.packet(class)];
    let (header, body) = packet.split_at_mut(layout.header());
    let hops = seal_header(path, &Command::Process, header, rng)?;
    let surb = surb.map_or_else(|| vec![0; layout.surb()], Surb::encode);
    let _ = Writer::new(body)
        .put(&[0; INTEGRITY_LEN])
        .put(&surb)
        .put(payload);
    hops.iter()
        .rev()
        .for_each(|hop| hop.keys.body.encrypt(body));
    Ok(packet)
}

/// What the sender shares with one hop.
pub(super) struct SealedHop<K: Kem> {
    node: NodeId,
    epoch: Epoch,
    delay: Duration,
    prefix: [u8; PREFIX_LEN],
    ciphertext: K::Ciphertext,
    pub(super) shared: Secret32,
    pub(super) keys: HopKeys,
}

/// Writes the header that leads through `path` to the command `last`, and returns what the hops share
/// with the sender, first hop first. `header` has the suite's header length.
pub(super) fn seal_header<K: Kem>(
    path: &[Hop<K>],
    last: &Command,
    header: &mut [u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<SealedHop<K>>, BuildError> {
    check(path)?;
    let layout = Layout::of::<K>();
    let hops = path
        .iter()
        .map(|hop| seal_hop(hop, rng))
        .collect::<Result<Vec<_>, _>>()?;
    let HeaderMut {
        prefix,
        ciphertext,
        mac,
        routing,
    } = layout
        // Infallible: callers give exactly a header's length.
        .header_of_mut(header)
        .expect("callers give a header's length");
    *mac = seal_last(layout, &hops, last, routing, rng);
    for pair in hops.windows(2).rev() {
        if let [hop, next] = pair {
            *mac = seal_forward(layout, hop, next, *mac, routing);
        }
    }
    if let Some(first) = hops.first() {
        *prefix = first.prefix;
        ciphertext.copy_from_slice(first.ciphertext.as_ref());
    }
    Ok(hops)
}

fn check<K: Kem>(path: &[Hop<K>]) -> Result<(), BuildError> {
    if !(1..=MAX_HOPS).contains(&path.len()) {
        return Err(BuildError::PathLength(path.len()));
    }
    match path.iter().find(|hop| hop.delay > MAX_DELAY) {
        Some(hop) => Err(BuildError::DelayTooLong(hop.delay)),
        None => Ok(()),
    }
}

fn seal_hop<K: Kem>(hop: &Hop<K>, rng: &mut impl CryptoRng) -> Result<SealedHop<K>, BuildError> {
    let (ciphertext, shared) =
        K::encapsulate(&hop.key, rng).map_err(|error| BuildError::UnusableKey(hop.node, error))?;
    Ok(SealedHop {
        node: hop.node,
        epoch: hop.epoch,
        delay: hop.delay,
        prefix: prefix::<K>(hop.epoch),
        ciphertext,
        keys: HopKeys::derive::<K>(&shared),
        shared,
    })
}

/// `version ‖ suite ‖ epoch`.
pub(super) fn prefix<K: Kem>(epoch: Epoch) -> [u8; PREFIX_LEN] {
    let [high, low] = epoch.to_bytes();
    [VERSION, K::SUITE, high, low]
}

/// Fills `routing` with the last hop's block: command, random bytes where shorter paths leave room, and
/// the filler. Returns its MAC.
fn seal_last<K: Kem>(
    layout: Layout,
    hops: &[SealedHop<K>],
    last: &Command,
    routing: &mut [u8],
    rng: &mut impl CryptoRng,
) -> [u8; MAC_LEN] {
    let Some((hop, before)) = hops.split_last() else {
        return [0; MAC_LEN];
    };
    let filler = filler(layout, before);
    let (own, tail) = routing.split_at_mut(layout.routing().saturating_sub(filler.len()));
    rng.fill_bytes(own);
    let _ = Writer::new(own).put(&last.encode());
    hop.keys.xor_routing(0, own);
    tail.copy_from_slice(&filler);
    hop.keys.mac(&hop.prefix, hop.ciphertext.as_ref(), routing)
}

/// What arrives at the end of the last hop's routing block: every hop before it appends a slot of zeros
/// and decrypts the whole.
fn filler<K: Kem>(layout: Layout, before: &[SealedHop<K>]) -> Vec<u8> {
    let mut filler = Vec::with_capacity(before.len() * layout.slot());
    for hop in before {
        let offset = layout.routing().saturating_sub(filler.len());
        filler.resize(filler.len() + layout.slot(), 0);
        hop.keys.xor_routing(offset, &mut filler);
    }
    filler
}

/// Turns `routing` from the block of `next` into that of `hop`, and returns its MAC. What falls off the
/// end is what the filler brings back.
fn seal_forward<K: Kem>(
    layout: Layout,
    hop: &SealedHop<K>,
    next: &SealedHop<K>,
    mac: [u8; MAC_LEN],
    routing: &mut [u8],
) -> [u8; MAC_LEN] {
    let command = Command::Forward {
        next: next.node,
        epoch: next.epoch,
        delay: hop.delay,
        mac,
    };
    routing.copy_within(..layout.routing() - layout.slot(), layout.slot());
    let _ = Writer::new(routing)
        .put(&command.encode())
        .put(next.ciphertext.as_ref());
    hop.keys.xor_routing(0, routing);
    hop.keys.mac(&hop.prefix, hop.ciphertext.as_ref(), routing)
}
