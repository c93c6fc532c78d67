//! The loop: inputs that wait are batched, one turn of the engine decides, one transaction commits, and
//! only then anything leaves.

mod lifecycle;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use zentalk_shared::client::{Bootstrap, Client, Command, Effect, Event, Input, Turn, WorkJob};
use zentalk_shared::time::{Duration, Timestamp};

use super::answer::{self, Task, Want, answer};
use super::{Notify, Responder, Wake};
use crate::api::{Answer, ApiError, ErrorCode, HostNotice, HostOptions, MeContext, Request, State};
use crate::link::{LinkEvent, Links};
use crate::platform::{now, rng};
use crate::store::{Store, StoreError};
use crate::work::Working;

/// Inputs that one turn takes at most, so that a flood does not starve answers.
const MAX_BATCH: usize = 64;
/// Timers of browsers hold 31 bits of milliseconds.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// What the loop has in its hands.
enum Phase {
    /// The store does not work; it is tried again.
    Paused { why: StoreError, until: Timestamp },
    /// There is no identity.
    Empty { store: Store },
    /// The engine runs.
    Ready { store: Store, client: Box<Client> },
}

impl Phase {
    /// Nothing is open, and everything is to be opened now. Whatever was open closes: an old connection
    /// would hold up an upgrade or a deletion.
    const fn closed() -> Self {
        Self::Paused {
            why: StoreError::Unavailable,
            until: Timestamp::EPOCH,
        }
    }
}

/// An identity in the making, and who waits for it.
struct Creating {
    attempt: u64,
    waiting: Vec<Responder>,
}

pub(super) struct Runner {
    options: HostOptions,
    context: MeContext,
    notify: Notify,
    inbox: mpsc::UnboundedSender<Wake>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    links: Links,
    /// The piece of work that the engine waits for.
    working: Option<Working>,
    /// Which run of the engine links and work belong to: each counts them anew.
    run: u64,
    /// The bootstrap list that was loaded in this run.
    offered: Option<String>,
    /// The relays of the list in use.
    relays: Vec<Bootstrap>,
    phase: Phase,
    /// Failures of the store since it last worked.
    failures: u32,
    creating: Option<Creating>,
    attempts: u64,
}

/// What one turn is about.
#[derive(Default)]
struct Work {
    inputs: Vec<Input>,
    asked: Vec<Asked>,
}

/// What somebody waits for, and where to.
type Asked = (Want, Responder);

/// The loop is over: another tab leads, or this one was closed.
struct Over;

impl Runner {
    pub(super) fn new(
        options: HostOptions,
        notify: Notify,
        inbox: mpsc::UnboundedSender<Wake>,
        wakes: mpsc::UnboundedReceiver<Wake>,
    ) -> Self {
        Self {
            context: MeContext {
                origin: options.origin.clone(),
            },
            options,
            notify,
            wakes,
            links: links(&inbox, 0),
            working: None,
            run: 0,
            inbox,
            offered: None,
            relays: Vec::new(),
            phase: Phase::closed(),
            failures: 0,
            creating: None,
            attempts: 0,
        }
    }

    /// Runs until another tab takes over or somebody closes the host.
    pub(super) async fn run(mut self) {
        if self.start().await.is_err() {
            return self.replaced();
        }
        loop {
            let wakes = self.wait().await;
            let mut work = Work::default();
            for wake in wakes {
                if let Wake::Close(done) = wake {
                    let last = self.turn(std::mem::take(&mut work)).await;
                    drop(self);
                    let _ = done.send(());
                    // A fence that failed now changes nothing: nobody expects anything any more.
                    drop(last);
                    return;
                }
                if self.take(wake, &mut work).await.is_err() {
                    return self.replaced();
                }
            }
            if self.turn(work).await.is_err() {
                return self.replaced();
            }
        }
    }

    fn replaced(self) {
        self.notify.notice(&HostNotice::Replaced);
    }

