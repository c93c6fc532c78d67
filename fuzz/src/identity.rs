//! What accounts and devices sign and show, and what they keep.

use zentalk_shared::identity::{
    ContactCode, DeviceSecret, ScannedSafetyNumber, UnverifiedCertificate, UnverifiedDeviceList,
    UnverifiedSealingKey,
};
use zentalk_shared::wire::codec::{from_cbor, to_secret_cbor};

use crate::devices::{IDENTITIES, NOW};

/// Longest sealing key and longest record of a device.
const MAX_LEN: usize = 1 << 16;

/// What passes is what the account signed.
pub(crate) fn certificate(data: &[u8]) {
    let [identity, _] = &*IDENTITIES;
    if let Ok(certificate) = UnverifiedCertificate::decode(data)
        && let Ok(certificate) = certificate.verify(&identity.account)
    {
        assert_eq!(certificate, identity.certificate);
    }
}

pub(crate) fn device_list(data: &[u8]) {
    let [identity, _] = &*IDENTITIES;
    if let Ok(list) = UnverifiedDeviceList::decode(data)
        && let Ok(list) = list.verify(&identity.account)
    {
        assert_eq!(list, identity.list);
    }
}

/// What passes is what the device signed for its own mailbox.
pub(crate) fn sealing_key(data: &[u8]) {
    let [identity, _] = &*IDENTITIES;
    let mailbox = identity.secrets.mailbox().id();
    if let Ok(key) = from_cbor::<UnverifiedSealingKey>(data, MAX_LEN)
        && let Ok(key) = key.verify(&identity.certificate, mailbox)
    {
        let published = identity.secrets.publish_sealing_key();
        assert_eq!(key.to_unverified(), published);
        assert!(key.is_usable(NOW));
    }
}

pub(crate) fn device_secret(data: &[u8]) {
    if let Ok(device) = from_cbor::<DeviceSecret>(data, MAX_LEN) {
        let bytes = to_secret_cbor(&device);
        let again: DeviceSecret = from_cbor(&bytes, MAX_LEN).expect("what is written is read");
        assert_eq!(to_secret_cbor(&again), bytes);
        assert_eq!(again.id(), device.id());
    }
}

pub(crate) fn contact_code(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(code) = ContactCode::parse(text)
    {
        assert_eq!(ContactCode::parse(&code.to_string()), Ok(code));
        assert_eq!(
            ContactCode::parse(&code.link("https://a.example")),
            Ok(code)
        );
        assert_eq!(ContactCode::parse(&code.qr_text()), Ok(code));
    }
}

pub(crate) fn safety_number(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(number) = ScannedSafetyNumber::parse(text)
    {
        let text = number.qr_text().to_ascii_lowercase();
        assert_eq!(ScannedSafetyNumber::parse(&text), Ok(number));
    }
}
