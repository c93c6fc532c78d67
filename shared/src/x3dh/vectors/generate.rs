//! The generator of `pqxdh.txt`, from fixed inputs.

use super::*;

#[test]
fn the_file_is_what_the_generator_writes() {
    let mut file = VectorFile::new(HEAD);
    parties(&mut file);
    wrong_derivations(&mut file);
    let bob = Responder::new();
    bob.refused_prekeys(&mut file);
    bob.refused_bundles(&mut file);
    refused_agreements(&mut file);
    derivations(&mut file);
    bob.accepted(&mut file);
    for given in [
        Given::BOTH,
        Given {
            one_time_kem: false,
            ..Given::BOTH
        },
        Given {
            one_time: false,
            one_time_kem: false,
        },
    ] {
        agreement(&mut file, given, "agree", given.comment(), |_| ());
    }
    file.finish("pqxdh.txt");
}

fn parties(file: &mut VectorFile) {
    for (name, number, comment) in [("alice", 0, "who initiates"), ("bob", 1, "who responds")] {
        let certificate = certificate(number, number as u64);
        let device = device(number as u64);
        let keys = account(number).keys();
        file.vector("party", "given", comment)
            .text("name", name)
            .bytes("account_keys", &to_cbor(&keys))
            .bytes("address", keys.address().as_bytes())
            .bytes("certificate", &certificate.encode())
            .bytes("certificate_hash", certificate.hash().as_bytes())
            .bytes("device_id", device.id().as_bytes())
            .bytes("device_seed", device.signing().to_seed().as_bytes())
            .bytes("device_key", device.signing().verifying_key().as_bytes())
            .bytes("identity_secret", device.identity().to_bytes().as_bytes())
            .bytes("identity_key", device.identity().public().as_bytes());
    }
}

/// Writes one key derivation; `order` is what really goes into HKDF after the 32 bytes of 0xff.
fn derivation(file: &mut VectorFile, expect: &str, comment: &str, dh4: bool, order: &[u8]) {
    let ikm: Vec<u8> = order.iter().flat_map(|part| [*part; 32]).collect();
    let sk = hkdf_by_hand(&[0; 32], &ikm, b"ZenTalk PQXDH v1", 32);
    file.vector("key derivation", expect, comment);
    for (name, byte) in [("dh1", 1), ("dh2", 2), ("dh3", 3), ("dh4", 4), ("ss", 5)] {
        if name != "dh4" || dh4 {
            file.bytes(name, &[byte; 32]);
        }
    }
    file.bytes("ikm", &ikm).bytes("sk", &sk);
}

fn wrong_derivations(file: &mut VectorFile) {
    let wrong = "different";
    derivation(file, wrong, "DH4 left out", true, &[0xff, 1, 2, 3, 5]);
    derivation(
        file,
        wrong,
        "without the 32 bytes of ff",
        true,
        &[1, 2, 3, 4, 5],
    );
    derivation(
        file,
        wrong,
        "SS before the DHs",
        true,
        &[0xff, 5, 1, 2, 3, 4],
    );
}

fn derivations(file: &mut VectorFile) {
    let right = "equal";
    derivation(
        file,
        right,
        "without a one-time prekey",
        false,
        &[0xff, 1, 2, 3, 5],
    );
    derivation(
        file,
        right,
        "with a one-time prekey",
        true,
        &[0xff, 1, 2, 3, 4, 5],
    );
}

const SIGNED_ID: u32 = 7;
const LAST_RESORT_ID: u32 = 8;
const ONE_TIME_ID: u32 = 9;
const ONE_TIME_KEM_ID: u32 = 10;

/// Bob's prekeys in public, and every way to spoil them.
struct Responder {
    base: PreKeyBase,
    one_time: PreKeyOneTime,
}

impl Responder {
    fn new() -> Self {
        let (certificate, device) = (certificate(1, 1), device(1));
        let signing = device.signing().clone();
        let kem = |byte, id, last| KemPreKey::sign(id, kem_key(byte), last, &signing);
        let base = PreKeyBase {
            device: device.id(),
            certificate: certificate.hash(),
            signed: SignedPreKey::sign(SIGNED_ID, x25519_key(0x51), MADE, &signing),
            kem: Some(kem(0x61, LAST_RESORT_ID, true)),
        };
        let one_time = PreKeyOneTime {
            key: OneTimePreKey {
                id: ONE_TIME_ID,
                key: x25519_key(0x52),
            },
            kem: Some(kem(0x62, ONE_TIME_KEM_ID, false)),
        };
        Self { base, one_time }
    }

