//! Network namespaces of this process, with a TUN device in each, made with `ip`.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::Handle;
use tokio_tun::Tun;

/// Where `ip` keeps them.
const FOLDER: &str = "/run/netns";
/// Of their names; the process and a number follow.
const PREFIX: &str = "zentalk-test";
/// Every namespace has one device of its own, so all have the same name.
const DEVICE: &str = "tun0";

/// How TCP answers to losses. A namespace may have `reno`, which all kernels have, and what the machine has chosen, on which
/// nothing here should depend.
const CONGESTION: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
/// All addresses of all namespaces, which have no way to those of the Internet that have the same. To the protocol they
/// are of the open Internet: certificates are asked for, and a /24 counts as one party.
const EVERYBODY: &str = "20.0.0.0/8";

/// A network namespace, removed when dropped; what runs in it has to be ended before.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with nothing but its own loopback device. The first one of a process removes what killed
    /// processes have left.
    pub(crate) fn new() -> Self {
        // `ip` itself must not make its folder twice at the same time.
        static MADE: Mutex<u32> = Mutex::new(0);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if *made == 0 {
            remove_leftovers();
        }
        *made += 1;
        let name = format!("{PREFIX}-{}-{made}", std::process::id());
        ip(&["netns", "add", &name], "").expect("a namespace");
        Self { name }
    }

    /// What a program is started with to run here.
    pub(crate) fn launcher(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name]
            .map(str::to_owned)
            .into()
    }

    /// Its file, for [`enter`].
    pub(crate) fn file(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// Does something in it. Sockets and devices stay where they were made.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            enter(&self.file());
            what()
        };
        thread::scope(|scope| scope.spawn(inside).join().expect("no panic"))
    }

    /// Gives it addresses of [`EVERYBODY`], who is then reached through a device that `runtime` reads.
    pub(crate) fn connect(&self, addresses: &[Ipv4Addr], runtime: &Handle) -> Tun {
        let device = self.inside(|| {
            fs::write(CONGESTION, "reno").expect("a setting");
            let _runtime = runtime.enter();
            let device = Tun::builder().name(DEVICE).build().expect("/dev/net/tun");
            device.into_iter().next().expect("one queue")
        });
        let mut lines = format!(
            "link set lo up\nlink set {DEVICE} addrgenmode none\nlink set {DEVICE} mtu 1500 up\n"
        );
        for address in addresses {
            lines += &format!("address add {address}/32 dev {DEVICE} scope global\n");
        }
        lines += &format!("route add {EVERYBODY} dev {DEVICE} src {}\n", addresses[0]);
        ip(&["-n", &self.name, "-batch", "-"], &lines).expect("addresses");
        device
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left of it, the next run removes.
        drop(ip(&["netns", "delete", &self.name], ""));
    }
}

/// Moves this thread into a namespace for good.
pub(crate) fn enter(file: &Path) {
    use std::os::fd::AsFd;
    let file = fs::File::open(file).expect("a namespace");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("only root may enter a namespace");
}

/// What `ip` says when these lines are its input; or what it complains of.
fn ip(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut ip = Command::new("ip");
    ip.args(arguments).stdin(Stdio::piped());
    ip.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = ip.spawn().expect("iproute2");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have ended already: then its status says why.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("our own process");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("ip {arguments:?}: {}", text(&output.stderr))),
    }
}

/// Namespaces of processes of this test that are no more, with the relays in them.
fn remove_leftovers() {
    let Ok(files) = fs::read_dir(FOLDER) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_str().unwrap_or_default();
        let rest = name.strip_prefix(PREFIX).and_then(|r| r.strip_prefix('-'));
        let Some((pid, _)) = rest.and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        if Path::new("/proc").join(pid).exists() {
            continue;
        }
        // Another run may do the same at the moment, and relays may end by themselves.
        let relays = ip(&["netns", "pids", name], "").unwrap_or_default();
        for relay in relays.split_whitespace() {
            drop(Command::new("kill").args(["-KILL", relay]).status());
        }
        drop(ip(&["netns", "delete", name], ""));
    }
}
