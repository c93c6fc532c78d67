//! The way from the core to each socket: a queue that is bounded in bytes, for one and for all, and who gives way when
//! all of them together hold too much.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use super::inbound::Allowance;
use crate::core::ConnId;

/// Bytes that wait for one socket; beyond this, frames for it are dropped.
const MAX_QUEUED: usize = 4 << 20;
/// Of these, what every socket may have, or else one frame of any length.
const SHARE: usize = 64 << 10;
/// Bytes that wait for all sockets. Beyond this each has its share and no more, so that those that do
/// not read take nothing from those that do.
const MAX_QUEUED_IN_ALL: usize = 256 << 20;
/// Beyond this, those that read slowest are given up.
const MUCH_QUEUED_IN_ALL: usize = MAX_QUEUED_IN_ALL / 4 * 3;
/// Until the others hold no more than this.
const ENOUGH_QUEUED_IN_ALL: usize = MAX_QUEUED_IN_ALL / 2;

/// What a connection task sends.
pub(super) enum Outgoing {
    /// This frame.
    Frame(Vec<u8>),
    /// Nothing more: flush and close.
    Close,
}

/// Bytes that wait for all sockets of this process.
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

/// Bytes that wait for one socket, counted among those that wait for all.
struct Queued {
    bytes: AtomicUsize,
    /// What the socket has taken since somebody looked.
    taken: AtomicUsize,
    given_up: Notify,
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
        given_up: Notify::new(),
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

impl Queued {
    fn has_room(&self, length: usize) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let in_all = self.in_all.load(Ordering::Relaxed);
        bytes == 0
            || bytes + length <= SHARE
            || (bytes + length <= MAX_QUEUED && in_all + length <= MAX_QUEUED_IN_ALL)
    }

    fn add(&self, length: usize) {
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.in_all.fetch_add(length, Ordering::Relaxed);
    }

    fn remove(&self, length: usize) {
        self.bytes.fetch_sub(length, Ordering::Relaxed);
        self.in_all.fetch_sub(length, Ordering::Relaxed);
        self.taken.fetch_add(length, Ordering::Relaxed);
    }
}

/// What nobody will read any more does not count.
impl Drop for Queued {
    fn drop(&mut self) {
        let left = *self.bytes.get_mut();
        self.in_all.fetch_sub(left, Ordering::Relaxed);
    }
}

impl Outbound {
    /// False: the socket does not keep up, or is gone.
    pub(super) fn send(&self, frame: Vec<u8>) -> bool {
        if !self.queued.has_room(frame.len()) {
            return false;
        }
        self.queued.add(frame.len());
        self.queue.send(Outgoing::Frame(frame)).is_ok()
    }

    /// Flushes what is queued, then closes.
    pub(super) fn close(&self) {
        // A task that has ended is closed already.
        drop(self.queue.send(Outgoing::Close));
    }

    /// Ends the connection, whatever is queued.
    pub(super) fn give_up(&self) {
        self.queued.given_up.notify_one();
    }

    /// The peer may send one long message: it was asked for.
    pub(super) fn expect_long_message(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.expect_long_message();
        }
    }
}

impl OutboundQueue {
    /// The next thing to send; [`Outgoing::Close`] when nothing more will come.
    pub(super) async fn next(&mut self) -> Outgoing {
        let next = self.queue.recv().await;
        self.taken(next)
    }

    /// The next thing to send, if there is one already.
    pub(super) fn ready(&mut self) -> Option<Outgoing> {
        let next = self.queue.try_recv().ok()?;
        Some(self.taken(Some(next)))
    }

    /// Completes when the connection is given up.
    pub(super) fn given_up(&self) -> impl Future<Output = ()> + use<> {
        let queued = Arc::clone(&self.queued);
        async move { queued.given_up.notified().await }
    }

    fn taken(&self, outgoing: Option<Outgoing>) -> Outgoing {
        if let Some(Outgoing::Frame(frame)) = &outgoing {
            self.queued.remove(frame.len());
        }
        outgoing.unwrap_or(Outgoing::Close)
    }
}

/// Finds the sockets that are given up when too much waits for all of them: without it, whoever takes a frame now and
/// then could leave the others nothing but their shares for hours.
#[derive(Default)]
pub(super) struct Slowest {
    /// Those with more than their share waiting when they were last looked at.
    behind: HashSet<ConnId>,
}