    fn refused_prekeys(&self, file: &mut VectorFile) {
        let mut signed = self.base.signed.clone();
        signed.created = MADE + Duration::from_ms(1);
        file.vector(
            "signed prekey",
            "bad signature",
            "another time than was signed",
        )
        .bytes("bytes", &to_cbor(&signed));
        let mut kem = self.base.kem.clone().unwrap();
        kem.last_resort = false;
        file.vector(
            "kem prekey",
            "bad signature",
            "last resort, shown as one-time",
        )
        .bytes("bytes", &to_cbor(&kem));
    }

    fn bundle(
        &self,
        file: &mut VectorFile,
        expect: &str,
        comment: &str,
        spoil: impl FnOnce(&mut UnverifiedBundle, &mut Timestamp),
    ) {
        let mut bundle = UnverifiedBundle {
            base: self.base.clone(),
            one_time: Some(self.one_time.clone()),
        };
        let mut now = MADE + Duration::from_days(1);
        spoil(&mut bundle, &mut now);
        file.vector("bundle", expect, comment)
            .bytes("now", &now.as_ms().to_be_bytes())
            .bytes("base", &bundle.base.encode());
        if let Some(one_time) = &bundle.one_time {
            file.bytes("one_time", &one_time.encode());
        }
    }

    fn refused_bundles(&self, file: &mut VectorFile) {
        let other = device(2);
        let (last, one) = (self.base.kem.clone(), self.one_time.kem.clone());
        self.bundle(file, "other device", "another DeviceId", |bundle, _| {
            bundle.base.device = other.id();
        });
        self.bundle(
            file,
            "other device",
            "another certificate of the device",
            |bundle, _| {
                bundle.base.certificate = crate::identity::BodyHash::from_bytes([0; 32]);
            },
        );
        self.bundle(
            file,
            "no kem key",
            "a base without its last-resort key",
            |bundle, _| {
                bundle.base.kem = None;
            },
        );
        let kind = "kem key of the wrong kind";
        self.bundle(
            file,
            kind,
            "a one-time key in the last-resort place",
            |bundle, _| {
                bundle.base.kem = one;
            },
        );
        self.bundle(
            file,
            kind,
            "the last-resort key in the one-time place",
            |bundle, _| {
                bundle.one_time.as_mut().unwrap().kem = last;
            },
        );
        self.bundle(
            file,
            "stale",
            "the signed prekey is 38 days old",
            |_, now| {
                *now = MADE + Duration::from_days(38);
            },
        );
        let bad = "bad signature";
        self.bundle(
            file,
            bad,
            "a signed prekey of another device",
            |bundle, _| {
                let key = bundle.base.signed.key;
                bundle.base.signed = SignedPreKey::sign(SIGNED_ID, key, MADE, other.signing());
            },
        );
        self.bundle(
            file,
            bad,
            "a signed prekey under another id",
            |bundle, _| {
                bundle.base.signed.id ^= 1;
            },
        );
        self.bundle(
            file,
            bad,
            "a one-time KEM key of another device",
            |bundle, _| {
                let kem = KemPreKey::sign(ONE_TIME_KEM_ID, kem_key(0x62), false, other.signing());
                bundle.one_time.as_mut().unwrap().kem = Some(kem);
            },
        );
    }

