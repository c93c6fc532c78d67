//! What a thief of one side's whole state can read, exactly: forward secrecy and healing, also against
//! attackers who break X25519 or ML-KEM besides.
//!
//! The attacker is as strong as the symbolic model allows, with the real cryptography: from the secrets
//! that it has it derives whatever can be derived, trying every combination on every message that was
//! ever sent, until nothing more follows. What it then reads is compared with what the protocol promises,
//! message by message, in both directions: nothing more, nothing less.

use proptest::prelude::*;

use super::chain_key::ChainKey;
use super::double_ratchet::Turn;
use super::message_key::MessageKey;
use super::root_key::RootKey;
use super::tests::{AD, Message, NOW, Pair};
use super::*;
use crate::crypto::Secret32;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::ml_kem::{MlKemCiphertext, MlKemSecret};

/// The two sides: who initiates, who responds.
const ALICE: usize = 0;
const BOB: usize = 1;

/// A message of the conversation.
struct Sent {
    from: usize,
    message: Message,
    plaintext: Vec<u8>,
    /// Steps of the root key up to its chain.
    chain: usize,
    /// Event at which it was sent, and at which it was received.
    at: usize,
    received: Option<usize>,
}

/// A conversation with everything that ever was secret in it.
struct World {
    pair: Pair,
    bob: Option<Ratchet>,
    sent: Vec<Sent>,
    dh_secrets: Vec<X25519Secret>,
    kem_secrets: Vec<MlKemSecret>,
    /// The chains in the order of the root key's steps.
    chains: Vec<X25519Public>,
    now: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let pair = Pair::new(seed);
        let (dh_secrets, kem_secrets) = (vec![pair.bob_dh.clone()], vec![pair.bob_ek.clone()]);
        Self {
            pair,
            bob: None,
            sent: vec![],
            dh_secrets,
            kem_secrets,
            chains: vec![],
            now: 0,
        }
    }

    fn state(&self, side: usize) -> Option<&Ratchet> {
        match side {
            ALICE => Some(&self.pair.alice),
            _ => self.bob.as_ref(),
        }
    }

    fn send(&mut self, from: usize) {
        self.now += 1;
        let plaintext = (self.sent.len() as u32).to_be_bytes().to_vec();
        let ratchet = match from {
            ALICE => &mut self.pair.alice,
            _ => match &mut self.bob {
                Some(bob) => bob,
                None => return,
            },
        };
        let message = ratchet.encrypt(AD, &plaintext, &mut self.pair.rng).unwrap();
        let Turn::Ours(own) = &ratchet.turn else {
            unreachable!("who sends has stepped");
        };
        if !self.chains.contains(own.dh.public()) {
            self.chains.push(*own.dh.public());
            self.dh_secrets.push(own.dh.clone());
            self.kem_secrets.push(own.ek.clone());
        }
        let chain = 1 + self.index_of(&message.0.dh());
        self.sent.push(Sent {
            from,
            message,
            plaintext,
            chain,
            at: self.now,
            received: None,
        });
    }

    /// Chains come into being alternately, each after the one it answers.
    fn index_of(&self, dh: &X25519Public) -> usize {
        let found = self.chains.iter().position(|chain| chain == dh);
        found.expect("every chain is recorded")
    }

    fn deliver(&mut self, to: usize, which: usize) {
        self.now += 1;
        let waiting = |sent: &Sent| sent.from != to && sent.received.is_none();
        let waiting: Vec<_> = (0..self.sent.len())
            .filter(|at| waiting(&self.sent[*at]))
            .collect();
        let Some(index) = which.checked_rem(waiting.len()).map(|at| waiting[at]) else {
            return;
        };
        let (header, ciphertext) = &self.sent[index].message;
        let opened = match self.state(to) {
            Some(ratchet) => ratchet.decrypt(AD, header, ciphertext, NOW),
            None => self.pair.accept(&self.sent[index].message),
        };
        let (plaintext, next) = opened.unwrap();
        assert_eq!(plaintext, self.sent[index].plaintext);
        self.sent[index].received = Some(self.now);
        match to {
            ALICE => self.pair.alice = next,
            _ => self.bob = Some(next),
        }
    }

    /// The two go on talking, everything new arrives, some of the old never does.
    fn go_on(&mut self) {
        for _ in 0..3 {
            for from in [ALICE, BOB] {
                self.send(from);
                let newest = self.sent.len() - 1;
                let waiting = |sent: &&Sent| sent.from == from && sent.received.is_none();
                let place = self.sent.iter().filter(waiting).count() - 1;
                assert_eq!(self.sent[newest].from, from);
                self.deliver(1 - from, place);
            }
        }
    }
}

/// What an attacker has, and what follows from it.
#[derive(Default)]
struct Attacker {
    roots: Vec<RootKey>,
    /// Chain keys: from which message on, in which chain.
    chains: Vec<(X25519Public, u32, ChainKey)>,
    message_keys: Vec<(X25519Public, u32, MessageKey)>,
    dh: Vec<X25519Secret>,
    kem: Vec<MlKemSecret>,
}

