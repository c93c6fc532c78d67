//! Onions: KEM Sphinx packets, reply blocks, replay protection, and the relays that they travel through.
//!
//! ```text
//!  directory ─▶ path ─▶ [Hop] ─┬─ build_request ─▶ packet ─▶ guard ─▶ … ─▶ relay: Peeled::Process
//!  guards ──────┘              └─ build_surb ──────┘ (inside)                 │ Surb::reply
//!  client ◀─ SurbKeys::open ◀─ Deliver ◀─ guard: Peeled::Deliver ◀─ … ◀───────┘
//! ```
//!
//! Everything is generic over the [`Kem`](crate::crypto::kem::Kem) and has sizes that depend on nothing
//! but it and the [`Class`]. The names exported here are those of the default suite, X25519; the generic
//! ones lie in the submodules.

pub mod build;
mod candidate;
mod command;
pub mod descriptor;
pub mod directory;
pub mod epoch;
pub mod guards;
pub mod health;
pub mod keyring;
mod keys;
pub mod layout;
mod lioness;
pub mod path;
pub mod peel;
pub mod privacy;
pub mod replay;
pub mod signer;
pub mod surb;
pub mod url;

use crate::crypto::kem::X25519Kem;

pub use build::{BuildError, build_request};
pub use command::{BadCommand, MAX_DELAY};
pub use descriptor::{
    DescriptorError, Features, OnionKey, RelayDescriptor, RelayInfo, UnverifiedDescriptor,
};
pub use directory::{Directory, Inserted};
pub use epoch::Epoch;
pub use guards::{GuardSet, VanguardSet};
pub use health::RelayHealth;
pub use keyring::{ReplayEntry, RestoreError};
pub use layout::{Class, Layout, MAX_HOPS};
pub use path::{PathError, PathFinder, PathPair, PathRules};
pub use peel::PeelError;
pub use privacy::{NetworkPrivacy, Relaxation};
pub use replay::{ReplayError, ReplayLimits};
pub use signer::{LinkSide, LinkTranscript, Publication, RelaySigner};
pub use surb::{ReplyError, SurbError, build_surb};
pub use url::{RelayUrl, Subnet, UrlError};

/// A hop of the default suite.
pub type Hop = build::Hop<X25519Kem>;
/// A reply block of the default suite.
pub type Surb = surb::Surb<X25519Kem>;
/// Keys of a reply block of the default suite.
pub type SurbKeys = surb::SurbKeys<X25519Kem>;
/// Onion keys of the default suite.
pub type OnionKeys = keyring::OnionKeys<X25519Kem>;
/// A peeled packet of the default suite.
pub type Peeled = peel::Peeled<X25519Kem>;

#[cfg(test)]
mod tests;
