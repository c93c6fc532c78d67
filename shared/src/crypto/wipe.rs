//! Wiping the stack: primitives keep keys and intermediate values in local variables, and Rust moves
//! values by copying them. What drops wipes itself, but not the copies.
//!
//! So every primitive that touches a secret runs in a frame of its own, and the stack below is
//! overwritten when it is done. Secrets that outlive the call live on the heap
//! ([`Secret`](super::Secret)), where moving copies nothing but a pointer. `tests/tests/secrets_wiped.rs` searches
//! the memory of a process for what is left.

use zeroize::zeroize_stack;

/// Enough for hashes, ciphers and MACs.
pub(crate) const SMALL: usize = 4 << 10;
/// Enough for curve arithmetic, and for the tree of BLAKE3.
pub(crate) const CURVE: usize = 16 << 10;
/// Enough for lattice arithmetic.
pub(crate) const LATTICE: usize = 128 << 10;

/// Runs `work` and then overwrites the `STACK` bytes of stack that it may have used. What it returns must
/// hold its secrets on the heap.
pub(crate) fn wiping<const STACK: usize, T>(work: impl FnOnce() -> T) -> T {
    let result = apart(work);
    zeroize_stack::<STACK>();
    result
}

/// A frame of its own, below which everything is `work`'s.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}
