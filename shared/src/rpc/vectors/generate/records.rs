//! What is sealed for relays: prekeys, and records with their contents.

use super::*;

fn sealed_under(key: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let (key, nonce) = (Secret32::try_from(key).unwrap(), [0x51; 12]);
    let sealed = Aes256GcmKey::new(&key)
        .seal(&nonce, b"", plaintext)
        .unwrap();
    [&nonce[..], &sealed].concat()
}

fn padded(contents: &[u8], length: usize) -> Vec<u8> {
    let mut padded = [&(contents.len() as u16).to_be_bytes(), contents].concat();
    padded.resize(length, 0);
    padded
}

/// The inputs of a sealed prekey, to be spoiled.
pub(super) struct Entry {
    address: [u8; 32],
    mailbox: [u8; 20],
    sealed: Vec<u8>,
}

pub(super) fn sealed_prekey(
    file: &mut VectorFile,
    expect: &str,
    comment: &str,
    spoil: impl FnOnce(&mut Entry),
) {
    let address = *account(0).keys().address().as_bytes();
    let (mailbox, entry) = (mailbox_id(), b"an entry of any length");
    let key = hkdf_by_hand(b"ZenTalk prekeys v1", &address, &mailbox, 32);
    let mut values = Entry {
        address,
        mailbox,
        sealed: sealed_under(&key, entry),
    };
    spoil(&mut values);
    file.vector("sealed prekey", expect, comment)
        .bytes("address", &values.address)
        .bytes("mailbox", &values.mailbox)
        .bytes("sealed", &values.sealed);
    if expect == "opens" {
        file.bytes("key", &key)
            .bytes("nonce", &[0x51; 12])
            .bytes("entry", entry);
    }
}

/// Alice's record, by hand around contents that the code has made.
pub(super) struct Record {
    pub(super) contents: Vec<u8>,
    key: Vec<u8>,
    sealed: Vec<u8>,
}

const SEQUENCE: u64 = 6;
const NOW: Timestamp = MADE.saturating_add(Duration::from_days(1));

impl Record {
    pub(super) fn new() -> Self {
        let contents = contents_of(&[1]);
        let address = account(0).keys().address();
        let key = hkdf_by_hand(b"ZenTalk record v1", address.as_bytes(), b"", 32);
        Self {
            sealed: sealed_under(&key, &padded(&contents, 12_288)),
            contents,
            key,
        }
    }

    fn bytes(&self, sealed: &[u8], expires: Timestamp) -> (Signed, Vec<u8>) {
        self.numbered(SEQUENCE, sealed, expires)
    }

    fn numbered(&self, sequence: u64, sealed: &[u8], expires: Timestamp) -> (Signed, Vec<u8>) {
        let key = SigningKey::from_seed(&Secret::from_bytes(DIRECTORY_SEED));
        let times = [sequence.to_be_bytes(), expires.as_ms().to_be_bytes()].concat();
        let signed = Signed::new(&key, "ZenTalk record v1", &[&times, sealed].concat());
        let mut e = minicbor::Encoder::new(Vec::new());
        e.map(5)
            .unwrap()
            .u8(0)
            .unwrap()
            .bytes(key.verifying_key().as_bytes())
            .unwrap();
        e.u8(1).unwrap().u64(sequence).unwrap();
        e.u8(2).unwrap().u64(expires.as_ms()).unwrap();
        e.u8(3).unwrap().bytes(sealed).unwrap();
        e.u8(4).unwrap().bytes(&signed.signature).unwrap();
        (signed, e.into_writer())
    }

    /// What is refused whatever the contents: a short sealed part stands for them.
    pub(super) fn refused(&self, file: &mut VectorFile) {
        let month = Duration::from_days(30);
        let sealed = [0x61; 40];
        let mut refused = |expect: &str, comment: &str, now: Timestamp, bytes: &[u8]| {
            file.vector("record", expect, comment)
                .bytes("now", &now.as_ms().to_be_bytes())
                .bytes("bytes", bytes);
        };
        let good = self.bytes(&sealed, NOW + month).1;
        refused("expired", "now", NOW + month, &good);
        let early = NOW - Duration::from_hours(2) - Duration::from_ms(1);
        refused("expired", "30 days, 2 hours and 1 ms ahead", early, &good);
        let day_and_ms = Duration::from_days(1) + Duration::from_ms(1);
        let ahead = self.numbered((NOW + day_and_ms).as_ms(), &sealed, NOW + month);
        refused("ahead", "number of a day and 1 ms ahead", NOW, &ahead.1);
        let mut changed = good.clone();
        *changed.last_mut().unwrap() ^= 1;
        refused(
            "bad signature",
            "the last bit of the signature",
            NOW,
            &changed,
        );
        refused(
            "malformed",
            "a byte after it",
            NOW,
            &[&good[..], &[0]].concat(),
        );
        self.refused_seals(file);
    }

