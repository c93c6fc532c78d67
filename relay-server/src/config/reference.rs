//! Every key of the configuration, once: from here come the file that `init` writes, the table in
//! docs/OPERATORS.md, and what a reload may change.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::Config;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// With its section: `limits.connections`.
    pub name: &'static str,
    /// Whether SIGHUP changes it while the relay runs.
    pub reloads: bool,
    /// What it means, for a table and a comment.
    pub text: &'static str,
}

const fn fixed(name: &'static str, text: &'static str) -> Key {
    Key {
        name,
        reloads: false,
        text,
    }
}

const fn live(name: &'static str, text: &'static str) -> Key {
    Key {
        name,
        reloads: true,
        text,
    }
}

/// All keys, in the order of the file.
pub const KEYS: &[Key] = &[
    fixed(
        "listen",
        "Address and port to listen on. `[::]:443` takes IPv4 and IPv6 on most systems.",
    ),
    fixed(
        "url",
        "How clients and other relays reach it: `wss://NAME/v1`, or `wss://ADDRESS/v1` with a certificate for that address. Relays under one domain, or in one /24, are drawn together as often as one large relay.",
    ),
    fixed("data_dir", "Keys and mail. Made for its owner only."),
    live(
        "operator",
        "Who runs it, at most 64 bytes. Paths avoid two relays of one operator; one that names none counts as its network's.",
    ),
    live(
        "region",
        "Where it stands, at most 32 bytes, for example `eu-central`.",
    ),
    live(
        "peers",
        "URLs of relays to stay connected to; a new relay meets the others through them. Its own may be among them.",
    ),
    fixed(
        "features",
        "What it offers: `guard` accepts clients, `mailbox` holds mail, `directory` holds account records.",
    ),
    fixed(
        "onion_suites",
        "Key encapsulations that it peels: one to three of `x25519`, `xwing` and `rsa4096`. To peel a packet of the last takes some 280 times as long as one of the first.",
    ),
    fixed(
        "allow_private",
        "Development: `ws://`, loopback and private addresses are allowed.",
    ),
    live(
        "limits.connections",
        "Connections in all. Each is an open file.",
    ),
    live(
        "limits.connections_per_subnet",
        "Connections from one IPv4 /24 or IPv6 /48.",
    ),
    live("limits.client_frames_per_minute", "Frames from one client."),
    live("limits.mailboxes", "Mailboxes in all."),
    live(
        "limits.envelopes_per_mailbox",
        "Envelopes that wait in one mailbox.",
    ),
    live(
        "limits.bytes_per_mailbox",
        "Bytes that wait in one mailbox.",
    ),
    live(
        "limits.records",
        "Account records in all that clients have put here.",
    ),
    fixed(
        "limits.dht_records",
        "Records of accounts and relays held for the DHT; those nearest to this relay stay.",
    ),
    fixed("limits.dht_bytes", "Bytes of the records held for the DHT."),
    live(
        "limits.database_bytes",
        "What the database may grow to. 0: until 32 MiB are left on the disk. A tenth of it, at most 4 MiB, is kept for what makes room.",
    ),
    fixed(
        "strangers.effort",
        "Proof of work that a first message, an account record or a new mailbox takes while there is little to do, up to 4096: at 32 half a second in a browser. It doubles every five minutes under load. 0: none, for a network that strangers do not reach.",
    ),
    fixed(
        "strangers.per_minute",
        "First messages, account records and new mailboxes that are taken in a minute, from everybody together. From half of it on the work rises.",
    ),
    fixed(
        "log.format",
        "`text` for people, `json` for machines. Logs go to standard error.",
    ),
    live(
        "log.level",
        "`error`, `warn`, `info`, `debug` or `trace`. No level logs addresses or ids of clients.",
    ),
    fixed(
        "tls.mode",
        "`off`: a reverse proxy sees to TLS. `files`: a certificate from files. `acme`: one from Let's Encrypt, for a name or an IP address, asked for on `listen`, which must be reached as port 443.",
    ),
    live(
        "tls.certificate",
        "With `files`: PEM of the certificate, followed by those that lead to its authority. Read again on SIGHUP, and when it changes.",
    ),
    live("tls.key", "With `files`: PEM of its key."),
    fixed(
        "tls.acme_contact",
        "With `acme`: a mail address that the authority may write to.",
    ),
    fixed(
        "tls.acme_staging",
        "With `acme`: take a test certificate that nobody trusts, to try the setup without using up the authority's limits.",
    ),
    fixed(
        "tls.acme_directory",
        "With `acme`: URL of another authority's directory. Empty: Let's Encrypt.",
    ),
    fixed(
        "tls.acme_root",
        "With `acme`: PEM of the root certificate of a private authority.",
    ),
    fixed(
        "tls.roots",
        "PEM of root certificates that count beside the web's when this relay connects to others: for a network with an authority of its own, whose clients have to trust it, too.",
    ),
    live(
        "proxy.trusted",
        "Addresses and networks of reverse proxies, as `127.0.0.1` or `10.0.0.0/8`. What they say about a client's address is believed, nobody else's word is.",
    ),
    live(
        "proxy.protocol",
        "How they say it: `x-forwarded-for` or `proxy-protocol` (version 1 or 2).",
    ),
    fixed(
        "metrics.listen",
        "A loopback or private address that serves `/metrics` and `/healthz` without TLS, for a collector. Without it, `/metrics` is served to this machine at `listen`.",
    ),
];

