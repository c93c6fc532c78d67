//! Relays, their disks and clients in one thread: what the parts of the core do together.

mod abuse;
mod caps;
mod crash;
mod dht;
mod dial_back;
mod links;
mod mail;
pub(in crate::core) mod net;
mod onions;
mod people;
mod places;
mod reload;
mod services;
mod strangers;
mod swarm;
mod swarm_abuse;
