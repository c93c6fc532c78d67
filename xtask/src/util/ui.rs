//! What the person at the terminal sees: steps with elapsed time, notes, errors as sentences.
//!
//! Everything here goes to stderr; stdout is for what a command was asked to print.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anstream::{eprint, eprintln};
use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Prints a heading between parts of a long command.
pub(crate) fn heading(text: &str) {
    eprintln!("\n{BOLD}{text}{BOLD:#}");
}

/// Prints a remark that needs no action.
pub(crate) fn note(text: &str) {
    eprintln!("{DIM}· {text}{DIM:#}");
}

/// Prints something that the person should know.
pub(crate) fn warn(text: &str) {
    eprintln!("{YELLOW}! {text}{YELLOW:#}");
}

/// Prints that something is as it should be.
pub(crate) fn good(text: &str) {
    eprintln!("{GREEN}✓{GREEN:#} {text}");
}

/// Prints that something is not as it should be.
pub(crate) fn bad(text: &str) {
    eprintln!("{RED}✗{RED:#} {text}");
}

/// Prints why a command failed, the innermost cause last.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{RED}error:{RED:#} {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  {DIM}because:{DIM:#} {cause}");
    }
}

/// `1.2 s`, `47 s`, `3 min 05 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// A step under way: one line that shows elapsed time and the latest output while it runs, and how
/// long it took when it is done. Dropped unfinished, it counts as failed.
pub(crate) struct Step {
    title: String,
    started: Instant,
    ticker: Option<(Sender<String>, JoinHandle<()>)>,
}

impl Step {
    /// Starts a step; `title` says what is being done ("Building the wasm client").
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let (sender, receiver) = mpsc::channel::<String>();
        let shown = title.clone();
        let handle = thread::spawn(move || {
            if std::io::stderr().is_terminal() {
                tick_on_terminal(&shown, &receiver);
            } else {
                tick_in_log(&shown, &receiver);
            }
        });
        Self {
            title,
            started: Instant::now(),
            ticker: Some((sender, handle)),
        }
    }

    /// Where lines of output go that a watcher may like to see.
    pub(crate) fn output(&self) -> Option<Sender<String>> {
        self.ticker.as_ref().map(|(sender, _)| sender.clone())
    }

    /// Ends the step with a tick mark.
    pub(crate) fn done(self) {
        self.done_with("");
    }

    /// Ends the step with a tick mark and a remark.
    pub(crate) fn done_with(mut self, remark: &str) {
        self.stop_ticker();
        let time = elapsed(self.started.elapsed());
        let gap = if remark.is_empty() { "" } else { "  " };
        eprintln!(
            "{GREEN}✓{GREEN:#} {}{gap}{remark}  {DIM}{time}{DIM:#}",
            self.title
        );
    }

    fn stop_ticker(&mut self) {
        if let Some((sender, handle)) = self.ticker.take() {
            drop(sender);
            let _ = handle.join();
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.ticker.is_some() {
            self.stop_ticker();
            let time = elapsed(self.started.elapsed());
            eprintln!("{RED}✗{RED:#} {}  {DIM}{time}{DIM:#}", self.title);
        }
    }
}

/// Redraws one line four times a second.
fn tick_on_terminal(title: &str, lines: &mpsc::Receiver<String>) {
    const FRAMES: [&str; 4] = ["⠋", "⠙", "⠸", "⠴"];
    let started = Instant::now();
    let mut latest = String::new();
    for frame in FRAMES.iter().cycle() {
        let time = elapsed(started.elapsed());
        eprint!("\r\x1b[2K{frame} {title}  {DIM}{time}  {latest}{DIM:#}");
        let _ = std::io::stderr().flush();
        let until = Instant::now() + Duration::from_millis(250);
        loop {
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => latest = clipped(&line, 60),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    eprint!("\r\x1b[2K");
                    return;
                }
            }
        }
    }
}

/// Says every half minute that the step is still under way.
fn tick_in_log(title: &str, lines: &mpsc::Receiver<String>) {
    const PERIOD: Duration = Duration::from_secs(30);
    let started = Instant::now();
    let mut next = started + PERIOD;
    let mut latest = String::new();
    loop {
        match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(line) => latest = clipped(&line, 60),
            Err(RecvTimeoutError::Timeout) => {
                let time = elapsed(started.elapsed());
                eprintln!("… {title}  {time}  {latest}");
                next += PERIOD;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The first `width` characters of a line, without colours and outer blanks.
fn clipped(line: &str, width: usize) -> String {
    let plain = plain(line);
    let plain = plain.trim();
    if plain.chars().count() <= width {
        return plain.to_owned();
    }
    plain.chars().take(width - 1).chain(['…']).collect()
}

/// A line without its colours.
pub(crate) fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

/// A whole number with thousands marked: `1 234 567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_naturally() {
        assert_eq!(elapsed(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(47)), "47 s");
        assert_eq!(elapsed(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1234), "1 234");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }

    #[test]
    fn long_lines_are_clipped_and_lose_their_colours() {
        assert_eq!(clipped("\x1b[32m  ok \x1b[0m", 10), "ok");
        assert_eq!(clipped("abcdef", 4), "abc…");
    }
}
