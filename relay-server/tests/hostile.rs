//! Peers that break rules on a real socket: each loses its own connection, and a bystander notices nothing.

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use support::{
    Client, Network, Owner, PATIENCE, Process, Socket, complete_directory, connect_from, envelope,
    envelope_id, frame, handshake, next_frame, now, relay_der,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::id::{ConnectionTag, MessageId};
use zentalk_shared::onion::{
    Class, Epoch, Features, LinkSide, LinkTranscript, OnionKey, Publication, RelayInfo,
    RelaySigner, RelayUrl, Suite,
};
use zentalk_shared::rpc::{
    EnvelopeBytes, Refusal, Refused, ReplicatePut, ReplicatePutAck, Reply, Request,
};
use zentalk_shared::wire::codec::{BoundedList, Bytes, from_cbor};
use zentalk_shared::wire::link::{
    DirectoryGet, Handshake, HandshakeAck, LinkError, LinkErrorCode, LinkProof, Role,
};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

/// The relay's own deadline for a request's header, and for a handshake.
const DEADLINE: Duration = Duration::from_secs(10);
/// What the machine may add to it.
const SLACK: Duration = Duration::from_secs(15);

/// The pace of one who asks for ever.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(50);

/// Sends bytes on a fresh connection and reads to its end; yields what came.
async fn send_raw(relay: &Process, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(relay.address()).await.unwrap();
    // The relay may have closed before all of it is sent.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let end = timeout(DEADLINE + SLACK, stream.read_to_end(&mut answer)).await;
    drop(end.expect("closed within the deadline"));
    answer
}

/// A socket after the HTTP upgrade, to write WebSocket frames to by hand.
async fn upgraded(relay: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(relay.address()).await.unwrap();
    let request = "GET /v1 HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        timeout(PATIENCE, stream.read_exact(&mut byte))
            .await
            .expect("an answer")
            .unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// The relay's last word on a socket.
async fn verdict(socket: &mut Socket) -> Option<LinkErrorCode> {
    let mut last = None;
    while let Some(bytes) = next_frame(socket).await {
        let frame = decode_frame(&bytes).unwrap();
        last = (frame.tag == Tag::Error)
            .then(|| from_cbor::<LinkError>(frame.payload, 256).unwrap().code);
    }
    last
}

#[tokio::test]
async fn what_is_not_http_or_not_websocket_ends_at_once() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let mut bystander = Client::at(&relay.url, 1).await;
    let noise: Vec<u8> = (0..4096u32).map(|n| ((n * 7919) >> 3) as u8).collect();
    let header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let chunked =
        b"POST /v1 HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
    let inputs: [&[u8]; 5] = [
        &noise,
        b"\x16\x03\x01\x02\x00\x01\x00",
        header.as_bytes(),
        chunked,
        b"GET /v1 HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n",
    ];
    for input in inputs {
        let answer = send_raw(relay, input).await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 2"),
            "{}",
            answer.escape_ascii()
        );
    }
    // WebSocket frames that nobody may send.
    let unmasked = [0x82, 0x02, 1, 2];
    let reserved_bits = [0xf2, 0x80, 0, 0, 0, 0];
    let text = [0x81, 0x81, 0, 0, 0, 0, b'a'];
    let endless = [
        0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let inputs: [&[u8]; 4] = [&unmasked, &reserved_bits, &text, &endless];
    for input in inputs {
        let mut stream = upgraded(relay).await;
        let began = Instant::now();
        stream.write_all(input).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        drop(end.expect("an end"));
        assert!(
            began.elapsed() < DEADLINE,
            "not only by the deadline: {input:?}"
        );
    }
    bystander.ping().await;
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_answered_with_the_reason() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let mut bystander = Client::at(&relay.url, 1).await;
    let id = MessageId::from_bytes([1; 16]);
    let good = encode_frame(Tag::Ping, id, b"");
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let cases = [
        (with(0, b"GET "), LinkErrorCode::Malformed),
        (with(4, &[2, 0]), LinkErrorCode::Version),
        (with(8, &[0xff; 4]), LinkErrorCode::TooLarge),
        (good[..31].to_vec(), LinkErrorCode::Malformed),
        (vec![], LinkErrorCode::Malformed),
        (vec![0xde; 36], LinkErrorCode::Malformed),
        (good.clone(), LinkErrorCode::Malformed), // Before the handshake.
    ];
    for (bytes, code) in cases {
        let mut socket = connect_from("127.0.0.1", &relay.url).await;
        socket
            .send(Message::Binary(bytes.clone().into()))
            .await
            .unwrap();
        assert_eq!(verdict(&mut socket).await, Some(code), "{bytes:?}");
    }
    let tag = Some(ConnectionTag::from_bytes([5; 16]));
    for (role, tag) in [(Role::Client, tag), (Role::Visitor, None)] {
        let (mut socket, _) = handshake(&relay.url, role, tag).await;
        let longest = vec![0; 38_305];
        // Longer than anything that who connects may send; the relay reads no further.
        drop(socket.send(Message::Binary(longest.into())).await);
        assert_eq!(verdict(&mut socket).await, None);
    }
    bystander.ping().await;
}

#[tokio::test]
async fn fault_15_the_slow_and_the_silent_have_ten_seconds_and_block_nobody() {
    const EACH: usize = 60;
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let mut bystander = Client::at(&relay.url, 1).await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..EACH {
        // Nothing at all; half a header; a whole request, kept alive; half a WebSocket frame.
        slow.push(TcpStream::connect(relay.address()).await.unwrap());
        let mut loris = TcpStream::connect(relay.address()).await.unwrap();
        loris
            .write_all(b"GET /v1 HTTP/1.1\r\nHost: relay\r\nX-")
            .await
            .unwrap();
        slow.push(loris);
        let mut kept = TcpStream::connect(relay.address()).await.unwrap();
        kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n")
            .await
            .unwrap();
        slow.push(kept);
        let mut half = upgraded(relay).await;
        half.write_all(&[0x82, 0xfe, 0x20, 0x00, 0, 0, 0, 0, 1, 2, 3])
            .await
            .unwrap();
        slow.push(half);
        slow.push(upgraded(relay).await);
        bystander.ping().await;
    }
    Client::at(&relay.url, 2).await;
    // One request after the other, for ever.
    let mut busy = TcpStream::connect(relay.address()).await.unwrap();
    let asking = async {
        let mut sink = [0; 4096];
        let request = b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n";
        while busy.write_all(request).await.is_ok()
            && busy.read(&mut sink).await.is_ok_and(|read| read > 0)
        {
            tokio::time::sleep(BETWEEN_REQUESTS).await;
        }
    };
    timeout(DEADLINE + SLACK, asking).await.expect("closed");
    for mut stream in slow {
        let mut answer = Vec::new();
        let end = timeout(DEADLINE + SLACK, stream.read_to_end(&mut answer)).await;
        drop(end.expect("closed within the deadline"));
    }
    assert!(began.elapsed() < DEADLINE + 2 * SLACK);
    bystander.ping().await;
}

#[tokio::test]
async fn fault_15_who_asks_and_never_reads_costs_little_and_blocks_nobody() {
    const GREEDY: u8 = 40;
    let network = Network::start(3, |_| String::new());
    let relay = &network.relays[0];
    let mut bystander = Client::at(&relay.url, 1).await;
    let before = relay.resident();
    let ask = frame(Tag::DirectoryGet, &DirectoryGet::default());
    let mut greedy = Vec::new();
    for n in 0..GREEDY {
        let tag = Some(ConnectionTag::from_bytes([n; 16]));
        let (mut socket, _) = handshake(&relay.url, Role::Client, tag).await;
        for _ in 0..45 {
            socket.send(ask.clone()).await.unwrap();
        }
        greedy.push(socket);
        bystander.ping().await;
    }
    let grown = relay.resident().saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB for {GREEDY} of them");
    for socket in &mut greedy {
        // What did fit is there, whole.
        let bytes = next_frame(socket).await.expect("a directory");
        assert_eq!(decode_frame(&bytes).unwrap().tag, Tag::Directory);
    }
}

#[tokio::test]
async fn fault_15_a_flood_of_packets_for_clients_that_are_away_is_bounded_and_costs_others_nothing()
{
    const AWAY: u8 = 230;
    const SENDERS: u64 = 16;
    // What a relay keeps for all of them, as OPERATORS.md says, and what it takes otherwise.
    const BOUND: std::ops::Range<u64> = (150 << 10)..(290 << 10) + (48 << 10);
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let directory = complete_directory(&relay.url, 1).await;
    let honest = Client::at(&relay.url, 1).await.tag;
    let mut tags = Vec::new();
    for n in 0..AWAY {
        let tag = ConnectionTag::from_bytes([n; 16]);
        drop(handshake(&relay.url, Role::Client, Some(tag)).await);
        tags.push(tag);
    }
    let mut bystander = Client::at(&relay.url, 2).await;
    let path = bystander.path(&directory, &[]);
    let mut packet_for = |tag: &ConnectionTag| {
        let route = path.route();
        let (surb, _) = route.surb(*tag, now(), &mut bystander.rng).unwrap();
        let packet = surb.reply(&[], Class::Bulk).unwrap();
        encode_frame(Tag::RelayForward, MessageId::from_bytes([1; 16]), &packet)
    };
    let before = relay.resident();
    let mut friend = Client::at(&relay.url, 3).await;
    friend.say(packet_for(&honest)).await;
    friend.ping().await;
    let share = tags.len().div_ceil(usize::try_from(SENDERS).unwrap());
    for (n, tags) in (4..).zip(tags.chunks(share)) {
        let mut sender = Client::at(&relay.url, n).await;
        for tag in tags.iter().cycle().take(64 * tags.len()) {
            sender.say(packet_for(tag)).await;
        }
        // It answers in order: all of them have arrived.
        sender.ping().await;
    }
    let grown = relay.resident().saturating_sub(before);
    println!("{grown} KiB more than before");
    assert!(BOUND.contains(&grown), "{grown} KiB");
    for _ in 0..2 {
        friend.say(packet_for(&honest)).await;
    }
    friend.ping().await;
    let (mut socket, _) = handshake(&relay.url, Role::Client, Some(honest)).await;
    for _ in 0..3 {
        let bytes = next_frame(&mut socket).await.expect("what was kept");
        assert_eq!(decode_frame(&bytes).unwrap().tag, Tag::Deliver);
    }
}

/// A relay that nobody runs, linked to one that somebody does.
async fn linked(relay: &Process, signer: &RelaySigner) -> Socket {
    let (now, hour) = (now(), zentalk_shared::time::Duration::from_hours(1));
    let info = RelayInfo {
        urls: vec![RelayUrl::parse("ws://127.0.0.1:9/v1").unwrap()],
        operator: "liar".to_owned(),
        region: String::new(),
        software: String::new(),
        max_connections: 1,
        features: Features::MAILBOX,
    };
    let keys = [Epoch::at(now), Epoch::at(now).next()].map(|epoch| OnionKey {
        suite: Suite::X25519.number(),
        epoch,
        key: vec![9; 32],
    });
    let publication = Publication {
        sequence: now.as_ms(),
        from: now - hour,
        until: now + hour,
    };
    let descriptor = signer.sign_descriptor(&info, &keys, publication).unwrap();
    let hello = Handshake {
        role: Role::Relay,
        versions: BoundedList::new(vec![VERSION]).unwrap(),
        suites: BoundedList::new(vec![1]).unwrap(),
        tag: None,
        received: None,
        descriptor: Some(descriptor.bytes().clone()),
        nonce: Some(Bytes([3; 32])),
    };
    let mut socket = connect_from("127.0.0.1", &relay.url).await;
    socket.send(frame(Tag::Handshake, &hello)).await.unwrap();
    let answer = next_frame(&mut socket).await.expect("an answer");
    let answer = decode_frame(&answer).unwrap();
    assert_eq!(answer.tag, Tag::HandshakeAck);
    let ack: HandshakeAck = from_cbor(answer.payload, 20_000).unwrap();
    let transcript = LinkTranscript {
        connects: signer.node(),
        accepts: ack.node,
        connect_nonce: [3; 32],
        accept_nonce: ack.nonce.unwrap().0,
    };
    let signature = signer.sign_link(LinkSide::Connect, &transcript);
    let signature = Bytes(*signature.as_bytes());
    let proof = frame(Tag::LinkProof, &LinkProof { signature });
    socket.send(proof).await.unwrap();
    socket
}

/// What a member asks another to store: `envelope` under the id of envelope `n`.
fn replica(owner: &Owner, n: u64, envelope: EnvelopeBytes) -> Message {
    let replica = ReplicatePut {
        mailbox: owner.key.id(),
        id: envelope_id(n),
        envelope,
        hour: u32::try_from(now().as_ms() / 3_600_000).unwrap(),
        permitted: true,
    };
    frame(Tag::ReplicatePut, &replica)
}

#[tokio::test]
async fn garbage_under_an_envelopes_id_is_refused_to_senders_and_members_alike() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let directory = complete_directory(&relay.url, 1).await;
    let node = directory.iter().next().unwrap().node();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let rsa = RsaSecret::from_pkcs8_der(relay_der(7)).unwrap();
    let key = SigningKey::random(&mut rng);
    let liar = RelaySigner::certify(&rsa, key, &mut rng).unwrap();
    let mut client = Client::at(&relay.url, 1).await;
    let mut owner = Owner::new(&mut client, vec![node, liar.node()]);
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &node, &path, 0);
    let reply = client.call(&path, &subscribe).await;
    assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");

    let Request::Put(mut put) = owner.put(&node, 1) else {
        unreachable!()
    };
    put.envelope = envelope(2);
    let reply = client.call(&path, &Request::Put(put)).await;
    let reason = Refusal::Malformed;
    assert_eq!(reply, Reply::Refused(Refused::because(reason)));

    let mut socket = linked(relay, &liar).await;
    let garbage = replica(&owner, 1, envelope(2));
    socket.send(garbage).await.unwrap();
    assert_eq!(verdict(&mut socket).await, Some(LinkErrorCode::Malformed));
    let waiting = owner.fetch_all(&mut client, &path, &node).await;
    assert_eq!(waiting, [], "neither was stored");

    let mut socket = linked(relay, &liar).await;
    let genuine = replica(&owner, 1, envelope(1));
    socket.send(genuine).await.unwrap();
    let durable = loop {
        let answer = next_frame(&mut socket).await.expect("an answer");
        let answer = decode_frame(&answer).unwrap();
        if answer.tag == Tag::ReplicatePutAck {
            break from_cbor::<ReplicatePutAck>(answer.payload, 256).unwrap();
        }
    };
    assert!(durable.durable, "nor is the place taken");
    let waiting = owner.fetch_all(&mut client, &path, &node).await;
    assert_eq!(waiting, [envelope_id(1)]);
}

