//! One WebSocket to a relay, from the client's side. PROTOCOL §3.
//!
//! ```text
//!  Link::open ─▶ Opening ──opened──▶ Handshaking ──HandshakeAck──▶ Guarded   packets out, deliveries in
//!                                                 └──────────────▶ Visiting  DirectoryGet ─▶ Directory
//! ```
//! Every transition consumes the state and yields a [`Step`]: the next state, frames to send, and at most
//! one thing that happened. A step without a next state means that the link is to be closed.

use rand_core::CryptoRng;
use thiserror::Error;

use crate::id::{ConnectionTag, MessageId, NodeId, SurbId};
use crate::onion::{Suite, Suites};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, BoundedText, Bytes, from_cbor, to_cbor};
use crate::wire::link::{
    Ack, Directory, DirectoryGet, Handshake, HandshakeAck, LinkError, LinkErrorCode, Role,
};
use crate::wire::{Frame, FrameError, Tag, VERSION, decode_frame, encode_frame};

/// Opening the socket and the handshake take at most so long.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// A directory of 1 MiB arrives within.
const DIRECTORY_DEADLINE: Duration = Duration::from_secs(30);
/// After so much silence the relay is pinged.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// A ping is answered within.
pub(super) const PONG_DEADLINE: Duration = Duration::from_secs(30);
/// Deliveries that are reported at once.
pub(super) const ACK_EVERY: u64 = 16;
/// Fewer deliveries are reported after.
pub(super) const ACK_DELAY: Duration = Duration::from_secs(5);

/// Names a link of the host. The engine draws the number when it asks for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What the link is for, and what its handshake says.
#[derive(Clone, Debug)]
pub(super) enum Hello {
    /// A guard: packets and deliveries under a connection tag.
    Guard {
        /// Names the buffer at the guard.
        tag: ConnectionTag,
        /// `Deliver` frames received so far under the tag.
        received: u64,
    },
    /// The directory, once, in clear.
    Visitor {
        /// Which relays are listed where not all fit.
        seed: [u8; 16],
    },
}

/// A link in one of its states.
#[derive(Debug)]
pub(super) enum Link {
    /// The host is opening the socket.
    Opening(Opening),
    /// The handshake was sent.
    Handshaking(Opening),
    /// Packets go out, deliveries come in.
    Guarded(Guarded),
    /// The directory was asked for.
    Visiting(Visiting),
}

/// Not yet accepted by the relay.
#[derive(Debug)]
pub(super) struct Opening {
    hello: Hello,
    suites: Suites,
    relay: NodeId,
    deadline: Timestamp,
}

/// Accepted by a guard.
#[derive(Debug)]
pub(super) struct Guarded {
    heard: Timestamp,
    pinged: Option<Timestamp>,
    received: u64,
    reported: u64,
    report_by: Option<Timestamp>,
}

/// Accepted by a bootstrap relay.
#[derive(Debug)]
pub(super) struct Visiting {
    deadline: Timestamp,
}

/// What a transition did.
#[derive(Debug)]
pub(super) struct Step {
    /// The next state; none: the link is over, close it.
    pub(super) link: Option<Link>,
    /// Frames to send first, in order.
    pub(super) send: Vec<Vec<u8>>,
    /// What happened.
    pub(super) event: Option<LinkEvent>,
}

/// What a link tells its owner.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// The guard has accepted; it knows the tag and sends what it kept, or it does not.
    Up {
        /// Deliveries counted under the tag: zero again if the guard has forgotten it.
        received: u64,
        /// The guard knew the tag, and has kept what came for it meanwhile.
        resumed: bool,
    },
    /// A reply or a push, for whoever holds the keys of the reply block.
    Deliver {
        /// Deliveries counted under the tag, this one included.
        received: u64,
        /// Which reply block.
        surb: SurbId,
        /// As the guard received it.
        body: Vec<u8>,
    },
    /// The bootstrap relay's directory.
    Directory(Directory),
    /// The link is over.
    Down(LinkFault),
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum LinkFault {
    /// Environment: the host could not open the socket, or it closed.
    #[error("the socket closed")]
    Closed,
    /// Environment: a deadline passed.
    #[error("the relay did not answer in time")]
    Timeout,
    /// Peer: a frame broke a rule.
    #[error("the relay broke a rule of the link")]
    Broken,
    /// Peer: another relay answers there than was asked for.
    #[error("another relay answers at this address")]
    WrongRelay,
    /// Peer: the relay has said why.
    #[error("the relay refused: {0:?}")]
    Refused(LinkErrorCode),
}

impl LinkFault {
    /// Whether the relay itself is to blame, not what lies between.
    pub(super) const fn is_peers(self) -> bool {
        match self {
            Self::Closed | Self::Timeout | Self::Refused(LinkErrorCode::ShuttingDown) => false,
            Self::Broken | Self::WrongRelay | Self::Refused(_) => true,
        }
    }
}

