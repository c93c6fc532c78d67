//! Test support: the network simulator and the pool of test-only keys.

pub mod keys;
pub mod sim;
