//! Ratchets at rest.

use zentalk_shared::ratchet::Ratchet;

pub(crate) fn record(data: &[u8]) {
    if let Ok(ratchet) = Ratchet::decode(data) {
        let bytes = ratchet.encode();
        let again = Ratchet::decode(&bytes).map(|ratchet| ratchet.encode());
        assert_eq!(again.ok(), Some(bytes));
    }
}
