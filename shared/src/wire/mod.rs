//! The wire: the 32-byte header that opens every message, the one table of message types, bounded
//! CBOR bodies and the byte budget. PROTOCOL §1–§3.
//!
//! ```text
//!   bytes ──decode_frame──▶ Frame { tag, id, payload } ──codec::from_cbor──▶ body
//!   body ──codec::to_cbor──▶ payload ──encode_frame──▶ bytes
//! ```
//! Nothing is allocated before the length was checked against the bound of its type.

pub mod budget;
pub mod codec;
mod header;
pub mod link;
mod tag;

pub use header::{
    FLAGS_CRITICAL, Frame, FrameError, HEADER_LEN, Header, MAGIC, VERSION, decode_frame,
    decode_padded_frame, encode_frame, encode_padded_frame,
};
pub use tag::{Tag, UnknownTag};

#[cfg(test)]
mod tests;
