//! Links: how relays find each other, who is let in, and what ends a connection.

use zentalk_shared::id::{ConnectionTag, MessageId, NodeId};
use zentalk_shared::onion::{LinkSide, LinkTranscript};
use zentalk_shared::rpc::{DirectorySyncRequest, Reply, Request};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{BoundedList, Bytes, from_cbor};
use zentalk_shared::wire::link::{
    Directory, DirectoryGet, Handshake, HandshakeAck, LinkError, LinkErrorCode, LinkProof, Role,
};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

use super::net::Net;
use super::people::{Caller, frame, hello};
use crate::core::store::Quotas;
use crate::core::{Input, Limits, Metric};

/// The code of the error that a client has received last.
pub(super) fn error_code(net: &mut Net, client: u64) -> Option<LinkErrorCode> {
    let inbox = net.take_inbox(client);
    let frame = decode_frame(inbox.last()?).unwrap();
    (frame.tag == Tag::Error).then(|| from_cbor::<LinkError>(frame.payload, 256).unwrap().code)
}

pub(super) fn visitor(net: &mut Net, index: usize) -> u64 {
    let socket = net.connect(index);
    net.send(socket, hello(Role::Visitor, None, None));
    net.take_inbox(socket);
    socket
}

#[test]
fn relays_that_connect_to_each_other_keep_one_link_per_pair() {
    let mut net = Net::new(5);
    net.advance(Duration::from_secs(10));
    for a in 0..5 {
        assert_eq!(net.relay(a).linked_relays(), 4);
        assert_eq!(net.relay(a).known_relays(), 5);
        assert_eq!(net.relay(a).connections(), [0, 4, 0]);
        for b in (0..5).filter(|b| *b != a) {
            assert_eq!(net.wires_between(a, b), 1);
        }
    }
}

#[test]
fn relays_that_dial_at_the_same_moment_agree_on_one_link_and_lose_nothing() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    (0..2).for_each(|index| net.start(index));
    net.settle();
    (0..2).for_each(|index| net.handle_only(index, Input::Timer));
    net.settle();
    assert_eq!(
        net.wires_between(0, 1),
        2,
        "the one that was not chosen is read to its end"
    );
    for guard in 0..2 {
        let mut caller = Caller::at(&mut net, guard);
        let known = Bytes([0; 32]);
        let request = Request::DirectorySync(DirectorySyncRequest {
            known,
            offset: 0,
            since: None,
        });
        assert!(
            caller
                .call(&mut net, &[guard, 1 - guard], &request)
                .is_some()
        );
    }
    net.advance(Duration::from_secs(5));
    assert_eq!(net.wires_between(0, 1), 1);
    assert_eq!(
        [net.relay(0).linked_relays(), net.relay(1).linked_relays()],
        [1, 1]
    );
    net.advance(Duration::from_mins(5));
    assert_eq!(net.wires_between(0, 1), 1, "and nobody dials again");
}

#[test]
fn a_relay_that_was_away_is_found_again_and_frames_wait_for_it() {
    let mut net = Net::new(3);
    let mut caller = Caller::at(&mut net, 0);
    net.kill(2, 0);
    net.settle();
    assert_eq!(net.relay(0).linked_relays(), 1);
    let known = Bytes([0; 32]);
    let request = Request::DirectorySync(DirectorySyncRequest {
        known,
        offset: 0,
        since: None,
    });
    caller.ask(&mut net, &[0, 2], &request);
    assert!(caller.replies(&mut net).is_empty());
    net.start(2);
    net.advance(Duration::from_secs(20));
    assert_eq!(net.relay(0).linked_relays(), 2);
    assert_eq!(net.wires_between(0, 2), 1);
    assert!(matches!(
        caller.replies(&mut net)[..],
        [Reply::DirectorySync(_)]
    ));
}

#[test]
fn a_relay_is_dialed_again_and_again_while_it_is_away() {
    let mut net = Net::new(2);
    net.kill(1, 0);
    net.advance(Duration::from_hours(1));
    net.start(1);
    net.advance(Duration::from_mins(1));
    assert_eq!(net.relay(0).linked_relays(), 1);
}