#[tokio::test]
async fn too_many_frames_or_pings_end_their_own_connection() {
    let network = Network::start(1, |_| {
        "[limits]\nclient_frames_per_minute = 60\n".to_owned()
    });
    let relay = &network.relays[0];
    let mut bystander = Client::at(&relay.url, 1).await;
    let id = MessageId::from_bytes([1; 16]);
    let (mut socket, _) = handshake(&relay.url, Role::Visitor, None).await;
    // The burst, and a few more.
    for _ in 0..1_100 {
        let ping = Message::Binary(encode_frame(Tag::Ping, id, b"").into());
        if socket.send(ping).await.is_err() {
            break;
        }
    }
    assert_eq!(verdict(&mut socket).await, Some(LinkErrorCode::Rate));
    let (mut socket, _) = handshake(&relay.url, Role::Visitor, None).await;
    // WebSocket's own pings never reach the protocol, and are counted all the same.
    let flood = async {
        while socket
            .send(Message::Ping(vec![0; 100].into()))
            .await
            .is_ok()
        {
            if let Ok(None | Some(Err(_) | Ok(Message::Close(_)))) =
                timeout(Duration::ZERO, socket.next()).await
            {
                break;
            }
        }
    };
    timeout(PATIENCE, flood).await.expect("an end to it");
    bystander.ping().await;
}

