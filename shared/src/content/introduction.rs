//! The introduction: what a peer needs to answer somebody whom it has not looked up.

use core::fmt;

use minicbor::{Decode, Encode};

use super::display_name::display_name;
use crate::crypto::Secret32;
use crate::identity::{DirectoryKey, UnverifiedSealingKey};
use crate::wire::codec::{BoundedBytes, BoundedText};

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_LEN: usize = 256;
/// The longest mailbox descriptor, in bytes.
pub const MAX_MAILBOX_DESCRIPTOR_LEN: usize = 1024;

/// Who writes, and where to answer. The mailbox descriptor and the sealing key are as they came: verify
/// the latter against the certificate that the session proved and the mailbox of the former.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Introduction {
    /// The name that the sender gives itself, as it came; show [`display_name`](Self::display_name).
    #[n(0)]
    pub name: BoundedText<MAX_NAME_LEN>,
    /// Where the sender's account record is found.
    #[n(1)]
    pub directory_key: DirectoryKey,
    /// Signed descriptor of the sender's mailbox, not verified.
    #[n(2)]
    pub mailbox: BoundedBytes<MAX_MAILBOX_DESCRIPTOR_LEN>,
    /// T, the write permission for that mailbox: a secret.
    #[n(3)]
    pub write_secret: Secret32,
    /// The sender's current sealing key, not verified.
    #[cbor(n(4), with = "nested")]
    pub sealing_key: UnverifiedSealingKey,
}

impl Introduction {
    /// The name, fit to be shown; `None` if nothing is left of it.
    pub fn display_name(&self) -> Option<String> {
        display_name(&self.name)
    }
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introduction")
            .field("name", &&*self.name)
            .finish_non_exhaustive()
    }
}

/// A body as a byte string within a body, so that it can change its own version.
mod nested {
    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};

    use crate::identity::UnverifiedSealingKey;
    use crate::wire::codec::{from_cbor, to_cbor};

    /// Key, times, signature and CBOR around them.
    const MAX_LEN: usize = 1216 + 64 + 64;

    pub(super) fn encode<C, W: Write>(
        key: &UnverifiedSealingKey,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&to_cbor(key))?.ok()
    }

    pub(super) fn decode<'b, C>(
        d: &mut Decoder<'b>,
        _: &mut C,
    ) -> Result<UnverifiedSealingKey, decode::Error> {
        from_cbor(d.bytes()?, MAX_LEN).map_err(|_| decode::Error::message("not a sealing key"))
    }
}
