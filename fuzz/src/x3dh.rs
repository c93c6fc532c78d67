//! Prekeys as relays hand them out, and their secrets at rest.

use zentalk_shared::wire::codec::{from_cbor, to_secret_cbor};
use zentalk_shared::x3dh::{PreKeyBase, PreKeyOneTime, PreKeySecrets};

use crate::devices::{IDENTITIES, NOW, rng};

/// Longest record of prekey secrets.
const MAX_SECRETS: usize = 1 << 20;

pub(crate) fn prekeys(data: &[u8]) {
    if let Ok(base) = PreKeyBase::decode(data) {
        assert_eq!(PreKeyBase::decode(&base.encode()), Ok(base));
    }
    if let Ok(one_time) = PreKeyOneTime::decode(data) {
        assert_eq!(PreKeyOneTime::decode(&one_time.encode()), Ok(one_time));
    }
}

/// Secrets that are read can be written, rotated and published.
pub(crate) fn secrets(data: &[u8]) {
    let Ok(mut secrets) = from_cbor::<PreKeySecrets>(data, MAX_SECRETS) else {
        return;
    };
    let bytes = to_secret_cbor(&secrets);
    let again: PreKeySecrets = from_cbor(&bytes, MAX_SECRETS).expect("what is written is read");
    assert_eq!(to_secret_cbor(&again), bytes);
    let (identity, mut rng) = (&IDENTITIES[0], rng(22));
    secrets.rotate(NOW, &mut rng);
    let base = secrets.base(identity.secrets.signing(), &identity.certificate);
    assert_eq!(PreKeyBase::decode(&base.encode()), Ok(base));
}
