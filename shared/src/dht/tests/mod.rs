//! Tests of the DHT: its parts by themselves, and whole relays that talk to each other in memory.

mod faults;
mod lookup;
mod messages;
mod network;
mod node;
mod store;
pub(in crate::dht) mod support;
mod table;
mod vectors;
