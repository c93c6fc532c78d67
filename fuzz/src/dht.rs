//! The DHT: bodies, persisted tables, and a whole node under anybody's messages.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use zentalk_shared::dht::{
    AdmitAll, Contact, DialBack, K, Network, Node, NodeConfig, Output, Peer, RecordId, RecordKind,
    Reply, Request, SignedRecords, Verified, decode_table,
};
use zentalk_shared::id::{MessageId, NodeId, Position, RecordKey};
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

const ID: MessageId = MessageId::from_bytes([0xA5; 16]);
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// The first byte says which message the rest is.
pub(crate) fn message(data: &[u8]) {
    let Some((frame, _)) = frame_of(data, ID) else {
        return;
    };
    let Ok(frame) = decode_frame(&frame) else {
        return;
    };
    if let Ok(request) = Request::decode(&frame) {
        let again = request.encode(ID);
        let again = decode_frame(&again).map(|frame| Request::decode(&frame));
        assert_eq!(again, Ok(Ok(request)));
    }
    if let Ok(reply) = Reply::decode(&frame) {
        let again = reply.encode(ID);
        let again = decode_frame(&again).map(|frame| Reply::decode(&frame));
        assert_eq!(again, Ok(Ok(reply)));
    }
}

/// The persisted table.
pub(crate) fn table(data: &[u8]) {
    if let Ok(contacts) = decode_table(data) {
        for contact in contacts {
            assert_eq!(
                *contact.position(),
                contact.network().position(&contact.node())
            );
        }
    }
}

/// A relay that is asked, answered and left waiting by anybody: steps of a kind byte and what belongs to it.
pub(crate) fn node(data: &[u8]) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut now = NOW;
    let mut node = Node::new(
        contact(0),
        NodeConfig::default(),
        SignedRecords,
        AdmitAll,
        now,
    );
    let mut asked: Vec<(NodeId, MessageId)> = Vec::new();
    let mut rest = data;
    while let Some((kind, after)) = rest.split_first() {
        rest = after;
        let who = rest.first().copied().unwrap_or(0) % 32;
        match kind % 8 {
            0 => node.handle_verified(&verified(who), now, &mut rng),
            1 => node.handle_unreachable(&contact(who), now, &mut rng),
            2 => {
                now += Duration::from_secs(u64::from(who) * 30);
                node.handle_timeout(now, &mut rng);
            }
            3 => drop(node.find_value(
                RecordId::account(RecordKey::from_bytes([who; 20])),
                now,
                &mut rng,
            )),
            4 => drop(node.publish(RecordKind::Account, rest.to_vec(), None, now, &mut rng)),
            5 => drop(node.crawl(now, &mut rng)),
            // An answer to something that was asked, and anything at all.
            6 => {
                let (from, id) = asked.pop().unwrap_or((contact(who).node(), ID));
                rest = give(&mut node, &Peer::Linked(from), id, rest, now, &mut rng);
            }
            _ => {
                rest = give(
                    &mut node,
                    &Peer::Verified(verified(who)),
                    ID,
                    rest,
                    now,
                    &mut rng,
                )
            }
        }
        perform(&mut node, &mut asked, now, &mut rng);
    }
    assert!(node.table().len() <= 32 && node.store().len() <= 1000);
    let nearest = node.table().nearest(&Position::from_bytes([1; 20]), K);
    assert!(nearest.len() <= K);
}

type FuzzedNode = Node<SignedRecords, AdmitAll>;

fn give<'a>(
    node: &mut FuzzedNode,
    peer: &Peer,
    id: MessageId,
    data: &'a [u8],
    now: Timestamp,
    rng: &mut ChaCha8Rng,
) -> &'a [u8] {
    let Some((frame, rest)) = frame_of(data, id) else {
        return &[];
    };
    if let Ok(frame) = decode_frame(&frame) {
        let _ = node.handle_frame(peer, &frame, now, rng);
    }
    rest
}

fn perform(
    node: &mut FuzzedNode,
    asked: &mut Vec<(NodeId, MessageId)>,
    now: Timestamp,
    rng: &mut ChaCha8Rng,
) {
    let mut outputs = 0;
    while let Some(output) = node.poll() {
        outputs += 1;
        assert!(outputs < 10_000, "one input, endless work");
        match output {
            Output::Ask(to, frame) => {
                if let Ok(frame) = decode_frame(&frame) {
                    asked.push((to.node(), frame.id));
                }
            }
            Output::Write(ticket, ..) => node.handle_written(ticket, true, now, rng),
            Output::Read(ticket, _) => node.handle_read(ticket, None, now, rng),
            _ => {}
        }
    }
}

/// tag u8 ‖ length u8 ‖ body, as a frame; and what follows.
fn frame_of(data: &[u8], id: MessageId) -> Option<(Vec<u8>, &[u8])> {
    let (head, rest) = data.split_first_chunk::<2>()?;
    let tag = Tag::try_from(0x30 + u16::from(head[0] % 8)).ok()?;
    let (body, rest) = rest.split_at(usize::from(head[1]).min(rest.len()));
    let body = &body[..body.len().min(tag.max_payload())];
    Some((encode_frame(tag, id, body), rest))
}

fn contact(n: u8) -> Contact {
    let url = RelayUrl::parse("wss://relay.example/v1").expect("a URL");
    Contact::new(NodeId::from_bytes([n; 20]), Network::V4([20, 0, n]), &url)
}

fn verified(n: u8) -> Verified {
    let found = DialBack {
        node: contact(n).node(),
        address: [20, 0, n, 1].into(),
        port: 443,
    };
    Verified::check(contact(n), found, false).expect("a true claim")
}
