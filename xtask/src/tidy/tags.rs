//! The tag table and its vectors.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Source, Tree};

const TABLE: &str = "shared/src/wire/tag.rs";
const VECTORS: &str = "shared/tests/vectors/frames.txt";

/// Every tag stands in the table once and has an annotated frame among the vectors.
pub(super) fn tags_have_vectors(tree: &Tree) -> Vec<Finding> {
    let Some(table) = tree.under(TABLE).next() else {
        return Vec::new();
    };
    let tags = tags(table);
    if tags.is_empty() {
        let message = "no tag was found; tidy looks for `Name = 0x0001`";
        return vec![Finding::new(TABLE, 1, message)];
    }
    let vectors = tree.texts.get(VECTORS).map_or("", String::as_str);
    let frames: BTreeMap<&str, &str> = vectors
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .collect();

    let mut findings = Vec::new();
    let mut seen = BTreeMap::new();
    for tag in &tags {
        if let Some(other) = seen.insert(tag.number, tag.name) {
            let message = format!("{} and {other} have one number", tag.name);
            findings.push(Finding::new(TABLE, tag.line, message));
        }
        let number = format!("| {:04x} |", tag.number);
        match frames.get(tag.name) {
            None => {
                let message = format!("{} has no frame in {VECTORS}", tag.name);
                findings.push(Finding::new(TABLE, tag.line, message));
            }
            Some(frame) if !frame.contains(&number) => {
                let message = format!("the frame of {} lacks `{number}`", tag.name);
                findings.push(Finding::new(VECTORS, 1, message));
            }
            Some(_) => {}
        }
    }
    findings
}

struct Tag<'a> {
    name: &'a str,
    number: u16,
    line: usize,
}

/// The table's rows: a name, `=`, a number in hex.
fn tags(table: &Source) -> Vec<Tag<'_>> {
    let code: Vec<_> = table.code().collect();
    code.windows(3)
        .filter(|w| w[1].text == "=")
        .filter_map(|w| {
            let number = w[2].text.strip_prefix("0x")?;
            Some(Tag {
                name: &w[0].text,
                number: u16::from_str_radix(number, 16).ok()?,
                line: w[0].line,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: &str =
        "# c: x\nPing: deadbeef | 0100 | 0007 | 0\nPong: deadbeef | 0100 | 0008 | 0";

    fn found(table: &str, vectors: &str) -> usize {
        tags_have_vectors(&Tree::of(&[(TABLE, table), (VECTORS, vectors)])).len()
    }

    #[test]
    fn tags_without_frames_are_found() {
        assert_eq!(
            found("tags! { Ping = 0x0007, 64; Pong = 0x0008, 64; }", FRAMES),
            0
        );
        assert_eq!(
            found("enum Tag { Ping = 0x0007, Pong = 0x0008 }", FRAMES),
            0
        );
        assert_eq!(
            found("tags! { Ping = 0x0007, 64; Typing = 0x0020, 64; }", FRAMES),
            1
        );
        assert_eq!(found("tags! { Ping = 0x0007, 64; }", ""), 1);
    }

    #[test]
    fn tags_that_share_a_number_are_found() {
        assert_eq!(
            found("tags! { Ping = 0x0007, 64; Pong = 0x0007, 64; }", FRAMES),
            2
        );
    }

    #[test]
    fn a_table_that_tidy_cannot_read_is_found() {
        assert_eq!(found("const PING: u16 = 7;", FRAMES), 1);
    }
}