    fn accepted(&self, file: &mut VectorFile) {
        let signed = &self.base.signed;
        let (id, created) = (SIGNED_ID.to_be_bytes(), MADE.as_ms().to_be_bytes());
        let message = [&id[..], signed.key.as_bytes(), &created].concat();
        file.vector("signed prekey", "accepted", "by bob's device")
            .bytes("id", &id)
            .bytes("key", signed.key.as_bytes())
            .bytes("created", &created)
            .bytes("signed", &framed("ZenTalk signed prekey v1", &message))
            .bytes("signature", signed.signature.as_bytes())
            .bytes("bytes", &to_cbor(signed));
        let last_resort = self.base.kem.as_ref().unwrap();
        let one_time = self.one_time.kem.as_ref().unwrap();
        for (kem, comment) in [(last_resort, "last resort"), (one_time, "one-time")] {
            let (id, last) = (kem.id.to_be_bytes(), [u8::from(kem.last_resort)]);
            let message = [&id[..], kem.key.as_bytes(), &last].concat();
            file.vector("kem prekey", "accepted", comment)
                .bytes("id", &id)
                .bytes("key", kem.key.as_bytes())
                .bytes("last_resort", &last)
                .bytes("signed", &framed("ZenTalk kem prekey v1", &message))
                .bytes("signature", kem.signature.as_bytes())
                .bytes("bytes", &to_cbor(kem));
        }
        self.accepted_bundles(file);
    }

    fn accepted_bundles(&self, file: &mut VectorFile) {
        let ids = |file: &mut VectorFile, kem: u32| {
            file.bytes("signed_prekey_id", &SIGNED_ID.to_be_bytes())
                .bytes("kem_id", &kem.to_be_bytes());
        };
        self.bundle(file, "accepted", "with a whole one-time entry", |_, _| ());
        ids(file, ONE_TIME_KEM_ID);
        self.bundle(
            file,
            "accepted",
            "a one-time entry without a KEM key",
            |bundle, _| {
                bundle.one_time.as_mut().unwrap().kem = None;
            },
        );
        ids(file, LAST_RESORT_ID);
        self.bundle(
            file,
            "accepted",
            "no one-time entry, 37 days later",
            |bundle, now| {
                bundle.one_time = None;
                *now = MADE + Duration::from_days(37);
            },
        );
        ids(file, LAST_RESORT_ID);
    }
}

fn x25519_key(byte: u8) -> X25519Public {
    *X25519Secret::from_bytes(&Secret32::from_bytes([byte; 32])).public()
}

fn kem_key(byte: u8) -> MlKemPublic {
    kem_secret(byte).public().clone()
}

fn kem_secret(byte: u8) -> MlKemSecret {
    MlKemSecret::from_seed(crate::crypto::Secret::from_bytes([byte; 64]))
}

/// What the relay had to give.
#[derive(Clone, Copy)]
struct Given {
    one_time: bool,
    one_time_kem: bool,
}

impl Given {
    const BOTH: Self = Self {
        one_time: true,
        one_time_kem: true,
    };

    const fn comment(self) -> &'static str {
        match (self.one_time, self.one_time_kem) {
            (_, true) => "one-time prekey and one-time KEM prekey",
            (true, false) => "one-time prekey, last-resort KEM prekey",
            (false, false) => "no one-time prekey, last-resort KEM prekey",
        }
    }
}

/// What the first message says, to be spoiled.
struct Message {
    signed_prekey: u32,
    kem: u32,
    one_time: Option<u32>,
    ephemeral: X25519Public,
    ciphertext: Vec<u8>,
    begun: Timestamp,
}

fn refused_agreements(file: &mut VectorFile) {
    let mut refused = |expect: &str, comment: &str, spoil: fn(&mut Message)| {
        agreement(file, Given::BOTH, expect, comment, spoil);
    };
    refused("unknown signed prekey", "an id that never was", |message| {
        message.signed_prekey = 1;
    });
    refused("unknown kem prekey", "an id that never was", |message| {
        message.kem = 1
    });
    refused(
        "unknown one-time prekey",
        "an id that never was",
        |message| {
            message.one_time = Some(1);
        },
    );
    refused("low order", "an ephemeral key of order one", |message| {
        message.ephemeral = X25519Public::from_bytes([0; 32]);
    });
    refused(
        "different",
        "one bit of the KEM ciphertext: implicit rejection",
        |message| {
            message.ciphertext[0] ^= 1;
        },
    );
    refused("different", "the one-time prekey is not named", |message| {
        message.one_time = None;
    });
}

