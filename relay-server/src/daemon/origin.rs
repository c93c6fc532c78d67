//! Where connections come from, as far as admission may know: a hash of the network, keyed for this run.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;

use crate::core::Origin;

/// Makes origins of addresses. Two runs make different ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(RandomState);

impl Origins {
    /// The /24 or /48 of an address. Loopback has none: behind a reverse proxy everybody comes from there.
    pub(super) fn of(&self, address: IpAddr) -> Option<Origin> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return None;
        }
        Some(Origin(match address {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                self.0.hash_one([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                self.0.hash_one([a, b, c, d, e, f])
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_an_origin_and_loopback_has_none() {
        let origins = Origins::default();
        let of = |text: &str| origins.of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
        assert_ne!(
            Origins::default().of("192.0.2.1".parse().unwrap()),
            of("192.0.2.1"),
            "another run"
        );
    }
}