impl Step {
    fn stay(link: Link) -> Self {
        Self {
            link: Some(link),
            send: Vec::new(),
            event: None,
        }
    }

    fn sending(mut self, frame: Vec<u8>) -> Self {
        self.send.push(frame);
        self
    }

    fn telling(mut self, event: LinkEvent) -> Self {
        self.event = Some(event);
        self
    }

    fn down(fault: LinkFault) -> Self {
        Self {
            link: None,
            send: Vec::new(),
            event: Some(LinkEvent::Down(fault)),
        }
    }

    /// The peer broke a rule: it is told so and the link closes.
    fn broken(code: LinkErrorCode, fault: LinkFault, rng: &mut impl CryptoRng) -> Self {
        let message = BoundedText::default();
        let error = to_cbor(&LinkError { code, message });
        Self::down(fault).sending(frame(Tag::Error, &error, rng))
    }

    fn malformed(rng: &mut impl CryptoRng) -> Self {
        Self::broken(LinkErrorCode::Malformed, LinkFault::Broken, rng)
    }
}

impl Link {
    /// A link that the host has been asked to open, to `relay`. Packets on it are of one of `suites`.
    pub(super) fn open(relay: NodeId, hello: Hello, suites: Suites, now: Timestamp) -> Self {
        let deadline = now + OPEN_DEADLINE;
        Self::Opening(Opening {
            hello,
            suites,
            relay,
            deadline,
        })
    }

    /// The socket is open: says who connects.
    pub(super) fn opened(self, rng: &mut impl CryptoRng) -> Step {
        match self {
            Self::Opening(state) => {
                let hello = frame(
                    Tag::Handshake,
                    &to_cbor(&state.hello.body(state.suites)),
                    rng,
                );
                Step::stay(Self::Handshaking(state)).sending(hello)
            }
            other => Step::stay(other),
        }
    }

    /// One binary message has arrived.
    pub(super) fn frame(self, bytes: &[u8], now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        let frame = match decode_frame(bytes) {
            Ok(frame) => frame,
            Err(error) => return Step::broken(code_of(&error), LinkFault::Broken, rng),
        };
        if frame.tag == Tag::Error {
            return match from_cbor::<LinkError>(frame.payload, Tag::Error.max_payload()) {
                Ok(error) => Step::down(LinkFault::Refused(error.code)),
                Err(_) => Step::down(LinkFault::Broken),
            };
        }
        match self {
            Self::Opening(_) => Step::malformed(rng),
            Self::Handshaking(state) => state.answered(&frame, now, rng),
            Self::Guarded(state) => state.frame(&frame, now, rng),
            Self::Visiting(state) => state.frame(&frame, rng),
        }
    }

    /// Does what is due.
    pub(super) fn timeout(self, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        match self {
            Self::Guarded(state) => state.timeout(now, rng),
            other if other.next_timeout() <= now => Step::down(LinkFault::Timeout),
            other => Step::stay(other),
        }
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Timestamp {
        match self {
            Self::Opening(state) | Self::Handshaking(state) => state.deadline,
            Self::Guarded(state) => state.next_timeout(),
            Self::Visiting(state) => state.deadline,
        }
    }

    /// Finds out now whether the relay still answers.
    pub(super) fn probe(self, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        match self {
            Self::Guarded(state) if state.pinged.is_none() => state.ping(now, rng),
            other => Step::stay(other),
        }
    }
}

impl Hello {
    fn body(&self, suites: Suites) -> Handshake {
        let (role, tag, received) = match self {
            Self::Guard { tag, received } => (Role::Client, Some(*tag), Some(*received)),
            Self::Visitor { .. } => (Role::Visitor, None, None),
        };
        Handshake {
            role,
            versions: BoundedList::new(vec![VERSION]).unwrap_or_default(),
            suites: BoundedList::new(suites.numbers()).unwrap_or_default(),
            tag,
            received,
            descriptor: None,
            nonce: None,
        }
    }
}

impl Opening {
    /// The first frame of who accepts.
    fn answered(self, answer: &Frame<'_>, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        if answer.tag != Tag::HandshakeAck {
            return Step::malformed(rng);
        }
        let bound = Tag::HandshakeAck.max_payload();
        let Ok(ack) = from_cbor::<HandshakeAck>(answer.payload, bound) else {
            return Step::malformed(rng);
        };
        let mut common = ack.suites.iter().filter_map(|n| Suite::from_number(*n));
        let visitor = matches!(self.hello, Hello::Visitor { .. });
        let understood = visitor || common.any(|suite| self.suites.contains(suite));
        if ack.version != VERSION || !understood {
            return Step::broken(LinkErrorCode::Version, LinkFault::Broken, rng);
        }
        if ack.node != self.relay {
            let code = LinkErrorCode::Unauthenticated;
            return Step::broken(code, LinkFault::WrongRelay, rng);
        }
        match self.hello {
            Hello::Guard { received, .. } => {
                let received = if ack.resumed { received } else { 0 };
                let link = Link::Guarded(Guarded::new(received, now));
                let resumed = ack.resumed;
                Step::stay(link).telling(LinkEvent::Up { received, resumed })
            }
            Hello::Visitor { seed } => {
                let deadline = now + DIRECTORY_DEADLINE;
                let ask = DirectoryGet {
                    known: None,
                    seed: Some(Bytes(seed)),
                };
                let ask = frame(Tag::DirectoryGet, &to_cbor(&ask), rng);
                Step::stay(Link::Visiting(Visiting { deadline })).sending(ask)
            }
        }
    }
}

