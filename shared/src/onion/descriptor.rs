//! Relay descriptors: who a relay is, where it is reached, and its onion keys (PROTOCOL.md §4).
//!
//! ```text
//!  bytes ─▶ UnverifiedDescriptor ─ verify(now) ─▶ RelayDescriptor
//!           sizes and CBOR only     NodeId = hash of the RSA key
//!                                   RSA key certifies the Ed25519 relay key
//!                                   relay key signs the body; times; URLs
//! ```
//!
//! A [`RelayDescriptor`] exists only verified: there is no other way to make one than from its bytes, or
//! by signing it with a [`RelaySigner`](super::signer::RelaySigner).

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::build::Hop;
use super::epoch::{ACCEPTED_BEFORE, Epoch};
use super::url::{MAX_URL_LEN, RelayUrl, UrlError};
use crate::crypto::hash;
use crate::crypto::kem::{Kem, Suite};
use crate::crypto::rsa::{RsaKeyError, RsaPublic, RsaSignature};
use crate::crypto::sign::{Signature, VerifyingKey, VerifyingKeyError};
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{
    BoundedBytes, BoundedList, BoundedText, Bytes, CodecError, from_cbor, to_cbor,
};
use crate::wire::link::{DescriptorBytes, MAX_DESCRIPTOR_LEN};

/// The longest descriptor body in bytes.
pub const MAX_BODY_LEN: usize = 6500;
/// The longest time between a descriptor's two dates.
pub const MAX_VALIDITY: Duration = Duration::from_hours(24);
/// How far a relay's clock may be ahead of the reader's.
pub const CLOCK_SKEW: Duration = ACCEPTED_BEFORE;

const MAX_RSA_DER_LEN: usize = 560;
/// The longest onion key of any suite is X-Wing's.
const MAX_ONION_KEY_LEN: usize = 1216;

const NODE_DOMAIN: &[u8] = b"ZenTalk node v1";
const HASH_DOMAIN: &[u8] = b"ZenTalk descriptor hash v1";
/// Domain of the RSA certificate over the relay key.
pub(super) const CERTIFICATE_DOMAIN: &str = "ZenTalk relay key v1";
/// Domain of the relay key's signature over the body.
pub(super) const BODY_DOMAIN: &str = "ZenTalk descriptor v1";

/// The NodeId that belongs to an RSA key.
pub fn node_id(key: &RsaPublic) -> NodeId {
    NodeId::from_bytes(hash::blake2b_160_concat(NODE_DOMAIN, key.spki_der()))
}

/// Hash of an encoded descriptor.
pub(super) fn descriptor_hash(bytes: &[u8]) -> [u8; 32] {
    hash::blake2b_256_concat(HASH_DOMAIN, bytes)
}

/// What a relay offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Features(u64);

impl Features {
    /// Accepts clients' sockets.
    pub const GUARD: Self = Self(1);
    /// Holds mailboxes.
    pub const MAILBOX: Self = Self(2);
    /// Holds directory records.
    pub const DIRECTORY: Self = Self(4);
    /// All of the above.
    pub const ALL: Self = Self(7);
    /// None: forwards packets only.
    pub const NONE: Self = Self(0);

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything in `other` is offered.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a relay says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayInfo {
    /// One to four URLs, best first. The first says which network the relay is in ([`Party`](super::party::Party)).
    pub urls: Vec<RelayUrl>,
    /// Who runs it: at most 64 bytes. Empty: not said; such a relay counts as its network's.
    pub operator: String,
    /// Where it stands: at most 32 bytes.
    pub region: String,
    /// What it runs: at most 32 bytes.
    pub software: String,
    /// Connections that it takes; other relays' share of traffic is in proportion.
    pub max_connections: u64,
    /// What it offers.
    pub features: Features,
}

/// One published onion key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnionKey {
    /// Suite number of the KEM.
    pub suite: u8,
    /// The epoch in which senders use it.
    pub epoch: Epoch,
    /// The encoded public key.
    pub key: Vec<u8>,
}

