//! The way from the core to each socket: a queue that is bounded in bytes, for one and for all, and who gives way when
//! all of them together hold too much.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::inbound::Allowance;
use crate::core::ConnId;

/// Bytes that wait for one socket; beyond this, frames for it are dropped.
const MAX_QUEUED: usize = 4 << 20;
/// What every socket may have, whatever waits for the others.
const SHARE: usize = 64 << 10;
/// Bytes beyond these shares, of all sockets. Then each has its share and no more, so that those that do
/// not read take nothing from those that do.
const MAX_QUEUED_IN_ALL: usize = 256 << 20;
/// From here on, those that read slowest are given up,
const MUCH_QUEUED_IN_ALL: usize = MAX_QUEUED_IN_ALL / 4 * 3;
/// until the others hold no more than this.
const ENOUGH_QUEUED_IN_ALL: usize = MAX_QUEUED_IN_ALL / 2;
/// What a frame takes beside its bytes.
const FRAME_COST: usize = 64;
/// A socket that is to be closed gets this long to take what is queued.
pub(super) const CLOSING_DEADLINE: Duration = Duration::from_secs(20);

/// What a connection task sends.
pub(super) enum Outgoing {
    /// This frame.
    Frame(Vec<u8>),
    /// Nothing more: flush and close.
    Close,
}

/// Bytes beyond their shares that wait for all sockets of this process.
static QUEUED_IN_ALL: AtomicUsize = AtomicUsize::new(0);

/// The way to a connection's only writer.
#[derive(Clone)]
pub(super) struct Outbound {
    queue: mpsc::UnboundedSender<Outgoing>,
    queued: Arc<Queued>,
    allowance: Option<Arc<Allowance>>,
}

/// The writer's end.
pub(super) struct OutboundQueue {
    queue: mpsc::UnboundedReceiver<Outgoing>,
    queued: Arc<Queued>,
}

/// What waits for one socket, counted among what waits for all.
struct Queued {
    bytes: AtomicUsize,
    /// What the socket has taken since more than its share waits for it.
    taken: AtomicUsize,
    /// When that began.
    behind_since: Mutex<Instant>,
    closes: AtomicBool,
    given_up: AtomicBool,
    /// One of the two has changed.
    ends: Notify,
    in_all: &'static AtomicUsize,
}

/// The way from the core to one socket. What the peer may send is the core's to widen, if there is an allowance.
pub(super) fn outbound(allowance: Option<Arc<Allowance>>) -> (Outbound, OutboundQueue) {
    outbound_among(&QUEUED_IN_ALL, allowance)
}

fn outbound_among(
    in_all: &'static AtomicUsize,
    allowance: Option<Arc<Allowance>>,
) -> (Outbound, OutboundQueue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(Queued {
        bytes: AtomicUsize::new(0),
        taken: AtomicUsize::new(0),
        behind_since: Mutex::new(Instant::now()),
        closes: AtomicBool::new(false),
        given_up: AtomicBool::new(false),
        ends: Notify::new(),
        in_all,
    });
    let outbound = Outbound {
        queue: sender,
        queued: Arc::clone(&queued),
        allowance,
    };
    let queue = OutboundQueue {
        queue: receiver,
        queued,
    };
    (outbound, queue)
}

/// Of what waits for one socket, what counts for all.
const fn beyond_share(bytes: usize) -> usize {
    bytes.saturating_sub(SHARE)
}

impl Queued {
    /// Only the core adds, so there is no less room when it does.
    fn has_room(&self, cost: usize) -> bool {
        let before = self.bytes.load(Ordering::Relaxed);
        let more = beyond_share(before + cost) - beyond_share(before);
        let in_all = self.in_all.load(Ordering::Relaxed);
        // One frame of any length is always taken, if there is room in all.
        more == 0
            || ((before == 0 || before + cost <= MAX_QUEUED) && in_all + more <= MAX_QUEUED_IN_ALL)
    }

