//! The browser's clock and generator: what the engine gets as arguments.

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use zentalk_shared::time::Timestamp;

/// The clock, as the person's device has it.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_ms(js_sys::Date::now() as u64)
}

/// The generator: `crypto.getRandomValues`, which does not fail for the lengths used here.
pub(crate) fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}
