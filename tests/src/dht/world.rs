//! Relays, time, and the network between them.
//!
//! A question costs two round trips: one to connect, which also is the dial-back, and one for itself. Latencies follow
//! from places on a square, plus jitter; frames get lost. Who is gone is found unreachable at once or not at all.

mod making;
mod queue;

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use zentalk_shared::dht::{
    AdmitAll, Answer, Contact, K, Node, Output, Peer, QueryId, RecordId, RecordKind, Request,
    Verified,
};
use zentalk_shared::id::{NodeId, RecordKey};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::decode_frame;

use super::churn::{session, uniform};
use super::liars::Liars;
use super::records::{self, HashedRecords};
use super::report::{Report, Sample};
use super::sorted::Sorted;

use queue::Queue;

/// What kind of network it is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Relays.
    pub relays: usize,
    /// Share of them that lie.
    pub liars: f64,
    /// Whether honest ones come and go (see [`super::churn`]).
    pub churn: bool,
    /// Share of frames that are lost: questions and answers alike.
    pub loss: f64,
    /// The whole run follows from it.
    pub seed: u64,
}

impl Plan {
    /// Honest and steady.
    pub const fn of(relays: usize) -> Self {
        Self {
            relays,
            liars: 0.0,
            churn: false,
            loss: 0.01,
            seed: 1,
        }
    }
}

type SimNode = Node<HashedRecords, AdmitAll>;

struct Slot {
    contact: Verified,
    /// `None`: a liar.
    node: Option<SimNode>,
    disk: HashMap<RecordId, Vec<u8>>,
    up: bool,
    place: (f64, f64),
    /// The moment of the timer that is set.
    timer: Timestamp,
}

enum Event {
    Frame {
        from: u32,
        to: u32,
        bytes: Vec<u8>,
        asks: bool,
    },
    Unreachable {
        at: u32,
        contact: Contact,
    },
    Timer(u32),
    Leave(u32),
}

/// A simulated network.
pub struct World {
    plan: Plan,
    /// What time it is.
    pub now: Timestamp,
    rng: ChaCha8Rng,
    slots: Vec<Slot>,
    events: Queue<Event>,
    liars: Liars,
    done: HashMap<(u32, QueryId), (Answer, Timestamp)>,
    /// Frames that have arrived.
    pub frames: u64,
    /// Relays that have gone.
    pub left: u64,
    /// Records that had to be published once more, because nobody had said that they are stored.
    pub again: usize,
    published: Vec<(RecordId, Vec<u8>)>,
}

