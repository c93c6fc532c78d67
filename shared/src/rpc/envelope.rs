//! Envelopes as relays see them: 8000 bytes, and the id that is a hash of them. PROTOCOL §6.

use minicbor::{Decode, Encode};

use crate::crypto::hash::blake2b_128_concat;
use crate::id::EnvelopeId;
use crate::wire::budget::ENVELOPE_LEN;
use crate::wire::codec::Bytes;

/// A sealed envelope: always 8000 bytes.
pub type EnvelopeBytes = Bytes<ENVELOPE_LEN>;

/// An envelope and its id, as a member of the swarm hands it out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnvelopeItem {
    /// Its id, if the member is honest: [`envelope_id`] tells.
    #[n(0)]
    pub id: EnvelopeId,
    /// Its bytes.
    #[n(1)]
    pub envelope: EnvelopeBytes,
}

/// The id of an envelope. Nothing else goes by it: who acknowledges an id acknowledges these bytes.
pub fn envelope_id(envelope: &EnvelopeBytes) -> EnvelopeId {
    EnvelopeId::from_bytes(blake2b_128_concat(b"ZenTalk envelope id v1", &envelope.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_an_envelope_counts() {
        let envelope = Bytes([7; ENVELOPE_LEN]);
        let id = envelope_id(&envelope);
        assert_eq!(envelope_id(&envelope), id);
        for at in [0, 1, ENVELOPE_LEN / 2, ENVELOPE_LEN - 1] {
            let mut other = envelope;
            other.0[at] ^= 1;
            assert_ne!(envelope_id(&other), id, "byte {at}");
        }
    }
}
