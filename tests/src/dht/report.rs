//! What lookups came to, as numbers.

use core::fmt;

/// One lookup of a record that was published.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The right record was found.
    pub found: bool,
    /// Relays on the way to it.
    pub hops: u8,
    /// Relays asked.
    pub asked: usize,
    /// Virtual time.
    pub ms: u64,
}

impl Sample {
    /// A lookup that has not come to an end.
    pub const UNANSWERED: Self = Self {
        found: false,
        hops: 0,
        asked: 0,
        ms: 0,
    };
}

/// Many lookups.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each of them.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Share of lookups that found the record.
    pub fn success(&self) -> f64 {
        let found = self.samples.iter().filter(|sample| sample.found).count();
        found as f64 / self.samples.len().max(1) as f64
    }

    /// Quantile of hops over lookups that found it.
    pub fn hops(&self, quantile: f64) -> u64 {
        self.quantile(quantile, |sample| u64::from(sample.hops))
    }

    /// Quantile of relays asked.
    pub fn asked(&self, quantile: f64) -> u64 {
        self.quantile(quantile, |sample| sample.asked as u64)
    }

    /// Quantile of milliseconds.
    pub fn ms(&self, quantile: f64) -> u64 {
        self.quantile(quantile, |sample| sample.ms)
    }

    fn quantile(&self, quantile: f64, of: impl Fn(&Sample) -> u64) -> u64 {
        let found = self.samples.iter().filter(|sample| sample.found);
        let mut values: Vec<u64> = found.map(of).collect();
        values.sort_unstable();
        let at = (values.len().saturating_sub(1) as f64 * quantile).round() as usize;
        values.get(at).copied().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lookups, {:.2} % found, hops {}/{} (p50/p99), asked {}/{}, {}/{} ms",
            self.samples.len(),
            100.0 * self.success(),
            self.hops(0.5),
            self.hops(0.99),
            self.asked(0.5),
            self.asked(0.99),
            self.ms(0.5),
            self.ms(0.99),
        )
    }
}
