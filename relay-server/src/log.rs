//! Logs on standard error, for people or machines. What is logged never names a client, an address, a
//! mailbox or a connection tag.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Changes the level of the logger that runs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging. A level that is not one means `info`.
pub fn start(config: &LogConfig) {
    let (filter, handle) = reload::Layer::new(filter(&config.level));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    // A second start, in a test, keeps the first one's logger.
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Logs at another level from now on.
pub fn set_level(level: &str) {
    if let Some(handle) = FILTER.get() {
        // It fails when the logger is gone: nothing is logged then.
        let _ = handle.reload(filter(level));
    }
}

/// Libraries say errors only, at any level: what they say in detail names addresses and shows frames.
fn filter(level: &str) -> EnvFilter {
    let level = level.parse().unwrap_or(tracing::Level::INFO);
    EnvFilter::new(format!("error,zentalk_relay={level}"))
}
