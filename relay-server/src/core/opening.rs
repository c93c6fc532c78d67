//! How a connection becomes a link: the frames of its handshake, and what follows from them.

use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::codec::to_cbor;
use zentalk_shared::wire::link::{Handshake, HandshakeAck, LinkErrorCode, LinkProof};
use zentalk_shared::wire::{Frame, Tag};

use super::claims::Source;
use super::frames::body;
use super::handshake::{self, Dialing, Greeting, Me};
use super::io::{ConnId, Dial, Output};
use super::links::State;
use super::peers::Target;
use super::relay::{Relay, Step};

impl Relay {
    /// A frame on a connection that is no link yet.
    pub(super) fn on_handshake_frame(
        &mut self,
        conn: ConnId,
        state: State,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        match (state, frame.tag) {
            (State::Greeting, Tag::Handshake) => self.on_handshake(conn, body(frame)?, step),
            (State::Challenged(challenged), Tag::LinkProof) => {
                let descriptor = challenged.prove(&body::<LinkProof>(frame)?)?;
                let (node, source) = (descriptor.node(), Source::Itself(self.origin(conn)));
                self.open_link(conn, State::Relay(node), step);
                self.learn(descriptor, source, step);
                self.relay_linked(conn, node, false, step);
                Ok(())
            }
            (State::Dialing(dial, dialing), Tag::HandshakeAck) => {
                let ack = body(frame).inspect_err(|_| self.peers.failed.push(dial))?;
                self.on_answer(conn, dial, dialing, &ack, step)
            }
            (State::Dialing(dial, _), _) => {
                self.peers.failed.push(dial);
                Err(LinkErrorCode::Malformed)
            }
            _ => Err(LinkErrorCode::Malformed),
        }
    }

    /// Who was dialed has answered.
    fn on_answer(
        &mut self,
        conn: ConnId,
        dial: Dial,
        dialing: Dialing,
        ack: &HandshakeAck,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        if ack.node == self.me {
            self.dialed_myself(dial, step);
            return Err(LinkErrorCode::Unauthenticated);
        }
        let result = match self.directory.own() {
            None => Err(LinkErrorCode::ShuttingDown),
            Some(descriptor) => {
                let me = Me {
                    signer: &self.secrets.signer,
                    descriptor,
                    directory: self.directory.relays(),
                    suites: self.config.suites,
                };
                dialing.on_ack(ack, &me, step.now)
            }
        };
        let (descriptor, proof) = result.inspect_err(|_| self.peers.failed.push(dial))?;
        let (node, Some(attempt)) = (descriptor.node(), self.peers.end(dial)) else {
            return Err(LinkErrorCode::Timeout);
        };
        match &attempt.target {
            Target::Link(url) => {
                self.send(conn, Tag::LinkProof, &to_cbor(&proof), step);
                self.dial_succeeded(url, node);
                self.open_link(conn, State::Relay(node), step);
                self.found(descriptor, &attempt, step);
                self.relay_linked(conn, node, true, step);
            }
            Target::Contact(_) => self.contact_met(conn, (descriptor, &proof), &attempt, step),
            Target::Claim(..) | Target::Proof(..) => {
                self.close(conn, None, step);
                self.found(descriptor, &attempt, step);
            }
            // Somebody else is at the own URL.
            Target::Myself(_) => {
                self.close(conn, None, step);
                self.not_found(&attempt.target, step);
                self.learn(descriptor, Source::Gossip(node), step);
            }
        }
        Ok(())
    }

    fn on_handshake(
        &mut self,
        conn: ConnId,
        hello: Handshake,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let descriptor = self.directory.own().ok_or(LinkErrorCode::Full)?;
        let me = Me {
            signer: &self.secrets.signer,
            descriptor,
            directory: self.directory.relays(),
            suites: self.config.suites,
        };
        match handshake::greet(hello, &me, step.now, &mut step.rng)? {
            Greeting::Visitor(ack) => {
                self.open_link(conn, State::Visitor, step);
                self.send(conn, Tag::HandshakeAck, &to_cbor(&ack), step);
            }
            Greeting::Client { tag, received, ack } => {
                self.on_client(conn, tag, received, ack, step)?;
            }
            Greeting::Relay(challenged, ack) => {
                if let Some(link) = self.links.links.get_mut(&conn) {
                    link.state = State::Challenged(challenged);
                }
                self.send(conn, Tag::HandshakeAck, &to_cbor(&ack), step);
            }
        }
        Ok(())
    }

    fn on_client(
        &mut self,
        conn: ConnId,
        tag: ConnectionTag,
        received: u64,
        mut ack: HandshakeAck,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        if !self.is_guard() {
            return Err(LinkErrorCode::Full);
        }
        let attached = self
            .tags
            .attach(tag, conn, received, step.now)
            .ok_or(LinkErrorCode::Full)?;
        if let Some(old) = attached.replaced {
            self.close(old, None, step);
        }
        self.open_link(conn, State::Client(tag), step);
        ack.resumed = attached.resumed;
        self.send(conn, Tag::HandshakeAck, &to_cbor(&ack), step);
        for frame in attached.missed {
            self.output(Output::Send(conn, frame));
        }
        Ok(())
    }
}