/// Bytes are not a descriptor that this version accepts: the fault of the relay, or of who passed it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// Not CBOR of the right shape, or out of bounds.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The RSA key is unacceptable.
    #[error(transparent)]
    RsaKey(#[from] RsaKeyError),
    /// The relay key is unacceptable.
    #[error(transparent)]
    RelayKey(#[from] VerifyingKeyError),
    /// The RSA key has not certified the relay key.
    #[error("the relay key is not certified by the RSA key")]
    Certificate,
    /// The relay key has not signed the body.
    #[error("the body is not signed by the relay key")]
    Signature,
    /// The NodeId in the body is another key's.
    #[error("the NodeId does not belong to the RSA key")]
    NodeId,
    /// A URL is malformed, or there is none.
    #[error("a URL is not acceptable")]
    Url(#[source] Option<UrlError>),
    /// There is no onion key.
    #[error("there is no onion key")]
    NoOnionKey,
    /// An onion key of a suite that is known here is none.
    #[error("an onion key of {0:?} is not acceptable")]
    OnionKey(Suite),
    /// Its dates are in the wrong order, or too far apart.
    #[error("it would be valid from {from:?} until {until:?}")]
    Validity {
        /// Begins.
        from: Timestamp,
        /// Ends.
        until: Timestamp,
    },
    /// It is valid later.
    #[error("it is valid from {0:?} only")]
    NotYetValid(Timestamp),
    /// It was valid.
    #[error("it was valid until {0:?}")]
    Expired(Timestamp),
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub(super) struct Signed {
    #[n(0)]
    pub(super) rsa: BoundedBytes<MAX_RSA_DER_LEN>,
    #[n(1)]
    pub(super) relay_key: Bytes<32>,
    #[n(2)]
    pub(super) certificate: RsaSignature,
    #[n(3)]
    pub(super) body: BoundedBytes<MAX_BODY_LEN>,
    #[n(4)]
    pub(super) signature: Bytes<64>,
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub(super) struct Body {
    #[n(0)]
    pub(super) node: NodeId,
    #[n(1)]
    pub(super) sequence: u64,
    #[n(2)]
    pub(super) from: Timestamp,
    #[n(3)]
    pub(super) until: Timestamp,
    #[n(4)]
    pub(super) urls: BoundedList<BoundedText<MAX_URL_LEN>, 4>,
    #[n(5)]
    pub(super) onion_keys: BoundedList<OnionKeyBody, 12>,
    #[n(6)]
    pub(super) operator: BoundedText<64>,
    #[n(7)]
    pub(super) region: BoundedText<32>,
    #[n(8)]
    pub(super) software: BoundedText<32>,
    #[n(9)]
    pub(super) max_connections: u64,
    #[n(10)]
    pub(super) features: Features,
}

#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub(super) struct OnionKeyBody {
    #[n(0)]
    pub(super) suite: u8,
    #[n(1)]
    pub(super) epoch: Epoch,
    #[n(2)]
    pub(super) key: BoundedBytes<MAX_ONION_KEY_LEN>,
}

/// A descriptor of the right shape and size. Nothing that it says has been checked.
#[derive(Clone)]
pub struct UnverifiedDescriptor {
    signed: Signed,
    body: Body,
    bytes: DescriptorBytes,
}

/// A descriptor whose signatures, identity, dates and URLs have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayDescriptor {
    node: NodeId,
    relay_key: VerifyingKey,
    /// RSA key and certificate, hashed: a renewal with the same ones needs no RSA operation.
    identity: [u8; 32],
    sequence: u64,
    from: Timestamp,
    until: Timestamp,
    info: RelayInfo,
    onion_keys: Vec<OnionKey>,
    hash: [u8; 32],
    bytes: DescriptorBytes,
}

impl UnverifiedDescriptor {
    /// Reads the shape of a descriptor.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let signed: Signed = from_cbor(bytes, MAX_DESCRIPTOR_LEN)?;
        let body: Body = from_cbor(&signed.body, MAX_BODY_LEN)?;
        let bytes = DescriptorBytes::new(bytes).map_err(|bound| CodecError::TooLong(bound.max))?;
        Ok(Self {
            signed,
            body,
            bytes,
        })
    }

    /// Which relay it claims to be of.
    pub fn claimed_node(&self) -> NodeId {
        self.body.node
    }

    /// Checks everything that it says, at the reader's time `now`. About 0.5 ms natively.
    pub fn verify(self, now: Timestamp) -> Result<RelayDescriptor, DescriptorError> {
        self.verify_with(None, now)
    }

    /// [`verify`](Self::verify) for who has an earlier descriptor of the relay: if RSA key and
    /// certificate are the same they are not checked again, which leaves one Ed25519 verification.
    pub fn verify_renewal(
        self,
        previous: &RelayDescriptor,
        now: Timestamp,
    ) -> Result<RelayDescriptor, DescriptorError> {
        self.verify_with(Some(previous), now)
    }

    fn verify_with(
        self,
        previous: Option<&RelayDescriptor>,
        now: Timestamp,
    ) -> Result<RelayDescriptor, DescriptorError> {
        self.body.check_dates()?;
        if self.body.from > now + CLOCK_SKEW {
            return Err(DescriptorError::NotYetValid(self.body.from));
        }
        if self.body.until <= now {
            return Err(DescriptorError::Expired(self.body.until));
        }
        let info = self.body.info()?;
        self.body.check_onion_keys()?;
        let relay_key = VerifyingKey::from_bytes(&self.signed.relay_key.0)?;
        let identity = self.signed.identity();
        match previous.filter(|known| known.identity == identity) {
            Some(known) if known.node == self.body.node => {}
            Some(_) => return Err(DescriptorError::NodeId),
            None => self.check_certificate()?,
        }
        relay_key
            .verify(
                BODY_DOMAIN,
                &self.signed.body,
                &Signature::from_bytes(self.signed.signature.0),
            )
            .map_err(|_| DescriptorError::Signature)?;
        Ok(RelayDescriptor::assemble(
            self.body, info, relay_key, identity, self.bytes,
        ))
    }

    fn check_certificate(&self) -> Result<(), DescriptorError> {
        let rsa = RsaPublic::from_spki_der(&self.signed.rsa)?;
        if node_id(&rsa) != self.body.node {
            return Err(DescriptorError::NodeId);
        }
        rsa.verify(
            CERTIFICATE_DOMAIN,
            &self.signed.relay_key.0,
            &self.signed.certificate,
        )
        .map_err(|_| DescriptorError::Certificate)
    }
}

impl Signed {
    fn identity(&self) -> [u8; 32] {
        let parts: [&[u8]; 3] = [&self.rsa, &self.relay_key.0, self.certificate.as_ref()];
        hash::blake2b_256(b"ZenTalk relay identity v1", &parts)
    }
}

impl Body {
    /// What the relay says about itself, if its URLs and keys are acceptable.
    fn info(&self) -> Result<RelayInfo, DescriptorError> {
        let urls = self
            .urls
            .iter()
            .map(|url| RelayUrl::parse(url))
            .collect::<Result<Vec<_>, _>>();
        let urls = urls.map_err(|error| DescriptorError::Url(Some(error)))?;
        match (urls.is_empty(), self.onion_keys.is_empty()) {
            (true, _) => Err(DescriptorError::Url(None)),
            (_, true) => Err(DescriptorError::NoOnionKey),
            (false, false) => Ok(RelayInfo {
                urls,
                operator: self.operator.to_string(),
                region: self.region.to_string(),
                software: self.software.to_string(),
                max_connections: self.max_connections,
                features: self.features,
            }),
        }
    }

    /// Keys of suites that this version does not know may be anything.
    fn check_onion_keys(&self) -> Result<(), DescriptorError> {
        let known = self.onion_keys.iter().filter_map(|key| {
            let suite = Suite::from_number(key.suite)?;
            Some((suite, &key.key))
        });
        let mut wrong = known.filter(|(suite, key)| !suite.accepts(key));
        match wrong.next() {
            Some((suite, _)) => Err(DescriptorError::OnionKey(suite)),
            None => Ok(()),
        }
    }

    fn check_dates(&self) -> Result<(), DescriptorError> {
        match self.from < self.until && self.until.since(self.from) <= MAX_VALIDITY {
            true => Ok(()),
            false => Err(DescriptorError::Validity {
                from: self.from,
                until: self.until,
            }),
        }
    }
}

impl RelayDescriptor {
    /// Puts a checked body together. `bytes` are the whole signed descriptor.
    fn assemble(
        body: Body,
        info: RelayInfo,
        relay_key: VerifyingKey,
        identity: [u8; 32],
        bytes: DescriptorBytes,
    ) -> Self {
        let onion_keys = body
            .onion_keys
            .into_inner()
            .into_iter()
            .map(|key| OnionKey {
                suite: key.suite,
                epoch: key.epoch,
                key: key.key.into_inner(),
            });
        Self {
            node: body.node,
            relay_key,
            identity,
            sequence: body.sequence,
            from: body.from,
            until: body.until,
            info,
            onion_keys: onion_keys.collect(),
            hash: descriptor_hash(&bytes),
            bytes,
        }
    }

    /// A descriptor that its signer has just put together: everything but the signatures is checked.
    pub(super) fn from_signer(
        signed: Signed,
        body: Body,
        relay_key: VerifyingKey,
    ) -> Result<Self, DescriptorError> {
        body.check_dates()?;
        let info = body.info()?;
        let bytes = DescriptorBytes::new(to_cbor(&signed))
            .map_err(|bound| CodecError::TooLong(bound.max))?;
        Ok(Self::assemble(
            body,
            info,
            relay_key,
            signed.identity(),
            bytes,
        ))
    }

    /// Which relay.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The key that signs the relay's descriptors and link handshakes.
    pub const fn relay_key(&self) -> &VerifyingKey {
        &self.relay_key
    }

    /// The newer of two has the higher: Unix milliseconds of its publication.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it stops being valid.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether it is valid at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.from <= now + CLOCK_SKEW && now < self.until
    }

    /// What the relay says about itself.
    pub const fn info(&self) -> &RelayInfo {
        &self.info
    }

    /// Its onion keys, of every suite and epoch.
    pub fn onion_keys(&self) -> &[OnionKey] {
        &self.onion_keys
    }

    /// The key of a suite that senders use at `now`: that of the current epoch, or, from a relay whose
    /// current one is spent and so is not listed, that of the next.
    pub fn onion_key(&self, suite: Suite, now: Timestamp) -> Option<&OnionKey> {
        let current = Epoch::at(now);
        let of = |epoch: Epoch| {
            let mut keys = self.onion_keys.iter();
            keys.find(|key| key.suite == suite.number() && key.epoch == epoch)
        };
        of(current).or_else(|| of(current.next()))
    }

    /// The relay as a hop of a path, with the key that senders use at `now`. `None` if it has published
    /// none for the suite.
    pub fn hop<K: Kem>(&self, now: Timestamp, delay: Duration) -> Option<Hop<K>> {
        let key = self.onion_key(K::ID, now)?;
        Some(Hop {
            node: self.node,
            epoch: key.epoch,
            key: K::Public::try_from(&key.key).ok()?,
            delay,
        })
    }

    /// BLAKE2b-256 of its bytes, for the directory's digest.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The bytes as signed.
    pub const fn bytes(&self) -> &DescriptorBytes {
        &self.bytes
    }
}
