//! Session establishment between two devices, every schedule of it within bounds: both begin at once, the
//! network loses and reorders, a device loses its sessions or its prekeys too, is made to begin anew without need, or
//! hears for so long nothing that sessions end.
//!
//! The states are real ones: every step of a device is `SessionRecord` and `receive` themselves, with
//! randomness that depends on nothing but the device's state, so that equal states have equal futures. A
//! device's steps are computed once and remembered; what is explored is how the two interleave.
//!
//! Checked in every state: nothing is read twice, nothing is read that was not sent, nothing genuine is
//! refused while nobody has lost anything. Checked whenever nothing is under way: if the two now go on
//! talking, both come to send in the same session, and everything is read. A device begins anew at most once, as
//! an engine does within a day; only when the two go on talking may it do so again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use stateright::{Checker, Model, Property};
use zentalk_fuzz::devices::{Device, Published, rng};
use zentalk_shared::crypto::hash::blake2b_128_concat;
use zentalk_shared::id::SessionId;
use zentalk_shared::session::{ReceiveError, SessionMessage, SessionRecord};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::to_cbor;

/// Names a state of a device, or a message.
type Name = [u8; 16];

fn name(bytes: &[u8]) -> Name {
    blake2b_128_concat(b"ZenTalk model v1", bytes)
}

/// A generator that depends on the state that draws from it, and on nothing else.
fn drawn_by(state: &Name, what: u8) -> rand_chacha::ChaCha20Rng {
    let seed = name(&[state.as_slice(), &[what]].concat());
    rng(u64::from_be_bytes(seed[..8].try_into().unwrap()))
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Beginnings of a device of its own accord; beginning anew when asked to comes on top, once.
    starts: u8,
    /// Texts of a device.
    texts: u8,
    /// Messages under way at once.
    flying: usize,
    losses: u8,
    /// Messages that come twice. Engines know envelopes again and take none in twice, so: only for what must hold
    /// without them.
    copies: u8,
    forgets: u8,
    /// How often a device is made to begin anew although nothing is lost, as whoever knows its sealing key can.
    provoked: u8,
    /// How often time passes until what is not in use has ended; relays that should not hold messages for as long do.
    ends: u8,
    /// Who forgets loses its prekeys too.
    forgets_prekeys: bool,
    /// One-time entries that relays hold of each device.
    one_time: usize,
    /// How far the clock of the first device is ahead.
    ahead: Duration,
    /// Decides, among other things, whose session id is lower.
    seed: u64,
}

const SMALL: Bounds = Bounds {
    starts: 1,
    texts: 2,
    flying: 3,
    losses: 1,
    copies: 0,
    forgets: 0,
    provoked: 0,
    ends: 0,
    forgets_prekeys: false,
    one_time: 1,
    ahead: Duration::ZERO,
    seed: 1,
};

/// How a device decides in which session it sends, and what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// Those of the record: the code under test.
    Record,
    /// Broken on purpose: the peer's newest first message always wins, without the tie-break by id.
    NewestWins,
    /// Broken on purpose: prekeys serve again and again, and nobody remembers what they began.
    PrekeysForEver,
}

/// The sessions of a device.
#[derive(Clone)]
struct Sessions {
    /// Its prekeys and, under the record's rules, its record.
    device: Device,
    /// Under [`Rules::NewestWins`]: one device value for each session, that of the current one last.
    each: Vec<Device>,
}

/// A device in the model.
struct Local {
    who: usize,
    sessions: Sessions,
    /// How often it has lost its prekeys.
    generation: u8,
    starts: u8,
    texts: u8,
    read: BTreeSet<u8>,
    /// A message called for a new session.
    wants_anew: bool,
    /// It has begun anew, which is done once a day.
    renewed: bool,
    broken: Option<&'static str>,
    name: Name,
}

/// A message under way.
struct Message {
    from: usize,
    text: u8,
    decoded: SessionMessage,
    name: Name,
}

/// What a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// Takes what relays hold of the peer, of that generation, begins a session and writes.
    Start(u8),
    Write,
    Receive(Name),
    Forget,
    /// Lets 38 days pass.
    Wait,
    /// Lets a day pass, and may begin anew once more.
    Tomorrow,
}

/// A device after an act, and what it sent.
type After = (Arc<Local>, Option<Arc<Message>>);

