//! Where a relay is reached, and which part of the Internet that is.
//!
//! Only what a relay may publish is understood: `ws://` or `wss://`, a host, an optional port, an
//! optional path. No user names, queries or fragments: nothing that a browser or a log could be tricked
//! with. The host is parsed for one purpose, to keep two relays of one network off one path.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::address::{is_public, is_public_name};
use super::domain::registrable;

/// The longest URL in bytes.
pub const MAX_URL_LEN: usize = 256;

const PLAIN_SCHEME: &str = "ws://";
const SECURE_SCHEME: &str = "wss://";

/// A relay's WebSocket URL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RelayUrl {
    text: String,
    secure: bool,
    host: Host,
    port: u16,
}

/// Text is not a URL that a relay may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Longer than [`MAX_URL_LEN`].
    #[error("a URL has at most 256 bytes, not {0}")]
    TooLong(usize),
    /// Neither `ws://` nor `wss://`.
    #[error("a relay's URL begins with ws:// or wss://")]
    Scheme,
    /// No host, or not one that can be: letters, digits, `.`, `-`, or an address.
    #[error("the URL's host is malformed")]
    Host,
    /// Not a port number.
    #[error("the URL's port is malformed")]
    Port,
    /// A character that has no place in a relay's URL.
    #[error("the URL's path holds a character that is not allowed")]
    Path,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

/// A part of the network that one party is likely to control as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subnet {
    /// The /24 of an IPv4 address.
    V4([u8; 3]),
    /// The /48 of an IPv6 address.
    V6([u8; 6]),
    /// The registrable domain of a host name. Where a name points is not known here; names are free to who has the
    /// domain, so all under it are one.
    Name(String),
    /// One port of this machine, in development.
    LoopbackPort(u16),
}

impl RelayUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_LEN {
            return Err(UrlError::TooLong(text.len()));
        }
        let (secure, rest) = match (
            text.strip_prefix(SECURE_SCHEME),
            text.strip_prefix(PLAIN_SCHEME),
        ) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(UrlError::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
        {
            return Err(UrlError::Path);
        }
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Self {
            text: text.to_owned(),
            secure,
            host: Host::parse(host)?,
            port,
        })
    }

    /// The URL as published.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether TLS protects the link (`wss://`).
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether it points to the machine that uses it.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }

    /// Whether it can lead to the open Internet. Where a name leads is known only when it is looked up
    /// ([`address::is_public`](super::address::is_public)).
    pub fn is_public(&self) -> bool {
        match &self.host {
            Host::Address(address) => is_public(*address),
            Host::Name(name) => is_public_name(name),
        }
    }

    /// The network that the relay is in. With `allow_loopback`, ports of this machine count as networks.
    pub fn subnet(&self, allow_loopback: bool) -> Subnet {
        match &self.host {
            _ if allow_loopback && self.is_loopback() => Subnet::LoopbackPort(self.port),
            Host::Address(address) => Subnet::of(SocketAddr::new(*address, self.port), false),
            Host::Name(name) => Subnet::Name(registrable(name).to_owned()),
        }
    }
}

impl Subnet {
    /// The network of an address that was connected to. With `allow_loopback`, ports of this machine count as networks.
    pub fn of(address: SocketAddr, allow_loopback: bool) -> Self {
        match address.ip().to_canonical() {
            ip if allow_loopback && ip.is_loopback() => Self::LoopbackPort(address.port()),
            IpAddr::V4(v4) => subnet_of_v4(v4),
            IpAddr::V6(v6) => subnet_of_v6(v6),
        }
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayUrl({})", self.text)
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, UrlError> {
        if let Some(address) = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = host.parse::<Ipv4Addr>() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let labels_fit = host.split('.').all(is_label);
        // A last label that is a number would be read as an IPv4 address by a browser (WHATWG URL §3.5).
        let last_is_numeric = host.rsplit('.').next().is_none_or(is_number);
        match labels_fit && !last_is_numeric {
            true => Ok(Self::Name(host.to_ascii_lowercase())),
            false => Err(UrlError::Host),
        }
    }
}

/// A label of a host name (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || label.to_ascii_lowercase().starts_with("0x")
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let after_address = authority.rfind(']').map_or(0, |end| end + 1);
    match authority.rfind(':').filter(|colon| *colon >= after_address) {
        None => Ok((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(colon);
            let digits = port.strip_prefix(':').unwrap_or_default();
            let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|port| all_digits && *port != 0);
            port.map(|port| (host, Some(port))).ok_or(UrlError::Port)
        }
    }
}

