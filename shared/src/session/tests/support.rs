//! Parties that talk: devices with prekeys and session records, as an engine would keep them.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;

use crate::crypto::dh::X25519Secret;
use crate::id::NodeId;
use crate::identity::test_support::{MADE, account, certificate, device};
use crate::identity::{AccountKeys, DeviceSecret, SignedCertificate};
use crate::session::{
    FirstMessage, LocalDevice, PeerDevice, ReceiveError, SessionMessage, SessionRecord, receive,
};
use crate::test_support::rng;
use crate::time::{Duration, Timestamp};
use crate::x3dh::{PreKeyBundle, PreKeySecrets, UnverifiedBundle};

pub(super) const NOW: Timestamp = MADE.saturating_add(Duration::from_days(1));
/// The relay that hands one-time prekeys out.
const RELAY: NodeId = NodeId::from_bytes([1; NodeId::LEN]);
/// When messages come, if nothing else is said.
pub(super) const HEARD: Timestamp = NOW.saturating_add(Duration::from_mins(1));

pub(super) struct Party {
    pub(super) account: AccountKeys,
    pub(super) certificate: SignedCertificate,
    pub(super) device: DeviceSecret,
    pub(super) prekeys: PreKeySecrets,
    pub(super) records: BTreeMap<PeerDevice, SessionRecord>,
    /// When it began its last session.
    pub(super) clock: Timestamp,
    /// When it begins the next one, at the earliest.
    pub(super) not_before: Timestamp,
    pub(super) rng: ChaCha20Rng,
}

/// What a party makes of a message.
pub(super) type Outcome = Result<(Vec<u8>, PeerDevice, Option<FirstMessage>), ReceiveError>;

impl Party {
    /// Device `number` of account `number`.
    pub(super) fn new(number: u64) -> Self {
        Self::of(number as usize, number)
    }

    /// A device of an account.
    pub(super) fn of(account_number: usize, device_number: u64) -> Self {
        let mut rng = rng(5000 + device_number);
        Self {
            account: account(account_number).keys(),
            certificate: certificate(account_number, device_number),
            device: device(device_number),
            prekeys: PreKeySecrets::random(MADE, &mut rng),
            records: BTreeMap::new(),
            clock: NOW,
            not_before: NOW,
            rng,
        }
    }

    pub(super) fn me(&self) -> LocalDevice<'_> {
        local(&self.account, &self.certificate, self.device.identity())
    }

    pub(super) fn peer(&self) -> PeerDevice {
        PeerDevice::from(&*self.certificate)
    }

    /// A bundle as a relay hands it out: with a one-time entry of its own, or without one.
    pub(super) fn bundle(&mut self, with_one_time: bool) -> PreKeyBundle {
        let base = self.prekeys.base(self.device.signing(), &self.certificate);
        let count = usize::from(with_one_time);
        let mut one_time =
            self.prekeys
                .make_one_time(&RELAY, count, self.device.signing(), MADE, &mut self.rng);
        let unverified = UnverifiedBundle {
            base,
            one_time: one_time.pop(),
        };
        unverified.verify(&self.certificate, NOW).unwrap()
    }

    /// Begins a session, again if there is one.
    pub(super) fn starts(&mut self, bundle: PreKeyBundle) {
        let peer = PeerDevice::from(bundle.certificate());
        let me = local(&self.account, &self.certificate, self.device.identity());
        self.clock += Duration::from_ms(1);
        let record = match self.records.get(&peer) {
            Some(record) => {
                record.start_over(me, bundle, self.not_before, self.clock, &mut self.rng)
            }
            None => {
                let begun = self.clock.max(self.not_before);
                SessionRecord::start(me, bundle, begun, &mut self.rng)
            }
        };
        self.records.insert(peer, record.unwrap());
    }

    /// A message to a peer with whom there is a session.
    pub(super) fn sends(&mut self, to: PeerDevice, plaintext: &[u8]) -> Vec<u8> {
        let me = local(&self.account, &self.certificate, self.device.identity());
        self.records
            .get_mut(&to)
            .unwrap()
            .encrypt(me, plaintext, &mut self.rng)
            .unwrap()
    }

    /// Takes a message as an engine does: looks its record up, and stores what comes of it.
    pub(super) fn receives(&mut self, bytes: &[u8]) -> Outcome {
        self.receives_at(bytes, HEARD)
    }

    pub(super) fn receives_at(&mut self, bytes: &[u8], now: Timestamp) -> Outcome {
        let message = SessionMessage::decode(bytes).unwrap();
        let record = self.record_for(&message).cloned();
        let received = receive(record.as_ref(), self.me(), &self.prekeys, &message, now)?;
        if let Some(first) = &received.first {
            self.prekeys.consume(&first.used);
        }
        let peer = *received.record.peer();
        self.records.insert(peer, received.record);
        Ok((received.plaintext, peer, received.first))
    }

    /// The plaintext of a message that must open.
    pub(super) fn reads(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.receives(bytes).unwrap().0
    }

    fn record_for(&self, message: &SessionMessage) -> Option<&SessionRecord> {
        let device = message.claimed_sender();
        match message.claimed_address() {
            Some(address) => self.records.get(&PeerDevice { address, device }),
            None => self
                .records
                .values()
                .find(|record| record.sessions().any(|id| id == message.session())),
        }
    }

    /// Everything stored about sessions, byte for byte.
    pub(super) fn snapshot(&self) -> Vec<Vec<u8>> {
        self.records
            .values()
            .map(|record| record.encode().to_vec())
            .collect()
    }

    pub(super) fn record(&self, peer: PeerDevice) -> &SessionRecord {
        &self.records[&peer]
    }
}

fn local<'a>(
    account: &'a AccountKeys,
    certificate: &'a SignedCertificate,
    identity: &'a X25519Secret,
) -> LocalDevice<'a> {
    LocalDevice {
        account,
        certificate,
        identity,
    }
}

/// Alice and Bob.
pub(super) fn strangers() -> (Party, Party) {
    (Party::new(0), Party::new(1))
}

/// Alice and Bob, who have each heard the other.
pub(super) fn acquainted() -> (Party, Party) {
    let (mut alice, mut bob) = strangers();
    alice.starts(bob.bundle(true));
    let hello = alice.sends(bob.peer(), b"hello");
    bob.reads(&hello);
    let hi = bob.sends(alice.peer(), b"hi");
    alice.reads(&hi);
    (alice, bob)
}
