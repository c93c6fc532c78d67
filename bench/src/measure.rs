//! Rows: things that are measured, in turns.
//!
//! All rows take turns, so that a busy machine disturbs them alike. A row's figure is the median of its
//! samples; a ratio is the median of the ratios of samples taken in the same round.

use std::hint::black_box;

use crate::clock::now;

/// The most calls in one sample.
const MAX_CALLS: u32 = 512;

/// What a row does: makes that many calls and returns how long they took together, in microseconds.
type Run = Box<dyn FnMut(u32) -> f64>;

/// One thing that is measured.
pub(crate) struct Row {
    pub(crate) name: String,
    run: Run,
    calls: u32,
    samples: Vec<f64>,
}

impl Row {
    /// Times `work`. What `prepare` makes for it is not timed; what it returns is dropped in time.
    pub(crate) fn new<I, O>(
        name: impl Into<String>,
        mut prepare: impl FnMut() -> I + 'static,
        mut work: impl FnMut(I) -> O + 'static,
    ) -> Self {
        let run = move |calls| {
            let inputs: Vec<I> = (0..calls).map(|_| prepare()).collect();
            let start = now();
            for input in inputs {
                drop(black_box(work(black_box(input))));
            }
            now() - start
        };
        Self {
            name: name.into(),
            run: Box::new(run),
            calls: 1,
            samples: Vec::new(),
        }
    }

    /// Times `work` that needs nothing made for it.
    pub(crate) fn repeat<O>(
        name: impl Into<String>,
        mut work: impl FnMut() -> O + 'static,
    ) -> Self {
        Self::new(name, || (), move |()| work())
    }

    /// Warms up, and chooses how many calls take about `target` microseconds.
    fn calibrate(&mut self, target: f64) {
        for _ in 0..3 {
            let one = (self.run)(self.calls) / f64::from(self.calls);
            let wanted = (target / one.max(0.01)).ceil();
            self.calls = wanted.clamp(1.0, f64::from(MAX_CALLS)) as u32;
        }
    }

    fn sample(&mut self) {
        let took = (self.run)(self.calls);
        self.samples.push(took / f64::from(self.calls));
    }

    /// Median of the samples, in microseconds.
    pub(crate) fn median(&self) -> f64 {
        median(self.samples.clone())
    }

    /// Median of this row's samples over the other's of the same rounds.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

/// How long and how finely to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How long the rounds may take together, in seconds; at least one is made.
    pub seconds: f64,
    /// How long a sample should take, in microseconds: far above the clock's step.
    pub sample: f64,
}

/// Measures all rows, round by round.
pub(crate) fn measure(rows: &mut [Row], effort: Effort) {
    for row in rows.iter_mut() {
        row.calibrate(effort.sample);
    }
    let start = now();
    loop {
        rows.iter_mut().for_each(Row::sample);
        if now() - start > effort.seconds * 1e6 {
            return;
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[f64]) -> Row {
        let mut row = Row::repeat("row", || ());
        row.samples = samples.to_vec();
        row
    }

    #[test]
    fn a_ratio_is_of_samples_of_the_same_round() {
        let (ours, theirs) = (row(&[1.0, 20.0, 3.0]), row(&[2.0, 40.0, 6.0]));
        assert_eq!(ours.over(&theirs), 0.5);
        assert_eq!(ours.median(), 3.0);
    }

    #[test]
    fn preparing_is_outside_of_what_is_timed() {
        let mut made = 0;
        let mut row = Row::new(
            "row",
            move || {
                made += 1;
                made
            },
            |number| assert!(number > 0),
        );
        row.calibrate(10.0);
        row.sample();
        assert!(row.median() >= 0.0);
    }
}
