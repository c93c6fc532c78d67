//! The keys that a hop and the sender share, from the secret of the hop's KEM (PROTOCOL.md §5).

use super::layout::{MAC_LEN, PREFIX_LEN};
use super::lioness::BodyKey;
use super::replay::ReplayTag;
use crate::crypto::hash::BadMac;
use crate::crypto::kem::{Kem, Suite};
use crate::crypto::{Secret, Secret32, hash, kdf, stream};

const HOP_DOMAIN: &[u8] = b"ZenTalk onion v1";
const REPLY_DOMAIN: &[u8] = b"ZenTalk reply v1";
const MATERIAL_LEN: usize = 32 + 32 + ReplayTag::LEN + BodyKey::LEN;

/// One hop's keys: HKDF("ZenTalk onion v1", ss, suite, 208), taken apart. Wiped on drop.
pub(super) struct HopKeys {
    routing: Secret32,
    mac: Secret32,
    /// What the hop remembers, so that the packet passes once.
    pub(super) replay_tag: ReplayTag,
    /// Encrypts the body.
    pub(super) body: BodyKey,
}

impl HopKeys {
    /// Derives the keys from the KEM's shared secret.
    pub(super) fn derive<K: Kem>(shared: &Secret32) -> Self {
        Self::derive_for(K::ID, shared)
    }

    /// The same for a suite that is known at run time only.
    pub(super) fn derive_for(suite: Suite, shared: &Secret32) -> Self {
        let material: Secret<MATERIAL_LEN> =
            kdf::extract_expand(HOP_DOMAIN, shared.as_bytes(), &[suite.number()]);
        let mut fields = Fields(material.as_bytes());
        Self {
            routing: fields.secret(),
            mac: fields.secret(),
            replay_tag: ReplayTag::from_bytes(*fields.secret().as_bytes()),
            body: BodyKey::new(&fields.secret()),
        }
    }

    /// XORs the header keystream, from byte `offset` on.
    pub(super) fn xor_routing(&self, offset: usize, data: &mut [u8]) {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        // Infallible: a header is shorter than the keystream.
        stream::xor_at(&self.routing, offset, data).expect("a header is shorter than 256 GiB");
    }

    /// The MAC over a header that this hop receives.
    pub(super) fn mac(
        &self,
        prefix: &[u8; PREFIX_LEN],
        ct: &[u8],
        routing: &[u8],
    ) -> [u8; MAC_LEN] {
        hash::keyed_mac_128(&self.mac, &[prefix, ct, routing])
    }

    /// Checks the MAC over a header, in constant time.
    pub(super) fn verify(
        &self,
        prefix: &[u8; PREFIX_LEN],
        ct: &[u8],
        routing: &[u8],
        mac: &[u8; MAC_LEN],
    ) -> Result<(), BadMac> {
        hash::verify_mac_128(&self.mac, &[prefix, ct, routing], mac)
    }
}

/// The body key of a reply: HKDF("ZenTalk reply v1", reply key, "", 128).
pub(super) fn reply_body_key(reply_key: &Secret32) -> BodyKey {
    BodyKey::new(&kdf::extract_expand(
        REPLY_DOMAIN,
        reply_key.as_bytes(),
        &[],
    ))
}

/// Hands out consecutive fields of key material. The caller's fields add up to its length.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn secret<const N: usize>(&mut self) -> Secret<N> {
        let mut field = Secret::zeroed();
        let (head, rest) = self.0.split_at(N.min(self.0.len()));
        field
            .as_mut_bytes()
            .iter_mut()
            .zip(head)
            .for_each(|(to, from)| *to = *from);
        self.0 = rest;
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::kem::X25519Kem;

    #[test]
    fn the_material_is_taken_apart_in_the_order_of_the_protocol() {
        let shared = Secret32::from_bytes([7; 32]);
        let material: Secret<208> =
            kdf::extract_expand(b"ZenTalk onion v1", shared.as_bytes(), &[1]);
        let keys = HopKeys::derive::<X25519Kem>(&shared);
        let bytes = material.as_bytes();
        assert_eq!(keys.routing.as_bytes()[..], bytes[..32]);
        assert_eq!(keys.mac.as_bytes()[..], bytes[32..64]);
        assert_eq!(keys.replay_tag.as_bytes()[..], bytes[64..80]);
        let (mut ours, mut expected) = ([5; 100], [5; 100]);
        keys.body.encrypt(&mut ours);
        BodyKey::new(&Secret::from_bytes(bytes[80..].try_into().unwrap())).encrypt(&mut expected);
        assert_eq!(ours, expected);
    }

    #[test]
    fn the_header_keystream_is_one_stream() {
        let keys = HopKeys::derive::<X25519Kem>(&Secret32::from_bytes([7; 32]));
        let (mut whole, mut tail) = ([0; 448], [0; 96]);
        keys.xor_routing(0, &mut whole);
        keys.xor_routing(352, &mut tail);
        assert_eq!(whole[352..], tail);
    }
}
