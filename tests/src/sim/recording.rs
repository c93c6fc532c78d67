//! What somebody sees of a run who watches every wire, and who has everybody's stored secrets.
//!
//! One line an observation, `what field …`, bytes in hexadecimal, times in milliseconds since the epoch:
//!
//! ```text
//! relay   INDEX NODE                    client INDEX ADDRESS CODE
//! arrived TIME RELAY FRAME              an onion packet reaches a relay that runs
//! sent    TIME RELAY RECEIVER FRAME     a relay sends an onion packet, or a delivery
//! joined  TIME RELAY OTHER              a relay has a connection to a client or relay, which may still have to prove itself
//! left    TIME RELAY OTHER              the relay learns that a connection is gone, or closes it
//! row     CLIENT TABLE VALUE            a client stores a record that holds secrets
//! onion   RELAY RECORD                  the onion keys of a relay, as it stores them
//! shown   CLIENT FROM ID SENT TEXT      a text that a client received, as its user sees it
//! state   CLIENT TO ID STATE            where a text that a client sent is, as its user sees it
//! ```
//! A receiver, or other, is `r` or `c` and an index; a frame that a relay sent arrives as `=` and its message id. docs/interop checks a recording against PROTOCOL.md.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use zentalk_shared::client::store::{Table, Write as RowWrite};
use zentalk_shared::client::view::{Direction, MessageState, MessageView};
use zentalk_shared::id::{Address, NodeId};
use zentalk_shared::identity::ContactCode;
use zentalk_shared::time::Timestamp;

use super::wire::{End, is_packet};

/// Lines, in the order of what happened.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    text: String,
    /// Message ids of the frames that relays sent.
    sent: BTreeSet<Vec<u8>>,
}

impl Recording {
    /// The lines.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.text, "{line}");
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }

    pub(super) fn relay(&mut self, index: usize, node: NodeId) {
        self.line(format_args!("relay {index} {}", hex(node.as_bytes())));
    }

    pub(super) fn client(&mut self, index: usize, address: Address, code: &ContactCode) {
        let address = hex(address.as_bytes());
        self.line(format_args!("client {index} {address} {code}"));
    }

    pub(super) fn arrived(&mut self, now: Timestamp, relay: usize, frame: &[u8]) {
        if is_packet(frame) {
            let (now, id) = (now.as_ms(), message_id(frame));
            let frame = match self.sent.contains(id) {
                true => format!("={}", hex(id)),
                false => hex(frame),
            };
            self.line(format_args!("arrived {now} {relay} {frame}"));
        }
    }

    pub(super) fn sent(&mut self, now: Timestamp, relay: usize, to: End, frame: &[u8]) {
        if is_packet(frame) {
            self.sent.insert(message_id(frame).to_vec());
            let (now, frame) = (now.as_ms(), hex(frame));
            let to = name(to);
            self.line(format_args!("sent {now} {relay} {to} {frame}"));
        }
    }

    pub(super) fn joined(&mut self, now: Timestamp, relay: usize, other: End) {
        self.line(format_args!(
            "joined {} {relay} {}",
            now.as_ms(),
            name(other)
        ));
    }

    pub(super) fn left(&mut self, now: Timestamp, relay: usize, other: End) {
        self.line(format_args!("left {} {relay} {}", now.as_ms(), name(other)));
    }

    /// Records of the tables that hold secrets.
    pub(super) fn rows(&mut self, client: usize, writes: &[RowWrite]) {
        for write in writes {
            let RowWrite::Put(row) = write else { continue };
            let table = row.key.table;
            if matches!(table, Table::Meta | Table::Session | Table::PreKey) {
                let value = hex(&row.value);
                self.line(format_args!("row {client} {table:?} {value}"));
            }
        }
    }

    pub(super) fn onion_keys(&mut self, relay: usize, record: &[u8]) {
        self.line(format_args!("onion {relay} {}", hex(record)));
    }

    /// A message as it stands in a conversation at the end.
    pub(super) fn message(&mut self, client: usize, view: &MessageView) {
        let (peer, id) = (hex(view.address.as_bytes()), hex(view.id.as_bytes()));
        match view.direction {
            Direction::In => {
                let (sent, text) = (view.sent.as_ms(), hex(view.text.as_bytes()));
                self.line(format_args!("shown {client} {peer} {id} {sent} {text}"));
            }
            Direction::Out(state) => {
                let state = match state {
                    MessageState::Sending(_) => "sending",
                    MessageState::Sent { .. } => "sent",
                    MessageState::Delivered(_) => "delivered",
                    MessageState::Read(_) => "read",
                    MessageState::Failed(_) => "failed",
                };
                self.line(format_args!("state {client} {peer} {id} {state}"));
            }
            _ => {}
        }
    }
}

fn name(end: End) -> String {
    match end {
        End::Client(index, _) => format!("c{index}"),
        End::Relay(index, _) => format!("r{index}"),
    }
}

/// The message id of a frame, which no other frame on a link has.
fn message_id(frame: &[u8]) -> &[u8] {
    frame.get(16..32).unwrap_or_default()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
    text
}
