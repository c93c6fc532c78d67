//! The generator of `rpc.txt`: every signed or sealed value by hand from PROTOCOL §6 to §8.

use super::*;

const NODE: NodeId = NodeId::from_bytes([0x21; 20]);
const NODES: [NodeId; 2] = [NODE, NodeId::from_bytes([0x22; 20])];
const MAILBOX_SEED: [u8; 32] = [0x31; 32];
const DIRECTORY_SEED: [u8; 32] = [0x32; 32];

fn mailbox_key() -> SigningKey {
    SigningKey::from_seed(&Secret::from_bytes(MAILBOX_SEED))
}

fn mailbox_id() -> [u8; 20] {
    blake2b_160_concat(
        b"ZenTalk mailbox v1",
        mailbox_key().verifying_key().as_bytes(),
    )
}

/// A signature, with the bytes under it.
struct Signed {
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn new(key: &SigningKey, domain: &str, message: &[u8]) -> Self {
        Self {
            signed: [domain.as_bytes(), &[0], message].concat(),
            signature: key.sign(domain, message).as_bytes().to_vec(),
        }
    }

    fn write<'a>(&self, file: &'a mut VectorFile, seed: &[u8]) -> &'a mut VectorFile {
        file.bytes("seed", seed)
            .bytes("signed", &self.signed)
            .bytes("signature", &self.signature)
    }
}

#[test]
fn the_file_is_what_the_generator_writes() {
    let mut file = VectorFile::new(HEAD);
    refused_owner_requests(&mut file);
    refused_tombstones(&mut file);
    refused_mailbox_descriptors(&mut file);
    let record = Record::new();
    record.refused(&mut file);
    refused_contents(&mut file, &record.contents);
    write_permit(&mut file, "different", "NodeId before the domain", true);
    write_other_envelope(&mut file);
    write_identifiers(&mut file);
    write_permit(&mut file, "equal", "what contacts show to node", false);
    accepted_owner_request(&mut file);
    accepted_tombstone(&mut file);
    accepted_mailbox_descriptor(&mut file);
    record.accepted(&mut file);
    sealed_prekey(&mut file, "opens", "a prekey entry", |_| ());
    accepted_contents(&mut file, &record.contents);
    file.finish("rpc.txt");
}

fn write_permit(file: &mut VectorFile, expect: &str, comment: &str, exchanged: bool) {
    let (domain, node): (&[u8], &[u8]) = (b"ZenTalk permit v1", NODE.as_bytes());
    let message = match exchanged {
        true => [node, domain].concat(),
        false => [domain, node].concat(),
    };
    file.vector("permit", expect, comment)
        .bytes("write_secret", &[0x23; 32])
        .bytes("node", node)
        .bytes("permit", &hmac_by_hand(&[0x23; 32], &message));
}

fn write_identifiers(file: &mut VectorFile) {
    let public = |seed: [u8; 32]| {
        let key = SigningKey::from_seed(&Secret::from_bytes(seed));
        key.verifying_key().as_bytes().to_vec()
    };
    let relay = account_rsa(5).public().spki_der().to_vec();
    let device_seed = *device(1).signing().to_seed().as_bytes();
    let device_key = public(device_seed);
    let (mailbox, directory) = (public(MAILBOX_SEED), public(DIRECTORY_SEED));
    let mut identifier = |of: &str, domain: &str, seed: Option<&[u8]>, key: &[u8], id: &[u8]| {
        let comment = format!("{} bytes", id.len());
        file.vector("identifier", "equal", &comment)
            .text("of", of)
            .bytes("domain", domain.as_bytes());
        if let Some(seed) = seed {
            file.bytes("seed", seed);
        }
        file.bytes("key", key).bytes("id", id);
    };
    let domain = "ZenTalk node v1";
    let id = blake2b_160_concat(domain.as_bytes(), &relay);
    identifier("relay", domain, None, &relay, &id);
    let domain = "ZenTalk device v1";
    let id = blake2b_128_concat(domain.as_bytes(), &device_key);
    identifier("device", domain, Some(&device_seed), &device_key, &id);
    let domain = "ZenTalk mailbox v1";
    let id = blake2b_160_concat(domain.as_bytes(), &mailbox);
    identifier("mailbox", domain, Some(&MAILBOX_SEED), &mailbox, &id);
    let domain = "ZenTalk dir v1";
    let id = blake2b_160_concat(domain.as_bytes(), &directory);
    identifier("record", domain, Some(&DIRECTORY_SEED), &directory, &id);
    let domain = "ZenTalk hash v1";
    let body = certificate_body();
    let id = blake2b_256_concat(domain.as_bytes(), &body);
    identifier("certificate", domain, None, &body, &id);
    let (envelope, id) = envelope();
    identifier("envelope", ENVELOPE_DOMAIN, None, &envelope, &id);
}

const ENVELOPE_DOMAIN: &str = "ZenTalk envelope id v1";

/// Bytes as long as an envelope, and their id.
fn envelope() -> (Vec<u8>, [u8; 16]) {
    let envelope = [[0x61; 4000], [0x62; 4000]].concat();
    let id = blake2b_128_concat(ENVELOPE_DOMAIN.as_bytes(), &envelope);
    (envelope, id)
}

