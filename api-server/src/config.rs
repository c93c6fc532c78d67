//! Configuration: defaults, then a TOML file, then `ZENTALK_API_*` variables, then flags; the later wins.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! www = "www/dist"                      # the built web app; relative to the working directory
//! bootstrap = ["wss://relay.example/v1"] # their NodeIds are asked for
//! development = false                   # allows ws:// to this machine, drops HSTS
//!
//! [[relay]]                             # a relay whose NodeId is known
//! node = "0123456789abcdef0123456789abcdef01234567"
//! url = "wss://other.example/v1"
//!
//! [limits]
//! connections = 1024
//!
//! [log]
//! format = "text"                       # or "json"
//! ```
//! A variable names a nested key with two underscores: `ZENTALK_API_LIMITS__CONNECTIONS=64`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayUrl, UrlError};

const ENV_PREFIX: &str = "ZENTALK_API_";
/// Variables with our prefix that are not settings: two flags, and what the build's own tools use to find
/// this program and its address.
const ENV_OTHERS: [&str; 4] = ["config", "exit_with_parent", "bin", "url"];

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// The directory of the built web app.
    pub www: PathBuf,
    /// The relays of the bootstrap list, at least one.
    pub relays: Vec<ConfiguredRelay>,
    /// Allows `ws://` to this machine and does not insist on HTTPS.
    pub development: bool,
    /// What one client, and all together, may take.
    pub limits: Limits,
    /// How logs are written.
    pub log: LogFormat,
}

/// A relay of the bootstrap list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredRelay {
    /// How clients reach it.
    pub url: RelayUrl,
    /// Who it is; asked for if not configured.
    pub node: Option<NodeId>,
}

/// Bounds on what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of a request line with all its headers.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Seconds in which a request's headers must have arrived; also how long a connection may idle.
    pub header_seconds: u64,
    /// Seconds that a request may take until its answer begins.
    pub request_seconds: u64,
    /// Seconds that a connection may live, which bounds a reader that takes a byte at a time.
    pub connection_seconds: u64,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Settings given as flags.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
pub struct Flags {
    /// Where to listen, as address:port
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The directory of the built web app
    #[arg(long, value_name = "DIRECTORY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub www: Option<PathBuf>,
    /// A relay of the bootstrap list, as ws:// or wss:// URL; repeat it for more
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<String>,
    /// Allow ws:// to this machine and do not insist on HTTPS
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// How logs are written
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip)]
    pub log_format: Option<LogFormat>,
}

/// The operator's configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is not there, or not readable.
    #[error("the configuration file {} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// There is no setting of that name.
    #[error("there is no setting `{key}`{place}; there are: {known}")]
    UnknownKey {
        /// Its whole name.
        key: String,
        /// Where it was given.
        place: Place,
        /// The names that exist beside it.
        known: String,
    },
    /// A setting's value is of the wrong kind.
    #[error("the setting `{key}`{place} is not usable: {reason}")]
    Value {
        /// Its whole name.
        key: String,
        /// Where it was given.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// The file is not TOML.
    #[error("the configuration{place} is not TOML: {reason}")]
    Syntax {
        /// Which file.
        place: Place,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A number is out of its range.
    #[error("`limits.{name}` is {value}; it may be {} to {}", .range.start(), .range.end())]
    Limit {
        /// Which limit.
        name: &'static str,
        /// What was given.
        value: u64,
        /// What may be given.
        range: RangeInclusive<u64>,
    },
    /// Clients could not begin anywhere.
    #[error(
        "no relay is configured: name at least one with --bootstrap, `bootstrap` or `[[relay]]`"
    )]
    NoRelay,
    /// A relay's URL is malformed.
    #[error("the relay URL {url:?} is not usable")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        #[source]
        source: UrlError,
    },
    /// Browsers would refuse the URL.
    #[error(
        "the relay URL {0} is without TLS: use wss://, or set `development` if the relay is on this machine"
    )]
    Plain(RelayUrl),
    /// A relay is named twice.
    #[error("the relay {0} is configured twice")]
    Twice(RelayUrl),
    /// A NodeId is malformed.
    #[error("the NodeId of the relay {url} is {given:?}; it must have 40 hexadecimal digits")]
    Node {
        /// Whose.
        url: RelayUrl,
        /// As given.
        given: String,
    },
}

/// Where a setting was given, for a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Option<String>);

/// The settings as they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    listen: SocketAddr,
    www: PathBuf,
    bootstrap: Vec<String>,
    relay: Vec<RelayEntry>,
    development: bool,
    limits: Limits,
    log: LogSettings,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RelayEntry {
    node: String,
    url: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSettings {
    format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            www: PathBuf::from("www/dist"),
            bootstrap: Vec::new(),
            relay: Vec::new(),
            development: false,
            limits: Limits::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head_bytes: 16 * 1024,
            body_bytes: 64 * 1024,
            header_seconds: 15,
            request_seconds: 30,
            connection_seconds: 900,
        }
    }
}

