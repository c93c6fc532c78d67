//! What a relay costs and carries: `cargo xtask bench relay`, or a part of it: `cargo xtask bench relay -- forward`;
//! with `-- --quick` a twentieth of it.
//!
//! ```text
//!   this process: load, clients, floors ── sockets on loopback ──▶ relay processes (release build)
//!                                                             └──▶ a process that echoes, for the floor
//! ```
//! Where a figure has a goal, its floor is measured in turns with it in the same run, so that a busy machine makes both
//! slow. Costs are CPU time as the kernel counts it for each process, and not the time that passes.

#[path = "relay/crowd.rs"]
mod crowd;
#[path = "relay/drain.rs"]
mod drain;
#[path = "relay/echo.rs"]
mod echo;
#[path = "relay/forward.rs"]
mod forward;
#[path = "relay/latency.rs"]
mod latency;
#[path = "relay/mail.rs"]
mod mail;
#[path = "relay/measure.rs"]
mod measure;
#[path = "relay/queue.rs"]
mod queue;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "relay/wire.rs"]
mod wire;

/// The argument by which this program is the process that echoes.
const ECHO: &str = "--echo";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if words.iter().any(|word| word == ECHO) {
        return runtime.block_on(echo::serve());
    }
    let wanted = |part: &str| {
        let mut named = words
            .iter()
            .filter(|word| !word.starts_with("--"))
            .peekable();
        named.peek().is_none() || named.any(|word| part.contains(word.as_str()))
    };
    runtime.block_on(async {
        if wanted("forward") {
            forward::measure().await;
        }
        if wanted("queue") {
            queue::measure();
        }
        if wanted("crowd") {
            crowd::measure().await;
        }
        if wanted("mail") {
            mail::measure().await;
        }
        if wanted("drain") {
            drain::measure().await;
        }
        if wanted("latency") {
            latency::measure().await;
        }
    });
}