/// A configuration's values by key, as JSON.
pub fn values(config: &Config) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    // Paths that are not Unicode cannot be written in TOML either.
    let Ok(Value::Object(top)) = serde_json::to_value(config) else {
        return all;
    };
    for (name, value) in top {
        match value {
            Value::Object(section) => all.extend(
                section
                    .into_iter()
                    .map(|(key, value)| (format!("{name}.{key}"), value)),
            ),
            value => drop(all.insert(name, value)),
        }
    }
    all
}

/// Keys whose values differ.
pub fn changed(old: &Config, new: &Config) -> Vec<&'static Key> {
    let (old, new) = (values(old), values(new));
    let differs = |key: &&Key| old.get(key.name) != new.get(key.name);
    KEYS.iter().filter(differs).collect()
}

/// The file that `init` writes: what `config` says, and every other key as a comment with its default.
pub fn file(config: &Config) -> String {
    let (chosen, defaults) = (values(config), values(&default_of(config)));
    let mut text = String::from(
        "# A ZenTalk relay. Keys that are commented out have their default.\n\
         # After a change: `zentalk-relay check`, then SIGHUP (systemctl reload) for keys marked [reload],\n\
         # a restart for the others. docs/OPERATORS.md explains more.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (its, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if its != section {
            section = its;
            // Writing to a string does not fail.
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push('\n');
        comment(&mut text, key);
        let value = chosen.get(key.name);
        let is_set = REQUIRED.contains(&key.name) || value != defaults.get(key.name);
        let hash = if is_set { "" } else { "#" };
        let _ = writeln!(text, "{hash}{name} = {}", toml(value));
    }
    text
}

/// Keys without a default.
const REQUIRED: [&str; 3] = ["listen", "url", "data_dir"];

fn default_of(config: &Config) -> Config {
    Config::new(config.listen, config.url.clone(), config.data_dir.clone())
}

