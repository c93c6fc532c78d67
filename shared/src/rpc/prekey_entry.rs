//! Prekeys as relays hold them: sealed, so that nobody learns from them whose mailbox it is. PROTOCOL §8.

use rand_core::CryptoRng;

use crate::crypto::aead::{Aes256GcmKey, NONCE_LEN};
use crate::crypto::kdf::extract_expand;
use crate::crypto::secret::Secret32;
use crate::id::{Address, MailboxId};

/// Seals a prekey base or a one-time prekey. `None` only for contents beyond AES-GCM's limit.
pub fn seal_prekey_entry(
    address: &Address,
    mailbox: &MailboxId,
    entry: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<Vec<u8>> {
    seal_under(&entry_key(address, mailbox), entry, rng)
}

/// Opens what [`seal_prekey_entry`] sealed; `None` if it was sealed for another or changed since.
pub fn open_prekey_entry(address: &Address, mailbox: &MailboxId, sealed: &[u8]) -> Option<Vec<u8>> {
    open_under(&entry_key(address, mailbox), sealed)
}

fn entry_key(address: &Address, mailbox: &MailboxId) -> Secret32 {
    extract_expand(
        b"ZenTalk prekeys v1",
        address.as_bytes(),
        mailbox.as_bytes(),
    )
}

/// nonce ‖ AES-256-GCM.
pub(super) fn seal_under(
    key: &Secret32,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let sealed = Aes256GcmKey::new(key).seal(&nonce, b"", plaintext).ok()?;
    Some([nonce.as_slice(), &sealed].concat())
}

pub(super) fn open_under(key: &Secret32, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    Aes256GcmKey::new(key).open(nonce, b"", sealed).ok()
}
