//! What drives the engine in a browser: one loop that owns the store, the sockets and the clock.
//!
//! ```text
//!   requests ─┐                    ┌─▶ commit (strict, fenced) ─▶ frames ─▶ sockets
//!   sockets ──┼─▶ inbox ─▶ turn ───┤                         └──▶ events, answers ─▶ tabs
//!   timer ────┘     ▲              └─ failed: nothing leaves; engine dropped, restored after a pause
//!                   └─ store: rows that the inputs must read
//! ```

mod answer;
mod boot;
mod create;
mod runner;

use futures_channel::{mpsc, oneshot};
use js_sys::Function;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;
use zentalk_shared::client::WorkId;
use zentalk_shared::rpc::Work;

use crate::api::{Answer, ApiError, ErrorCode, HostNotice, HostOptions, Request, ZenTalkEvent};
use crate::link::LinkEvent;
use create::Created;
use runner::Runner;

/// The answer to a request, once there is one. Dropped when another tab is to answer instead.
type Responder = oneshot::Sender<Result<Answer, ApiError>>;

/// What wakes the loop.
enum Wake {
    /// From the links of the given run of the engine; what earlier ones still had to say is void.
    Link(u64, LinkEvent),
    /// A piece of work of the given run of the engine is done.
    Worked(u64, WorkId, Work),
    Ask(Request, Responder),
    Online(bool),
    Bootstrap(String),
    Created(Created),
    Close(oneshot::Sender<()>),
}

/// The engine's host. The worker that leads has one; the others have none.
#[wasm_bindgen]
pub struct Host {
    inbox: mpsc::UnboundedSender<Wake>,
}

#[wasm_bindgen]
impl Host {
    /// Takes the database over and starts. Failures of the store do not fail this: they are told as
    /// events, and requests are answered with them until the store works.
    ///
    /// `notify` is called with every `HostNotice`.
    #[wasm_bindgen(constructor)]
    pub fn new(options: Ts<HostOptions>, notify: Function) -> Result<Host, JsValue> {
        let options = options
            .to_rust()
            .map_err(|error| rejection(&invalid(&error.to_string())))?;
        let (inbox, wakes) = mpsc::unbounded();
        let runner = Runner::new(options, Notify(notify), inbox.clone(), wakes);
        wasm_bindgen_futures::spawn_local(runner.run());
        Ok(Self { inbox })
    }

    /// Answers a request, or rejects with an `ApiError`.
    pub async fn request(&self, request: Ts<Request>) -> Result<Ts<Answer>, JsValue> {
        let inbox = self.inbox.clone();
        let answer = ask(inbox, request)
            .await
            .map_err(|error| rejection(&error))?;
        answer
            .into_ts()
            .map_err(|_| rejection(&ApiError::new(ErrorCode::Internal)))
    }

    /// Says whether the browser believes that there is a network.
    pub fn online(&self, online: bool) {
        let _ = self.inbox.unbounded_send(Wake::Online(online));
    }

    /// Hands a bootstrap list in that was loaded later.
    pub fn bootstrap(&self, text: String) {
        let _ = self.inbox.unbounded_send(Wake::Bootstrap(text));
    }

    /// Resolves when the last commit is done, every link closed and the database released.
    pub async fn close(&self) {
        let inbox = self.inbox.clone();
        let (sender, receiver) = oneshot::channel();
        let _ = inbox.unbounded_send(Wake::Close(sender));
        // Cancelled means that the loop has ended already.
        let _ = receiver.await;
    }
}

async fn ask(inbox: mpsc::UnboundedSender<Wake>, request: Ts<Request>) -> Result<Answer, ApiError> {
    let request = request
        .to_rust()
        .map_err(|error| invalid(&error.to_string()))?;
    let (responder, answer) = oneshot::channel();
    let closed = || ApiError::new(ErrorCode::Closed);
    inbox
        .unbounded_send(Wake::Ask(request, responder))
        .map_err(|_| closed())?;
    answer.await.map_err(|_| closed())?
}

fn invalid(why: &str) -> ApiError {
    ApiError::with(
        ErrorCode::Internal,
        &format!("ZenTalk was asked for something it does not know: {why}."),
    )
}

fn rejection(error: &ApiError) -> JsValue {
    error
        .into_js()
        .map_or_else(|_| JsValue::from_str(&error.message), JsValue::from)
}

/// The way out to the worker.
#[derive(Clone)]
struct Notify(Function);

impl Notify {
    fn event(&self, event: ZenTalkEvent) {
        self.notice(&HostNotice::Event {
            event: Box::new(event),
        });
    }

    fn notice(&self, notice: &HostNotice) {
        if let Ok(notice) = notice.into_js() {
            // A listener that throws is the listener's fault; the engine goes on.
            let _ = self.0.call1(&JsValue::UNDEFINED, &notice);
        }
    }
}