fn subnet_of_v4(address: Ipv4Addr) -> Subnet {
    let [a, b, c, _] = address.octets();
    Subnet::V4([a, b, c])
}

fn subnet_of_v6(address: Ipv6Addr) -> Subnet {
    let [a, b, c, d, e, f, ..] = address.octets();
    Subnet::V6([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Subnet {
        RelayUrl::parse(text).unwrap().subnet(false)
    }

    #[test]
    fn the_urls_that_relays_have() {
        let url = RelayUrl::parse("wss://relay.example.org/v1").unwrap();
        assert!(url.is_secure() && !url.is_loopback());
        assert_eq!(url.port, 443);
        assert_eq!(url.to_string(), "wss://relay.example.org/v1");
        let url = RelayUrl::parse("ws://127.0.0.1:9001/v1").unwrap();
        assert!(!url.is_secure() && url.is_loopback());
        assert_eq!(url.port, 9001);
        for text in [
            "wss://[2001:db8::1]:8443/v1",
            "wss://192.0.2.7",
            "ws://localhost:80",
        ] {
            assert!(RelayUrl::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn malformed_urls_are_refused() {
        for (text, error) in [
            ("", UrlError::Scheme),
            ("https://a.example", UrlError::Scheme),
            ("WSS://a.example", UrlError::Scheme),
            ("wss://", UrlError::Host),
            ("wss:///v1", UrlError::Host),
            ("wss://a..b", UrlError::Host),
            ("wss://-a.example", UrlError::Host),
            ("wss://user@a.example", UrlError::Host),
            ("wss://a b.example", UrlError::Host),
            ("wss://1.2.3", UrlError::Host),
            ("wss://1.2.3.999", UrlError::Host),
            ("wss://0x7f.1", UrlError::Host),
            ("wss://a.0X7f", UrlError::Host),
            ("wss://[::1", UrlError::Host),
            ("wss://[::g]", UrlError::Host),
            ("wss://a.example:", UrlError::Port),
            ("wss://a.example:0", UrlError::Port),
            ("wss://a.example:+1", UrlError::Port),
            ("wss://a.example:65536", UrlError::Port),
            ("wss://a.example/?q", UrlError::Path),
            ("wss://a.example/#f", UrlError::Path),
            ("wss://a.example/\n", UrlError::Path),
        ] {
            assert_eq!(RelayUrl::parse(text), Err(error), "{text:?}");
        }
        let long = format!("wss://{}", "a".repeat(251));
        assert_eq!(RelayUrl::parse(&long), Err(UrlError::TooLong(257)));
    }

    #[test]
    fn subnets_are_24_and_48_bits_wide() {
        assert_eq!(subnet("wss://192.0.2.7"), subnet("ws://192.0.2.200:9/x"));
        assert_ne!(subnet("wss://192.0.2.7"), subnet("wss://192.0.3.7"));
        assert_eq!(
            subnet("wss://[2001:db8:1:2::1]"),
            subnet("wss://[2001:db8:1:3::9]")
        );
        assert_ne!(
            subnet("wss://[2001:db8:1::1]"),
            subnet("wss://[2001:db8:2::1]")
        );
        assert_eq!(
            subnet("wss://[::ffff:192.0.2.7]"),
            subnet("wss://192.0.2.9")
        );
    }

    #[test]
    fn names_of_one_registered_domain_are_one_network() {
        assert_eq!(
            subnet("wss://a.relays.example"),
            subnet("wss://relays.example")
        );
        assert_ne!(subnet("wss://a.one.co.uk"), subnet("wss://a.two.co.uk"));
        assert_eq!(
            subnet("wss://Relay.example"),
            subnet("wss://relay.EXAMPLE:99")
        );
        assert_ne!(subnet("wss://a.example"), subnet("wss://b.example"));
    }

    #[test]
    fn loopback_counts_by_port_in_development_only() {
        let (one, two) = ("ws://127.0.0.1:9001/v1", "ws://127.0.0.1:9002/v1");
        assert_eq!(subnet(one), subnet(two));
        let development = |text| RelayUrl::parse(text).unwrap().subnet(true);
        assert_ne!(development(one), development(two));
        assert_eq!(development("ws://localhost:9001"), development(one));
        assert_eq!(
            development("wss://192.0.2.7:1"),
            development("wss://192.0.2.7:2")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
            if let Ok(url) = RelayUrl::parse(&text) {
                prop_assert_eq!(url.as_str(), text);
            }
        }

        #[test]
        fn any_authority_is_parsed_or_refused(text in "[a-z0-9.:\\[\\]-]{0,40}") {
            let _ = RelayUrl::parse(&format!("wss://{text}/v1"));
        }
    }
}
