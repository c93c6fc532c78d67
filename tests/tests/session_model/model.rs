//! The state space: what may happen to two devices and to the messages between them.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};
use zentalk_fuzz::devices::{Device, Published, rng};
use zentalk_shared::time::Duration;

use crate::device::{Local, Message, Name, Rules, Texts};

/// What may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Beginnings of a device of its own accord; beginning anew when asked to comes on top, once.
    pub(crate) starts: u8,
    /// Texts of a device.
    pub(crate) texts: u8,
    /// Messages under way at once.
    pub(crate) flying: usize,
    pub(crate) losses: u8,
    /// Messages that come twice. Engines know envelopes again and take none in twice, so: only for what must hold
    /// without them.
    pub(crate) copies: u8,
    pub(crate) forgets: u8,
    /// Who forgets loses its prekeys too.
    pub(crate) forgets_prekeys: bool,
    /// How often a device restarts.
    pub(crate) restarts: u8,
    /// How often a device is made to begin anew although nothing is lost, as whoever knows its sealing key can.
    pub(crate) provoked: u8,
    /// How often time passes until what is not in use has ended; relays that should not hold messages for as long do.
    pub(crate) ends: u8,
    /// One-time entries that relays hold of each device.
    pub(crate) one_time: usize,
    /// How far the clock of the first device is ahead.
    pub(crate) ahead: Duration,
    /// Decides, among other things, whose session id is lower.
    pub(crate) seed: u64,
}

pub(crate) const SMALL: Bounds = Bounds {
    starts: 1,
    texts: 1,
    flying: 2,
    losses: 1,
    copies: 0,
    forgets: 0,
    forgets_prekeys: false,
    restarts: 0,
    provoked: 0,
    ends: 0,
    one_time: 1,
    ahead: Duration::ZERO,
    seed: 1,
};

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Takes what relays hold of the peer, of that generation, begins a session and says something in it.
    Start(u8),
    Write,
    Receive(Name),
    Forget,
    /// Loses what is in memory only.
    Restart,
    /// Lets 38 days pass. Texts without a receipt are given up.
    Wait,
    /// Lets a day pass, and may begin anew once more.
    Tomorrow,
}

/// A device after an act, and what it sent.
type After = (Arc<Local>, Option<Arc<Message>>);

pub(crate) struct Establishment {
    pub(crate) bounds: Bounds,
    rules: Rules,
    /// Devices without sessions, and what relays hold of them, by generation.
    fresh: [Vec<(Device, Published)>; 2],
    done: Mutex<HashMap<(Name, Act), After>>,
}

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) devices: [Arc<Local>; 2],
    /// Under way, in the order of their names: whatever the order in which they were sent.
    pub(crate) flying: Vec<Arc<Message>>,
    /// Texts of each that the network has lost since they were last sent.
    pub(crate) lost: [Texts; 2],
    losses: u8,
    copies: u8,
    forgets: u8,
    restarts: u8,
    provoked: u8,
    ends: u8,
}

/// One thing that happens. Messages by their place among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Does(usize, Act),
    Deliver(usize),
    DeliverAndKeep(usize),
    Lose(usize),
    Wait,
}

impl Establishment {
    pub(crate) fn new(bounds: Bounds, rules: Rules) -> Self {
        let generations = 1 + u64::from(bounds.forgets);
        let fresh = [0, 1].map(|who| {
            let seed = |generation| 1000 * bounds.seed + 10 * generation + who as u64;
            let device = |generation| {
                let (mut device, published) =
                    Device::new(who, bounds.one_time, &mut rng(seed(generation)));
                device.clock += [bounds.ahead, Duration::ZERO][who];
                (device, published)
            };
            (0..generations).map(device).collect()
        });
        Self {
            bounds,
            rules,
            fresh,
            done: Mutex::default(),
        }
    }

    /// Steps of devices computed so far.
    pub(crate) fn steps(&self) -> usize {
        self.done.lock().unwrap().len()
    }

    /// A device's act: computed once for each state that it is in.
    pub(crate) fn after(&self, local: &Arc<Local>, act: Act, message: Option<&Message>) -> After {
        let key = (local.name, act);
        if let Some(after) = self.done.lock().unwrap().get(&key) {
            return after.clone();
        }
        let mut after = local.copy();
        let sent = self.act(&mut after, act, message);
        let after = (after.named(), sent);
        self.done.lock().unwrap().insert(key, after.clone());
        after
    }

    fn act(&self, local: &mut Local, act: Act, message: Option<&Message>) -> Option<Arc<Message>> {
        match (act, message) {
            (Act::Start(generation), _) => {
                let (_, published) = &self.fresh[1 - local.who][usize::from(generation)];
                return local.start(self.rules, published);
            }
            (Act::Write, _) => return local.write(true),
            (Act::Receive(_), Some(message)) => {
                let nothing_is_gone = self.bounds.forgets + self.bounds.ends == 0;
                local.receive(self.rules, message, nothing_is_gone);
            }
            (Act::Forget, _) => {
                if self.bounds.forgets_prekeys {
                    local.generation += 1;
                    let fresh = &self.fresh[local.who][usize::from(local.generation)];
                    local.sessions.device.prekeys = fresh.0.prekeys.clone();
                }
                local.sessions.device.sessions = None;
                local.sessions.each.clear();
            }
            (Act::Restart, _) => local.wants_anew &= self.rules != Rules::WishesInMemory,
            (Act::Wait, _) => {
                local.sessions.device.clock += Duration::from_days(38);
                local.renewed = false;
                local.give_up();
            }
            (Act::Tomorrow, _) => {
                local.sessions.device.clock += Duration::from_days(1);
                local.renewed = false;
            }
            (Act::Receive(_), None) => unreachable!("what is received is a message"),
        }
        None
    }

