//! Bodies: deterministic CBOR with integer keys (RFC 8949 §4.2.1), bounded before anything is allocated.
//!
//! Derive `minicbor::{Encode, Decode}` with `#[cbor(map)]`, and take field types from here wherever a
//! length may vary: a decoder refuses the announced length before it takes memory for it.

use core::fmt;
use core::ops::Deref;

use minicbor::decode::{self, Decode, Decoder};
use minicbor::encode::{self, Encode, Encoder, Write};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes are not the body that they should be: the fault of who sent or stored them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Longer than this body may be.
    #[error("body is longer than {0} bytes")]
    TooLong(usize),
    /// Not well-formed, or a field is missing, of the wrong type or out of bounds.
    #[error("body is malformed")]
    Malformed,
    /// Bytes after the body.
    #[error("body has bytes after its end")]
    Trailing,
}

/// The value as CBOR.
pub fn to_cbor<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to a Vec is infallible and our types have no fallible encoders.
    let result = minicbor::encode(value, &mut out);
    debug_assert!(result.is_ok());
    out
}

/// The value as CBOR in a buffer that wipes itself, for records that hold secrets. Measured first, so that
/// the buffer never grows: growing leaves copies behind.
pub fn to_secret_cbor<T: Encode<()>>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    let measured = minicbor::encode(value, &mut length);
    let mut out = Zeroizing::new(Vec::with_capacity(length.0));
    let result = minicbor::encode(value, &mut *out);
    debug_assert!(measured.is_ok() && result.is_ok() && out.len() == length.0);
    out
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    type Error = core::convert::Infallible;
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// Reads one value of at most `max` bytes and nothing after it.
pub fn from_cbor<'b, T: Decode<'b, ()>>(bytes: &'b [u8], max: usize) -> Result<T, CodecError> {
    if bytes.len() > max {
        return Err(CodecError::TooLong(max));
    }
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().map_err(|_| CodecError::Malformed)?;
    if decoder.position() == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError::Trailing)
    }
}

/// Exactly `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// At most `MAX` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BoundedBytes<const MAX: usize>(Vec<u8>);

/// At most `MAX` bytes that are secret: wiped when dropped, never printed.
#[derive(Clone, Default)]
pub struct SecretBytes<const MAX: usize>(Zeroizing<Vec<u8>>);

/// UTF-8 of at most `MAX` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BoundedText<const MAX: usize>(String);

/// At most `MAX` items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedList<T, const MAX: usize>(Vec<T>);

/// The caller gave more than the bound allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{actual} is more than the bound of {max}")]
pub struct OverBound {
    /// Bytes or items allowed.
    pub max: usize,
    /// Bytes or items given.
    pub actual: usize,
}

macro_rules! bounded {
    ($name:ident, $inner:ty, $target:ty) => {
        impl<const MAX: usize> $name<MAX> {
            /// Wraps the value if it is within the bound.
            pub fn new(value: impl Into<$inner>) -> Result<Self, OverBound> {
                let value = value.into();
                let actual = value.len();
                if actual > MAX {
                    Err(OverBound { max: MAX, actual })
                } else {
                    Ok(Self(value))
                }
            }

            /// The value.
            pub fn into_inner(self) -> $inner {
                self.0
            }
        }

        impl<const MAX: usize> Deref for $name<MAX> {
            type Target = $target;
            fn deref(&self) -> &$target {
                &self.0
            }
        }
    };
}

bounded!(BoundedBytes, Vec<u8>, [u8]);
bounded!(BoundedText, String, str);

impl<T, const MAX: usize> BoundedList<T, MAX> {
    /// Wraps the list if it is within the bound.
    pub fn new(items: Vec<T>) -> Result<Self, OverBound> {
        let actual = items.len();
        if actual > MAX {
            Err(OverBound { max: MAX, actual })
        } else {
            Ok(Self(items))
        }
    }

    /// The items.
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for BoundedList<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for BoundedList<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<C, const N: usize> Encode<C> for Bytes<N> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const N: usize> Decode<'b, C> for Bytes<N> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        d.bytes()?
            .try_into()
            .map(Self)
            .map_err(|_| decode::Error::message("wrong length"))
    }
}

impl<C, const MAX: usize> Encode<C> for BoundedBytes<MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for BoundedBytes<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() > MAX {
            Err(decode::Error::message("too long"))
        } else {
            Ok(Self(bytes.to_vec()))
        }
    }
}

impl<const MAX: usize> SecretBytes<MAX> {
    /// Wraps the bytes if they are within the bound.
    pub fn new(value: Zeroizing<Vec<u8>>) -> Result<Self, OverBound> {
        let actual = value.len();
        if actual > MAX {
            Err(OverBound { max: MAX, actual })
        } else {
            Ok(Self(value))
        }
    }
}

impl<const MAX: usize> Deref for SecretBytes<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for SecretBytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

impl<C, const MAX: usize> Encode<C> for SecretBytes<MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for SecretBytes<MAX> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        BoundedBytes::<MAX>::decode(d, ctx).map(|bytes| Self(Zeroizing::new(bytes.0)))
    }
}

impl<C, const MAX: usize> Encode<C> for BoundedText<MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C, const MAX: usize> Decode<'b, C> for BoundedText<MAX> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let text = d.str()?;
        if text.len() > MAX {
            Err(decode::Error::message("too long"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl<C, T: Encode<C>, const MAX: usize> Encode<C> for BoundedList<T, MAX> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        self.0.iter().try_for_each(|item| item.encode(e, ctx))
    }
}

impl<'b, C, T: Decode<'b, C>, const MAX: usize> Decode<'b, C> for BoundedList<T, MAX> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let length = d
            .array()?
            .ok_or_else(|| decode::Error::message("indefinite length"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX {
            return Err(decode::Error::message("too many items"));
        }
        (0..length)
            .map(|_| T::decode(d, ctx))
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }
}
