//! A guard that dies as it hands its client a push.

use rand::RngExt;
use zentalk_shared::client::view::{Direction, MessageView};
use zentalk_shared::id::MessageId;
use zentalk_shared::wire::{Header, Tag};

use super::{Happening, Who, World};
use crate::sim::wire::End;

impl World {
    /// A text is said: how long it takes is counted from now.
    pub(super) fn said(&mut self, id: MessageId) {
        self.said.entry(id).or_insert(self.now);
    }

    /// A client shows a message.
    pub(super) fn shown(&mut self, view: &MessageView) {
        let said = self.said.get(&view.id).copied();
        if let Some(said) = said.filter(|_| view.direction == Direction::In) {
            let now = self.now;
            let delay = now.since(said);
            self.delays.entry(view.id).or_insert(delay);
        }
    }

    /// Whether the sender of this frame dies with it. It does once, with the first packet for who the plan's text is
    /// for, after that was said: a client that waits for nothing gets a push.
    pub(super) fn dies_with(&mut self, from: End, to: End, frame: &[u8]) -> bool {
        let Some(death) = self.plan.guard_death else {
            return false;
        };
        let (End::Relay(guard, _), End::Client(client, _)) = (from, to) else {
            return false;
        };
        let (_, recipient) = self.texts[death.text];
        let is_said = self.said.contains_key(&self.text_id(death.text));
        let is_delivery = Header::decode(frame).is_ok_and(|(head, _)| head.tag == Tag::Deliver);
        if self.guard_died || client != recipient || !is_said || !is_delivery {
            return false;
        }
        self.guard_died = true;
        self.report.0 += 1;
        let applied = self.rng.random_range(0..8);
        self.relays[guard].crash(applied);
        self.gone(Who::Relay(guard));
        if let Some(pause) = death.back {
            self.schedule(pause, Happening::StartRelay(guard));
        }
        true
    }
}
