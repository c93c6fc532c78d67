//! Tests of the whole net against relays in memory that peel real onions.

mod cover;
mod directory;
mod guards;
mod random;
mod replies;
mod suites;
mod world;
