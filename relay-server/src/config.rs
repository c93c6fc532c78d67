//! What the operator has written: a TOML file, `ZENTALK_RELAY_*` variables and flags, the later ones winning.

mod network;
pub mod reference;
mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zentalk_shared::onion::address::is_public;
use zentalk_shared::onion::{
    Features, RelayInfo, RelayUrl, ReplayLimits, Suite, Suites, SuitesError,
};

pub use network::Network;
pub use sections::{
    LimitsConfig, LogConfig, LogFormat, MetricsConfig, ProxyConfig, ProxyProtocol, StrangersConfig,
    TlsConfig, TlsMode,
};

use crate::core::store::Quotas;
use crate::core::{CoreConfig, Limits, Rate};
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
    /// Who runs it, at most 64 bytes: paths avoid two relays of one operator. One that does not say counts as its network's.
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
    /// of `rsa4096` costs 17 to 39 ms of one core where the others cost less than 0.2 ms (docs/PERFORMANCE.md), and a
    /// key for it, two at the first start and one every six hours, about a second in which the relay does nothing else.
    #[serde(default = "offered_suites")]
    pub onion_suites: Vec<SuiteName>,
    /// Development: `ws://`, loopback and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Bounds.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What strangers pay, and how many of them are let in.
    #[serde(default)]
    pub strangers: StrangersConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
    /// TLS of the listener.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Reverse proxies in front of the listener.
    #[serde(default)]
    pub proxy: ProxyConfig,
    /// Metrics for a collector.
    #[serde(default)]
    pub metrics: MetricsConfig,
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
    /// TLS needs files.
    #[error("`tls.mode` is \"files\", so `tls.certificate` and `tls.key` must name two PEM files")]
    NoCertificate,
    /// TLS here, and a URL that says there is none.
    #[error("`tls.mode` is not \"off\", but `url` is {0}: it must begin with wss://")]
    TlsForPlain(String),
    /// Counters tell when packets pass.
    #[error(
        "`metrics.listen`: {0} can be reached from outside, and who reads the counters of a quiet relay sees \
         its packets pass; use a loopback or private address"
    )]
    PublicMetrics(SocketAddr),
    /// A descriptor has no room for it.
    #[error("`{key}` is longer than {max} bytes")]
    TooLong {
        /// Which key.
        key: &'static str,
        /// What it may have.
        max: usize,
    },
    /// A level that there is not.
    #[error("`log.level`: {0:?} is none of error, warn, info, debug, trace")]
    Level(String),
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

/// A descriptor has no room for more.
const MAX_OPERATOR: usize = 64;
const MAX_REGION: usize = 32;

impl Config {
    /// Defaults for everything that has one.
    pub fn new(listen: SocketAddr, url: String, data_dir: PathBuf) -> Self {
        Self {
            listen,
            url,
            data_dir,
            operator: String::new(),
            region: String::new(),
            peers: Vec::new(),
            features: all_features(),
            onion_suites: offered_suites(),
            allow_private: false,
            limits: LimitsConfig::default(),
            strangers: StrangersConfig::default(),
            log: LogConfig::default(),
            tls: TlsConfig::default(),
            proxy: ProxyConfig::default(),
            metrics: MetricsConfig::default(),
        }
    }

