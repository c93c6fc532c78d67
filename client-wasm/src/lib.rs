//! The client engine for browsers: `zentalk_shared::client` with a host around it.
//!
//! ```text
//!   page ── js/index.ts ══ worker ── js/worker.ts ── Host ── engine
//!   other tabs ═ BroadcastChannel ═════╝                ├── store: IndexedDB, sealed, strict, fenced
//!                                                       └── link: WebSocket
//! ```
//! Everything here runs in a dedicated worker. TypeScript decides which tab's worker has a [`host::Host`]
//! (`js/tab.ts`); the types of both sides are those of [`api`]. No protocol logic lives here.

pub mod api;
pub mod bootstrap;
pub mod data_key;
mod hex;
pub mod host;
pub mod link;
mod platform;
pub mod store;
pub mod web_crypto;
mod work;

#[cfg(all(test, target_arch = "wasm32"))]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// Runs when the module is loaded: development builds print where they panic.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn start() {
    if cfg!(debug_assertions) {
        console_error_panic_hook::set_once();
    }
}
