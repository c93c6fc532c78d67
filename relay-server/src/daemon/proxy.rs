//! Whom a reverse proxy speaks for. Only proxies that the operator named are believed: anybody else could
//! claim to come from everywhere.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ppp::{HeaderResult, v1, v2};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::{ProxyConfig, ProxyProtocol};

/// Longest header of version 1, and all of version 2 that anybody sends.
const MAX_V1: usize = 107;
const MAX_V2: usize = 1024;
/// What every header is longer than.
const SHORTEST: usize = 15;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// A trusted proxy does not say for whom it speaks.
#[derive(Debug, Error)]
pub(super) enum ProxyError {
    #[error("the connection ended within the PROXY header")]
    Ended(#[from] std::io::Error),
    #[error("what came first is no PROXY header")]
    NotAHeader,
}

impl ProxyConfig {
    /// Whether what this address says about others is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether connections from a trusted proxy begin with a header of their own.
    pub(super) fn has_header(&self) -> bool {
        self.protocol == ProxyProtocol::ProxyProtocol
    }

    /// Whom a request of a trusted proxy is for: the last address in `X-Forwarded-For` that is not
    /// another trusted proxy's.
    pub(super) fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values = headers.get_all("x-forwarded-for");
        let values: Vec<_> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let all = values.iter().flat_map(|value| value.split(','));
        let all: Vec<_> = all.map(|text| address(text.trim())).collect();
        let last = all
            .into_iter()
            .rev()
            .find(|address| address.is_none_or(|address| !self.trusts(address)));
        last.flatten()
    }
}

/// With or without a port, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = text.parse::<std::net::SocketAddr>().map(|found| found.ip());
    let bare = text.trim_matches(['[', ']']).parse();
    bare.or(with_port).ok()
}

/// Reads a PROXY header and not a byte more. `None`: the proxy speaks for itself, as health checks do.
pub(super) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<IpAddr>, ProxyError> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    match header.starts_with(V2_SIGNATURE) {
        true => read_v2(stream, &mut header).await?,
        false => read_v1(stream, &mut header).await?,
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(found) => Some(found.source_address.into()),
            v1::Addresses::Tcp6(found) => Some(found.source_address.into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => Ok(None),
        HeaderResult::V2(Ok(header)) => Ok(match header.addresses {
            v2::Addresses::IPv4(found) => Some(found.source_address.into()),
            v2::Addresses::IPv6(found) => Some(found.source_address.into()),
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
        }),
        _ => Err(ProxyError::NotAHeader),
    }
}

/// A line of text.
async fn read_v1(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    if !header.starts_with(b"PROXY ") {
        return Err(ProxyError::NotAHeader);
    }
    while !header.ends_with(b"\r\n") {
        if header.len() >= MAX_V1 {
            return Err(ProxyError::NotAHeader);
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

/// A fixed part that tells the length of the rest.
async fn read_v2(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    header.push(stream.read_u8().await?);
    let length = match header.last_chunk::<2>() {
        Some(length) => usize::from(u16::from_be_bytes(*length)),
        None => return Err(ProxyError::NotAHeader),
    };
    if length > MAX_V2 {
        return Err(ProxyError::NotAHeader);
    }
    header.resize(V2_FIXED + length, 0);
    let rest = header.get_mut(V2_FIXED..).unwrap_or_default();
    stream.read_exact(rest).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(trusted: &[&str]) -> ProxyConfig {
        ProxyConfig {
            trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            protocol: ProxyProtocol::XForwardedFor,
        }
    }

    fn forwarded(config: &ProxyConfig, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        config
            .forwarded_for(&headers)
            .map(|found| found.to_string())
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
        let config = behind(&["127.0.0.1", "10.0.0.0/8"]);
        let client = |values: &[&str]| forwarded(&config, values);
        assert_eq!(client(&["192.0.2.7"]).unwrap(), "192.0.2.7");
        let forged = client(&["1.1.1.1, 192.0.2.7, 10.0.0.2"]).unwrap();
        assert_eq!(
            forged, "192.0.2.7",
            "what a client writes itself stands before"
        );
        assert_eq!(client(&["1.1.1.1", "192.0.2.7:4711"]).unwrap(), "192.0.2.7");
        assert_eq!(client(&["[2001:db8::1]:443"]).unwrap(), "2001:db8::1");
        assert_eq!(client(&["2001:db8::1"]).unwrap(), "2001:db8::1");
        for nobody in [
            &["nonsense"][..],
            &["1.1.1.1, nonsense"],
            &["10.0.0.1"],
            &[],
        ] {
            assert_eq!(client(nobody), None, "{nobody:?}");
        }
    }

    async fn read(bytes: &[u8]) -> Result<(Option<IpAddr>, usize), ProxyError> {
        let mut stream = bytes;
        let found = read_header(&mut stream).await?;
        Ok((found, stream.len()))
    }

    fn v2(command: v2::Command, addresses: impl Into<v2::Addresses>) -> Vec<u8> {
        let version = v2::Version::Two | command;
        let built = v2::Builder::with_addresses(version, v2::Protocol::Stream, addresses);
        built.build().unwrap()
    }

    #[tokio::test]
    async fn headers_of_both_versions_are_read_to_their_last_byte() {
        let rest = b"GET /v1 HTTP/1.1\r\n";
        let after = |header: &[u8]| [header, rest].concat();
        let v4 = v2::IPv4::new([192, 0, 2, 7], [192, 0, 2, 1], 4711, 443);
        let v6 = v2::IPv6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0; 8], 4711, 443);
        for (header, client) in [
            (
                b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n".to_vec(),
                "192.0.2.7",
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n".to_vec(),
                "2001:db8::1",
            ),
            (v2(v2::Command::Proxy, v4), "192.0.2.7"),
            (v2(v2::Command::Proxy, v6), "2001:db8::1"),
            (b"PROXY UNKNOWN\r\n".to_vec(), ""),
            (v2(v2::Command::Local, v4), ""),
        ] {
            let (found, left) = read(&after(&header)).await.unwrap();
            let found = found.map(|found| found.to_string());
            assert_eq!(found.unwrap_or_default(), client);
            assert_eq!(left, rest.len(), "{client}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        let mut long = v2(v2::Command::Proxy, v2::IPv4::new([1; 4], [1; 4], 1, 1));
        long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        for wrong in [
            b"GET /v1 HTTP/1.1\r\nHost: relay\r\n\r\n".to_vec(),
            [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(),
            b"PROXY TCP4 1.1.1.1\r\n".to_vec(),
            long,
            b"PROXY".to_vec(),
        ] {
            assert!(read(&wrong).await.is_err(), "{wrong:?}");
        }
    }
}
