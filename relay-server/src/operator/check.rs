//! `check`: what would keep this relay from running well, in sentences that say what to do.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::probe::{ProbeError, probe};
use super::status::{size, status};
use crate::config::{Config, TlsMode};
use crate::daemon::certificate::Loaded;
use crate::daemon::{Status, configured_tls};
use crate::store::{self, Damage};
use crate::{files, identity, open_files};

/// The clock is wrong before this: 2026.
const BUILT_AFTER: Duration = Duration::from_secs(1_767_225_600);
/// Clocks that differ by more are complained about, and by more than the second are no use.
const SKEW_NOTED: Duration = Duration::from_secs(60);
const SKEW_WRONG: Duration = Duration::from_secs(3600);
/// Relays that are asked for the time.
const CLOCKS: usize = 3;
/// A disk with less is nearly full.
const LITTLE_ROOM: u64 = 1 << 30;
/// Certificates from files want renewal when less is left.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, and wants a look.
    Note,
    /// Does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was looked at.
    pub about: &'static str,
    /// A sentence.
    pub says: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Good => "ok   ",
            Verdict::Note => "note ",
            Verdict::Wrong => "WRONG",
        };
        write!(f, "{mark} {:<12} {}", self.about, self.says)
    }
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, about: &'static str, says: impl Into<String>) {
        self.0.push(Finding {
            verdict,
            about,
            says: says.into(),
        });
    }
}

/// Looks at everything that can be looked at from this machine. Changes nothing.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut found = Findings::default();
    match config.core() {
        Ok(_) => found.add(Verdict::Good, "config", "every key has a usable value"),
        Err(error) => found.add(Verdict::Wrong, "config", error.to_string()),
    }
    let running = status(&config.data_dir).ok();
    data_dir(config, &mut found);
    keys(config, &mut found);
    database(config, &mut found);
    certificate(config, &mut found);
    files_open(config, &mut found);
    listener(config, running.as_ref(), &mut found).await;
    network(config, running.as_ref(), &mut found).await;
    found.0
}

fn data_dir(config: &Config, found: &mut Findings) {
    const ABOUT: &str = "data_dir";
    let path = &config.data_dir;
    let shown = path.display();
    if !path.exists() {
        let says = format!("{shown} is not there yet; `run` or `init` makes it");
        return found.add(Verdict::Note, ABOUT, says);
    }
    if let Err(error) = files::private_directory(path).and_then(|()| files::is_writable(path)) {
        let says = format!("{shown} cannot be used: {error}");
        return found.add(Verdict::Wrong, ABOUT, says);
    }
    match files::free_bytes(path) {
        Some(free) if free < LITTLE_ROOM => {
            let says = format!("{shown}: only {} are free on its disk", size(free));
            found.add(Verdict::Note, ABOUT, says);
        }
        Some(free) => found.add(
            Verdict::Good,
            ABOUT,
            format!("{shown} is private; {} are free on its disk", size(free)),
        ),
        None => found.add(Verdict::Good, ABOUT, format!("{shown} is private")),
    }
}

fn keys(config: &Config, found: &mut Findings) {
    const ABOUT: &str = "identity";
    match identity::load(&config.data_dir) {
        Ok(Some(signer)) => found.add(Verdict::Good, ABOUT, format!("node {}", signer.node())),
        Ok(None) => found.add(
            Verdict::Note,
            ABOUT,
            "no keys yet; `run` or `init` makes them",
        ),
        Err(error) => found.add(Verdict::Wrong, ABOUT, error.to_string()),
    }
}

fn database(config: &Config, found: &mut Findings) {
    const ABOUT: &str = "database";
    if store::size(&config.data_dir) == 0 {
        return found.add(Verdict::Note, ABOUT, "none yet; `run` makes it");
    }
    match store::examine(&config.data_dir) {
        Ok(None) => {
            let bytes = size(store::size(&config.data_dir));
            found.add(Verdict::Good, ABOUT, format!("sound, {bytes}"));
        }
        Ok(Some(damage)) => found.add(Verdict::Wrong, ABOUT, what_follows(&damage)),
        Err(error) => found.add(Verdict::Wrong, ABOUT, format!("cannot be read: {error}")),
    }
}

