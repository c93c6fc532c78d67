//! Test support: the network simulator, the pool of test-only keys, and onions made for docs/interop.

pub mod fresh;
pub mod keys;
pub mod sim;
