//! Where every byte of an onion lies (PROTOCOL.md §1, §5).
//!
//! All sizes follow from one number, the length `ct` of the suite's KEM ciphertext, by the formulas of
//! [`crate::wire::budget`]. Offsets appear in this file only: the rest of the module takes buffers apart with the views below, which hand out
//! sub-slices or `None` and so cannot panic on a packet of the wrong length.

use crate::crypto::kem::{Kem, Suite};
use crate::wire::budget;

pub use crate::wire::budget::MAX_HOPS;
pub(super) use crate::wire::budget::{
    BODY_CHECK_LEN as INTEGRITY_LEN, COMMAND_LEN, ONION_MAC_LEN as MAC_LEN, PREFIX_LEN,
};

/// How much a packet carries. Every packet of a class and suite has the same length at every hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 8192 bytes: everything that is sent while people write to each other.
    Message,
    /// 28672 bytes: backlogs, directory parts, media.
    Bulk,
}

impl Class {
    /// Both classes.
    pub const ALL: [Self; 2] = [Self::Message, Self::Bulk];

    /// Bytes that a body of this class carries for the application.
    pub const fn capacity(self) -> usize {
        match self {
            Self::Message => budget::CAPACITY_MESSAGE,
            Self::Bulk => budget::CAPACITY_BULK,
        }
    }
}

/// The sizes of one suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    ct: usize,
}

impl Layout {
    /// The sizes of the suite `K`.
    pub const fn of<K: Kem>() -> Self {
        Self::with_ciphertext_len(K::CIPHERTEXT_LEN)
    }

    /// The sizes of a suite that is known at run time only.
    pub const fn of_suite(suite: Suite) -> Self {
        Self::with_ciphertext_len(suite.ciphertext_len())
    }

    /// The sizes of a suite whose KEM ciphertext has `ct` bytes.
    pub const fn with_ciphertext_len(ct: usize) -> Self {
        Self { ct }
    }

    /// KEM ciphertext.
    pub const fn ciphertext(self) -> usize {
        self.ct
    }

    /// One hop's share of the routing block: command and the next hop's ciphertext.
    pub const fn slot(self) -> usize {
        COMMAND_LEN + self.ct
    }

    /// Routing block: four commands, three ciphertexts (the first one lies before it).
    pub const fn routing(self) -> usize {
        budget::routing_len(self.ct)
    }

    /// Header: prefix, ciphertext, MAC, routing block.
    pub const fn header(self) -> usize {
        budget::onion_header_len(self.ct)
    }

    /// Reply block.
    pub const fn surb(self) -> usize {
        budget::surb_len(self.ct)
    }

    /// Body: integrity zeros, reply block or zeros, capacity.
    pub const fn body(self, class: Class) -> usize {
        budget::body_len(self.ct, class.capacity())
    }

    /// Whole packet.
    pub const fn packet(self, class: Class) -> usize {
        budget::packet_len(self.ct, class.capacity())
    }

    /// The class of a packet, by its length: the only thing that its length tells.
    pub fn class_of_packet(self, len: usize) -> Option<Class> {
        Class::ALL
            .into_iter()
            .find(|class| self.packet(*class) == len)
    }

    /// The class of a body, by its length.
    pub fn class_of_body(self, len: usize) -> Option<Class> {
        Class::ALL
            .into_iter()
            .find(|class| self.body(*class) == len)
    }

