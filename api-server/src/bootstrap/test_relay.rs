//! A relay for tests: as much of one as a visitor sees.

use std::sync::OnceLock;

use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use zentalk_shared::crypto::kem::{Kem, X25519Kem};
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::id::{MessageId, NodeId};
use zentalk_shared::onion::{
    Epoch, Features, OnionKey, Publication, RelayDescriptor, RelayInfo, RelaySigner, RelayUrl,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::link::{DescriptorBytes, Directory, HandshakeAck};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

/// The committed pool of relay keys; see `tests/src/keys.rs`, which documents the file.
const POOL: &[u8] = include_bytes!("../../../tests/keys/relay-rsa4096.TEST-ONLY.bin");
const ID: MessageId = MessageId::from_bytes([3; 16]);

/// The time of tests without a clock.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

#[derive(Clone)]
pub(crate) struct TestRelay {
    descriptor: RelayDescriptor,
}

/// Signing with RSA takes its time in a debug build: once for all tests.
fn signer() -> &'static RelaySigner {
    static SIGNER: OnceLock<RelaySigner> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let (length, rest) = POOL.split_first_chunk::<2>().unwrap();
        let rsa = &rest[..usize::from(u16::from_be_bytes(*length))];
        let rsa = RsaSecret::from_pkcs8_der(rsa).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = SigningKey::random(&mut rng);
        RelaySigner::certify(&rsa, key, &mut rng).unwrap()
    })
}

impl TestRelay {
    /// A relay whose descriptor is of [`NOW`].
    pub(crate) fn new(url: &str) -> Self {
        Self::at(url, NOW)
    }

    /// A relay whose descriptor is of `now`.
    pub(crate) fn at(url: &str, now: Timestamp) -> Self {
        let info = RelayInfo {
            urls: vec![RelayUrl::parse(url).unwrap()],
            operator: "test".into(),
            region: String::new(),
            software: String::new(),
            max_connections: 1000,
            features: Features::ALL,
        };
        let key = OnionKey {
            suite: X25519Kem::SUITE,
            epoch: Epoch::at(now),
            key: vec![9; 32],
        };
        let publication = Publication {
            sequence: now.as_ms(),
            from: now,
            until: now + Duration::from_hours(12),
        };
        let descriptor = signer()
            .sign_descriptor(&info, &[key], publication)
            .unwrap();
        Self { descriptor }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.descriptor.node()
    }

    pub(crate) fn descriptor(&self) -> &RelayDescriptor {
        &self.descriptor
    }

    pub(crate) fn ack_body(&self) -> HandshakeAck {
        HandshakeAck {
            version: VERSION,
            suites: BoundedList::new(vec![X25519Kem::SUITE]).unwrap(),
            node: self.node(),
            time: NOW,
            resumed: false,
            descriptor: None,
            nonce: None,
            signature: None,
        }
    }

    pub(crate) fn ack(&self) -> Vec<u8> {
        encode_frame(Tag::HandshakeAck, ID, &to_cbor(&self.ack_body()))
    }

    pub(crate) fn directory(&self) -> Vec<u8> {
        Self::directory_of(vec![self.descriptor.bytes().to_vec()])
    }

    pub(crate) fn directory_of(descriptors: Vec<Vec<u8>>) -> Vec<u8> {
        let descriptors = descriptors.into_iter().map(DescriptorBytes::new);
        let body = Directory {
            digest: Bytes([0; 32]),
            descriptors: BoundedList::new(descriptors.collect::<Result<_, _>>().unwrap()).unwrap(),
        };
        encode_frame(Tag::Directory, ID, &to_cbor(&body))
    }

    /// Answers one visitor until it leaves.
    pub(crate) async fn serve_one(self, listener: TcpListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(frame) = message else {
                continue;
            };
            let answer = match decode_frame(&frame).unwrap().tag {
                Tag::Handshake => self.ack(),
                Tag::DirectoryGet => self.directory(),
                other => panic!("a visitor sent {}", other.name()),
            };
            socket.send(Message::Binary(answer.into())).await.unwrap();
        }
    }
}