#[tokio::test]
async fn fault_15_beyond_the_cap_one_is_told_so_and_those_within_stay() {
    let network = Network::start(1, |_| "[limits]\nconnections = 3\n".to_owned());
    let relay = &network.relays[0];
    let mut within = Vec::new();
    for client in 0..3 {
        within.push(admitted(&relay.url, client).await);
    }
    for _ in 0..5 {
        let mut socket = connect_from("127.0.0.1", &relay.url).await;
        assert_eq!(verdict(&mut socket).await, Some(LinkErrorCode::Full));
    }
    for socket in &mut within {
        let ping = encode_frame(Tag::Ping, MessageId::from_bytes([1; 16]), &[]);
        socket.send(Message::Binary(ping.into())).await.unwrap();
        let pong = next_frame(socket).await.expect("an answer");
        assert_eq!(decode_frame(&pong).unwrap().tag, Tag::Pong);
    }
    drop(within.pop());
    admitted(&relay.url, 9).await;
}

/// A client's link, once there is a place for it. A relay that has just started takes one itself for a moment: it looks for the
/// address that others reach it at.
async fn admitted(url: &str, client: u8) -> support::Socket {
    let trying = async {
        loop {
            let mut socket = connect_from("127.0.0.1", url).await;
            let tag = ConnectionTag::from_bytes([client; 16]);
            let hello = support::hello(Role::Client, Some(tag));
            drop(socket.send(hello).await);
            let bytes = next_frame(&mut socket).await.expect("an answer");
            if decode_frame(&bytes).unwrap().tag == Tag::HandshakeAck {
                return socket;
            }
        }
    };
    timeout(PATIENCE, trying).await.expect("a place is free")
}