struct Establishment {
    bounds: Bounds,
    rules: Rules,
    /// Devices without sessions, and what relays hold of them, by generation.
    fresh: [Vec<(Device, Published)>; 2],
    done: Mutex<HashMap<(Name, Act), After>>,
}

#[derive(Clone)]
struct State {
    devices: [Arc<Local>; 2],
    /// Under way, in the order of their names: whatever the order in which they were sent.
    flying: Vec<Arc<Message>>,
    losses: u8,
    copies: u8,
    forgets: u8,
    provoked: u8,
    ends: u8,
}

/// One thing that happens. Messages by their place among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Does(usize, Act),
    Deliver(usize),
    DeliverAndKeep(usize),
    Lose(usize),
    Wait,
}

impl Sessions {
    fn start(&mut self, rules: Rules, published: &Published, index: u8, state: &Name) {
        let bundle = published.bundle(usize::from(index));
        let after = self.device.start(bundle, &mut drawn_by(state, 1));
        match rules {
            Rules::NewestWins => self.each.push(after),
            Rules::Record | Rules::PrekeysForEver => self.device = after,
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
            Rules::Record => self.device = after,
            Rules::PrekeysForEver => self.device.sessions = after.sessions,
            Rules::NewestWins => {
                self.device.prekeys = after.prekeys.clone();
                self.each.push(after);
            }
        }
        Ok(plaintext)
    }

    fn current(&self) -> Option<SessionId> {
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
    fn new(who: usize, device: Device) -> Arc<Self> {
        let sessions = Sessions {
            device,
            each: vec![],
        };
        let local = Self {
            who,
            sessions,
            generation: 0,
            starts: 0,
            texts: 0,
            read: BTreeSet::new(),
            wants_anew: false,
            renewed: false,
            broken: None,
            name: [0; 16],
        };
        local.named()
    }

    /// Named after everything that its future depends on.
    fn named(mut self) -> Arc<Self> {
        let mut bytes = vec![self.who as u8, self.generation, self.starts, self.texts];
        bytes.extend([self.wants_anew, self.renewed, self.broken.is_some()].map(u8::from));
        bytes.extend(&self.read);
        self.sessions.write_name(&mut bytes);
        self.name = name(&bytes);
        Arc::new(self)
    }

    fn copy(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            read: self.read.clone(),
            ..*self
        }
    }

    fn write(&mut self) -> Option<Arc<Message>> {
        let text = self.texts;
        let bytes = self.sessions.write(&[self.who as u8, text], &self.name)?;
        self.texts += 1;
        Some(Arc::new(Message {
            from: self.who,
            text,
            decoded: SessionMessage::decode(&bytes).expect("a session message"),
            name: name(&bytes),
        }))
    }

    fn receive(&mut self, rules: Rules, message: &Message, nothing_is_gone: bool) {
        match self.sessions.receive(rules, &message.decoded) {
            Ok(plaintext) if plaintext != [message.from as u8, message.text] => {
                self.broken = Some("what was read was not sent");
            }
            Ok(_) if !self.read.insert(message.text) => {
                self.broken = Some("a message was read twice");
            }
            Ok(_) => {}
            Err(_) if nothing_is_gone && !self.read.contains(&message.text) => {
                self.broken = Some("a genuine message was refused");
            }
            Err(error) => {
                self.wants_anew |= error.calls_for_new_session() && !self.renewed;
                if error.calls_for_new_session() {
                    let device = &mut self.sessions.device;
                    device.not_before = message.decoded.time_to_begin_anew(device.clock);
                }
            }
        }
    }
}