impl Attacker {
    /// Whoever takes all that a side has.
    fn thief(state: &Ratchet) -> Self {
        let mut thief = Self::default();
        thief.roots.push(state.root.clone());
        if let Some(chain) = &state.receiving {
            thief.chains.push((chain.dh, chain.next, chain.key.clone()));
        }
        if let Turn::Ours(own) = &state.turn {
            thief
                .chains
                .push((*own.dh.public(), own.n, own.chain.clone()));
            thief.dh.push(own.dh.clone());
            thief.kem.push(own.ek.clone());
        }
        for chain in &state.skipped.chains {
            let keys = chain.keys.iter();
            thief
                .message_keys
                .extend(keys.map(|(n, key)| (chain.dh, *n, key.clone())));
        }
        thief
    }

    /// Derives what can be derived; which messages it reads.
    fn reads(mut self, world: &World) -> Vec<bool> {
        while self.learns_a_step(world) {}
        let sent = world.sent.iter();
        sent.map(|sent| self.opens(&sent.message)).collect()
    }

    /// Tries every known secret on every chain that is not known yet.
    fn learns_a_step(&mut self, world: &World) -> bool {
        for sent in &world.sent {
            let (header, _) = &sent.message;
            if self
                .chains
                .iter()
                .any(|(dh, n, _)| (*dh, *n) == (header.dh(), 0))
            {
                continue;
            }
            let kem = self
                .kem
                .iter()
                .map(|secret| secret.decapsulate(&header.ct()));
            let kem: Vec<Secret32> = kem.collect();
            for dh in self.shared_with(&header.dh(), world) {
                for (kem, root) in kem
                    .iter()
                    .flat_map(|kem| self.roots.iter().map(move |root| (kem, root)))
                {
                    let (root, chain) = root.step(&dh, kem);
                    if opens(&chain, 0, &sent.message) {
                        self.roots.push(root);
                        self.chains.push((header.dh(), 0, chain));
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Every X25519 secret with that key that can be computed.
    fn shared_with(&self, key: &X25519Public, world: &World) -> Vec<Secret32> {
        let mut shared = vec![];
        for secret in &self.dh {
            shared.extend(secret.diffie_hellman(key));
            if secret.public() == key {
                let publics = world.dh_secrets.iter().map(|secret| *secret.public());
                shared.extend(publics.filter_map(|public| secret.diffie_hellman(&public).ok()));
            }
        }
        shared
    }

    fn opens(&self, message: &Message) -> bool {
        let (header, ciphertext) = message;
        let by_key = self.message_keys.iter().any(|(dh, n, key)| {
            (*dh, *n) == (header.dh(), header.n) && key.open(AD, header, ciphertext).is_ok()
        });
        let mut chains = self.chains.iter();
        by_key || chains.any(|(dh, from, key)| *dh == header.dh() && opens(key, *from, message))
    }
}

/// Whether a chain key at `from` opens a message.
fn opens(chain: &ChainKey, from: u32, (header, ciphertext): &Message) -> bool {
    let ahead = header.n.checked_sub(from).filter(|ahead| *ahead <= 1000);
    let key = ahead.map(|ahead| chain.advance(ahead).message_key());
    key.is_some_and(|key| key.open(AD, header, ciphertext).is_ok())
}

/// A theft: whose state, when, and as it was.
struct Theft {
    victim: usize,
    at: usize,
    state: Ratchet,
}

impl Theft {
    /// What the thief of a state may read: what its owner could still have read with it, what its owner
    /// sends in the same chain, and one step of the peer that answers it. Nothing that was received or
    /// sent before, and nothing from its owner's next step on.
    fn may_read(&self, world: &World, sent: &Sent) -> bool {
        let mine = matches!(self.state.turn, Turn::Ours(_));
        let chains = match &self.state.turn {
            Turn::Ours(own) => {
                1 + world
                    .chains
                    .iter()
                    .position(|dh| dh == own.dh.public())
                    .unwrap()
            }
            Turn::Theirs(peer) => world
                .chains
                .iter()
                .position(|dh| *dh == peer.dh)
                .map_or(0, |at| 1 + at),
        };
        let open = match sent.from == self.victim {
            true => sent.at > self.at,
            false => sent.received.is_none_or(|at| at > self.at),
        };
        open && sent.chain <= chains + usize::from(mine)
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Sends(usize),
    Deliver(usize, usize),
}

fn events(count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..2usize).prop_map(Event::Sends),
        (0..2usize, 0..1000usize).prop_map(|(to, which)| Event::Deliver(to, which)),
    ];
    prop::collection::vec(event, count)
}

fn run(world: &mut World, events: &[Event]) {
    for event in events {
        match *event {
            Event::Sends(from) => world.send(from),
            Event::Deliver(to, which) => world.deliver(to, which),
        }
    }
}

/// A conversation, a theft in its midst, and the rest of it.
fn stolen(seed: u64, before: &[Event], after: &[Event], victim: usize) -> Option<(World, Theft)> {
    let mut world = World::new(seed);
    run(&mut world, before);
    world.now += 1;
    let theft = Theft {
        victim,
        at: world.now,
        state: world.state(victim)?.clone(),
    };
    run(&mut world, after);
    world.go_on();
    Some((world, theft))
}

fn promised(world: &World, theft: &Theft) -> Vec<bool> {
    let sent = world.sent.iter();
    sent.map(|sent| theft.may_read(world, sent)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_thief_reads_what_is_promised_and_nothing_else(
        seed: u64, before in events(0..16), after in events(0..8), victim in 0..2usize,
    ) {
        let Some((world, theft)) = stolen(seed, &before, &after, victim) else { return Ok(()) };
        let expected = promised(&world, &theft);
        prop_assert_eq!(&Attacker::thief(&theft.state).reads(&world), &expected);
        // Healed: what both have said after the victim's next step.
        prop_assert!(!expected[expected.len() - 3..].contains(&true));
    }

    #[test]
    fn breaking_x25519_or_ml_kem_besides_gains_a_thief_nothing(
        seed: u64, before in events(0..12), after in events(0..6), victim in 0..2usize,
    ) {
        let Some((world, theft)) = stolen(seed, &before, &after, victim) else { return Ok(()) };
        let expected = promised(&world, &theft);
        let mut quantum = Attacker::thief(&theft.state);
        quantum.dh = world.dh_secrets.clone();
        prop_assert_eq!(&quantum.reads(&world), &expected);
        let mut lattice = Attacker::thief(&theft.state);
        lattice.kem = world.kem_secrets.clone();
        prop_assert_eq!(&lattice.reads(&world), &expected);
        // The attacker here can do it at all: with both broken, all that follows is open, and only that.
        let mut both = Attacker::thief(&theft.state);
        both.dh = world.dh_secrets.clone();
        both.kem = world.kem_secrets.clone();
        let read = both.reads(&world);
        for (sent, (read, promised)) in world.sent.iter().zip(read.into_iter().zip(expected)) {
            let later = world.index_of(&sent.message.0.dh()) >= world.chains.len() - 3;
            prop_assert!(read || !(promised || later));
            prop_assert!(!read || promised || sent.at > theft.at || sent.received.is_none_or(|at| at > theft.at));
        }
    }

    #[test]
    fn without_a_state_both_primitives_broken_read_nothing(seed: u64, schedule in events(0..16)) {
        // The root key holds: what the agreement gave is still secret.
        let mut world = World::new(seed);
        run(&mut world, &schedule);
        world.go_on();
        let attacker = Attacker {
            dh: world.dh_secrets.clone(),
            kem: world.kem_secrets.clone(),
            ..Attacker::default()
        };
        prop_assert!(!attacker.reads(&world).contains(&true));
    }
}

#[test]
fn healing_takes_one_round_trip_with_fresh_randomness() {
    let mut world = World::new(1);
    world.go_on();
    // Bob has answered last: stolen now, his chain and Alice's next one are open, his next one is not.
    world.now += 1;
    let theft = Theft {
        victim: BOB,
        at: world.now,
        state: world.state(BOB).unwrap().clone(),
    };
    let first = world.sent.len();
    for from in [BOB, ALICE, ALICE, BOB, ALICE] {
        world.send(from);
        world.deliver(1 - from, 0);
    }
    let read = Attacker::thief(&theft.state).reads(&world);
    assert_eq!(read[first..], [true, true, true, false, false]);
    assert_eq!(read[..first], vec![false; first]);
}

#[test]
fn skipped_keys_are_what_forward_secrecy_leaves_open() {
    let mut world = World::new(2);
    for _ in 0..3 {
        world.send(ALICE);
    }
    // The last arrives, the first two are still awaited.
    world.deliver(BOB, 2);
    let theft = Attacker::thief(world.state(BOB).unwrap());
    assert_eq!(theft.message_keys.len(), 2);
    assert_eq!(theft.reads(&world), [true, true, false]);
    world.deliver(BOB, 0);
    let theft = Attacker::thief(world.state(BOB).unwrap());
    assert_eq!(theft.reads(&world), [false, true, false]);
}

#[test]
fn a_ciphertext_for_another_key_says_nothing() {
    // The attacker's decapsulations above are real: the right key gives the secret, others noise.
    let mut rng = crate::test_support::rng(1);
    let (right, other) = (MlKemSecret::random(&mut rng), MlKemSecret::random(&mut rng));
    let (ct, secret): (MlKemCiphertext, Secret32) = right.public().encapsulate(&mut rng);
    assert_eq!(right.decapsulate(&ct), secret);
    assert_ne!(other.decapsulate(&ct), secret);
}
