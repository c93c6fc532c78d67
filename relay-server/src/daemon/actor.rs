//! The thread that owns the core: events in, outputs carried out.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use zentalk_shared::time::Timestamp;

use super::dial;
use super::events::Event;
use super::metrics;
use super::outbound::{Outbound, slowest};
use super::own_place::OwnPlace;
use super::status::Seen;
use crate::core::store::{StoreError, StoreReply};
use crate::core::{ConnId, Input, Output, Relay, Ticket};
use crate::store::StoreThreads;

/// Events handled before what came out of them is looked at.
const BATCH: usize = 64;
/// After the order to stop, what the store works on is waited for this long.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Gauges are set, and sockets that are behind are looked at, this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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
    /// The core is done with these; what was queued for them is still there.
    closing: HashMap<ConnId, Outbound>,
    look_at: Instant,
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
            let running = Running {
                actor,
                conns: HashMap::new(),
                closing: HashMap::new(),
                look_at: Instant::now(),
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
                () = tokio::time::sleep_until(self.look_at.into()) => {}
            }
            // Neither looks nor timers are starved by traffic.
            if self.look_at <= Instant::now() {
                self.look();
            }
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
            Event::Frame(conn, bytes, room) => {
                self.handle(Input::Frame(conn, bytes));
                drop(room);
            }
            Event::Closed(conn) => {
                self.closing.remove(&conn);
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
                        outbound.close();
                        self.closing.insert(conn, outbound);
                    }
                }
                Output::ExpectDirectory(conn, expected) => {
                    if let Some(outbound) = self.conns.get(&conn) {
                        match expected {
                            true => outbound.expect_long_message(),
                            false => outbound.expect_no_long_message(),
                        }
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

    fn look(&mut self) {
        metrics::set_gauges(&self.actor.relay);
        for outbound in slowest(self.conns.iter().chain(&self.closing)) {
            metrics::gave_up_slow_socket();
            outbound.give_up();
        }
        self.look_at = Instant::now() + LOOK_EVERY;
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