/// Wraps the text of a key at 100 characters.
fn comment(text: &mut String, key: &Key) {
    let mark = if key.reloads { " [reload]" } else { "" };
    let mut line = String::from("#");
    for word in key.text.split(' ').chain(mark.split_whitespace()) {
        if line.len() + word.len() > 100 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A value as TOML writes it. JSON's strings, numbers, booleans and lists are TOML's, too.
fn toml(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "\"\"".to_owned(),
        Some(Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(Value::to_string).collect();
            format!("[{}]", items.join(", "))
        }
        Some(value) => value.to_string(),
    }
}

/// The table of docs/OPERATORS.md.
pub fn table(config: &Config) -> String {
    let defaults = values(&default_of(config));
    let mut text = String::from("| key | default | reload | |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = match REQUIRED.contains(&key.name) {
            true => "required".to_owned(),
            false => format!("`{}`", toml(defaults.get(key.name))),
        };
        let reload = if key.reloads { "yes" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {default} | {reload} | {} |",
            key.name, key.text
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, LogFormat, ProxyProtocol, TlsConfig, TlsMode};

    fn minimal() -> Config {
        let listen = "0.0.0.0:443".parse().unwrap();
        let url = "wss://relay.example.org/v1".to_owned();
        Config::new(listen, url, "/var/lib/zentalk-relay".into())
    }

    fn load(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), &Flags::default()).unwrap()
    }

    #[test]
    fn every_key_of_the_code_is_in_the_reference_and_no_other() {
        let mut named: Vec<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        named.sort();
        assert_eq!(named, values(&minimal()).into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_file_says_what_was_chosen_and_every_default_as_it_is() {
        let mut config = minimal();
        config.operator = "Zoë's \"relays\"".to_owned();
        config.peers = vec!["wss://a.example.org/v1".to_owned()];
        config.tls.mode = TlsMode::Acme;
        let text = file(&config);
        assert_eq!(load(&text), config);
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(load(&uncommented), config, "{uncommented}");
    }

    #[test]
    fn the_operators_table_is_this_one() {
        let document = include_str!("../../../docs/OPERATORS.md");
        let table = table(&minimal());
        assert!(
            document.contains(&table),
            "docs/OPERATORS.md needs:\n{table}"
        );
    }

    #[test]
    fn a_reload_takes_over_the_keys_that_say_so_and_no_other() {
        let (old, mut new) = (minimal(), minimal());
        new.listen = "127.0.0.1:1".parse().unwrap();
        new.url.push('x');
        new.data_dir.push("x");
        (new.operator, new.region) = ("o".to_owned(), "r".to_owned());
        new.peers.push("p".to_owned());
        new.features.clear();
        new.onion_suites.clear();
        new.allow_private = true;
        let all = &mut new.limits;
        (all.connections, all.connections_per_subnet) = (1, 1);
        (all.client_frames_per_minute, all.mailboxes) = (1, 1);
        (all.envelopes_per_mailbox, all.bytes_per_mailbox) = (1, 1);
        (all.records, all.database_bytes) = (1, 1);
        (all.dht_records, all.dht_bytes) = (1, 1);
        (new.strangers.effort, new.strangers.per_minute) = (1, 1);
        (new.log.format, new.log.level) = (LogFormat::Json, "warn".to_owned());
        new.tls = TlsConfig {
            mode: TlsMode::Acme,
            certificate: "c".into(),
            key: "k".into(),
            acme_contact: "a".to_owned(),
            acme_staging: true,
            acme_directory: "d".to_owned(),
            acme_root: "r".into(),
            roots: "r".into(),
        };
        new.proxy.trusted.push("127.0.0.1".parse().unwrap());
        new.proxy.protocol = ProxyProtocol::ProxyProtocol;
        new.metrics.listen = Some("127.0.0.1:9464".parse().unwrap());
        assert_eq!(changed(&old, &new).len(), KEYS.len(), "all of them");
        for key in changed(&old, &old.reloaded(&new)) {
            assert!(key.reloads, "{}", key.name);
        }
        for key in changed(&old.reloaded(&new), &new) {
            assert!(!key.reloads, "{}", key.name);
        }
    }

    #[test]
    fn a_change_is_found_by_its_key() {
        let mut new = minimal();
        new.limits.records = 1;
        new.metrics.listen = Some("127.0.0.1:9464".parse().unwrap());
        let changed: Vec<_> = changed(&minimal(), &new)
            .iter()
            .map(|key| (key.name, key.reloads))
            .collect();
        assert_eq!(
            changed,
            [("limits.records", true), ("metrics.listen", false)]
        );
    }
}
