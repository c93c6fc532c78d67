//! RSA encrypts nothing but the KEM secret of an onion hop: content would have no forward secrecy.

use super::Finding;
use super::source::Tree;

/// Where RSA-OAEP is defined, and the one place that uses it: the onion suite.
const ALLOWED: [&str; 2] = ["shared/src/crypto/rsa.rs", "shared/src/crypto/kem.rs"];

/// Names of the operation: ours, and the scheme of the crate below.
const NAMES: [&str; 4] = ["encrypt_oaep", "decrypt_oaep", "Oaep", "Pkcs1v15Encrypt"];

/// Nobody but the onion's KEM encrypts to an RSA key.
pub(super) fn rsa_encrypts_onion_keys_only(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        if ALLOWED.contains(&source.path.as_str()) {
            continue;
        }
        let uses = source
            .code()
            .filter(|token| NAMES.contains(&token.text.as_str()));
        for token in uses {
            let message = format!(
                "`{}`: nothing but the onion's KEM encrypts to RSA; content needs a ratchet",
                token.text
            );
            findings.push(Finding::new(&source.path, token.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        rsa_encrypts_onion_keys_only(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn fault_09_content_encrypted_to_rsa_is_found() {
        let call = "fn seal(k: &RsaPublic) { k.encrypt_oaep(text, rng); }";
        assert_eq!(found("shared/src/session/envelope.rs", call), 1);
        assert_eq!(found("shared/src/client/outbox.rs", call), 1);
        assert_eq!(found("shared/src/crypto/kem.rs", call), 0);
        let below = "use rsa::{Oaep, Pkcs1v15Encrypt};";
        assert_eq!(found("api-server/src/lib.rs", below), 2);
    }

    #[test]
    fn tests_may_use_it() {
        let test = "#[cfg(test)] mod t { fn a() { k.encrypt_oaep(b, r); } }";
        assert_eq!(found("shared/src/session/envelope.rs", test), 0);
        assert_eq!(
            found("shared/tests/wycheproof.rs", "fn a() { b.decrypt_oaep(); }"),
            0
        );
    }
}
