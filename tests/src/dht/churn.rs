//! How long relays stay: sessions of the shape that was measured in peer-to-peer networks, of the length that is asked.
//!
//! Session lengths are no exponential: many go soon, who has stayed stays longer (Stutzbach and Rejaie, "Understanding
//! Churn in Peer-to-Peer Networks", IMC 2006, for Gnutella, BitTorrent and Kad). Weibull distributions fit: Steiner, En-Najjary and
//! Biersack, "Long Term Study of Peer Behavior in the KAD DHT", IEEE/ACM ToN 17(5), 2009; fits to the BitTorrent traces of Delft's Peer-to-Peer
//! Trace Archive have shapes from 0.48 to 0.82, most about 0.6. So: shape 0.6, and a mean of 5 hours, which is 20 % an hour.
//! Relays are servers and stay longer than downloaders; this is the harsh side.

use rand_core::Rng;
use zentalk_shared::time::Duration;

/// Shape of the distribution of session lengths.
pub const SHAPE: f64 = 0.6;
/// Its scale in minutes: the mean of 300, divided by Γ(1 + 1 / 0.6).
pub const SCALE_MINUTES: f64 = 199.4;
/// Sessions are cut at this length.
const LONGEST_MINUTES: f64 = 7.0 * 24.0 * 60.0;

/// A number from 0 up to 1.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The session of who has just come.
pub fn session(rng: &mut impl Rng) -> Duration {
    minutes(weibull(rng))
}

/// What is left of the session of somebody who is there at a random moment: long ones are met more often, and the
/// moment is anywhere in them.
pub fn rest_of_session(rng: &mut impl Rng) -> Duration {
    loop {
        let length = weibull(rng);
        if uniform(rng) < length / LONGEST_MINUTES {
            return minutes(length * uniform(rng));
        }
    }
}

fn weibull(rng: &mut impl Rng) -> f64 {
    let minutes = SCALE_MINUTES * (-(1.0 - uniform(rng)).ln()).powf(1.0 / SHAPE);
    minutes.min(LONGEST_MINUTES)
}

fn minutes(minutes: f64) -> Duration {
    Duration::from_ms((minutes * 60_000.0) as u64)
}
