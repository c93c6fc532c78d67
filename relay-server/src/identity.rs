//! The relay's keys on disk: an RSA-4096 key that is its name, and the Ed25519 key that it has certified.

use std::io;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use thiserror::Error;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::rsa::{
    GenerateError, MAX_PKCS8_LEN, RsaKeyError, RsaPrivateError, RsaSecret, RsaSignature,
};
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::onion::RelaySigner;
use zeroize::Zeroizing;

use crate::files;

/// PKCS#8 DER of the RSA key.
const RSA_KEY: &str = "relay-rsa4096.pk8";
/// Seed of the Ed25519 key ‖ the RSA key's signature over its public key.
const RELAY_KEY: &str = "relay-ed25519.key";
const RELAY_KEY_LEN: usize = 32 + RsaSignature::LEN;

/// All of it, for a backup.
pub const KEY_FILES: [&str; 2] = [RSA_KEY, RELAY_KEY];

/// The relay has no usable identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A key file cannot be read or written.
    #[error("cannot use the key file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file does not hold a key.
    #[error(
        "the key file {0} is damaged; restore it from a backup, or remove all key files to become a new relay"
    )]
    Damaged(PathBuf),
    /// No key could be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The RSA key is inconsistent.
    #[error(transparent)]
    Sign(#[from] RsaPrivateError),
    /// The RSA key cannot be encoded.
    #[error(transparent)]
    Encode(#[from] RsaKeyError),
}

/// Loads the identity in `directory`, or makes one. An RSA key takes some seconds, said in the log.
pub fn load_or_create(
    directory: &Path,
    rng: &mut impl CryptoRng,
) -> Result<RelaySigner, IdentityError> {
    let rsa = rsa_key(&directory.join(RSA_KEY), rng)?;
    let path = directory.join(RELAY_KEY);
    match read(&path, RELAY_KEY_LEN)? {
        Some(stored) => restore(&rsa, &stored).ok_or(IdentityError::Damaged(path)),
        None => {
            let signer = RelaySigner::certify(&rsa, SigningKey::random(rng), rng)?;
            let mut stored = Zeroizing::new(Vec::with_capacity(RELAY_KEY_LEN));
            stored.extend_from_slice(signer.signing_key().to_seed().as_bytes());
            stored.extend_from_slice(signer.certificate().as_bytes());
            write(&path, &stored)?;
            Ok(signer)
        }
    }
}

/// Loads the identity in `directory`, if it is there whole.
pub fn load(directory: &Path) -> Result<Option<RelaySigner>, IdentityError> {
    let path = directory.join(RSA_KEY);
    let Some(der) = read(&path, MAX_PKCS8_LEN)? else {
        return Ok(None);
    };
    let rsa = RsaSecret::from_pkcs8_der(&der).map_err(|_| IdentityError::Damaged(path))?;
    let path = directory.join(RELAY_KEY);
    match read(&path, RELAY_KEY_LEN)? {
        None => Ok(None),
        Some(stored) => restore(&rsa, &stored)
            .map(Some)
            .ok_or(IdentityError::Damaged(path)),
    }
}

fn rsa_key(path: &Path, rng: &mut impl CryptoRng) -> Result<RsaSecret, IdentityError> {
    if let Some(der) = read(path, MAX_PKCS8_LEN)? {
        return RsaSecret::from_pkcs8_der(&der)
            .map_err(|_| IdentityError::Damaged(path.to_owned()));
    }
    tracing::info!("first start: making this relay's RSA-4096 key, which takes some seconds");
    let started = std::time::Instant::now();
    let rsa = RsaSecret::generate(rng)?;
    write(path, &rsa.to_pkcs8_der()?)?;
    tracing::info!(
        seconds = started.elapsed().as_secs(),
        "the key is made and saved"
    );
    Ok(rsa)
}

fn restore(rsa: &RsaSecret, stored: &[u8]) -> Option<RelaySigner> {
    let (seed, certificate) = stored.split_at_checked(32)?;
    let seed = Secret32::try_from(seed).ok()?;
    let certificate = RsaSignature::try_from(certificate).ok()?;
    RelaySigner::from_parts(
        rsa.public().clone(),
        certificate,
        SigningKey::from_seed(&seed),
    )
    .ok()
}

fn read(path: &Path, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    let file = |source| IdentityError::File {
        path: path.to_owned(),
        source,
    };
    files::read_private(path, max as u64)
        .map(|bytes| bytes.map(Zeroizing::new))
        .map_err(file)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let file = |source| IdentityError::File {
        path: path.to_owned(),
        source,
    };
    files::write_private(path, bytes).map_err(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// A relay key of the test pool, as an operator would restore it from a backup.
    fn with_test_key() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let pool = include_bytes!("../../tests/keys/relay-rsa4096.TEST-ONLY.bin");
        let length = usize::from(u16::from_be_bytes([pool[0], pool[1]]));
        files::write_private(&directory.path().join(RSA_KEY), &pool[2..2 + length]).unwrap();
        directory
    }

    #[test]
    fn an_identity_is_the_same_after_a_restart() {
        let directory = with_test_key();
        assert!(load(directory.path()).unwrap().is_none(), "half of it");
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let first = load_or_create(directory.path(), &mut rng).unwrap();
        let second = load_or_create(directory.path(), &mut rng).unwrap();
        let third = load(directory.path()).unwrap().unwrap();
        assert_eq!(first.node(), third.node());
        assert_eq!(first.node(), second.node());
        assert_eq!(
            first.signing_key().verifying_key(),
            second.signing_key().verifying_key()
        );
    }

    #[test]
    fn damage_is_named_and_never_replaced() {
        let directory = with_test_key();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        load_or_create(directory.path(), &mut rng).unwrap();
        let path = directory.path().join(RELAY_KEY);
        let mut stored = std::fs::read(&path).unwrap();
        stored[0] ^= 1;
        std::fs::write(&path, &stored).unwrap();
        let error = load_or_create(directory.path(), &mut rng)
            .unwrap_err()
            .to_string();
        assert!(error.contains(RELAY_KEY), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), stored);
    }
}
