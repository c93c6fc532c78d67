//! The 32-byte header, and frames: header and payload. PROTOCOL §2.

use thiserror::Error;

use super::tag::{Tag, UnknownTag};
use crate::id::MessageId;

pub use super::budget::HEADER_LEN;

/// First four bytes of every frame.
pub const MAGIC: u32 = 0xDEAD_BEEF;
/// Protocol version 1.0.
pub const VERSION: u16 = 0x0100;
/// Flags that a receiver must know to go on; the high half may be ignored.
pub const FLAGS_CRITICAL: u32 = 0x0000_FFFF;

/// What opens every message, on a link and inside an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the message.
    pub tag: Tag,
    /// Length of the payload in bytes, within the bound of `tag`.
    pub length: u32,
    /// None are defined in version 1.
    pub flags: u32,
    /// Random on a link; echoed by replies; the MessageId of content.
    pub id: MessageId,
}

/// A frame: one WebSocket message, one rpc, one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type of the message.
    pub tag: Tag,
    /// Id of the message.
    pub id: MessageId,
    /// What the header announced, exactly.
    pub payload: &'a [u8],
}

/// The peer broke a rule of framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Fewer bytes than a header, or than the header announces.
    #[error("frame is cut short")]
    Truncated,
    /// More bytes than the header announces.
    #[error("frame has bytes after its payload")]
    Trailing,
    /// Not our protocol.
    #[error("wrong magic number")]
    Magic,
    /// A version that is not spoken here.
    #[error("unsupported version {0:#06x}")]
    Version(u16),
    /// A type that is not known here.
    #[error(transparent)]
    Tag(#[from] UnknownTag),
    /// Payload beyond the bound of its type.
    #[error("{} of {length} bytes is beyond its bound", .tag.name())]
    TooLarge {
        /// Type of the message.
        tag: Tag,
        /// Length announced.
        length: u32,
    },
    /// A flag that must be understood is not.
    #[error("unknown critical flags {0:#010x}")]
    Flags(u32),
}

impl Header {
    /// The 32 bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let fields: [&[u8]; 6] = [
            &MAGIC.to_be_bytes(),
            &VERSION.to_be_bytes(),
            &(self.tag as u16).to_be_bytes(),
            &self.length.to_be_bytes(),
            &self.flags.to_be_bytes(),
            self.id.as_bytes(),
        ];
        out.iter_mut()
            .zip(fields.into_iter().flatten())
            .for_each(|(to, from)| *to = *from);
        out
    }

    /// Reads a header off the front of `bytes` and checks all that it claims, the length included.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (magic, rest) = take::<4>(bytes)?;
        let (version, rest) = take::<2>(rest)?;
        let (tag, rest) = take::<2>(rest)?;
        let (length, rest) = take::<4>(rest)?;
        let (flags, rest) = take::<4>(rest)?;
        let (id, rest) = take::<16>(rest)?;
        if u32::from_be_bytes(magic) != MAGIC {
            return Err(FrameError::Magic);
        }
        if u16::from_be_bytes(version) != VERSION {
            return Err(FrameError::Version(u16::from_be_bytes(version)));
        }
        let tag = Tag::try_from(u16::from_be_bytes(tag))?;
        let length = u32::from_be_bytes(length);
        if usize::try_from(length).map_or(true, |length| length > tag.max_payload()) {
            return Err(FrameError::TooLarge { tag, length });
        }
        let flags = u32::from_be_bytes(flags);
        if flags & FLAGS_CRITICAL != 0 {
            return Err(FrameError::Flags(flags));
        }
        Ok((
            Self {
                tag,
                length,
                flags,
                id: MessageId::from_bytes(id),
            },
            rest,
        ))
    }
}

/// A frame of `payload`, which the caller keeps within the bound of `tag`.
pub fn encode_frame(tag: Tag, id: MessageId, payload: &[u8]) -> Vec<u8> {
    debug_assert!(
        payload.len() <= tag.max_payload(),
        "{} beyond its bound",
        tag.name()
    );
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER_LEN + payload.len());
    out.extend_from_slice(
        &Header {
            tag,
            length,
            flags: 0,
            id,
        }
        .encode(),
    );
    out.extend_from_slice(payload);
    out
}

/// Reads exactly one frame; nothing may follow it.
pub fn decode_frame(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (frame, rest) = split_frame(bytes)?;
    if rest.is_empty() {
        Ok(frame)
    } else {
        Err(FrameError::Trailing)
    }
}

/// A frame followed by zeros up to `capacity` bytes; `None` if it does not fit.
pub fn encode_padded_frame(
    tag: Tag,
    id: MessageId,
    payload: &[u8],
    capacity: usize,
) -> Option<Vec<u8>> {
    if HEADER_LEN + payload.len() > capacity {
        return None;
    }
    let mut out = encode_frame(tag, id, payload);
    out.resize(capacity, 0);
    Some(out)
}

/// Reads a frame that zeros may follow; other padding is refused.
pub fn decode_padded_frame(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let (frame, rest) = split_frame(bytes)?;
    if rest.iter().all(|byte| *byte == 0) {
        Ok(frame)
    } else {
        Err(FrameError::Trailing)
    }
}

fn split_frame(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), FrameError> {
    let (header, rest) = Header::decode(bytes)?;
    let length = usize::try_from(header.length).map_err(|_| FrameError::Truncated)?;
    let (payload, rest) = rest.split_at_checked(length).ok_or(FrameError::Truncated)?;
    Ok((
        Frame {
            tag: header.tag,
            id: header.id,
            payload,
        },
        rest,
    ))
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), FrameError> {
    bytes
        .split_first_chunk::<N>()
        .map(|(head, rest)| (*head, rest))
        .ok_or(FrameError::Truncated)
}