    fn add(&self, cost: usize) {
        let before = self.bytes.fetch_add(cost, Ordering::Relaxed);
        let more = beyond_share(before + cost) - beyond_share(before);
        self.in_all.fetch_add(more, Ordering::Relaxed);
        if more > 0 && before <= SHARE {
            self.taken.store(0, Ordering::Relaxed);
            *self.lock_since() = Instant::now();
        }
    }

    fn remove(&self, cost: usize) {
        let before = self.bytes.fetch_sub(cost, Ordering::Relaxed);
        let less = beyond_share(before) - beyond_share(before - cost);
        self.in_all.fetch_sub(less, Ordering::Relaxed);
    }

    fn lock_since(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.behind_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// If more than its share waits: how much, and for how many seconds it would at the pace at which the socket has taken
    /// it so far. Its share counts as taken, so that nobody is slow in their first moment.
    fn is_behind(&self) -> Option<(usize, f64)> {
        let waiting = self.bytes.load(Ordering::Relaxed);
        let taken = self.taken.load(Ordering::Relaxed) + SHARE;
        let since = self.lock_since().elapsed().as_secs_f64();
        (waiting > SHARE).then(|| (waiting, waiting as f64 * since / taken as f64))
    }

    fn end(&self, how: &AtomicBool) {
        how.store(true, Ordering::Relaxed);
        self.ends.notify_one();
    }
}

/// What nobody will read any more does not count.
impl Drop for Queued {
    fn drop(&mut self) {
        let left = beyond_share(*self.bytes.get_mut());
        self.in_all.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Outbound {
    /// False: the socket does not keep up, or is gone.
    pub(super) fn send(&self, frame: Vec<u8>) -> bool {
        let cost = frame.len() + FRAME_COST;
        if !self.queued.has_room(cost) {
            return false;
        }
        self.queued.add(cost);
        self.queue.send(Outgoing::Frame(frame)).is_ok()
    }

    /// Flushes what is queued, if that does not take long, then closes.
    pub(super) fn close(&self) {
        // A task that has ended is closed already.
        drop(self.queue.send(Outgoing::Close));
        self.queued.end(&self.queued.closes);
    }

    /// Ends the connection, whatever is queued.
    pub(super) fn give_up(&self) {
        self.queued.end(&self.queued.given_up);
    }

    /// The peer may send one long message: it was asked for.
    pub(super) fn expect_long_message(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.expect_long_message();
        }
    }

    /// It may not any more, and who is in the middle of one is given up.
    pub(super) fn expect_no_long_message(&self) {
        let allowance = self.allowance.as_ref();
        if allowance.is_some_and(|allowance| allowance.expect_no_long_message()) {
            self.give_up();
        }
    }
}

impl OutboundQueue {
    /// The next thing to send; [`Outgoing::Close`] when nothing more will come.
    pub(super) async fn next(&mut self) -> Outgoing {
        self.queue.recv().await.unwrap_or(Outgoing::Close)
    }

    /// The next thing to send, if there is one already.
    pub(super) fn ready(&mut self) -> Option<Outgoing> {
        self.queue.try_recv().ok()
    }

    /// The socket has taken so many bytes of a frame.
    pub(super) fn taken(&self, bytes: usize) {
        self.queued.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The socket has taken all of a frame of this length: only now its memory is free.
    pub(super) fn taken_whole(&self, length: usize) {
        self.queued.remove(length + FRAME_COST);
    }

    /// Tells what becomes of the connection.
    pub(super) fn end(&self) -> End {
        End(Arc::clone(&self.queued))
    }
}

/// What the core wants of a connection.
pub(super) struct End(Arc<Queued>);

impl End {
    /// Nothing that still comes is of interest.
    pub(super) fn closes(&self) -> bool {
        self.0.closes.load(Ordering::Relaxed)
    }

