//! Tests of sessions.

mod convergence;
mod envelope;
mod faults;
mod fragment;
mod reassembly;
mod record;
mod support;
