//! The thread that owns the core: events in, outputs carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use zentalk_shared::time::Timestamp;

use super::dial;
use super::metrics;
use super::own_place::OwnPlace;
use super::status::Seen;
use crate::core::store::{StoreError, StoreReply};
use crate::core::{ConnId, CoreConfig, Dial, Input, Output, Relay, Remote, Ticket};
use crate::store::StoreThreads;

/// Frames that wait for the core; beyond this, sockets are not read.
pub(super) const EVENT_QUEUE: usize = 1024;
/// Events handled before what came out of them is looked at.
const BATCH: usize = 64;
/// Bytes that wait for one socket; beyond this, frames for it are dropped.
const MAX_QUEUED: usize = 4 << 20;
/// Of these, what every socket may have, or else one frame of any length.
const SHARE: usize = 64 << 10;
/// Bytes that wait for all sockets. Beyond this each has its share and no more, so that those that do
/// not read take nothing from those that do.
const MAX_QUEUED_IN_ALL: usize = 256 << 20;
/// After the order to stop, what the store works on is waited for this long.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Gauges are set this often.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// What sockets and the process tell the core.
pub(super) enum Event {
    /// A connection is open; what is sent to it goes here.
    Opened(ConnId, Remote, Outbound),
    /// A frame has arrived.
    Frame(ConnId, Vec<u8>),
    /// A connection is gone.
    Closed(ConnId),
    /// A connection could not be made.
    DialFailed(Dial),
    /// Whether the relay serves.
    Probe(oneshot::Sender<bool>),
    /// How the relay is.
    Look(oneshot::Sender<Seen>),
    /// The operator has changed what may change while the relay runs.
    Configure(Box<CoreConfig>),
    /// Stop: finish what the store works on, tell everybody, then end.
    Shutdown,
}

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
}

/// The writer's end.
pub(super) struct OutboundQueue {
    queue: mpsc::UnboundedReceiver<Outgoing>,
    queued: Arc<Queued>,
}

/// Bytes that wait for one socket, counted among those that wait for all.
struct Queued {
    bytes: AtomicUsize,
    in_all: &'static AtomicUsize,
}

/// The way from the core to one socket, bounded in bytes.
pub(super) fn outbound() -> (Outbound, OutboundQueue) {
    outbound_among(&QUEUED_IN_ALL)
}

fn outbound_among(in_all: &'static AtomicUsize) -> (Outbound, OutboundQueue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(Queued {
        bytes: AtomicUsize::new(0),
        in_all,
    });
    let outbound = Outbound {
        queue: sender,
        queued: Arc::clone(&queued),
    };
    (
        outbound,
        OutboundQueue {
            queue: receiver,
            queued,
        },
    )
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

    fn taken(&self, outgoing: Option<Outgoing>) -> Outgoing {
        if let Some(Outgoing::Frame(frame)) = &outgoing {
            self.queued.remove(frame.len());
        }
        outgoing.unwrap_or(Outgoing::Close)
    }
}

/// What the store's threads answer.
pub(super) type Answered = (Ticket, Result<StoreReply, StoreError>);

/// The core and its surroundings.
pub(super) struct Actor {
    pub(super) relay: Relay,
    pub(super) rng: ChaCha20Rng,
    pub(super) store: StoreThreads,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) answers: mpsc::UnboundedReceiver<Answered>,
    pub(super) dialer: dial::Dialer,
}

struct Running {
    actor: Actor,
    conns: HashMap<ConnId, Outbound>,
    runtime: Handle,
    own_place: OwnPlace,
    stopping: bool,
}

/// Now, as the protocol counts.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Starts the thread. It ends after [`Event::Shutdown`], with the store closed.
pub(super) fn start(actor: Actor, runtime: Handle) -> std::io::Result<JoinHandle<()>> {
    let timers = Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new()
        .name("core".to_owned())
        .spawn(move || {
            let conns = HashMap::new();
            let running = Running {
                actor,
                conns,
                runtime,
                own_place: OwnPlace::default(),
                stopping: false,
            };
            let actor = timers.block_on(running.run());
            actor.store.finish();
        })
}

