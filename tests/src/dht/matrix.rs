//! What is measured: sizes times conditions, and a line of CSV for each.

use std::fs;
use std::io;
use std::path::Path;

use zentalk_shared::time::Duration;

use super::world::{Plan, World};

/// The first line of the file.
pub const HEAD: &str =
    "relays,condition,lookups,success,hops_p50,hops_p99,asked_p50,asked_p99,ms_p50,ms_p99,frames";
/// Records that are published.
const RECORDS: usize = 1000;
/// Lookups of them.
const LOOKUPS: usize = 10_000;

/// What befalls a network.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// What it is called.
    pub name: &'static str,
    /// Share of frames that are lost.
    pub loss: f64,
    /// Whether relays come and go: a fifth of them in an hour.
    pub churn: bool,
    /// Share of liars.
    pub liars: f64,
    /// The share of lookups that has to succeed, where a goal says so.
    pub goal: Option<f64>,
}

/// Every condition. Wherever something else is looked at, 1 % of frames are lost.
pub const CONDITIONS: [Condition; 8] = [
    condition("steady", 0.0, false, 0.0, None),
    condition("loss 1 %", 0.01, false, 0.0, None),
    condition("loss 5 %", 0.05, false, 0.0, None),
    condition("churn 20 %/h", 0.01, true, 0.0, Some(0.999)),
    condition("liars 10 %", 0.01, false, 0.1, Some(0.99)),
    condition("liars 20 %", 0.01, false, 0.2, Some(0.99)),
    condition("liars 30 %", 0.01, false, 0.3, None),
    condition("churn and liars 20 %", 0.01, true, 0.2, None),
];

const fn condition(
    name: &'static str,
    loss: f64,
    churn: bool,
    liars: f64,
    goal: Option<f64>,
) -> Condition {
    Condition {
        name,
        loss,
        churn,
        liars,
        goal,
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Relays.
    pub relays: usize,
    /// The name of the [`Condition`].
    pub condition: String,
    /// Lookups whose relay has stayed until their end.
    pub lookups: usize,
    /// The share of them that found the record.
    pub success: f64,
    /// Median and 99th percentile of the hops of those.
    pub hops: [u64; 2],
    /// Of relays asked.
    pub asked: [u64; 2],
    /// Of milliseconds.
    pub ms: [u64; 2],
    /// Frames that have arrived, all in all.
    pub frames: u64,
}

/// Measures one row: records are published; with churn more than an hour passes, so that every bucket was refreshed, a
/// sixth of the holders have gone and the others have republished; then they are looked up, each several times, from
/// everywhere.
pub fn measure(relays: usize, condition: &Condition) -> (World, Row) {
    let mut world = World::new(Plan {
        relays,
        liars: condition.liars,
        churn: condition.churn,
        loss: condition.loss,
        seed: 1,
    });
    let (age, over) = match condition.churn {
        true => (Duration::from_mins(75), Duration::from_mins(15)),
        false => (Duration::from_secs(0), Duration::from_mins(1)),
    };
    world.pass(Duration::from_secs(30));
    world.publish(RECORDS);
    world.pass(age);
    let report = world.look_up(LOOKUPS, over);
    let row = Row {
        relays,
        condition: condition.name.into(),
        lookups: report.samples.len(),
        success: report.success(),
        hops: [report.hops(0.5), report.hops(0.99)],
        asked: [report.asked(0.5), report.asked(0.99)],
        ms: [report.ms(0.5), report.ms(0.99)],
        frames: world.frames,
    };
    (world, row)
}

impl Row {
    /// As a line of the file.
    pub fn to_csv(&self) -> String {
        let Self {
            relays,
            condition,
            lookups,
            success,
            hops,
            asked,
            ms,
            frames,
        } = self;
        let [hops, asked, ms] = [hops, asked, ms].map(|[p50, p99]| format!("{p50},{p99}"));
        format!("{relays},{condition},{lookups},{success:.5},{hops},{asked},{ms},{frames}")
    }

    /// From a line of the file.
    pub fn of_csv(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [relays, condition, lookups, success, numbers @ ..] = fields.as_slice() else {
            return None;
        };
        let numbers: Vec<u64> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
        let [h50, h99, a50, a99, m50, m99, frames] = *numbers.as_slice() else {
            return None;
        };
        Some(Self {
            relays: relays.parse().ok()?,
            condition: (*condition).into(),
            lookups: lookups.parse().ok()?,
            success: success.parse().ok()?,
            hops: [h50, h99],
            asked: [a50, a99],
            ms: [m50, m99],
            frames,
        })
    }

    fn rank(&self) -> (usize, Option<usize>) {
        let place = CONDITIONS.iter().position(|c| c.name == self.condition);
        (self.relays, place)
    }
}

/// The rows of a file; none if there is no such file.
pub fn read(path: &Path) -> io::Result<Vec<Row>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(Row::of_csv).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Puts rows into a file, in the place of those of the same size and condition. Gives all of them.
pub fn write(path: &Path, new: &[Row]) -> io::Result<Vec<Row>> {
    let mut rows = read(path)?;
    rows.retain(|row| !new.iter().any(|new| new.rank() == row.rank()));
    rows.extend_from_slice(new);
    rows.sort_by_key(Row::rank);
    let lines = rows.iter().map(|row| row.to_csv() + "\n");
    fs::write(path, format!("{HEAD}\n{}", lines.collect::<String>()))?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_line() {
        let row = Row {
            relays: 100,
            condition: "steady".into(),
            lookups: 7,
            success: 0.5,
            hops: [1, 2],
            asked: [3, 4],
            ms: [5, 6],
            frames: 9,
        };
        assert_eq!(row.to_csv(), "100,steady,7,0.50000,1,2,3,4,5,6,9");
        assert_eq!(Row::of_csv(&row.to_csv()), Some(row));
        assert_eq!(Row::of_csv(HEAD), None);
    }
}
