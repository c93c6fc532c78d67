//! A device in the model: its sessions, its texts and receipts, and what it has yet to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use zentalk_fuzz::devices::{Device, Published, rng};
use zentalk_shared::crypto::hash::blake2b_128_concat;
use zentalk_shared::id::SessionId;
use zentalk_shared::session::{ReceiveError, SessionMessage, SessionRecord};
use zentalk_shared::wire::codec::to_cbor;

/// Names a state of a device, or a message.
pub(crate) type Name = [u8; 16];

pub(crate) fn name(bytes: &[u8]) -> Name {
    blake2b_128_concat(b"ZenTalk model v1", bytes)
}

/// A generator that depends on the state that draws from it, and on nothing else.
fn drawn_by(state: &Name, what: u8) -> rand_chacha::ChaCha20Rng {
    let seed = name(&[state.as_slice(), &[what]].concat());
    rng(u64::from_be_bytes(seed[..8].try_into().unwrap()))
}

/// What devices do: what the code under test does, or something broken on purpose, which must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// The record's rules for sessions, and the engine's for texts.
    Right,
    /// The peer's newest first message always wins, without the tie-break by id.
    NewestWins,
    /// Prekeys serve again and again, and nobody remembers what they began.
    PrekeysForEver,
    /// What was sealed in a session that is lost is not sent again.
    NothingAgain,
    /// It is sent again by who still has a session, and not by who has lost it.
    NothingAgainFromWhoLost,
    /// That a session is to be begun anew is forgotten when a device restarts.
    WishesInMemory,
}

/// Texts of one device, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Texts(u64);

impl Texts {
    pub(crate) const fn first(count: u8) -> Self {
        Self((1 << count) - 1)
    }

    pub(crate) const fn with(self, text: u8) -> Self {
        Self(self.0 | 1 << text)
    }

    pub(crate) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn lowest(self) -> Option<u8> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as u8)
    }
}

/// The sessions of a device.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// Its prekeys and, under the record's rules, its record.
    pub(crate) device: Device,
    /// Under [`Rules::NewestWins`]: one device value for each session, that of the current one last.
    pub(crate) each: Vec<Device>,
}

/// A message under way.
pub(crate) struct Message {
    pub(crate) from: usize,
    /// None in a message that only begins a session, or confirms.
    pub(crate) text: Option<u8>,
    decoded: SessionMessage,
    plaintext: [u8; 10],
    pub(crate) name: Name,
}

/// A device in the model.
pub(crate) struct Local {
    pub(crate) who: usize,
    pub(crate) sessions: Sessions,
    /// How often it has lost its prekeys.
    pub(crate) generation: u8,
    pub(crate) starts: u8,
    /// Texts written so far.
    pub(crate) written: u8,
    /// Those of them that wait to be sent again.
    pub(crate) again: Texts,
    /// Those whose receipt has come. Every message confirms all that its sender has read.
    pub(crate) confirmed: Texts,
    /// Those that had none after seven days.
    pub(crate) given_up: Texts,
    /// Texts of the peer on its screen.
    pub(crate) read: Texts,
    /// Texts of the peer that it refused, and began no session anew because it had that day.
    pub(crate) refused: Texts,
    /// Texts of the peer that it refused, and began a session anew for.
    pub(crate) called: Texts,
    /// The last session that it began anew because of a refusal.
    pub(crate) anew: Option<SessionId>,
    /// Messages that were opened.
    opened: BTreeSet<Name>,
    /// A message called for a new session.
    pub(crate) wants_anew: bool,
    /// It has begun anew, which is done once a day.
    pub(crate) renewed: bool,
    pub(crate) broken: Option<&'static str>,
    pub(crate) name: Name,
}

impl Sessions {
    fn start(&mut self, rules: Rules, published: &Published, index: u8, state: &Name) {
        let bundle = published.bundle(usize::from(index));
        let after = self.device.start(bundle, &mut drawn_by(state, 1));
        match rules {
            Rules::NewestWins => self.each.push(after),
            _ => self.device = after,
        }
    }

