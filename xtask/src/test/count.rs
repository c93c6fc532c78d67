//! Reading how many tests a runner says it ran.

use std::fmt;

use crate::util::ui;

/// Tests that a runner reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// What one line of output reports, zero if it is no summary. Known are the summaries of
    /// libtest (also wasm-bindgen's runner), node's own test runner and vitest.
    pub(crate) fn of_line(line: &str) -> Self {
        let line = ui::plain(line);
        let line = line.trim();
        if let Some(summary) = line.strip_prefix("test result: ") {
            // The verdict stands first: `ok. 5 passed; 0 failed; 1 ignored; …`.
            let counts = summary.split_once(". ").map_or("", |(_, counts)| counts);
            return Self::of_words(counts.split(';'));
        }
        if let Some(summary) = line.strip_prefix("Tests ") {
            // `Tests  1 failed | 11 passed | 2 skipped (14)`.
            let counts = summary
                .rsplit_once('(')
                .map_or(summary, |(counts, _)| counts);
            return Self::of_words(counts.split('|'));
        }
        Self::of_node(line).unwrap_or_default()
    }

    /// `# pass 3`, `ℹ fail 0`: one number a line.
    fn of_node(line: &str) -> Option<Self> {
        let rest = line
            .strip_prefix("# ")
            .or_else(|| line.strip_prefix("ℹ "))?;
        let (word, number) = rest.split_once(' ')?;
        let number = number.parse().ok()?;
        let mut count = Self::default();
        match word {
            "pass" => count.passed = number,
            "fail" | "cancelled" => count.failed = number,
            "skipped" | "todo" => count.skipped = number,
            _ => return None,
        }
        Some(count)
    }

    /// `5 passed`, `0 failed`, `1 ignored` in any order.
    fn of_words<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut count = Self::default();
        for part in parts {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => count.passed += number,
                Some("failed") => count.failed += number,
                Some("ignored" | "skipped" | "todo") => count.skipped += number,
                _ => {}
            }
        }
        count
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &str) -> String {
        let mut total = Count::default();
        for line in lines.lines() {
            total.add(Count::of_line(line));
        }
        total.to_string()
    }

    #[test]
    fn libtest_is_read() {
        let line = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out";
        assert_eq!(shown(line), "5 passed, 0 failed, 1 skipped");
        let line = "test result: \x1b[31mFAILED\x1b[0m. 5 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(shown(line), "5 passed, 2 failed");
    }

    #[test]
    fn vitest_is_read() {
        assert_eq!(
            shown(" Test Files  1 passed (1)\n      Tests  12 passed (12)"),
            "12 passed, 0 failed"
        );
        let line = "\x1b[2m      Tests \x1b[22m 1 failed | 11 passed | 2 skipped (14)";
        assert_eq!(shown(line), "11 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn nodes_own_runner_is_read() {
        let tap = "# tests 5\n# suites 1\n# pass 3\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0";
        assert_eq!(shown(tap), "3 passed, 1 failed, 1 skipped");
        assert_eq!(
            shown(&tap.replace('#', "ℹ")),
            "3 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            shown("5 passed\nTests are good\n# pass the salt\n"),
            "0 passed, 0 failed"
        );
    }
}