    /// What a running relay takes over from `new`; the rest stays as it is here.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Self {
        Self {
            operator: new.operator.clone(),
            region: new.region.clone(),
            peers: new.peers.clone(),
            limits: LimitsConfig {
                dht_records: self.limits.dht_records,
                dht_bytes: self.limits.dht_bytes,
                ..new.limits
            },
            log: LogConfig {
                format: self.log.format,
                level: new.log.level.clone(),
            },
            tls: TlsConfig {
                certificate: new.tls.certificate.clone(),
                key: new.tls.key.clone(),
                ..self.tls.clone()
            },
            proxy: new.proxy.clone(),
            ..self.clone()
        }
    }

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
        self.check_surroundings()?;
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
            work: self.strangers.core(),
            suites: Suites::new(&suites)?,
            replay: ReplayLimits::PROTOCOL,
        })
    }

    /// The name or address in `url`.
    pub fn host(&self) -> &str {
        Self::host_of(&self.url)
    }

    /// The port in `url`, or the one that it stands for.
    pub fn port(&self) -> u16 {
        Self::port_of(&self.url)
    }

    pub(crate) fn host_of(url: &str) -> &str {
        Self::authority(url).0
    }

    pub(crate) fn port_of(url: &str) -> u16 {
        let port = Self::authority(url).1;
        port.unwrap_or(if url.starts_with("wss://") { 443 } else { 80 })
    }

    fn authority(url: &str) -> (&str, Option<u16>) {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            // The colons of an address lie within its brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, None),
        }
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

    /// What the core does not see.
    fn check_surroundings(&self) -> Result<(), ConfigError> {
        let tls = &self.tls;
        let named = |path: &Path| !path.as_os_str().is_empty();
        if tls.mode == TlsMode::Files && !(named(&tls.certificate) && named(&tls.key)) {
            return Err(ConfigError::NoCertificate);
        }
        if tls.mode != TlsMode::Off && !self.url.starts_with("wss://") {
            return Err(ConfigError::TlsForPlain(self.url.clone()));
        }
        let exposed =
            |address: &SocketAddr| address.ip().is_unspecified() || is_public(address.ip());
        if let Some(address) = self.metrics.listen.filter(exposed) {
            return Err(ConfigError::PublicMetrics(address));
        }
        if self.log.level.parse::<tracing::Level>().is_err() {
            return Err(ConfigError::Level(self.log.level.clone()));
        }
        let texts = [
            ("operator", &self.operator, MAX_OPERATOR),
            ("region", &self.region, MAX_REGION),
        ];
        match texts.into_iter().find(|(_, text, max)| text.len() > *max) {
            Some((key, _, max)) => Err(ConfigError::TooLong { key, max }),
            None => Ok(()),
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
            dht_records: self.dht_records,
            dht_bytes: self.dht_bytes,
            ..limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::WorkPolicy;

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
        assert_eq!(config.core().unwrap().work, WorkPolicy::default());
    }

    #[test]
    fn what_strangers_pay_is_the_operators_to_say() {
        let text = format!("{MINIMAL}[strangers]\neffort = 64\nper_minute = 60\n");
        let work = load(&text, &Flags::default()).unwrap().core().unwrap().work;
        let (effort, rate) = (
            64,
            Rate {
                per_minute: 60,
                burst: 60,
            },
        );
        assert_eq!(work, WorkPolicy { effort, rate });
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
    fn the_host_is_what_stands_before_the_port() {
        for (url, host) in [
            ("wss://relay.example.org/v1", ("relay.example.org", 443)),
            (
                "wss://relay.example.org:8443/v1",
                ("relay.example.org", 8443),
            ),
            ("ws://192.0.2.1/v1", ("192.0.2.1", 80)),
            ("wss://[2001:db8::1]:8443/v1", ("[2001:db8::1]", 8443)),
            ("wss://[2001:db8::1]/v1", ("[2001:db8::1]", 443)),
            ("nonsense", ("", 80)),
        ] {
            let config = Config::new("127.0.0.1:1".parse().unwrap(), url.to_owned(), "d".into());
            assert_eq!((config.host(), config.port()), host);
        }
    }

    #[test]
    fn what_does_not_go_together_is_a_sentence() {
        let wss = MINIMAL.replace("ws://", "wss://");
        for (text, needle) in [
            (format!("{wss}[tls]\nmode = \"files\"\n"), "tls.certificate"),
            (format!("{MINIMAL}[tls]\nmode = \"acme\"\n"), "wss://"),
            (
                format!("{wss}[metrics]\nlisten = \"0.0.0.0:9464\"\n"),
                "metrics.listen",
            ),
            (format!("{wss}[log]\nlevel = \"loud\"\n"), "log.level"),
            (format!("{wss}region = \"{}\"\n", "x".repeat(33)), "region"),
        ] {
            let error = load(&text, &Flags::default()).unwrap().core().unwrap_err();
            assert!(error.to_string().contains(needle), "{error}");
        }
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
