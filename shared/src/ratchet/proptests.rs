//! Any schedule of two parties: what arrives is exactly what was sent, each message at most once.

use proptest::prelude::*;

use super::tests::{AD, Message, NOW, Pair};
use super::{Header, Ratchet};

/// One event of a schedule. Numbers choose among the messages that exist when it happens.
#[derive(Clone, Debug)]
enum Event {
    AliceSends,
    BobSends,
    DeliverToAlice(usize),
    DeliverToBob(usize),
    CorruptToAlice(usize, usize, u8),
    CorruptToBob(usize, usize, u8),
    RandomToAlice(Vec<u8>),
    RandomToBob(Vec<u8>),
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::AliceSends),
        4 => Just(Event::BobSends),
        6 => any::<usize>().prop_map(Event::DeliverToAlice),
        6 => any::<usize>().prop_map(Event::DeliverToBob),
        1 => (any::<usize>(), any::<usize>(), 1u8..).prop_map(|(m, i, x)| Event::CorruptToAlice(m, i, x)),
        1 => (any::<usize>(), any::<usize>(), 1u8..).prop_map(|(m, i, x)| Event::CorruptToBob(m, i, x)),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Event::RandomToAlice),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Event::RandomToBob),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..60)
}

/// A side, what was sent to it, and which of that has been delivered.
#[derive(Default)]
struct Inbox {
    messages: Vec<(Message, Vec<u8>)>,
    delivered: Vec<bool>,
}

impl Inbox {
    fn push(&mut self, message: Message, plaintext: Vec<u8>) {
        self.messages.push((message, plaintext));
        self.delivered.push(false);
    }

    fn pick(&self, choice: usize) -> Option<usize> {
        choice.checked_rem(self.messages.len())
    }
}

/// Flips bits somewhere in the header or the ciphertext.
fn corrupt(message: &Message, index: usize, xor: u8) -> Message {
    let (header, mut ciphertext) = message.clone();
    let mut bytes = header.encode();
    let index = index % (Header::LEN + ciphertext.len());
    match bytes.get_mut(index) {
        Some(byte) => *byte ^= xor,
        None => ciphertext[index - Header::LEN] ^= xor,
    }
    (Header::decode(&bytes), ciphertext)
}

/// A header and ciphertext of arbitrary bytes, repeated to their lengths.
fn from_bytes(bytes: &[u8]) -> Message {
    let mut header = [0; Header::LEN];
    header
        .iter_mut()
        .zip(bytes.iter().cycle())
        .for_each(|(to, from)| *to = *from);
    (Header::decode(&header), bytes.to_vec())
}

/// The two parties; Bob exists from the first message that he accepts.
struct World {
    pair: Pair,
    bob: Option<Ratchet>,
    to_alice: Inbox,
    to_bob: Inbox,
    counter: u32,
}

impl World {
    fn run(&mut self, event: Event) {
        match event {
            Event::AliceSends => {
                let plaintext = self.plaintext();
                let message = self.pair.alice_sends(&plaintext);
                self.to_bob.push(message, plaintext);
            }
            Event::BobSends => {
                let plaintext = self.plaintext();
                if let Some(bob) = &mut self.bob {
                    let message = bob.encrypt(AD, &plaintext, &mut self.pair.rng).unwrap();
                    self.to_alice.push(message, plaintext);
                }
            }
            Event::DeliverToAlice(choice) => self.deliver_to_alice(choice),
            Event::DeliverToBob(choice) => self.deliver_to_bob(choice),
            Event::CorruptToAlice(choice, index, xor) => {
                if let Some(i) = self.to_alice.pick(choice) {
                    self.alice_refuses(&corrupt(&self.to_alice.messages[i].0, index, xor));
                }
            }
            Event::CorruptToBob(choice, index, xor) => {
                if let Some(i) = self.to_bob.pick(choice) {
                    self.bob_refuses(&corrupt(&self.to_bob.messages[i].0, index, xor));
                }
            }
            Event::RandomToAlice(bytes) => self.alice_refuses(&from_bytes(&bytes)),
            Event::RandomToBob(bytes) => self.bob_refuses(&from_bytes(&bytes)),
            Event::Restart => self.restart(),
        }
    }

    fn plaintext(&mut self) -> Vec<u8> {
        self.counter += 1;
        self.counter.to_be_bytes().to_vec()
    }

    fn deliver_to_alice(&mut self, choice: usize) {
        let Some(i) = self.to_alice.pick(choice) else {
            return;
        };
        let ((header, ciphertext), plaintext) = &self.to_alice.messages[i];
        match self.pair.alice.decrypt(AD, header, ciphertext, NOW) {
            Ok((opened, next)) => {
                assert!(
                    !std::mem::replace(&mut self.to_alice.delivered[i], true),
                    "delivered twice"
                );
                assert_eq!(opened, *plaintext);
                self.pair.alice = next;
            }
            Err(_) => assert!(self.to_alice.delivered[i], "a genuine message was refused"),
        }
    }

    fn deliver_to_bob(&mut self, choice: usize) {
        let Some(i) = self.to_bob.pick(choice) else {
            return;
        };
        let (message, plaintext) = &self.to_bob.messages[i];
        let opened = match &self.bob {
            Some(bob) => bob.decrypt(AD, &message.0, &message.1, NOW),
            None => self.pair.accept(message),
        };
        match opened {
            Ok((opened, next)) => {
                assert!(
                    !std::mem::replace(&mut self.to_bob.delivered[i], true),
                    "delivered twice"
                );
                assert_eq!(opened, *plaintext);
                self.bob = Some(next);
            }
            Err(_) => assert!(self.to_bob.delivered[i], "a genuine message was refused"),
        }
    }

    fn alice_refuses(&self, message: &Message) {
        let before = self.pair.alice.encode();
        assert!(
            self.pair
                .alice
                .decrypt(AD, &message.0, &message.1, NOW)
                .is_err()
        );
        assert_eq!(*self.pair.alice.encode(), *before);
    }

    fn bob_refuses(&self, message: &Message) {
        match &self.bob {
            Some(bob) => {
                let before = bob.encode();
                assert!(bob.decrypt(AD, &message.0, &message.1, NOW).is_err());
                assert_eq!(*bob.encode(), *before);
            }
            None => assert!(self.pair.accept(message).is_err()),
        }
    }

    fn restart(&mut self) {
        self.pair.alice = Ratchet::decode(&self.pair.alice.encode()).unwrap();
        self.bob = self
            .bob
            .take()
            .map(|bob| Ratchet::decode(&bob.encode()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_schedule_delivers_exactly_what_was_sent(seed: u64, schedule in events()) {
        let (to_alice, to_bob) = (Inbox::default(), Inbox::default());
        let mut world = World { pair: Pair::new(seed), bob: None, to_alice, to_bob, counter: 0 };
        for event in schedule {
            world.run(event);
        }
        // Whatever has not arrived yet still can: nothing was lost on the way.
        (0..world.to_bob.messages.len()).for_each(|i| world.deliver_to_bob(i));
        (0..world.to_alice.messages.len()).for_each(|i| world.deliver_to_alice(i));
        prop_assert!(world.to_bob.delivered.iter().chain(&world.to_alice.delivered).all(|done| *done));
    }

    #[test]
    fn arbitrary_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(ratchet) = Ratchet::decode(&bytes) {
            prop_assert_eq!(Ratchet::decode(&ratchet.encode()).unwrap(), ratchet);
        }
    }
}
