//! The API server: serves the web app and the list of relays that a browser starts from.
//!
//! ```text
//!  browser ─▶ serve: connections, limits ─▶ headers, metrics ─┬─▶ assets: files of the built app
//!                                                             ├─▶ /bootstrap.json ◀─ bootstrap: visits relays
//!                                                             └─▶ /healthz, /metrics
//! ```
//!
//! It holds no account, no message and no key, and it writes no client address anywhere: not into logs,
//! not into metrics. What it serves is public; what a user does stays behind `#` in the browser.

pub mod app;
pub mod assets;
pub mod bootstrap;
pub mod config;
pub mod headers;
pub mod metrics;
pub mod serve;