fn what_follows(damage: &Damage) -> String {
    format!(
        "{damage}; `run` would set it aside and start with an empty one. To keep what a backup holds, stop the \
         relay and use `zentalk-relay restore FILE --replace`"
    )
}

fn certificate(config: &Config, found: &mut Findings) {
    const ABOUT: &str = "certificate";
    let tls = &config.tls;
    match tls.mode {
        TlsMode::Off if config.url.starts_with("wss://") => {
            let says = match config.proxy.trusted.is_empty() {
                true => "a reverse proxy sees to TLS, but `proxy.trusted` does not name it: all clients count as \
                         coming from the proxy, and share one network's limits unless it is on this machine",
                false => "a reverse proxy sees to TLS",
            };
            let verdict = match config.proxy.trusted.is_empty() {
                true => Verdict::Note,
                false => Verdict::Good,
            };
            found.add(verdict, ABOUT, says);
        }
        TlsMode::Off => found.add(Verdict::Note, ABOUT, "no TLS: for development only"),
        TlsMode::Acme if tls.acme_staging => found.add(
            Verdict::Note,
            ABOUT,
            "a staging certificate, which nobody trusts; set `tls.acme_staging = false` when it arrives",
        ),
        TlsMode::Acme if config.port() != 443 && tls.acme_directory.is_empty() => found.add(
            Verdict::Wrong,
            ABOUT,
            "Let's Encrypt asks on port 443: `url` must use that port",
        ),
        TlsMode::Acme => found.add(Verdict::Good, ABOUT, "from an authority, when the relay runs"),
        TlsMode::Files => files_of(config, found),
    }
}

fn files_of(config: &Config, found: &mut Findings) {
    const ABOUT: &str = "certificate";
    let loaded = match Loaded::read(&config.tls.certificate, &config.tls.key) {
        Ok(loaded) => loaded,
        Err(error) => return found.add(Verdict::Wrong, ABOUT, error.to_string()),
    };
    let now = unix_now();
    let (from, until) = (
        Duration::from_millis(loaded.from.as_ms()),
        Duration::from_millis(loaded.until.as_ms()),
    );
    let days = until.saturating_sub(now).as_secs() / 86_400;
    let host = config.host();
    if !loaded.is_for(host) {
        let says = format!("it is not for {host}, which `url` names: nobody will connect");
        found.add(Verdict::Wrong, ABOUT, says);
    } else if until <= now {
        found.add(Verdict::Wrong, ABOUT, "it has ended; renew it");
    } else if from > now {
        found.add(
            Verdict::Wrong,
            ABOUT,
            "it is not valid yet; is the clock right?",
        );
    } else if until <= now + SOON {
        found.add(
            Verdict::Note,
            ABOUT,
            format!("ends in {days} days; renew it"),
        );
    } else {
        found.add(
            Verdict::Good,
            ABOUT,
            format!("for {host}, valid for {days} days"),
        );
    }
}

fn files_open(config: &Config, found: &mut Findings) {
    let (allowed, wanted) = open_files::allowed(config.limits.connections);
    match allowed < wanted {
        true => found.add(
            Verdict::Note,
            "open files",
            format!(
                "{allowed} are allowed here, and `limits.connections` wants {wanted}; raise LimitNOFILE (systemd) \
                 or `ulimit -n`, or lower the limit"
            ),
        ),
        false => found.add(Verdict::Good, "open files", format!("{allowed} are allowed")),
    }
}

async fn listener(config: &Config, running: Option<&Status>, found: &mut Findings) {
    const ABOUT: &str = "listen";
    let address = config.listen;
    match (running, tokio::net::TcpListener::bind(address).await) {
        (Some(_), _) => found.add(Verdict::Good, ABOUT, "the relay is running"),
        (None, Ok(_)) => found.add(Verdict::Good, ABOUT, format!("{address} is free")),
        (None, Err(error)) => found.add(
            Verdict::Wrong,
            ABOUT,
            format!("cannot listen on {address}: {error}"),
        ),
    }
}

