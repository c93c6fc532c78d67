//! How a link begins. Every state is a type; a step consumes it and yields the next one or the reason
//! why the link closes. PROTOCOL §3.
//!
//! ```text
//!  accepted:  Handshake ─▶ greet ─┬─▶ Greeting::Client ─┐
//!                                 ├─▶ Greeting::Visitor ┴─▶ open
//!                                 └─▶ Greeting::Relay(Challenged) ─ LinkProof ─▶ open
//!  dialed:    Dialing ─ HandshakeAck ─▶ open, after sending LinkProof
//! ```

use rand_core::CryptoRng;
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::onion::{
    Directory, LinkSide, LinkTranscript, RelayDescriptor, RelaySigner, Suites, UnverifiedDescriptor,
};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::VERSION;
use zentalk_shared::wire::codec::{BoundedList, Bytes};
use zentalk_shared::wire::link::{Handshake, HandshakeAck, LinkErrorCode, LinkProof, Role};

/// What a relay says of itself in a handshake.
pub(super) struct Me<'a> {
    pub(super) signer: &'a RelaySigner,
    pub(super) descriptor: &'a RelayDescriptor,
    pub(super) directory: &'a Directory,
    /// Onion suites that it peels.
    pub(super) suites: Suites,
}

/// Who has connected.
pub(super) enum Greeting {
    /// A client; `resumed` of the answer is for who knows the tag to fill in.
    Client {
        tag: ConnectionTag,
        received: u64,
        ack: HandshakeAck,
    },
    /// Somebody who reads the directory.
    Visitor(HandshakeAck),
    /// A relay, not proven yet.
    Relay(Box<Challenged>, HandshakeAck),
}

/// A relay that has been answered and must prove itself.
pub(super) struct Challenged {
    descriptor: RelayDescriptor,
    transcript: LinkTranscript,
}

/// This relay has connected and waits for the answer.
pub(super) struct Dialing {
    nonce: [u8; 32],
    /// Who must answer, if that is known.
    expects: Option<NodeId>,
}

/// Reads the first frame of who connects.
pub(super) fn greet(
    hello: Handshake,
    me: &Me<'_>,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Greeting, LinkErrorCode> {
    if !hello.versions.contains(&VERSION) {
        return Err(LinkErrorCode::Version);
    }
    let mut common = me.suites.numbers();
    common.retain(|suite| hello.suites.contains(suite));
    if common.is_empty() && hello.role == Role::Client {
        // None of its packets could be peeled here. Relays replicate mail without any.
        return Err(LinkErrorCode::Version);
    }
    let ack = HandshakeAck {
        version: VERSION,
        suites: BoundedList::new(common).unwrap_or_default(),
        node: me.signer.node(),
        time: now,
        resumed: false,
        descriptor: None,
        nonce: None,
        signature: None,
    };
    match hello.role {
        Role::Visitor => Ok(Greeting::Visitor(ack)),
        Role::Client => {
            let tag = hello.tag.ok_or(LinkErrorCode::Malformed)?;
            let received = hello.received.unwrap_or(0);
            Ok(Greeting::Client { tag, received, ack })
        }
        Role::Relay => challenge(hello, ack, me, now, rng),
    }
}

fn challenge(
    hello: Handshake,
    mut ack: HandshakeAck,
    me: &Me<'_>,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Greeting, LinkErrorCode> {
    let (Some(descriptor), Some(nonce)) = (hello.descriptor, hello.nonce) else {
        return Err(LinkErrorCode::Malformed);
    };
    let descriptor = verified(&descriptor, me, now)?;
    let mut own_nonce = [0; 32];
    rng.fill_bytes(&mut own_nonce);
    let transcript = LinkTranscript {
        connects: descriptor.node(),
        accepts: me.signer.node(),
        connect_nonce: nonce.0,
        accept_nonce: own_nonce,
    };
    let signature = me.signer.sign_link(LinkSide::Accept, &transcript);
    ack.descriptor = Some(me.descriptor.bytes().clone());
    ack.nonce = Some(Bytes(own_nonce));
    ack.signature = Some(Bytes(*signature.as_bytes()));
    let challenged = Challenged {
        descriptor,
        transcript,
    };
    Ok(Greeting::Relay(Box::new(challenged), ack))
}

/// A descriptor that is genuine and of now. It may be this relay's own: it dials itself to see where it is.
fn verified(bytes: &[u8], me: &Me<'_>, now: Timestamp) -> Result<RelayDescriptor, LinkErrorCode> {
    let claimed = UnverifiedDescriptor::decode(bytes).map_err(|_| LinkErrorCode::Malformed)?;
    let known = me.directory.get(&claimed.claimed_node());
    let verified = match known {
        Some(known) => claimed.verify_renewal(known, now),
        None => claimed.verify(now),
    };
    verified.map_err(|_| LinkErrorCode::Unauthenticated)
}

impl Challenged {
    /// Checks that the relay holds the key of its descriptor, and is another one.
    pub(super) fn prove(self, proof: &LinkProof) -> Result<RelayDescriptor, LinkErrorCode> {
        let signature = zentalk_shared::crypto::sign::Signature::from_bytes(proof.signature.0);
        self.transcript
            .verify(LinkSide::Connect, self.descriptor.relay_key(), &signature)
            .map_err(|_| LinkErrorCode::Unauthenticated)?;
        match self.transcript.connects == self.transcript.accepts {
            true => Err(LinkErrorCode::Unauthenticated),
            false => Ok(self.descriptor),
        }
    }
}

impl Dialing {
    /// The first frame to send.
    pub(super) fn start(
        me: &Me<'_>,
        expects: Option<NodeId>,
        rng: &mut impl CryptoRng,
    ) -> (Self, Handshake) {
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let hello = Handshake {
            role: Role::Relay,
            versions: BoundedList::new(vec![VERSION]).unwrap_or_default(),
            suites: BoundedList::new(me.suites.numbers()).unwrap_or_default(),
            tag: None,
            received: None,
            descriptor: Some(me.descriptor.bytes().clone()),
            nonce: Some(Bytes(nonce)),
        };
        (Self { nonce, expects }, hello)
    }

    /// Reads the answer; yields who it is, and what proves this relay to it.
    pub(super) fn on_ack(
        self,
        ack: &HandshakeAck,
        me: &Me<'_>,
        now: Timestamp,
    ) -> Result<(RelayDescriptor, LinkProof), LinkErrorCode> {
        let (Some(descriptor), Some(nonce), Some(signature)) =
            (&ack.descriptor, ack.nonce, ack.signature)
        else {
            return Err(LinkErrorCode::Malformed);
        };
        if ack.version != VERSION {
            return Err(LinkErrorCode::Version);
        }
        let descriptor = verified(descriptor, me, now)?;
        let node = descriptor.node();
        if node != ack.node || self.expects.is_some_and(|expected| expected != node) {
            return Err(LinkErrorCode::Unauthenticated);
        }
        let transcript = LinkTranscript {
            connects: me.signer.node(),
            accepts: node,
            connect_nonce: self.nonce,
            accept_nonce: nonce.0,
        };
        let signature = zentalk_shared::crypto::sign::Signature::from_bytes(signature.0);
        transcript
            .verify(LinkSide::Accept, descriptor.relay_key(), &signature)
            .map_err(|_| LinkErrorCode::Unauthenticated)?;
        let proof = me.signer.sign_link(LinkSide::Connect, &transcript);
        let proof = LinkProof {
            signature: Bytes(*proof.as_bytes()),
        };
        Ok((descriptor, proof))
    }
}
