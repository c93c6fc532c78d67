//! `shared/tests/vectors/identity.txt` and `contact-code.txt`: what accounts and devices sign, and codes.
//!
//! Signed bodies are built by hand from PROTOCOL §7; the tests read the files and know nothing of how they
//! were made. `ZENTALK_WRITE_VECTORS=1` writes them.

use bech32::{Bech32, Bech32m, Hrp};

use super::account::AccountToSign;
use super::test_support::{MADE, account, device};
use super::*;
use crate::crypto::Secret;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::ml_dsa::MlDsaSecret;
use crate::crypto::sign::{SigningKey, VerifyingKey, framed};
use crate::id::{Address, DeviceId, MailboxId};
use crate::test_support::{
    Vector, VectorFile, assert_failures_first, rng, vector_file, vectors, vectors_of,
};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedBytes, from_cbor, to_cbor};

fn file() -> &'static str {
    vector_file("identity.txt")
}

fn codes() -> &'static str {
    vector_file("contact-code.txt")
}

const HEAD: &str = "\
Accounts, devices and what they sign, PROTOCOL §7. Hex; XX^N is the byte XX N times; spaces join. Times are
u64 ms, sequences u64. Given first, then failures, then the rest. Written by identity::vectors, bodies by hand.
Checked with Python (hashlib, and cryptography on OpenSSL).
Account signatures are randomized: check them, do not expect to make the same. Ed25519 is deterministic.

