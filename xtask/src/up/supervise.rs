//! Child processes: started, watched, their logs shown with a prefix, and ended with us.
//!
//! Each child leads a process group of its own, so that Ctrl-C reaches only us and we end the groups
//! in order. Should we be killed, the kernel ends them (see `process::run_bound`).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::util::process::{self, Cmd, Line};
use crate::util::ui;
use crate::util::workspace;

/// How long a child may take until it serves; a relay makes its keys at its first start.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a child may take to end before it is killed.
const END_WITHIN: Duration = Duration::from_secs(8);

/// How many of its last lines are shown when a child fails.
const SHOWN_LINES: usize = 30;

/// Something that happened.
enum Event {
    /// A child printed a line.
    Line(usize, Line),
    /// Ctrl-C, or a request to end.
    End,
}

/// All children of this process.
pub(super) struct Supervisor {
    children: Vec<Supervised>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    logs: PathBuf,
    /// Lines go to the terminal, not only to the files.
    is_showing: bool,
}

struct Supervised {
    name: String,
    child: Child,
    log: File,
    last: VecDeque<String>,
    ended: Option<ExitStatus>,
}

impl Supervisor {
    /// A supervisor that keeps logs in `folder`, and from now on handles Ctrl-C.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let (sender, events) = mpsc::channel();
        let on_signal = sender.clone();
        ctrlc::set_handler(move || {
            let _ = on_signal.send(Event::End);
        })
        .context("cannot handle Ctrl-C")?;
        Ok(Self {
            children: Vec::new(),
            events,
            sender,
            logs,
            is_showing: false,
        })
    }

    /// Starts a child under a name that its log lines carry.
    pub(super) fn start(&mut self, name: &str, command: Cmd) -> Result<()> {
        let command = command.into_command();
        let mut bound = Cmd::new(std::env::current_exe()?)
            .arg("bound")
            .args(["--parent", &std::process::id().to_string(), "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .into_command();
        bound.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        if let Some(dir) = command.get_current_dir() {
            bound.current_dir(dir);
        }
        let mut child = bound
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let index = self.children.len();
        let lines = process::stream_lines(&mut child);
        let events = self.sender.clone();
        thread::spawn(move || {
            for line in lines {
                if events.send(Event::Line(index, line)).is_err() {
                    return;
                }
            }
        });
        let file = self.logs.join(format!("{name}.log"));
        let log = File::create(&file)
            .with_context(|| format!("cannot write {}", workspace::shown(&file)))?;
        self.children.push(Supervised {
            name: name.to_owned(),
            child,
            log,
            last: VecDeque::with_capacity(SHOWN_LINES),
            ended: None,
        });
        Ok(())
    }

    /// Waits until the child answers on its port that it is well.
    pub(super) fn wait_ready(&mut self, name: &str, port: u16) -> Result<()> {
        let url = format!("http://127.0.0.1:{port}/healthz");
        let started = Instant::now();
        while !is_healthy(&url) {
            self.pump(Duration::from_millis(50))?;
            self.reap();
            let Some(child) = self.children.iter().find(|child| child.name == name) else {
                bail!("{name} was never started");
            };
            if let Some(status) = child.ended {
                let last = Vec::from(child.last.clone()).join("\n");
                bail!("{name} ended before it was ready ({status}):\n{last}");
            }
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "{name} did not become ready within {} s; its log is {}",
                    READY_WITHIN.as_secs(),
                    workspace::shown(&self.logs.join(format!("{name}.log")))
                );
            }
        }
        Ok(())
    }

    /// Shows logs until Ctrl-C; then ends every child.
    pub(super) fn run(&mut self) -> Result<()> {
        self.is_showing = true;
        loop {
            if self.pump(Duration::from_millis(200)).is_err() {
                self.end_all();
                return Ok(());
            }
            for name in self.reap() {
                if name == "api" {
                    bail!("the API server ended, so there is nothing left to serve");
                }
            }
            if self.children.iter().all(|child| child.ended.is_some()) {
                bail!("every process has ended");
            }
        }
    }

    /// Runs a command to its end beside the children, with its output passed on.
    pub(super) fn run_beside(&mut self, name: &str, command: Cmd) -> Result<ExitStatus> {
        self.start(name, command)?;
        self.is_showing = true;
        loop {
            self.pump(Duration::from_millis(50))?;
            self.reap();
            let ended = self.children.iter().find(|child| child.name == name);
            if let Some(status) = ended.and_then(|child| child.ended) {
                while self.pump(Duration::from_millis(20))? {}
                return Ok(status);
            }
        }
    }

    /// Handles what happens within `time`; true if anything did. An error is a request to end.
    fn pump(&mut self, time: Duration) -> Result<bool> {
        let mut wait = time;
        let mut any = false;
        loop {
            match self.events.recv_timeout(wait) {
                Ok(Event::Line(index, line)) => self.take_line(index, &line),
                Ok(Event::End) => bail!("ended by request"),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(any),
            }
            any = true;
            wait = Duration::ZERO;
        }
    }

    fn take_line(&mut self, index: usize, line: &Line) {
        let width = self
            .children
            .iter()
            .map(|c| c.name.len())
            .max()
            .unwrap_or(0);
        let is_showing = self.is_showing;
        let Some(child) = self.children.get_mut(index) else {
            return;
        };
        // A log that cannot be written is no reason to stop what it is about.
        let _ = writeln!(child.log, "{}", ui::plain(&line.text));
        if child.last.len() == SHOWN_LINES {
            child.last.pop_front();
        }
        child.last.push_back(line.text.clone());
        if is_showing {
            let colour = colour(index);
            println!("{colour}{:width$} │{colour:#} {}", child.name, line.text);
        }
    }

    /// Notes which children have ended since the last call, says so, and returns their names.
    fn reap(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for child in self
            .children
            .iter_mut()
            .filter(|child| child.ended.is_none())
        {
            if let Ok(Some(status)) = child.child.try_wait() {
                child.ended = Some(status);
                if !status.success() && self.is_showing {
                    ui::warn(&format!("{} ended ({status})", child.name));
                }
                names.push(child.name.clone());
            }
        }
        names
    }

    /// Asks every group to end, waits, and kills what is left.
    fn end_all(&mut self) {
        if self.children.iter().all(|child| child.ended.is_some()) {
            return;
        }
        ui::note("ending every process");
        self.signal(Signal::TERM);
        let started = Instant::now();
        while self.children.iter().any(|child| child.ended.is_none()) {
            if started.elapsed() > END_WITHIN {
                self.signal(Signal::KILL);
                for child in &mut self.children {
                    child.ended = child.child.wait().ok().or(child.ended);
                }
                return;
            }
            // A second Ctrl-C while we wait: no more patience.
            if self.pump(Duration::from_millis(50)).is_err() {
                self.signal(Signal::KILL);
            }
            self.reap();
        }
        // What a child left behind in its group goes too.
        for child in &self.children {
            signal_group(&child.child, Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        for child in self.children.iter().filter(|child| child.ended.is_none()) {
            signal_group(&child.child, signal);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.is_showing = false;
        self.end_all();
    }
}

/// A group that is gone already is what we want.
fn signal_group(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

fn is_healthy(url: &str) -> bool {
    ureq::get(url)
        .config()
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .call()
        .is_ok()
}

fn colour(index: usize) -> Style {
    const COLOURS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::Green,
        AnsiColor::Yellow,
        AnsiColor::BrightBlue,
    ];
    COLOURS[index % COLOURS.len()].on_default()
}
