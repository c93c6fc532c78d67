//! The relay without IO: bytes, answers of the store and `now` in; frames, operations and closings out.

pub mod io;
pub mod mem_store;
pub mod store;

#[cfg(test)]
pub(crate) mod conformance;