    fn refused_seals(&self, file: &mut VectorFile) {
        let not = "does not open";
        sealed_prekey(file, not, "the address of somebody else", |entry| {
            entry.address[0] ^= 1
        });
        sealed_prekey(file, not, "another mailbox", |entry| entry.mailbox[0] ^= 1);
        sealed_prekey(file, not, "shorter than nonce and tag", |entry| {
            entry.sealed.truncate(27)
        });
        let key = hkdf_by_hand(b"ZenTalk record v1", &[1; 32], b"", 32);
        let mut refused = |comment: &str, address: &[u8], sealed: &[u8]| {
            file.vector("sealed record", not, comment)
                .bytes("address", address)
                .bytes("sealed", sealed);
        };
        let sealed = sealed_under(&key, &padded(b"contents", 12_288));
        refused("the address of somebody else", &[2; 32], &sealed);
        let mut spoiled = |comment: &str, plain: &[u8]| {
            refused(comment, &[1; 32], &sealed_under(&key, plain));
        };
        spoiled(
            "not padded to one of the two lengths",
            &padded(b"contents", 12_289),
        );
        spoiled(
            "a length beyond the end",
            &[[0xff; 2].as_slice(), &[0; 12_286]].concat(),
        );
        let mut not_zero = padded(b"contents", 12_288);
        not_zero[12_287] = 1;
        spoiled("padding that is not zero", &not_zero);
        let mut changed = sealed;
        changed[12] ^= 1;
        refused("one bit of the ciphertext", &[1; 32], &changed);
    }

    pub(super) fn accepted(&self, file: &mut VectorFile) {
        let expires = NOW + Duration::from_days(30);
        let (signed, bytes) = self.bytes(&self.sealed, expires);
        let key = SigningKey::from_seed(&Secret::from_bytes(DIRECTORY_SEED));
        let id = blake2b_160_concat(b"ZenTalk dir v1", key.verifying_key().as_bytes());
        file.vector("record", "accepted", "alice's")
            .bytes("now", &NOW.as_ms().to_be_bytes())
            .bytes("record_key", &id)
            .bytes("sequence", &SEQUENCE.to_be_bytes())
            .bytes("expires", &expires.as_ms().to_be_bytes())
            .bytes("sealed", &self.sealed);
        signed.write(file, &DIRECTORY_SEED).bytes("bytes", &bytes);
        file.vector("sealed record", "opens", "what that record holds")
            .bytes("address", account(0).keys().address().as_bytes())
            .bytes("key", &self.key)
            .bytes("nonce", &[0x51; 12])
            .bytes("contents", &self.contents)
            .bytes("sealed", &self.sealed);
    }
}

/// Alice's contents with these of her devices. Her list names the first only, which vouches for it.
fn contents_of(devices: &[u64]) -> Vec<u8> {
    let (_, mailbox) = mailbox_descriptor(&NODES, 1);
    let published = |number: &u64| {
        let certificate = certificate(0, *number).into_certificate();
        let device = device(*number);
        let sealing_key = device.sealing().current().publish(device.signing());
        PublishedDevice {
            sealing_key: sealing_key.verify(&certificate).unwrap(),
            certificate,
            mailbox: MailboxDescriptor::verify(&mailbox).unwrap(),
        }
    };
    let list = device_list(0, 1);
    let contents = AccountContents {
        keys: account(0).keys(),
        devices: devices.iter().map(published).collect(),
        list: list.clone(),
        stale_since: None,
    };
    contents
        .encode(Freshness::sign(&list, &device(1), MADE))
        .unwrap()
}

/// The same with one device, whose certificate brings its account signature, as one that travels alone.
fn contents_with_signature() -> Vec<u8> {
    let contents = contents_of(&[1]);
    let body = to_cbor(&BoundedBytes::<256>::new(certificate_body()).unwrap());
    let at = contents.windows(body.len()).position(|part| part == body);
    let (before, after) = contents.split_at(at.unwrap());
    [before, &certificate(0, 1).encode(), &after[body.len()..]].concat()
}

fn write_contents(
    file: &mut VectorFile,
    expect: &str,
    comment: &str,
    (address, now): (&Address, Timestamp),
    bytes: &[u8],
) {
    file.vector("contents", expect, comment)
        .bytes("address", address.as_bytes())
        .bytes("now", &now.as_ms().to_be_bytes())
        .bytes("bytes", bytes);
}

pub(super) fn refused_contents(file: &mut VectorFile, contents: &[u8]) {
    let (alice, bob) = (account(0).keys().address(), account(1).keys().address());
    let other = "read as bob's";
    write_contents(file, "other account", other, (&bob, NOW), contents);
    let late = MADE + Duration::from_days(7) + Duration::from_ms(1);
    let expired = "the proof of freshness is older than 7 days";
    write_contents(file, "freshness", expired, (&alice, late), contents);
    let mut refused = |expect: &str, comment: &str, bytes: &[u8]| {
        write_contents(file, expect, comment, (&alice, NOW), bytes);
    };
    let certified = "a second device, certified by the account and not on the list";
    refused("not listed", certified, &contents_of(&[1, 2]));
    refused("a device twice", "the listed one", &contents_of(&[1, 1]));
    let signed = "the account-signed certificate in the place of its body";
    refused("malformed", signed, &contents_with_signature());
    let cut = &contents[..contents.len() - 1];
    write_contents(
        file,
        "malformed",
        "its last byte missing",
        (&alice, NOW),
        cut,
    );
}

pub(super) fn accepted_contents(file: &mut VectorFile, contents: &[u8]) {
    let alice = account(0).keys();
    let when = (&alice.address(), NOW);
    write_contents(file, "accepted", "one device", when, contents);
    file.bytes("account_keys", &to_cbor(&alice))
        .bytes("certificate_body", &certificate_body())
        .bytes("mailbox_descriptor", &mailbox_descriptor(&NODES, 1).1);
}
