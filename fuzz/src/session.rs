//! Session messages, their fragments, both at rest, and two devices that keep records of their sessions.

use std::collections::BTreeSet;

use rand_chacha::ChaCha20Rng;
use zentalk_shared::session::{Fragment, Inserted, Reassembly, SessionMessage, SessionRecord};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::budget::FRAGMENT_LEN;
use zentalk_shared::wire::codec::{from_cbor, to_cbor};

use crate::devices::{Device, Published, rng};

/// Steps of one run, and sessions begun in it: each costs some public-key operations.
const MAX_STEPS: usize = 48;
const MAX_STARTS: usize = 6;
/// One-time entries that relays hold of each device; the sessions after them use the last resort.
const ONE_TIME: usize = 2;
/// Longest prekey record.
const MAX_PREKEYS: usize = 1 << 16;

pub(crate) fn message(data: &[u8]) {
    if let Ok(message) = SessionMessage::decode(data) {
        assert_eq!(SessionMessage::decode(&message.encode()), Ok(message));
    }
}

pub(crate) fn record(data: &[u8]) {
    if let Ok(record) = SessionRecord::decode(data) {
        let bytes = record.encode();
        let again = SessionRecord::decode(&bytes).map(|record| record.encode());
        assert_eq!(again.ok(), Some(bytes));
    }
}

