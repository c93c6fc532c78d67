//! Single-use reply blocks (SURBs): a header that somebody else sends, back to whoever made it, without
//! learning where that is (PROTOCOL.md §5; Sphinx §3.4).
//!
//! ```text
//!  owner    build_surb ─▶ Surb (to the replier) + SurbKeys (kept, found again by SurbId)
//!  replier  Surb::reply(payload) ─▶ packet ─▶ hops … each takes a LIONESS layer *off* ─▶ guard: Deliver
//!  owner    SurbKeys::open(body) ─▶ payload: puts the hops' layers back on, takes the reply key's off
//! ```

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;

use super::build::{BuildError, Hop, VERSION, seal_header};
use super::command::Command;
use super::epoch::SURB_MARGIN;
use super::keys::{HopKeys, reply_body_key};
use super::layout::{Class, Layout, MAX_HOPS, Reader, Writer};
use crate::crypto::Secret32;
use crate::crypto::kem::{Kem, Suite};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::time::Timestamp;
use crate::wire::codec::BoundedList;

/// A reply block as its user holds it. [`reply`](Self::reply) consumes it: a second packet with the same
/// header would be dropped as a replay.
pub struct Surb {
    suite: Suite,
    first_hop: NodeId,
    reply_key: Secret32,
    expires: u32,
    header: Vec<u8>,
}

/// What the owner of a reply block keeps to open the reply. Wiped on drop.
pub struct SurbKeys {
    suite: Suite,
    id: SurbId,
    expires: Timestamp,
    reply_key: Secret32,
    /// The shared secret of every hop, first hop of the reply first.
    hops: BoundedList<Secret32, MAX_HOPS>,
}

/// Bytes are not a reply block: the fault of who sent them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SurbError {
    /// Every reply block of a suite has the same length.
    #[error("a reply block of {suite:?} has {expected} bytes, not {actual}")]
    Length {
        /// The suite that its header names.
        suite: Suite,
        /// The suite's length.
        expected: usize,
        /// The length given.
        actual: usize,
    },
    /// Shorter than what comes before the header.
    #[error("a reply block has more than {0} bytes")]
    TooShort(usize),
    /// Its header is of another version or suite.
    #[error("the reply block's header is of version {version}, suite {suite}")]
    Unsupported {
        /// Version of the header.
        version: u8,
        /// Suite of the header.
        suite: u8,
    },
}

/// A reply cannot be opened: some relay on its way, or who replied, is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// No class has bodies of this length.
    #[error("no reply has {0} bytes")]
    Length(usize),
    /// The body was changed, or was made for another reply block.
    #[error("the reply does not authenticate")]
    NotAuthentic,
}

