//! Makes what docs/interop checks against PROTOCOL.md, in a folder: traffic of the real engine and the real relay core
//! (`traffic.txt`), and onions of all suites with what the real code makes of them (`onions.txt`).
//!
//! `cargo run -p zentalk-tests --example interop_traffic -- FOLDER [SEED]`. Without a seed the operating system draws
//! one, and it is printed: no two runs are alike, and each can be had again.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use getrandom::SysRng;
use rand_core::TryRng;
use zentalk_shared::onion::Suite;
use zentalk_shared::time::Duration;
use zentalk_tests::fresh;
use zentalk_tests::sim::{Plan, World};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let seed = match arguments.next() {
        Some(seed) => seed.parse()?,
        None => SysRng.try_next_u64()?,
    };
    println!("interop_traffic: seed {seed}");
    fs::write(folder.join("onions.txt"), fresh::onions(seed))?;
    let (report, recording) = World::new(plan(seed)).run_recorded();
    fs::write(folder.join("traffic.txt"), recording.text())?;
    println!(
        "interop_traffic: {} texts, {} packets lost, {} s of virtual time",
        report.messages,
        report.lost,
        report.took.as_ms() / 1000,
    );
    match report.violations.is_empty() {
        true => Ok(()),
        false => Err(format!("the run itself failed: {:?}", report.violations).into()),
    }
}

/// Four people who talk across six relays, on wires that lose and reorder packets. By the seed they want X25519 or
/// X-Wing, and have X-Wing everywhere or at some relays only.
fn plan(seed: u64) -> Plan {
    let (suite, classical_relays) = match seed % 3 {
        0 => (Suite::X25519, 0),
        1 => (Suite::XWing, 0),
        _ => (Suite::XWing, 2),
    };
    Plan {
        suite,
        classical_relays,
        seed,
        relays: 6,
        clients: 4,
        messages: 30,
        crashes_after_commit: 0,
        crashes_before_commit: 0,
        relay_crashes: 0,
        lost_sessions: 0,
        cuts: 0,
        loss: 8,
        trouble: Duration::from_mins(2),
        ..Plan::standard(seed)
    }
}
