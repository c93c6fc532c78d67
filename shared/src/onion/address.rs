//! Which addresses are of the open Internet: what a stranger's URL may make a relay connect to.
//!
//! A descriptor names any host. A relay that connects to it, to see whether the relay is there, must not knock at
//! doors behind its operator's firewall (server-side request forgery). The lists are IANA's special-purpose
//! registries (RFC 6890, last looked at in 2025); of IPv6 only what is assigned as global unicast passes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is reachable from everywhere, and nobody's own network.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether a host name, in lower case, can lead to an address that [`is_public`]. What it leads to is known only
/// when it is looked up, and must be checked again then.
pub(super) fn is_public_name(name: &str) -> bool {
    // RFC 6761, 6762, 7686, 8375, 9476, and ICANN's reservation of `internal`.
    const PRIVATE: [&str; 9] = [
        "alt",
        "arpa",
        "internal",
        "invalid",
        "lan",
        "local",
        "localhost",
        "onion",
        "test",
    ];
    match name.rsplit_once('.') {
        Some((_, top)) => !PRIVATE.contains(&top),
        // A name of one label is looked up in the reader's own domain.
        None => false,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network; loopback; private; multicast, reserved, broadcast.
        [0 | 10 | 127 | 224..=255, ..] => false,
        // Carriers' networks (RFC 6598).
        [100, 64..=127, ..] => false,
        // Link-local, where clouds keep their secrets.
        [169, 254, ..] => false,
        [172, 16..=31, ..] => false,
        // Protocol assignments; documentation; the anycast of 6to4.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => false,
        [192, 168, ..] => false,
        // Measurements (RFC 2544); documentation.
        [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 (RFC 6052) reaches what the address inside it says.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Teredo and other protocol assignments, 6to4: some hold an IPv4 address of anywhere; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn fault_20_addresses_of_the_own_network_are_not_public() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.9",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::10.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:0a00:0001::1",
            "3fff::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(private), "{private}");
        }
    }

    #[test]
    fn addresses_of_the_open_internet_are_public() {
        for address in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2001:200::1",
            "2606:4700::1111",
            "2a01:4f8::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn names_of_ones_own_network_are_not_public() {
        for private in [
            "localhost",
            "a.localhost",
            "printer",
            "nas.local",
            "vault.internal",
            "router.lan",
            "1.0.0.10.in-addr.arpa",
            "hidden.onion",
        ] {
            assert!(!is_public_name(private), "{private}");
        }
        for public in ["relay.example.org", "relay.example", "localhost.org"] {
            assert!(is_public_name(public), "{public}");
        }
    }
}
