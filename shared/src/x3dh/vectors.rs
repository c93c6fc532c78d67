//! `shared/tests/vectors/pqxdh.txt`: prekeys, bundles and agreements with every secret on the way.
//!
//! [`generate`] makes the file and compares; with `ZENTALK_WRITE_VECTORS=1` it
//! writes it. The other tests read the file, know nothing of how it was made, and compute every secret a
//! second time by hand.

mod generate;

use super::agreement::Inputs;
use super::prekeys::{KemPreKey, OneTimePreKey, SignedPreKey};
use super::*;
use crate::crypto::Secret32;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::hash::{blake2b_128_concat, blake2b_256_concat};
use crate::crypto::ml_kem::{MlKemCiphertext, MlKemPublic, MlKemSecret};
use crate::crypto::sign::{Signature, SigningKey, framed};
use crate::identity::test_support::{MADE, account, certificate, device};
use crate::identity::{AccountKeys, SignedCertificate, UnverifiedCertificate};
use crate::test_support::{
    Script, Vector, VectorFile, assert_failures_first, hkdf_by_hand, vector_file, vectors,
    vectors_of,
};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{from_cbor, to_cbor};

fn file() -> &'static str {
    vector_file("pqxdh.txt")
}

const HEAD: &str = "\
PQXDH and prekeys, PROTOCOL §8. Hex; XX^N is the byte XX N times; spaces join. Ids are u32, times u64 ms.
Given first, then failures, then the rest. Written by x3dh::vectors from fixed inputs; its tests compute each
secret again by hand (HMAC-SHA256 only). Checked with Python (hmac, hashlib, and cryptography on OpenSSL).

party: a device. account_keys, certificate: CBOR. device_seed: of its Ed25519 key. identity_*: X25519.
key derivation: sk from the DH values and the KEM secret ss. `different`: what a wrong order would give.
signed prekey, kem prekey: bytes is the CBOR, signed the bytes under the signature: domain, 00, message.
bundle: what a relay serves of the responder; now is the reader's clock.
agreement: the initiator made ephemeral_* and encapsulated with the randomness kem_m to the KEM prekey that
it used. The responder has signed_prekey, last_resort and perhaps one one_time entry (one_time,
one_time_kem), whose ids follow their names; used_* are the ids in the first message. kem seeds are FIPS 203's
d, z. ikm is what goes into HKDF; session_id is that of the session.";

/// One device of the file.
pub(crate) struct Party {
    pub(crate) account: AccountKeys,
    pub(crate) certificate: SignedCertificate,
    pub(crate) signing: SigningKey,
    pub(crate) identity: X25519Secret,
}

impl Party {
    fn me(&self) -> LocalIdentity<'_> {
        LocalIdentity {
            identity: &self.identity,
            certificate: &self.certificate,
        }
    }
}

/// The party of that name, with everything about it checked.
pub(crate) fn party(name: &str) -> Party {
    let found = vectors(file())
        .into_iter()
        .find(|vector| vector.has("name") && vector.text("name") == name);
    let vector = found.unwrap();
    let account: AccountKeys = from_cbor(&vector.bytes("account_keys"), 4096).unwrap();
    assert_eq!(account.address().as_bytes()[..], vector.bytes("address"));
    let certificate = UnverifiedCertificate::decode(&vector.bytes("certificate")).unwrap();
    let certificate = certificate.verify(&account).unwrap();
    assert_eq!(
        certificate.hash().as_bytes()[..],
        vector.bytes("certificate_hash")
    );
    let signing = SigningKey::from_seed(&secret(&vector, "device_seed"));
    assert_eq!(*certificate.signing_key(), signing.verifying_key());
    assert_eq!(
        signing.verifying_key().as_bytes()[..],
        vector.bytes("device_key")
    );
    assert_eq!(
        certificate.device_id().as_bytes()[..],
        vector.bytes("device_id")
    );
    let identity = X25519Secret::from_bytes(&secret(&vector, "identity_secret"));
    assert_eq!(identity.public(), certificate.identity_key());
    assert_eq!(
        identity.public().as_bytes()[..],
        vector.bytes("identity_key")
    );
    Party {
        account,
        certificate,
        signing,
        identity,
    }
}