/// Makes a reply block through `path`, whose last relay delivers to the connection `tag`, and the keys
/// that open the reply. It expires 10 minutes before the first of the hops' keys stops being accepted.
pub fn build_surb<K: Kem>(
    path: &[Hop<K>],
    tag: ConnectionTag,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<(Surb, SurbKeys), BuildError> {
    let id = SurbId::random(rng);
    let reply_key = Secret32::random(rng);
    let expires = expiry(path, now)?;
    let mut header = vec![0; Layout::of::<K>().header()];
    let sealed = seal_header(path, &Command::Deliver { tag, surb: id }, &mut header, rng)?;
    let hops: Vec<Secret32> = sealed.iter().map(|hop| hop.shared.clone()).collect();
    let keys = SurbKeys {
        suite: K::ID,
        id,
        expires: Timestamp::from_secs(expires.into()),
        reply_key: reply_key.clone(),
        hops: BoundedList::new(hops).map_err(|bound| BuildError::PathLength(bound.actual))?,
    };
    let first_hop = path.first().ok_or(BuildError::PathLength(0))?.node;
    Ok((
        Surb {
            suite: K::ID,
            first_hop,
            reply_key,
            expires,
            header,
        },
        keys,
    ))
}

/// Unix seconds, rounded down.
fn expiry<K: Kem>(path: &[Hop<K>], now: Timestamp) -> Result<u32, BuildError> {
    let first = path
        .iter()
        .map(|hop| {
            (
                hop.epoch.accepted_until(now).saturating_sub(SURB_MARGIN),
                hop.node,
            )
        })
        .min()
        .ok_or(BuildError::PathLength(0))?;
    let (expires, node) = first;
    match expires > now {
        true => Ok(u32::try_from(expires.as_ms() / 1_000).unwrap_or(u32::MAX)),
        false => Err(BuildError::KeyExpires(node)),
    }
}

impl Surb {
    /// The suite of the hops that it leads through.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// When it is of no use any more. The user must not keep it longer.
    pub const fn expires(&self) -> Timestamp {
        Timestamp::from_secs(self.expires as u64)
    }

    /// The relay that the reply goes to first.
    pub const fn first_hop(&self) -> NodeId {
        self.first_hop
    }

    /// The reply as a packet for [`first_hop`](Self::first_hop). `payload` is padded with zeros to the
    /// capacity of `class`.
    pub fn reply(self, payload: &[u8], class: Class) -> Result<Vec<u8>, BuildError> {
        let capacity = class.capacity();
        if payload.len() > capacity {
            return Err(BuildError::PayloadTooLong {
                capacity,
                actual: payload.len(),
            });
        }
        let layout = Layout::of_suite(self.suite);
        let mut packet = self.header;
        packet.reserve_exact(layout.body(class));
        packet.resize(layout.packet(class), 0);
        let (_header, body) = packet.split_at_mut(layout.header());
        let (_overhead, room) = body.split_at_mut(layout.body_overhead());
        let _ = Writer::new(room).put(payload);
        reply_body_key(&self.reply_key).encrypt(body);
        Ok(packet)
    }

    /// The bytes: first hop ‖ reply key ‖ expiry ‖ header.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Layout::of_suite(self.suite).surb());
        bytes.extend_from_slice(self.first_hop.as_bytes());
        bytes.extend_from_slice(self.reply_key.as_bytes());
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.extend_from_slice(&self.header);
        bytes
    }

    /// Reads a reply block of any suite. Its header is only as good as whoever made it: relays on the way
    /// check it.
    pub fn decode(bytes: &[u8]) -> Result<Self, SurbError> {
        Self::fields(bytes).ok_or(SurbError::TooShort(bytes.len()))?
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, SurbError>> {
        let mut reader = Reader::new(bytes);
        let first_hop = NodeId::from_bytes(reader.array()?);
        let reply_key = Secret32::from_bytes(reader.array()?);
        let expires = u32::from_be_bytes(reader.array()?);
        let header = reader.rest();
        let [version, number] = Reader::new(header).array()?;
        let known = Suite::from_number(number).filter(|_| version == VERSION);
        let Some(suite) = known else {
            let suite = number;
            return Some(Err(SurbError::Unsupported { version, suite }));
        };
        let (expected, actual) = (Layout::of_suite(suite).surb(), bytes.len());
        if expected != actual {
            return Some(Err(SurbError::Length {
                suite,
                expected,
                actual,
            }));
        }
        Some(Ok(Self {
            suite,
            first_hop,
            reply_key,
            expires,
            header: header.to_vec(),
        }))
    }
}

impl fmt::Debug for Surb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surb")
            .field("first_hop", &self.first_hop)
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

impl SurbKeys {
    /// What the guard names when it delivers the reply.
    pub const fn id(&self) -> SurbId {
        self.id
    }

    /// When the reply block expires; a reply may still be on its way for a few minutes after.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Opens the reply's body, as the guard delivered it: the payload, padded with zeros to the capacity
    /// of its class.
    pub fn open(self, mut body: Vec<u8>) -> Result<Vec<u8>, ReplyError> {
        let layout = Layout::of_suite(self.suite);
        if layout.class_of_body(body.len()).is_none() {
            return Err(ReplyError::Length(body.len()));
        }
        for shared in self.hops.iter().rev() {
            HopKeys::derive_for(self.suite, shared)
                .body
                .encrypt(&mut body);
        }
        reply_body_key(&self.reply_key).decrypt(&mut body);
        let view = layout.body_of(&body).ok_or(ReplyError::NotAuthentic)?;
        // What stands in a request's SURB field has no meaning in a reply; it is zero.
        let is_zero = crate::crypto::is_zero;
        match is_zero(view.integrity) & is_zero(view.surb) {
            true => {
                body.drain(..layout.body_overhead());
                Ok(body)
            }
            false => Err(ReplyError::NotAuthentic),
        }
    }
}

impl fmt::Debug for SurbKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurbKeys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Persisted form, only ever inside an encrypted record: [id, expiry, reply key, [shared secrets], suite].
/// Without the last it is of X25519.
impl<C> minicbor::Encode<C> for SurbKeys {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let suite = Some(self.suite).filter(|suite| *suite != Suite::X25519);
        e.array(4 + u64::from(suite.is_some()))?;
        self.id.encode(e, ctx)?;
        self.expires.encode(e, ctx)?;
        self.reply_key.encode(e, ctx)?;
        self.hops.encode(e, ctx)?;
        suite.map_or(Ok(()), |suite| e.u8(suite.number())?.ok())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SurbKeys {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let other = || minicbor::decode::Error::message("not the keys of a reply block").at(at);
        let names_suite = match d.array()? {
            Some(4) => false,
            Some(5) => true,
            _ => return Err(other()),
        };
        Ok(Self {
            id: SurbId::decode(d, ctx)?,
            expires: Timestamp::decode(d, ctx)?,
            reply_key: Secret32::decode(d, ctx)?,
            hops: BoundedList::decode(d, ctx)?,
            suite: match names_suite {
                true => Suite::from_number(d.u8()?).ok_or_else(other)?,
                false => Suite::X25519,
            },
        })
    }
}