/// Writes one agreement; `spoil` changes the first message after the initiator has made it.
fn agreement(
    file: &mut VectorFile,
    given: Given,
    expect: &str,
    comment: &str,
    spoil: impl FnOnce(&mut Message),
) {
    let bytes = |byte| Secret32::from_bytes([byte; 32]);
    let key = |byte| X25519Secret::from_bytes(&bytes(byte));
    let (alice, bob) = (device(0), device(1));
    let (signed, ephemeral) = (key(0x51), key(0x71));
    let (kem, kem_id) = match given.one_time_kem {
        true => (kem_secret(0x62), ONE_TIME_KEM_ID),
        false => (kem_secret(0x61), LAST_RESORT_ID),
    };
    let (ciphertext, ss) = kem.public().encapsulate(&mut Script::new(&[&[0x72; 32]]));
    let dh = |ours: &X25519Secret, theirs: &X25519Secret| {
        ours.diffie_hellman(theirs.public())
            .unwrap()
            .as_bytes()
            .to_vec()
    };
    let mut dhs = vec![
        ("dh1", dh(alice.identity(), &signed)),
        ("dh2", dh(&ephemeral, bob.identity())),
        ("dh3", dh(&ephemeral, &signed)),
    ];
    if given.one_time {
        dhs.push(("dh4", dh(&ephemeral, &key(0x52))));
    }
    let mut ikm = vec![0xff; 32];
    dhs.iter().for_each(|(_, dh)| ikm.extend_from_slice(dh));
    ikm.extend_from_slice(ss.as_bytes());
    let sk = hkdf_by_hand(&[0; 32], &ikm, b"ZenTalk PQXDH v1", 32);
    let mut message = Message {
        begun: MADE,
        signed_prekey: SIGNED_ID,
        kem: kem_id,
        one_time: given.one_time.then_some(ONE_TIME_ID),
        ephemeral: *ephemeral.public(),
        ciphertext: ciphertext.as_bytes().to_vec(),
    };
    spoil(&mut message);
    let begun = message.begun.as_ms().to_be_bytes();
    let bound = [
        account(0).keys().address().as_bytes().as_slice(),
        account(1).keys().address().as_bytes(),
        certificate(0, 0).hash().as_bytes(),
        certificate(1, 1).hash().as_bytes(),
        kem.public().as_bytes(),
        &begun,
    ]
    .concat();
    let ad = blake2b_256_concat(b"ZenTalk agreement v1", &bound);
    file.vector("agreement", expect, comment);
    inputs(file, given);
    file.bytes("ephemeral_secret", &[0x71; 32])
        .bytes("kem_m", &[0x72; 32])
        .bytes("ephemeral_key", message.ephemeral.as_bytes())
        .bytes("kem_key", kem.public().as_bytes())
        .bytes("kem_ciphertext", &message.ciphertext)
        .bytes(
            "used_signed_prekey_id",
            &message.signed_prekey.to_be_bytes(),
        )
        .bytes("used_kem_id", &message.kem.to_be_bytes())
        .bytes("begun", &begun);
    if let Some(id) = message.one_time {
        file.bytes("used_one_time_id", &id.to_be_bytes());
    }
    for (name, dh) in &dhs {
        file.bytes(name, dh);
    }
    let parts = [&ad[..], message.ephemeral.as_bytes(), &message.ciphertext].concat();
    file.bytes("ss", ss.as_bytes())
        .bytes("ikm", &ikm)
        .bytes("sk", &sk)
        .bytes("ad", &ad)
        .bytes(
            "session_id",
            &blake2b_128_concat(b"ZenTalk session v1", &parts),
        );
}

/// Whose devices, and the responder's prekeys.
fn inputs(file: &mut VectorFile, given: Given) {
    file.text("initiator", "alice")
        .text("responder", "bob")
        .bytes("signed_prekey_id", &SIGNED_ID.to_be_bytes())
        .bytes("signed_prekey_secret", &[0x51; 32])
        .bytes("last_resort_id", &LAST_RESORT_ID.to_be_bytes())
        .bytes("last_resort_seed", &[0x61; 64]);
    if given.one_time {
        file.bytes("one_time_id", &ONE_TIME_ID.to_be_bytes())
            .bytes("one_time_secret", &[0x52; 32]);
    }
    if given.one_time_kem {
        file.bytes("one_time_kem_id", &ONE_TIME_KEM_ID.to_be_bytes())
            .bytes("one_time_kem_seed", &[0x62; 64]);
    }
}
