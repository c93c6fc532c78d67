//! Makes the pool of TEST-ONLY RSA keys in `tests/keys/`. Run once; the files are committed.
//!
//! `cargo run -p zentalk-tests --example make_test_keys`. It needs a minute or two, and refuses to
//! overwrite a pool that is there: identities in recorded tests depend on it.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use zentalk_shared::crypto::rsa::RsaSecret;

fn main() -> Result<(), Box<dyn Error>> {
    make("account-rsa4096.TEST-ONLY.bin", 64)?;
    make("relay-rsa4096.TEST-ONLY.bin", 32)
}

/// Writes `count` fresh keys, each as u16-BE length ‖ PKCS#8 DER.
fn make(name: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("keys")
        .join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    for number in 1..=count {
        let der = RsaSecret::generate(&mut UnwrapErr(SysRng))?.to_pkcs8_der()?;
        file.write_all(&u16::try_from(der.len())?.to_be_bytes())?;
        file.write_all(&der)?;
        println!("{name}: {number} of {count}");
    }
    Ok(())
}
