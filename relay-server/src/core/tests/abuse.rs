//! What hostile peers may try: it costs them their connection, and nobody else anything.

use proptest::prelude::*;
use zentalk_shared::id::{ConnectionTag, MessageId};
use zentalk_shared::onion::{Class, Hop, build_request};
use zentalk_shared::rpc::{PutRequest, Refusal, Refused, ReplicatePut, Reply, Request};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::to_cbor;
use zentalk_shared::wire::link::{LinkErrorCode, Role};
use zentalk_shared::wire::{HEADER_LEN, Header, Tag, encode_frame};

use super::links::{error_code, visitor};
use super::net::Net;
use super::people::{Caller, Owner, envelope, frame, hello};
use crate::core::store::Quotas;
use crate::core::{Limits, Metric, Rate};

#[test]
fn fault_10_short_and_broken_frames_cost_their_sender_its_connection() {
    let mut net = Net::new(1);
    let bystander = Caller::at(&mut net, 0);
    let whole = hello(Role::Client, Some(ConnectionTag::from_bytes([1; 16])), None);
    let mut frames: Vec<Vec<u8>> = (0..whole.len())
        .map(|length| whole[..length].to_vec())
        .collect();
    let mut overflow = whole[..36].to_vec();
    overflow[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    frames.push(overflow);
    let broken_body = encode_frame(
        Tag::Handshake,
        MessageId::from_bytes([0; 16]),
        &[0xa1, 0, 9],
    );
    frames.push(broken_body);
    for frame in frames {
        for opened in [false, true] {
            let socket = if opened {
                visitor(&mut net, 0)
            } else {
                net.connect(0)
            };
            net.send(socket, frame.clone());
            assert!(!net.is_open(socket));
        }
    }
    assert!(net.is_open(bystander.socket));
    assert_eq!(net.relay(0).connections(), [1, 0, 0]);
}

#[test]
fn fault_13_a_frame_of_an_unknown_type_does_not_break_the_next() {
    let mut net = Net::new(1);
    let caller = Caller::at(&mut net, 0);
    let mut unknown = encode_frame(Tag::Ping, MessageId::from_bytes([2; 16]), b"later");
    unknown[6..8].copy_from_slice(&0x0F0Fu16.to_be_bytes());
    net.send(caller.socket, unknown);
    net.send(
        caller.socket,
        encode_frame(Tag::Ping, MessageId::from_bytes([3; 16]), b""),
    );
    let inbox = net.take_inbox(caller.socket);
    assert_eq!(
        inbox,
        [encode_frame(Tag::Pong, MessageId::from_bytes([3; 16]), b"")]
    );
}

#[test]
fn fault_13_what_a_client_acknowledges_to_its_guard_is_a_count() {
    let mut net = Net::new(3);
    let mut owner = Owner::with_mailbox(&mut net, 0, 2);
    let mut sender = Caller::at(&mut net, 1);
    let put = owner.put(&net, 2, 1);
    sender.call(&mut net, &[1, 2], &put).unwrap();
    assert_eq!(owner.pushes(&mut net).len(), 1);
    // The body of an Ack has room for a number; everything about mailboxes goes through onions.
    assert!(to_cbor(&zentalk_shared::wire::link::Ack { received: u64::MAX }).len() <= 11);
}

#[test]
fn fault_14_a_packet_passes_once_and_its_length_says_nothing() {
    let mut net = Net::new(3);
    let mut owner = Owner::with_mailbox(&mut net, 0, 2);
    let mut sender = Caller::at(&mut net, 1);
    let put = owner.put(&net, 2, 1);
    let far = sender.packet(&mut net, &[1, 0, 2], &put, Class::Message);
    let near = sender.packet(&mut net, &[1, 2], &put, Class::Message);
    assert_eq!(far.len(), near.len());
    net.send(sender.socket, far.clone());
    assert_eq!(sender.replies(&mut net).len(), 1);
    net.send(sender.socket, far.clone());
    assert!(sender.replies(&mut net).is_empty());
    assert_eq!(net.count(1, Metric::PacketDropped("replay")), 1);
    // The filter is read back from the log of the last second.
    net.advance(Duration::from_secs(2));
    net.kill(1, 0);
    net.start(1);
    net.advance(Duration::from_secs(5));
    sender.connect(&mut net);
    net.send(sender.socket, far);
    assert!(sender.replies(&mut net).is_empty());
    assert_eq!(net.count(1, Metric::PacketDropped("replay")), 2);
    assert_eq!(owner.pushes(&mut net).len(), 1);
}

#[test]
fn fault_15_a_handshake_has_ten_seconds() {
    let mut net = Net::new(1);
    let socket = net.connect(0);
    net.advance(Duration::from_ms(9_999));
    assert!(net.is_open(socket));
    net.advance(Duration::from_ms(1));
    assert_eq!(error_code(&mut net, socket), Some(LinkErrorCode::Timeout));
    assert!(!net.is_open(socket));
}

#[test]
fn fault_15_frames_connections_and_lengths_are_capped() {
    let limits = Limits {
        connections: 2,
        client_frames: Rate {
            per_minute: 60,
            burst: 5,
        },
        ..Limits::default()
    };
    let mut net = Net::with(1, limits, Quotas::default());
    let caller = Caller::at(&mut net, 0);
    let other = visitor(&mut net, 0);
    let third = net.connect(0);
    assert_eq!(error_code(&mut net, third), Some(LinkErrorCode::Full));
    for _ in 0..5 {
        net.send(
            caller.socket,
            encode_frame(Tag::Ping, MessageId::from_bytes([0; 16]), b""),
        );
    }
    assert_eq!(
        error_code(&mut net, caller.socket),
        Some(LinkErrorCode::Rate)
    );
    let length = u32::try_from(Tag::RelayForward.max_payload()).unwrap() + 1;
    let id = MessageId::from_bytes([0; 16]);
    let header = Header {
        tag: Tag::RelayForward,
        length,
        flags: 0,
        id,
    }
    .encode();
    assert_eq!(header.len(), HEADER_LEN);
    net.send(other, header.to_vec());
    assert_eq!(error_code(&mut net, other), Some(LinkErrorCode::TooLarge));
    assert_eq!(net.relay(0).connections(), [0, 0, 0]);
}

#[test]
fn fault_15_packets_are_forwarded_to_known_relays_only() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let stranger = zentalk_shared::id::NodeId::from_bytes([9; 20]);
    let hop = |index| net.descriptor(index).hop(net.now, Duration::ZERO).unwrap();
    let mut hops: Vec<Hop> = vec![hop(0), hop(1)];
    hops[1].node = stranger;
    let packet = build_request(&hops, None, b"", Class::Message, &mut net.rng).unwrap();
    net.send(
        caller.socket,
        encode_frame(Tag::RelayForward, MessageId::from_bytes([0; 16]), &packet),
    );
    assert_eq!(net.count(0, Metric::PacketDropped("unknown_relay")), 1);
    assert!(caller.replies(&mut net).is_empty());
}

