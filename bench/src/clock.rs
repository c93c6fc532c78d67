//! Time in microseconds, natively and in a browser.

/// Microseconds since some moment of this process.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn now() -> f64 {
    use std::sync::LazyLock;
    use std::time::Instant;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e6
}

/// Microseconds since the page began; in steps of 5 on a page that is isolated from other origins.
#[cfg(target_arch = "wasm32")]
pub(crate) fn now() -> f64 {
    thread_local! {
        static PERFORMANCE: web_sys::Performance = web_sys::window()
            .and_then(|window| window.performance())
            .expect("a page has a clock");
    }
    PERFORMANCE.with(|performance| performance.now() * 1e3)
}
