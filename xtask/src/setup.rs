//! Getting every tool that building and testing need. Each step looks first, does nothing when all
//! is there, and says what to do when it cannot go on.

pub(crate) mod apt;
pub(crate) mod bindgen;
pub(crate) mod browser;
pub(crate) mod disk;
pub(crate) mod namespaces;
pub(crate) mod node;
pub(crate) mod python;
pub(crate) mod wasm_std;
