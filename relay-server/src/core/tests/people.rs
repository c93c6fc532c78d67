//! Clients for tests: one that makes calls through onions, and one that owns a mailbox.

use std::collections::HashMap;

use minicbor::Encode;
use zentalk_shared::id::{ConnectionTag, EnvelopeId, MessageId, SurbId};
use zentalk_shared::identity::MailboxSecret;
use zentalk_shared::onion::{Class, Route, Suite, Surb, SurbKeys};
use zentalk_shared::rpc::{
    EnvelopeBytes, FetchBody, FetchReply, FormerPermit, MailboxDescriptor, OwnerOp, OwnerRequest,
    Push, PutRequest, Refused, Reply, Request, Solver, Subject, SubscribeBody, SurbBytes,
    Tombstone, Work, WorkWanted, WriteSecret, envelope_id,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::{BoundedBytes, BoundedList, Bytes, from_cbor, to_cbor};
use zentalk_shared::wire::link::{Ack, Handshake, HandshakeAck, Role};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

use super::net::Net;

pub(super) fn hello(role: Role, tag: Option<ConnectionTag>, received: Option<u64>) -> Vec<u8> {
    let body = Handshake {
        role,
        versions: BoundedList::new(vec![VERSION]).unwrap(),
        suites: BoundedList::new(vec![1, 2, 3]).unwrap(),
        tag,
        received,
        descriptor: None,
        nonce: None,
    };
    frame(Tag::Handshake, &body)
}

pub(super) fn frame<T: Encode<()>>(tag: Tag, body: &T) -> Vec<u8> {
    encode_frame(tag, MessageId::from_bytes([7; 16]), &to_cbor(body))
}

/// A client at its guard.
pub(super) struct Caller {
    pub(super) guard: usize,
    pub(super) socket: u64,
    pub(super) tag: ConnectionTag,
    pub(super) received: u64,
    /// Of its packets and reply blocks.
    pub(super) suite: Suite,
    surbs: HashMap<SurbId, SurbKeys>,
}

impl Caller {
    pub(super) fn at(net: &mut Net, guard: usize) -> Self {
        let tag = ConnectionTag::random(&mut net.rng);
        let mut caller = Self {
            guard,
            socket: 0,
            tag,
            received: 0,
            suite: Suite::X25519,
            surbs: HashMap::new(),
        };
        caller.connect(net);
        caller
    }

    /// Connects, again if need be; yields whether the guard knew the tag.
    pub(super) fn connect(&mut self, net: &mut Net) -> bool {
        self.socket = net.connect(self.guard);
        net.send(
            self.socket,
            hello(Role::Client, Some(self.tag), Some(self.received)),
        );
        let mut inbox = net.take_inbox(self.socket);
        let first = inbox.remove(0);
        let answer = decode_frame(&first).unwrap();
        assert_eq!(
            answer.tag,
            Tag::HandshakeAck,
            "{:?}",
            String::from_utf8_lossy(answer.payload)
        );
        let ack: HandshakeAck = from_cbor(answer.payload, 20_000).unwrap();
        if !ack.resumed {
            self.received = 0;
        }
        let inbox: Vec<_> = inbox.into_iter().map(Some).collect();
        net.inboxes.insert(self.socket, inbox);
        ack.resumed
    }

    pub(super) fn surb(&mut self, net: &mut Net, back: &[usize]) -> Surb {
        let route = net.route(back, self.suite);
        let (surb, keys) = route.surb(self.tag, net.now, &mut net.rng).unwrap();
        self.surbs.insert(keys.id(), keys);
        surb
    }

    /// Sends a request along `path`, whose last relay serves it; the answer comes back the same way.
    pub(super) fn ask(&mut self, net: &mut Net, path: &[usize], request: &Request) {
        let class = match request {
            Request::Put(_) | Request::Acknowledge(_) => Class::Message,
            _ => Class::Bulk,
        };
        self.ask_in(net, path, request, class);
    }

    pub(super) fn ask_in(
        &mut self,
        net: &mut Net,
        path: &[usize],
        request: &Request,
        class: Class,
    ) {
        let packet = self.packet(net, path, request, class);
        net.send(self.socket, packet);
    }

    /// Asks, with delays at the first relays.
    pub(super) fn ask_delayed(
        &mut self,
        net: &mut Net,
        path: &[usize],
        request: &Request,
        delays: &[Duration],
    ) {
        let route = net.slow_route(path, delays, self.suite);
        let packet = self.packet_over(net, &route, path, request, Class::Bulk);
        net.send(self.socket, packet);
    }

    /// The frame that [`ask_in`](Self::ask_in) sends.
    pub(super) fn packet(
        &mut self,
        net: &mut Net,
        path: &[usize],
        request: &Request,
        class: Class,
    ) -> Vec<u8> {
        let route = net.route(path, self.suite);
        self.packet_over(net, &route, path, request, class)
    }

    fn packet_over(
        &mut self,
        net: &mut Net,
        route: &Route,
        path: &[usize],
        request: &Request,
        class: Class,
    ) -> Vec<u8> {
        assert_eq!(path[0], self.guard);
        let back: Vec<usize> = match path {
            [only] => vec![*only],
            _ => path.iter().rev().skip(1).copied().collect(),
        };
        let surb = self.surb(net, &back);
        let payload = request
            .encode(MessageId::random(&mut net.rng), class)
            .unwrap();
        let packet = route
            .request(Some(&surb), &payload, class, &mut net.rng)
            .unwrap();
        encode_frame(Tag::RelayForward, MessageId::random(&mut net.rng), &packet)
    }

    /// Replies and pushes that have arrived.
    pub(super) fn replies(&mut self, net: &mut Net) -> Vec<Reply> {
        let mut replies = Vec::new();
        for bytes in net.take_inbox(self.socket) {
            let frame = decode_frame(&bytes).unwrap();
            if frame.tag != Tag::Deliver {
                continue;
            }
            self.received += 1;
            let (id, body) = frame.payload.split_first_chunk::<16>().unwrap();
            // A frame that is sent again after a resumption finds its reply block used.
            if let Some(keys) = self.surbs.remove(&SurbId::from_bytes(*id)) {
                replies.push(Reply::decode(&keys.open(body.to_vec()).unwrap()).unwrap().1);
            }
        }
        net.send(
            self.socket,
            frame(
                Tag::Ack,
                &Ack {
                    received: self.received,
                },
            ),
        );
        replies
    }

    /// Asks and yields the one reply, if one came at once.
    pub(super) fn call(
        &mut self,
        net: &mut Net,
        path: &[usize],
        request: &Request,
    ) -> Option<Reply> {
        self.ask(net, path, request);
        let mut replies = self.replies(net);
        assert!(replies.len() <= 1, "{replies:?}");
        replies.pop()
    }
}

/// Somebody with a mailbox on relays 0, 1 and 2.
pub(super) struct Owner {
    pub(super) caller: Caller,
    pub(super) key: MailboxSecret,
    pub(super) secret: WriteSecret,
    pub(super) former: Option<FormerPermit>,
    pub(super) sequence: u64,
    pub(super) members: Vec<usize>,
    /// Of the descriptor: goes up with every move.
    pub(super) moves: u64,
    /// Shown with subscriptions.
    pub(super) work: Option<Work>,
}

impl Owner {
    /// Comes to `guard` and subscribes at every member, each time with `surbs` reply blocks.
    pub(super) fn with_mailbox(net: &mut Net, guard: usize, surbs: usize) -> Self {
        Self::with_mailbox_by(net, guard, surbs, Suite::X25519)
    }

    /// The same with packets and reply blocks of some suite.
    pub(super) fn with_mailbox_by(net: &mut Net, guard: usize, surbs: usize, suite: Suite) -> Self {
        let mut owner = Self::new(net, guard);
        owner.caller.suite = suite;
        for member in 0..owner.members.len() {
            owner.subscribe(net, member, surbs);
        }
        owner
    }

    pub(super) fn new(net: &mut Net, guard: usize) -> Self {
        Self {
            caller: Caller::at(net, guard),
            key: MailboxSecret::random(&mut net.rng),
            secret: WriteSecret::random(&mut net.rng),
            former: None,
            sequence: net.now.as_ms(),
            members: vec![0, 1, 2],
            moves: 1,
            work: None,
        }
    }

    pub(super) fn subscribe(&mut self, net: &mut Net, member: usize, surbs: usize) {
        let request = self.subscription(net, member, surbs);
        // No relay is twice on a path: a member that is the guard is asked directly.
        let mut path = vec![self.caller.guard, member];
        path.dedup();
        let mut reply = self.caller.call(net, &path, &request);
        if let Some(Reply::Refused(Refused {
            work: Some(wanted), ..
        })) = reply
        {
            self.work = Some(self.work_to_open(net, member, wanted));
            let request = self.subscription(net, member, surbs);
            self.work = None;
            reply = self.caller.call(net, &path, &request);
        }
        assert!(matches!(reply, Some(Reply::Subscribe(_))), "{reply:?}");
    }

    /// What it takes to have the mailbox at a member.
    pub(super) fn work_to_open(&self, net: &mut Net, member: usize, wanted: WorkWanted) -> Work {
        let subject = Subject::open(&net.id(member), &self.key.id());
        let mut solver = Solver::new(&subject, wanted, &mut net.rng);
        (0..1000).find_map(|_| solver.step()).unwrap()
    }

    pub(super) fn subscription(&mut self, net: &mut Net, member: usize, surbs: usize) -> Request {
        let back = [self.caller.guard];
        let surbs =
            (0..surbs).map(|_| SurbBytes::new(self.caller.surb(net, &back).encode()).unwrap());
        let surbs = BoundedList::new(surbs.collect()).unwrap();
        let body = SubscribeBody {
            replace: true,
            descriptor: self.descriptor(net).bytes().clone(),
            surbs,
            permit: Some(self.secret.permit(&net.id(member))),
            former: self.former.clone(),
            work: self.work,
        };
        Request::Subscribe(self.signed(net, member, OwnerOp::Subscribe, &body))
    }

    pub(super) fn descriptor(&self, net: &Net) -> MailboxDescriptor {
        let members: Vec<_> = self.members.iter().map(|index| net.id(*index)).collect();
        let active = u8::try_from(members.len().min(3)).unwrap();
        MailboxDescriptor::sign(&self.key, self.moves, members, active, net.now).unwrap()
    }

    pub(super) fn signed<T: Encode<()>>(
        &mut self,
        net: &Net,
        member: usize,
        op: OwnerOp,
        body: &T,
    ) -> OwnerRequest {
        self.sequence += 1;
        let body = BoundedBytes::new(to_cbor(body)).unwrap();
        OwnerRequest::sign(&self.key, &net.id(member), op, self.sequence, body)
    }

    /// An envelope for this mailbox, from a contact.
    pub(super) fn put(&self, net: &Net, member: usize, n: u8) -> Request {
        Request::Put(PutRequest {
            permit: Some(self.secret.permit(&net.id(member))),
            ..self.stranger_put(n)
        })
    }

    /// An envelope from somebody who has no permit.
    pub(super) fn stranger_put(&self, n: u8) -> PutRequest {
        PutRequest {
            mailbox: self.key.id(),
            id: id(n),
            permit: None,
            envelope: envelope(n),
            work: None,
        }
    }

    pub(super) fn fetch(&mut self, net: &mut Net, member: usize) -> FetchReply {
        let body = FetchBody { after: 0, limit: 3 };
        let request = Request::Fetch(self.signed(net, member, OwnerOp::Fetch, &body));
        match self
            .caller
            .call(net, &[self.caller.guard, member], &request)
        {
            Some(Reply::Fetch(fetched)) => fetched,
            other => panic!("{other:?}"),
        }
    }

    /// Acknowledges at one member.
    pub(super) fn acknowledge(&mut self, net: &mut Net, member: usize, ids: &[u8]) {
        let ids = ids.iter().map(|n| id(*n)).collect();
        let request = Request::Acknowledge(Tombstone::sign(&self.key, ids).unwrap());
        let reply = self
            .caller
            .call(net, &[self.caller.guard, member], &request);
        assert!(matches!(reply, Some(Reply::Acknowledge(_))), "{reply:?}");
    }

    /// Pushes that have arrived.
    pub(super) fn pushes(&mut self, net: &mut Net) -> Vec<Push> {
        let pushed = |reply| match reply {
            Reply::Push(push) => push,
            other => panic!("{other:?}"),
        };
        self.caller.replies(net).into_iter().map(pushed).collect()
    }
}

pub(super) fn envelope(n: u8) -> EnvelopeBytes {
    Bytes([n; ENVELOPE_LEN])
}

pub(super) fn id(n: u8) -> EnvelopeId {
    envelope_id(&envelope(n))
}