impl Establishment {
    fn new(bounds: Bounds, rules: Rules) -> Self {
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

    /// A device's act: computed once for each state that it is in.
    fn after(&self, local: &Arc<Local>, act: Act, message: Option<&Message>) -> After {
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
                let (index, state) = (local.starts, local.name);
                local.sessions.start(self.rules, published, index, &state);
                local.starts += 1;
                local.renewed |= core::mem::take(&mut local.wants_anew);
                local.write()
            }
            (Act::Write, _) => local.write(),
            (Act::Receive(_), Some(message)) => {
                let nothing_is_gone = self.bounds.forgets + self.bounds.ends == 0;
                local.receive(self.rules, message, nothing_is_gone);
                None
            }
            (Act::Forget, _) => {
                if self.bounds.forgets_prekeys {
                    local.generation += 1;
                    let fresh = &self.fresh[local.who][usize::from(local.generation)];
                    local.sessions.device.prekeys = fresh.0.prekeys.clone();
                }
                local.sessions.device.sessions = None;
                local.sessions.each.clear();
                None
            }
            (Act::Wait, _) => {
                local.sessions.device.clock += Duration::from_days(38);
                local.renewed = false;
                None
            }
            (Act::Tomorrow, _) => {
                local.sessions.device.clock += Duration::from_days(1);
                local.renewed = false;
                None
            }
            (Act::Receive(_), None) => unreachable!("what is received is a message"),
        }
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
            if has_session && local.texts < self.bounds.texts {
                acts.push(Act::Write);
            }
        }
        if state.forgets > 0 && has_session {
            acts.push(Act::Forget);
        }
    }

    /// Whether the two come to send in one session, and read everything, once they go on talking.
    fn settles(&self, state: &State) -> bool {
        let mut devices = state.devices.clone();
        let mut last_round = true;
        for _ in 0..4 {
            last_round = true;
            for who in [0, 1] {
                last_round &= self.talks(&mut devices, who);
            }
        }
        let [alice, bob] = &devices;
        let current = alice.sessions.current();
        let fine = |local: &Arc<Local>| local.broken.is_none();
        last_round
            && current.is_some()
            && current == bob.sessions.current()
            && devices.iter().all(fine)
    }

    /// One writes, and whatever follows from it arrives at once. Whether all of it was read.
    fn talks(&self, devices: &mut [Arc<Local>; 2], who: usize) -> bool {
        let mut flying = Vec::new();
        let tomorrow = |local| self.after(local, Act::Tomorrow, None).0;
        *devices = devices.each_ref().map(tomorrow);
        let act = |devices: &mut [Arc<Local>; 2], who: usize, flying: &mut Vec<_>| {
            let (local, peer) = (&devices[who], &devices[1 - who]);
            let writes = local.sessions.current().is_some() && !local.wants_anew;
            let act = if writes {
                Act::Write
            } else {
                Act::Start(peer.generation)
            };
            let (after, message) = self.after(local, act, None);
            devices[who] = after;
            flying.extend(message);
        };
        act(devices, who, &mut flying);
        let mut all_read = true;
        while let Some(message) = flying.pop() {
            let to = 1 - message.from;
            let receive = Act::Receive(message.name);
            devices[to] = self.after(&devices[to], receive, Some(&message)).0;
            all_read &= devices[to].read.contains(&message.text);
            if devices[to].wants_anew {
                act(devices, to, &mut flying);
            }
        }
        all_read
    }
}

impl Model for Establishment {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let devices = [0, 1].map(|who| Local::new(who, self.fresh[who][0].0.clone()));
        vec![State {
            devices,
            flying: vec![],
            losses: self.bounds.losses,
            copies: self.bounds.copies,
            forgets: self.bounds.forgets,
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
            Event::Does(who, act) => {
                let (after, message) = self.after(&last.devices[who], act, None);
                state.devices[who] = after;
                state.forgets -= u8::from(act == Act::Forget);
                let local = &last.devices[who];
                let anew = matches!(act, Act::Start(_)) && local.sessions.current().is_some();
                state.provoked -= u8::from(anew && !local.wants_anew);
                state.flying.extend(message);
                state.flying.sort_by_key(|message| message.name);
            }
            Event::Wait => {
                let waits = |local| self.after(local, Act::Wait, None).0;
                state.devices = last.devices.each_ref().map(waits);
                state.ends -= 1;
            }
            Event::Lose(at) => {
                state.flying.remove(at);
                state.losses -= 1;
            }
            Event::Deliver(at) | Event::DeliverAndKeep(at) => {
                let message = last.flying[at].clone();
                if event == Event::Deliver(at) {
                    state.flying.remove(at);
                } else {
                    state.copies -= 1;
                }
                let to = 1 - message.from;
                let receive = Act::Receive(message.name);
                state.devices[to] = self.after(&last.devices[to], receive, Some(&message)).0;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_, state: &State| {
                state.devices.iter().all(|local| local.broken.is_none())
            }),
            Property::always(CONVERGES, |model: &Self, state: &State| {
                !state.flying.is_empty() || model.settles(state)
            }),
            Property::sometimes("both begin, and hear each other", |_, state: &State| {
                let fine = |local: &Arc<Local>| local.starts > 0 && !local.read.is_empty();
                state.devices.iter().all(fine)
            }),
        ]
    }
}

