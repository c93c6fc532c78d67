//! A visitor's link to a relay as states: each step takes the relay's frame and gives the next state, or
//! the reason why the visit has failed. Bytes only; PROTOCOL §3.
//!
//! ```text
//!  Greeting::start ─ Handshake ─▶ relay
//!  Greeting::answered ◀─ HandshakeAck ─ relay;  ─ DirectoryGet ─▶ relay
//!  Asking::answered   ◀─ Directory ─ relay;     the relay's own descriptor, verified
//! ```

use thiserror::Error;
use tokio_tungstenite::tungstenite;
use zentalk_shared::crypto::kem::{Kem, X25519Kem};
use zentalk_shared::id::{MessageId, NodeId};
use zentalk_shared::onion::{DescriptorError, RelayDescriptor, RelayUrl, UnverifiedDescriptor};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::{BoundedList, CodecError, from_cbor, to_cbor};
use zentalk_shared::wire::link::{
    Directory, DirectoryGet, Handshake, HandshakeAck, LinkError, LinkErrorCode, Role,
};
use zentalk_shared::wire::{FrameError, Tag, VERSION, decode_frame, encode_frame};

/// A relay's NodeId could not be learned.
#[derive(Debug, Error)]
pub enum VisitError {
    /// The network, TLS, or no WebSocket behind the URL.
    #[error("the connection failed")]
    Connection(#[from] Box<tungstenite::Error>),
    /// The relay took too long.
    #[error("the relay did not answer in time")]
    TimedOut,
    /// The relay hung up without a reason.
    #[error("the relay closed the connection")]
    Closed,
    /// The operating system gave no randomness.
    #[error("there is no randomness")]
    Random(#[from] getrandom::Error),
    /// Not a frame.
    #[error("the relay sent a broken frame")]
    Frame(#[from] FrameError),
    /// Not the body that the frame announced.
    #[error("the relay sent a broken body")]
    Body(#[from] CodecError),
    /// A text message, or a frame that has no place here.
    #[error("the relay sent something else than an answer")]
    Unexpected,
    /// The relay refused, and said why.
    #[error("the relay refused: {0:?}")]
    Refused(LinkErrorCode),
    /// The relay speaks another version.
    #[error("the relay chose version {0:#06x}")]
    Version(u16),
    /// The relay's directory holds no descriptor of its own.
    #[error("the relay's directory does not list the relay")]
    NotListed,
    /// The relay's descriptor is not acceptable.
    #[error("the relay's descriptor is not acceptable")]
    Descriptor(#[from] DescriptorError),
    /// The relay does not call itself by the configured URL.
    #[error("the relay's descriptor does not name the configured URL")]
    OtherUrl,
}

/// The handshake has been sent.
#[derive(Debug)]
pub(super) struct Greeting(());

/// The relay has said who it is; its directory has been asked for.
#[derive(Debug)]
pub(super) struct Asking {
    node: NodeId,
}

impl Greeting {
    /// The first frame of a visitor.
    pub(super) fn start(id: MessageId) -> (Self, Vec<u8>) {
        let hello = Handshake {
            role: Role::Visitor,
            versions: BoundedList::new(vec![VERSION]).unwrap_or_default(),
            suites: BoundedList::new(vec![X25519Kem::SUITE]).unwrap_or_default(),
            tag: None,
            received: None,
            descriptor: None,
            nonce: None,
        };
        let frame = encode_frame(Tag::Handshake, id, &to_cbor(&hello));
        (Self(()), frame)
    }

    /// Reads the answer; gives the question.
    pub(super) fn answered(
        self,
        frame: &[u8],
        id: MessageId,
    ) -> Result<(Asking, Vec<u8>), VisitError> {
        let body = body(frame, Tag::HandshakeAck)?;
        let ack: HandshakeAck = from_cbor(body, Tag::HandshakeAck.max_payload())?;
        if ack.version != VERSION {
            return Err(VisitError::Version(ack.version));
        }
        let question = to_cbor(&DirectoryGet::default());
        let frame = encode_frame(Tag::DirectoryGet, id, &question);
        Ok((Asking { node: ack.node }, frame))
    }
}

impl Asking {
    /// Reads the directory; gives the descriptor of the relay itself, verified at `now`.
    ///
    /// What a visitor's handshake says of the relay is not signed. The descriptor is, and it must name
    /// `url`: so nobody but the operator of a relay can bind its NodeId to a URL.
    pub(super) fn answered(
        self,
        frame: &[u8],
        url: &RelayUrl,
        now: Timestamp,
    ) -> Result<RelayDescriptor, VisitError> {
        let body = body(frame, Tag::Directory)?;
        let directory: Directory = from_cbor(body, Tag::Directory.max_payload())?;
        let own = directory
            .descriptors
            .iter()
            .filter_map(|bytes| UnverifiedDescriptor::decode(bytes).ok())
            .find(|descriptor| descriptor.claimed_node() == self.node)
            .ok_or(VisitError::NotListed)?
            .verify(now)?;
        match own.info().urls.contains(url) {
            true => Ok(own),
            false => Err(VisitError::OtherUrl),
        }
    }
}

/// The payload of a frame of the type that must come now.
fn body(frame: &[u8], expected: Tag) -> Result<&[u8], VisitError> {
    let frame = decode_frame(frame)?;
    match frame.tag {
        tag if tag == expected => Ok(frame.payload),
        Tag::Error => {
            let error: LinkError = from_cbor(frame.payload, Tag::Error.max_payload())?;
            Err(VisitError::Refused(error.code))
        }
        _ => Err(VisitError::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_relay::{NOW, TestRelay};
    use super::*;
    use zentalk_shared::time::Duration;
    use zentalk_shared::wire::codec::{BoundedText, Bytes};

    const URL: &str = "ws://127.0.0.1:9001/v1";
    const ID: MessageId = MessageId::from_bytes([7; 16]);

    fn url() -> RelayUrl {
        RelayUrl::parse(URL).unwrap()
    }

    /// Both steps, with what the relay answers.
    fn visit(ack: &[u8], directory: &[u8], now: Timestamp) -> Result<NodeId, VisitError> {
        let (greeting, _) = Greeting::start(ID);
        let (asking, _) = greeting.answered(ack, ID)?;
        asking.answered(directory, &url(), now).map(|d| d.node())
    }

    #[test]
    fn a_visitor_greets_and_asks() {
        let relay = TestRelay::new(URL);
        let (greeting, frame) = Greeting::start(ID);
        let frame = decode_frame(&frame).unwrap();
        assert_eq!((frame.tag, frame.id), (Tag::Handshake, ID));
        let hello: Handshake = from_cbor(frame.payload, 16384).unwrap();
        assert_eq!(hello.role, Role::Visitor);
        assert_eq!((hello.tag, hello.nonce), (None, None));

        let (asking, frame) = greeting.answered(&relay.ack(), ID).unwrap();
        let frame = decode_frame(&frame).unwrap();
        assert_eq!(frame.tag, Tag::DirectoryGet);
        let get: DirectoryGet = from_cbor(frame.payload, 64).unwrap();
        assert_eq!(get.known, None);

        let descriptor = asking.answered(&relay.directory(), &url(), NOW).unwrap();
        assert_eq!(descriptor.node(), relay.node());
    }

    #[test]
    fn the_descriptor_must_be_of_now() {
        let relay = TestRelay::new(URL);
        let at = |now| visit(&relay.ack(), &relay.directory(), now);
        assert_eq!(at(NOW).unwrap(), relay.node());
        let late = at(NOW + Duration::from_hours(48)).unwrap_err();
        assert!(
            matches!(late, VisitError::Descriptor(DescriptorError::Expired(_))),
            "{late:?}"
        );
    }

    #[test]
    fn the_descriptor_must_name_the_url_that_was_visited() {
        let relay = TestRelay::new("ws://127.0.0.1:9002/v1");
        let error = visit(&relay.ack(), &relay.directory(), NOW).unwrap_err();
        assert!(matches!(error, VisitError::OtherUrl), "{error:?}");
    }

    #[test]
    fn the_descriptor_must_be_of_the_relay_that_answered() {
        let relay = TestRelay::new(URL);
        let mut ack = relay.ack_body();
        ack.node = NodeId::from_bytes([9; 20]);
        let ack = encode_frame(Tag::HandshakeAck, ID, &to_cbor(&ack));
        let error = visit(&ack, &relay.directory(), NOW).unwrap_err();
        assert!(matches!(error, VisitError::NotListed), "{error:?}");
    }

    #[test]
    fn a_forged_descriptor_is_refused() {
        let relay = TestRelay::new(URL);
        let mut bytes = relay.descriptor().bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let directory = TestRelay::directory_of(vec![bytes]);
        let error = visit(&relay.ack(), &directory, NOW).unwrap_err();
        assert!(
            matches!(error, VisitError::Descriptor(DescriptorError::Signature)),
            "{error:?}"
        );
    }

    #[test]
    fn others_broken_descriptors_do_no_harm() {
        let relay = TestRelay::new(URL);
        let own = relay.descriptor().bytes().to_vec();
        let directory = TestRelay::directory_of(vec![vec![0xff; 40], own]);
        assert_eq!(visit(&relay.ack(), &directory, NOW).unwrap(), relay.node());
    }

    #[test]
    fn a_refusal_keeps_its_code_and_drops_its_text() {
        let refusal = LinkError {
            code: LinkErrorCode::Full,
            message: BoundedText::new("\u{1b}[31mtake this\n").unwrap(),
        };
        let frame = encode_frame(Tag::Error, ID, &to_cbor(&refusal));
        let error = visit(&frame, &[], NOW).unwrap_err();
        assert_eq!(error.to_string(), "the relay refused: Full");
    }

    #[test]
    fn anything_else_ends_the_visit() {
        let relay = TestRelay::new(URL);
        let mut ack = relay.ack_body();
        ack.version = 0x0200;
        let other_version = encode_frame(Tag::HandshakeAck, ID, &to_cbor(&ack));
        let error = visit(&other_version, &[], NOW).unwrap_err();
        assert!(matches!(error, VisitError::Version(0x0200)), "{error:?}");

        let error = visit(&relay.directory(), &[], NOW).unwrap_err();
        assert!(matches!(error, VisitError::Unexpected), "{error:?}");
        let error = visit(b"HTTP/1.1 200 OK", &[], NOW).unwrap_err();
        assert!(matches!(error, VisitError::Frame(_)), "{error:?}");
        let broken = encode_frame(Tag::Directory, ID, &[0xff]);
        let error = visit(&relay.ack(), &broken, NOW).unwrap_err();
        assert!(matches!(error, VisitError::Body(_)), "{error:?}");

        let unchanged = Directory {
            digest: Bytes([0; 32]),
            descriptors: BoundedList::default(),
        };
        let empty = encode_frame(Tag::Directory, ID, &to_cbor(&unchanged));
        let error = visit(&relay.ack(), &empty, NOW).unwrap_err();
        assert!(matches!(error, VisitError::NotListed), "{error:?}");
    }
}
