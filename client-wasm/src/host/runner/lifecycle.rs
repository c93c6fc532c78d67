//! Beginnings and ends: opening the store, restoring the engine, making and erasing an identity, and what
//! happens when the store fails.

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use zentalk_shared::client::{Input, NetConfig, Query};
use zentalk_shared::onion::{MixMode, Suites};
use zentalk_shared::time::Duration;

use super::{Asked, Creating, Over, Phase, Runner, Work, links, respond, unavailable};
use crate::api::{
    Answer, ApiError, Conversation, CreatingStep, ErrorCode, Me, Mixing, OnionSuite,
    StorageFailure, ZenTalkEvent,
};
use crate::bootstrap;
use crate::host::answer::Want;
use crate::host::boot::{Booted, boot, restore};
use crate::host::create::{Created, create};
use crate::host::{Responder, Wake};
use crate::platform::{now, rng};
use crate::store::{Disk, Store, StoreError};

/// After a failure of the store: the first pause, doubled with each further failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(1);
/// Conversations that are shown again when an engine starts.
const SHOWN_CONVERSATIONS: usize = 50;
/// A deletion waits for other connections; a frozen tab's may never close.
const DELETE_DEADLINE_MS: u32 = 10_000;

impl Runner {
    /// Opens the store and restores the engine; a store that does not work is tried again later.
    pub(super) async fn start(&mut self) -> Result<(), Over> {
        self.phase = Phase::closed();
        let booted = boot(&self.options.database, self.offered.as_deref()).await;
        match booted {
            Ok(Booted { store, relays }) => {
                self.relays = relays;
                self.load(store).await
            }
            Err(error) => self.fail(error, Vec::new()),
        }
    }

    /// Which relays to begin with, and how packets may be encrypted.
    fn net(&self) -> NetConfig {
        let preferred = self.options.onion_suite.map(|named| named.0);
        NetConfig {
            bootstrap: self.relays.clone(),
            suites: preferred.map_or_else(Suites::default, Suites::preferring),
            floor: self.options.onion_floor.map(|named| named.0),
            mixing: self.options.mixing.map_or(MixMode::Off, |named| named.0),
        }
    }

    /// Restores the engine of a store that is open.
    async fn load(&mut self, store: Store) -> Result<(), Over> {
        match restore(&store, self.net()).await {
            Ok(Some(client)) => {
                self.phase = Phase::Ready {
                    store,
                    client: Box::new(client),
                };
                if let Err(error) = self.show_all().await {
                    return self.fail(error, Vec::new());
                }
                let online = Input::Online(self.options.online);
                Box::pin(self.turn(Work {
                    inputs: vec![online],
                    asked: Vec::new(),
                }))
                .await
            }
            Ok(None) => {
                self.phase = Phase::Empty { store };
                Ok(())
            }
            Err(error) => self.fail(error, Vec::new()),
        }
    }

    /// Closes every link, gives up work and makes ready for another run of the engine.
    fn drop_links(&mut self) {
        self.run += 1;
        self.working = None;
        self.links = links(&self.inbox, self.run);
    }

    /// Shows what tabs may have missed: what an engine committed and could not tell before its tab died.
    async fn show_all(&self) -> Result<(), StoreError> {
        let Phase::Ready { store, client } = &self.phase else {
            return Ok(());
        };
        let me = Me::new(&client.me(), &self.context);
        self.notify.event(ZenTalkEvent::Me { me });
        let connection = client.connection().into();
        self.notify.event(ZenTalkEvent::Connection { connection });
        let network = client.network().into();
        self.notify.event(ZenTalkEvent::Network { network });
        let mut scan = Query::Conversations.scan();
        scan.limit = SHOWN_CONVERSATIONS;
        for conversation in client.conversations(&store.scan(&scan).await?) {
            let conversation = Conversation::from(conversation);
            let message = conversation.last_message.clone();
            self.notify
                .event(ZenTalkEvent::Conversation { conversation });
            if let Some(message) = message {
                self.notify.event(ZenTalkEvent::Message { message });
            }
        }
        Ok(())
    }