/// The prekey secrets that the responder of an agreement has, as it would store them; its one-time ones
/// only if it still has them.
pub(crate) fn responder_prekeys(vector: &Vector, with_one_time: bool) -> PreKeySecrets {
    type Encoder = minicbor::Encoder<Vec<u8>>;
    let stored = |e: &mut Encoder, id: &str, secret: &str| {
        e.map(3)
            .unwrap()
            .u8(0)
            .unwrap()
            .u32(u32_of(vector, id))
            .unwrap();
        e.u8(1).unwrap().bytes(&vector.bytes(secret)).unwrap();
        e.u8(2).unwrap().u64(MADE.as_ms()).unwrap();
    };
    let rotated = |e: &mut Encoder, id: &str, secret: &str| {
        e.map(2).unwrap().u8(0).unwrap();
        stored(e, id, secret);
        e.u8(1).unwrap().array(0).unwrap();
    };
    let perhaps = |e: &mut Encoder, id: &str, secret: &str| {
        let has = with_one_time && vector.has(id);
        e.array(u64::from(has)).unwrap();
        if has {
            stored(e, id, secret);
        }
    };
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(6).unwrap().u8(0).unwrap().u8(1).unwrap();
    e.u8(1).unwrap().u32(1000).unwrap();
    e.u8(2).unwrap();
    rotated(&mut e, "signed_prekey_id", "signed_prekey_secret");
    e.u8(3).unwrap();
    rotated(&mut e, "last_resort_id", "last_resort_seed");
    e.u8(4).unwrap();
    perhaps(&mut e, "one_time_id", "one_time_secret");
    e.u8(5).unwrap();
    perhaps(&mut e, "one_time_kem_id", "one_time_kem_seed");
    from_cbor(&e.into_writer(), 4096).unwrap()
}

/// The first-message part of an agreement.
pub(crate) fn initial_header(vector: &Vector) -> InitialHeader {
    let one_time = "used_one_time_id";
    InitialHeader {
        ephemeral: X25519Public::from_bytes(vector.array("ephemeral_key")),
        signed_prekey: u32_of(vector, "used_signed_prekey_id"),
        kem_prekey: u32_of(vector, "used_kem_id"),
        kem_ciphertext: MlKemCiphertext::from_bytes(vector.array("kem_ciphertext")),
        one_time_prekey: vector.has(one_time).then(|| u32_of(vector, one_time)),
        begun: time_of(vector, "begun"),
    }
}

fn secret(vector: &Vector, name: &str) -> Secret32 {
    Secret32::from_bytes(vector.array(name))
}

fn u32_of(vector: &Vector, name: &str) -> u32 {
    u32::from_be_bytes(vector.array(name))
}

fn time_of(vector: &Vector, name: &str) -> Timestamp {
    Timestamp::from_ms(u64::from_be_bytes(vector.array(name)))
}

fn of_kind(kind: &str) -> Vec<Vector> {
    vectors_of(file(), kind)
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["equal", "accepted", "agree"]);
}

#[test]
fn key_derivations() {
    let found = of_kind("key derivation");
    for vector in &found {
        let inputs = Inputs {
            dh1: secret(vector, "dh1"),
            dh2: secret(vector, "dh2"),
            dh3: secret(vector, "dh3"),
            dh4: vector.has("dh4").then(|| secret(vector, "dh4")),
            kem: secret(vector, "ss"),
        };
        let equal = inputs.derive() == secret(vector, "sk");
        assert_eq!(equal, vector.text("expect") == "equal");
        assert_eq!(by_hand(vector) == vector.bytes("sk"), equal);
    }
    assert_eq!(found.len(), 5);
}

/// SK, with nothing but HMAC.
fn by_hand(vector: &Vector) -> Vec<u8> {
    let mut ikm = vec![0xff; 32];
    for name in ["dh1", "dh2", "dh3", "dh4", "ss"] {
        if vector.has(name) {
            ikm.extend_from_slice(&vector.bytes(name));
        }
    }
    hkdf_by_hand(&[0; 32], &ikm, b"ZenTalk PQXDH v1", 32)
}