impl Config {
    /// Reads all layers and checks what they say.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        let mut layers = Figment::from(Serialized::defaults(Settings::default()));
        if let Some(path) = file {
            // figment takes a missing file for an empty one.
            std::fs::File::open(path)
                .map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
            layers = layers.merge(Toml::file_exact(path));
        }
        let env = Env::prefixed(ENV_PREFIX).ignore(&ENV_OTHERS).split("__");
        Self::from_layers(layers.merge(env), flags)
    }

    fn from_layers(layers: Figment, flags: &Flags) -> Result<Self, ConfigError> {
        let layers = layers.merge(Serialized::defaults(flags));
        let mut settings: Settings = layers.extract().map_err(explained)?;
        if let Some(format) = flags.log_format {
            settings.log.format = format;
        }
        settings.checked()
    }
}

impl Settings {
    fn checked(self) -> Result<Config, ConfigError> {
        self.limits.check()?;
        let mut relays: Vec<ConfiguredRelay> = Vec::new();
        let asked = self.bootstrap.iter().map(|url| (url, None));
        let known = self
            .relay
            .iter()
            .map(|entry| (&entry.url, Some(&entry.node)));
        for (url, node) in asked.chain(known) {
            let url = checked_url(url, self.development)?;
            let node = node.map(|node| parse_node(node, &url)).transpose()?;
            if relays.iter().any(|relay| relay.url == url) {
                return Err(ConfigError::Twice(url));
            }
            relays.push(ConfiguredRelay { url, node });
        }
        match relays.is_empty() {
            true => Err(ConfigError::NoRelay),
            false => Ok(Config {
                listen: self.listen,
                www: self.www,
                relays,
                development: self.development,
                limits: self.limits,
                log: self.log.format,
            }),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        const SECONDS: RangeInclusive<u64> = 1..=86_400;
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        // hyper's read buffer has at least 8 KiB.
        for (name, value, range) in [
            ("connections", wide(self.connections), 1..=1_000_000),
            ("head_bytes", wide(self.head_bytes), 8192..=1_048_576),
            ("body_bytes", wide(self.body_bytes), 0..=16_777_216),
            ("header_seconds", self.header_seconds, SECONDS),
            ("request_seconds", self.request_seconds, SECONDS),
            ("connection_seconds", self.connection_seconds, SECONDS),
        ] {
            if !range.contains(&value) {
                return Err(ConfigError::Limit { name, value, range });
            }
        }
        Ok(())
    }
}

/// A URL that a browser may connect to from a page of ours.
fn checked_url(text: &str, development: bool) -> Result<RelayUrl, ConfigError> {
    let url = RelayUrl::parse(text).map_err(|source| ConfigError::Url {
        url: text.to_owned(),
        source,
    })?;
    match url.is_secure() || development && url.is_loopback() {
        true => Ok(url),
        false => Err(ConfigError::Plain(url)),
    }
}

fn parse_node(text: &str, url: &RelayUrl) -> Result<NodeId, ConfigError> {
    let malformed = || ConfigError::Node {
        url: url.clone(),
        given: text.to_owned(),
    };
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(malformed)?;
    match rest.is_empty() {
        true => NodeId::try_from(bytes.as_slice()).map_err(|_| malformed()),
        false => Err(malformed()),
    }
}

/// figment's errors as sentences.
fn explained(error: figment::Error) -> ConfigError {
    let place = Place::of(&error);
    let key = error.path.join(".");
    match error.kind {
        Kind::UnknownField(name, known) => ConfigError::UnknownKey {
            key: full_name(error.path, name),
            place,
            known: known.join(", "),
        },
        kind if key.is_empty() => ConfigError::Syntax {
            place,
            reason: kind.to_string(),
        },
        kind => ConfigError::Value {
            key,
            place,
            reason: kind.to_string(),
        },
    }
}

/// The path of an unknown field ends with its name or with its parent's, depending on the provider.
fn full_name(mut path: Vec<String>, name: String) -> String {
    if path.last() != Some(&name) {
        path.push(name);
    }
    path.join(".")
}

impl Place {
    fn of(error: &figment::Error) -> Self {
        let Some(metadata) = &error.metadata else {
            return Self(None);
        };
        let file = metadata
            .source
            .as_ref()
            .and_then(|source| source.file_path());
        Self(match (file, &*metadata.name) {
            (Some(path), _) => Some(path.display().to_string()),
            (None, name) if name.contains(ENV_PREFIX) => {
                Some(format!("the {ENV_PREFIX}* variables of the environment"))
            }
            (None, _) => None,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
