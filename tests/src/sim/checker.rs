//! What must hold of every run: nothing that was shown as sent is lost, nothing is shown twice, and what
//! a person sees is what was written.

use std::collections::BTreeMap;
use std::fmt;

use zentalk_shared::client::view::{Direction, MessageState, MessageView};
use zentalk_shared::id::{Address, MessageId};

/// A text on its way from one client to another.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Index of the sender.
    pub from: usize,
    /// Index of the recipient.
    pub to: usize,
    /// What.
    pub text: String,
    /// Highest state that the sender was shown: 0 sending, 1 sent, 2 delivered.
    pub shown: u8,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Shown as sent or delivered, and not in the recipient's conversation.
    Lost(MessageId),
    /// Shown to the recipient more than once.
    Twice(MessageId),
    /// Something else arrived than was sent, or from somebody else.
    Changed(MessageId),
    /// Still not sent long after the trouble was over.
    Stuck(MessageId),
}

impl Violation {
    /// Whether something that a person was told turned out false. A message that is stuck was never shown as
    /// sent.
    pub const fn is_false_promise(&self) -> bool {
        !matches!(self, Self::Stuck(_))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "{id} was shown as sent and is lost"),
            Self::Twice(id) => write!(f, "{id} was shown twice"),
            Self::Changed(id) => write!(f, "{id} arrived changed or from another sender"),
            Self::Stuck(id) => write!(f, "{id} was never sent although the network is well"),
        }
    }
}

/// Watches what people see.
#[derive(Debug, Default)]
pub struct Checker {
    sent: BTreeMap<MessageId, Sent>,
    /// How often each recipient was shown each message.
    shown: BTreeMap<(usize, MessageId), u32>,
    violations: Vec<Violation>,
    /// Lines that tell of encryption set up anew.
    notices: usize,
}

impl Checker {
    /// A person has sent something.
    pub fn sent(&mut self, id: MessageId, sent: Sent) {
        // Said again after a crash, it is still what was shown before.
        self.sent.entry(id).or_insert(sent);
    }

    /// A client shows a message. `address_of` tells whose address an index is.
    pub fn seen(
        &mut self,
        client: usize,
        view: &MessageView,
        address_of: impl Fn(usize) -> Address,
    ) {
        match view.direction {
            Direction::Out(state) => {
                if let Some(sent) = self.sent.get_mut(&view.id) {
                    sent.shown = sent.shown.max(rank(state));
                }
            }
            Direction::Notice(_) => self.notices += 1,
            Direction::In => {
                let count = self.shown.entry((client, view.id)).or_default();
                *count += 1;
                if *count > 1 {
                    self.violations.push(Violation::Twice(view.id));
                }
                let right = self.sent.get(&view.id).is_some_and(|sent| {
                    sent.to == client
                        && sent.text == view.text
                        && address_of(sent.from) == view.address
                });
                if !right {
                    self.violations.push(Violation::Changed(view.id));
                }
            }
        }
    }

    /// At the end: `conversations` are the incoming messages in every client's store.
    pub fn finish(mut self, conversations: &BTreeMap<(usize, MessageId), u32>) -> Vec<Violation> {
        for (id, sent) in &self.sent {
            let stored = conversations.get(&(sent.to, *id)).copied().unwrap_or(0);
            if stored > 1 {
                self.violations.push(Violation::Twice(*id));
            }
            if stored == 0 {
                let broken = if sent.shown > 0 {
                    Violation::Lost(*id)
                } else {
                    Violation::Stuck(*id)
                };
                self.violations.push(broken);
            }
        }
        self.violations
    }

    /// Texts whose sender was shown at least that they were sent.
    pub fn arrived(&self) -> usize {
        self.sent.values().filter(|sent| sent.shown > 0).count()
    }

    /// A client that has started finds a message in its conversation: it may have crashed after the commit and
    /// before it showed it.
    pub fn found(&mut self, client: usize, view: &MessageView) {
        if view.direction == Direction::In {
            self.shown.entry((client, view.id)).or_default();
        }
    }

    /// Texts that their senders were never shown as sent: id, sender, recipient.
    pub fn not_sent(&self) -> impl Iterator<Item = (MessageId, usize, usize)> {
        let stuck = self.sent.iter().filter(|(_, sent)| sent.shown == 0);
        stuck.map(|(id, sent)| (*id, sent.from, sent.to))
    }

    /// How often people were told that encryption was set up anew.
    pub const fn notices(&self) -> usize {
        self.notices
    }

    /// Whether every text was shown to its recipient, and its sender knows.
    pub fn is_complete(&self) -> bool {
        let delivered = |(id, sent): (&MessageId, &Sent)| {
            sent.shown > 1 && self.shown.contains_key(&(sent.to, *id))
        };
        self.sent.iter().all(delivered)
    }
}

fn rank(state: MessageState) -> u8 {
    match state {
        MessageState::Sending(_) | MessageState::Failed(_) => 0,
        MessageState::Sent { .. } => 1,
        MessageState::Delivered(_) | MessageState::Read(_) => 2,
    }
}
