//! What the operator has written: a TOML file, `ZENTALK_RELAY_*` variables and flags, the later ones winning.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zentalk_shared::onion::{
    Features, RelayInfo, RelayUrl, ReplayLimits, Suite, Suites, SuitesError,
};

use crate::core::store::Quotas;
use crate::core::{CoreConfig, Limits, Rate, WorkPolicy};
use crate::store::DbOptions;

/// Variables that are not configuration keys.
const NOT_KEYS: [&str; 1] = ["config"];

/// The configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the relay listens.
    pub listen: SocketAddr,
    /// How clients and other relays reach it.
    pub url: String,
    /// Where keys and mail are kept.
    pub data_dir: PathBuf,
    /// Who runs it, at most 64 bytes: paths avoid two relays of one operator. Relays that do not say are taken for
    /// one operator's.
    #[serde(default)]
    pub operator: String,
    /// Where it stands, at most 32 bytes.
    #[serde(default)]
    pub region: String,
    /// Relays to stay connected to. Its own URL may be among them.
    #[serde(default)]
    pub peers: Vec<String>,
    /// What it offers: `guard`, `mailbox`, `directory`.
    #[serde(default = "all_features")]
    pub features: Vec<Feature>,
    /// Onion suites that it peels: `x25519`, `xwing`, `rsa4096`; the first two unless said otherwise. A packet
    /// of `rsa4096` costs some 10 ms of one core where the others cost less than 1 ms, and a key for it, two
    /// at the first start and one every six hours, about a second in which the relay does nothing else.
    #[serde(default = "offered_suites")]
    pub onion_suites: Vec<SuiteName>,
    /// Development: `ws://`, loopback and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Bounds.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// One thing that a relay may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Accepts clients.
    Guard,
    /// Holds mailboxes.
    Mailbox,
    /// Holds account records.
    Directory,
}

/// An onion suite, written by its [name](Suite::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteName(pub Suite);

impl Serialize for SuiteName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for SuiteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let suite = Suite::from_name(&name).map(Self);
        suite.ok_or_else(|| D::Error::custom(format!("unknown onion suite `{name}`")))
    }
}

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
            database_bytes: 0,
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

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

fn all_features() -> Vec<Feature> {
    vec![Feature::Guard, Feature::Mailbox, Feature::Directory]
}

fn offered_suites() -> Vec<SuiteName> {
    Suites::OFFERED.iter().map(SuiteName).collect()
}

/// Flags that stand for keys of the file.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub struct Flags {
    /// Where to listen, for example 127.0.0.1:9001
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// How others reach this relay, for example wss://relay.example.org/v1
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where keys and mail are kept
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// A relay to stay connected to; may be given several times
    #[arg(long = "peer")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Development: allow ws://, loopback and private addresses
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub allow_private: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this shape"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The configuration cannot be used; says what to change.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no configuration file {0}")]
    NoFile(PathBuf),
    /// A key is unknown, missing or of the wrong type.
    #[error("the configuration is not usable: {0}")]
    Invalid(Box<figment::Error>),
    /// A URL is malformed.
    #[error("`{key}`: {url:?} is not a relay's URL: {source}")]
    Url {
        /// Which key.
        key: &'static str,
        /// What it says.
        url: String,
        /// Why not.
        source: zentalk_shared::onion::UrlError,
    },
    /// There must be one suite, and none twice.
    #[error("`onion_suites`: {0}; it is a list of `x25519`, `xwing` and `rsa4096`")]
    Suites(#[from] SuitesError),
    /// Others could listen on the way.
    #[error(
        "`{key}`: {url} is not protected by TLS; use wss://, or `allow_private = true` for development"
    )]
    Plain {
        /// Which key.
        key: &'static str,
        /// What it says.
        url: String,
    },
}

