//! Our sessions: beginning one, bare and with every signature on the way, and sealing what is sent.

use std::rc::Rc;

use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::id::NodeId;
use zentalk_shared::identity::{
    AccountKeys, AccountSecret, DeviceCertificate, DeviceSecret, SealingKey, SignedCertificate,
    UnverifiedCertificate,
};
use zentalk_shared::ratchet::Ratchet;
use zentalk_shared::session::{
    LocalDevice, SessionMessage, SessionRecord, open, receive, seal_message,
};
use zentalk_shared::x3dh::{
    LocalIdentity, PreKeyBundle, PreKeySecrets, UnverifiedBundle, accept, initiate,
};

use crate::measure::Row;
use crate::{NOW, rng};

/// A device with its prekeys, and the bundle that relays serve of it.
struct Device {
    account: AccountKeys,
    certificate: SignedCertificate,
    device: DeviceSecret,
    prekeys: PreKeySecrets,
    bundle: UnverifiedBundle,
}

impl Device {
    fn new(rsa: &RsaSecret, seed: u64) -> Self {
        let rng = &mut rng(seed);
        let account = AccountSecret::from_parts(rsa.clone(), Secret32::random(rng));
        let device = DeviceSecret::random(NOW, rng);
        let job = DeviceCertificate::to_sign(account.keys().address(), &device, NOW);
        let signed = account.sign_and_finish(job, rng).expect("signs");
        let certificate = UnverifiedCertificate::from(signed)
            .verify(&account.keys())
            .expect("verifies");
        let mut prekeys = PreKeySecrets::random(NOW, rng);
        let base = prekeys.base(device.signing(), &certificate);
        let relay = NodeId::from_bytes([1; NodeId::LEN]);
        let mut one_time = prekeys.make_one_time(&relay, 1, device.signing(), NOW, rng);
        let one_time = one_time.pop();
        Self {
            account: account.keys(),
            certificate,
            device,
            prekeys,
            bundle: UnverifiedBundle { base, one_time },
        }
    }

    fn me(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: &self.account,
            certificate: &self.certificate,
            identity: self.device.identity(),
        }
    }

    fn identity(&self) -> LocalIdentity<'_> {
        LocalIdentity {
            identity: self.device.identity(),
            certificate: &self.certificate,
        }
    }

    fn verified_bundle(&self) -> PreKeyBundle {
        let bundle = self.bundle.clone();
        bundle.verify(&self.certificate, NOW).expect("verifies")
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

/// Two devices of two accounts.
pub(crate) struct Pair {
    alice: Rc<Device>,
    bob: Rc<Device>,
}

impl Pair {
    /// Both accounts have the same RSA key: making one takes seconds.
    pub(crate) fn new(rsa: &RsaSecret) -> Self {
        Self {
            alice: Rc::new(Device::new(rsa, 20)),
            bob: Rc::new(Device::new(rsa, 21)),
        }
    }

    /// The initiator's part, from a verified bundle: agreement and first message.
    pub(crate) fn initiate(&self, length: usize) -> Row {
        let (alice, bob) = (Rc::clone(&self.alice), Rc::clone(&self.bob));
        let (text, mut rng) = (vec![1; length], rng(22));
        let work = move |bundle| {
            let agreed = initiate(alice.identity(), bundle, NOW, &mut rng).expect("proper keys");
            let mut ratchet =
                Ratchet::initiate(agreed.secret, agreed.peer_ratchet_key, agreed.peer_kem_key);
            let message = ratchet.encrypt(agreed.ad.as_bytes(), &text, &mut rng);
            (ratchet, message.expect("encrypts"))
        };
        Row::new("set-up, initiator", move || bob.verified_bundle(), work)
    }

    /// The responder's part, from a verified certificate: agreement and decryption.
    pub(crate) fn respond(&self, length: usize) -> Row {
        let (alice, bob) = (Rc::clone(&self.alice), Rc::clone(&self.bob));
        let rng = &mut rng(23);
        let agreed =
            initiate(alice.identity(), bob.verified_bundle(), NOW, rng).expect("proper keys");
        let initial = agreed.header;
        let mut ratchet =
            Ratchet::initiate(agreed.secret, agreed.peer_ratchet_key, agreed.peer_kem_key);
        let (header, ciphertext) = ratchet
            .encrypt(agreed.ad.as_bytes(), &vec![1; length], rng)
            .expect("encrypts");
        Row::repeat("set-up, responder", move || {
            let agreed = accept(bob.identity(), &bob.prekeys, &initial, &alice.certificate)
                .expect("known prekeys");
            let (dh, ek, ad) = (&agreed.ratchet_key, &agreed.kem_key, agreed.ad.as_bytes());
            Ratchet::accept(agreed.secret, dh, ek, ad, &header, &ciphertext, NOW)
                .expect("authenticates")
        })
    }

    /// Both parts as the client does them: the bundle's signatures, the certificate's (RSA and ML-DSA),
    /// the records.
    pub(crate) fn whole(&self, length: usize) -> Vec<Row> {
        let (alice, bob) = (Rc::clone(&self.alice), Rc::clone(&self.bob));
        let (text, mut rng) = (vec![1; length], rng(24));
        let mut start = move |bundle: UnverifiedBundle| {
            let bundle = bundle.verify(&bob.certificate, NOW).expect("verifies");
            let mut record =
                SessionRecord::start(alice.me(), bundle, NOW, &mut rng).expect("starts");
            record
                .encrypt(alice.me(), &text, &mut rng)
                .expect("encrypts")
        };
        let bundle = self.bob.bundle.clone();
        let first = start(bundle.clone());
        let bob = Rc::clone(&self.bob);
        vec![
            Row::new(
                "set-up with signatures, initiator",
                move || bundle.clone(),
                start,
            ),
            Row::repeat("set-up with signatures, responder", move || {
                let message = SessionMessage::decode(&first).expect("decodes");
                receive(None, bob.me(), &bob.prekeys, &message, NOW).expect("authenticates")
            }),
        ]
    }

    /// Sealing and opening one envelope.
    pub(crate) fn envelopes(&self) -> Vec<Row> {
        let (sealing, bob, mut rng) = (self.bob.sealing_key(), Rc::clone(&self.bob), rng(25));
        let mut seal = move || {
            let sealed = seal_message(&[1; 1024], &sealing, &mut rng);
            sealed.expect("seals").remove(0)
        };
        let envelope = seal();
        vec![
            Row::repeat("seal an envelope", seal),
            Row::repeat("open an envelope", move || {
                open(&envelope, bob.device.sealing(), bob.device.id()).expect("opens")
            }),
        ]
    }

    /// Bytes of one session message with a text of that many bytes: of the first, and of one after the
    /// peer has answered; and in how many envelopes they go.
    pub(crate) fn message_len(&self, length: usize) -> [(usize, usize); 2] {
        let (text, rng) = (vec![1; length], &mut rng(26));
        let (alice, bob) = (&self.alice, &self.bob);
        let mut ours =
            SessionRecord::start(alice.me(), bob.verified_bundle(), NOW, rng).expect("starts");
        let first = ours.encrypt(alice.me(), &text, rng).expect("encrypts");
        let message = SessionMessage::decode(&first).expect("decodes");
        let received = receive(None, bob.me(), &bob.prekeys, &message, NOW).expect("authenticates");
        let mut theirs = received.record;
        let other = theirs.encrypt(bob.me(), &text, rng).expect("encrypts");
        let sealing = bob.sealing_key();
        [first, other].map(|message| {
            let envelopes = seal_message(&message, &sealing, rng).expect("seals");
            (message.len(), envelopes.len())
        })
    }
}
