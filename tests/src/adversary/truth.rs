//! Who is who in truth, which no relay may find out: from the records that clients have published, opened with their
//! addresses.

use std::collections::{HashMap, HashSet};

use zentalk_relay::core::store::StoreOp;
use zentalk_shared::id::Address;
use zentalk_shared::rpc::{AccountContents, AccountRecord, open_record_contents};
use zentalk_shared::time::Timestamp;

use super::values::{Value, byte_strings};
use crate::sim::{Sight, Sightings};

/// A client in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persona {
    /// The IP address that a client has when it connects to a relay. Another relay sees another one: who moves
    /// about is not to be followed.
    Network {
        /// Which client.
        client: usize,
        /// At which relay.
        relay: usize,
    },
    /// The mailbox of a client.
    Mailbox(usize),
    /// The record of a client in the directory.
    Record(usize),
    /// Address, keys and devices of a client.
    Account(usize),
}

/// Byte strings that stand for a persona.
#[derive(Debug, Default)]
pub(super) struct Truth {
    personas: HashMap<Value, Persona>,
    /// The same as bytes, to be looked for in everything, by their first eight.
    needles: HashMap<[u8; 8], Vec<(Vec<u8>, Persona)>>,
    /// A bit for each hash that the first eight bytes of a needle have.
    sieve: Vec<bool>,
    known: HashSet<usize>,
}

/// An Ed25519 key.
const KEY_LEN: usize = 32;
/// Bits of a hash in the sieve.
const SIEVE_BITS: u32 = 16;

impl Truth {
    pub(super) fn of(sightings: &Sightings) -> Self {
        let mut truth = Self {
            sieve: vec![false; 1 << SIEVE_BITS],
            ..Self::default()
        };
        for (client, code) in sightings.codes.iter().enumerate() {
            truth.add(Persona::Account(client), code.address.as_bytes());
            truth.add(Persona::Record(client), code.directory_key.as_bytes());
            let key = code.directory_key.record_key();
            truth.add(Persona::Record(client), key.as_bytes());
        }
        for sighting in &sightings.all {
            if let Sight::Row(StoreOp::PutRecord { key, record, .. }) = &sighting.sight {
                let record_key = |code: &zentalk_shared::identity::ContactCode| {
                    code.directory_key.record_key() == *key
                };
                let Some(client) = sightings.codes.iter().position(record_key) else {
                    continue;
                };
                if truth.known.insert(client) {
                    let address = sightings.codes[client].address;
                    truth.add_contents(client, record, &address, sighting.at);
                }
            }
        }
        truth
    }

    fn add_contents(&mut self, client: usize, record: &[u8], address: &Address, now: Timestamp) {
        let record = AccountRecord::verify(record, now).expect("a record that a relay took");
        let contents = open_record_contents(address, record.sealed()).expect("its own address");
        let contents = AccountContents::verify(&contents, address, now).expect("its own contents");
        for device in contents.devices {
            let (account, certificate) = (Persona::Account(client), &device.certificate);
            self.add(account, certificate.device_id().as_bytes());
            self.add(account, certificate.signing_key().as_bytes());
            self.add(account, certificate.identity_key().as_bytes());
            self.add(account, certificate.hash().as_bytes());
            let (mailbox, id) = (Persona::Mailbox(client), device.mailbox.mailbox());
            self.add(mailbox, id.as_bytes());
            // Its key is the only string of this length in what the descriptor signs.
            let strings = byte_strings(device.mailbox.bytes()).into_iter();
            strings
                .filter(|string| string.len() == KEY_LEN)
                .for_each(|key| self.add(mailbox, &key));
        }
    }

    fn add(&mut self, persona: Persona, bytes: &[u8]) {
        self.personas.insert(Value::of(bytes), persona);
        let Some(first) = bytes.first_chunk::<8>() else {
            return;
        };
        self.sieve[sieve(first)] = true;
        let needles = self.needles.entry(*first).or_default();
        needles.push((bytes.to_vec(), persona));
    }

    /// Clients whose record was seen.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Whom a value stands for.
    pub(super) fn persona(&self, value: Value) -> Option<Persona> {
        self.personas.get(&value).copied()
    }

    /// Everybody whose bytes occur anywhere in these.
    pub(super) fn in_bytes(&self, bytes: &[u8]) -> Vec<Persona> {
        let mut found = Vec::new();
        for (at, window) in bytes.windows(8).enumerate() {
            let Some(first) = window.first_chunk::<8>() else {
                continue;
            };
            if !self.sieve[sieve(first)] {
                continue;
            }
            for (needle, persona) in self.needles.get(first).into_iter().flatten() {
                if bytes[at..].starts_with(needle) && !found.contains(persona) {
                    found.push(*persona);
                }
            }
        }
        found
    }
}

fn sieve(first: &[u8; 8]) -> usize {
    let hash = u64::from_ne_bytes(*first).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SIEVE_BITS);
    usize::try_from(hash).unwrap_or(0)
}
