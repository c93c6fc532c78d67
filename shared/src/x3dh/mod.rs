//! Key agreement: X3DH in its post-quantum form, PQXDH (Signal, "The PQXDH Key Agreement Protocol",
//! revision 3), with X25519, ML-KEM-768 and HKDF-SHA256.
//!
//! ```text
//!  B: PreKeySecrets ── publish ──▶ PreKeyBase (signed X25519, signed last-resort ML-KEM)
//!                                  PreKeyOneTime… (X25519, signed ML-KEM), each handed out once
//!  A: UnverifiedBundle ─ verify(certificate of B) ─▶ PreKeyBundle ─ initiate ─▶ Initiated
//!                                                        │ secret, ad, InitialHeader
//!  B: Initial ─ verify ─▶ (certificate of A, InitialHeader) ─ accept ─▶ Accepted
//!       └─ once the first message authenticated: PreKeySecrets::consume(used)
//! ```
//!
//! SK = HKDF(0³², 0xFF³² ‖ DH1 ‖ DH2 ‖ DH3 ‖ (DH4) ‖ SS, "ZenTalk PQXDH v1"), and
//! AD = BLAKE2b-256("ZenTalk agreement v1", Address(A) ‖ Address(B) ‖ certificate hash(A) ‖ certificate hash(B) ‖ KEM key ‖
//! begun), A initiating. A bundle without a KEM key is refused, and so are keys of low order: there is no weaker variant. A first
//! message begins its session once: one-time secrets are forgotten, and what a last-resort key has begun
//! is remembered as long as the key's secret is kept.

mod accept;
mod agreement;
mod bundle;
mod initial;
mod initiate;
mod last_resort;
mod prekeys;
mod secrets;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;

pub use accept::{AcceptError, Accepted, accept};
pub use agreement::{AssociatedData, LocalIdentity};
pub use bundle::{BundleError, PreKeyBase, PreKeyBundle, PreKeyOneTime, UnverifiedBundle};
pub use initial::{Initial, InitialHeader};
pub use initiate::{InitiateError, Initiated, initiate};
pub use last_resort::{LastResortUse, MAX_SESSIONS as MAX_LAST_RESORT_SESSIONS};
pub use prekeys::{KemPreKey, OneTimePreKey, PreKeySignatureError, SignedPreKey};
pub use secrets::{PreKeySecrets, UsedPreKeys};
