//! Identifiers: fixed-length byte strings, each with a type of its own.
//!
//! How the hashed ones are computed is said where their keys live (`identity`, `dht`), or their bytes (`rpc`); here is only
//! their shape. On the wire every identifier is a CBOR byte string of exact length. `Debug` prints a
//! short prefix, `Display` the whole in hex; a [`ConnectionTag`] is a bearer secret and prints nothing.

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;

/// A byte string had the wrong length for the identifier it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what}: {actual} bytes where {expected} are needed")]
pub struct WrongLength {
    /// The type that was asked for.
    pub what: &'static str,
    /// Its length in bytes.
    pub expected: usize,
    /// The length that was given.
    pub actual: usize,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes as they are.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WrongLength;
            fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
                bytes.try_into().map(Self).map_err(|_| WrongLength {
                    what: stringify!($name),
                    expected: $len,
                    actual: bytes.len(),
                })
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        cbor_as_bytes!($name, "identifier of the wrong length");
    };
}

macro_rules! random {
    ($($name:ident),*) => {$(
        impl $name {
            /// A fresh random identifier.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; Self::LEN];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }
    )*};
}

macro_rules! printable {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(f, self.0.get(..4).unwrap_or_default())?;
                f.write_str("…)")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    )*};
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

identifier! {
    /// An account: BLAKE2b-256 of its pair of public keys.
    Address, 32
}
identifier! {
    /// A device: BLAKE2b-128 of its Ed25519 signing key.
    DeviceId, 16
}
identifier! {
    /// A relay: BLAKE2b-160 of its RSA key; a point of the XOR metric.
    NodeId, 20
}
identifier! {
    /// A point of the DHT's key space: where a relay stands, or where a record belongs. See `dht`.
    Position, 20
}
identifier! {
    /// A mailbox: BLAKE2b-160 of its Ed25519 mailbox key. Says nothing about whose it is.
    MailboxId, 20
}
identifier! {
    /// A record of the directory: a key of the DHT, from the record's signing key.
    RecordKey, 20
}
identifier! {
    /// One envelope for one device: BLAKE2b-128 of its bytes.
    EnvelopeId, 16
}
identifier! {
    /// One message as people see it; exists only inside the ratchet.
    MessageId, 16
}
identifier! {
    /// Which reply block a reply came through; known to its maker and the relay that used it.
    SurbId, 16
}
identifier! {
    /// Names a client's buffer at its guard. Whoever shows it may read the buffer: a bearer secret.
    ConnectionTag, 16
}
identifier! {
    /// One ratchet session between two devices.
    SessionId, 16
}

random!(MessageId, SurbId, ConnectionTag, SessionId);
printable!(
    Address, DeviceId, NodeId, Position, MailboxId, RecordKey, EnvelopeId, MessageId, SurbId,
    SessionId
);

impl fmt::Debug for ConnectionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionTag(…)")
    }
}

impl NodeId {
    /// The XOR distance between two nodes (Kademlia §2.1), as a big-endian number: compare with `<`.
    pub fn distance(&self, other: &Self) -> [u8; 20] {
        xor(&self.0, &other.0)
    }
}

impl RecordKey {
    /// The XOR distance of a record from a node (Kademlia §2.1), as a big-endian number.
    pub fn distance(&self, node: &NodeId) -> [u8; 20] {
        xor(&self.0, &node.0)
    }
}

fn xor(a: &[u8; 20], b: &[u8; 20]) -> [u8; 20] {
    let mut distance = *a;
    distance.iter_mut().zip(b).for_each(|(d, b)| *d ^= b);
    distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn wrong_lengths_are_refused_with_both_lengths() {
        let error = NodeId::try_from([0u8; 19].as_slice()).unwrap_err();
        assert_eq!(
            error,
            WrongLength {
                what: "NodeId",
                expected: 20,
                actual: 19
            }
        );
        assert!(NodeId::try_from([0u8; 21].as_slice()).is_err());
        assert!(NodeId::try_from([0u8; 20].as_slice()).is_ok());
    }

    #[test]
    fn travels_as_a_byte_string_of_exact_length() {
        let id = DeviceId::from_bytes([7; 16]);
        let bytes = minicbor::to_vec(id).unwrap();
        assert_eq!(bytes[0], 0x50);
        assert_eq!(bytes.len(), 17);
        assert_eq!(minicbor::decode::<DeviceId>(&bytes).unwrap(), id);
        assert!(minicbor::decode::<NodeId>(&bytes).is_err());
        assert!(
            minicbor::decode::<DeviceId>(&[0x84, 1, 2, 3, 4]).is_err(),
            "arrays are refused"
        );
    }

    #[test]
    fn debug_is_short_and_display_is_whole() {
        let id = SurbId::from_bytes([0xab; 16]);
        assert_eq!(format!("{id:?}"), "SurbId(abababab…)");
        assert_eq!(id.to_string(), "ab".repeat(16));
    }

    #[test]
    fn a_connection_tag_is_never_printed() {
        let tag = ConnectionTag::from_bytes([0xab; 16]);
        assert_eq!(format!("{tag:?}"), "ConnectionTag(…)");
    }

    #[test]
    fn random_ones_differ() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        assert_ne!(MessageId::random(&mut rng), MessageId::random(&mut rng));
    }

    #[test]
    fn distance_is_a_metric_on_examples() {
        let a = NodeId::from_bytes([0b1010; 20]);
        let b = NodeId::from_bytes([0b0110; 20]);
        assert_eq!(a.distance(&b), [0b1100; 20]);
        assert_eq!(a.distance(&b), b.distance(&a));
        assert_eq!(a.distance(&a), [0; 20]);
        assert_eq!(
            RecordKey::from_bytes([0b1010; 20]).distance(&b),
            [0b1100; 20]
        );
    }
}
