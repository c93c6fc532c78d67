//! `status`: asks the relay that runs on this data directory.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::daemon::{Status, control_socket};

const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 1 << 16;

/// No status.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Nobody answers.
    #[error("no relay runs on {0}")]
    NotRunning(PathBuf),
    /// Somebody else's relay.
    #[error("cannot ask the relay: {0}; run this as the user that the relay runs as, or as root")]
    Refused(io::Error),
    /// What comes back makes no sense.
    #[error("the relay's answer is not understood; is it another version than this program?")]
    Answer,
}

/// Asks the running relay how it is.
#[cfg(unix)]
pub fn status(data_dir: &Path) -> Result<Status, StatusError> {
    use std::io::{Read, Write as _};
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            StatusError::NotRunning(data_dir.to_owned())
        }
        _ => StatusError::Refused(error),
    };
    let socket = std::os::unix::net::UnixStream::connect(control_socket(data_dir));
    let mut socket = socket.map_err(failed)?;
    let timeouts = socket
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| socket.set_write_timeout(Some(PATIENCE)));
    timeouts.map_err(StatusError::Refused)?;
    socket
        .write_all(b"GET /status HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")
        .map_err(StatusError::Refused)?;
    let mut answer = Vec::new();
    let read = socket.take(MAX_ANSWER).read_to_end(&mut answer);
    read.map_err(StatusError::Refused)?;
    let text = String::from_utf8(answer).map_err(|_| StatusError::Answer)?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or(StatusError::Answer)?;
    serde_json::from_str(body).map_err(|_| StatusError::Answer)
}

/// There are no such sockets.
#[cfg(not(unix))]
pub fn status(data_dir: &Path) -> Result<Status, StatusError> {
    let _ = control_socket(data_dir);
    Err(StatusError::Refused(io::ErrorKind::Unsupported.into()))
}

/// For people.
pub fn describe(status: &Status) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let state = match status.ready {
        true => format!("serving for {}", span(status.uptime_seconds)),
        false => "starting or stopping".to_owned(),
    };
    let certificate = match status.certificate_until {
        None => "none of its own".to_owned(),
        Some(until) if until <= now => "has ended".to_owned(),
        Some(until) => format!("valid for {}", span(until - now)),
    };
    let free = status.disk_free_bytes.map_or(String::new(), |free| {
        format!(", {} free on its disk", size(free))
    });
    let rows = [
        ("node", status.node.clone()),
        ("url", status.url.clone()),
        ("version", status.version.clone()),
        ("state", state),
        (
            "connections",
            format!(
                "{} clients, {} relays, {} others",
                status.clients, status.relay_connections, status.other_connections
            ),
        ),
        (
            "network",
            format!(
                "{} relays linked, {} known",
                status.relays_linked, status.relays_known
            ),
        ),
        ("mailboxes", status.mailboxes.to_string()),
        ("dht", dht(status)),
        ("database", size(status.database_bytes) + &free),
        ("certificate", certificate),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<12} {value}");
    }
    for notice in &status.notices {
        let _ = writeln!(text, "! {notice}");
    }
    text
}

fn dht(status: &Status) -> String {
    match (status.dht_contacts, status.dht_records, status.dht_bytes) {
        (Some(contacts), Some(records), Some(bytes)) => {
            let bytes = size(bytes as u64);
            format!("{contacts} relays in the table, {records} records held ({bytes})")
        }
        _ => "no part in it until this relay reaches its own URL".to_owned(),
    }
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// In the unit that leaves one to four digits.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 10_240 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024, next);
    }
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(3_599), "59 min");
        assert_eq!(span(3_660), "1 h 1 min");
        assert_eq!(span(90_000), "1 d 1 h");
        assert_eq!(size(10_239), "10239 B");
        assert_eq!(size(10_240), "10 KiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }

    /// What a relay answers that says nothing of the DHT.
    const ANSWER: &str = r#"{"version":"1","node":"n","url":"u","ready":true,"uptime_seconds":1,"clients":2,
        "relay_connections":3,"other_connections":4,"relays_linked":5,"relays_known":6,"mailboxes":7,
        "database_bytes":8,"disk_free_bytes":null,"certificate_until":null,"notices":[]}"#;

    #[test]
    fn what_the_dht_holds_is_told_or_why_it_holds_nothing() {
        let mut status: Status = serde_json::from_str(ANSWER).unwrap();
        let said = describe(&status);
        let why = "dht          no part in it until this relay reaches its own URL";
        assert!(said.contains(why), "{said}");
        status.dht_contacts = Some(6);
        status.dht_records = Some(12_345);
        status.dht_bytes = Some(20 << 20);
        let said = describe(&status);
        let held = "dht          6 relays in the table, 12345 records held (20 MiB)";
        assert!(said.contains(held), "{said}");
    }

    #[test]
    fn where_nobody_listens_no_relay_runs() {
        let directory = tempfile::tempdir().unwrap();
        let error = status(directory.path()).unwrap_err();
        assert!(matches!(error, StatusError::NotRunning(_)), "{error}");
    }
}