impl World {
    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some((at, event)) = self.events.pop(until) {
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame {
                from,
                to,
                bytes,
                asks,
            } => self.arrive(from, to, &bytes, asks),
            Event::Unreachable { at, contact } => {
                let (now, rng) = (self.now, &mut self.rng);
                if let Some(sim) = &mut self.slots[at as usize].node {
                    sim.handle_unreachable(&contact, now, rng);
                }
                self.drain(at);
            }
            Event::Timer(at) => {
                let (now, rng) = (self.now, &mut self.rng);
                let slot = &mut self.slots[at as usize];
                if slot.up && slot.timer == now {
                    slot.timer = Timestamp::MAX;
                    if let Some(node) = &mut slot.node {
                        node.handle_timeout(now, rng);
                    }
                    self.drain(at);
                }
            }
            Event::Leave(at) => self.replace(at),
        }
    }

    /// A relay goes; another one comes in its place and joins through two that it knows.
    fn replace(&mut self, at: u32) {
        self.left += 1;
        let slot = &mut self.slots[at as usize];
        slot.up = false;
        (slot.node, slot.disk) = (None, HashMap::new());
        let new = self.add(false, false);
        for _ in 0..2 {
            let seed = self.any_honest();
            self.meet(new, seed, self.now);
        }
        self.drain(new);
        let stay = session(&mut self.rng);
        self.events.push(self.now + stay, Event::Leave(new));
    }

    fn any_honest(&mut self) -> u32 {
        loop {
            let at = (self.rng.next_u64() % self.slots.len() as u64) as u32;
            if self.slots[at as usize].node.is_some() {
                return at;
            }
        }
    }

    fn arrive(&mut self, from: u32, to: u32, bytes: &[u8], asks: bool) {
        if !self.slots[to as usize].up {
            return;
        }
        self.frames += 1;
        let frame = decode_frame(bytes).expect("nodes send frames");
        let (now, rng) = (self.now, &mut self.rng);
        let peer = Peer::Verified(self.slots[from as usize].contact.clone());
        match &mut self.slots[to as usize].node {
            Some(node) => {
                node.handle_frame(&peer, &frame, now, rng)
                    .expect("nodes keep the protocol");
                self.drain(to);
            }
            None if asks => {
                let request = Request::decode(&frame).expect("nodes keep the protocol");
                let reply = self.liars.answer(&request, now, rng).encode(frame.id);
                self.send(to, from, reply, false);
            }
            None => {}
        }
    }

    /// Does what a relay asks for.
    fn drain(&mut self, at: u32) {
        while let Some(output) = self.slots[at as usize]
            .node
            .as_mut()
            .and_then(SimNode::poll)
        {
            self.perform(at, output);
        }
        let slot = &mut self.slots[at as usize];
        if let Some(node) = &slot.node {
            let next = node.next_timeout().max(self.now + Duration::from_ms(1));
            if next < slot.timer {
                slot.timer = next;
                self.events.push(next, Event::Timer(at));
            }
        }
    }

    fn perform(&mut self, at: u32, output: Output) {
        let now = self.now;
        match output {
            Output::Ask(to, bytes) => self.ask(at, &to, bytes),
            Output::Answer(to, bytes) => self.send(at, index(&to), bytes, false),
            Output::Verify(_) | Output::Discovered(_) | Output::Persist(_) => {}
            Output::Write(ticket, id, _, bytes) => {
                let slot = &mut self.slots[at as usize];
                slot.disk.insert(id, bytes);
                if let Some(node) = &mut slot.node {
                    node.handle_written(ticket, true, now, &mut self.rng);
                }
            }
            Output::Read(ticket, id) => {
                let slot = &mut self.slots[at as usize];
                let bytes = slot.disk.get(&id).cloned();
                if let Some(node) = &mut slot.node {
                    node.handle_read(ticket, bytes, now, &mut self.rng);
                }
            }
            Output::Remove(id) => drop(self.slots[at as usize].disk.remove(&id)),
            Output::Done(query, answer) => drop(self.done.insert((at, query), (answer, now))),
        }
    }

    fn ask(&mut self, from: u32, to: &Contact, bytes: Vec<u8>) {
        let other = self.slots.get(index(&to.node()) as usize);
        // The host dials, and finds the claim true or not.
        let is_there = other.is_some_and(|slot| slot.up && slot.contact.contact() == to);
        if is_there {
            self.send(from, index(&to.node()), bytes, true);
        } else if self.rng.next_u32().is_multiple_of(2) {
            let at = self.now + Duration::from_ms(150);
            self.events.push(
                at,
                Event::Unreachable {
                    at: from,
                    contact: to.clone(),
                },
            );
        }
    }

    fn send(&mut self, from: u32, to: u32, bytes: Vec<u8>, asks: bool) {
        let Some(other) = self.slots.get(to as usize) else {
            return;
        };
        if uniform(&mut self.rng) < self.plan.loss {
            return;
        }
        let (a, b) = (self.slots[from as usize].place, other.place);
        let distance = (a.0 - b.0).hypot(a.1 - b.1);
        let one_way = 5.0 + 90.0 * distance - 5.0 * (1.0 - uniform(&mut self.rng)).ln();
        // A question waits for the connection, which takes a round trip.
        let ways = if asks { 3.0 } else { 1.0 };
        let at = self.now + Duration::from_ms((one_way * ways) as u64 + 1);
        self.events.push(
            at,
            Event::Frame {
                from,
                to,
                bytes,
                asks,
            },
        );
    }

    /// Publishes records, each through some honest relay, and waits until that is done. Whose relay leaves meanwhile goes
    /// to another one.
    pub fn publish(&mut self, count: usize) {
        let mut under_way = Vec::new();
        for _ in 0..count {
            let mut key = [0; 20];
            self.rng.fill_bytes(&mut key);
            let id = RecordId::account(RecordKey::from_bytes(key));
            let record = records::make(&id, 1, self.now + Duration::from_days(20));
            under_way.push((self.hand_in(&record), record.clone()));
            self.published.push((id, record));
            self.pass(Duration::from_ms(20));
        }
        while !under_way.is_empty() {
            self.pass(Duration::from_secs(30));
            let stored = |answer: Option<(Answer, Timestamp)>| matches!(answer, Some((Answer::Published(published), _)) if published.stored > 0);
            under_way.retain(|(query, _)| !stored(self.done.remove(query)));
            for (query, record) in &mut under_way {
                *query = self.hand_in(record);
            }
            self.again += under_way.len();
        }
    }

    /// Has some honest relay publish a record.
    fn hand_in(&mut self, record: &[u8]) -> (u32, QueryId) {
        let at = self.any_honest();
        let (now, rng) = (self.now, &mut self.rng);
        let node = self.slots[at as usize].node.as_mut();
        let node = node.expect("honest relays have one");
        let query = node.publish(RecordKind::Account, record.to_vec(), None, now, rng);
        let query = query.expect("few lookups are under way");
        self.drain(at);
        (at, query)
    }

    /// Looks records up, evenly over a span of time, each from some honest relay.
    pub fn look_up(&mut self, count: usize, over: Duration) -> Report {
        let mut asked = Vec::new();
        let pause = Duration::from_ms(over.as_ms() / count as u64);
        for n in 0..count {
            let (id, record) = self.published[n % self.published.len()].clone();
            let at = self.any_honest();
            let (now, rng) = (self.now, &mut self.rng);
            if let Some(node) = &mut self.slots[at as usize].node {
                let query = node
                    .find_value(id, now, rng)
                    .expect("few lookups are under way");
                asked.push((at, query, record, now));
            }
            self.drain(at);
            self.pass(pause);
        }
        // At most three minutes: a path that is led astray waits for many answers that do not come.
        for _ in 0..36 {
            let is_over = |(at, query, ..): &(u32, QueryId, _, _)| {
                self.done.contains_key(&(*at, *query)) || !self.slots[*at as usize].up
            };
            if asked.iter().all(is_over) {
                break;
            }
            self.pass(Duration::from_secs(5));
        }
        let samples = asked.into_iter().filter_map(|(at, query, record, begun)| {
            match self.done.remove(&(at, query)) {
                Some(answer) => Some(sample(&answer, &record, begun)),
                // Of a relay that has left meanwhile nobody knows; any other should have an answer by now.
                None => self.slots[at as usize].up.then_some(Sample::UNANSWERED),
            }
        });
        Report {
            samples: samples.collect(),
        }
    }

    /// Contacts in the tables of honest relays: how many, and how many of them are not there any more.
    pub fn tables(&self) -> (usize, usize) {
        let nodes = self.slots.iter().filter_map(|slot| slot.node.as_ref());
        let contacts = nodes.flat_map(|node| node.table().contacts());
        contacts.fold((0, 0), |(all, gone), contact| {
            let up = self.slots[index(&contact.node()) as usize].up;
            (all + 1, gone + usize::from(!up))
        })
    }

    /// Published records that no honest relay has any more.
    pub fn lost(&self) -> usize {
        let is_lost = |(id, _): &&(RecordId, Vec<u8>)| {
            let mut disks = self.slots.iter().filter(|slot| slot.up);
            !disks.any(|slot| slot.disk.contains_key(id))
        };
        self.published.iter().filter(is_lost).count()
    }

    /// Of the K nearest to each honest relay, the share that is in its table.
    pub fn neighbours_known(&self) -> f64 {
        let up = (0u32..).zip(&self.slots).filter(|(_, slot)| slot.up);
        let up = up.map(|(at, slot)| (*slot.contact.contact().position(), at));
        let sorted: Sorted<u32> = Sorted::new(up.collect());
        let (mut all, mut known) = (0, 0);
        for node in self.slots.iter().filter_map(|slot| slot.node.as_ref()) {
            // The nearest of all is the relay itself.
            let nearest = sorted.nearest(node.contact().position(), K + 1);
            for at in nearest.into_iter().skip(1) {
                let contact = self.slots[*at as usize].contact.contact();
                known += usize::from(node.table().contains(contact));
                all += 1;
            }
        }
        known as f64 / all.max(1) as f64
    }

    /// Has a relay of the seed's choice crawl: how many it finds, and how many there are besides.
    pub fn crawl(&mut self) -> (usize, usize) {
        let at = self.any_honest();
        let (now, rng) = (self.now, &mut self.rng);
        let node = self.slots[at as usize].node.as_mut();
        let query = node.and_then(|node| node.crawl(now, rng).ok());
        self.drain(at);
        self.pass(Duration::from_mins(30));
        let answer = query.and_then(|query| self.done.remove(&(at, query)));
        let others = self.slots.iter().filter(|slot| slot.up).count() - 1;
        match answer {
            Some((Answer::Crawled(found), _)) => (found.len(), others),
            _ => (0, others),
        }
    }
}

fn sample((answer, at): &(Answer, Timestamp), record: &[u8], begun: Timestamp) -> Sample {
    let Answer::Found(outcome) = answer else {
        panic!("a lookup was asked for");
    };
    let found = outcome
        .value
        .as_ref()
        .is_some_and(|value| value.bytes == record);
    Sample {
        found,
        hops: outcome.hops,
        asked: outcome.asked,
        ms: at.since(begun).as_ms(),
    }
}

fn index(node: &NodeId) -> u32 {
    let [a, b, c, d, ..] = *node.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}