    /// What a device may do of its own accord.
    fn acts(&self, state: &State, who: usize, acts: &mut Vec<Act>) {
        let (local, peer) = (&state.devices[who], &state.devices[1 - who]);
        let has_session = local.sessions.current().is_some();
        if state.flying.len() < self.bounds.flying {
            let of_its_own = !has_session && local.starts < self.bounds.starts;
            let provoked = has_session && state.provoked > 0;
            if of_its_own || provoked || local.wants_anew {
                // Relays may hand out what was published before the peer lost its prekeys.
                acts.extend((0..=peer.generation).map(Act::Start));
            }
            let has_text = !local.again.is_empty() || local.written < self.bounds.texts;
            if has_session && has_text {
                acts.push(Act::Write);
            }
        }
        if state.forgets > 0 && has_session {
            acts.push(Act::Forget);
        }
        // Another restart is none.
        if state.restarts > 0 && local.wants_anew {
            acts.push(Act::Restart);
        }
    }

    /// A device acts in a state: what becomes of that.
    pub(crate) fn does(&self, state: &mut State, who: usize, act: Act) {
        let before = Arc::clone(&state.devices[who]);
        let (after, message) = self.after(&before, act, None);
        state.devices[who] = after;
        let anew = matches!(act, Act::Start(_)) && before.sessions.current().is_some();
        state.provoked -= u8::from(anew && !before.wants_anew);
        state.forgets -= u8::from(act == Act::Forget);
        state.restarts -= u8::from(act == Act::Restart);
        if let Some(text) = message.as_ref().and_then(|message| message.text) {
            let sent = Texts::default().with(text);
            state.lost[who] = state.lost[who].without(sent);
        }
        state.flying.extend(message);
        state.flying.sort_by_key(|message| message.name);
    }

    /// A message arrives, and is under way no longer unless `stays`.
    pub(crate) fn arrives(&self, state: &mut State, at: usize, stays: bool) {
        let message = match stays {
            true => Arc::clone(&state.flying[at]),
            false => state.flying.remove(at),
        };
        let to = 1 - message.from;
        let receive = Act::Receive(message.name);
        state.devices[to] = self.after(&state.devices[to], receive, Some(&message)).0;
    }
}

/// Texts of a device that are not on the screen of the other one.
pub(crate) fn unread(state: &State, who: usize) -> Texts {
    Texts::first(state.devices[who].written).without(state.devices[1 - who].read)
}

impl Model for Establishment {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let devices = [0, 1].map(|who| Local::new(who, self.fresh[who][0].0.clone()));
        vec![State {
            devices,
            flying: vec![],
            lost: Default::default(),
            losses: self.bounds.losses,
            copies: self.bounds.copies,
            forgets: self.bounds.forgets,
            restarts: self.bounds.restarts,
            provoked: self.bounds.provoked,
            ends: self.bounds.ends,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        for who in [0, 1] {
            let mut acts = vec![];
            self.acts(state, who, &mut acts);
            actions.extend(acts.into_iter().map(|act| Event::Does(who, act)));
        }
        let places = 0..state.flying.len();
        actions.extend(places.clone().map(Event::Deliver));
        if state.copies > 0 {
            actions.extend(places.clone().map(Event::DeliverAndKeep));
        }
        if state.losses > 0 {
            actions.extend(places.map(Event::Lose));
        }
        if state.ends > 0 {
            actions.push(Event::Wait);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Does(who, act) => self.does(&mut state, who, act),
            Event::Wait => {
                let waits = |local| self.after(local, Act::Wait, None).0;
                state.devices = last.devices.each_ref().map(waits);
                state.ends -= 1;
            }
            Event::Lose(at) => {
                let message = state.flying.remove(at);
                state.losses -= 1;
                if let Some(text) = message.text {
                    let lost = &mut state.lost[message.from];
                    *lost = lost.with(text);
                }
            }
            Event::Deliver(at) => self.arrives(&mut state, at, false),
            Event::DeliverAndKeep(at) => {
                self.arrives(&mut state, at, true);
                state.copies -= 1;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::claims::properties()
    }
}

impl State {
    /// What tells it from other states: names stand for what they name.
    fn identity(&self) -> impl Hash + PartialEq {
        let devices = [0, 1].map(|who| self.devices[who].name);
        let flying: Vec<Name> = self.flying.iter().map(|message| message.name).collect();
        let left = (
            self.losses,
            self.copies,
            self.forgets,
            self.restarts,
            self.provoked,
            self.ends,
        );
        (devices, flying, self.lost, left)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for local in &self.devices {
            let sends_in = local.sessions.current();
            write!(f, "[{} sends in {sends_in:?}, ", local.who)?;
            write!(f, "read {:?}, again {:?}", local.read, local.again)?;
            write!(f, "{}] ", local.broken.unwrap_or_default())?;
        }
        write!(f, "{} under way", self.flying.len())
    }
}
