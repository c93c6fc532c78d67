//! Crate-private macros: the one way a fixed-length value becomes a CBOR byte string.

/// Implements CBOR `Encode`/`Decode` as a byte string of exact length for a type that has
/// `as_bytes()` and `TryFrom<&[u8]>`; whatever `TryFrom` refuses, the decoder refuses.
macro_rules! cbor_as_bytes {
    ($type:ty, $refusal:literal) => {
        impl<C> minicbor::Encode<C> for $type {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(self.as_bytes().as_ref())?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $type {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let at = d.position();
                <$type>::try_from(d.bytes()?)
                    .map_err(|_| minicbor::decode::Error::message($refusal).at(at))
            }
        }

        impl<C> minicbor::CborLen<C> for $type {
            fn cbor_len(&self, ctx: &mut C) -> usize {
                let bytes = self.as_bytes();
                let bytes: &[u8] = bytes.as_ref();
                bytes.len().cbor_len(ctx) + bytes.len()
            }
        }
    };
}

/// Defines a public byte string of one fixed length, too long for the stack (signatures,
/// ciphertexts, encoded keys): boxed, with `TryFrom<&[u8]>`, short `Debug` and CBOR.
macro_rules! boxed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:expr, $refusal:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Box<[u8; $len]>);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes as they are.
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(Box::new(bytes))
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = $crate::id::WrongLength;
            fn try_from(bytes: &[u8]) -> Result<Self, $crate::id::WrongLength> {
                bytes.try_into().map(Self::from_bytes).map_err(|_| $crate::id::WrongLength {
                    what: stringify!($name),
                    expected: $len,
                    actual: bytes.len(),
                })
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &*self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…)")
            }
        }

        cbor_as_bytes!($name, $refusal);
    };
}
