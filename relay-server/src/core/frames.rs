//! Frames on open links: who may send what.
//!
//! | from | frames |
//! |---|---|
//! | everybody | Ping, Pong, Error, DirectoryGet |
//! | clients | RelayForward, Ack |
//! | relays | RelayForward, Directory, Replicate…, Swarm…, Dht… |

use zentalk_shared::dht::is_dht;
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::rpc::ReplicateTombstoneAck;
use zentalk_shared::wire::codec::from_cbor;
use zentalk_shared::wire::link::{Ack, LinkErrorCode};
use zentalk_shared::wire::{Frame, Tag, encode_frame};

use super::io::{ConnId, Output};
use super::relay::{Relay, Step};

/// A directory costs as much as this many frames.
const DIRECTORY_COST: u32 = 20;

impl Relay {
    pub(super) fn on_client_frame(
        &mut self,
        conn: ConnId,
        tag: ConnectionTag,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        match frame.tag {
            Tag::RelayForward => self.on_packet(Some(conn), frame.payload.to_vec(), step),
            Tag::Ack => self.tags.forget_counted(&tag, body::<Ack>(frame)?.received),
            _ => return self.on_common_frame(conn, frame, step),
        }
        Ok(())
    }

    pub(super) fn on_relay_frame(
        &mut self,
        conn: ConnId,
        node: NodeId,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        match frame.tag {
            Tag::RelayForward => self.on_packet(Some(conn), frame.payload.to_vec(), step),
            Tag::ReplicatePut => {
                self.on_replicate_put(conn, node, frame.id, body(frame)?, step)?;
            }
            Tag::ReplicatePutAck => self.on_replicate_put_ack(node, frame.id, body(frame)?, step),
            Tag::ReplicateTombstone => {
                self.on_replicate_tombstone(conn, frame.id, &body(frame)?, step)?;
            }
            Tag::ReplicateTombstoneAck => {
                body::<ReplicateTombstoneAck>(frame)?;
                self.on_replicate_tombstone_ack(node, frame.id, step);
            }
            Tag::SwarmSummary => {
                self.on_swarm_summary(conn, node, frame.id, body(frame)?, step);
            }
            Tag::SwarmIds => self.on_swarm_ids(conn, node, frame.id, body(frame)?, step),
            Tag::SwarmWant => self.on_swarm_want(conn, node, &body(frame)?, step),
            Tag::SwarmDescriptor => self.on_swarm_descriptor(conn, &body(frame)?, step)?,
            Tag::Directory => self.on_directory(conn, node, body(frame)?, step)?,
            tag if is_dht(tag) => self.on_dht_frame(node, frame, step)?,
            _ => return self.on_common_frame(conn, frame, step),
        }
        Ok(())
    }

    /// What everybody may send.
    pub(super) fn on_common_frame(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        match frame.tag {
            Tag::Ping => {
                let pong = encode_frame(Tag::Pong, frame.id, frame.payload);
                self.output(Output::Send(conn, pong));
            }
            Tag::Pong | Tag::Error => {}
            Tag::DirectoryGet => {
                self.charge(conn, DIRECTORY_COST, step)?;
                self.on_directory_get(conn, body(frame)?, step);
            }
            Tag::RelayForward
            | Tag::ReplicatePut
            | Tag::ReplicatePutAck
            | Tag::ReplicateTombstone
            | Tag::ReplicateTombstoneAck
            | Tag::SwarmSummary
            | Tag::SwarmIds
            | Tag::SwarmWant
            | Tag::SwarmDescriptor
            | Tag::Directory => return Err(LinkErrorCode::Unauthenticated),
            tag if is_dht(tag) => return Err(LinkErrorCode::Unauthenticated),
            _ => return Err(LinkErrorCode::Malformed),
        }
        Ok(())
    }
}

/// The body of a frame.
pub(super) fn body<'b, T: minicbor::Decode<'b, ()>>(frame: &Frame<'b>) -> Result<T, LinkErrorCode> {
    from_cbor(frame.payload, frame.tag.max_payload()).map_err(|_| LinkErrorCode::Malformed)
}
