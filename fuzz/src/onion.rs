//! Onion packets and what they carry.

use zentalk_shared::onion::Surb;

pub(crate) fn surb(data: &[u8]) {
    if let Ok(surb) = Surb::decode(data) {
        assert_eq!(surb.encode(), data);
    }
}
