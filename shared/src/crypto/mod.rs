//! Thin wrappers around audited primitives: one file per primitive, no protocol.
//!
//! Every algorithm comes from RustCrypto, dalek or libcrux (ML-KEM, formally verified); these files only
//! fix parameters, name errors, and make sure that secrets wipe themselves and never print. Randomness is
//! always a parameter.
//!
//! | file | what | source |
//! |---|---|---|
//! | `secret` | bytes that zeroize, compare in constant time, print nothing | – |
//! | `wipe` | overwrites the stack that a primitive has used | – |
//! | `hash` | BLAKE2b at 128, 160 and 256 bits, plain and keyed; keyed BLAKE3 | RFC 7693, BLAKE3 |
//! | `kdf` | HKDF-SHA256, HMAC-SHA256 | RFC 5869, RFC 2104 |
//! | `aead` | AES-256-GCM | NIST SP 800-38D |
//! | `stream` | ChaCha20 | RFC 8439 |
//! | `dh` | X25519 | RFC 7748 |
//! | `sign` | Ed25519; `ml_dsa`: ML-DSA-65 | RFC 8032, FIPS 204 |
//! | `rsa` | RSA-4096 PSS and OAEP with SHA-256 | RFC 8017 |
//! | `kem` | one trait, three suites | RFC 9180 §4.1 |
//! | `ml_kem` | ML-KEM-768; `x_wing`: its hybrid with X25519 | FIPS 203, draft-connolly-cfrg-xwing-kem |
//! | `equihash` | Equihash with n = 64, k = 3 | Zcash protocol §7.7.1 |
//! | `hpke` | HPKE base mode with X-Wing, HKDF-SHA256, AES-256-GCM | RFC 9180 |

pub mod aead;
pub mod dh;
pub mod equihash;
pub mod hash;
pub mod hpke;
pub mod kdf;
pub mod kem;
pub mod ml_dsa;
pub mod ml_kem;
pub mod rsa;
pub mod secret;
pub mod sign;
pub mod stream;
pub(crate) mod wipe;
pub mod x_wing;

pub use secret::{Secret, Secret32, is_zero};

#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod wycheproof;
