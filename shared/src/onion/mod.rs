//! Onions: KEM Sphinx packets, reply blocks, replay protection, and the relays that they travel through.
//!
//! ```text
//!  directory ─▶ path ─▶ [Hop] ─┬─ build_request ─▶ packet ─▶ guard ─▶ … ─▶ relay: Peeled::Process
//!  guards ──────┘              └─ build_surb ──────┘ (inside)                 │ Surb::reply
//!  client ◀─ SurbKeys::open ◀─ Deliver ◀─ guard: Peeled::Deliver ◀─ … ◀───────┘
//! ```
//!
//! Hops, keys and peeling are generic over the [`Kem`](crate::crypto::kem::Kem); sizes depend on nothing but
//! its [`Suite`] and the [`Class`]. Where the suite is known at run time only, [`Route`] and [`RelayKeys`]
//! stand for all three. The names [`Hop`] and [`OnionKeys`] exported here are those of X25519.

pub mod address;
pub mod build;
mod candidate;
pub mod census;
mod command;
pub mod descriptor;
pub mod directory;
mod domain;
pub mod epoch;
pub mod guards;
pub mod health;
pub mod keyring;
mod keys;
pub mod layout;
mod lioness;
pub mod mixing;
pub mod party;
pub mod path;
pub mod peel;
pub mod privacy;
pub mod relay_keys;
pub mod replay;
pub mod route;
pub mod signer;
pub mod suites;
pub mod surb;
pub mod url;
pub mod weight;

use crate::crypto::kem::X25519Kem;

pub use crate::crypto::kem::Suite;
pub use build::{BuildError, build_request};
pub use census::Census;
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
pub use mixing::MixMode;
pub use party::Party;
pub use path::{PathError, PathFinder, PathRules};
pub use peel::{PeelError, Peeled, suite_of};
pub use privacy::{NetworkPrivacy, Relaxation};
pub use relay_keys::RelayKeys;
pub use replay::{ReplayError, ReplayLimits};
pub use route::{PathPair, Route};
pub use signer::{LinkSide, LinkTranscript, Publication, RelaySigner};
pub use suites::{Suites, SuitesError};
pub use surb::{ReplyError, Surb, SurbError, SurbKeys, build_surb};
pub use url::{RelayUrl, Subnet, UrlError};

/// A hop of the default suite.
pub type Hop = build::Hop<X25519Kem>;
/// Onion keys of the default suite.
pub type OnionKeys = keyring::OnionKeys<X25519Kem>;

#[cfg(test)]
mod tests;
