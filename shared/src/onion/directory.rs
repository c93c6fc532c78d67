//! The relays that are known: verified descriptors, one per relay, newest first to stay (PROTOCOL.md §4).

use std::collections::BTreeMap;

use super::descriptor::{RelayDescriptor, descriptor_hash};
use crate::crypto::hash;
use crate::id::NodeId;
use crate::time::Timestamp;

/// The most relays that a directory takes. A directory that anyone can fill needs an end.
pub const MAX_RELAYS: usize = 4096;

const DIGEST_DOMAIN: &[u8] = b"ZenTalk directory v1";
const SAMPLE_DOMAIN: &[u8] = b"ZenTalk directory sample v1";

/// Verified descriptors by relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    relays: BTreeMap<NodeId, RelayDescriptor>,
}

/// What became of a descriptor that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The relay was not known.
    New,
    /// It took the place of an older one.
    Newer,
    /// The same, or one that is newer, is held already.
    Stale,
    /// The relay was not known and there is no room.
    Full,
}

impl Inserted {
    /// Whether the directory changed.
    pub const fn changed(self) -> bool {
        matches!(self, Self::New | Self::Newer)
    }

    /// Whether the relay is in the directory now.
    pub const fn fits(self) -> bool {
        !matches!(self, Self::Full)
    }
}

impl Directory {
    /// An empty directory.
    pub const fn new() -> Self {
        Self {
            relays: BTreeMap::new(),
        }
    }

    /// Takes a descriptor if it is newer than what is held of its relay. Of two with one sequence the
    /// higher hash stays, so that all directories settle on the same one.
    pub fn insert(&mut self, descriptor: RelayDescriptor) -> Inserted {
        let rank = |d: &RelayDescriptor| (d.sequence(), *d.hash());
        let node = descriptor.node();
        let full = self.relays.len() >= MAX_RELAYS;
        match self.relays.get_mut(&node) {
            Some(held) if rank(&descriptor) > rank(held) => {
                *held = descriptor;
                Inserted::Newer
            }
            Some(_) => Inserted::Stale,
            None if full => Inserted::Full,
            None => {
                self.relays.insert(node, descriptor);
                Inserted::New
            }
        }
    }

    /// Forgets a relay; true if it was known.
    pub fn remove(&mut self, node: &NodeId) -> bool {
        self.relays.remove(node).is_some()
    }

    /// Drops what is not valid any more, and tells how many that were.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let before = self.relays.len();
        self.relays.retain(|_, descriptor| descriptor.until() > now);
        before - self.relays.len()
    }

    /// The descriptor of a relay.
    pub fn get(&self, node: &NodeId) -> Option<&RelayDescriptor> {
        self.relays.get(node)
    }

    /// All descriptors, in the order of their NodeIds.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RelayDescriptor> + Clone {
        self.relays.values()
    }

    /// How many relays are known.
    pub fn len(&self) -> usize {
        self.relays.len()
    }

    /// Whether no relay is known.
    pub fn is_empty(&self) -> bool {
        self.relays.is_empty()
    }

    /// B2-256("ZenTalk directory v1", descriptor hashes in ascending order): equal digests, equal
    /// directories.
    pub fn digest(&self) -> [u8; 32] {
        let mut hashes: Vec<[u8; 32]> = self.relays.values().map(|d| *d.hash()).collect();
        hashes.sort_unstable();
        hash::blake2b_256_concat(DIGEST_DOMAIN, hashes.as_flattened())
    }

    /// The [`digest`](Self::digest) of a directory that lists one relay, by its encoded descriptor.
    pub fn digest_of_one(descriptor: &[u8]) -> [u8; 32] {
        hash::blake2b_256_concat(DIGEST_DOMAIN, &descriptor_hash(descriptor))
    }

    /// The `count` relays with the lowest B2-128("ZenTalk directory sample v1", seed ‖ NodeId), or all of fewer. Who has drawn
    /// the seed gets any of them as likely as any other, whatever NodeIds they have made themselves; others who know
    /// the same relays draw the same ones with it.
    pub fn sample(&self, seed: &[u8; 16], count: usize) -> Vec<&RelayDescriptor> {
        let mut relays: Vec<_> = self.relays.values().collect();
        if relays.len() > count {
            relays.sort_by_cached_key(|relay| {
                let drawn = [&seed[..], relay.node().as_bytes()].concat();
                hash::blake2b_128_concat(SAMPLE_DOMAIN, &drawn)
            });
            relays.truncate(count);
        }
        relays
    }

    /// What at least `need` of several independent answers agree on: the relays that they list. A relay
    /// signs its own descriptor, so nobody can falsify one; what an answer can do is list relays that
    /// nobody else sees, or hide some. Of each relay the newest descriptor is taken.
    pub fn agree(answers: &[Vec<RelayDescriptor>], need: usize) -> Self {
        let mut votes: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut all = Self::new();
        for answer in answers {
            let listed = Self::from_iter(answer.iter().cloned());
            for node in listed.relays.keys() {
                *votes.entry(*node).or_default() += 1;
            }
            all.extend(listed.relays.into_values());
        }
        all.relays
            .retain(|node, _| votes.get(node).is_some_and(|votes| *votes >= need));
        all
    }
}

impl Extend<RelayDescriptor> for Directory {
    fn extend<I: IntoIterator<Item = RelayDescriptor>>(&mut self, descriptors: I) {
        for descriptor in descriptors {
            self.insert(descriptor);
        }
    }
}

impl FromIterator<RelayDescriptor> for Directory {
    fn from_iter<I: IntoIterator<Item = RelayDescriptor>>(descriptors: I) -> Self {
        let mut directory = Self::new();
        directory.extend(descriptors);
        directory
    }
}