const SAFE: &str = "nothing is read twice, forged, or refused without need";
const CONVERGES: &str = "the two come to send in one session";

impl State {
    /// What tells it from other states: names stand for what they name.
    fn identity(&self) -> impl Hash + PartialEq {
        let devices = [0, 1].map(|who| self.devices[who].name);
        let flying: Vec<Name> = self.flying.iter().map(|message| message.name).collect();
        let left = (
            self.losses,
            self.copies,
            self.forgets,
            self.provoked,
            self.ends,
        );
        (devices, flying, left)
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
            write!(
                f,
                "[{} sends in {sends_in:?}, read {:?}",
                local.who, local.read
            )?;
            write!(f, "{}] ", local.broken.unwrap_or_default())?;
        }
        write!(f, "{} under way", self.flying.len())
    }
}

/// Explores all of it; prints how much that was.
fn explore(bounds: Bounds, rules: Rules) -> impl Checker<Establishment> {
    let started = std::time::Instant::now();
    let model = Establishment::new(bounds, rules);
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{bounds:?}: {} states, {} transitions, depth {}, {} steps of devices, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        checker.model().done.lock().unwrap().len(),
        started.elapsed()
    );
    checker
}

fn holds(bounds: Bounds) {
    explore(bounds, Rules::Record).assert_properties();
}

/// Seeds under which the first session of one device has the lower id, then that of the other one.
fn either_way() -> [u64; 2] {
    let alice_is_lower = |seed: &u64| {
        let model = Establishment::new(
            Bounds {
                seed: *seed,
                ..SMALL
            },
            Rules::Record,
        );
        let state = &model.init_states()[0];
        let [a, b] = [0, 1].map(|who| model.after(&state.devices[who], Act::Start(0), None).0);
        a.sessions.current() < b.sessions.current()
    };
    let find = |wanted| {
        (1..100)
            .find(|seed| alice_is_lower(seed) == wanted)
            .unwrap()
    };
    [find(true), find(false)]
}

#[test]
fn both_begin_and_the_network_loses_and_reorders() {
    for seed in either_way() {
        holds(Bounds {
            seed,
            texts: 3,
            flying: 4,
            losses: 2,
            ..SMALL
        });
    }
}

#[test]
fn last_resort_prekeys_alone_do_as_well() {
    holds(Bounds {
        one_time: 0,
        ..SMALL
    });
}

#[test]
fn a_device_loses_its_sessions() {
    for one_time in [0, 1] {
        holds(Bounds {
            starts: 2,
            forgets: 1,
            losses: 0,
            one_time,
            ..SMALL
        });
    }
}

#[test]
fn a_device_loses_its_prekeys_as_well() {
    holds(Bounds {
        starts: 2,
        forgets: 1,
        forgets_prekeys: true,
        losses: 0,
        ..SMALL
    });
}

#[test]
fn a_device_is_made_to_begin_anew() {
    for seed in either_way() {
        for ends in [0, 1] {
            holds(Bounds {
                seed,
                provoked: 1,
                ends,
                losses: 0,
                ..SMALL
            });
        }
    }
}

#[test]
fn clocks_differ() {
    for ahead in [Duration::from_ms(1), Duration::from_hours(11)] {
        holds(Bounds {
            ahead,
            provoked: 1,
            ..SMALL
        });
        for forgets_prekeys in [false, true] {
            holds(Bounds {
                ahead,
                forgets: 1,
                forgets_prekeys,
                losses: 0,
                ..SMALL
            });
        }
    }
}

#[test]
fn sessions_end_while_messages_are_held() {
    for seed in either_way() {
        holds(Bounds {
            seed,
            ends: 1,
            losses: 0,
            ..SMALL
        });
    }
}

#[test]
fn without_the_tie_break_the_two_never_agree_and_the_model_finds_it() {
    let checker = explore(SMALL, Rules::NewestWins);
    let path = checker.discovery(CONVERGES).expect("a counterexample");
    println!("{path:?}");
    assert!(checker.discovery(SAFE).is_none());
}

