//! The sections of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Network;
use crate::core::store::Quotas;
use crate::core::{Limits, Rate, WorkPolicy};

/// `[limits]`: what an operator may want to change. The other bounds are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one /24 or /48.
    pub connections_per_subnet: usize,
    /// Frames per minute from one client.
    pub client_frames_per_minute: u32,
    /// Mailboxes.
    pub mailboxes: u32,
    /// Envelopes waiting in one mailbox.
    pub envelopes_per_mailbox: u32,
    /// Bytes waiting in one mailbox.
    pub bytes_per_mailbox: u64,
    /// Account records.
    pub records: u32,
    /// Records held for the DHT.
    pub dht_records: usize,
    /// Their bytes.
    pub dht_bytes: usize,
    /// Size that the database may reach; 0: until the disk is full.
    pub database_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let (limits, quotas) = (Limits::default(), Quotas::default());
        Self {
            connections: limits.connections,
            connections_per_subnet: limits.connections_per_origin,
            client_frames_per_minute: limits.client_frames.per_minute,
            mailboxes: quotas.mailboxes,
            envelopes_per_mailbox: quotas.envelopes,
            bytes_per_mailbox: quotas.bytes,
            records: quotas.records,
            dht_records: limits.dht_records,
            dht_bytes: limits.dht_bytes,
            database_bytes: 0,
        }
    }
}

/// `[strangers]`: first messages, account records, and mailboxes that are opened. Contacts show permits, and pay nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrangersConfig {
    /// Proof of work while there is little to do; 0: none.
    pub effort: u32,
    /// Taken from all of them together.
    pub per_minute: u32,
}

impl Default for StrangersConfig {
    fn default() -> Self {
        let policy = WorkPolicy::default();
        Self {
            effort: policy.effort,
            per_minute: policy.rate.per_minute,
        }
    }
}

impl StrangersConfig {
    pub(super) const fn core(&self) -> WorkPolicy {
        WorkPolicy {
            effort: self.effort,
            rate: Rate {
                per_minute: self.per_minute,
                burst: self.per_minute,
            },
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Where the certificate comes from.
    pub mode: TlsMode,
    /// `files`: PEM of the certificate and those that lead to its authority.
    pub certificate: PathBuf,
    /// `files`: PEM of its key.
    pub key: PathBuf,
    /// `acme`: mail address that the authority may write to.
    pub acme_contact: String,
    /// `acme`: Let's Encrypt's staging directory, whose certificates nobody trusts.
    pub acme_staging: bool,
    /// `acme`: URL of another authority's directory.
    pub acme_directory: String,
    /// `acme`: PEM of the root that the directory's own certificate comes from, if it is not a public one.
    pub acme_root: PathBuf,
    /// PEM of authorities that are trusted beside the web's when other relays are dialed.
    pub roots: PathBuf,
}

/// Where the certificate of the listener comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// No TLS here: a reverse proxy sees to it, or nobody does, in development.
    #[default]
    Off,
    /// From files.
    Files,
    /// From an authority that speaks ACME.
    Acme,
}

/// `[proxy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConfig {
    /// Addresses or networks whose word about clients' addresses is taken.
    pub trusted: Vec<Network>,
    /// How they say it.
    pub protocol: ProxyProtocol,
}

/// How a reverse proxy says for whom it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// The HTTP header.
    #[default]
    XForwardedFor,
    /// HAProxy's PROXY protocol, version 1 or 2, before the first byte of the connection.
    ProxyProtocol,
}

/// `[metrics]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where `/metrics` and `/healthz` are served without TLS.
    #[serde(deserialize_with = "empty_is_none")]
    pub listen: Option<SocketAddr>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// TOML has no way to say that there is none.
fn empty_is_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    match text.is_empty() {
        true => Ok(None),
        false => text.parse().map(Some).map_err(D::Error::custom),
    }
}
