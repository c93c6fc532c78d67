//! One turn of the engine: inputs in, one batch out, nothing outside touched.
//!
//! ```text
//!   let mut turn = Turn::new(inputs);
//!   while let Some(keys) = turn.reads(&client) {           // what the next input must read
//!       let loaded = store.load(keys).await;
//!       turn.step(&mut client, loaded, now, &mut rng);     // may queue further steps
//!   }
//!   let batch = turn.finish();
//!   store.commit(fence, &batch.writes).await?;             // failed: drop the engine, restore it
//!   perform(batch.effects);                                // only now may bytes leave
//! ```

use std::collections::VecDeque;

use rand_core::CryptoRng;

use super::api::{Batch, Input, Internal};
use super::engine::Client;
use super::store::{Key, Loaded};
use crate::time::Timestamp;

/// A turn under way.
#[derive(Debug)]
pub struct Turn {
    inputs: VecDeque<Input>,
    batch: Batch,
}

impl Turn {
    /// A turn of one or more inputs, taken in order.
    pub fn new(inputs: impl IntoIterator<Item = Input>) -> Self {
        Self {
            inputs: inputs.into_iter().collect(),
            batch: Batch::default(),
        }
    }

    /// Rows that the next input must read; `None` when the turn is over.
    pub fn reads(&self, client: &Client) -> Option<Vec<Key>> {
        self.inputs.front().map(|input| client.reads(input))
    }

    /// Handles the next input. `loaded` holds what the store has of [`Turn::reads`].
    pub fn step(
        &mut self,
        client: &mut Client,
        mut loaded: Loaded,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Some(input) = self.inputs.pop_front() else {
            return;
        };
        loaded.overlay(self.batch.writes.iter());
        client.handle(input, &loaded, &mut self.batch, now, rng);
        // Steps come before the inputs that were already waiting: depth first, in order.
        while let Some(step) = self.batch.steps.pop() {
            self.inputs.push_front(Input::Internal(Internal(step)));
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        debug_assert!(self.inputs.is_empty(), "a turn was finished before its end");
        self.batch
    }
}
