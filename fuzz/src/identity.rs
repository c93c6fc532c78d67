//! What accounts and devices sign and show.

use zentalk_shared::identity::{
    ContactCode, ScannedSafetyNumber, UnverifiedCertificate, UnverifiedDeviceList,
};

pub(crate) fn certificate(data: &[u8]) {
    let _ = UnverifiedCertificate::decode(data);
}

pub(crate) fn device_list(data: &[u8]) {
    let _ = UnverifiedDeviceList::decode(data);
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
