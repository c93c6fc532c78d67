//! Prekeys as relays hand them out.

use zentalk_shared::x3dh::{PreKeyBase, PreKeyOneTime};

pub(crate) fn prekeys(data: &[u8]) {
    if let Ok(base) = PreKeyBase::decode(data) {
        assert_eq!(PreKeyBase::decode(&base.encode()), Ok(base));
    }
    if let Ok(one_time) = PreKeyOneTime::decode(data) {
        assert_eq!(PreKeyOneTime::decode(&one_time.encode()), Ok(one_time));
    }
}
