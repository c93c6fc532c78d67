//! A network in the configuration: an address, or one with a prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// It is none.
#[derive(Debug, Error)]
#[error("`{0}` is neither an address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl Network {
    /// Whether an address is one of its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>());
        network.map(Self).map_err(|_| NetworkError(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_contain_what_they_say() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let has = |text, address: &str| network(text).contains(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.1.2.3") && !has("10.0.0.0/8", "11.1.2.3"));
        assert!(has("127.0.0.1", "::ffff:127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("::1", "::1"));
        for text in ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"] {
            assert_eq!(network(text).to_string(), text);
        }
        let error = "proxy".parse::<Network>().unwrap_err().to_string();
        assert!(error.contains("`proxy`"), "{error}");
    }
}
