//! Our ratchet: chains, steps (each with DH and KEM), storage.

use rand_chacha::ChaCha20Rng;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::ml_kem::MlKemSecret;
use zentalk_shared::ratchet::{Header, Ratchet};
use zentalk_shared::x3dh::AssociatedData;

use crate::measure::Row;
use crate::{NOW, rng};

const AD: &[u8] = &[7; AssociatedData::LEN];

type Message = (Header, Vec<u8>);

fn encrypt(ratchet: &mut Ratchet, text: &[u8], rng: &mut ChaCha20Rng) -> Message {
    ratchet.encrypt(AD, text, rng).expect("encrypts")
}

/// As it comes from the wire: of what the sender has computed for its header nothing is left.
fn received((header, ciphertext): Message) -> Message {
    (Header::decode(&header.encode()), ciphertext)
}

fn decrypt(ratchet: &Ratchet, (header, ciphertext): &Message) -> Ratchet {
    let opened = ratchet.decrypt(AD, header, ciphertext, NOW);
    opened.expect("authenticates").1
}

/// Two sides that have both sent; it is the first one's turn to make a step.
fn talking() -> (Ratchet, Ratchet) {
    let rng = &mut rng(10);
    let shared = Secret32::random(rng);
    let (dh, ek) = (X25519Secret::random(rng), MlKemSecret::random(rng));
    let mut alice = Ratchet::initiate(shared.clone(), *dh.public(), ek.public().clone());
    let (header, ciphertext) = encrypt(&mut alice, b"ping", rng);
    let accepted = Ratchet::accept(shared, &dh, &ek, AD, &header, &ciphertext, NOW);
    let (_, mut bob) = accepted.expect("authenticates");
    let reply = encrypt(&mut bob, b"pong", rng);
    (decrypt(&alice, &reply), bob)
}

/// Encrypting a text of that many bytes, no step.
pub(crate) fn encrypt_in_chain(length: usize) -> Row {
    let (mut alice, _) = talking();
    let (text, mut rng) = (vec![1; length], rng(11));
    encrypt(&mut alice, &text, &mut rng);
    Row::repeat(format!("encrypt {length} B in a chain"), move || {
        encrypt(&mut alice, &text, &mut rng)
    })
}

/// Decrypting a text of that many bytes, no step.
pub(crate) fn decrypt_in_chain(length: usize) -> Row {
    let (mut alice, mut bob) = talking();
    let (text, mut rng) = (vec![1; length], rng(12));
    bob = decrypt(&bob, &received(encrypt(&mut alice, &text, &mut rng)));
    let prepare = move || received(encrypt(&mut alice, &text, &mut rng));
    Row::new(
        format!("decrypt {length} B in a chain"),
        prepare,
        move |message| {
            bob = decrypt(&bob, &message);
        },
    )
}

/// Encrypting with a step: fresh keys, a DH, an encapsulation.
pub(crate) fn encrypt_with_step(length: usize) -> Row {
    let (alice, _) = talking();
    let (text, mut rng) = (vec![1; length], rng(13));
    let work = move |mut alice: Ratchet| encrypt(&mut alice, &text, &mut rng);
    Row::new("encrypt with a step", move || alice.clone(), work)
}

/// Decrypting with a step: a DH, a decapsulation.
pub(crate) fn decrypt_with_step(length: usize) -> Row {
    let (mut alice, bob) = talking();
    let message = encrypt(&mut alice, &vec![1; length], &mut rng(14));
    let prepare = move || received(message.clone());
    Row::new("decrypt with a step", prepare, move |message| {
        decrypt(&bob, &message)
    })
}

/// Two messages, each of which makes its sender and its receiver take a step.
pub(crate) fn ping_pong(length: usize) -> Row {
    let (mut alice, mut bob) = talking();
    let (text, mut rng) = (vec![1; length], rng(15));
    Row::repeat("ping-pong", move || {
        let ping = received(encrypt(&mut alice, &text, &mut rng));
        bob = decrypt(&bob, &ping);
        let pong = received(encrypt(&mut bob, &text, &mut rng));
        alice = decrypt(&alice, &pong);
    })
}

/// What else is done with a ratchet.
pub(crate) fn others() -> Vec<Row> {
    let (mut alice, bob) = talking();
    let mut forged = encrypt(&mut alice, b"ping", &mut rng(16));
    forged.0.n += 1000;
    vec![
        Row::repeat("refuse a forged step 1000 ahead", move || {
            bob.decrypt(AD, &forged.0, &forged.1, NOW).is_err()
        }),
        Row::repeat("store and load a ratchet", move || {
            Ratchet::decode(&alice.encode()).expect("own record")
        }),
    ]
}

/// Bytes of one message with a text of that many bytes: header, ciphertext and tag.
pub(crate) fn message_len(length: usize) -> usize {
    let (mut alice, _) = talking();
    let (header, ciphertext) = encrypt(&mut alice, &vec![1; length], &mut rng(17));
    header.encode().len() + ciphertext.len()
}
