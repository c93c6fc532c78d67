//! Proves the toolchain: the protocol's own code, compiled to wasm, computes in a browser what its
//! standards say.

#![cfg(target_arch = "wasm32")]

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use zentalk_shared::crypto::kdf;
use zentalk_shared::crypto::secret::Secret;
use zentalk_shared::id::MessageId;
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// RFC 5869, appendix A.1.
#[wasm_bindgen_test]
fn hkdf_gives_the_rfcs_bytes() {
    let salt: Vec<u8> = (0x00..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let okm: Secret<42> = kdf::extract_expand(&salt, &[0x0b; 22], &info);
    let hex: String = okm.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let expected =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    assert_eq!(hex, expected);
}

#[wasm_bindgen_test]
fn frames_survive_the_round_trip() {
    let id = MessageId::from_bytes([7; 16]);
    let bytes = encode_frame(Tag::Ping, id, b"hello");
    assert_eq!(bytes[..6], [0xde, 0xad, 0xbe, 0xef, 0x01, 0x00]);
    let frame = decode_frame(&bytes).unwrap();
    assert_eq!(
        (frame.tag, frame.id, frame.payload),
        (Tag::Ping, id, &b"hello"[..])
    );
}
