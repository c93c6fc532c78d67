//! The relay: a core without IO and a thin daemon around it.

pub mod core;
pub mod files;
pub mod store;
