//! Bodies on the wire.

use proptest::prelude::*;

use super::support::{account, contact};
use crate::dht::{
    Contacts, Cost, DhtRecordBytes, FindNodeRequest, FindValueRequest, MessageError, NodesReply,
    PingRequest, PongReply, RecordKind, Reply, Request, StoreOutcome, StoreRequest, StoredReply,
    ValueReply, is_dht,
};
use crate::id::{MessageId, Position, RecordKey};
use crate::wire::codec::{BoundedBytes, CodecError};
use crate::wire::{Tag, decode_frame, encode_frame};

const ID: MessageId = MessageId::from_bytes([0xA5; 16]);

pub(super) fn requests() -> Vec<Request> {
    let record = DhtRecordBytes::new(account(1, 7)).unwrap();
    let proof = Some(BoundedBytes::new([9; 24]).unwrap());
    vec![
        Request::Ping(PingRequest {}),
        Request::Store(StoreRequest {
            kind: RecordKind::Account,
            record,
            proof,
        }),
        Request::FindNode(FindNodeRequest {
            target: Position::from_bytes([7; 20]),
        }),
        Request::FindValue(FindValueRequest {
            kind: RecordKind::Relay,
            key: RecordKey::from_bytes([8; 20]),
        }),
    ]
}

pub(super) fn replies() -> Vec<Reply> {
    let contacts = Contacts::new((1..=2).map(contact).collect()).unwrap();
    let record = DhtRecordBytes::new(account(1, 7)).unwrap();
    let stored = StoredReply {
        outcome: StoreOutcome::Costs,
        sequence: Some(7),
        cost: Some(Cost(100)),
    };
    vec![
        Reply::Pong(PongReply {}),
        Reply::Stored(stored),
        Reply::Nodes(NodesReply {
            contacts: contacts.clone(),
        }),
        Reply::Value(ValueReply {
            record,
            contacts,
            proof: Some(BoundedBytes::new([9; 24]).unwrap()),
        }),
    ]
}

#[test]
fn every_message_survives_the_round_trip() {
    for request in requests() {
        let frame = request.encode(ID);
        let frame = decode_frame(&frame).unwrap();
        assert_eq!((frame.id, Request::decode(&frame)), (ID, Ok(request)));
        assert_eq!(
            Reply::decode(&frame),
            Err(MessageError::Unexpected(frame.tag))
        );
    }
    for reply in replies() {
        let frame = reply.encode(ID);
        let frame = decode_frame(&frame).unwrap();
        assert_eq!((frame.id, Reply::decode(&frame)), (ID, Ok(reply)));
        assert_eq!(
            Request::decode(&frame),
            Err(MessageError::Unexpected(frame.tag))
        );
    }
}

#[test]
fn the_range_of_tags_is_the_dhts() {
    let ours = Tag::ALL.iter().filter(|tag| is_dht(**tag));
    assert_eq!(ours.clone().count(), requests().len() + replies().len());
    assert!(
        ours.clone()
            .all(|tag| (0x30..=0x3F).contains(&(*tag as u16)))
    );
    assert!(
        Tag::ALL
            .iter()
            .all(|tag| is_dht(*tag) == (0x30..=0x3F).contains(&(*tag as u16)))
    );
}

#[test]
fn a_reply_has_twenty_contacts_at_most() {
    let twenty_one =
        crate::wire::codec::BoundedList::<_, 21>::new((1..=21).map(contact).collect()).unwrap();
    let mut body = vec![0xA1, 0x00];
    body.extend(crate::wire::codec::to_cbor(&twenty_one));
    let frame = encode_frame(Tag::DhtNodes, ID, &body);
    let result = Reply::decode(&decode_frame(&frame).unwrap());
    assert_eq!(result, Err(MessageError::Body(CodecError::Malformed)));
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(tag in 0x30u16..0x38, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let tag = Tag::try_from(tag).unwrap();
        let frame = encode_frame(tag, ID, &body[..body.len().min(tag.max_payload())]);
        let frame = decode_frame(&frame).unwrap();
        if let Ok(request) = Request::decode(&frame) {
            let again = request.encode(ID);
            prop_assert_eq!(Request::decode(&decode_frame(&again).unwrap()), Ok(request));
        }
        if let Ok(reply) = Reply::decode(&frame) {
            let again = reply.encode(ID);
            prop_assert_eq!(Reply::decode(&decode_frame(&again).unwrap()), Ok(reply));
        }
    }
}