#[test]
fn signed_and_kem_prekeys() {
    let device = party("bob").signing;
    for vector in of_kind("signed prekey") {
        let prekey: SignedPreKey = from_cbor(&vector.bytes("bytes"), 2020).unwrap();
        let accepted = prekey.verify(&device.verifying_key()).is_ok();
        assert_eq!(accepted, vector.text("expect") == "accepted");
        if accepted {
            assert_eq!(prekey.id, u32_of(&vector, "id"));
            assert_eq!(prekey.key.as_bytes()[..], vector.bytes("key"));
            assert_eq!(prekey.created, time_of(&vector, "created"));
            assert_signed(&vector, &device, &prekey.signature);
        }
    }
    for vector in of_kind("kem prekey") {
        let prekey: KemPreKey = from_cbor(&vector.bytes("bytes"), 2020).unwrap();
        let accepted = prekey.verify(&device.verifying_key()).is_ok();
        assert_eq!(accepted, vector.text("expect") == "accepted");
        if accepted {
            assert_eq!(prekey.id, u32_of(&vector, "id"));
            assert_eq!(prekey.key.as_bytes(), vector.bytes("key"));
            assert_eq!([u8::from(prekey.last_resort)], vector.array("last_resort"));
            assert_signed(&vector, &device, &prekey.signature);
        }
    }
}

/// The vector's `signed` bytes, signed as Ed25519 signs bytes that have their domain already.
fn assert_signed(vector: &Vector, device: &SigningKey, signature: &Signature) {
    let signed = vector.bytes("signed");
    let zero = signed.iter().position(|byte| *byte == 0).unwrap();
    let domain = core::str::from_utf8(&signed[..zero]).unwrap();
    assert_eq!(device.sign(domain, &signed[zero + 1..]), *signature);
    assert_eq!(signature.as_bytes()[..], vector.bytes("signature"));
}

