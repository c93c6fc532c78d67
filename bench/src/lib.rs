//! What the cryptography costs, natively and in a browser, beside `vodozemac` and `sphinx-packet`.
//!
//! `cargo xtask bench crypto`. One core, one thread. What counts are the ratios, which are of samples
//! taken in turns in one run:
//!
//! - *floor*: one X25519 Diffie-Hellman, HKDF-SHA256 (208 bytes) and ChaCha20-Poly1305 over as many bytes
//!   as an X25519 packet has: less than that no hop can do that authenticates what it decrypts.
//! - `sphinx-packet`: a payload of the same capacity, three hops.
//! - `vodozemac`: Olm, which is classical. Texts have 200 bytes where nothing else is said.

mod clock;
mod measure;
mod olm;
mod onion;
mod ratchet;
mod report;
mod session;
mod sphinx;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::onion::{Class, Layout};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::budget;

use measure::Row;
use session::Pair;

pub use measure::Effort;
pub use report::{Outcome, ParseError, print};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// Bytes of a short text.
const TEXT: usize = 200;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Measures the rows whose names contain one of `words`; all when there is none.
pub fn run(effort: Effort, words: &[String]) -> Outcome {
    let rsa = RsaSecret::generate(&mut rng(100)).expect("a key");
    let pair = Pair::new(&rsa);
    let mut rows = rows(&rsa, &pair);
    rows.retain(|row| {
        words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()))
    });
    measure::measure(&mut rows, effort);
    Outcome::of(&rows)
}

/// Rows that are compared stand beside each other.
fn rows(rsa: &RsaSecret, pair: &Pair) -> Vec<Row> {
    let mut rows = vec![
        pair.initiate(TEXT),
        olm::initiate(TEXT),
        pair.respond(TEXT),
        olm::respond(TEXT),
    ];
    for length in [TEXT, 1024] {
        rows.extend([
            ratchet::encrypt_in_chain(length),
            olm::encrypt_in_chain(length),
            ratchet::decrypt_in_chain(length),
            olm::decrypt_in_chain(length),
        ]);
    }
    rows.extend([
        ratchet::encrypt_with_step(TEXT),
        olm::encrypt_with_step(TEXT),
        ratchet::decrypt_with_step(TEXT),
        olm::decrypt_with_step(TEXT),
        ratchet::ping_pong(TEXT),
        olm::ping_pong(TEXT),
    ]);
    rows.extend(ratchet::others());
    rows.extend(pair.whole(TEXT));
    rows.extend(pair.envelopes());
    for (class, size) in [("message", Class::Message), ("bulk", Class::Bulk)] {
        rows.extend([onion::floor(class, size), sphinx::peel(class, size)]);
        rows.extend(onion::Suite::x25519(class, size).rows());
        rows.push(sphinx::build(class, size));
    }
    rows.extend(onion::Suite::x_wing().rows());
    rows.extend(onion::Suite::rsa4096(rsa).rows());
    rows.extend(onion::parts());
    rows
}

/// Bytes on the wire for a text of 200 bytes, layer by layer, as lines to print.
pub fn bytes_on_the_wire() -> Vec<String> {
    let rsa = RsaSecret::generate(&mut rng(100)).expect("a key");
    let [first, other] = Pair::new(&rsa).message_len(TEXT);
    let (olm_first, olm_other) = olm::message_len(TEXT);
    let packet = |ct| Layout::with_ciphertext_len(ct).packet(Class::Message);
    let mut lines = vec![
        format!("{:<44} {:>8} {:>8}", "", "first", "others"),
        format!(
            "{:<44} {:>8} {:>8}",
            "ratchet: header, ciphertext, tag",
            ratchet::message_len(TEXT),
            ratchet::message_len(TEXT)
        ),
        format!(
            "{:<44} {:>8} {:>8}",
            "vodozemac: Olm message", olm_first, olm_other
        ),
        format!("{:<44} {:>8} {:>8}", "session message", first.0, other.0),
        format!(
            "{:<44} {:>8} {:>8}",
            "sealed envelopes",
            first.1 * budget::ENVELOPE_LEN,
            other.1 * budget::ENVELOPE_LEN
        ),
    ];
    for (name, ct) in [
        ("X25519", budget::X25519_CT_LEN),
        ("XWing", budget::XWING_CT_LEN),
        ("Rsa4096", budget::RSA4096_CT_LEN),
    ] {
        let (name, packet) = (format!("onion packets, {name}, per hop"), packet(ct));
        lines.push(format!(
            "{name:<44} {:>8} {:>8}",
            first.1 * packet,
            other.1 * packet
        ));
    }
    lines
}

/// The browser's entry: measures for that many seconds and returns the figures as text.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn measure_in_browser(seconds: f64, sample: f64, words: Vec<String>) -> String {
    run(Effort { seconds, sample }, &words).to_text()
}
