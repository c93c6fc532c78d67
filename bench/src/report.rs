//! Figures, ratios and goals as tables; figures as text, to carry them out of a browser.

use crate::measure::Row;

/// A ratio that somebody cares for: ours, what it is over, the most that it should be.
struct Goal {
    ours: &'static str,
    theirs: &'static str,
    most: Option<f64>,
}

const fn goal(ours: &'static str, theirs: &'static str, most: f64) -> Goal {
    let most = Some(most);
    Goal { ours, theirs, most }
}

const fn beside(ours: &'static str, theirs: &'static str) -> Goal {
    let most = None;
    Goal { ours, theirs, most }
}

const GOALS: &[Goal] = &[
    beside("set-up, initiator", "vodozemac: set-up, initiator"),
    beside("set-up, responder", "vodozemac: set-up, responder"),
    goal(
        "encrypt 200 B in a chain",
        "vodozemac: encrypt 200 B in a chain",
        1.0,
    ),
    goal(
        "decrypt 200 B in a chain",
        "vodozemac: decrypt 200 B in a chain",
        1.0,
    ),
    goal(
        "encrypt 1024 B in a chain",
        "vodozemac: encrypt 1024 B in a chain",
        1.0,
    ),
    goal(
        "decrypt 1024 B in a chain",
        "vodozemac: decrypt 1024 B in a chain",
        1.0,
    ),
    beside("encrypt with a step", "vodozemac: encrypt with a step"),
    beside("decrypt with a step", "vodozemac: decrypt with a step"),
    goal("ping-pong", "vodozemac: ping-pong", 2.0),
    goal("peel, X25519, message", "sphinx-packet: peel, message", 0.5),
    goal("peel, X25519, bulk", "sphinx-packet: peel, bulk", 0.5),
    goal(
        "build 3 hops, X25519, message",
        "sphinx-packet: build 3 hops, message",
        0.5,
    ),
    goal(
        "build 3 hops, X25519, bulk",
        "sphinx-packet: build 3 hops, bulk",
        0.5,
    ),
    goal("peel, X25519, message", "floor of a hop, message", 1.4),
    goal("peel, X25519, bulk", "floor of a hop, bulk", 1.4),
    goal("peel, XWing, message", "floor of a hop, message", 3.0),
    beside("peel, Rsa4096, message", "floor of a hop, message"),
];

/// A row's name and its median in microseconds.
struct Figure {
    name: String,
    micros: f64,
}

/// A ratio and its name.
struct Ratio {
    name: String,
    value: f64,
    most: Option<f64>,
}

/// What a run found.
pub struct Outcome {
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
}

/// Text is not that of an outcome.
#[derive(Debug)]
pub struct ParseError(String);

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a figure: {}", self.0)
    }
}

impl std::error::Error for ParseError {}

impl Outcome {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let figure = |row: &Row| Figure {
            name: row.name.clone(),
            micros: row.median(),
        };
        let find = |name: &str| rows.iter().find(|row| row.name == name);
        let ratio = |goal: &Goal| {
            let (ours, theirs) = (find(goal.ours)?, find(goal.theirs)?);
            Some(Ratio {
                name: format!("{} / {}", goal.ours, short(goal.theirs)),
                value: ours.over(theirs),
                most: goal.most,
            })
        };
        Self {
            figures: rows.iter().map(figure).collect(),
            ratios: GOALS.iter().filter_map(ratio).collect(),
        }
    }

    /// One line for every figure and ratio: its kind, its value, its goal or `-`, its name.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for figure in &self.figures {
            text += &format!("figure\t{}\t-\t{}\n", figure.micros, figure.name);
        }
        for ratio in &self.ratios {
            let most = ratio.most.map_or("-".to_owned(), |most| most.to_string());
            text += &format!("ratio\t{}\t{most}\t{}\n", ratio.value, ratio.name);
        }
        text
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str) -> Result<Self, ParseError> {
        let (mut figures, mut ratios) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let wrong = || ParseError(line.to_owned());
            let mut fields = line.splitn(4, '\t');
            let mut field = || fields.next().ok_or_else(wrong);
            let (kind, value, most, name) = (field()?, field()?, field()?, field()?.to_owned());
            let value = value.parse().map_err(|_| wrong())?;
            match kind {
                "figure" => figures.push(Figure {
                    name,
                    micros: value,
                }),
                "ratio" => ratios.push(Ratio {
                    name,
                    value,
                    most: most.parse().ok(),
                }),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { figures, ratios })
    }
}

/// `vodozemac: ping-pong` → `vodozemac`; what has no colon stays.
fn short(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Prints the tables: what a run found natively, and beside it what one in a browser found.
pub fn print(native: &Outcome, browser: Option<&Outcome>) {
    println!(
        "{:<40} {:>10} {:>10} {:>8}",
        "µs, medians", "native", "Chromium", "ratio"
    );
    for figure in &native.figures {
        let there = browser.and_then(|outcome| {
            let same = |other: &&Figure| other.name == figure.name;
            outcome.figures.iter().find(same).map(|other| other.micros)
        });
        println!(
            "{:<40} {:>10.1} {:>10} {:>8}",
            figure.name,
            figure.micros,
            shown(there, 1),
            shown(there.map(|there| there / figure.micros), 2),
        );
    }
    println!(
        "\n{:<64} {:>8} {:>10} {:>6}",
        "ratios, medians of rounds", "native", "Chromium", "goal"
    );
    for ratio in &native.ratios {
        let there = browser.and_then(|outcome| {
            let same = |other: &&Ratio| other.name == ratio.name;
            outcome.ratios.iter().find(same).map(|other| other.value)
        });
        let missed = ratio.most.is_some_and(|most| ratio.value > most);
        println!(
            "{:<64} {:>8.2} {:>10} {:>6}{}",
            ratio.name,
            ratio.value,
            shown(there, 2),
            shown(ratio.most, 1),
            if missed { "  missed" } else { "" },
        );
    }
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_as_text() {
        let text = "figure\t1.5\t-\tpeel\nratio\t0.5\t0.6\tpeel / peer\nratio\t2\t-\tother\n";
        let outcome = Outcome::from_text(text).unwrap();
        assert_eq!(outcome.to_text(), text);
        assert!(Outcome::from_text("figure\tx\t-\tpeel").is_err());
        assert!(Outcome::from_text("peel").is_err());
    }
}