#[test]
fn without_memory_of_prekeys_a_replay_is_read_twice_and_the_model_finds_it() {
    let bounds = Bounds {
        forgets: 1,
        losses: 0,
        copies: 1,
        ..SMALL
    };
    let checker = explore(bounds, Rules::PrekeysForEver);
    assert!(checker.discovery(SAFE).is_some());
}

#[test]
#[ignore = "soak: the same with wider bounds, minutes"]
fn wider_bounds() {
    let wide = Bounds {
        starts: 2,
        texts: 3,
        flying: 4,
        losses: 2,
        ..SMALL
    };
    for seed in either_way() {
        holds(Bounds { seed, ..wide });
        for forgets_prekeys in [false, true] {
            holds(Bounds {
                seed,
                forgets: 1,
                forgets_prekeys,
                losses: 1,
                ..wide
            });
        }
    }
}

/// Two devices of which one has begun session S, and the other has read its first message and answered.
/// `lower`: whether S has a lower id than the session that the other one would begin next.
fn one_began(lower: bool) -> (Device, Device, Vec<SessionMessage>, Published) {
    let decode = |bytes: Vec<u8>| SessionMessage::decode(&bytes).unwrap();
    for seed in 1.. {
        let rng = &mut rng(seed);
        let (alice, of_alice) = Device::new(0, 0, rng);
        let (bob, of_bob) = Device::new(1, 0, rng);
        let bob = bob.start(of_alice.bundle(0), rng);
        let (bob, first) = bob.send(b"first", rng).unwrap();
        let first = decode(first);
        let (alice, _) = alice.receive(&first).unwrap();
        let (alice, answer) = alice.send(b"answer", rng).unwrap();
        let answer = decode(answer);
        let anew = alice.start(of_bob.bundle(0), &mut one_generator());
        if (current(&bob) < current(&anew)) == lower {
            return (alice, bob, vec![first, answer], of_bob);
        }
    }
    unreachable!("ids are random")
}

fn one_generator() -> rand_chacha::ChaCha20Rng {
    rng(1 << 32)
}

fn current(device: &Device) -> Option<SessionId> {
    device.sessions.as_ref().map(SessionRecord::current_session)
}

/// Both write, twenty times; everything arrives, in order.
fn talk(alice: &mut Device, bob: &mut Device) {
    let rng = &mut rng(1 << 33);
    let pass = |from: &mut Device, to: &mut Device, rng: &mut _| {
        let (after, message) = from.send(b"text", rng).unwrap();
        *from = after;
        let message = SessionMessage::decode(&message).unwrap();
        *to = to.receive(&message).expect("a genuine message").0;
    };
    for _ in 0..20 {
        pass(alice, bob, rng);
        pass(bob, alice, rng);
    }
}

/// Found by the model: an answer in the old session arrives after the first message of the new one.
#[test]
fn who_begins_anew_is_followed_whatever_arrives_late() {
    for lower in [true, false] {
        let (alice, bob, messages, of_bob) = one_began(lower);
        let rng = &mut rng(1);
        let (mut bob, _) = bob.receive(&messages[1]).unwrap();
        let (alice, late) = alice.send(b"late", rng).unwrap();
        let alice = alice.start(of_bob.bundle(0), &mut one_generator());
        let (mut alice, anew) = alice.send(b"anew", rng).unwrap();
        for message in [anew, late] {
            let message = SessionMessage::decode(&message).unwrap();
            bob = bob.receive(&message).unwrap().0;
        }
        talk(&mut alice, &mut bob);
        assert_eq!(current(&alice), current(&bob), "lower: {lower}");
    }
}

/// The same before any answer has come: it looks as if the two first messages had crossed.
#[test]
fn who_begins_anew_before_the_answer_arrives_is_followed() {
    for lower in [true, false] {
        let (alice, mut bob, messages, of_bob) = one_began(lower);
        let rng = &mut rng(1);
        let alice = alice.start(of_bob.bundle(0), &mut one_generator());
        let (mut alice, anew) = alice.send(b"anew", rng).unwrap();
        let anew = SessionMessage::decode(&anew).unwrap();
        for message in [&anew, &messages[1]] {
            bob = bob.receive(message).unwrap().0;
        }
        talk(&mut alice, &mut bob);
        assert_eq!(current(&alice), current(&bob), "lower: {lower}");
    }
}
