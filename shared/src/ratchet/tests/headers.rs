//! Headers: their layout, and that all of each is authenticated although most of it is hashed once for a chain.

use std::sync::Arc;

use super::super::header::ChainHeader;
use super::*;

#[test]
fn fault_02_every_field_of_the_header_is_authenticated() {
    let (mut pair, mut bob) = Pair::met(1);
    let in_chain = pair.alice_sends(b"in the chain");
    let step = send(&mut bob, b"a step", 2);
    for (to, message) in [(&bob, &in_chain), (&pair.alice, &step)] {
        // One byte of dh, ek, ct, pn, n each.
        for byte in [3, 40, 1300, 2307, 2311] {
            let header = changed(&message.0, |bytes| bytes[byte] ^= 1);
            refused(to, &(header, message.1.clone()));
        }
    }
    // The next genuine messages still open.
    assert!(receive(&mut bob, &in_chain).is_ok());
    assert!(receive(&mut pair.alice, &step).is_ok());
}

#[test]
fn headers_have_one_length_and_repeat_through_a_chain() {
    let (mut pair, _) = Pair::met(1);
    let (one, two) = (pair.alice_sends(b"one").0, pair.alice_sends(b"two").0);
    assert_eq!((one.encode().len(), Header::LEN), (2312, 2312));
    assert_eq!(one.encode()[..2308], two.encode()[..2308]);
    assert_eq!((one.n, two.n, one.pn), (1, 2, 0));
    assert_eq!(Header::decode(&two.encode()), two);
}

/// Headers that name the chain of `message` and repeat other bytes than it.
fn counterfeits(message: &Message) -> Vec<Message> {
    [32, 1000, 1216, 2303]
        .into_iter()
        .map(|at| {
            let header = changed(&message.0, |bytes| bytes[at] ^= 0x10);
            (header, message.1.clone())
        })
        .collect()
}

#[test]
fn fault_02_a_chain_that_is_known_does_not_vouch_for_other_bytes() {
    let (mut pair, mut bob) = Pair::met(1);
    let skipped = pair.alice_sends(b"skipped");
    let seen = pair.alice_sends(b"seen");
    receive(&mut bob, &seen).unwrap();
    let next = pair.alice_sends(b"next");
    let reloaded = Ratchet::decode(&bob.encode()).unwrap();
    assert!(known_header(&bob).is_some() && known_header(&reloaded).is_none());
    for to in [&bob, &reloaded] {
        for message in [&skipped, &next] {
            for counterfeit in counterfeits(message) {
                assert_eq!(refused(to, &counterfeit), DecryptError::Forged);
            }
            assert!(receive(&mut to.clone(), message).is_ok());
        }
    }
}

fn known_header(ratchet: &Ratchet) -> Option<&Arc<ChainHeader>> {
    ratchet.receiving.as_ref()?.header.as_ref()
}

#[test]
fn what_a_chain_repeats_is_kept_from_its_first_message_on() {
    let (mut pair, mut bob) = Pair::met(1);
    let first = known_header(&bob).unwrap().clone();
    for _ in 0..3 {
        // As from the wire: a header of its own.
        let (header, ciphertext) = pair.alice_sends(b"text");
        let message = (Header::decode(&header.encode()), ciphertext);
        receive(&mut bob, &message).unwrap();
        assert!(Arc::ptr_eq(known_header(&bob).unwrap(), &first));
    }
    // It is no part of the state.
    let reloaded = Ratchet::decode(&bob.encode()).unwrap();
    assert_eq!(
        (&reloaded, *reloaded.encode() == *bob.encode()),
        (&bob, true)
    );
    let next = pair.alice_sends(b"next");
    assert_eq!(
        receive(&mut bob.clone(), &next),
        receive(&mut reloaded.clone(), &next)
    );
    // A step begins another chain.
    let reply = send(&mut bob, b"reply", 2);
    receive(&mut pair.alice, &reply).unwrap();
    receive(&mut bob, &pair.alice_sends(b"answer")).unwrap();
    assert!(!Arc::ptr_eq(known_header(&bob).unwrap(), &first));
}

#[test]
fn all_headers_of_a_chain_are_one_for_their_sender() {
    let (mut pair, _) = Pair::met(1);
    let (one, two) = (pair.alice_sends(b"one").0, pair.alice_sends(b"two").0);
    assert!(Arc::ptr_eq(one.chain(), two.chain()));
    let mut reloaded = Ratchet::decode(&pair.alice.encode()).unwrap();
    let three = send(&mut reloaded, b"three", 1).0;
    assert_eq!(three.chain(), one.chain());
}