    /// Drops the engine and everything that it wanted; restores it after a pause.
    pub(super) fn fail(&mut self, why: StoreError, asked: Vec<Asked>) -> Result<(), Over> {
        self.drop_links();
        let Some(reason) = why.failure() else {
            // Whoever took over answers.
            return Err(Over);
        };
        let doublings = self.failures.min(16);
        let pause = Duration::min(FIRST_PAUSE * (1 << doublings), LAST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Paused {
            why,
            until: now() + pause,
        };
        self.notify.event(ZenTalkEvent::StorageFailed { reason });
        for (_, responder) in asked {
            respond(responder, Err(unavailable(why)));
        }
        Ok(())
    }

    pub(super) fn create(&mut self, name: String, again: bool, responder: Responder) {
        match &self.phase {
            Phase::Paused { why, .. } => respond(responder, Err(unavailable(*why))),
            Phase::Ready { client, .. } => {
                let answer = if again {
                    Ok(Answer::Me(Me::new(&client.me(), &self.context)))
                } else {
                    Err(ApiError::new(ErrorCode::IdentityExists))
                };
                respond(responder, answer);
            }
            Phase::Empty { .. } => match &mut self.creating {
                Some(creating) if again => creating.waiting.push(responder),
                Some(_) => respond(responder, Err(ApiError::new(ErrorCode::IdentityExists))),
                None => self.begin_creating(name, responder),
            },
        }
    }

    fn begin_creating(&mut self, name: String, responder: Responder) {
        self.attempts += 1;
        let attempt = self.attempts;
        self.creating = Some(Creating {
            attempt,
            waiting: vec![responder],
        });
        let (inbox, notify) = (self.inbox.clone(), self.notify.clone());
        wasm_bindgen_futures::spawn_local(async move {
            let rows = create(name, notify).await;
            let _ = inbox.unbounded_send(Wake::Created(Created { attempt, rows }));
        });
    }

    /// Commits a new identity and starts its engine.
    pub(super) async fn created(&mut self, created: Created) -> Result<(), Over> {
        let current = self
            .creating
            .take_if(|creating| creating.attempt == created.attempt);
        let Some(Creating { waiting, .. }) = current else {
            return Ok(());
        };
        let refuse = |error: ApiError, waiting: Vec<Responder>| {
            let refuse = |responder| respond(responder, Err(error.clone()));
            waiting.into_iter().for_each(refuse);
            Ok(())
        };
        let rows = match created.rows {
            Ok(rows) => rows,
            Err(error) => return refuse(error, waiting),
        };
        let Phase::Empty { store } = &self.phase else {
            // The store has failed meanwhile.
            let error = ApiError::storage(StorageFailure::Unavailable);
            return refuse(error, waiting);
        };
        let committed = store.commit(&rows, &mut rng()).await;
        let asked = waiting.into_iter().map(|responder| (Want::Me, responder));
        let asked = asked.collect();
        if let Err(error) = committed {
            return self.fail(error, asked);
        }
        let step = CreatingStep::Publishing;
        self.notify.event(ZenTalkEvent::Creating { step });
        self.start().await?;
        self.turn(Work {
            inputs: Vec::new(),
            asked,
        })
        .await
    }

    /// Deletes the database and starts with an empty one.
    pub(super) async fn erase(&mut self, responder: Responder) -> Result<(), Over> {
        self.drop_links();
        // An identity in the making is not to come up after this.
        for waiting in self.creating.take().into_iter().flat_map(|c| c.waiting) {
            respond(waiting, Err(ApiError::new(ErrorCode::NoIdentity)));
        }
        self.phase = Phase::closed();
        match delete(&self.options.database).await {
            Ok(()) => {
                self.notify.event(ZenTalkEvent::Erased);
                self.start().await?;
                respond(responder, Ok(Answer::Done));
                Ok(())
            }
            Err(error) => self.fail(error, vec![(Want::Done, responder)]),
        }
    }

    /// Has packets encrypted and mixed like this from now on. An engine that does otherwise starts anew: no link and no
    /// packet under way outlives the change.
    pub(super) async fn set_route(
        &mut self,
        suite: OnionSuite,
        floor: Option<OnionSuite>,
        mixing: Mixing,
    ) -> Result<(), Over> {
        let before = self.net();
        self.options.onion_suite = Some(suite);
        self.options.onion_floor = floor;
        self.options.mixing = Some(mixing);
        if before == self.net() || !matches!(self.phase, Phase::Ready { .. }) {
            return Ok(());
        }
        self.drop_links();
        self.start().await
    }

    /// Takes a bootstrap list that was loaded late; the engine starts anew if it names other relays.
    pub(super) async fn bootstrap(&mut self, text: String) -> Result<(), Over> {
        let Ok(relays) = bootstrap::parse(&text) else {
            return Ok(());
        };
        self.offered = Some(text);
        if relays == self.relays || matches!(self.phase, Phase::Paused { .. }) {
            return Ok(());
        }
        self.drop_links();
        self.start().await
    }
}

/// Deletes a database, if its other connections close in time.
async fn delete(name: &str) -> Result<(), StoreError> {
    let deletion = Box::pin(Disk::delete(name));
    match select(deletion, TimeoutFuture::new(DELETE_DEADLINE_MS)).await {
        Either::Left((deleted, _)) => deleted,
        Either::Right(_) => Err(StoreError::Unavailable),
    }
}