impl Running {
    async fn run(mut self) -> Actor {
        let mut gauges = tokio::time::interval(GAUGES_EVERY);
        let (mut batch, mut answered) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        self.carry_out();
        while !self.stopping {
            let timeout = until(self.actor.relay.next_timeout());
            tokio::select! {
                biased;
                _ = self.actor.answers.recv_many(&mut answered, BATCH) => {
                    for (ticket, answer) in answered.drain(..) {
                        self.handle(Input::Stored(ticket, answer));
                    }
                }
                count = self.actor.events.recv_many(&mut batch, BATCH) => {
                    batch.drain(..).for_each(|event| self.on_event(event));
                    self.stopping |= count == 0;
                }
                () = tokio::time::sleep(timeout) => self.handle(Input::Timer),
                _ = gauges.tick() => metrics::set_gauges(&self.actor.relay),
            }
            // Timers are never starved by traffic.
            if self
                .actor
                .relay
                .next_timeout()
                .is_some_and(|at| at <= now())
            {
                self.handle(Input::Timer);
            }
        }
        self.drain().await;
        self.handle(Input::Shutdown);
        self.actor
    }

    /// Nothing is read any more; what the store works on is answered, as long as that does not take long.
    async fn drain(&mut self) {
        let until = tokio::time::Instant::now() + DRAIN_DEADLINE;
        while self.actor.relay.is_at_work() {
            let answer = tokio::time::timeout_at(until, self.actor.answers.recv()).await;
            let Ok(Some((ticket, answer))) = answer else {
                return;
            };
            self.handle(Input::Stored(ticket, answer));
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Opened(conn, remote, outbound) => {
                self.conns.insert(conn, outbound);
                self.handle(Input::Opened(conn, remote));
            }
            Event::Frame(conn, bytes) => self.handle(Input::Frame(conn, bytes)),
            Event::Closed(conn) => {
                if self.conns.remove(&conn).is_some() {
                    self.handle(Input::Closed(conn));
                }
            }
            Event::DialFailed(dial) => self.handle(Input::DialFailed(dial)),
            // Whoever asked may have gone.
            Event::Probe(answer) => drop(answer.send(self.actor.relay.is_ready())),
            Event::Look(answer) => drop(answer.send(Seen::of(&self.actor.relay))),
            Event::Configure(config) => self.handle(Input::Configure(config)),
            Event::Shutdown => self.stopping = true,
        }
    }

    fn handle(&mut self, input: Input) {
        self.actor.relay.handle(input, now(), &mut self.actor.rng);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.actor.relay.poll() {
            match output {
                Output::Send(conn, frame) => self.send(conn, frame),
                Output::Close(conn, _) => {
                    if let Some(outbound) = self.conns.remove(&conn) {
                        // A task that has ended is closed already.
                        drop(outbound.queue.send(Outgoing::Close));
                    }
                }
                Output::Connect(dial, url) => self.actor.dialer.dial(dial, url, &self.runtime),
                Output::Store(ticket, op) => {
                    if !self.actor.store.submit(ticket, op) {
                        // Without its disk a relay is none: whoever runs it starts it again.
                        tracing::error!("a thread of the store is gone, so the relay ends");
                        self.stopping = true;
                    }
                }
                Output::Count(metric, n) => {
                    self.own_place.heard(metric, Instant::now());
                    metrics::count(metric, n);
                }
                Output::Peer(node, true) => tracing::info!(%node, "relay linked"),
                Output::Peer(node, false) => tracing::info!(%node, "relay link lost"),
            }
        }
    }

    fn send(&self, conn: ConnId, frame: Vec<u8>) {
        let kept_up = self
            .conns
            .get(&conn)
            .is_none_or(|outbound| outbound.send(frame));
        if !kept_up {
            metrics::dropped_for_slow_socket();
        }
    }
}

/// How long until a moment; an hour at most, in case the clock is set.
fn until(at: Option<Timestamp>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    at.map_or(LONGEST, |at| {
        Duration::from_millis(at.since(now()).as_ms()).min(LONGEST)
    })
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
        let ways: Vec<_> = (0..=64).map(|_| outbound_among(&ALL)).collect();
        for (out, _) in &ways[..64] {
            assert_eq!(fill(out, 1 << 18), MAX_QUEUED >> 18);
        }
        assert_eq!(ALL.load(Ordering::Relaxed), MAX_QUEUED_IN_ALL);
        let late = fill(&ways[64].0, 1 << 10);
        assert_eq!(late, SHARE >> 10, "the share of one that comes late");
        let (out, mut queue) = outbound_among(&ALL);
        assert!(out.send(vec![0; 1 << 20]), "one frame of any length");
        assert!(!out.send(vec![0; 1 << 20]));
        assert!(matches!(queue.ready(), Some(Outgoing::Frame(frame)) if frame.len() == 1 << 20));
        assert!(out.send(vec![0; 1 << 20]));
        drop((ways, out, queue));
        assert_eq!(ALL.load(Ordering::Relaxed), 0, "all of it is forgotten");
    }
}
