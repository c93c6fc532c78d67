//! The peer of the sessions: Olm in `vodozemac` (Matrix). Classical throughout, and its prekeys come
//! unsigned: what signs them is left to the application.

use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{Account, OlmMessage, PreKeyMessage, Session, SessionConfig};

use crate::measure::Row;

/// An account with one prekey.
fn account() -> (Account, Curve25519PublicKey) {
    let mut account = Account::new();
    account.generate_one_time_keys(1);
    let key = account.one_time_keys().into_values().next();
    account.mark_keys_as_published();
    (account, key.expect("one was made"))
}

fn begin(alice: &Account, bob: &Account, prekey: Curve25519PublicKey) -> Session {
    alice
        .create_outbound_session(SessionConfig::version_1(), bob.curve25519_key(), prekey)
        .expect("proper keys")
}

fn accept(bob: &mut Account, alice: Curve25519PublicKey, first: &PreKeyMessage) -> Session {
    bob.create_inbound_session(SessionConfig::version_1(), alice, first)
        .expect("authenticates")
        .session
}

fn encrypt(session: &mut Session, text: &[u8]) -> OlmMessage {
    session.encrypt(text).expect("encrypts")
}

fn decrypt(session: &mut Session, message: &OlmMessage) -> Vec<u8> {
    session.decrypt(message).expect("authenticates")
}

fn copy(session: &Session) -> Session {
    Session::from_pickle(session.pickle())
}

fn first(message: OlmMessage) -> PreKeyMessage {
    match message {
        OlmMessage::PreKey(message) => message,
        OlmMessage::Normal(_) => panic!("a session begins with a prekey message"),
    }
}

/// Two sides that have both sent; it is the first one's turn to make a step.
fn talking() -> (Session, Session) {
    let ((alice, _), (mut bob, prekey)) = (account(), account());
    let mut ours = begin(&alice, &bob, prekey);
    let ping = first(encrypt(&mut ours, b"ping"));
    let mut theirs = accept(&mut bob, alice.curve25519_key(), &ping);
    let pong = encrypt(&mut theirs, b"pong");
    decrypt(&mut ours, &pong);
    (ours, theirs)
}

/// The initiator's part: agreement and first message.
pub(crate) fn initiate(length: usize) -> Row {
    let ((alice, _), (bob, prekey)) = (account(), account());
    let text = vec![1; length];
    Row::repeat("vodozemac: set-up, initiator", move || {
        let mut session = begin(&alice, &bob, prekey);
        let message = encrypt(&mut session, &text);
        (session, message)
    })
}

/// The responder's part: agreement and decryption of the first message.
pub(crate) fn respond(length: usize) -> Row {
    let ((alice, _), (bob, prekey)) = (account(), account());
    let message = first(encrypt(&mut begin(&alice, &bob, prekey), &vec![1; length]));
    let alice = alice.curve25519_key();
    // Accepting uses the prekey up, so that every call needs the account as it was.
    let prepare = move || Account::from_pickle(bob.pickle());
    Row::new(
        "vodozemac: set-up, responder",
        prepare,
        move |mut bob: Account| accept(&mut bob, alice, &message),
    )
}

/// Encrypting a text of that many bytes, no step.
pub(crate) fn encrypt_in_chain(length: usize) -> Row {
    let (mut alice, _) = talking();
    let text = vec![1; length];
    encrypt(&mut alice, &text);
    Row::repeat(
        format!("vodozemac: encrypt {length} B in a chain"),
        move || encrypt(&mut alice, &text),
    )
}

/// Decrypting a text of that many bytes, no step.
pub(crate) fn decrypt_in_chain(length: usize) -> Row {
    let (mut alice, mut bob) = talking();
    let text = vec![1; length];
    let opening = encrypt(&mut alice, &text);
    decrypt(&mut bob, &opening);
    Row::new(
        format!("vodozemac: decrypt {length} B in a chain"),
        move || encrypt(&mut alice, &text),
        move |message| decrypt(&mut bob, &message),
    )
}

/// Encrypting with a step: a fresh key, a DH.
pub(crate) fn encrypt_with_step(length: usize) -> Row {
    let (alice, _) = talking();
    let text = vec![1; length];
    Row::new(
        "vodozemac: encrypt with a step",
        move || copy(&alice),
        move |mut alice: Session| encrypt(&mut alice, &text),
    )
}

/// Decrypting with a step: a DH.
pub(crate) fn decrypt_with_step(length: usize) -> Row {
    let (mut alice, bob) = talking();
    let message = encrypt(&mut alice, &vec![1; length]);
    Row::new(
        "vodozemac: decrypt with a step",
        move || copy(&bob),
        move |mut bob: Session| decrypt(&mut bob, &message),
    )
}

/// Two messages, each of which makes its sender and its receiver take a step.
pub(crate) fn ping_pong(length: usize) -> Row {
    let (mut alice, mut bob) = talking();
    let text = vec![1; length];
    Row::repeat("vodozemac: ping-pong", move || {
        let ping = encrypt(&mut alice, &text);
        decrypt(&mut bob, &ping);
        let pong = encrypt(&mut bob, &text);
        decrypt(&mut alice, &pong);
    })
}

/// Bytes of one message with a text of that many bytes: of the first, and of any other.
pub(crate) fn message_len(length: usize) -> (usize, usize) {
    let text = vec![1; length];
    let ((alice, _), (bob, prekey)) = (account(), account());
    let first = encrypt(&mut begin(&alice, &bob, prekey), &text);
    let (mut alice, _) = talking();
    let other = encrypt(&mut alice, &text);
    (first.to_parts().1.len(), other.to_parts().1.len())
}
