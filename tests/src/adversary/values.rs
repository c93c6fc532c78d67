//! Byte strings by which things can be recognised, found in whatever a relay sees in clear.

use std::hash::{DefaultHasher, Hash, Hasher};

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use zentalk_shared::onion::{Layout, Suite};

/// Shorter ones are equal by chance.
const SHORTEST: usize = 8;
/// Bytes at either end of a string by which it is named.
const ENDS: usize = 40;
/// Prefix of an onion header: version, suite, epoch.
const PREFIX: usize = 4;
/// MAC of an onion header.
const MAC: usize = 16;
/// First hop, reply key and expiry before a reply block's header.
const BEFORE_SURB_HEADER: usize = 20 + 32 + 4;
/// Ids, keys and MACs are shorter, and are no CBOR but by chance.
const SHORTEST_CBOR: usize = 64;
/// CBOR in byte strings in CBOR: as deep as records and requests go, and some.
const DEEPEST: usize = 6;

/// A byte string, named by its hash: 64 bits, for a million strings a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Value(u64);

impl Value {
    /// Of bytes. Of long ones the ends stand for all: where they are equal something is wrong already.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match (bytes.first_chunk::<ENDS>(), bytes.last_chunk::<ENDS>()) {
            (Some(first), Some(last)) => Self::named("", (bytes.len(), first, last)),
            _ => Self::named("", bytes),
        }
    }

    /// Of something that is no byte string of the protocol, such as a connection.
    pub(super) fn named(kind: &str, what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        kind.hash(&mut hasher);
        what.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The parts of a packet that other packets could have, too.
pub(super) fn packet(packet: &[u8]) -> Vec<Value> {
    let header_len = layout().header();
    let (header, body) = packet.split_at(header_len.min(packet.len()));
    let mut values = onion_header(header);
    values.push(Value::of(body));
    values
}

/// The ciphertext of a packet, by which its flow is known.
pub(super) fn ciphertext(packet: &[u8]) -> Value {
    let end = (PREFIX + layout().ciphertext()).min(packet.len());
    Value::of(&packet[PREFIX.min(end)..end])
}

fn onion_header(header: &[u8]) -> Vec<Value> {
    let rest = header.get(PREFIX..).unwrap_or_default();
    let (ciphertext, rest) = rest.split_at(layout().ciphertext().min(rest.len()));
    let (mac, routing) = rest.split_at(MAC.min(rest.len()));
    vec![Value::of(ciphertext), Value::of(mac), Value::of(routing)]
}

/// The parts of a reply block.
pub(super) fn surb(surb: &[u8]) -> Vec<Value> {
    let (before, header) = surb.split_at(BEFORE_SURB_HEADER.min(surb.len()));
    let mut values = onion_header(header);
    values.push(Value::of(before.get(20..52).unwrap_or_default()));
    values
}

/// The ciphertext of a reply block's header: the reply is a packet with that header.
pub(super) fn surb_ciphertext(surb: &[u8]) -> Value {
    ciphertext(surb.get(BEFORE_SURB_HEADER..).unwrap_or_default())
}

/// All byte strings in CBOR, those in CBOR in byte strings among them, and the parts of reply blocks.
pub(super) fn body(bytes: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    for string in byte_strings(bytes) {
        values.push(Value::of(&string));
        if string.len() == layout().surb() {
            values.extend(surb(&string));
        }
    }
    values
}

/// All byte strings of at least 8 bytes in CBOR, those in CBOR in byte strings among them. What is no CBOR has none.
pub fn byte_strings(bytes: &[u8]) -> Vec<Vec<u8>> {
    Found::of(bytes).strings
}

/// All numbers in CBOR, that in byte strings included, that are too large to be counts of anything: times, mostly.
pub(super) fn numbers(bytes: &[u8]) -> Vec<u64> {
    Found::of(bytes).numbers
}

#[derive(Debug, Default)]
struct Found {
    strings: Vec<Vec<u8>>,
    numbers: Vec<u64>,
}

impl Found {
    fn of(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let _no_cbor = found.collect(bytes, DEEPEST);
        found
    }

    fn collect(&mut self, bytes: &[u8], depth: usize) -> Result<(), Error> {
        let mut decoder = Decoder::new(bytes);
        let mut inside = Vec::new();
        while decoder.position() < bytes.len() {
            match decoder.datatype()? {
                Type::Bytes => {
                    let string = decoder.bytes()?;
                    if string.len() >= SHORTEST {
                        inside.push(string);
                    }
                }
                Type::U64 => self.numbers.push(decoder.u64()?),
                // Their items follow: all of them, in order, are what is wanted.
                Type::Map => drop(decoder.map()?),
                Type::Array => drop(decoder.array()?),
                _ => decoder.skip()?,
            }
        }
        for string in inside {
            self.strings.push(string.to_vec());
            let may_be_cbor = matches!(string.first(), Some(0x80..=0xbf));
            if depth > 0 && may_be_cbor && string.len() > SHORTEST_CBOR {
                let mut deeper = Self::default();
                if deeper.collect(string, depth - 1).is_ok() {
                    self.strings.append(&mut deeper.strings);
                    self.numbers.append(&mut deeper.numbers);
                }
            }
        }
        Ok(())
    }
}

/// Runs are of X25519, which everybody prefers.
const fn layout() -> Layout {
    Layout::of_suite(Suite::X25519)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_in_strings_are_found_and_short_ones_are_not() {
        // {0: h'82 41 01 58 48 07…', 1: 7}: inside it, [h'01', 72 times h'07'].
        let inner = [&[0x82, 0x41, 1, 0x58, 72][..], &[7; 72]].concat();
        let outer = [&[0xa2, 0x00, 0x58, 77][..], &inner, &[0x01, 0x07]].concat();
        assert_eq!(byte_strings(&outer), [inner, vec![7; 72]]);
    }

    #[test]
    fn numbers_in_strings_are_found_and_small_ones_are_not() {
        // [h'82 1b … 58 48 07…', 7]: inside it, [2^40, 72 times h'07'].
        let large = [0x1b, 0, 0, 1, 0, 0, 0, 0, 0];
        let inner = [&[0x82][..], &large, &[0x58, 72], &[7; 72]].concat();
        let outer = [&[0x82, 0x58, 84][..], &inner, &[0x07]].concat();
        assert_eq!(numbers(&outer), [1 << 40]);
    }

    #[test]
    fn what_is_no_cbor_has_no_strings() {
        assert!(byte_strings(&[0x5f; 40]).is_empty());
    }
}