#[test]
fn fault_12_relays_have_names_of_their_own_and_three_hops_are_three() {
    let mut net = Net::new(4);
    let names: std::collections::BTreeSet<NodeId> = (0..4).map(|index| net.id(index)).collect();
    assert_eq!(names.len(), 4);
    assert!(!names.contains(&NodeId::from_bytes([0; 20])));
    let mut caller = Caller::at(&mut net, 0);
    let known = Bytes([0; 32]);
    let request = Request::DirectorySync(DirectorySyncRequest {
        known,
        offset: 0,
        since: None,
    });
    let before: Vec<u64> = (0..4)
        .map(|index| net.count(index, Metric::Forwarded))
        .collect();
    let reply = caller.call(&mut net, &[0, 1, 2], &request);
    assert!(matches!(reply, Some(Reply::DirectorySync(sync)) if sync.total == 4));
    let forwarded = |index: usize| net.count(index, Metric::Forwarded) - before[index];
    // Out: 0 and 1 forward, 2 serves. Back: 2 sends to 1, 1 forwards to 0, 0 delivers.
    assert_eq!(
        [forwarded(0), forwarded(1), forwarded(2), forwarded(3)],
        [1, 2, 1, 0]
    );
    assert_eq!(net.count(2, Metric::Processed), 1);
    assert_eq!(net.count(0, Metric::Delivered), 1);
}

#[test]
fn visitors_read_the_directory_and_nothing_else() {
    let mut net = Net::new(3);
    let socket = visitor(&mut net, 0);
    net.send(socket, frame(Tag::DirectoryGet, &DirectoryGet::default()));
    let inbox = net.take_inbox(socket);
    let answer = decode_frame(&inbox[0]).unwrap();
    let directory: Directory = from_cbor(answer.payload, 1 << 20).unwrap();
    assert_eq!(directory.descriptors.len(), 3);
    let known = Some(directory.digest);
    net.send(
        socket,
        frame(Tag::DirectoryGet, &DirectoryGet { known, seed: None }),
    );
    let inbox = net.take_inbox(socket);
    let answer = decode_frame(&inbox[0]).unwrap();
    let unchanged: Directory = from_cbor(answer.payload, 1 << 20).unwrap();
    assert_eq!(
        (unchanged.digest, unchanged.descriptors.len()),
        (directory.digest, 0)
    );
    net.send(
        socket,
        encode_frame(
            Tag::RelayForward,
            MessageId::from_bytes([0; 16]),
            &[0; 9088],
        ),
    );
    assert_eq!(
        error_code(&mut net, socket),
        Some(LinkErrorCode::Unauthenticated)
    );
    assert!(!net.is_open(socket));
}

#[test]
fn nobody_passes_for_a_relay_without_its_key() {
    let mut net = Net::new(3);
    let inbox = {
        let reader = visitor(&mut net, 0);
        net.send(reader, frame(Tag::DirectoryGet, &DirectoryGet::default()));
        net.take_inbox(reader)
    };
    let directory: Directory =
        from_cbor(decode_frame(&inbox[0]).unwrap().payload, 1 << 20).unwrap();
    for descriptor in directory.descriptors.iter() {
        let socket = net.connect(0);
        let hello = Handshake {
            role: Role::Relay,
            versions: BoundedList::new(vec![VERSION]).unwrap(),
            suites: BoundedList::new(vec![1]).unwrap(),
            tag: None,
            received: None,
            descriptor: Some(descriptor.clone()),
            nonce: Some(Bytes([1; 32])),
        };
        net.send(socket, frame(Tag::Handshake, &hello));
        let inbox = net.take_inbox(socket);
        let answer = decode_frame(&inbox[0]).unwrap();
        if answer.tag == Tag::Error {
            continue; // Its own descriptor.
        }
        let ack: HandshakeAck = from_cbor(answer.payload, 20_000).unwrap();
        let transcript = LinkTranscript {
            connects: net.id(1),
            accepts: ack.node,
            connect_nonce: [1; 32],
            accept_nonce: ack.nonce.unwrap().0,
        };
        // Signed by another relay, or for the other side: neither is a proof.
        let wrong_key = net.signer(2).sign_link(LinkSide::Connect, &transcript);
        let wrong_side = net.signer(1).sign_link(LinkSide::Accept, &transcript);
        let signature = if transcript.connects == net.id(1) {
            wrong_side
        } else {
            wrong_key
        };
        let signature = Bytes(*signature.as_bytes());
        net.send(socket, frame(Tag::LinkProof, &LinkProof { signature }));
        assert_eq!(
            error_code(&mut net, socket),
            Some(LinkErrorCode::Unauthenticated)
        );
        assert!(!net.is_open(socket));
    }
    assert_eq!(
        net.relay(0).linked_relays(),
        2,
        "the real ones were not disturbed"
    );
}