/// Under the id of an envelope, one that differs in its last bit.
fn write_other_envelope(file: &mut VectorFile) {
    let (mut other, id) = envelope();
    other[7999] ^= 1;
    file.vector("identifier", "different", "another envelope")
        .text("of", "envelope")
        .bytes("domain", ENVELOPE_DOMAIN.as_bytes())
        .bytes("key", &other)
        .bytes("id", &id);
}

/// The body of `certificate(0, 1)`, which is the first field of its encoding.
fn certificate_body() -> Vec<u8> {
    let encoded = certificate(0, 1).encode();
    let mut d = minicbor::Decoder::new(&encoded);
    d.map().unwrap();
    d.u8().unwrap();
    d.bytes().unwrap().to_vec()
}

/// An owner request by hand.
struct Request {
    kind: [u8; 2],
    sequence: u64,
    body: Vec<u8>,
    signed: Signed,
}

impl Request {
    fn new() -> Self {
        let (kind, sequence, body) = ([0, 0x64], 1_800_000_000_000_u64, vec![0xa2, 0, 0, 1, 3]);
        let message = [&NODE.as_bytes()[..], &kind, &sequence.to_be_bytes(), &body].concat();
        Self {
            kind,
            sequence,
            body,
            signed: Signed::new(&mailbox_key(), "ZenTalk owner v1", &message),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(Vec::new());
        let key = mailbox_key().verifying_key();
        e.map(4)
            .unwrap()
            .u8(0)
            .unwrap()
            .bytes(key.as_bytes())
            .unwrap();
        e.u8(1).unwrap().u64(self.sequence).unwrap();
        e.u8(2).unwrap().bytes(&self.body).unwrap();
        e.u8(3).unwrap().bytes(&self.signed.signature).unwrap();
        e.into_writer()
    }

    fn write(&self, file: &mut VectorFile, expect: &str, comment: &str, node: NodeId) {
        file.vector("owner request", expect, comment)
            .bytes("node", node.as_bytes())
            .bytes("type", &self.kind)
            .bytes("bytes", &self.bytes());
    }
}

fn refused_owner_requests(file: &mut VectorFile) {
    let not = "not the owner";
    Request::new().write(file, not, "signed for another relay", NODES[1]);
    let mut other = Request::new();
    other.kind = [0, 0x62];
    other.write(file, not, "signed for another operation", NODE);
    let mut other = Request::new();
    other.sequence += 1;
    other.write(file, not, "signed with another sequence", NODE);
    let mut other = Request::new();
    other.body[2] = 1;
    other.write(file, not, "signed over another body", NODE);
    file.vector("owner request", "malformed", "its last byte missing")
        .bytes("node", NODE.as_bytes())
        .bytes("type", &[0, 0x64]);
    let mut bytes = Request::new().bytes();
    bytes.pop();
    file.bytes("bytes", &bytes);
}

fn accepted_owner_request(file: &mut VectorFile) {
    let request = Request::new();
    request.write(file, "accepted", "a FetchRequest", NODE);
    file.bytes("sequence", &request.sequence.to_be_bytes())
        .bytes("body", &request.body)
        .bytes("mailbox", &mailbox_id());
    request.signed.write(file, &MAILBOX_SEED);
}

/// A tombstone of two envelopes by hand: ids, bytes.
fn tombstone(signed_ids: &[u8], ids: &[u8]) -> (Signed, Vec<u8>) {
    let message = [&mailbox_id()[..], signed_ids].concat();
    let signed = Signed::new(&mailbox_key(), "ZenTalk tombstone v1", &message);
    let mut e = minicbor::Encoder::new(Vec::new());
    let key = mailbox_key().verifying_key();
    e.map(3)
        .unwrap()
        .u8(0)
        .unwrap()
        .bytes(key.as_bytes())
        .unwrap();
    e.u8(1).unwrap().array(ids.len() as u64 / 16).unwrap();
    for id in ids.chunks_exact(16) {
        e.bytes(id).unwrap();
    }
    e.u8(2).unwrap().bytes(&signed.signature).unwrap();
    (signed, e.into_writer())
}

fn refused_tombstones(file: &mut VectorFile) {
    let ids = [[0x41; 16], [0x42; 16]].concat();
    let mut refused = |comment: &str, bytes: &[u8]| {
        file.vector("tombstone", "not the owner", comment)
            .bytes("bytes", bytes);
    };
    refused(
        "an envelope more than was signed",
        &tombstone(&ids[..16], &ids).1,
    );
    let exchanged = [[0x42; 16], [0x41; 16]].concat();
    refused("another order", &tombstone(&exchanged, &ids).1);
}

fn accepted_tombstone(file: &mut VectorFile) {
    let ids = [[0x41; 16], [0x42; 16]].concat();
    let (signed, bytes) = tombstone(&ids, &ids);
    file.vector("tombstone", "accepted", "two envelopes")
        .bytes("mailbox", &mailbox_id())
        .bytes("ids", &ids);
    signed.write(file, &MAILBOX_SEED).bytes("bytes", &bytes);
}

/// A mailbox descriptor by hand.
fn mailbox_descriptor(members: &[NodeId], active: u8) -> (Signed, Vec<u8>) {
    let mut e = minicbor::Encoder::new(Vec::new());
    let key = mailbox_key();
    e.map(5)
        .unwrap()
        .u8(0)
        .unwrap()
        .bytes(key.verifying_key().as_bytes())
        .unwrap();
    e.u8(1).unwrap().u64(4).unwrap();
    e.u8(2).unwrap().array(members.len() as u64).unwrap();
    for member in members {
        e.bytes(member.as_bytes()).unwrap();
    }
    e.u8(3).unwrap().u8(active).unwrap();
    e.u8(4).unwrap().u64(MADE.as_ms()).unwrap();
    let body = e.into_writer();
    let signed = Signed::new(&key, "ZenTalk mailbox descriptor v1", &body);
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(2).unwrap().u8(0).unwrap().bytes(&body).unwrap();
    e.u8(1).unwrap().bytes(&signed.signature).unwrap();
    (signed, e.into_writer())
}

fn refused_mailbox_descriptors(file: &mut VectorFile) {
    let mut refused = |expect: &str, comment: &str, bytes: &[u8]| {
        file.vector("mailbox descriptor", expect, comment)
            .bytes("bytes", bytes);
    };
    refused(
        "malformed",
        "no active member",
        &mailbox_descriptor(&NODES, 0).1,
    );
    refused(
        "malformed",
        "more active than listed",
        &mailbox_descriptor(&NODES, 3).1,
    );
    let twice = mailbox_descriptor(&[NODE, NODE], 1).1;
    refused("malformed", "a member twice", &twice);
    let seven: Vec<_> = (0..7).map(|byte| NodeId::from_bytes([byte; 20])).collect();
    refused(
        "malformed",
        "seven members",
        &mailbox_descriptor(&seven, 3).1,
    );
    let mut changed = mailbox_descriptor(&NODES, 1).1;
    *changed.last_mut().unwrap() ^= 1;
    refused("bad signature", "the last bit of the signature", &changed);
}

fn accepted_mailbox_descriptor(file: &mut VectorFile) {
    let (signed, bytes) = mailbox_descriptor(&NODES, 1);
    file.vector(
        "mailbox descriptor",
        "accepted",
        "two members, the first of them active",
    )
    .bytes("mailbox", &mailbox_id())
    .bytes("sequence", &4u64.to_be_bytes())
    .bytes("members", NODES.map(|node| *node.as_bytes()).as_flattened())
    .bytes("active", NODE.as_bytes());
    signed.write(file, &MAILBOX_SEED).bytes("bytes", &bytes);
}

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
struct Entry {
    address: [u8; 32],
    mailbox: [u8; 20],
    sealed: Vec<u8>,
}

fn sealed_prekey(
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
struct Record {
    contents: Vec<u8>,
    key: Vec<u8>,
    sealed: Vec<u8>,
}

const SEQUENCE: u64 = 6;
const NOW: Timestamp = MADE.saturating_add(Duration::from_days(1));

impl Record {
    fn new() -> Self {
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
    fn refused(&self, file: &mut VectorFile) {
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

    fn accepted(&self, file: &mut VectorFile) {
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
    contents_with(devices, |_| {})
}

/// The same, each device changed after it has signed.
fn contents_with(devices: &[u64], change: impl Fn(&mut PublishedDevice)) -> Vec<u8> {
    let (_, mailbox) = mailbox_descriptor(&NODES, 1);
    let mailbox = MailboxDescriptor::verify(&mailbox).unwrap();
    let published = |number: &u64| {
        let certificate = certificate(0, *number).into_certificate();
        let device = device(*number);
        let current = device.sealing().current();
        let sealing_key = current.publish(device.signing(), mailbox.mailbox());
        let mut published = PublishedDevice {
            sealing_key: sealing_key.verify(&certificate, mailbox.mailbox()).unwrap(),
            certificate,
            mailbox: mailbox.clone(),
        };
        change(&mut published);
        published
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

fn refused_contents(file: &mut VectorFile, contents: &[u8]) {
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
    let elsewhere = contents_with(&[1], |published| {
        let (other, members) = (device(2), NODES.to_vec());
        published.mailbox = MailboxDescriptor::sign(other.mailbox(), 4, members, 1, MADE).unwrap();
    });
    let other = "the descriptor of a mailbox that the device did not sign with its sealing key";
    refused("sealing key", other, &elsewhere);
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

fn accepted_contents(file: &mut VectorFile, contents: &[u8]) {
    let alice = account(0).keys();
    let when = (&alice.address(), NOW);
    write_contents(file, "accepted", "one device", when, contents);
    file.bytes("account_keys", &to_cbor(&alice))
        .bytes("certificate_body", &certificate_body())
        .bytes("mailbox_descriptor", &mailbox_descriptor(&NODES, 1).1);
}
