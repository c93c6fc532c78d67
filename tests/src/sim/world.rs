//! The world of one run: clock, queue, wires, hosts, faults.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::iter;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_relay::core::mem_store::MemStore;
use zentalk_relay::core::{ConnId, Dial, Input as RelayInput, Metric, Output};
use zentalk_shared::client::{Effect, Event, Input as ClientInput, WorkId};
use zentalk_shared::id::{Address, ConnectionTag, MessageId};
use zentalk_shared::identity::ContactCode;
use zentalk_shared::onion::Suite;
use zentalk_shared::rpc::Work;
use zentalk_shared::time::{Duration, Timestamp};

use super::checker::Checker;
use super::client_host::{ClientHost, Crash, Turned};
use super::plan::Plan;
use super::recording::Recording;
use super::relay_host::RelayHost;
use super::report::Report;
use super::sightings::Sightings;
use super::wire::{End, Wire};

mod broken;
mod deaths;
mod faults;
mod losses;
mod making;
mod people;
mod watching;
mod wires;

use losses::Act;

/// When every run begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
/// A disk makes what was submitted durable after this.
const SYNC: Duration = Duration::from_ms(4);
/// A piece of proof of work takes a client so long.
const WORK: Duration = Duration::from_ms(300);
/// Events after which a run is given up as going round in circles.
const MAX_EVENTS: u64 = 20_000_000;

/// What happens next.
#[derive(Debug)]
enum Happening {
    Frame {
        wire: u64,
        side: usize,
        bytes: Vec<u8>,
    },
    Opened {
        wire: u64,
    },
    Refused {
        end: End,
        dial: Option<Dial>,
    },
    Cut {
        wire: u64,
        side: usize,
    },
    ClientTimer(usize, u64),
    RelayTimer(usize, u64),
    RelaySync(usize, u64),
    Worked(usize, u64, WorkId, Work),
    Say(usize),
    Come(usize),
    CrashClient(Crash),
    CrashRelay,
    LoseSessions,
    CutAny,
    /// A relay dies for good.
    LoseRelay,
    /// Its disk is copied.
    BackUp(usize),
    /// It stops, and comes back later; with the copy of its disk, if there is one.
    RelayAway(usize),
    /// A client stops, and starts again later.
    Sleep(usize, Duration),
    /// A relay turns its owners away.
    Deafen,
    /// It serves them again.
    Hear(usize),
    /// What comes next of [`World::survivor`].
    Survivor(Act),
    StartClient(usize),
    StartRelay(usize),
}

/// One run.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    now: Timestamp,
    rng: ChaCha20Rng,
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    order: u64,
    clients: Vec<ClientHost>,
    addresses: Vec<Address>,
    codes: Vec<ContactCode>,
    relays: Vec<RelayHost>,
    wires: BTreeMap<u64, Wire>,
    ends: BTreeMap<End, u64>,
    next_wire: u64,
    /// What the core calls the connection that it asked for, until the wire is open.
    dials: BTreeMap<u64, Dial>,
    /// Counts up with every restart, so that timers of a former life are ignored.
    lives: BTreeMap<Who, u64>,
    timers: BTreeMap<Who, Timestamp>,
    syncing: Vec<bool>,
    checker: Checker,
    texts: Vec<(usize, usize)>,
    report: (usize, usize, u64, u64),
    recording: Option<Recording>,
    sightings: Option<Sightings>,
    /// Broken on purpose: the tag that a client shows to every guard.
    only_tags: BTreeMap<usize, ConnectionTag>,
    packets: [u64; 2],
    /// When each text was said, and how long after that it was shown.
    said: BTreeMap<MessageId, Timestamp>,
    delays: BTreeMap<MessageId, Duration>,
    guard_died: bool,
    /// Packets that have reached relays in the first and in the second half of the trouble: those that drop them, all.
    reached: [(u64, u64); 2],
    /// Relays that are gone for good.
    lost: BTreeSet<usize>,
    /// Copies of disks.
    backups: BTreeMap<usize, MemStore>,
    /// Swarms that had a lost member in them when it was lost.
    bereft: usize,
    /// Owners whose member turned them away, and of these, who has left it.
    turned_away: BTreeSet<usize>,
    left: usize,
    survivor: usize,
    sleepers_swarm: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Client(usize),
    Relay(usize),
}

impl World {
    /// A world in which everything is started and scheduled.
    pub fn new(plan: Plan) -> Self {
        Self::prepared(plan, None)
    }

