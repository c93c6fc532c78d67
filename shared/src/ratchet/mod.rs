//! The Double Ratchet (Signal, revision 1) with a KEM mixed into every DH step. PROTOCOL §8.
//!
//! One [`Ratchet`] is one side of one session. Whoever changes the direction of the conversation makes
//! a *step*: a fresh X25519 key `dh`, a fresh ML-KEM-768 key `ek`, and `ct`, a ciphertext for the
//! peer's last `ek`. Both secrets, DH and KEM, go into the root key, so that healing after a compromise
//! holds against a quantum attacker too, from the first message on.
//!
//! ```text
//!          (rk, ck) = HKDF(rk, DH ‖ KEM secret)      one step
//!   rk ──────┬──────────────────────┬─────────▶      root key: once per change of direction
//!            ck ─▶ ck ─▶ ck ─▶      ck ─▶ …          chain key: once per message
//!            mk    mk    mk         mk               message key: used once, then gone
//! ```
//!
//! API: [`Ratchet::initiate`], [`Ratchet::accept`], [`Ratchet::encrypt`], [`Ratchet::decrypt`],
//! [`Ratchet::encode`], [`Ratchet::decode`]; [`Header`] is the fixed layout of 2312 bytes.
//!
//! ```ignore
//! Ratchet::initiate(shared: Secret32, peer_dh: X25519Public, peer_ek: MlKemPublic) -> Ratchet
//! Ratchet::accept(shared, own_dh: X25519Secret, own_ek: MlKemSecret, ad, &Header, ciphertext, now)
//!     -> Result<(Vec<u8>, Ratchet), DecryptError>
//! ratchet.encrypt(&mut self, ad, plaintext, rng) -> Result<(Header, Vec<u8>), EncryptError>
//! ratchet.decrypt(&self, ad, &Header, ciphertext, now) -> Result<(Vec<u8>, Ratchet), DecryptError>
//! ```
//!
//! Invariants: `decrypt` never changes a state, it returns the next one, and only for a message that
//! authenticates. A message key is used for one message, in each direction. A forged header costs at
//! most one DH, one decapsulation and [`MAX_SKIP`] HMACs, and no memory.

mod chain_key;
mod double_ratchet;
mod header;
mod message_key;
mod record;
mod root_key;
mod skipped_keys;

pub use double_ratchet::{DecryptError, EncryptError, MAX_PLAINTEXT_LEN, Ratchet};
pub use header::Header;
pub use record::{MAX_RECORD_LEN, RecordError};
pub use skipped_keys::{MAX_SKIP, MAX_SKIPPED, SKIPPED_LIFETIME};

#[cfg(test)]
mod attackers;
#[cfg(test)]
mod conversation;
#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