impl Guarded {
    const fn new(received: u64, now: Timestamp) -> Self {
        Self {
            heard: now,
            pinged: None,
            received,
            reported: received,
            report_by: None,
        }
    }

    fn frame(mut self, frame: &Frame<'_>, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        self.heard = now;
        self.pinged = None;
        match frame.tag {
            Tag::Pong => Step::stay(Link::Guarded(self)),
            Tag::Ping => {
                let pong = encode_frame(Tag::Pong, frame.id, frame.payload);
                Step::stay(Link::Guarded(self)).sending(pong)
            }
            Tag::Deliver => self.deliver(frame.payload, now, rng),
            _ => Step::malformed(rng),
        }
    }

    fn deliver(mut self, payload: &[u8], now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        let Some((surb, body)) = payload.split_first_chunk() else {
            return Step::malformed(rng);
        };
        self.received = self.received.saturating_add(1);
        let event = LinkEvent::Deliver {
            received: self.received,
            surb: SurbId::from_bytes(*surb),
            body: body.to_vec(),
        };
        self.report_by.get_or_insert(now + ACK_DELAY);
        let step = match self.received.saturating_sub(self.reported) >= ACK_EVERY {
            true => self.report(rng),
            false => Step::stay(Link::Guarded(self)),
        };
        step.telling(event)
    }

    /// Tells the guard what it need not keep any more.
    fn report(mut self, rng: &mut impl CryptoRng) -> Step {
        self.reported = self.received;
        self.report_by = None;
        let ack = to_cbor(&Ack {
            received: self.received,
        });
        Step::stay(Link::Guarded(self)).sending(frame(Tag::Ack, &ack, rng))
    }

    fn ping(mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        self.pinged = Some(now);
        Step::stay(Link::Guarded(self)).sending(frame(Tag::Ping, &[], rng))
    }

    fn timeout(self, now: Timestamp, rng: &mut impl CryptoRng) -> Step {
        match self.pinged {
            Some(pinged) if pinged + PONG_DEADLINE <= now => {
                Step::broken(LinkErrorCode::Timeout, LinkFault::Timeout, rng)
            }
            None if self.heard + SILENCE <= now => self.ping(now, rng),
            _ if self.report_by.is_some_and(|by| by <= now) => self.report(rng),
            _ => Step::stay(Link::Guarded(self)),
        }
    }

    fn next_timeout(&self) -> Timestamp {
        let alive = match self.pinged {
            Some(pinged) => pinged + PONG_DEADLINE,
            None => self.heard + SILENCE,
        };
        self.report_by.map_or(alive, |by| by.min(alive))
    }
}

impl Visiting {
    fn frame(self, frame: &Frame<'_>, rng: &mut impl CryptoRng) -> Step {
        match frame.tag {
            Tag::Ping => {
                let pong = encode_frame(Tag::Pong, frame.id, frame.payload);
                Step::stay(Link::Visiting(self)).sending(pong)
            }
            Tag::Directory => match from_cbor(frame.payload, Tag::Directory.max_payload()) {
                Ok(directory) => Step {
                    link: None,
                    send: Vec::new(),
                    event: Some(LinkEvent::Directory(directory)),
                },
                Err(_) => Step::malformed(rng),
            },
            _ => Step::malformed(rng),
        }
    }
}

/// An onion packet as the frame that carries it to the guard.
pub(super) fn packet_frame(packet: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    frame(Tag::RelayForward, packet, rng)
}

/// A frame with an id of its own.
fn frame(tag: Tag, payload: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    encode_frame(tag, MessageId::random(rng), payload)
}

const fn code_of(error: &FrameError) -> LinkErrorCode {
    match error {
        FrameError::TooLarge { .. } => LinkErrorCode::TooLarge,
        FrameError::Version(_) => LinkErrorCode::Version,
        _ => LinkErrorCode::Malformed,
    }
}

#[cfg(test)]
mod tests;
