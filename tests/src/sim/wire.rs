//! Links in virtual time: two ends, a latency each way, order kept but for onion packets.

use zentalk_relay::core::ConnId;
use zentalk_shared::client::LinkId;
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::{Header, Tag};

/// One end of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// A client's link.
    Client(usize, LinkId),
    /// A relay's connection.
    Relay(usize, ConnId),
}

/// A wire between two ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    /// Who connected, and who accepted.
    pub(super) ends: [End; 2],
    /// The last arrival at each end: what is in order does not overtake it.
    pub(super) last: [Timestamp; 2],
}

impl Wire {
    /// The end at the other side.
    pub(super) fn other(&self, end: End) -> Option<End> {
        self.ends.into_iter().find(|other| *other != end)
    }

    /// The index of an end.
    pub(super) fn side(&self, end: End) -> Option<usize> {
        self.ends.iter().position(|other| *other == end)
    }
}

/// Whether a frame may be lost or overtaken: onion packets may, as relays drop and delay them.
pub(super) fn is_packet(frame: &[u8]) -> bool {
    Header::decode(frame)
        .is_ok_and(|(header, _)| matches!(header.tag, Tag::RelayForward | Tag::Deliver))
}
