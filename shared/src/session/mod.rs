//! Sessions.

mod envelope;
mod fragment;
mod reassembly;

pub use envelope::{Envelope, OpenError, SealError, open, seal, seal_message};
pub use fragment::{
    Fragment, FragmentError, FragmentKey, MAX_FRAGMENTS, MessageLength, SetId, split,
};
pub use reassembly::{Inserted, MAX_AGE, MAX_BYTES, MAX_SETS, Reassembly, RowError};

#[cfg(test)]
mod tests;