/// A fragment, its input continued with zeros; alone, and taken in twice.
pub(crate) fn fragment(data: &[u8]) {
    let mut bytes = [0; FRAGMENT_LEN];
    bytes
        .iter_mut()
        .zip(data)
        .for_each(|(to, from)| *to = *from);
    let Ok(fragment) = Fragment::decode(&bytes) else {
        return;
    };
    assert_eq!(*fragment.encode(), bytes);
    let mut state = Reassembly::default();
    match state.insert(fragment.clone(), Timestamp::EPOCH) {
        Inserted::Complete { message, delete } => {
            assert_eq!((message.as_slice(), delete.len()), (fragment.data(), 0));
        }
        Inserted::Kept { row, .. } => {
            assert_eq!(
                state.insert(fragment, Timestamp::EPOCH),
                Inserted::Duplicate
            );
            assert_eq!(
                Reassembly::restore([row.as_slice()]).map(|state| state.len()),
                Ok(1)
            );
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn fragment_row(data: &[u8]) {
    if let Ok(state) = Reassembly::restore([data]) {
        assert_eq!(state.len(), 1);
    }
}

/// Two devices whose stores the input drives: sessions begun anew, messages lost, repeated, reordered and
/// changed, restarts, damaged and lost records. What is read was sent, and is read once; afterwards the
/// two come to send in the same session.
pub(crate) fn store(data: &[u8]) {
    let mut world = World::new();
    let mut data = data.iter().copied();
    for _ in 0..MAX_STEPS {
        let Some(step) = data.next() else { break };
        let mut number = || usize::from(data.next().unwrap_or_default());
        let side = usize::from(step & 1);
        match step >> 1 & 7 {
            0 if world.starts[side] < MAX_STARTS => world.start(side),
            0 => {}
            1 | 2 => world.send(side),
            again @ (3 | 4) => {
                world.deliver(side, number(), again == 4);
            }
            5 => world.change(side, number(), number(), number()),
            6 => world.restart(side),
            _ => match number() {
                0 => world.devices[side].sessions = None,
                at => world.damage(side, at, number()),
            },
        }
    }
    world.settle();
}

struct World {
    devices: [Device; 2],
    published: [Published; 2],
    /// Under way to each.
    to: [Vec<(Vec<u8>, SessionMessage)>; 2],
    read: [BTreeSet<Vec<u8>>; 2],
    starts: [usize; 2],
    sent: u16,
    rng: ChaCha20Rng,
}

impl World {
    fn new() -> Self {
        let [(alice, of_alice), (bob, of_bob)] =
            [0, 1].map(|number| Device::new(number, ONE_TIME, &mut rng(10 + number as u64)));
        Self {
            devices: [alice, bob],
            published: [of_alice, of_bob],
            to: [vec![], vec![]],
            read: [BTreeSet::new(), BTreeSet::new()],
            starts: [0, 0],
            sent: 0,
            rng: rng(1),
        }
    }

    fn start(&mut self, who: usize) {
        let bundle = self.published[1 - who].bundle(self.starts[who]);
        self.devices[who] = self.devices[who].start(bundle, &mut self.rng);
        self.starts[who] += 1;
    }

    fn send(&mut self, from: usize) {
        let plaintext = [&[from as u8], self.sent.to_be_bytes().as_slice()].concat();
        if let Some((after, bytes)) = self.devices[from].send(&plaintext, &mut self.rng) {
            let message = SessionMessage::decode(&bytes).expect("what we encode decodes");
            self.devices[from] = after;
            self.to[1 - from].push((plaintext, message));
            self.sent += 1;
        }
    }

    /// Delivers a message; false if it called for a new session.
    fn deliver(&mut self, to: usize, which: usize, again: bool) -> bool {
        let Some(index) = which.checked_rem(self.to[to].len()) else {
            return true;
        };
        let (sent, message) = &self.to[to][index];
        let result = self.devices[to].receive(message);
        let sound = match result {
            Ok((after, plaintext)) => {
                assert_eq!(plaintext, *sent);
                assert!(self.read[to].insert(plaintext), "read twice");
                self.devices[to] = after;
                true
            }
            Err(error) => !error.calls_for_new_session(),
        };
        if !again {
            self.to[to].remove(index);
        }
        sound
    }

    /// A message with a changed byte is refused, or the byte was of no account.
    fn change(&mut self, to: usize, which: usize, at: usize, xor: usize) {
        let Some(index) = which.checked_rem(self.to[to].len()) else {
            return;
        };
        let (sent, message) = &self.to[to][index];
        let mut bytes = message.encode();
        let at = at * 37 % bytes.len();
        bytes[at] ^= xor as u8 | 1;
        let changed = SessionMessage::decode(&bytes).ok();
        if let Some(Ok((_, plaintext))) = changed.map(|it| self.devices[to].receive(&it)) {
            assert_eq!(plaintext, *sent);
        }
    }

    /// All that a device has comes from its store.
    fn restart(&mut self, who: usize) {
        let device = &mut self.devices[who];
        let prekeys = to_cbor(&device.prekeys);
        device.prekeys = from_cbor(&prekeys, MAX_PREKEYS).expect("prekeys are read back");
        if let Some(record) = &device.sessions {
            let again = SessionRecord::decode(&record.encode()).expect("a record is read back");
            assert_eq!(again, *record);
            device.sessions = Some(again);
        }
    }

    /// A damaged record is refused, or does no harm to what is read with it. It is not kept: stores
    /// authenticate their rows.
    fn damage(&mut self, who: usize, at: usize, xor: usize) {
        let Some(record) = &self.devices[who].sessions else {
            return;
        };
        let mut bytes = record.encode().to_vec();
        let at = at * 29 % bytes.len();
        bytes[at] ^= xor as u8 | 1;
        // Whom a record is with is the name that it is stored under.
        let damaged = SessionRecord::decode(&bytes).ok();
        let Some(damaged) = damaged.filter(|damaged| damaged.peer() == record.peer()) else {
            return;
        };
        let mut device = self.devices[who].clone();
        device.sessions = Some(damaged);
        for (sent, message) in &self.to[who] {
            if let Ok((_, plaintext)) = device.receive(message) {
                assert_eq!(plaintext, *sent);
            }
        }
    }

    /// The two go on talking; whoever is told that a session is missing begins one.
    fn settle(&mut self) {
        let mut sound = true;
        for _ in 0..4 {
            sound = true;
            for who in [0, 1] {
                if self.devices[who].sessions.is_none() {
                    self.start(who);
                }
                self.send(who);
                for to in [1 - who, who] {
                    sound &= self.deliver_all(to);
                }
            }
        }
        let [alice, bob] = &self.devices;
        let current =
            |device: &Device| device.sessions.as_ref().map(SessionRecord::current_session);
        assert!(sound, "the last messages are read");
        assert_eq!(current(alice), current(bob));
    }

    fn deliver_all(&mut self, to: usize) -> bool {
        let mut sound = true;
        while !self.to[to].is_empty() {
            if !self.deliver(to, 0, false) {
                sound = false;
                self.start(to);
                self.send(to);
            }
        }
        sound
    }
}
