//! Relays to send through, with onion keys of one suite: a route cannot mix suites.

use rand_core::CryptoRng;

use super::build::{BuildError, Hop, build_request};
use super::descriptor::RelayDescriptor;
use super::layout::Class;
use super::privacy::Relaxation;
use super::surb::{Surb, SurbKeys, build_surb};
use crate::crypto::kem::{Kem, Rsa4096Kem, Suite, X25519Kem, XWingKem};
use crate::id::{ConnectionTag, NodeId};
use crate::time::{Duration, Timestamp};

/// Hops of one suite, in the order in which a packet passes them.
#[derive(Clone, Debug)]
pub enum Route {
    /// Of X25519.
    X25519(Vec<Hop<X25519Kem>>),
    /// Of X-Wing.
    XWing(Vec<Hop<XWingKem>>),
    /// Of RSA-4096.
    Rsa4096(Vec<Hop<Rsa4096Kem>>),
}

/// A way there and a way back, of one onion suite.
#[derive(Clone, Debug)]
pub struct PathPair {
    /// From the guard to the target.
    pub out: Route,
    /// From the target's first relay back to the guard; for a reply block.
    pub back: Route,
    /// How far the rules gave way, for the worse of the two.
    pub relaxed: Relaxation,
}

/// The same with the hops of any suite.
macro_rules! with_hops {
    ($route:expr, $hops:ident => $value:expr) => {
        match $route {
            Route::X25519($hops) => $value,
            Route::XWing($hops) => $value,
            Route::Rsa4096($hops) => $value,
        }
    };
}

impl Route {
    /// A route through relays, each of which but the last, who has nobody to pass it to, holds a packet for the time
    /// beside it. The relay that has no key of the suite at `now` is the error.
    pub fn through<'a>(
        relays: impl IntoIterator<Item = (&'a RelayDescriptor, Duration)>,
        suite: Suite,
        now: Timestamp,
    ) -> Result<Self, NodeId> {
        Ok(match suite {
            Suite::X25519 => Self::X25519(hops(relays, now)?),
            Suite::XWing => Self::XWing(hops(relays, now)?),
            Suite::Rsa4096 => Self::Rsa4096(hops(relays, now)?),
        })
    }

    /// The suite of all its hops.
    pub const fn suite(&self) -> Suite {
        match self {
            Self::X25519(_) => Suite::X25519,
            Self::XWing(_) => Suite::XWing,
            Self::Rsa4096(_) => Suite::Rsa4096,
        }
    }

    /// How many relays it leads through.
    pub const fn len(&self) -> usize {
        with_hops!(self, hops => hops.len())
    }

    /// Whether it leads nowhere.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The relays, in order.
    pub fn nodes(&self) -> Vec<NodeId> {
        with_hops!(self, hops => hops.iter().map(|hop| hop.node).collect())
    }

    /// How long each of the relays holds a packet.
    pub fn delays(&self) -> Vec<Duration> {
        with_hops!(self, hops => hops.iter().map(|hop| hop.delay).collect())
    }

    /// How long all of them together hold a packet.
    pub fn held(&self) -> Duration {
        let ms = self.delays().into_iter().map(Duration::as_ms);
        Duration::from_ms(ms.sum())
    }

    /// [`build_request`] for the last of the relays.
    pub fn request(
        &self,
        surb: Option<&Surb>,
        payload: &[u8],
        class: Class,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BuildError> {
        with_hops!(self, hops => build_request(hops, surb, payload, class, rng))
    }

    /// [`build_surb`] back to `tag` at the last of the relays.
    pub fn surb(
        &self,
        tag: ConnectionTag,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(Surb, SurbKeys), BuildError> {
        with_hops!(self, hops => build_surb(hops, tag, now, rng))
    }
}

impl PathPair {
    /// How long the relays of both ways hold a packet, in all.
    pub fn held(&self) -> Duration {
        self.out.held() + self.back.held()
    }
}

fn hops<'a, K: Kem>(
    relays: impl IntoIterator<Item = (&'a RelayDescriptor, Duration)>,
    now: Timestamp,
) -> Result<Vec<Hop<K>>, NodeId> {
    let relays = relays.into_iter();
    let hops = relays.map(|(relay, delay)| relay.hop(now, delay).ok_or(relay.node()));
    let mut hops = hops.collect::<Result<Vec<Hop<K>>, _>>()?;
    if let Some(last) = hops.last_mut() {
        last.delay = Duration::ZERO;
    }
    Ok(hops)
}
