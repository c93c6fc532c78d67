//! The committed pool of TEST-ONLY RSA-4096 keys.
//!
//! A key takes about a second to generate, so tests and simulations draw from this pool. Everybody can
//! read it: a key of it protects nothing and must never serve a person or a relay in the open.
//!
//! Two files, made once by `cargo run -p zentalk-tests --example make_test_keys`: each is a sequence of
//! keys, and each key is its length as u16 big-endian followed by that many bytes of PKCS#8 DER.

use zentalk_shared::crypto::rsa::RsaSecret;

/// How many account keys there are.
pub const ACCOUNTS: usize = 64;
/// How many relay keys there are.
pub const RELAYS: usize = 32;

const ACCOUNT_POOL: &[u8] = include_bytes!("../keys/account-rsa4096.TEST-ONLY.bin");
const RELAY_POOL: &[u8] = include_bytes!("../keys/relay-rsa4096.TEST-ONLY.bin");

/// The test-only account key number `index` (0 to 63), decoded.
///
/// # Panics
/// If there is no key of that number.
pub fn account(index: usize) -> RsaSecret {
    decode(account_der(index))
}

/// The test-only relay key number `index` (0 to 31), decoded.
///
/// # Panics
/// If there is no key of that number.
pub fn relay(index: usize) -> RsaSecret {
    decode(relay_der(index))
}

/// The PKCS#8 DER of the account key number `index`.
///
/// # Panics
/// If there is no key of that number.
pub fn account_der(index: usize) -> &'static [u8] {
    keys(ACCOUNT_POOL)
        .nth(index)
        .expect("the account pool holds 64 keys")
}

/// The PKCS#8 DER of the relay key number `index`.
///
/// # Panics
/// If there is no key of that number.
pub fn relay_der(index: usize) -> &'static [u8] {
    keys(RELAY_POOL)
        .nth(index)
        .expect("the relay pool holds 32 keys")
}

fn decode(der: &[u8]) -> RsaSecret {
    RsaSecret::from_pkcs8_der(der).expect("the pool holds RSA-4096 keys")
}

fn keys(pool: &'static [u8]) -> impl Iterator<Item = &'static [u8]> {
    let mut rest = pool;
    core::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (key, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = tail;
        Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_pools_hold_what_they_promise_and_no_key_twice() {
        let accounts: Vec<_> = keys(ACCOUNT_POOL).collect();
        let relays: Vec<_> = keys(RELAY_POOL).collect();
        assert_eq!((accounts.len(), relays.len()), (ACCOUNTS, RELAYS));
        let distinct: HashSet<_> = accounts.into_iter().chain(relays).collect();
        assert_eq!(distinct.len(), ACCOUNTS + RELAYS);
    }

    #[test]
    fn the_first_and_last_keys_decode() {
        assert_ne!(account(0).public(), account(ACCOUNTS - 1).public());
        assert_ne!(relay(0).public(), relay(RELAYS - 1).public());
    }
}
