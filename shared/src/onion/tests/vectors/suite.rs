//! What the vectors need of a suite: keys by number, how they are written, and its KEM by hand.

use crate::crypto::Secret32;
use crate::crypto::dh::X25519Secret;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem, XWingSecret};
use crate::crypto::rsa::RsaSecret;
use crate::test_support::{account_rsa, hkdf_by_hand, rng};

/// A suite with a file of its own.
pub(super) trait VectorSuite: Kem {
    /// The file.
    const FILE: &str;
    /// How many bytes encapsulation draws.
    const RANDOMNESS: usize;

    /// The onion key of relay `index`.
    fn secret(index: u8) -> Self::Secret;
    /// A key as the file has it.
    fn read(bytes: &[u8]) -> Self::Secret;
    /// The other way round.
    fn write(secret: &Self::Secret) -> Vec<u8>;
    /// The KEM's secret, without [`Kem::decapsulate`].
    fn by_hand(secret: &Self::Secret, ciphertext: &[u8]) -> Vec<u8>;

    /// What a relay derives from its key and a header, by hand.
    fn layer(secret: &Self::Secret, header: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let ss = Self::by_hand(secret, &header[4..4 + Self::CIPHERTEXT_LEN]);
        let mut fields = material(Self::SUITE, &ss);
        fields.insert(0, ("ss", ss));
        fields
    }
}

impl VectorSuite for X25519Kem {
    const FILE: &str = "onion.txt";
    const RANDOMNESS: usize = 32;

    fn secret(index: u8) -> X25519Secret {
        X25519Secret::from_bytes(&Secret32::from_bytes([index; 32]))
    }

    fn read(bytes: &[u8]) -> X25519Secret {
        X25519Secret::from_bytes(&Secret32::try_from(bytes).unwrap())
    }

    fn write(secret: &X25519Secret) -> Vec<u8> {
        secret.to_bytes().as_bytes().to_vec()
    }

    fn by_hand(secret: &X25519Secret, ciphertext: &[u8]) -> Vec<u8> {
        let dh = secret.diffie_hellman(&ciphertext.try_into().unwrap());
        let public = secret.public().as_bytes();
        let input = [dh.unwrap().as_bytes(), ciphertext, public].concat();
        blake2b_256_concat(b"ZenTalk kem x25519 v1", &input).to_vec()
    }
}

impl VectorSuite for XWingKem {
    const FILE: &str = "onion-xwing.txt";
    const RANDOMNESS: usize = 64;

    fn secret(index: u8) -> XWingSecret {
        XWingSecret::from_seed(Secret32::from_bytes([index; 32]))
    }

    fn read(bytes: &[u8]) -> XWingSecret {
        XWingSecret::from_seed(Secret32::try_from(bytes).unwrap())
    }

    fn write(secret: &XWingSecret) -> Vec<u8> {
        secret.seed().as_bytes().to_vec()
    }

    /// By the crate `x-wing`, which has nothing in common with ours.
    fn by_hand(secret: &XWingSecret, ciphertext: &[u8]) -> Vec<u8> {
        use x_wing::Decapsulate;
        let key = x_wing::DecapsulationKey::from(*secret.seed().as_bytes());
        let ciphertext: [u8; Self::CIPHERTEXT_LEN] = ciphertext.try_into().unwrap();
        key.decapsulate((&ciphertext).into()).to_vec()
    }
}

impl VectorSuite for Rsa4096Kem {
    const FILE: &str = "onion-rsa4096.txt";
    const RANDOMNESS: usize = 64;

    fn secret(index: u8) -> RsaSecret {
        account_rsa(usize::from(index) - 1)
    }

    fn read(bytes: &[u8]) -> RsaSecret {
        RsaSecret::from_pkcs8_der(bytes).unwrap()
    }

    fn write(secret: &RsaSecret) -> Vec<u8> {
        secret.to_pkcs8_der().unwrap().to_vec()
    }

    fn by_hand(secret: &RsaSecret, ciphertext: &[u8]) -> Vec<u8> {
        let random = secret.decrypt_oaep(ciphertext.try_into().unwrap(), &mut rng(0));
        let input = [&random.unwrap()[..], ciphertext].concat();
        blake2b_256_concat(b"ZenTalk kem rsa4096 v1", &input).to_vec()
    }
}

/// The keys of a hop, by hand from the KEM's secret.
pub(super) fn material(suite: u8, ss: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let material = hkdf_by_hand(b"ZenTalk onion v1", ss, &[suite], 208);
    vec![
        ("routing key", material[..32].to_vec()),
        ("mac key", material[32..64].to_vec()),
        ("replay tag", material[64..80].to_vec()),
        ("body key", material[80..].to_vec()),
    ]
}
