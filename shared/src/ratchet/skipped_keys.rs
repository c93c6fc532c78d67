//! Skipped keys: message keys kept for messages that have not come yet.
//!
//! Each is a little forward secrecy given up for a message that may still arrive, so they are bounded
//! in number and in age.

use std::collections::BTreeMap;

use super::chain_key::ChainKey;
use super::message_key::MessageKey;
use crate::crypto::dh::X25519Public;
use crate::time::{Duration, Timestamp};

/// Keys that one message may skip in its chain. More than a backlog of one chain loses in practice;
/// few enough that a forged header costs well under a millisecond of HMACs.
pub const MAX_SKIP: u32 = 1000;

/// Keys kept in one session, the oldest dropped first. Two chains skipped to their bound: at most
/// about 90 KiB of record, whatever the peer does.
pub const MAX_SKIPPED: usize = 2000;

/// How long a skipped key is kept. Its message is retried for 7 days and then held for 30: after that
/// the key is of no use to us, only to a thief.
pub const SKIPPED_LIFETIME: Duration = Duration::from_days(37);

/// Skipped keys by chain, oldest chain first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SkippedKeys {
    pub(super) chains: Vec<SkippedChain>,
}

/// The skipped keys of one chain by message number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SkippedChain {
    /// The peer's key that names the chain.
    pub(super) dh: X25519Public,
    /// When a key of this chain was last skipped.
    pub(super) at: Timestamp,
    pub(super) keys: BTreeMap<u32, MessageKey>,
}

impl SkippedChain {
    fn is_kept(&self, now: Timestamp) -> bool {
        now.since(self.at) <= SKIPPED_LIFETIME
    }
}

impl SkippedKeys {
    /// How many keys are kept.
    pub(super) fn len(&self) -> usize {
        self.chains.iter().map(|chain| chain.keys.len()).sum()
    }

    /// The key of message `n` in the chain of `dh`, if it was skipped and its time is not over.
    pub(super) fn get(&self, dh: &X25519Public, n: u32, now: Timestamp) -> Option<&MessageKey> {
        let chain = self.chains.iter().find(|chain| chain.dh == *dh)?;
        chain.keys.get(&n).filter(|_| chain.is_kept(now))
    }

    /// Forgets a key: its message has come.
    pub(super) fn remove(&mut self, dh: &X25519Public, n: u32) {
        if let Some(chain) = self.chains.iter_mut().find(|chain| chain.dh == *dh) {
            chain.keys.remove(&n);
        }
        self.chains.retain(|chain| !chain.keys.is_empty());
    }

    /// Keeps the keys of messages `from..to` (at most [`MAX_SKIP`] of them, the first ones) of the
    /// chain of `dh`, whose key at `from` is `key`.
    pub(super) fn keep(
        &mut self,
        dh: X25519Public,
        key: &ChainKey,
        from: u32,
        to: u32,
        now: Timestamp,
    ) {
        let count = to.saturating_sub(from).min(MAX_SKIP);
        if count == 0 {
            return;
        }
        let mut key = key.clone();
        let mut keys = BTreeMap::new();
        for n in from..from.saturating_add(count) {
            let (message_key, next) = key.step();
            keys.insert(n, message_key);
            key = next;
        }
        match self.chains.iter_mut().find(|chain| chain.dh == dh) {
            Some(chain) => {
                chain.keys.append(&mut keys);
                chain.at = now;
            }
            None => self.chains.push(SkippedChain { dh, at: now, keys }),
        }
        self.drop_oldest();
    }

    /// Forgets the keys of chains in which nothing was skipped for [`SKIPPED_LIFETIME`].
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.chains.retain(|chain| chain.is_kept(now));
    }

    fn drop_oldest(&mut self) {
        let mut excess = self.len().saturating_sub(MAX_SKIPPED);
        for chain in &mut self.chains {
            while excess > 0 && chain.keys.pop_first().is_some() {
                excess -= 1;
            }
        }
        self.chains.retain(|chain| !chain.keys.is_empty());
    }
}