    /// What has come in, at least one thing, unless time is up first.
    async fn wait(&mut self) -> Vec<Wake> {
        let mut wakes = Vec::new();
        let sleep = self.due().map(|due| due.since(now()));
        let first = match sleep {
            None => self.wakes.next().await,
            // Never without giving way, whatever the engine says: messages of tabs and sockets come between.
            Some(sleep) => {
                let ms = u32::try_from(sleep.min(LONGEST_SLEEP).as_ms()).unwrap_or(u32::MAX);
                match select(self.wakes.next(), TimeoutFuture::new(ms)).await {
                    Either::Left((wake, _)) => wake,
                    Either::Right(_) => None,
                }
            }
        };
        wakes.extend(first);
        while wakes.len() < MAX_BATCH {
            let Ok(wake) = self.wakes.try_recv() else {
                break;
            };
            wakes.push(wake);
        }
        wakes
    }

    fn due(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Paused { until, .. } => Some(*until),
            Phase::Empty { .. } => None,
            Phase::Ready { client, .. } => client.next_timeout(),
        }
    }

    /// Sorts one wake into the work of the next turn, or deals with it at once after the turn before it.
    async fn take(&mut self, wake: Wake, work: &mut Work) -> Result<(), Over> {
        match wake {
            Wake::Link(run, event) if run == self.run => self.link(event, work),
            Wake::Worked(run, id, result) if run == self.run => {
                work.inputs.push(Input::Worked(id, result));
            }
            Wake::Link(..) | Wake::Worked(..) => {}
            Wake::Online(online) => {
                self.options.online = online;
                work.inputs.push(Input::Online(online));
            }
            Wake::Ask(Request::Create { name, again }, responder) => {
                self.turn(std::mem::take(work)).await?;
                self.create(name, again, responder);
            }
            Wake::Ask(Request::Erase, responder) => {
                self.turn(std::mem::take(work)).await?;
                self.erase(responder).await?;
            }
            Wake::Ask(
                Request::SetRoute {
                    onion_suite,
                    onion_floor,
                    mixing,
                },
                responder,
            ) => {
                self.turn(std::mem::take(work)).await?;
                self.set_route(onion_suite, onion_floor, mixing).await?;
                respond(responder, Ok(Answer::Done));
            }
            Wake::Ask(request, responder) => self.ask(request, responder, work),
            Wake::Bootstrap(text) => {
                self.turn(std::mem::take(work)).await?;
                self.bootstrap(text).await?;
            }
            Wake::Created(created) => {
                self.turn(std::mem::take(work)).await?;
                self.created(created).await?;
            }
            // Dealt with by the loop itself.
            Wake::Close(_) => {}
        }
        Ok(())
    }

    fn link(&mut self, event: LinkEvent, work: &mut Work) {
        work.inputs.push(match event {
            LinkEvent::Opened(link) => Input::LinkOpened(link),
            LinkEvent::Closed(link) => {
                self.links.forget(link);
                Input::LinkClosed(link)
            }
            LinkEvent::Frame(link, frame) => {
                self.links.taken(frame.len());
                Input::Frame(link, frame)
            }
        });
    }

    fn ask(&mut self, request: Request, responder: Responder, work: &mut Work) {
        let task = Task::new(request).and_then(|task| match &self.phase {
            Phase::Paused { why, .. } => Err(unavailable(*why)),
            Phase::Empty { .. } => Ok(task),
            Phase::Ready { client, .. } => {
                task.command
                    .as_ref()
                    .map_or(Ok(()), |command: &Command| client.check(command))?;
                Ok(task)
            }
        });
        match task {
            Ok(task) => {
                work.inputs.extend(task.command.map(Input::Command));
                work.asked.push((task.want, responder));
            }
            Err(error) => respond(responder, Err(error)),
        }
    }

    /// One turn: read, decide, commit, and only then send and show.
    async fn turn(&mut self, work: Work) -> Result<(), Over> {
        match &mut self.phase {
            Phase::Paused { until, .. } => {
                if *until <= now() {
                    self.start().await?;
                }
                self.answer_without_engine(work.asked);
                Ok(())
            }
            Phase::Empty { .. } => {
                self.answer_without_engine(work.asked);
                Ok(())
            }
            Phase::Ready { store, client } => {
                let mut inputs = work.inputs;
                if client.next_timeout().is_some_and(|due| due <= now()) {
                    inputs.push(Input::Timer);
                }
                match decide(store, client, inputs).await {
                    Ok(Decided { effects, committed }) => {
                        if committed {
                            self.failures = 0;
                        }
                        let events = self.perform(effects);
                        self.answer(work.asked, &events).await
                    }
                    Err(error) => self.fail(error, work.asked),
                }
            }
        }
    }

    /// Carries out what a committed turn wants; yields its events.
    fn perform(&mut self, effects: Vec<Effect>) -> Vec<Event> {
        let mut events = Vec::new();
        for effect in effects {
            match effect {
                Effect::Open { link, url } => self.links.open(link, &url),
                Effect::Frame { link, bytes } => self.links.send(link, &bytes),
                Effect::Close { link } => self.links.close(link),
                Effect::Work(job) => self.start_work(job),
                Effect::Event(event) => {
                    self.notify
                        .event(answer::event(event.clone(), &self.context));
                    events.push(event);
                }
            }
        }
        events
    }

    fn start_work(&mut self, job: WorkJob) {
        let (inbox, run) = (self.inbox.clone(), self.run);
        self.working = Some(Working::start(job, move |id, work| {
            let _ = inbox.unbounded_send(Wake::Worked(run, id, work));
        }));
    }

    async fn answer(&mut self, asked: Vec<Asked>, events: &[Event]) -> Result<(), Over> {
        let mut asked = asked.into_iter();
        while let Some((want, responder)) = asked.next() {
            let Phase::Ready { store, client } = &self.phase else {
                break;
            };
            match answer(want, client, store, events, &self.context).await {
                Ok(answer) => respond(responder, answer),
                Err(error) => {
                    let rest = std::iter::once((want, responder)).chain(asked).collect();
                    return self.fail(error, rest);
                }
            }
        }
        Ok(())
    }

    fn answer_without_engine(&self, asked: Vec<Asked>) {
        for (want, responder) in asked {
            let answer = match (&self.phase, want) {
                (Phase::Paused { why, .. }, _) => Err(unavailable(*why)),
                (_, Want::State) => Ok(Answer::State(State::Empty)),
                _ => Err(ApiError::new(ErrorCode::NoIdentity)),
            };
            respond(responder, answer);
        }
    }
}