#[test]
fn fault_11_nobody_but_the_owner_reads_or_removes_mail() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut thief = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    sender.call(&mut net, &[3, 0], &put).unwrap();
    assert_eq!(
        thief.fetch(&mut net, 0).envelopes.len(),
        0,
        "a key opens its own mailbox"
    );
    thief.acknowledge(&mut net, 0, &[1]);
    // The owner's own request, shown to another relay by who has seen it.
    let body = zentalk_shared::rpc::FetchBody { after: 0, limit: 3 };
    let for_relay_0 =
        Request::Fetch(owner.signed(&net, 0, zentalk_shared::rpc::OwnerOp::Fetch, &body));
    let reply = sender.call(&mut net, &[3, 1], &for_relay_0);
    assert_eq!(
        reply,
        Some(Reply::Refused(Refused::because(Refusal::NotAllowed)))
    );
    assert_eq!(owner.fetch(&mut net, 1).envelopes.len(), 1);
}

#[test]
fn an_owners_request_cannot_be_repeated_by_who_has_recorded_it() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let recorded = owner.subscription(&mut net, 0, 5);
    let guard = owner.caller.guard;
    let first = owner.caller.call(&mut net, &[guard, 0], &recorded);
    let again = owner.caller.call(&mut net, &[guard, 0], &recorded);
    assert_eq!(
        first, again,
        "the last request may be repeated and changes nothing"
    );
    owner.subscribe(&mut net, 0, 1);
    let late = owner.caller.call(&mut net, &[guard, 0], &recorded);
    assert_eq!(
        late,
        Some(Reply::Refused(Refused::because(Refusal::StaleSequence)))
    );
}

