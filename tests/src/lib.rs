//! Test support: the network simulator and that of the DHT, what relays could find out in the former, people and relay
//! processes on real sockets, the pool of test-only keys, and onions made for docs/interop.

pub mod adversary;
pub mod dht;
pub mod fresh;
pub mod keys;
pub mod live;
pub mod sim;
