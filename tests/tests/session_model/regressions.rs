//! What the model has found, as plain tests.

use zentalk_fuzz::devices::{Device, Published, rng};
use zentalk_shared::id::SessionId;
use zentalk_shared::session::{SessionMessage, SessionRecord};

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
