//! Onion packets, what they carry, and who carries them.

use zentalk_shared::onion::{GuardSet, RelayUrl, Surb, UnverifiedDescriptor, VanguardSet};

pub(crate) fn surb(data: &[u8]) {
    if let Ok(surb) = Surb::decode(data) {
        assert_eq!(surb.encode(), data);
    }
}

pub(crate) fn descriptor(data: &[u8]) {
    if let Ok(descriptor) = UnverifiedDescriptor::decode(data) {
        let _ = descriptor.claimed_node();
    }
}

pub(crate) fn relay_url(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(url) = RelayUrl::parse(text)
    {
        assert_eq!(RelayUrl::parse(&url.to_string()), Ok(url));
    }
}

pub(crate) fn guards(data: &[u8]) {
    if let Ok(set) = GuardSet::decode(data) {
        assert_eq!(GuardSet::decode(&set.encode()), Ok(set));
    }
    if let Ok(set) = VanguardSet::decode(data) {
        assert_eq!(VanguardSet::decode(&set.encode()), Ok(set));
    }
}
