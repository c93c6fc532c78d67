//! Frames.

use zentalk_shared::wire::{Header, decode_frame, decode_padded_frame};

pub(crate) fn frame(data: &[u8]) {
    if let Ok((header, rest)) = Header::decode(data) {
        assert_eq!([&header.encode()[..], rest].concat(), data);
    }
    if let Ok(frame) = decode_frame(data) {
        assert!(data.ends_with(frame.payload));
    }
}

pub(crate) fn padded_frame(data: &[u8]) {
    if let Ok(frame) = decode_padded_frame(data) {
        assert!(frame.payload.len() <= frame.tag.max_payload());
    }
}