#[test]
fn members_take_replicas_from_members_only() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let caller = Caller::at(&mut net, 0);
    let put = owner.stranger_put(1);
    let replica = ReplicatePut {
        mailbox: put.mailbox,
        id: put.id,
        envelope: put.envelope,
        hour: 0,
        permitted: true,
    };
    net.send(caller.socket, frame(Tag::ReplicatePut, &replica));
    assert_eq!(
        error_code(&mut net, caller.socket),
        Some(LinkErrorCode::Unauthenticated)
    );
    assert_eq!(net.nodes[0].store.restore().mailboxes[0].stock.waiting, 0);
}

/// Garbage under the id of envelope `n`.
fn mislabelled(owner: &Owner, n: u8) -> PutRequest {
    PutRequest {
        envelope: envelope(0xbb),
        ..owner.stranger_put(n)
    }
}

fn waiting(net: &Net) -> [u32; 3] {
    [0, 1, 2].map(|index| net.nodes[index].store.restore().mailboxes[0].stock.waiting)
}

#[test]
fn nothing_is_stored_under_the_id_of_other_bytes_and_the_envelope_finds_its_place() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 2);
    let mut sender = Caller::at(&mut net, 3);
    let garbage = Request::Put(mislabelled(&owner, 1));
    let malformed = Refused::because(Refusal::Malformed);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &garbage),
        Some(Reply::Refused(malformed))
    );
    assert_eq!(waiting(&net), [0, 0, 0]);
    assert!(owner.pushes(&mut net).is_empty());
    let put = owner.put(&net, 0, 1);
    assert!(matches!(
        sender.call(&mut net, &[3, 0], &put),
        Some(Reply::Put(_))
    ));
    assert_eq!(waiting(&net), [1, 1, 1]);
    assert_eq!(owner.pushes(&mut net)[0].envelopes[0].envelope, envelope(1));
}

#[test]
fn a_garbage_put_does_not_join_the_one_that_is_on_its_way() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    net.nodes[0].slow_disk = true;
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), None);
    let garbage = Request::Put(mislabelled(&owner, 1));
    let reply = sender.call(&mut net, &[3, 0], &garbage);
    assert!(matches!(reply, Some(Reply::Refused(_))), "{reply:?}");
}

#[test]
fn a_member_that_replicates_garbage_is_told_off_and_none_of_it_is_stored() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let replica = |put: PutRequest| {
        let replica = ReplicatePut {
            mailbox: put.mailbox,
            id: put.id,
            envelope: put.envelope,
            hour: 0,
            permitted: true,
        };
        frame(Tag::ReplicatePut, &replica)
    };
    let liar = net.send_as(1, 0, replica(mislabelled(&owner, 1)));
    assert!(!net.is_wired(liar), "it loses the link");
    assert_eq!(waiting(&net), [0, 0, 0]);
    net.advance(Duration::from_mins(3));
    assert_eq!(net.relay(0).linked_relays(), 3, "and may come back");
    let honest = net.send_as(1, 0, replica(owner.stranger_put(1)));
    assert!(net.is_wired(honest));
    assert_eq!(waiting(&net), [1, 0, 0]);
}

#[test]
fn members_that_do_not_exist_hold_up_nobody() {
    let mut net = Net::cold(4, Limits::default(), Quotas::default());
    [0, 3].into_iter().for_each(|index| net.start(index));
    net.advance(Duration::from_secs(1));
    let mut owner = Owner::new(&mut net, 3);
    owner.subscribe(&mut net, 0, 0);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    let too_few = Refused::because(Refusal::TooFewMembers);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        Some(Reply::Refused(too_few)),
        "at once, as no answer can come"
    );
}

