//! `crypto [--beside FILE] [--seconds N] [WORD…]`: measures the rows that contain a word and prints the
//! tables, beside the figures of a browser that FILE holds.

use std::process::ExitCode;

use zentalk_bench::{Effort, Outcome, bytes_on_the_wire, print, run};

/// How long a run takes when nothing else is said, in seconds.
const SECONDS: f64 = 30.0;
/// How long a sample takes, in microseconds.
const SAMPLE: f64 = 250.0;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut words, mut beside, mut seconds) = (Vec::new(), None, SECONDS);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--beside" => beside = arguments.next(),
            "--seconds" => {
                seconds = arguments
                    .next()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(SECONDS);
            }
            _ => words.push(argument),
        }
    }
    let browser = match beside.as_deref().map(read) {
        None => None,
        Some(Ok(outcome)) => Some(outcome),
        Some(Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let effort = Effort {
        seconds,
        sample: SAMPLE,
    };
    print(&run(effort, &words), browser.as_ref());
    println!("\nbytes on the wire for a text of 200 bytes");
    for line in bytes_on_the_wire() {
        println!("{line}");
    }
    ExitCode::SUCCESS
}

fn read(path: &str) -> Result<Outcome, Box<dyn std::error::Error>> {
    Ok(Outcome::from_text(&std::fs::read_to_string(path)?)?)
}
