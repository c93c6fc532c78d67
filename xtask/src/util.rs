//! What every command shares: where things are, how programs run, what the person sees.

pub(crate) mod process;
pub(crate) mod stamp;
pub(crate) mod ui;
pub(crate) mod workspace;