impl Slowest {
    /// To be called at even intervals. Of those with more than their share waiting then and now, as many as
    /// necessary, least taken in between first.
    pub(super) fn look(&mut self, conns: &HashMap<ConnId, Outbound>) -> Vec<ConnId> {
        self.look_among(conns, QUEUED_IN_ALL.load(Ordering::Relaxed))
    }

    fn look_among(&mut self, conns: &HashMap<ConnId, Outbound>, in_all: usize) -> Vec<ConnId> {
        let mut behind = Vec::new();
        for (conn, outbound) in conns {
            let taken = outbound.queued.taken.swap(0, Ordering::Relaxed);
            let waiting = outbound.queued.bytes.load(Ordering::Relaxed);
            if waiting > SHARE {
                behind.push((taken, *conn, waiting));
            }
        }
        let before = core::mem::replace(
            &mut self.behind,
            behind.iter().map(|(_, conn, _)| *conn).collect(),
        );
        if in_all <= MUCH_QUEUED_IN_ALL {
            return Vec::new();
        }
        behind.retain(|(_, conn, _)| before.contains(conn));
        behind.sort_unstable();
        let mut left = in_all;
        behind
            .into_iter()
            .take_while(|(_, _, waiting)| {
                let is_too_much = left > ENOUGH_QUEUED_IN_ALL;
                left = left.saturating_sub(*waiting);
                is_too_much
            })
            .map(|(_, conn, _)| conn)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many frames of a length wait for a socket that nobody reads.
    fn fill(outbound: &Outbound, length: usize) -> usize {
        (0..100)
            .take_while(|_| outbound.send(vec![0; length]))
            .count()
    }

    #[test]
    fn fault_15_who_does_not_read_takes_nothing_from_who_does() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let ways: Vec<_> = (0..=64).map(|_| outbound_among(&ALL, None)).collect();
        for (out, _) in &ways[..64] {
            assert_eq!(fill(out, 1 << 18), MAX_QUEUED >> 18);
        }
        assert_eq!(ALL.load(Ordering::Relaxed), MAX_QUEUED_IN_ALL);
        let late = fill(&ways[64].0, 1 << 10);
        assert_eq!(late, SHARE >> 10, "the share of one that comes late");
        let (out, mut queue) = outbound_among(&ALL, None);
        assert!(out.send(vec![0; 1 << 20]), "one frame of any length");
        assert!(!out.send(vec![0; 1 << 20]));
        assert!(matches!(queue.ready(), Some(Outgoing::Frame(frame)) if frame.len() == 1 << 20));
        assert!(out.send(vec![0; 1 << 20]));
        drop((ways, out, queue));
        assert_eq!(ALL.load(Ordering::Relaxed), 0, "all of it is forgotten");
    }

    #[test]
    fn fault_15_when_too_much_waits_those_that_read_slowest_are_given_up() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let mut conns = HashMap::new();
        let mut queues = Vec::new();
        for n in 0..64 {
            let (out, queue) = outbound_among(&ALL, None);
            fill(&out, 1 << 18);
            conns.insert(ConnId(n), out);
            queues.push(queue);
        }
        let mut slowest = Slowest::default();
        let mut look = |conns: &_| slowest.look_among(conns, ALL.load(Ordering::Relaxed));
        assert!(look(&conns).is_empty(), "nobody is judged by one look");
        // Number 0 takes nothing, the last one much; all have as much waiting afterwards as before.
        for (n, queue) in queues.iter_mut().enumerate() {
            let takes = [0, 1, 60][n.min(1) + usize::from(n == 63)];
            for _ in 0..takes {
                assert!(queue.ready().is_some());
                assert!(conns[&ConnId(n as u64)].send(vec![0; 1 << 18]));
            }
        }
        let given_up = look(&conns);
        let least = ENOUGH_QUEUED_IN_ALL / MAX_QUEUED;
        assert_eq!(given_up.len(), 64 - least);
        assert_eq!(given_up[0], ConnId(0), "who has taken nothing goes first");
        assert!(!given_up.contains(&ConnId(63)));
        for conn in &given_up {
            conns.remove(conn);
            queues[usize::try_from(conn.0).unwrap()] = outbound_among(&ALL, None).1;
        }
        assert!(ALL.load(Ordering::Relaxed) <= ENOUGH_QUEUED_IN_ALL);
        assert!(look(&conns).is_empty(), "half of it is not too much");
    }
}
