//! Logs on standard error, for people or machines. What is logged never names a client, an address, a
//! mailbox or a connection tag.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. A level that is not one means `info`. Libraries say errors only, at any level: what
/// they say in detail names addresses and shows frames.
pub fn start(config: &LogConfig) {
    let level = config.level.parse().unwrap_or(tracing::Level::INFO);
    let filter = EnvFilter::new(format!("error,zentalk_relay={level}"));
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    // A second start, in a test, keeps the first one's logger.
    let _ = match config.format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().with_target(false).try_init(),
    };
}