    fn write(&mut self, plaintext: &[u8], state: &Name) -> Option<Vec<u8>> {
        let sender = self.each.last_mut().unwrap_or(&mut self.device);
        let (after, message) = sender.send(plaintext, &mut drawn_by(state, 2))?;
        *sender = after;
        Some(message)
    }

    fn receive(&mut self, rules: Rules, message: &SessionMessage) -> Result<Vec<u8>, ReceiveError> {
        let has = |device: &&mut Device| {
            let record = device.sessions.as_ref();
            record.is_some_and(|record| record.sessions().any(|id| id == message.session()))
        };
        if let Some(known) = self.each.iter_mut().find(has) {
            let (after, plaintext) = known.receive(message)?;
            *known = after;
            return Ok(plaintext);
        }
        let (after, plaintext) = self.device.receive(message)?;
        match rules {
            Rules::PrekeysForEver => self.device.sessions = after.sessions,
            Rules::NewestWins => {
                self.device.prekeys = after.prekeys.clone();
                self.each.push(after);
            }
            _ => self.device = after,
        }
        Ok(plaintext)
    }

    pub(crate) fn has(&self, session: SessionId) -> bool {
        let records = self.each.iter().chain([&self.device]);
        let mut records = records.filter_map(|device| device.sessions.as_ref());
        records.any(|record| record.sessions().any(|id| id == session))
    }

    pub(crate) fn current(&self) -> Option<SessionId> {
        let sender = self.each.last().unwrap_or(&self.device);
        sender.sessions.as_ref().map(SessionRecord::current_session)
    }

    fn write_name(&self, out: &mut Vec<u8>) {
        for device in self.each.iter().chain([&self.device]) {
            for time in [device.clock, device.not_before] {
                out.extend(time.as_ms().to_be_bytes());
            }
            out.extend(to_cbor(&device.prekeys));
            let record = device.sessions.as_ref().map(SessionRecord::encode);
            out.extend(record.iter().flat_map(|record| record.iter()));
        }
    }
}

impl Local {
    pub(crate) fn new(who: usize, device: Device) -> Arc<Self> {
        let sessions = Sessions {
            device,
            each: vec![],
        };
        let local = Self {
            who,
            sessions,
            generation: 0,
            starts: 0,
            written: 0,
            again: Texts::default(),
            confirmed: Texts::default(),
            given_up: Texts::default(),
            read: Texts::default(),
            refused: Texts::default(),
            called: Texts::default(),
            anew: None,
            opened: BTreeSet::new(),
            wants_anew: false,
            renewed: false,
            broken: None,
            name: [0; 16],
        };
        local.named()
    }

    /// Named after everything that its future depends on.
    pub(crate) fn named(mut self) -> Arc<Self> {
        let mut bytes = vec![self.who as u8, self.generation, self.starts, self.written];
        bytes.extend([self.wants_anew, self.renewed, self.broken.is_some()].map(u8::from));
        let own = [self.again, self.confirmed, self.given_up];
        let of_peer = [self.read, self.refused, self.called];
        for texts in own.into_iter().chain(of_peer) {
            bytes.extend(texts.0.to_be_bytes());
        }
        let anew = self.anew.map_or([0; 16], |id| *id.as_bytes());
        bytes.extend(anew);
        bytes.extend((self.opened.len() as u64).to_be_bytes());
        bytes.extend(self.opened.iter().flatten());
        self.sessions.write_name(&mut bytes);
        self.name = name(&bytes);
        Arc::new(self)
    }

