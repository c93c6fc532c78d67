//! What is going to happen: in the order of time, and of being scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use zentalk_shared::time::Timestamp;

/// Events by time.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Scheduled<E>>,
    next: u64,
}

struct Scheduled<E> {
    at: Timestamp,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(super) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            next: 0,
        }
    }

    pub(super) fn push(&mut self, at: Timestamp, event: E) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Scheduled { at, number, event });
    }

    /// The next one, unless it is after `until`.
    pub(super) fn pop(&mut self, until: Timestamp) -> Option<(Timestamp, E)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|next| (next.at, next.event))
    }
}

/// The heap gives its greatest first, which is to be the earliest.
impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Scheduled<E> {}