/// The links of one run of the engine.
fn links(inbox: &mpsc::UnboundedSender<Wake>, run: u64) -> Links {
    let inbox = inbox.clone();
    Links::new(move |event| {
        let _ = inbox.unbounded_send(Wake::Link(run, event));
    })
}

/// A turn that is on disk.
struct Decided {
    effects: Vec<Effect>,
    /// There was something to write, and the store took it.
    committed: bool,
}

/// Reads, decides and commits. Nothing has left when this fails.
async fn decide(
    store: &Store,
    client: &mut Client,
    inputs: Vec<Input>,
) -> Result<Decided, StoreError> {
    let mut turn = Turn::new(inputs);
    while let Some(keys) = turn.reads(client) {
        let loaded = store.load(&keys).await?;
        turn.step(client, loaded, now(), &mut rng());
    }
    let batch = turn.finish();
    let committed = !batch.writes.is_empty();
    if committed {
        store.commit(&batch.writes, &mut rng()).await?;
    }
    Ok(Decided {
        effects: batch.effects,
        committed,
    })
}

fn unavailable(why: StoreError) -> ApiError {
    why.failure()
        .map_or_else(|| ApiError::new(ErrorCode::Closed), ApiError::storage)
}

/// Whoever asked may be gone.
fn respond(responder: oneshot::Sender<Result<Answer, ApiError>>, answer: Result<Answer, ApiError>) {
    let _ = responder.send(answer);
}