/// Whether others can reach it, and whether its clock agrees with theirs.
async fn network(config: &Config, running: Option<&Status>, found: &mut Findings) {
    let tls = match configured_tls(&config.tls) {
        Ok(tls) => tls,
        Err(error) => return found.add(Verdict::Wrong, "tls.roots", error.to_string()),
    };
    reachability(config, running, &tls, found).await;
    let others = config.peers.iter().filter(|peer| **peer != config.url);
    let mut offsets = Vec::new();
    for peer in others.take(CLOCKS) {
        match probe(peer, &tls).await {
            Ok(theirs) => offsets.extend(theirs.map(offset)),
            Err(error) => {
                let says = format!("{peer}: {error}");
                found.add(Verdict::Note, "peers", says);
            }
        }
    }
    clock(offsets, found);
}

async fn reachability(
    config: &Config,
    running: Option<&Status>,
    tls: &Arc<rustls::ClientConfig>,
    found: &mut Findings,
) {
    const ABOUT: &str = "url";
    let url = &config.url;
    match (probe(url, tls).await, running) {
        (Ok(_), _) => found.add(
            Verdict::Good,
            ABOUT,
            format!("{url} answers from this machine; try it from another network, too"),
        ),
        (Err(error @ ProbeError::Name(..)), _) => {
            let says = format!("{url}: {error}; make a DNS record, or correct `url`");
            found.add(Verdict::Wrong, ABOUT, says);
        }
        (Err(error), None) => found.add(
            Verdict::Note,
            ABOUT,
            format!("{url}: {error}; the relay is not running: start it, and check again"),
        ),
        (Err(error), Some(_)) => found.add(
            Verdict::Wrong,
            ABOUT,
            format!(
                "{url}: {error}; look at the firewall, at port forwarding and at the proxy. Some routers do not \
                 let a machine reach itself by its public address: then try from another network"
            ),
        ),
    }
}

fn clock(mut offsets: Vec<Duration>, found: &mut Findings) {
    const ABOUT: &str = "clock";
    offsets.sort_unstable();
    let typical = offsets.get(offsets.len() / 2).copied();
    match typical {
        _ if unix_now() < BUILT_AFTER => {
            found.add(
                Verdict::Wrong,
                ABOUT,
                "it is far behind; set it, and use NTP",
            );
        }
        Some(off) if off > SKEW_WRONG => {
            let says = format!(
                "it differs from other relays by {} min; use NTP",
                off.as_secs() / 60
            );
            found.add(Verdict::Wrong, ABOUT, says);
        }
        Some(off) if off > SKEW_NOTED => {
            let says = format!(
                "it differs from other relays by {} s; use NTP",
                off.as_secs()
            );
            found.add(Verdict::Note, ABOUT, says);
        }
        Some(_) => found.add(Verdict::Good, ABOUT, "agrees with other relays"),
        None => found.add(
            Verdict::Good,
            ABOUT,
            "plausible; no other relay was there to compare it with",
        ),
    }
}

fn unix_now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// How far a clock is from ours, in either direction.
fn offset(theirs: SystemTime) -> Duration {
    let now = SystemTime::now();
    match now.duration_since(theirs) {
        Ok(behind) => behind,
        Err(ahead) => ahead.duration(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock_says(offsets: &[u64]) -> (Verdict, String) {
        let mut found = Findings::default();
        clock(
            offsets.iter().copied().map(Duration::from_secs).collect(),
            &mut found,
        );
        let finding = found.0.remove(0);
        (finding.verdict, finding.says)
    }

    #[test]
    fn one_wrong_clock_among_three_is_theirs() {
        assert_eq!(clock_says(&[]).0, Verdict::Good);
        assert_eq!(clock_says(&[1, 2, 9000]).0, Verdict::Good);
        assert_eq!(clock_says(&[1, 90, 9000]).0, Verdict::Note);
        let (verdict, says) = clock_says(&[1, 7200, 7200]);
        assert!(
            verdict == Verdict::Wrong && says.contains("120 min"),
            "{says}"
        );
    }
}
