//! Where the daemons' programs are, and ports for them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Their folder, if somebody has built them.
const BIN_DIR: &str = "ZENTALK_BIN_DIR";

/// The folder with `zentalk-relay` and `zentalk-api`, which are built where nobody says where they are: a package's
/// tests get the programs of that package only.
///
/// # Panics
/// If they cannot be built.
pub fn program_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(BIN_DIR).map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let tests = std::env::current_exe().expect("a running program");
    let folder = tests.parent().and_then(Path::parent).expect("a folder");
    // With the features that the tests were built with: nothing but the programs is compiled.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace"]);
    build.args(["--bin", "zentalk-relay", "--bin", "zentalk-api"]);
    build.args(["--example", "interop_traffic"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().expect("cargo");
    assert!(built.success(), "the daemons are not built");
    folder.to_owned()
}

/// A port below those that the system gives to outgoing connections, so that none takes it while its relay is down.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let mut candidates = std::iter::from_fn(|| {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        u16::try_from(11_000 + offset).ok()
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(is_free).expect("a free port")
}
