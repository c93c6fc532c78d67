//! The fuzzer: libFuzzer around the target that `ZENTALK_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use zentalk_fuzz::Target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("ZENTALK_FUZZ_TARGET").unwrap_or_default();
    zentalk_fuzz::find(&name).unwrap_or_else(|| {
        eprintln!("ZENTALK_FUZZ_TARGET names no target: `{name}`");
        std::process::exit(2);
    })
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