#[test]
fn bundles() {
    let bob = party("bob").certificate;
    let found = of_kind("bundle");
    for vector in &found {
        let bundle = UnverifiedBundle {
            base: PreKeyBase::decode(&vector.bytes("base")).unwrap(),
            one_time: vector
                .has("one_time")
                .then(|| PreKeyOneTime::decode(&vector.bytes("one_time")).unwrap()),
        };
        let outcome = match bundle.verify(&bob, time_of(vector, "now")) {
            Ok(bundle) => {
                assert_eq!(bundle.signed().0, u32_of(vector, "signed_prekey_id"));
                assert_eq!(bundle.kem().0, u32_of(vector, "kem_id"));
                "accepted"
            }
            Err(BundleError::OtherDevice) => "other device",
            Err(BundleError::MissingKemKey) => "no kem key",
            Err(BundleError::KemKind) => "kem key of the wrong kind",
            Err(BundleError::Stale) => "stale",
            Err(BundleError::Signature(_)) => "bad signature",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 12);
}

#[test]
fn agreements_of_the_responder() {
    let found = of_kind("agreement");
    for vector in &found {
        let (peer, me) = (
            party(vector.text("initiator")),
            party(vector.text("responder")),
        );
        let prekeys = responder_prekeys(vector, true);
        let header = initial_header(vector);
        let outcome = match accept(me.me(), &prekeys, &header, &peer.certificate) {
            Ok(agreed) => {
                assert_eq!(agreed.ad.as_bytes()[..], vector.bytes("ad"));
                match agreed.secret == secret(vector, "sk") {
                    true => "agree",
                    false => "different",
                }
            }
            Err(AcceptError::UnknownSignedPreKey(_)) => "unknown signed prekey",
            Err(AcceptError::UnknownKemPreKey(_)) => "unknown kem prekey",
            Err(AcceptError::UnknownOneTimePreKey(_)) => "unknown one-time prekey",
            Err(AcceptError::LowOrder(_)) => "low order",
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 9);
}

#[test]
fn every_secret_of_an_agreement_follows_from_its_inputs() {
    for vector in agreements() {
        let (alice, bob) = (party("alice"), party("bob"));
        let key = |name| X25519Secret::from_bytes(&secret(&vector, name));
        let ephemeral = key("ephemeral_secret");
        assert_eq!(
            ephemeral.public().as_bytes()[..],
            vector.bytes("ephemeral_key")
        );
        let signed = *key("signed_prekey_secret").public();
        let dh = |ours: &X25519Secret, theirs| ours.diffie_hellman(theirs).unwrap();
        assert_eq!(dh(&alice.identity, &signed), secret(&vector, "dh1"));
        assert_eq!(
            dh(&ephemeral, bob.identity.public()),
            secret(&vector, "dh2")
        );
        assert_eq!(dh(&ephemeral, &signed), secret(&vector, "dh3"));
        assert_eq!(vector.has("dh4"), vector.has("used_one_time_id"));
        if vector.has("dh4") {
            let one_time = *key("one_time_secret").public();
            assert_eq!(dh(&ephemeral, &one_time), secret(&vector, "dh4"));
        }
        let kem = used_kem(&vector);
        assert_eq!(kem.public().as_bytes(), vector.bytes("kem_key"));
        let mut script = Script::new(&[&vector.bytes("kem_m")]);
        let (ciphertext, ss) = kem.public().encapsulate(&mut script);
        assert_eq!(ciphertext.as_bytes()[..], vector.bytes("kem_ciphertext"));
        assert_eq!(ss, secret(&vector, "ss"));
        assert_eq!(by_hand(&vector), vector.bytes("sk"));
        let parts = ["ad", "ephemeral_key", "kem_ciphertext"].map(|name| vector.bytes(name));
        let id = blake2b_128_concat(b"ZenTalk session v1", &parts.concat());
        assert_eq!(id, vector.array("session_id"));
    }
}

#[test]
fn agreements_of_the_initiator() {
    for vector in agreements() {
        let (alice, bob) = (party("alice"), party("bob"));
        let prekeys = responder_prekeys(&vector, true);
        let bundle = UnverifiedBundle {
            base: prekeys.base(&bob.signing, &bob.certificate),
            one_time: one_time_entry(&vector, &bob.signing),
        };
        let bundle = bundle.verify(&bob.certificate, MADE).unwrap();
        let mut script = Script::new(&[&vector.bytes("ephemeral_secret"), &vector.bytes("kem_m")]);
        let agreed = initiate(alice.me(), bundle, time_of(&vector, "begun"), &mut script).unwrap();
        assert_eq!(agreed.header, initial_header(&vector));
        assert_eq!(agreed.secret, secret(&vector, "sk"));
        assert_eq!(agreed.ad.as_bytes()[..], vector.bytes("ad"));
    }
}

/// The agreements that succeed: with both one-time keys, with one, with none.
pub(crate) fn agreements() -> Vec<Vector> {
    let mut found = of_kind("agreement");
    found.retain(|vector| vector.text("expect") == "agree");
    assert_eq!(found.len(), 3);
    found
}

fn used_kem(vector: &Vector) -> MlKemSecret {
    let seed = match vector.bytes("used_kem_id") == vector.bytes("last_resort_id") {
        true => "last_resort_seed",
        false => "one_time_kem_seed",
    };
    MlKemSecret::from_seed(crate::crypto::Secret::from_bytes(vector.array(seed)))
}

/// The one-time entry that a relay would have served, if any.
pub(crate) fn one_time_entry(vector: &Vector, signing: &SigningKey) -> Option<PreKeyOneTime> {
    if !vector.has("one_time_id") {
        return None;
    }
    let id = u32_of(vector, "one_time_id");
    let key = *X25519Secret::from_bytes(&secret(vector, "one_time_secret")).public();
    let kem = vector.has("one_time_kem_id").then(|| {
        let id = u32_of(vector, "one_time_kem_id");
        KemPreKey::sign(id, used_kem(vector).public().clone(), false, signing)
    });
    Some(PreKeyOneTime {
        key: OneTimePreKey { id, key },
        kem,
    })
}
