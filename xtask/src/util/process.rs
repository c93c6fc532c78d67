//! Running programs: quietly inside a step, or with their output passed on and read along the way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::{Context, Result, bail};

use super::ui::Step;
use super::workspace;

/// How much of a failed program's output is shown.
const SHOWN_LINES: usize = 60;

/// A program to run, from the repository's root unless told otherwise.
#[derive(Debug)]
pub(crate) struct Cmd {
    command: Command,
    deadline: Option<Duration>,
}

impl Cmd {
    /// A program by name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        Self {
            command,
            deadline: None,
        }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo() -> Self {
        let mut cargo = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Set by the outer cargo for xtask's own build; they would leak into the inner one.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.command.env_remove(&name);
            }
        }
        cargo
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Ends the program, with an error, when it runs longer.
    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The command as a person would type it.
    pub(crate) fn shown(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        std::iter::once(name)
            .chain(self.command.get_args())
            .map(|word| {
                let word = word.to_string_lossy();
                if word.contains(char::is_whitespace) {
                    format!("'{word}'")
                } else {
                    word.into_owned()
                }
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs quietly and returns what it printed on stdout.
    pub(crate) fn capture(mut self) -> Result<String> {
        let shown = self.shown();
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run `{shown}`"))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{shown}` failed ({}): {}", output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs quietly and tells whether it succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Runs inside a step: its output is shown as progress, and its end only when it fails.
    pub(crate) fn run_in(self, step: &Step) -> Result<()> {
        let shown = self.shown();
        let progress = step.output();
        let mut last = VecDeque::with_capacity(SHOWN_LINES);
        let status = self.each_line(|line| {
            if last.len() == SHOWN_LINES {
                last.pop_front();
            }
            last.push_back(line.text.clone());
            if let Some(progress) = &progress {
                let _ = progress.send(line.text);
            }
        })?;
        if status.success() {
            return Ok(());
        }
        let output = Vec::from(last).join("\n");
        bail!("`{shown}` failed ({status}):\n{output}")
    }

    /// Runs with its output passed on, and lets `read` see every line.
    pub(crate) fn run_reading(self, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
        self.each_line(|line| {
            if line.is_stderr {
                eprintln!("{}", line.text);
            } else {
                println!("{}", line.text);
            }
            read(&line.text);
        })
    }

    /// Runs quietly beside something else, lets `read` see every line, and returns what it printed, whatever its end.
    pub(crate) fn run_collecting(self, mut read: impl FnMut(&str)) -> Result<(ExitStatus, String)> {
        let mut printed = String::new();
        let status = self.each_line(|line| {
            read(&line.text);
            printed.push_str(&line.text);
            printed.push('\n');
        })?;
        Ok((status, printed))
    }

    /// The same program, which lets all others go first.
    pub(crate) fn yielding(self) -> Self {
        let Self { command, deadline } = self;
        let mut nice = Command::new("nice");
        nice.args(["-n", "10"]).arg(command.get_program());
        nice.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => nice.env(name, value),
                None => nice.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            nice.current_dir(dir);
        }
        Self {
            command: nice,
            deadline,
        }
    }

    /// Runs with the terminal to itself.
    pub(crate) fn run_shown(mut self) -> Result<()> {
        let shown = self.shown();
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot run `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }

    /// The underlying command, for what is started and kept running.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Feeds both streams, line by line and in order of arrival, to one closure.
    fn each_line(mut self, mut each: impl FnMut(Line)) -> Result<ExitStatus> {
        let shown = self.shown();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{shown}`"))?;
        let started = Instant::now();
        let lines = stream_lines(&mut child);
        loop {
            match lines.recv_timeout(Duration::from_millis(500)) {
                Ok(line) => each(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if self.deadline.is_some_and(|most| started.elapsed() > most) {
                let _ = child.kill();
                let _ = child.wait();
                bail!("`{shown}` had not finished after {:?}", started.elapsed());
            }
        }
        child.wait().with_context(|| format!("lost `{shown}`"))
    }
}

/// One line that a program printed.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) is_stderr: bool,
}

/// Reads a child's two streams on threads; the channel closes when both have ended.
pub(crate) fn stream_lines(child: &mut Child) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, false, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, true, sender);
    }
    receiver
}

fn forward(stream: impl Read + Send + 'static, is_stderr: bool, to: mpsc::Sender<Line>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches(['\n', '\r']).to_owned();
            if to.send(Line { text, is_stderr }).is_err() {
                return;
            }
            bytes.clear();
        }
    });
}

/// Where a program lies, if the PATH has it.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// True when we may write everywhere.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Arguments of the hidden `bound` command.
#[derive(clap::Args)]
pub(crate) struct BoundArgs {
    /// The process whose end ends the program.
    #[arg(long)]
    parent: i32,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 1.., required = true)]
    command: Vec<OsString>,
}

/// Becomes another program, after asking the kernel for SIGTERM when our parent ends, however it
/// ends. (The usual way, `pre_exec`, is unsafe; a process may do it to itself.)
pub(crate) fn run_bound(args: &BoundArgs) -> Result<()> {
    use std::os::unix::process::CommandExt;

    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent != Some(args.parent) {
            bail!("the process that wanted this program has ended");
        }
    }
    let Some((program, rest)) = args.command.split_first() else {
        bail!("no program was named");
    };
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", program.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_and_reports_failures() {
        assert_eq!(Cmd::new("echo").arg("hi").capture().unwrap(), "hi");
        let error = Cmd::new("sh").args(["-c", "echo no >&2; exit 3"]).capture();
        assert!(error.unwrap_err().to_string().contains("no"));
        assert!(Cmd::new("/no/such/program").capture().is_err());
    }

    #[test]
    fn a_deadline_ends_a_program() {
        let error = Cmd::new("sleep")
            .arg("60")
            .deadline(Duration::from_millis(10))
            .run_in(&Step::start("sleeping"));
        assert!(error.unwrap_err().to_string().contains("had not finished"));
    }

    #[test]
    fn what_runs_beside_something_else_is_collected_and_yields() {
        let script = "nice; echo $WORD; exit 3";
        let cmd = Cmd::new("sh").args(["-c", script]).env("WORD", "hi");
        let mut lines = 0;
        let (status, printed) = cmd.yielding().run_collecting(|_| lines += 1).unwrap();
        assert_eq!((status.code(), lines), (Some(3), 2));
        let (nice, word) = printed.trim().split_once('\n').unwrap();
        assert!(nice.parse::<i32>().unwrap() >= 10 && word == "hi");
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let cmd = Cmd::new("/usr/bin/tool").args(["a", "b c"]);
        assert_eq!(cmd.shown(), "tool a 'b c'");
    }
}
