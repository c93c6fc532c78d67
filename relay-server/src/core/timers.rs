//! Moments at which something is to be done, earliest first.

use std::collections::BTreeMap;

use zentalk_shared::time::Timestamp;

/// Values by due time; equal times come out in the order in which they went in.
#[derive(Debug)]
pub(super) struct Timers<T> {
    due: BTreeMap<(Timestamp, u64), T>,
    next: u64,
}

impl<T> Timers<T> {
    pub(super) const fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            next: 0,
        }
    }

    /// Yields `value` from [`pop`](Self::pop) once `at` has come.
    pub(super) fn set(&mut self, at: Timestamp, value: T) {
        self.due.insert((at, self.next), value);
        self.next += 1;
    }

    /// When the next value is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The next value that is due at `now`.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<T> {
        let entry = self.due.first_entry()?;
        match entry.key().0 <= now {
            true => Some(entry.remove()),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_when_due_and_in_order() {
        let at = Timestamp::from_ms;
        let mut timers = Timers::new();
        timers.set(at(5), "c");
        timers.set(at(3), "a");
        timers.set(at(3), "b");
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(
            [timers.pop(at(4)), timers.pop(at(4)), timers.pop(at(4))],
            [Some("a"), Some("b"), None]
        );
        assert_eq!(timers.pop(at(9)), Some("c"));
        assert_eq!(timers.next(), None);
    }
}
