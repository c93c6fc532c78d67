//! The people at the clients: what they write, and what they see.

use zentalk_shared::client::view::{Direction, MessageView};
use zentalk_shared::client::{Command, Input as ClientInput, Query};
use zentalk_shared::id::MessageId;
use zentalk_shared::time::Duration;

use super::{Happening, World};
use crate::sim::checker::Sent;
use crate::sim::relay_host::RelayHost;

impl World {
    pub(super) fn say(&mut self, index: usize) {
        let (from, to) = self.texts[index];
        if self.clients[from].engine().is_none() {
            self.schedule(self.again(), Happening::Say(index));
            return;
        }
        let known = self.clients[from].engine().is_some_and(|engine| {
            engine
                .contacts()
                .iter()
                .any(|contact| contact.address == self.addresses[to])
        });
        if !known {
            let command = Command::AddContact {
                code: self.codes[to],
                name: None,
            };
            self.client(from, ClientInput::Command(command));
        }
        let (id, text) = (self.text_id(index), format!("text {index}"));
        // A person whose program crashes while they press the key presses it again.
        if self.clients[from].engine().is_none() {
            self.schedule(self.again(), Happening::Say(index));
            return;
        }
        self.checker.sent(
            id,
            Sent {
                from,
                to,
                text: text.clone(),
                shown: 0,
            },
        );
        self.said(id);
        self.put_by_a_bad_path(from, to);
        let command = Command::Send {
            address: self.addresses[to],
            id,
            text,
        };
        self.client(from, ClientInput::Command(command));
        if self.clients[from].engine().is_none() {
            self.schedule(self.again(), Happening::Say(index));
        }
    }

    /// When a person tries again whose program does not run: those who sleep do so for long.
    const fn again(&self) -> Duration {
        match self.plan.sleepers {
            0 => Duration::from_secs(1),
            _ => Duration::from_mins(1),
        }
    }

    pub(super) fn text_id(&self, index: usize) -> MessageId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.plan.seed.to_be_bytes());
        id[8..].copy_from_slice(&u64::try_from(index).unwrap_or(0).to_be_bytes());
        MessageId::from_bytes(id)
    }

    /// A person whose program has started sees what has become of their texts meanwhile.
    pub(super) fn look_again(&mut self, index: usize) {
        for to in 0..self.clients.len() {
            for view in self.conversation(index, to) {
                if matches!(view.direction, Direction::Out(_)) {
                    let addresses = &self.addresses;
                    self.checker.seen(index, &view, |client| addresses[client]);
                }
                self.checker.found(index, &view);
            }
        }
    }

    pub(super) fn conversation(&self, from: usize, to: usize) -> Vec<MessageView> {
        let Some(engine) = self.clients[from].engine() else {
            return Vec::new();
        };
        let query = Query::Messages {
            address: self.addresses[to],
            before: None,
            limit: 100,
        };
        let rows = self.clients[from].scan(&query.scan());
        engine.messages(&rows, 100).messages
    }

    /// What senders see of texts that they were never shown as sent.
    pub(super) fn stuck(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, from, to) in self.checker.not_sent() {
            let Some(engine) = self.clients[from].engine() else {
                continue;
            };
            let mut talk = self.conversation(from, to).into_iter();
            let state = talk.find(|view| view.id == id).map(|view| view.direction);
            let (relays, link) = (engine.network().relays, engine.connection());
            lines.push(format!(
                "{from} to {to}: {state:?}, {relays} relays known, {link:?}"
            ));
        }
        lines
    }

    /// How clients are at the end, for who looks for the reason of a broken promise.
    pub(super) fn people(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            let Some(engine) = client.engine() else {
                lines.push(format!("{index} does not run"));
                continue;
            };
            let there = |node| {
                let relay = self.relays.iter().find(|relay| relay.node() == node);
                relay.is_some_and(RelayHost::is_up)
            };
            let swarm = engine.swarm();
            let up = swarm.iter().filter(|node| there(**node)).count();
            let (of, relays, link) = (swarm.len(), engine.network().relays, engine.connection());
            lines.push(format!(
                "{index}: {up} of {of} members up, {relays} relays known, {link:?}"
            ));
        }
        lines
    }
}
