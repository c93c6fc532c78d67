//! CPU times, medians, and what a relay counts.

use std::fs;
use std::time::Duration;

use crate::support::Process;

/// The argument for a run that only shows whether everything works: a twentieth of everything.
const QUICK: &str = "--quick";
const LESS: usize = 20;

/// How much of something is measured with.
pub(crate) fn scaled(count: usize) -> usize {
    match std::env::args().any(|word| word == QUICK) {
        true => count.div_ceil(LESS),
        false => count,
    }
}

/// CPU time that a process has used, in user and kernel, by all of its threads that still run.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Linux");
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The same of all of them together.
pub(crate) fn cpu_of_all(relays: &[Process]) -> Duration {
    relays.iter().map(|relay| cpu_of(relay.pid())).sum()
}

/// CPU time of this thread.
pub(crate) fn cpu_here() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds"))
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value in ms below which so many percent lie; the values are sorted.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted
        .get(at)
        .map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}

/// A counter or gauge of a relay; zero before it was first counted.
pub(crate) async fn metric(relay: &Process, name: &str) -> u64 {
    let (_, text) = relay.get("/metrics", "").await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(crate) const FORWARDED: &str = "zentalk_packets_total{fate=\"forwarded\"}";
/// Frames that a socket did not take in time.
pub(crate) const LOST: &str = "zentalk_slow_sockets_total";

/// p50 and p99 for people.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    format!(
        "p50 {:.1} ms, p99 {:.1} ms",
        percentile(times, 50),
        percentile(times, 99)
    )
}

/// Microseconds each.
pub(crate) fn micros_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}