    pub(crate) fn copy(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            opened: self.opened.clone(),
            ..*self
        }
    }

    /// What was sent, has no receipt, and may yet get one.
    fn unconfirmed(&self) -> Texts {
        let over = self.confirmed.and(self.given_up);
        Texts::first(self.written).without(over)
    }

    /// Whatever has no receipt by now is not sent again: its sender sees that nothing came back.
    pub(crate) fn give_up(&mut self) {
        self.given_up = self.given_up.and(self.unconfirmed());
        self.again = Texts::default();
    }

    /// Whether it has something to do that is not a new text. Who has something to send, and no session, begins one.
    pub(crate) const fn is_busy(&self) -> bool {
        self.wants_anew || !self.again.is_empty()
    }

    /// Begins a session with what relays hold of the peer, in place of another one if `self` has one, and says
    /// something in it.
    pub(crate) fn start(&mut self, rules: Rules, published: &Published) -> Option<Arc<Message>> {
        let had_one = self.sessions.current().is_some();
        self.sessions
            .start(rules, published, self.starts, &self.name.clone());
        self.starts += 1;
        if core::mem::take(&mut self.wants_anew) {
            self.renewed = true;
            self.anew = self.sessions.current();
        }
        if had_one || rules != Rules::NothingAgainFromWhoLost {
            self.send_again(rules);
        }
        self.write(self.written == 0)
    }

    /// Sends what is to be sent again, or else a new text; or, if there is to be none, what goes without one.
    pub(crate) fn write(&mut self, new_text: bool) -> Option<Arc<Message>> {
        let again = self.again.lowest();
        let text = again.or_else(|| new_text.then_some(self.written));
        let mut plaintext = [0; 10];
        plaintext[0] = self.who as u8;
        plaintext[1] = text.unwrap_or(u8::MAX);
        plaintext[2..].copy_from_slice(&self.read.0.to_be_bytes());
        let bytes = self.sessions.write(&plaintext, &self.name)?;
        match again {
            Some(text) => self.again = self.again.without(Texts::default().with(text)),
            None => self.written += u8::from(new_text),
        }
        Some(Arc::new(Message {
            from: self.who,
            text,
            decoded: SessionMessage::decode(&bytes).expect("a session message"),
            plaintext,
            name: name(&bytes),
        }))
    }

    pub(crate) fn receive(&mut self, rules: Rules, message: &Message, nothing_is_gone: bool) {
        let before = self.sessions.current();
        match self.sessions.receive(rules, &message.decoded) {
            Ok(plaintext) if plaintext != message.plaintext => {
                self.broken = Some("what was read was not sent");
            }
            Ok(_) if !self.opened.insert(message.name) => {
                self.broken = Some("a message was read twice");
            }
            Ok(_) => self.opened(rules, message, before),
            Err(_) if nothing_is_gone && !self.opened.contains(&message.name) => {
                self.broken = Some("a genuine message was refused");
            }
            Err(error) => self.refused(error, message),
        }
    }

    fn opened(&mut self, rules: Rules, message: &Message, before: Option<SessionId>) {
        if let Some(text) = message.text {
            // What is on the screen already is not shown again.
            self.read = self.read.with(text);
            self.refused = self.refused.without(self.read);
            self.called = self.called.without(self.read);
        }
        let [.., a, b, c, d, e, f, g, h] = message.plaintext;
        let receipts = Texts(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        self.confirmed = self.confirmed.and(receipts);
        self.again = self.again.without(receipts);
        let current = self.sessions.current();
        let began = current != before && current == Some(message.decoded.session());
        if began && (before.is_some() || rules != Rules::NothingAgainFromWhoLost) {
            self.send_again(rules);
        }
    }

    fn send_again(&mut self, rules: Rules) {
        if rules != Rules::NothingAgain {
            self.again = self.unconfirmed();
        }
    }

    fn refused(&mut self, error: ReceiveError, message: &Message) {
        if !error.calls_for_new_session() {
            return;
        }
        let text = message.text.map(|text| Texts::default().with(text));
        let text = text.unwrap_or_default().without(self.read);
        if self.renewed {
            self.refused = self.refused.and(text);
            return;
        }
        self.called = self.called.and(text);
        self.wants_anew = true;
        // Later than every session that called for it, in whatever order their messages came.
        let device = &mut self.sessions.device;
        let begun = message.decoded.time_to_begin_anew(device.clock);
        device.not_before = device.not_before.max(begun);
    }
}
