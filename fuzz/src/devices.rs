//! Two devices of two accounts, with what they publish and the sessions that they have with each other:
//! what stateful targets drive, and the model of session establishment in `tests`.
//!
//! Everything here is a value: an operation gives the device that follows, as `receive` does.

use std::sync::LazyLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{CryptoRng, SeedableRng};
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::id::NodeId;
use zentalk_shared::identity::{
    AccountKeys, AccountSecret, DeviceCertificate, DeviceEntry, DeviceList, DeviceSecret,
    SignedCertificate, UnverifiedCertificate, UnverifiedDeviceList,
};
use zentalk_shared::session::{
    LocalDevice, PeerDevice, ReceiveError, SessionMessage, SessionRecord, receive,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::x3dh::{PreKeyBundle, PreKeyOneTime, PreKeySecrets, UnverifiedBundle};

/// When the devices were made.
const MADE: Timestamp = Timestamp::from_secs(1_800_000_000);
/// The relay that hands one-time prekeys out.
const RELAY: NodeId = NodeId::from_bytes([1; NodeId::LEN]);
/// When everything happens.
pub const NOW: Timestamp = MADE.saturating_add(Duration::from_days(1));

/// The committed pool of test-only account keys; `tests/src/keys.rs` documents the file.
const KEYS: &[u8] = include_bytes!("../../tests/keys/account-rsa4096.TEST-ONLY.bin");

/// Who a device is.
#[derive(Debug)]
pub struct Identity {
    pub(crate) account: AccountKeys,
    pub(crate) certificate: SignedCertificate,
    pub(crate) list: DeviceList,
    pub(crate) secrets: DeviceSecret,
}

/// The two, made once: account signatures take milliseconds.
pub(crate) static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| [0, 1].map(Identity::new));

impl Identity {
    fn new(number: usize) -> Self {
        let mut rng = rng(number as u64);
        let seed = Secret32::from_bytes([number as u8; 32]);
        let account = AccountSecret::from_parts(rsa(number), seed);
        let (keys, secrets) = (account.keys(), DeviceSecret::random(MADE, &mut rng));
        let job = DeviceCertificate::to_sign(keys.address(), &secrets, MADE);
        let signed = account.sign_and_finish(job, &mut rng).expect("signs");
        let certificate = UnverifiedCertificate::from(signed);
        let certificate = certificate.verify(&keys).expect("verifies");
        let entry = DeviceEntry::from(&*certificate);
        let job = DeviceList::to_sign(keys.address(), 1, &[entry]).expect("one device");
        let signed = account.sign_and_finish(job, &mut rng).expect("signs");
        let list = UnverifiedDeviceList::from(signed);
        Self {
            list: list.verify(&keys).expect("verifies"),
            certificate,
            account: keys,
            secrets,
        }
    }
}

/// A generator from a seed.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn rsa(number: usize) -> RsaSecret {
    let mut rest = KEYS;
    for at in 0.. {
        let (length, tail) = rest.split_first_chunk::<2>().expect("that many keys");
        let (key, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        if at == number {
            return RsaSecret::from_pkcs8_der(key).expect("an RSA key");
        }
        rest = tail;
    }
    unreachable!("the pool ends before the numbers do")
}

/// What relays hold of a device.
#[derive(Debug, Clone)]
pub struct Published {
    of: usize,
    bundle: UnverifiedBundle,
    one_time: Vec<PreKeyOneTime>,
}

impl Published {
    /// A base and a one-time entry as relays hold them before they are sealed.
    pub(crate) fn encoded(&self) -> (Vec<u8>, Vec<u8>) {
        let one_time = self.one_time.first().map(PreKeyOneTime::encode);
        (self.bundle.base.encode(), one_time.unwrap_or_default())
    }

    /// What the `index`-th asker gets: a one-time entry while there are any, then none.
    pub fn bundle(&self, index: usize) -> PreKeyBundle {
        let bundle = UnverifiedBundle {
            base: self.bundle.base.clone(),
            one_time: self.one_time.get(index).cloned(),
        };
        let certificate = &IDENTITIES[self.of].certificate;
        bundle.verify(certificate, NOW).expect("an honest bundle")
    }
}

/// One of the two devices.
#[derive(Debug, Clone)]
pub struct Device {
    number: usize,
    /// The secrets of what it has published.
    pub prekeys: PreKeySecrets,
    /// The sessions with the other one.
    pub sessions: Option<SessionRecord>,
    /// What it takes the time for. Every beginning takes a millisecond.
    pub clock: Timestamp,
    /// When it begins the next session, at the earliest: see `SessionMessage::time_to_begin_anew`.
    pub not_before: Timestamp,
}

impl Device {
    /// Device 0 or 1 with fresh prekeys, of which `one_time` entries serve once, and no session.
    pub fn new(number: usize, one_time: usize, rng: &mut impl CryptoRng) -> (Self, Published) {
        let Identity {
            secrets,
            certificate,
            ..
        } = &IDENTITIES[number];
        let mut prekeys = PreKeySecrets::random(MADE, rng);
        let one_time = prekeys.make_one_time(&RELAY, one_time, secrets.signing(), MADE, rng);
        let base = prekeys.base(secrets.signing(), certificate);
        let bundle = UnverifiedBundle {
            base,
            one_time: None,
        };
        let published = Published {
            of: number,
            bundle,
            one_time,
        };
        let device = Self {
            number,
            prekeys,
            sessions: None,
            clock: NOW,
            not_before: NOW,
        };
        (device, published)
    }

    /// Begins a session, again if there is one.
    pub fn start(&self, bundle: PreKeyBundle, rng: &mut impl CryptoRng) -> Self {
        let mut after = self.clone();
        after.clock += Duration::from_ms(1);
        let sessions = match &self.sessions {
            Some(record) => {
                record.start_over(self.local(), bundle, self.not_before, after.clock, rng)
            }
            None => {
                SessionRecord::start(self.local(), bundle, after.clock.max(self.not_before), rng)
            }
        };
        after.sessions = Some(sessions.expect("an honest bundle begins a session"));
        after.not_before = NOW;
        after
    }

    /// Encrypts in the current session, if there is one.
    pub fn send(&self, plaintext: &[u8], rng: &mut impl CryptoRng) -> Option<(Self, Vec<u8>)> {
        let mut after = self.clone();
        let message = after
            .sessions
            .as_mut()?
            .encrypt(self.local(), plaintext, rng)
            .expect("a short plaintext is encrypted");
        Some((after, message))
    }

    /// Takes a message in as an engine does; nothing changes if it is refused.
    pub fn receive(&self, message: &SessionMessage) -> Result<(Self, Vec<u8>), ReceiveError> {
        let record = self.sessions.as_ref();
        let received = receive(record, self.local(), &self.prekeys, message, self.clock)?;
        let mut after = self.clone();
        if let Some(first) = &received.first {
            after.prekeys.consume(&first.used);
        }
        assert_eq!(*received.record.peer(), self.peer(), "the sender is proven");
        after.sessions = Some(received.record);
        Ok((after, received.plaintext))
    }

    fn local(&self) -> LocalDevice<'static> {
        let me = &IDENTITIES[self.number];
        LocalDevice {
            account: &me.account,
            certificate: &me.certificate,
            identity: me.secrets.identity(),
        }
    }

    fn peer(&self) -> PeerDevice {
        PeerDevice::from(&*IDENTITIES[1 - self.number].certificate)
    }
}
