//! Ratchet, sessions and envelopes: `cargo bench -p zentalk-shared --bench ratchet`.
//!
//! Prints the median and the best time of each operation in microseconds: on a busy machine the best is
//! the better measure of what takes longer than a time slice. Messages have 1 KiB of plaintext; every
//! message that changes the direction makes a DH and a KEM step.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::ml_kem::MlKemSecret;
use zentalk_shared::identity::{
    AccountKeys, AccountSecret, DeviceCertificate, DeviceSecret, SealingKey, SignedCertificate,
    UnverifiedCertificate,
};
use zentalk_shared::ratchet::{Header, Ratchet};
use zentalk_shared::session::{
    LocalDevice, SessionMessage, SessionRecord, open, receive, seal_message,
};
use zentalk_shared::time::Timestamp;
use zentalk_shared::x3dh::{AssociatedData, PreKeyBundle, PreKeySecrets, UnverifiedBundle};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const AD: &[u8] = &[7; AssociatedData::LEN];
const PLAINTEXT: &[u8] = &[1; 1024];

fn main() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    println!("{:<48} {:>10} {:>10}", "operation", "median µs", "best µs");
    ratchets(&mut rng);
    sessions(&mut rng);
}

fn ratchets(rng: &mut ChaCha20Rng) {
    let (mut alice, mut bob) = talking(rng);
    let mut messages = Vec::new();
    report("encrypt 1 KiB in a chain", 900, || {
        let (took, message) = timed(|| encrypt(&mut alice, rng));
        messages.push(message);
        took
    });
    let mut arriving = messages.iter();
    report("decrypt 1 KiB in a chain", 900, || {
        let message = arriving.next().expect("as many as were encrypted");
        let (took, next) = timed(|| decrypt(&bob, message));
        bob = next;
        took
    });
    report(
        "ping-pong: two messages, four DH and KEM steps",
        300,
        || {
            let exchange = || {
                let ping = encrypt(&mut bob, rng);
                alice = decrypt(&alice, &ping);
                let pong = encrypt(&mut alice, rng);
                bob = decrypt(&bob, &pong);
            };
            timed(exchange).0
        },
    );
    let mut forged = encrypt(&mut bob, rng);
    forged.0.n += 1000;
    report("refuse a forged step 1000 ahead", 100, || {
        timed(|| alice.decrypt(AD, &forged.0, &forged.1, NOW).is_err()).0
    });
    report("store and load a ratchet", 300, || {
        timed(|| Ratchet::decode(&alice.encode())).0
    });
}

fn sessions(rng: &mut ChaCha20Rng) {
    let (alice, mut bob) = (Device::new(rng), Device::new(rng));
    report("session start: verify a bundle, encrypt", 200, || {
        let bundle = bob.unverified_bundle(rng);
        timed(|| alice.start(bob.verify(bundle), rng)).0
    });
    report("session start: verify a certificate, decrypt", 200, || {
        let bundle = bob.unverified_bundle(rng);
        let (_, bytes) = alice.start(bob.verify(bundle), rng);
        timed(|| {
            let message = SessionMessage::decode(&bytes).expect("decodes");
            receive(None, bob.me(), &bob.prekeys, &message, NOW).expect("authenticates")
        })
        .0
    });
    let sealing = bob.sealing_key();
    report("seal an envelope", 300, || {
        timed(|| seal_message(PLAINTEXT, &sealing, rng)).0
    });
    let envelope = seal_message(PLAINTEXT, &sealing, rng)
        .expect("seals")
        .remove(0);
    report("open an envelope", 300, || {
        timed(|| open(&envelope, bob.device.sealing(), bob.device.id()).expect("opens")).0
    });
}

/// Two sides that have both sent.
fn talking(rng: &mut ChaCha20Rng) -> (Ratchet, Ratchet) {
    let shared = Secret32::random(rng);
    let (dh, ek) = (X25519Secret::random(rng), MlKemSecret::random(rng));
    let mut alice = Ratchet::initiate(shared.clone(), *dh.public(), ek.public().clone());
    let (header, ciphertext) = encrypt(&mut alice, rng);
    let accepted = Ratchet::accept(shared, &dh, &ek, AD, &header, &ciphertext, NOW);
    let (_, mut bob) = accepted.expect("authenticates");
    let reply = encrypt(&mut bob, rng);
    (decrypt(&alice, &reply), bob)
}

fn encrypt(ratchet: &mut Ratchet, rng: &mut ChaCha20Rng) -> (Header, Vec<u8>) {
    ratchet.encrypt(AD, PLAINTEXT, rng).expect("encrypts")
}

fn decrypt(ratchet: &Ratchet, (header, ciphertext): &(Header, Vec<u8>)) -> Ratchet {
    ratchet
        .decrypt(AD, header, ciphertext, NOW)
        .expect("authenticates")
        .1
}

struct Device {
    account: AccountKeys,
    certificate: SignedCertificate,
    device: DeviceSecret,
    prekeys: PreKeySecrets,
}

impl Device {
    fn new(rng: &mut ChaCha20Rng) -> Self {
        let account = AccountSecret::generate(rng).expect("generates");
        let device = DeviceSecret::random(NOW, rng);
        let job = DeviceCertificate::to_sign(account.keys().address(), &device, NOW);
        let signed = account.sign_and_finish(job, rng).expect("signs");
        let certificate = UnverifiedCertificate::from(signed)
            .verify(&account.keys())
            .expect("verifies");
        let prekeys = PreKeySecrets::random(NOW, rng);
        Self {
            account: account.keys(),
            certificate,
            device,
            prekeys,
        }
    }

    fn me(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: &self.account,
            certificate: &self.certificate,
            identity: self.device.identity(),
        }
    }

    fn unverified_bundle(&mut self, rng: &mut ChaCha20Rng) -> UnverifiedBundle {
        let base = self.prekeys.base(self.device.signing(), &self.certificate);
        let mut one_time = self
            .prekeys
            .make_one_time(1, self.device.signing(), NOW, rng);
        UnverifiedBundle {
            base,
            one_time: one_time.pop(),
        }
    }

    fn verify(&self, bundle: UnverifiedBundle) -> PreKeyBundle {
        bundle.verify(&self.certificate, NOW).expect("verifies")
    }

    fn start(&self, bundle: PreKeyBundle, rng: &mut ChaCha20Rng) -> (SessionRecord, Vec<u8>) {
        let mut record = SessionRecord::start(self.me(), bundle, rng).expect("starts");
        let message = record.encrypt(self.me(), PLAINTEXT, rng).expect("encrypts");
        (record, message)
    }

    fn sealing_key(&self) -> SealingKey {
        let published = self
            .device
            .sealing()
            .current()
            .publish(self.device.signing());
        published.verify(&self.certificate).expect("verifies")
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed(), result)
}

/// Runs `measure` that often, leaves a tenth out to warm up, and prints the median and the best.
fn report(name: &str, times: usize, mut measure: impl FnMut() -> Duration) {
    let warm_up = times / 10;
    let mut samples: Vec<f64> = (0..times)
        .map(|_| measure().as_secs_f64() * 1e6)
        .skip(warm_up)
        .collect();
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples.get(index).copied().unwrap_or_default();
    println!("{name:<48} {:>10.1} {:>10.1}", at(samples.len() / 2), at(0));
}
