//! What may change while the relay runs and sockets look at: caps, trusted proxies.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use axum::http::HeaderMap;
use zentalk_shared::time::Timestamp;

use super::door::{Door, Place};
use super::origin::Origins;
use crate::config::{Config, ProxyConfig};

/// Shared by all that accept connections.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) door: Door,
    pub(super) origins: Origins,
    proxy: RwLock<ProxyConfig>,
}

impl Live {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            door: Door::new(limits.connections, limits.connections_per_subnet),
            origins: Origins::default(),
            proxy: RwLock::new(config.proxy.clone()),
        }
    }

    /// The configuration has changed; those who are in stay in.
    pub(super) fn change(&self, config: &Config) {
        let limits = &config.limits;
        self.door
            .resize(limits.connections, limits.connections_per_subnet);
        let mut proxy = self.proxy.write().unwrap_or_else(PoisonError::into_inner);
        *proxy = config.proxy.clone();
    }

    /// Whether an address is a trusted proxy's, and if so whether its connections begin with a header.
    pub(super) fn proxy(&self, address: IpAddr) -> Option<bool> {
        let proxy = self.proxy.read().unwrap_or_else(PoisonError::into_inner);
        proxy.trusts(address).then(|| proxy.has_header())
    }

    /// A place for whom a trusted proxy's request is for.
    pub(super) fn enter_forwarded(&self, headers: &HeaderMap, now: Timestamp) -> Option<Place> {
        let proxy = self.proxy.read().unwrap_or_else(PoisonError::into_inner);
        let client = proxy.forwarded_for(headers);
        drop(proxy);
        let origin = client.and_then(|client| self.origins.of(client));
        self.door.enter(origin, now)
    }
}
