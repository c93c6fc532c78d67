//! Proof of work beside everything else: a step at a time, so that this thread answers in between.

use futures_util::future::{AbortHandle, Abortable};
use gloo_timers::future::TimeoutFuture;
use zentalk_shared::client::{WorkId, WorkJob};
use zentalk_shared::rpc::Work;

/// A piece of work under way; dropping it gives it up.
pub(crate) struct Working(AbortHandle);

impl Working {
    /// Begins. A step takes some tens of milliseconds; messages of tabs and sockets come between two.
    pub(crate) fn start(job: WorkJob, done: impl FnOnce(WorkId, Work) + 'static) -> Self {
        let WorkJob { id, mut solver } = job;
        let (handle, registration) = AbortHandle::new_pair();
        let work = async move {
            loop {
                TimeoutFuture::new(0).await;
                if let Some(work) = solver.step() {
                    return done(id, work);
                }
            }
        };
        wasm_bindgen_futures::spawn_local(async move {
            // Nobody waits for what was given up.
            let _ = Abortable::new(work, registration).await;
        });
        Self(handle)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}
