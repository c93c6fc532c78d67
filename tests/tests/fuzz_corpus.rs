//! Replays the fuzz corpus: inputs that fuzzing kept, each also cut short and with single bytes
//! changed. `cargo xtask fuzz` looks for new ones.

use std::fs;
use std::path::{Path, PathBuf};

use zentalk_fuzz::TARGETS;

/// Inputs longer than this are not cut at every length.
const CUT_EVERYWHERE: usize = 200;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    for target in TARGETS {
        assert!(
            !corpus(target.name).is_empty(),
            "{} has no inputs",
            target.name
        );
    }
    for folder in corpus("") {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(zentalk_fuzz::find(name).is_some(), "{name} is no target");
    }
}

/// What our own software writes is where fuzzing starts. `ZENTALK_WRITE_CORPUS=1` writes it.
#[test]
fn what_we_write_is_in_the_corpus() {
    for target in TARGETS {
        for (name, bytes) in zentalk_fuzz::honest::inputs(target.name) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../fuzz/corpus")
                .join(target.name)
                .join(name);
            if std::env::var_os("ZENTALK_WRITE_CORPUS").is_some() {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, &bytes).unwrap();
            }
            let found = fs::read(&file).unwrap_or_default();
            assert!(found == bytes, "{} is another", file.display());
        }
    }
}

#[test]
fn corpus_inputs_do_not_panic() {
    for target in TARGETS {
        for file in corpus(target.name) {
            println!("{}", file.display());
            (target.run)(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn inputs_cut_short_do_not_panic() {
    for target in TARGETS {
        for file in corpus(target.name) {
            let input = fs::read(&file).unwrap();
            println!("{}", file.display());
            for length in 0..input.len().min(CUT_EVERYWHERE) {
                (target.run)(&input[..length]);
            }
        }
    }
}

#[test]
fn inputs_with_a_changed_byte_do_not_panic() {
    for target in TARGETS {
        for file in corpus(target.name) {
            let input = fs::read(&file).unwrap();
            println!("{}", file.display());
            for at in 0..input.len().min(CUT_EVERYWHERE) {
                for value in [0, 0x7f, 0xff, input[at] ^ 1] {
                    let mut changed = input.clone();
                    changed[at] = value;
                    (target.run)(&changed);
                }
            }
        }
    }
}
