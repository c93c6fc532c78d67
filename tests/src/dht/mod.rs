//! The DHT at scale: thousands of whole relays' DHT nodes in one thread and virtual time.
//!
//! The nodes are the real code of `zentalk_shared::dht`, frames and all. Made up are the network between them
//! ([`world`]), their comings and goings ([`churn`]), the liars among them ([`liars`]) and a signature scheme that costs
//! nothing ([`records`]). What is measured is in [`matrix`], and drawn by [`plot`].

pub mod churn;
pub mod liars;
pub mod matrix;
pub mod plot;
pub mod records;
pub mod report;
pub mod sorted;
pub mod world;