account: keys is the CBOR of the pair; address is B2-256(\"ZenTalk address v1\"; rsa, ml_dsa), framed.
ml_dsa_seed is the secret of the ML-DSA half (FIPS 204's xi); the RSA secret is not needed to check anything.
device: what every device of the file has. device_id is the hash of device_key.
certificate, device list: bytes is the CBOR of account-signed; to be checked against the keys of account. body
is what is signed; hash its hash. rsa_message is what RSA-PSS signs; ML-DSA signs body under context.
freshness: by device, for the device list that is given; now is the reader's clock.
sealing key: by device. signed is what Ed25519 signs: domain, 00, message.";

const CODES_HEAD: &str = "\
Contact codes, PROTOCOL §7: bech32m (BIP 350) of address and directory key, part `zen`. Failures first. Written
by identity::vectors. A reader drops whitespace and folds case before anything else, so that a code survives
line breaks, QR codes and autocorrection: mixed case is accepted here, unlike in BIP 350.";

fn time_of(vector: &Vector, name: &str) -> Timestamp {
    Timestamp::from_ms(u64_of(vector, name))
}

fn u64_of(vector: &Vector, name: &str) -> u64 {
    u64::from_be_bytes(vector.array(name))
}

fn keys(name: &str) -> AccountKeys {
    let accounts = vectors_of(file(), "account").into_iter();
    let mut named = accounts.filter(|vector| vector.text("name") == name);
    from_cbor(&named.next().unwrap().bytes("keys"), 4096).unwrap()
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["accepted"]);
    assert_failures_first(&vectors(codes()), &["accepted"]);
}

#[test]
fn accounts_and_devices() {
    for vector in vectors_of(file(), "account") {
        let keys = keys(vector.text("name"));
        assert_eq!(keys.rsa.spki_der(), vector.bytes("rsa"));
        assert_eq!(keys.ml_dsa.as_bytes()[..], vector.bytes("ml_dsa"));
        assert_eq!(keys.address().as_bytes()[..], vector.bytes("address"));
        let seed = Secret::from_bytes(vector.array("ml_dsa_seed"));
        assert_eq!(*MlDsaSecret::from_seed(seed).public(), keys.ml_dsa);
        let (rsa, ml_dsa) = (vector.bytes("rsa"), vector.bytes("ml_dsa"));
        let framed = [
            &550u32.to_be_bytes()[..],
            &1952u32.to_be_bytes(),
            &rsa,
            &ml_dsa,
        ]
        .concat();
        let address = blake2b_256_concat(b"ZenTalk address v1", &framed);
        assert_eq!(address, vector.array("address"));
    }
    for vector in vectors_of(file(), "device") {
        let key = VerifyingKey::from_bytes(&vector.array("device_key")).unwrap();
        assert_eq!(device_id(&key).as_bytes()[..], vector.bytes("device_id"));
    }
}

#[test]
fn certificates() {
    let found = vectors_of(file(), "certificate");
    for vector in &found {
        let read = UnverifiedCertificate::decode(&vector.bytes("bytes"));
        let verified = read.map(|read| read.verify(&keys(vector.text("account"))));
        let outcome = match verified {
            Ok(Ok(certificate)) => {
                accepted_certificate(vector, &certificate);
                "accepted"
            }
            Err(_) | Ok(Err(CertificateError::Codec(_))) => "malformed",
            Ok(Err(CertificateError::Version(_))) => "unknown version",
            Ok(Err(CertificateError::OtherAccount)) => "other account",
            Ok(Err(CertificateError::Signature(_))) => "bad signature",
            Ok(Err(CertificateError::Unlisted)) => panic!("no list was asked"),
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 8);
}

fn accepted_certificate(vector: &Vector, certificate: &DeviceCertificate) {
    assert_eq!(certificate.hash().as_bytes()[..], vector.bytes("hash"));
    assert_eq!(
        certificate.device_id().as_bytes()[..],
        vector.bytes("device_id")
    );
    assert_eq!(
        certificate.identity_key().as_bytes()[..],
        vector.bytes("identity_key")
    );
    assert_eq!(certificate.created(), time_of(vector, "created"));
    assert_account_signed(vector, "ZenTalk device certificate v1");
}

/// The two messages that the account signs, and the hash of the body.
fn assert_account_signed(vector: &Vector, domain: &str) {
    let body = vector.bytes("body");
    assert_eq!(vector.text("context"), domain);
    assert_eq!(vector.bytes("rsa_message"), framed(domain, &body));
    let hash = blake2b_256_concat(b"ZenTalk hash v1", &body);
    assert_eq!(hash, vector.array("hash"));
    let parts = [
        vector.bytes("rsa_signature"),
        vector.bytes("ml_dsa_signature"),
    ];
    assert_eq!(
        account_signed(&body, &parts[0], &parts[1]),
        vector.bytes("bytes")
    );
}

fn read_list(vector: &Vector) -> Result<DeviceList, DeviceListError> {
    let read = UnverifiedDeviceList::decode(&vector.bytes("bytes"))?;
    read.verify(&keys(vector.text("account")))
}

#[test]
fn device_lists() {
    let found = vectors_of(file(), "device list");
    for vector in &found {
        let outcome = match read_list(vector) {
            Ok(list) => {
                assert_eq!(list.sequence(), u64_of(vector, "sequence"));
                assert_eq!(list.hash().as_bytes()[..], vector.bytes("hash"));
                let entries = list.devices().iter();
                let entries = entries.flat_map(|entry| {
                    [&entry.device.as_bytes()[..], entry.certificate.as_bytes()].concat()
                });
                assert_eq!(entries.collect::<Vec<_>>(), vector.bytes("devices"));
                assert_account_signed(vector, "ZenTalk device list v1");
                "given"
            }
            Err(DeviceListError::Codec(_)) => "malformed",
            Err(DeviceListError::OtherAccount) => "other account",
            Err(DeviceListError::Devices) => "devices",
            Err(DeviceListError::Signature(_)) => "bad signature",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 5);
}

#[test]
fn freshness() {
    let list = read_list(&vectors_of(file(), "device list")[0]).unwrap();
    let certificate = vectors_of(file(), "certificate").pop().unwrap();
    let certificate = UnverifiedCertificate::decode(&certificate.bytes("bytes")).unwrap();
    let certificate = certificate.verify(&keys("alice")).unwrap();
    let found = vectors_of(file(), "freshness");
    for vector in &found {
        let proof: UnverifiedFreshness = from_cbor(&vector.bytes("bytes"), 256).unwrap();
        let outcome = match proof.verify(&list, &certificate, time_of(vector, "now")) {
            Ok(proof) if !proof.is_fresh(time_of(vector, "now")) => "expired",
            Ok(fresh) => {
                assert_eq!(fresh.time(), time_of(vector, "time"));
                assert_signed(vector);
                "accepted"
            }
            Err(FreshnessError::OtherList) => "other list",
            Err(FreshnessError::OtherDevice) => "other device",
            Err(FreshnessError::Future) => "future",
            Err(FreshnessError::Signature(_)) => "bad signature",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 7);
}

/// The vector's `signed` bytes carry the vector's `signature` under the device's key.
fn assert_signed(vector: &Vector) {
    let device = vectors_of(file(), "device").pop().unwrap();
    let seed = Secret::from_bytes(device.array("device_seed"));
    let key = SigningKey::from_seed(&seed);
    assert_eq!(
        key.verifying_key().as_bytes()[..],
        device.bytes("device_key")
    );
    let signed = vector.bytes("signed");
    let zero = signed.iter().position(|byte| *byte == 0).unwrap();
    let domain = core::str::from_utf8(&signed[..zero]).unwrap();
    let signature = key.sign(domain, &signed[zero + 1..]);
    assert_eq!(signature.as_bytes()[..], vector.bytes("signature"));
}

#[test]
fn sealing_keys() {
    let certificate = vectors_of(file(), "certificate").pop().unwrap();
    let certificate = UnverifiedCertificate::decode(&certificate.bytes("bytes")).unwrap();
    let certificate = certificate.verify(&keys("alice")).unwrap();
    let found = vectors_of(file(), "sealing key");
    for vector in &found {
        let key: Result<UnverifiedSealingKey, _> = from_cbor(&vector.bytes("bytes"), 2048);
        let mailbox = MailboxId::from_bytes(vector.array("mailbox"));
        let outcome = match key.map(|key| key.verify(&certificate, mailbox)) {
            Ok(Ok(key)) => {
                assert_eq!(key.key().as_bytes()[..], vector.bytes("key"));
                assert_eq!(key.created(), time_of(vector, "created"));
                assert_eq!(key.expires(), time_of(vector, "expires"));
                assert_signed(vector);
                "accepted"
            }
            Ok(Err(SealingKeyError::Lifetime)) => "lifetime",
            Ok(Err(SealingKeyError::Signature(_))) => "bad signature",
            Err(_) => "malformed",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 6);
}

#[test]
fn contact_codes() {
    let found = vectors(codes());
    for vector in &found {
        let outcome = match ContactCode::parse(vector.text("text")) {
            Ok(code) => {
                assert_eq!(code.address.as_bytes()[..], vector.bytes("address"));
                assert_eq!(
                    code.directory_key.as_bytes()[..],
                    vector.bytes("directory_key")
                );
                "accepted"
            }
            Err(ContactCodeError::Empty) => "empty",
            Err(ContactCodeError::TooLong) => "too long",
            Err(ContactCodeError::WrongPrefix) => "wrong prefix",
            Err(ContactCodeError::WrongLength(_)) => "wrong length",
            Err(ContactCodeError::BadCharacter(_)) => "bad character",
            Err(ContactCodeError::BadChecksum) => "bad checksum",
            Err(ContactCodeError::BadKey) => "bad key",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 16);
}

// What follows makes the files.

fn account_signed(body: &[u8], rsa: &[u8], ml_dsa: &[u8]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(3).unwrap();
    for (key, part) in [(0, body), (1, rsa), (2, ml_dsa)] {
        e.u8(key).unwrap().bytes(part).unwrap();
    }
    e.into_writer()
}

/// A body, signed by an account.
struct Signed {
    domain: &'static str,
    body: Vec<u8>,
    rsa: Vec<u8>,
    ml_dsa: Vec<u8>,
}

impl Signed {
    fn new(signer: usize, domain: &'static str, body: Vec<u8>) -> Self {
        let job = AccountToSign::<1024>::new(domain, BoundedBytes::new(body.clone()).unwrap());
        let signature = account(signer).sign(&job, &mut rng(7)).unwrap();
        Self {
            domain,
            body,
            rsa: signature.rsa.as_bytes().to_vec(),
            ml_dsa: signature.ml_dsa.as_bytes().to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        account_signed(&self.body, &self.rsa, &self.ml_dsa)
    }

    fn refused(&self, file: &mut VectorFile, kind: &str, expect: &str, comment: &str) {
        file.vector(kind, expect, comment)
            .text("account", "alice")
            .bytes("bytes", &self.bytes());
    }

    /// All fields that signed bodies have in common.
    fn write(&self, file: &mut VectorFile) {
        file.text("account", "alice")
            .bytes("body", &self.body)
            .bytes("hash", &blake2b_256_concat(b"ZenTalk hash v1", &self.body))
            .bytes(
                "rsa_message",
                &[self.domain.as_bytes(), &[0], &self.body].concat(),
            )
            .text("context", self.domain)
            .bytes("rsa_signature", &self.rsa)
            .bytes("ml_dsa_signature", &self.ml_dsa)
            .bytes("bytes", &self.bytes());
    }
}

fn certificate_body(version: u64, address: &Address) -> Vec<u8> {
    let device = device(1);
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(5).unwrap().u8(0).unwrap().u64(version).unwrap();
    e.u8(1).unwrap().bytes(address.as_bytes()).unwrap();
    let key = device.signing().verifying_key();
    e.u8(2).unwrap().bytes(key.as_bytes()).unwrap();
    e.u8(3)
        .unwrap()
        .bytes(device.identity().public().as_bytes())
        .unwrap();
    e.u8(4).unwrap().u64(MADE.as_ms()).unwrap();
    e.into_writer()
}

fn list_body(sequence: u64, address: &Address, devices: &[(DeviceId, BodyHash)]) -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(3)
        .unwrap()
        .u8(0)
        .unwrap()
        .bytes(address.as_bytes())
        .unwrap();
    e.u8(1).unwrap().u64(sequence).unwrap();
    e.u8(2).unwrap().array(devices.len() as u64).unwrap();
    for (device, hash) in devices {
        e.array(2).unwrap().bytes(device.as_bytes()).unwrap();
        e.bytes(hash.as_bytes()).unwrap();
    }
    e.into_writer()
}

fn addresses() -> (Address, Address) {
    (account(0).keys().address(), account(1).keys().address())
}

const CERTIFICATE: &str = "ZenTalk device certificate v1";
const LIST: &str = "ZenTalk device list v1";

#[test]
fn the_identity_file_is_what_the_generator_writes() {
    let mut file = VectorFile::new(HEAD);
    given(&mut file);
    given_list(&mut file);
    refused_certificates(&mut file);
    refused_lists(&mut file);
    refused_freshness(&mut file);
    refused_sealing_keys(&mut file);
    let (alice, _) = addresses();
    let signed = Signed::new(0, CERTIFICATE, certificate_body(1, &alice));
    file.vector("certificate", "accepted", "of the device, by alice");
    signed.write(&mut file);
    file.bytes("device_id", device(1).id().as_bytes())
        .bytes("identity_key", device(1).identity().public().as_bytes())
        .bytes("created", &MADE.as_ms().to_be_bytes());
    accepted_freshness(&mut file);
    accepted_sealing_key(&mut file);
    file.finish("identity.txt");
}

fn given(file: &mut VectorFile) {
    for (name, number) in [("alice", 0), ("bob", 1)] {
        let (account, keys) = (account(number), account(number).keys());
        file.vector("account", "given", name)
            .text("name", name)
            .bytes("rsa", keys.rsa.spki_der())
            .bytes("ml_dsa_seed", account.ml_dsa_seed().as_bytes())
            .bytes("ml_dsa", keys.ml_dsa.as_bytes())
            .bytes("keys", &to_cbor(&keys))
            .bytes("address", keys.address().as_bytes());
    }
    let device = device(1);
    file.vector("device", "given", "alice's device")
        .bytes("device_seed", device.signing().to_seed().as_bytes())
        .bytes("device_key", device.signing().verifying_key().as_bytes())
        .bytes("identity_secret", device.identity().to_bytes().as_bytes())
        .bytes("identity_key", device.identity().public().as_bytes())
        .bytes("device_id", device.id().as_bytes());
}

fn refused_certificates(file: &mut VectorFile) {
    let (alice, bob) = addresses();
    let mut refused = |expect: &str, comment: &str, signed: &Signed| {
        signed.refused(file, "certificate", expect, comment);
    };
    let good = || Signed::new(0, CERTIFICATE, certificate_body(1, &alice));
    let by_bob = || Signed::new(1, CERTIFICATE, certificate_body(1, &alice));
    let version = Signed::new(0, CERTIFICATE, certificate_body(2, &alice));
    refused("unknown version", "version 2", &version);
    let other = Signed::new(1, CERTIFICATE, certificate_body(1, &bob));
    refused(
        "other account",
        "bob's certificate, shown as alice's",
        &other,
    );
    let mut mixed = good();
    mixed.rsa = by_bob().rsa;
    refused("bad signature", "the RSA signature is bob's", &mixed);
    let mut mixed = good();
    mixed.ml_dsa = by_bob().ml_dsa;
    refused("bad signature", "the ML-DSA signature is bob's", &mixed);
    let list = Signed::new(0, LIST, certificate_body(1, &alice));
    refused(
        "bad signature",
        "signed under the domain of device lists",
        &list,
    );
    let mut changed = good();
    *changed.body.last_mut().unwrap() ^= 1;
    refused("bad signature", "another time of making", &changed);
    let mut longer = certificate_body(1, &alice);
    longer.push(0);
    let longer = Signed::new(0, CERTIFICATE, longer);
    refused("malformed", "a byte after the body, signed", &longer);
}

fn entry() -> (DeviceId, BodyHash) {
    let hash = BodyHash::of(&certificate_body(1, &addresses().0));
    (device(1).id(), hash)
}

fn refused_lists(file: &mut VectorFile) {
    let (alice, bob) = addresses();
    let mut refused = |expect: &str, comment: &str, signed: &Signed| {
        signed.refused(file, "device list", expect, comment);
    };
    let list = |signer, devices: &[_]| Signed::new(signer, LIST, list_body(1, &alice, devices));
    refused("devices", "no device", &list(0, &[]));
    refused("devices", "a device twice", &list(0, &[entry(), entry()]));
    refused("bad signature", "signed by bob", &list(1, &[entry()]));
    let other = Signed::new(1, LIST, list_body(1, &bob, &[entry()]));
    refused("other account", "bob's list, shown as alice's", &other);
}

fn given_list(file: &mut VectorFile) {
    let (device, hash) = entry();
    let signed = Signed::new(0, LIST, list_body(5, &addresses().0, &[entry()]));
    let comment = "one device; devices is DeviceId, certificate hash";
    file.vector("device list", "given", comment);
    signed.write(file);
    file.bytes("sequence", &5u64.to_be_bytes()).bytes(
        "devices",
        &[&device.as_bytes()[..], hash.as_bytes()].concat(),
    );
}

/// A proof of freshness by hand.
struct Proof {
    list: [u8; 32],
    sequence: u64,
    time: Timestamp,
    device: DeviceId,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Proof {
    fn new() -> Self {
        let list = list_body(5, &addresses().0, &[entry()]);
        let (list, time) = (blake2b_256_concat(b"ZenTalk hash v1", &list), MADE);
        let message = [&list[..], &5u64.to_be_bytes(), &time.as_ms().to_be_bytes()].concat();
        let signature = device(1).signing().sign("ZenTalk freshness v1", &message);
        Self {
            list,
            sequence: 5,
            time,
            device: device(1).id(),
            signed: [&b"ZenTalk freshness v1\0"[..], &message].concat(),
            signature: signature.as_bytes().to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(Vec::new());
        e.map(5).unwrap().u8(0).unwrap().bytes(&self.list).unwrap();
        e.u8(1).unwrap().u64(self.sequence).unwrap();
        e.u8(2).unwrap().u64(self.time.as_ms()).unwrap();
        e.u8(3).unwrap().bytes(self.device.as_bytes()).unwrap();
        e.u8(4).unwrap().bytes(&self.signature).unwrap();
        e.into_writer()
    }
}

fn refused_freshness(file: &mut VectorFile) {
    let mut refused = |expect: &str, comment: &str, now: Timestamp, spoil: &dyn Fn(&mut Proof)| {
        let mut proof = Proof::new();
        spoil(&mut proof);
        file.vector("freshness", expect, comment)
            .bytes("now", &now.as_ms().to_be_bytes())
            .bytes("bytes", &proof.bytes());
    };
    let (week, day, ms) = (
        Duration::from_days(7),
        Duration::from_days(1),
        Duration::from_ms(1),
    );
    refused("expired", "7 days and 1 ms old", MADE + week + ms, &|_| ());
    refused("future", "1 day and 1 ms ahead", MADE - day - ms, &|_| ());
    refused("other list", "another list", MADE, &|proof| {
        proof.list[0] ^= 1
    });
    refused("other list", "another sequence", MADE, &|proof| {
        proof.sequence = 6
    });
    refused(
        "other device",
        "a device that is not on the list",
        MADE,
        &|proof| {
            proof.device = DeviceId::from_bytes([1; 16]);
        },
    );
    refused(
        "bad signature",
        "a later time than was signed",
        MADE,
        &|proof| {
            proof.time = MADE + Duration::from_ms(1);
        },
    );
}

fn accepted_freshness(file: &mut VectorFile) {
    let proof = Proof::new();
    file.vector("freshness", "accepted", "7 days old")
        .bytes(
            "now",
            &(MADE + Duration::from_days(7)).as_ms().to_be_bytes(),
        )
        .bytes("list", &proof.list)
        .bytes("sequence", &proof.sequence.to_be_bytes())
        .bytes("time", &proof.time.as_ms().to_be_bytes())
        .bytes("signed", &proof.signed)
        .bytes("signature", &proof.signature)
        .bytes("bytes", &proof.bytes());
}

/// A sealing key by hand: signed bytes, signature, CBOR.
fn sealing_key(key: &[u8], created: Timestamp, expires: Timestamp) -> [Vec<u8>; 3] {
    let (device, mailbox) = (device(1), device(1).mailbox().id());
    let (from, until) = (created.as_ms().to_be_bytes(), expires.as_ms().to_be_bytes());
    let names = [&device.id().as_bytes()[..], mailbox.as_bytes()].concat();
    let message = [&names, key, &from, &until].concat();
    let signature = device.signing().sign("ZenTalk sealing key v1", &message);
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(4).unwrap().u8(0).unwrap().bytes(key).unwrap();
    e.u8(1).unwrap().u64(created.as_ms()).unwrap();
    e.u8(2).unwrap().u64(expires.as_ms()).unwrap();
    e.u8(3).unwrap().bytes(signature.as_bytes()).unwrap();
    let signed = [&b"ZenTalk sealing key v1\0"[..], &message].concat();
    [signed, signature.as_bytes().to_vec(), e.into_writer()]
}

fn sealing_public() -> Vec<u8> {
    device(1)
        .sealing()
        .current()
        .secret()
        .public()
        .as_bytes()
        .to_vec()
}

fn refused_sealing_keys(file: &mut VectorFile) {
    let month = Duration::from_days(30);
    let mut refused = |expect: &str, comment: &str, bytes: &[u8]| {
        file.vector("sealing key", expect, comment)
            .bytes("mailbox", device(1).mailbox().id().as_bytes())
            .bytes("bytes", bytes);
    };
    let key = sealing_public();
    let [.., long] = sealing_key(&key, MADE, MADE + month + Duration::from_ms(1));
    refused("lifetime", "30 days and 1 ms", &long);
    let [.., never] = sealing_key(&key, MADE, MADE);
    refused("lifetime", "expires when it begins", &never);
    let [.., mut changed] = sealing_key(&key, MADE, MADE + month);
    let last = changed.len() - 1;
    changed[last] ^= 1;
    refused("bad signature", "one bit of the signature", &changed);
    let mut unreduced = key.clone();
    unreduced[..1184].fill(0xff);
    let [.., unreduced] = sealing_key(&unreduced, MADE, MADE + month);
    refused(
        "malformed",
        "an ML-KEM half that fails the modulus check, signed",
        &unreduced,
    );
    let [.., elsewhere] = sealing_key(&key, MADE, MADE + month);
    file.vector("sealing key", "bad signature", "beside another mailbox")
        .bytes("mailbox", device(2).mailbox().id().as_bytes())
        .bytes("bytes", &elsewhere);
}

fn accepted_sealing_key(file: &mut VectorFile) {
    let expires = MADE + Duration::from_days(30);
    let key = sealing_public();
    let [signed, signature, bytes] = sealing_key(&key, MADE, expires);
    file.vector(
        "sealing key",
        "accepted",
        "30 days; seed is the secret X-Wing key",
    )
    .bytes(
        "seed",
        device(1).sealing().current().secret().seed().as_bytes(),
    )
    .bytes("mailbox", device(1).mailbox().id().as_bytes())
    .bytes("key", &key)
    .bytes("created", &MADE.as_ms().to_be_bytes())
    .bytes("expires", &expires.as_ms().to_be_bytes())
    .bytes("signed", &signed)
    .bytes("signature", &signature)
    .bytes("bytes", &bytes);
}

#[test]
fn the_code_file_is_what_the_generator_writes() {
    let mut file = VectorFile::new(CODES_HEAD);
    let address = [7; 32];
    let key = *DirectorySecret::random(&mut rng(1)).public().as_bytes();
    let data = [address, key].concat();
    let zen = Hrp::parse("zen").unwrap();
    let code = bech32::encode::<Bech32m>(zen, &data).unwrap();
    refused_codes(&mut file, &code, &data);
    let mut accepted = |comment: &str, text: &str| {
        file.vector("contact code", "accepted", comment)
            .text("text", text)
            .bytes("address", &address)
            .bytes("directory_key", &key);
    };
    let mixed: String = code
        .char_indices()
        .map(|(at, c)| {
            if at % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect();
    accepted("as it is shown", &code);
    accepted("upper case, as in a QR code", &code.to_ascii_uppercase());
    accepted("mixed case", &mixed);
    accepted("with spaces", &format!("{} {}", &code[..40], &code[40..]));
    accepted("as a link", &format!("https://zentalk.example/#add/{code}"));
    let link = format!("https://zentalk.example/#add/{code}").to_ascii_uppercase();
    accepted("as a link in upper case", &link);
    file.finish("contact-code.txt");
}

fn refused_codes(file: &mut VectorFile, code: &str, data: &[u8]) {
    let zen = Hrp::parse("zen").unwrap();
    let mut refused = |expect: &str, comment: &str, text: &str| {
        file.vector("contact code", expect, comment)
            .text("text", text);
    };
    refused(
        "empty",
        "a link without a code",
        "https://zentalk.example/#add/",
    );
    let other = bech32::encode::<Bech32m>(Hrp::parse("bc").unwrap(), data).unwrap();
    refused(
        "wrong prefix",
        "another human-readable part, its checksum right",
        &other,
    );
    refused("wrong prefix", "no code at all", "hello");
    refused("wrong length", "its last character missing", &code[..112]);
    refused("wrong length", "a character too many", &format!("{code}q"));
    let short = bech32::encode::<Bech32m>(zen, &data[..63]).unwrap();
    refused(
        "wrong length",
        "63 bytes of data, its checksum right",
        &short,
    );
    let odd = format!("{}b{}", &code[..20], &code[21..]);
    refused("bad character", "b does not occur", &odd);
    let typo = if &code[20..21] == "q" { "p" } else { "q" };
    let typo = format!("{}{typo}{}", &code[..20], &code[21..]);
    refused("bad checksum", "one wrong character", &typo);
    let bech32 = bech32::encode::<Bech32>(zen, data).unwrap();
    refused("bad checksum", "bech32, not bech32m", &bech32);
    let no_key = bech32::encode::<Bech32m>(zen, &[[7; 32], [0; 32]].concat()).unwrap();
    refused("bad key", "a directory key of small order", &no_key);
}
