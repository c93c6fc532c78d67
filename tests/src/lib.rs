//! Test support: the network simulator and that of the DHT, the pool of test-only keys, and onions made for docs/interop.

pub mod dht;
pub mod fresh;
pub mod keys;
pub mod sim;