#[test]
fn silence_is_pinged_and_then_ends() {
    let mut net = Net::new(1);
    let caller = Caller::at(&mut net, 0);
    net.advance(Duration::from_secs(89));
    assert!(net.take_inbox(caller.socket).is_empty());
    net.advance(Duration::from_secs(1));
    let inbox = net.take_inbox(caller.socket);
    assert_eq!(decode_frame(&inbox[0]).unwrap().tag, Tag::Ping);
    net.send(
        caller.socket,
        encode_frame(Tag::Pong, MessageId::from_bytes([1; 16]), b""),
    );
    net.advance(Duration::from_secs(91));
    assert!(net.is_open(caller.socket));
    net.advance(Duration::from_secs(30));
    assert_eq!(
        error_code(&mut net, caller.socket),
        Some(LinkErrorCode::Timeout)
    );
    assert!(!net.is_open(caller.socket));
}

#[test]
fn pings_come_back_as_they_were() {
    let mut net = Net::new(1);
    let caller = Caller::at(&mut net, 0);
    let ping = encode_frame(Tag::Ping, MessageId::from_bytes([3; 16]), b"opaque");
    net.send(caller.socket, ping);
    let inbox = net.take_inbox(caller.socket);
    assert_eq!(
        inbox,
        [encode_frame(
            Tag::Pong,
            MessageId::from_bytes([3; 16]),
            b"opaque"
        )]
    );
}

#[test]
fn a_resumed_client_gets_what_it_missed() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let known = Bytes([0; 32]);
    let request = Request::DirectorySync(DirectorySyncRequest {
        known,
        offset: 0,
        since: None,
    });
    caller.ask(&mut net, &[0, 1], &request);
    net.take_inbox(caller.socket); // Lost with the socket.
    net.hang_up(caller.socket);
    assert!(caller.connect(&mut net));
    assert_eq!(caller.replies(&mut net).len(), 1);
    net.hang_up(caller.socket);
    assert!(caller.connect(&mut net));
    assert!(caller.replies(&mut net).is_empty(), "it was counted");
}

#[test]
fn the_newest_connection_of_a_tag_stays() {
    let mut net = Net::new(1);
    let mut caller = Caller::at(&mut net, 0);
    let old = caller.socket;
    assert!(caller.connect(&mut net));
    assert!(!net.is_open(old) && net.is_open(caller.socket));
    let other = ConnectionTag::from_bytes([9; 16]);
    let socket = net.connect(0);
    net.send(socket, hello(Role::Client, Some(other), Some(0)));
    assert!(net.is_open(caller.socket), "another tag disturbs nobody");
}

#[test]
fn a_stopping_relay_says_so() {
    let mut net = Net::new(2);
    let caller = Caller::at(&mut net, 0);
    net.input(0, Input::Shutdown);
    assert_eq!(
        error_code(&mut net, caller.socket),
        Some(LinkErrorCode::ShuttingDown)
    );
    assert_eq!(net.relay(1).linked_relays(), 0);
    let late = net.connect(0);
    assert_eq!(
        error_code(&mut net, late),
        Some(LinkErrorCode::ShuttingDown)
    );
    assert!(!net.is_open(late));
}

#[test]
fn keys_and_descriptors_are_renewed_every_epoch() {
    let mut net = Net::new(3);
    let mut caller = Caller::at(&mut net, 0);
    for _ in 0..5 {
        net.advance(Duration::from_hours(6));
        caller.connect(&mut net);
        let known = Bytes([0; 32]);
        let request = Request::DirectorySync(DirectorySyncRequest {
            known,
            offset: 0,
            since: None,
        });
        let reply = caller.call(&mut net, &[0, 1, 2], &request);
        assert!(matches!(reply, Some(Reply::DirectorySync(sync)) if sync.total == 3));
    }
}

#[test]
fn nobody_is_let_in_before_the_keys_are_durable() {
    let mut net = Net::cold(1, Limits::default(), Quotas::default());
    net.nodes[0].slow_disk = true;
    net.start(0);
    let early = net.connect(0);
    assert!(!net.is_open(early) && !net.relay(0).is_ready());
    net.nodes[0].slow_disk = false;
    net.settle();
    assert!(net.relay(0).is_ready());
    Caller::at(&mut net, 0);
}