#[test]
fn a_mailbox_whose_members_are_silent_leaves_room_for_the_others() {
    let mut net = Net::new(4);
    let stuck = Owner::with_mailbox(&mut net, 3, 0);
    let mut other = Owner::new(&mut net, 3);
    other.members = vec![0];
    other.subscribe(&mut net, 0, 0);
    let mut sender = Caller::at(&mut net, 3);
    [1, 2]
        .into_iter()
        .for_each(|index| net.nodes[index].deaf = true);
    for n in 0..64 {
        let put = stuck.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), None);
    }
    let put = stuck.put(&net, 0, 64);
    let busy = Refused::because(Refusal::Busy);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        Some(Reply::Refused(busy))
    );
    let put = other.put(&net, 0, 1);
    let reply = sender.call(&mut net, &[3, 0], &put);
    assert!(matches!(reply, Some(Reply::Put(_))), "{reply:?}");
}

#[test]
fn who_delays_many_packets_holds_back_nobody_elses() {
    let limits = Limits {
        delayed: 40,
        delayed_of_client: 3,
        ..Limits::default()
    };
    let mut net = Net::with(2, limits, Quotas::default());
    let (mut greedy, mut modest) = (Caller::at(&mut net, 0), Caller::at(&mut net, 0));
    let request = Request::DirectorySync(zentalk_shared::rpc::DirectorySyncRequest {
        known: zentalk_shared::wire::codec::Bytes([0; 32]),
        offset: 0,
        since: None,
    });
    let delay = Duration::from_secs(1);
    for _ in 0..50 {
        greedy.ask_delayed(&mut net, &[0, 1], &request, &[delay]);
    }
    assert_eq!(net.count(0, Metric::PacketDropped("delayed")), 47);
    assert_eq!(net.count(0, Metric::Delayed), 3);
    modest.ask_delayed(&mut net, &[0, 1], &request, &[delay]);
    net.advance(delay);
    assert_eq!(modest.replies(&mut net).len(), 1);
    assert_eq!(greedy.replies(&mut net).len(), 3);
    // Their time is over, so there is room again.
    greedy.ask_delayed(&mut net, &[0, 1], &request, &[delay]);
    net.advance(delay);
    assert_eq!(greedy.replies(&mut net).len(), 1);
}

#[test]
fn relays_that_nobody_knows_are_not_verified_without_end() {
    let known = |burst| {
        let mut net = Net::cold(4, Limits::default(), Quotas::default());
        // The others do not connect to it by themselves.
        for node in &mut net.nodes[1..] {
            let config = &mut node.config;
            config.peers.retain(|peer| *peer != super::net::url(0));
        }
        (1..4).for_each(|index| net.start(index));
        net.advance(Duration::from_secs(1));
        // It meets one relay, and hears from it of two others.
        let config = &mut net.nodes[0].config;
        config.peers.retain(|peer| *peer == super::net::url(1));
        config.limits.relay_frames = Rate {
            per_minute: 60,
            burst,
        };
        // Nobody else is met meanwhile, by whatever way.
        let others = [2, 3].map(|index| super::net::url(index).as_str().to_owned());
        net.hanging.extend(others);
        net.nodes[2].deaf = true;
        net.nodes[3].deaf = true;
        net.start(0);
        net.advance(Duration::from_ms(100));
        assert_eq!(net.relay(0).known_relays(), 2);
        net.relay(0).claimed_relays()
    };
    assert_eq!(known(300), 2);
    assert_eq!(known(150), 1, "one more may be verified, not two");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever arrives, in whatever state: no panic, and a bystander stays connected.
    #[test]
    fn arbitrary_frames_harm_nobody_else(
        frames in proptest::collection::vec(
            (0..Tag::ALL.len(), proptest::collection::vec(any::<u8>(), 0..80), any::<bool>()), 1..12),
        role in 0..3usize,
    ) {
        let mut net = Net::new(1);
        let bystander = Caller::at(&mut net, 0);
        let socket = match role {
            0 => net.connect(0),
            1 => visitor(&mut net, 0),
            _ => Caller::at(&mut net, 0).socket,
        };
        for (tag, bytes, framed) in frames {
            let frame = match framed {
                true => {
                    let tag = Tag::ALL[tag];
                    let length = bytes.len().min(tag.max_payload());
                    encode_frame(tag, MessageId::from_bytes([1; 16]), &bytes[..length])
                }
                false => bytes,
            };
            net.send(socket, frame);
        }
        net.advance(Duration::from_secs(20));
        prop_assert!(net.is_open(bystander.socket));
    }
}
