//! What it costs to peel a packet, and who may make the relay pay.
//!
//! A packet costs its sender next to nothing, and the relay a private operation *before* it can know whether the packet was
//! made for it. So the operation is paid for first, by the suite that the packet names: out of what its connection may use
//! up and, for a suite that is dear, out of what all connections together may. Whoever floods a relay with dear packets takes
//! from those who use that suite, and nothing from the others. What cannot be paid for is dropped, and the link stays: the
//! packets of a relay's link are those of many.
//!
//! An answer whose first relay is the one that answers is peeled here, too. Whoever hands the reply block in pays for that
//! then, and is not served otherwise: when the answer is ready, its asker may be gone.

use zentalk_shared::onion::{Suite, Surb};
use zentalk_shared::time::Timestamp;

use super::admission::{Bucket, Rate};
use super::io::ConnId;
use super::relay::{Relay, Step};

/// From this cost on a suite is dear.
const DEAR: u32 = 10;

/// The time of a peel on one core in units of 100 µs, rounded up: docs/PERFORMANCE.md, "Cryptography", native column
/// (X25519 94 µs, X-Wing 177 µs for the class `message`). RSA-4096, 26,488 µs there, takes 17 to 39 ms by load, and costs
/// what it takes at most.
const fn cost(suite: Suite) -> u32 {
    match suite {
        Suite::X25519 => 1,
        Suite::XWing => 2,
        Suite::Rsa4096 => 390,
    }
}

/// What all connections together have left for dear suites.
#[derive(Debug)]
pub(super) struct DearPeeling(Bucket);

impl DearPeeling {
    pub(super) fn new(rate: Rate, now: Timestamp) -> Self {
        Self(Bucket::full(rate, now))
    }
}

impl Relay {
    /// Whether packets of these suites, all from one connection or for its sake, may be peeled; then they are paid for.
    /// `from`: `None` if it was this relay that sent what asks for them, and nobody is there to pay.
    pub(super) fn pay_for_peeling(
        &mut self,
        from: Option<ConnId>,
        suites: &[Suite],
        step: &Step<'_>,
    ) -> bool {
        let costs = suites.iter().map(|suite| cost(*suite));
        let (all, dear) = (
            costs.clone().sum(),
            costs.filter(|cost| *cost >= DEAR).sum(),
        );
        let rate = self.config.limits.dear_peeling;
        // Its own connection first: what it cannot pay for must not be taken from the others.
        all == 0
            || from.is_some_and(|conn| self.charge_peeling(conn, all, step.now))
                && (dear == 0 || self.dear_peeling.0.take(rate, dear, step.now))
    }

    /// The suite of what comes back to this relay first when the reply block is used.
    pub(super) fn own_peeling(&self, surb: &Surb) -> Option<Suite> {
        (surb.first_hop() == self.me).then(|| surb.suite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Limits;
    use zentalk_shared::time::Duration;

    fn peeled_in(rate: Rate, suite: Suite, seconds: u64) -> u64 {
        let mut bucket = Bucket::full(rate, Timestamp::EPOCH);
        let mut peeled = 0;
        for ms in 0..seconds * 1_000 {
            let now = Timestamp::EPOCH + Duration::from_ms(ms);
            while bucket.take(rate, cost(suite), now) {
                peeled += 1;
            }
        }
        peeled
    }

    #[test]
    fn the_frames_of_a_client_can_all_be_packets_of_the_cheap_suites() {
        let limits = Limits::default();
        for suite in [Suite::X25519, Suite::XWing] {
            let peels = limits.client_peeling.per_minute / cost(suite);
            assert!(peels >= limits.client_frames.per_minute, "{suite:?}");
            let burst = limits.client_peeling.burst / cost(suite);
            assert!(burst >= limits.client_frames.burst, "{suite:?}");
        }
        let relay = limits.relay_peeling;
        assert!(relay.per_minute >= limits.relay_frames.per_minute);
    }

    #[test]
    fn a_client_gets_a_twentieth_of_a_core_and_dear_suites_half_a_core_in_all() {
        // Of a minute: 500 and 5,000 units a second, after the burst.
        let limits = Limits::default();
        let client = (8_000 + 500 * 60) / 390;
        assert_eq!(peeled_in(limits.client_peeling, Suite::Rsa4096, 60), client);
        let all = (30_000 + 5_000 * 60) / 390;
        assert_eq!(peeled_in(limits.dear_peeling, Suite::Rsa4096, 60), all);
    }

    #[test]
    fn only_rsa_is_dear() {
        let dear = Suite::ALL.into_iter().filter(|suite| cost(*suite) >= DEAR);
        assert_eq!(dear.collect::<Vec<_>>(), [Suite::Rsa4096]);
    }
}
