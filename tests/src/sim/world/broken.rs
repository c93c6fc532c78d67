//! Builds that are broken on purpose, so that [`adversary`](crate::adversary) has something to find.

use rand_core::Rng;
use zentalk_relay::core::{Input as RelayInput, Output};
use zentalk_shared::client::store::Table;
use zentalk_shared::crypto::kem::X25519Kem;
use zentalk_shared::id::{ConnectionTag, EnvelopeId, MailboxId, MessageId};
use zentalk_shared::onion::{Class, Hop, build_request};
use zentalk_shared::rpc::{EnvelopeBytes, MailboxDescriptor, PutRequest, Request, envelope_id};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::{Bytes, from_cbor, to_cbor};
use zentalk_shared::wire::link::Handshake;
use zentalk_shared::wire::{Header, Tag, decode_frame, encode_frame};

use super::World;
use crate::adversary::byte_strings;
use crate::sim::plan::Mutation;
use crate::sim::wire::End;

/// Where the id lies in a frame.
const FRAME_ID: core::ops::Range<usize> = 16..32;

/// Packets leave in frames with the id `id`.
pub(super) fn keep_frame_id(outputs: &mut [Output], id: MessageId) {
    for output in outputs {
        if let Output::Send(_, frame) = output
            && Header::decode(frame).is_ok_and(|(header, _)| header.tag == Tag::RelayForward)
        {
            frame[FRAME_ID].copy_from_slice(id.as_bytes());
        }
    }
}

impl World {
    /// The id of a packet's frame, if relays are broken so that they keep it.
    pub(super) fn frame_id_to_keep(&self, input: &RelayInput) -> Option<MessageId> {
        match (self.plan.mutation, input) {
            (Some(Mutation::KeepFrameIds), RelayInput::Frame(_, frame)) => {
                let (header, _) = Header::decode(frame).ok()?;
                (header.tag == Tag::RelayForward).then_some(header.id)
            }
            _ => None,
        }
    }

    /// A client's handshake with the tag that it showed to its first guard, if clients are broken like that.
    pub(super) fn with_only_tag(&mut self, from: End, bytes: Vec<u8>) -> Vec<u8> {
        let (Some(Mutation::OneTagForAllGuards), End::Client(client, _)) =
            (self.plan.mutation, from)
        else {
            return bytes;
        };
        let changed = |tags: &mut std::collections::BTreeMap<usize, ConnectionTag>| {
            let frame = decode_frame(&bytes).ok()?;
            let max = Tag::Handshake.max_payload();
            let mut handshake: Handshake = from_cbor(frame.payload, max).ok()?;
            handshake.tag = Some(*tags.entry(client).or_insert(handshake.tag?));
            (frame.tag == Tag::Handshake)
                .then(|| encode_frame(Tag::Handshake, frame.id, &to_cbor(&handshake)))
        };
        changed(&mut self.only_tags).unwrap_or(bytes)
    }

    /// What a broken client sends beside a text for `to`: a put by a path that no sound client would take.
    pub(super) fn put_by_a_bad_path(&mut self, from: usize, to: usize) {
        let path: &[usize] = match self.plan.mutation {
            Some(Mutation::PutInOneHop) => &[0],
            Some(Mutation::GuardIsMember) => &[0, 1, 0],
            _ => return,
        };
        let Some((end, guard)) = self.guard_of(from) else {
            return;
        };
        let relays = [guard, (guard + 1) % self.relays.len()];
        let path: Option<Vec<Hop>> = path.iter().map(|at| self.hop(relays[*at])).collect();
        let (Some(path), Some(mailbox)) = (path, self.a_mailbox_of(to)) else {
            return;
        };
        // Of its own each time: equal ones would join those that they are for.
        let mut envelope: EnvelopeBytes = Bytes([0; ENVELOPE_LEN]);
        self.rng.fill_bytes(&mut envelope.0);
        let id: EnvelopeId = envelope_id(&envelope);
        let put = Request::Put(PutRequest {
            mailbox,
            id,
            permit: None,
            work: None,
            envelope,
        });
        let message = put.encode(MessageId::random(&mut self.rng), Class::Message);
        let payload = message.expect("a put fits");
        let packet =
            build_request::<X25519Kem>(&path, None, &payload, Class::Message, &mut self.rng);
        let frame = encode_frame(
            Tag::RelayForward,
            MessageId::random(&mut self.rng),
            &packet.expect("a path"),
        );
        self.transmit(end, frame);
    }

    fn hop(&self, relay: usize) -> Option<Hop> {
        let descriptor = self.relays[relay].descriptor(self.now)?;
        descriptor.hop::<X25519Kem>(self.now, Duration::ZERO)
    }

    /// A connection of the client, and the relay at its other end.
    fn guard_of(&self, client: usize) -> Option<(End, usize)> {
        self.wires.values().rev().find_map(|wire| match wire.ends {
            [end @ End::Client(index, _), End::Relay(relay, _)] if index == client => {
                self.ends.contains_key(&end).then_some((end, relay))
            }
            _ => None,
        })
    }

    /// The mailbox of a client.
    fn a_mailbox_of(&self, client: usize) -> Option<MailboxId> {
        let rows = self.clients[client].rows_of(Table::Meta);
        let strings = rows.iter().flat_map(|row| byte_strings(&row.value));
        let descriptors = strings.filter_map(|bytes| MailboxDescriptor::verify(&bytes).ok());
        descriptors.map(|known| known.mailbox()).next()
    }
}