impl Config {
    /// Reads file, variables and flags.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_owned()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let variables = Env::prefixed("ZENTALK_RELAY_")
            .ignore(&NOT_KEYS)
            .split("__");
        figment
            .merge(variables)
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|error| ConfigError::Invalid(Box::new(error)))
    }

    /// What the core takes from it.
    pub fn core(&self) -> Result<CoreConfig, ConfigError> {
        let url = self.checked_url("url", &self.url)?;
        let peers = self
            .peers
            .iter()
            .map(|peer| self.checked_url("peers", peer));
        let features = self.features.iter().fold(Features::NONE, |all, feature| {
            all.with(match feature {
                Feature::Guard => Features::GUARD,
                Feature::Mailbox => Features::MAILBOX,
                Feature::Directory => Features::DIRECTORY,
            })
        });
        let suites: Vec<Suite> = self.onion_suites.iter().map(|named| named.0).collect();
        Ok(CoreConfig {
            info: RelayInfo {
                urls: vec![url],
                operator: self.operator.clone(),
                region: self.region.clone(),
                software: concat!("zentalk-relay ", env!("CARGO_PKG_VERSION")).to_owned(),
                max_connections: self.limits.connections as u64,
                features,
            },
            peers: peers.collect::<Result<_, _>>()?,
            allow_private: self.allow_private,
            limits: self.limits.core(),
            work: WorkPolicy::default(),
            suites: Suites::new(&suites)?,
            replay: ReplayLimits::PROTOCOL,
        })
    }

    /// What the store takes from it.
    pub fn store(&self) -> DbOptions {
        let limits = &self.limits;
        DbOptions {
            quotas: Quotas {
                mailboxes: limits.mailboxes,
                envelopes: limits.envelopes_per_mailbox,
                bytes: limits.bytes_per_mailbox,
                records: limits.records,
                ..Quotas::default()
            },
            max_bytes: Some(limits.database_bytes).filter(|bytes| *bytes > 0),
        }
    }

    fn checked_url(&self, key: &'static str, text: &str) -> Result<RelayUrl, ConfigError> {
        let url = RelayUrl::parse(text).map_err(|source| ConfigError::Url {
            key,
            url: text.to_owned(),
            source,
        })?;
        match url.is_secure() || self.allow_private {
            true => Ok(url),
            false => Err(ConfigError::Plain {
                key,
                url: text.to_owned(),
            }),
        }
    }
}

impl LimitsConfig {
    fn core(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            connections: self.connections,
            connections_per_origin: self.connections_per_subnet,
            client_frames: Rate {
                per_minute: self.client_frames_per_minute,
                ..limits.client_frames
            },
            ..limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "listen = \"127.0.0.1:9001\"\nurl = \"ws://127.0.0.1:9001/v1\"\n\
                           data_dir = \"/var/lib/zentalk\"\nallow_private = true\n";

    fn load(text: &str, flags: &Flags) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), flags)
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = load(MINIMAL, &Flags::default()).unwrap();
        assert_eq!(config.features, all_features());
        assert_eq!(config.limits, LimitsConfig::default());
        assert_eq!(config.limits.core(), Limits::default());
        assert_eq!(config.core().unwrap().info.features, Features::ALL);
        assert_eq!(config.core().unwrap().suites, Suites::OFFERED);
    }

    #[test]
    fn onion_suites_are_checked_before_the_relay_starts() {
        let suites = |list: &str| {
            load(
                &format!("{MINIMAL}onion_suites = {list}\n"),
                &Flags::default(),
            )
        };
        let listed = suites("[\"rsa4096\", \"x25519\"]").unwrap().core().unwrap();
        let order: Vec<_> = listed.suites.iter().collect();
        assert_eq!(order, [Suite::Rsa4096, Suite::X25519]);
        let unknown = suites("[\"kyber\"]").unwrap_err().to_string();
        assert!(unknown.contains("kyber"), "{unknown}");
        for (list, why) in [
            ("[]", "no onion suite"),
            ("[\"xwing\", \"xwing\"]", "xwing is named twice"),
        ] {
            let error = suites(list).unwrap().core().unwrap_err();
            assert!(matches!(error, ConfigError::Suites(_)));
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Flags {
            url: Some("wss://relay.example.org/v1".to_owned()),
            peers: vec!["wss://other.example.org/v1".to_owned()],
            ..Flags::default()
        };
        let config = load(MINIMAL, &flags).unwrap();
        assert_eq!(config.url, "wss://relay.example.org/v1");
        assert_eq!(config.core().unwrap().peers.len(), 1);
        assert!(
            config.allow_private,
            "a flag that is not given changes nothing"
        );
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (wrong, name) in [
            ("lisen = 1\n", "lisen"),
            ("[limits]\nconections = 1\n", "conections"),
            ("[log]\nformat = \"xml\"\n", "xml"),
        ] {
            let error = load(&format!("{MINIMAL}{wrong}"), &Flags::default()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = load("url = \"ws://127.0.0.1:1/v1\"\n", &Flags::default()).unwrap_err();
        assert!(error.to_string().contains("listen"), "{error}");
    }

    #[test]
    fn urls_are_checked_and_need_tls_in_the_open() {
        let peer = |url: &str| {
            let text = format!("{}peers = [\"{url}\"]\n", MINIMAL.replace("true", "false"));
            let text = text.replace("ws://127.0.0.1:9001", "wss://relay.example.org");
            load(&text, &Flags::default()).unwrap().core()
        };
        assert!(peer("wss://other.example.org/v1").is_ok());
        assert!(matches!(
            peer("ws://other.example.org/v1"),
            Err(ConfigError::Plain { key: "peers", .. })
        ));
        assert!(matches!(
            peer("http://other.example.org"),
            Err(ConfigError::Url { key: "peers", .. })
        ));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Some(Path::new("/nowhere/relay.toml")), &Flags::default());
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("/nowhere/relay.toml")
        );
    }
}
