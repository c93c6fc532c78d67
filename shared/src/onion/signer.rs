//! A relay's signing identity: the certified Ed25519 key that signs descriptors and link handshakes
//! (PROTOCOL.md §3, §4). The RSA key signs once, when the identity is made, and can then stay offline.

use core::fmt;

use rand_core::CryptoRng;

use super::descriptor::{
    BODY_DOMAIN, Body, CERTIFICATE_DOMAIN, DescriptorError, OnionKey, OnionKeyBody,
    RelayDescriptor, RelayInfo, Signed, node_id,
};
use crate::crypto::rsa::{RsaPrivateError, RsaPublic, RsaSecret, RsaSignature};
use crate::crypto::sign::{BadSignature, Signature, SigningKey, VerifyingKey};
use crate::id::NodeId;
use crate::time::Timestamp;
use crate::wire::codec::{
    BoundedBytes, BoundedList, BoundedText, Bytes, CodecError, OverBound, to_cbor,
};

/// The relay key with its certificate.
#[derive(Clone)]
pub struct RelaySigner {
    node: NodeId,
    rsa: RsaPublic,
    certificate: RsaSignature,
    key: SigningKey,
}

/// The dates of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Grows with every descriptor: Unix milliseconds of its publication.
    pub sequence: u64,
    /// Valid from.
    pub from: Timestamp,
    /// Valid until; at most 24 hours later.
    pub until: Timestamp,
}

impl RelaySigner {
    /// Certifies `key` with the relay's RSA key: the one RSA signature of the relay's life.
    pub fn certify(
        rsa: &RsaSecret,
        key: SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RsaPrivateError> {
        let certificate = rsa.sign(CERTIFICATE_DOMAIN, key.verifying_key().as_bytes(), rng)?;
        let rsa = rsa.public().clone();
        Ok(Self {
            node: node_id(&rsa),
            rsa,
            certificate,
            key,
        })
    }

    /// Restores an identity from what [`certificate`](Self::certificate) and its like gave.
    pub fn from_parts(
        rsa: RsaPublic,
        certificate: RsaSignature,
        key: SigningKey,
    ) -> Result<Self, BadSignature> {
        rsa.verify(
            CERTIFICATE_DOMAIN,
            key.verifying_key().as_bytes(),
            &certificate,
        )?;
        Ok(Self {
            node: node_id(&rsa),
            rsa,
            certificate,
            key,
        })
    }

    /// Which relay.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The relay's RSA key.
    pub const fn rsa_public(&self) -> &RsaPublic {
        &self.rsa
    }

    /// The RSA key's signature over the relay key.
    pub const fn certificate(&self) -> &RsaSignature {
        &self.certificate
    }

    /// The relay key, for storage.
    pub const fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs a descriptor. Refuses what no reader would accept.
    pub fn sign_descriptor(
        &self,
        info: &RelayInfo,
        onion_keys: &[OnionKey],
        publication: Publication,
    ) -> Result<RelayDescriptor, DescriptorError> {
        let body = self.body(info, onion_keys, publication).map_err(too_long)?;
        let encoded = to_cbor(&body);
        let signature = self.key.sign(BODY_DOMAIN, &encoded);
        let signed = Signed {
            rsa: BoundedBytes::new(self.rsa.spki_der()).map_err(too_long)?,
            relay_key: Bytes(*self.key.verifying_key().as_bytes()),
            certificate: self.certificate.clone(),
            body: BoundedBytes::new(encoded).map_err(too_long)?,
            signature: Bytes(*signature.as_bytes()),
        };
        RelayDescriptor::from_signer(signed, body, self.key.verifying_key())
    }

    /// An identity that no reader accepts, for tests that need many relays or forged ones.
    #[cfg(test)]
    pub(crate) fn uncertified(node: NodeId, rsa: RsaPublic, key: SigningKey) -> Self {
        Self {
            node,
            rsa,
            certificate: RsaSignature::from_bytes([0; 512]),
            key,
        }
    }

    /// Takes another relay's name, for tests.
    #[cfg(test)]
    pub(crate) fn claim(&mut self, node: NodeId) {
        self.node = node;
    }

    fn body(
        &self,
        info: &RelayInfo,
        onion_keys: &[OnionKey],
        publication: Publication,
    ) -> Result<Body, OverBound> {
        let urls = info.urls.iter().map(|url| BoundedText::new(url.as_str()));
        let keys = onion_keys.iter().map(|key| {
            let bytes = BoundedBytes::new(key.key.clone())?;
            Ok(OnionKeyBody {
                suite: key.suite,
                epoch: key.epoch,
                key: bytes,
            })
        });
        Ok(Body {
            node: self.node,
            sequence: publication.sequence,
            from: publication.from,
            until: publication.until,
            urls: BoundedList::new(urls.collect::<Result<_, _>>()?)?,
            onion_keys: BoundedList::new(keys.collect::<Result<_, _>>()?)?,
            operator: BoundedText::new(info.operator.as_str())?,
            region: BoundedText::new(info.region.as_str())?,
            software: BoundedText::new(info.software.as_str())?,
            max_connections: info.max_connections,
            features: info.features,
        })
    }

    /// Signs a link handshake, as the side that this relay has on it.
    pub fn sign_link(&self, side: LinkSide, transcript: &LinkTranscript) -> Signature {
        self.key.sign(side.domain(), &transcript.bytes())
    }
}

fn too_long(bound: OverBound) -> DescriptorError {
    DescriptorError::Codec(CodecError::TooLong(bound.max))
}

impl fmt::Debug for RelaySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySigner")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Which side of a link signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSide {
    /// The relay that accepted the connection.
    Accept,
    /// The relay that made it.
    Connect,
}

impl LinkSide {
    const fn domain(self) -> &'static str {
        match self {
            Self::Accept => "ZenTalk link accept v1",
            Self::Connect => "ZenTalk link connect v1",
        }
    }
}

/// What both relays of a link sign: who they are and that the other's nonce is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTranscript {
    /// Who connects.
    pub connects: NodeId,
    /// Who accepts.
    pub accepts: NodeId,
    /// Nonce of who connects.
    pub connect_nonce: [u8; 32],
    /// Nonce of who accepts.
    pub accept_nonce: [u8; 32],
}

impl LinkTranscript {
    /// Checks the other side's signature. `key` is from a verified descriptor of the relay that the
    /// transcript names on that side.
    pub fn verify(
        &self,
        side: LinkSide,
        key: &VerifyingKey,
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        key.verify(side.domain(), &self.bytes(), signature)
    }

    fn bytes(&self) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            self.connects.as_ref(),
            self.accepts.as_ref(),
            &self.connect_nonce,
            &self.accept_nonce,
        ];
        parts.concat()
    }
}