    /// Completes when the connection is to end, whatever is queued.
    pub(super) async fn given_up(&self) {
        let given_up = || self.0.given_up.load(Ordering::Relaxed);
        self.until(|| self.closes() || given_up()).await;
        // Either way it is over.
        drop(timeout(CLOSING_DEADLINE, self.until(given_up)).await);
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            self.0.ends.notified().await;
        }
    }
}

/// The sockets that are to be given up because too much waits for all of them, those first that would need most time
/// for theirs. Without it, whoever takes a frame now and then could leave the others nothing but their shares for hours.
pub(super) fn slowest<'c>(
    conns: impl Iterator<Item = (&'c ConnId, &'c Outbound)>,
) -> Vec<&'c Outbound> {
    slowest_among(conns, QUEUED_IN_ALL.load(Ordering::Relaxed))
}

fn slowest_among<'c>(
    conns: impl Iterator<Item = (&'c ConnId, &'c Outbound)>,
    in_all: usize,
) -> Vec<&'c Outbound> {
    if in_all <= MUCH_QUEUED_IN_ALL {
        return Vec::new();
    }
    let behind = |(_, outbound): (_, &'c Outbound)| {
        let (waiting, seconds) = outbound.queued.is_behind()?;
        Some((outbound, waiting, seconds))
    };
    let mut behind: Vec<_> = conns.filter_map(behind).collect();
    behind.sort_unstable_by(|(_, _, a), (_, _, b)| b.total_cmp(a));
    let mut left = in_all;
    let slowest = behind.into_iter().take_while(|(_, waiting, _)| {
        let is_too_much = left > ENOUGH_QUEUED_IN_ALL;
        left = left.saturating_sub(beyond_share(*waiting));
        is_too_much
    });
    slowest.map(|(outbound, _, _)| outbound).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// As many frames of a length as a socket that nobody reads is sent.
    fn fill(outbound: &Outbound, length: usize) -> usize {
        (0..100)
            .take_while(|_| outbound.send(vec![0; length - FRAME_COST]))
            .count()
    }

    /// A socket takes a frame.
    fn take(queue: &mut OutboundQueue) -> bool {
        let Some(Outgoing::Frame(frame)) = queue.ready() else {
            return false;
        };
        queue.taken(frame.len());
        queue.taken_whole(frame.len());
        true
    }

    #[test]
    fn fault_15_who_does_not_read_takes_nothing_from_who_does() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let ways: Vec<_> = (0..67).map(|_| outbound_among(&ALL, None)).collect();
        for (out, _) in &ways[..65] {
            assert_eq!(fill(out, 1 << 18), MAX_QUEUED >> 18);
        }
        // What is left beyond all shares, exactly.
        assert_eq!(fill(&ways[65].0, 2 * SHARE), 1);
        assert_eq!(ALL.load(Ordering::Relaxed), MAX_QUEUED_IN_ALL);
        let late = fill(&ways[66].0, 1 << 10);
        assert_eq!(late, SHARE >> 10, "the share of one that comes late");
        let (out, mut queue) = outbound_among(&ALL, None);
        assert_eq!(fill(&out, 1 << 20), 0, "all is full");
        drop(ways);
        assert_eq!(ALL.load(Ordering::Relaxed), 0, "all of it is forgotten");
        assert_eq!(fill(&out, 5 << 20), 1, "one frame of any length");
        assert!(take(&mut queue) && fill(&out, 5 << 20) == 1);
        assert_eq!(ALL.load(Ordering::Relaxed), (5 << 20) - SHARE);
        drop((out, queue));
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_closes_has_20_seconds_whenever_that_is_noticed() {
        let second = Duration::from_secs(1);
        let (out, queue) = outbound(None);
        out.close();
        let end = queue.end();
        assert!(end.closes());
        let early = timeout(CLOSING_DEADLINE - second, end.given_up()).await;
        assert!(early.is_err());
        out.give_up();
        assert!(timeout(second, end.given_up()).await.is_ok());
        let (out, queue) = outbound(None);
        let end = queue.end();
        assert!(timeout(CLOSING_DEADLINE, end.given_up()).await.is_err());
        out.close();
        assert!(
            timeout(CLOSING_DEADLINE + second, end.given_up())
                .await
                .is_ok()
        );
    }

    #[test]
    fn what_a_socket_has_not_taken_counts_though_it_is_being_written() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let (out, mut queue) = outbound_among(&ALL, None);
        assert_eq!(fill(&out, 4 << 20), 1);
        assert!(queue.ready().is_some());
        assert_eq!(fill(&out, 4 << 20), 0, "nothing of it was taken");
        queue.taken((4 << 20) - FRAME_COST - 1);
        assert_eq!(fill(&out, 4 << 20), 0, "all of its memory is still in use");
        queue.taken_whole((4 << 20) - FRAME_COST);
        assert_eq!(fill(&out, 4 << 20), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn fault_15_when_too_much_waits_those_that_read_slowest_are_given_up() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        const FULL: u64 = 64;
        // The last two have little, and take it at the pace of a telephone.
        let length = |n: u64| if n < FULL { 1 << 18 } else { 9 << 9 };
        let mut conns = HashMap::new();
        let mut queues = HashMap::new();
        for n in 0..FULL + 2 {
            let (out, queue) = outbound_among(&ALL, None);
            fill(&out, length(n));
            conns.insert(ConnId(n), out);
            queues.insert(n, queue);
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        // Number 0 takes nothing, number 63 much; all have as much waiting afterwards as before.
        for n in 0..FULL + 2 {
            let takes = match n {
                0 => 0,
                1..63 => 1,
                63 => 60,
                _ => 16,
            };
            let queue = queues.get_mut(&n).unwrap();
            for _ in 0..takes {
                let frame = vec![0; length(n) - FRAME_COST];
                assert!(take(queue) && conns[&ConnId(n)].send(frame));
            }
        }
        // One that has just come, and had no time to take anything, does not go for those that have.
        let (new, _queue) = outbound_among(&ALL, None);
        assert!(fill(&new, 2 * SHARE) > 20);
        conns.insert(ConnId(99), new);
        tokio::time::advance(Duration::from_millis(1)).await;
        let given_up: Vec<u64> = slowest_among(conns.iter(), ALL.load(Ordering::Relaxed))
            .into_iter()
            .map(|out| {
                let is_it = |(_, other): &(_, &Outbound)| Arc::ptr_eq(&other.queued, &out.queued);
                conns.iter().find(is_it).unwrap().0.0
            })
            .collect();
        assert_eq!(given_up[0], 0, "who has taken nothing goes first");
        assert!(given_up.iter().all(|conn| *conn < 63), "{given_up:?}");
        assert!((30..=36).contains(&given_up.len()), "{}", given_up.len());
        for conn in &given_up {
            conns.remove(&ConnId(*conn));
            queues.remove(conn);
        }
        let in_all = ALL.load(Ordering::Relaxed);
        assert!(in_all <= ENOUGH_QUEUED_IN_ALL);
        assert!(slowest_among(conns.iter(), in_all).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn fault_15_whoever_fills_queues_and_comes_again_is_given_up_before_who_reads() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let (reader, mut queue) = outbound_among(&ALL, None);
        assert_eq!(fill(&reader, 4 * SHARE), MAX_QUEUED / SHARE / 4);
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..8 {
            assert!(take(&mut queue));
        }
        let (mut conns, mut fresh) = (HashMap::from([(ConnId(0), reader)]), Vec::new());
        for n in 1..=60 {
            let (out, queue) = outbound_among(&ALL, None);
            fill(&out, 1 << 18);
            conns.insert(ConnId(n), out);
            fresh.push(queue);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let given_up = slowest_among(conns.iter(), ALL.load(Ordering::Relaxed));
        assert!(!given_up.is_empty());
        let reader = &conns[&ConnId(0)].queued;
        assert!(given_up.iter().all(|out| !Arc::ptr_eq(&out.queued, reader)));
    }

    #[test]
    fn shares_of_many_make_nobody_give_way() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let ways: Vec<_> = (0..4_000).map(|_| outbound_among(&ALL, None)).collect();
        for (out, _) in &ways {
            assert!(out.send(vec![0; SHARE - FRAME_COST]));
        }
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
        assert_eq!(fill(&ways[0].0, SHARE), MAX_QUEUED / SHARE - 1);
    }
}