    fn prepared(plan: Plan, sightings: Option<Sightings>) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(plan.seed);
        let mut world = Self {
            now: START,
            rng,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            order: 0,
            clients: Vec::new(),
            addresses: Vec::new(),
            codes: Vec::new(),
            relays: Vec::new(),
            wires: BTreeMap::new(),
            ends: BTreeMap::new(),
            next_wire: 0,
            dials: BTreeMap::new(),
            lives: BTreeMap::new(),
            timers: BTreeMap::new(),
            syncing: vec![false; plan.relays],
            checker: Checker::default(),
            texts: Vec::new(),
            report: (0, 0, 0, 0),
            recording: None,
            sightings,
            only_tags: BTreeMap::new(),
            packets: [0; 2],
            said: BTreeMap::new(),
            delays: BTreeMap::new(),
            guard_died: false,
            reached: [(0, 0); 2],
            lost: BTreeSet::new(),
            backups: BTreeMap::new(),
            bereft: 0,
            turned_away: BTreeSet::new(),
            left: 0,
            survivor: 0,
            sleepers_swarm: Vec::new(),
            plan,
        };
        world.make_relays();
        world.play_until(world.begin());
        world.make_clients();
        world.schedule_plan();
        world
    }

    /// Plays the run to its end.
    pub fn run(mut self) -> Report {
        self.play();
        self.finish()
    }

    /// Plays the run to its end while somebody watches.
    pub fn run_recorded(mut self) -> (Report, Recording) {
        self.watch();
        self.play();
        let recording = self.conclude_recording();
        (self.finish(), recording)
    }

    /// When the first person comes.
    fn begin(&self) -> Timestamp {
        START.saturating_add(self.plan.settle)
    }

    /// When the trouble is over.
    fn calm(&self) -> Timestamp {
        self.begin().saturating_add(self.plan.trouble)
    }

    fn play(&mut self) {
        self.play_until(self.calm().saturating_add(self.plan.calm));
    }

    fn play_until(&mut self, end: Timestamp) {
        while let Some(Reverse((at, _))) = self.queue.peek() {
            if *at > end || self.report.3 >= MAX_EVENTS || self.is_done() {
                break;
            }
            let Some(Reverse((at, id))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.report.3 += 1;
            if let Some(happening) = self.happenings.remove(&id) {
                self.happen(happening);
            }
        }
    }

    /// All texts are out and have arrived, and the trouble is over. Where one member is to survive, swarms that are
    /// still broken are not waited for: other plans show that they are mended.
    fn is_done(&self) -> bool {
        let mended = || self.plan.survivor || self.broken_swarms() == 0;
        self.now > self.calm() && self.checker.is_complete() && mended()
    }

    fn finish(self) -> Report {
        let mut stored = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            let messages = client.stored_messages();
            stored.extend(messages.into_iter().map(|(id, count)| ((index, id), count)));
        }
        let (crashes, crashes_after_commit, lost, events) = self.report;
        let (bereft, broken_swarms) = (self.bereft, self.broken_swarms());
        let (stuck, notices) = (self.stuck(), self.checker.notices());
        let took = self.now.since(self.begin());
        let people = self.people();
        let violations = self.checker.finish(&stored);
        Report {
            seed: self.plan.seed,
            violations,
            stuck,
            people,
            notices,
            messages: self.plan.messages,
            crashes_after_commit,
            crashes,
            lost,
            packets: self.packets,
            bereft,
            broken_swarms,
            left: self.left,
            lies: self.relays.iter().map(|relay| relay.lied).sum(),
            events,
            took,
            delays: self.delays.into_values().collect(),
            guard_died: self.guard_died,
            reached: self.reached,
        }
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.schedule_at(self.now.saturating_add(after), happening);
    }

    fn schedule_at(&mut self, at: Timestamp, happening: Happening) {
        self.order += 1;
        self.happenings.insert(self.order, happening);
        self.queue.push(Reverse((at, self.order)));
    }

    // --- what happens ---------------------------------------------------------------------------

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Frame { wire, side, bytes } => self.arrive(wire, side, bytes),
            Happening::Opened { wire } => self.opened(wire),
            Happening::Refused { end, dial } => self.refused(end, dial),
            Happening::Cut { wire, side } => self.closed(wire, side),
            Happening::ClientTimer(index, life) => {
                if self.is_due(Who::Client(index), life) {
                    self.client(index, ClientInput::Timer);
                }
            }
            Happening::RelayTimer(index, life) => {
                if self.is_due(Who::Relay(index), life) {
                    self.relay(index, RelayInput::Timer);
                }
            }
            Happening::RelaySync(index, life) => {
                if self.life(Who::Relay(index)) == life {
                    self.sync(index);
                }
            }
            Happening::Worked(index, life, id, work) => {
                if self.life(Who::Client(index)) == life {
                    self.client(index, ClientInput::Worked(id, work));
                }
            }
            Happening::Say(index) => self.say(index),
            Happening::Come(index) => self.client(index, ClientInput::Online(true)),
            Happening::CrashClient(crash) => {
                // Whoever next stores something about mail is hit.
                let index = self.rng.random_range(0..self.clients.len());
                self.clients[index].crash = Some(crash);
            }
            Happening::CrashRelay => self.crash_relay(),
            Happening::LoseSessions => self.lose_sessions(),
            Happening::CutAny => self.cut_any(),
            Happening::LoseRelay => self.lose_relay(),
            Happening::BackUp(index) => self.back_up(index),
            Happening::RelayAway(index) => self.relay_away(index),
            Happening::Sleep(index, pause) => self.sleep(index, pause),
            Happening::Deafen => self.deafen(),
            Happening::Hear(index) => self.hear(index),
            Happening::Survivor(act) => self.survivor(act),
            Happening::StartClient(index) => {
                self.clients[index].start(self.now, &mut self.rng);
                self.look_again(index);
                self.client(index, ClientInput::Online(true));
            }
            Happening::StartRelay(index) if self.lost.contains(&index) => {}
            Happening::StartRelay(index) => {
                self.relays[index].start(self.now, &mut self.rng);
                self.settle_relay(index, Vec::new());
            }
        }
    }

    /// Whether a timer is the one that is set now, and not of a former life or replaced since.
    fn is_due(&mut self, who: Who, life: u64) -> bool {
        let due = self.life(who) == life && self.timers.get(&who) == Some(&self.now);
        if due {
            self.timers.remove(&who);
        }
        due
    }

    fn life(&self, who: Who) -> u64 {
        self.lives.get(&who).copied().unwrap_or(0)
    }

    // --- hosts ----------------------------------------------------------------------------------

    fn client(&mut self, index: usize, input: ClientInput) {
        let (now, host) = (self.now, &mut self.clients[index]);
        let crash = host.crash;
        let turned = host.turn(input, now, &mut self.rng);
        if let Some(recording) = &mut self.recording {
            recording.rows(index, &host.take_written());
        }
        let effects = match turned {
            Turned::Effects(effects) => {
                self.perform(index, effects);
                self.arm(Who::Client(index));
                return;
            }
            Turned::Crashed(effects) => effects,
        };
        self.report.0 += 1;
        self.report.1 += usize::from(crash == Some(Crash::AfterCommit));
        self.perform(index, effects);
        self.gone(Who::Client(index));
        let pause = Duration::from_ms(self.rng.random_range(500..20_000));
        self.schedule(pause, Happening::StartClient(index));
    }

    fn perform(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Open { link, url } => self.connect(End::Client(index, link), &url, None),
                Effect::Frame { link, bytes } => self.transmit(End::Client(index, link), bytes),
                Effect::Close { link } => self.close(End::Client(index, link)),
                Effect::Work(mut job) => {
                    let work = iter::repeat_with(|| job.solver.step()).flatten().next();
                    let life = self.life(Who::Client(index));
                    if let Some(work) = work {
                        self.schedule(WORK, Happening::Worked(index, life, job.id, work));
                    }
                }
                Effect::Event(Event::Message(view)) => {
                    self.shown(&view);
                    self.checker
                        .seen(index, &view, |client| self.addresses[client]);
                }
                Effect::Event(_) => {}
            }
        }
    }

    fn relay(&mut self, index: usize, input: RelayInput) {
        let came_in = self.frame_id_to_keep(&input);
        let mut outputs = self.relays[index].handle(input, self.now, &mut self.rng);
        if let Some(id) = came_in {
            broken::keep_frame_id(&mut outputs, id);
        }
        self.settle_relay(index, outputs);
    }

    fn settle_relay(&mut self, index: usize, outputs: Vec<Output>) {
        self.see_rows(index);
        for output in outputs {
            match output {
                Output::Send(conn, bytes) => self.transmit(End::Relay(index, conn), bytes),
                Output::Close(conn, _) => self.close(End::Relay(index, conn)),
                Output::Connect(dial, url) => {
                    self.connect(End::Relay(index, ConnId(0)), &url, Some(dial))
                }
                Output::Count(Metric::Peeled(suite), n) => {
                    let hybrid = usize::from(suite == Suite::XWing.name());
                    self.packets[hybrid] += n;
                }
                Output::Store(..)
                | Output::Count(..)
                | Output::Peer(..)
                | Output::ExpectDirectory(..) => {}
            }
        }
        if self.relays[index].is_dirty() && !self.syncing[index] {
            self.syncing[index] = true;
            let life = self.life(Who::Relay(index));
            self.schedule(SYNC, Happening::RelaySync(index, life));
        }
        self.arm(Who::Relay(index));
    }

    fn sync(&mut self, index: usize) {
        self.syncing[index] = false;
        for input in self.relays[index].sync(self.now) {
            self.relay(index, input);
        }
    }

    /// Sets the timer of a host to what it wants now.
    fn arm(&mut self, who: Who) {
        let wanted = match who {
            Who::Client(index) => self.clients[index].next_timeout(),
            Who::Relay(index) => self.relays[index].next_timeout(),
        };
        let Some(wanted) = wanted else { return };
        let at = wanted.max(self.now.saturating_add(Duration::from_ms(1)));
        if self.timers.get(&who).is_some_and(|armed| *armed <= at) {
            return;
        }
        self.timers.insert(who, at);
        let life = self.life(who);
        let happening = match who {
            Who::Client(index) => Happening::ClientTimer(index, life),
            Who::Relay(index) => Happening::RelayTimer(index, life),
        };
        self.schedule_at(at, happening);
    }
}
