//! Relays, their disks and clients in one thread: what the parts of the core do together.

mod abuse;
mod crash;
mod links;
mod mail;
mod net;
mod onions;
mod people;
mod services;