    /// A header, taken apart.
    pub(super) fn header_of_mut(self, header: &mut [u8]) -> Option<HeaderMut<'_>> {
        let (prefix, rest) = header.split_first_chunk_mut()?;
        let (ciphertext, rest) = rest.split_at_mut_checked(self.ct)?;
        let (mac, routing) = rest.split_first_chunk_mut()?;
        (routing.len() == self.routing()).then_some(HeaderMut {
            prefix,
            ciphertext,
            mac,
            routing,
        })
    }

    /// A packet, taken apart into header and body; `None` unless the length is that of a class.
    pub(super) fn packet_of_mut(self, packet: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
        self.class_of_packet(packet.len())?;
        packet.split_at_mut_checked(self.header())
    }

    /// A decrypted body, taken apart; `None` unless the length is that of a class.
    pub(super) fn body_of(self, body: &[u8]) -> Option<BodyView<'_>> {
        self.class_of_body(body.len())?;
        let (integrity, rest) = body.split_first_chunk()?;
        let (surb, _capacity) = rest.split_at_checked(self.surb())?;
        Some(BodyView { integrity, surb })
    }

    /// Bytes of a body before its capacity.
    pub(super) const fn body_overhead(self) -> usize {
        INTEGRITY_LEN + self.surb()
    }
}

/// `version ‖ suite ‖ epoch`, ciphertext, MAC, routing block.
pub(super) struct HeaderMut<'a> {
    pub(super) prefix: &'a mut [u8; PREFIX_LEN],
    pub(super) ciphertext: &'a mut [u8],
    pub(super) mac: &'a mut [u8; MAC_LEN],
    pub(super) routing: &'a mut [u8],
}

/// The part of a decrypted body before its capacity.
pub(super) struct BodyView<'a> {
    pub(super) integrity: &'a [u8; INTEGRITY_LEN],
    pub(super) surb: &'a [u8],
}

/// Takes fields off the front of a fixed layout.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    /// Whatever is left.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Puts fields at the front of a fixed layout. A field that does not fit is cut: the layouts written
/// with it are all of constant length, and their tests would show it.
pub(super) struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// Writes `field` and moves past it.
    pub(super) fn put(self, field: &[u8]) -> Self {
        let fits = field.len().min(self.0.len());
        let (head, rest) = self.0.split_at_mut(fits);
        head.iter_mut()
            .zip(field)
            .for_each(|(to, from)| *to = *from);
        Self(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_byte_budget() {
        for (ct, header, message, bulk) in [
            (32, 404, 9088, 29568),
            (1120, 4756, 17792, 38272),
            (512, 2324, 12928, 33408),
        ] {
            let layout = Layout::with_ciphertext_len(ct);
            assert_eq!(layout.header(), header);
            assert_eq!(layout.header(), 276 + 4 * ct);
            assert_eq!(layout.slot(), 64 + ct);
            assert_eq!(layout.surb(), header + 56);
            assert_eq!(layout.packet(Class::Message), message);
            assert_eq!(layout.packet(Class::Bulk), bulk);
            assert_eq!(
                layout.routing(),
                (MAX_HOPS - 1) * layout.slot() + COMMAND_LEN
            );
        }
    }

    #[test]
    fn fault_14_a_length_tells_the_class_and_nothing_else() {
        let layout = Layout::with_ciphertext_len(32);
        let known: Vec<_> = (0..40_000)
            .filter_map(|len| layout.class_of_packet(len).map(|c| (len, c)))
            .collect();
        assert_eq!(known, [(9088, Class::Message), (29568, Class::Bulk)]);
    }

    #[test]
    fn views_cover_a_header_and_refuse_other_lengths() {
        let layout = Layout::with_ciphertext_len(32);
        let bytes: Vec<u8> = (0..layout.header()).map(|i| i as u8).collect();
        let mut copy = bytes.clone();
        let view = layout.header_of_mut(&mut copy).unwrap();
        let joined = [
            &view.prefix[..],
            view.ciphertext,
            &view.mac[..],
            view.routing,
        ]
        .concat();
        assert_eq!(joined, bytes);
        for len in [
            0,
            3,
            4,
            36,
            51,
            52,
            layout.header() - 1,
            layout.header() + 1,
        ] {
            assert!(layout.header_of_mut(&mut vec![0; len]).is_none(), "{len}");
        }
    }

    #[test]
    fn a_writer_cuts_what_does_not_fit() {
        let mut bytes = [0; 3];
        let _ = Writer::new(&mut bytes).put(&[1]).put(&[2, 3, 4]).put(&[5]);
        assert_eq!(bytes, [1, 2, 3]);
    }
}
