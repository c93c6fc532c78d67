//! Tests of sessions.

mod convergence;
mod envelope;
mod envelope_vectors;
mod faults;
mod faults_of_transport;
mod fragment;
mod reassembly;
mod record;
mod support;
mod vectors;
