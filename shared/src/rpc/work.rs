//! Proof of work: what a relay asks of who has no permit, of who stores records, and of who opens a mailbox. PROTOCOL §6, "Work".
//!
//! ```text
//!   request without work ──▶ Refused { work needed, WorkWanted { seed, effort } }
//!   Solver::new(subject, wanted) ─ step, step, … ─▶ Work ──in the same request──▶ Work::verify(subject)
//! ```
//! A puzzle is bound to one relay, one request and a seed of the last minutes: what was solved for one serves for
//! no other, and nothing can be solved long ahead.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;

use super::body::RecordBytes;
use crate::crypto::equihash::{self, NONCE_LEN, SOLUTION_LEN};
use crate::crypto::hash::{blake2b_128_concat, blake2b_256_concat};
use crate::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
use crate::wire::codec::Bytes;

/// The most that a relay may ask for, and that a client does: minutes in a browser.
pub const MAX_EFFORT: u32 = 4096;

/// The length of work in bytes.
pub const WORK_LEN: usize = 16 + 4 + NONCE_LEN + SOLUTION_LEN;

/// What a relay wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WorkWanted {
    /// Of the last minutes, the relay's own.
    #[n(0)]
    pub seed: Bytes<16>,
    /// How many solutions it takes on average.
    #[n(1)]
    pub effort: u32,
}

/// What work is done for: one request at one relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject([u8; 57]);

/// Work done: `seed[16] ‖ effort u32 ‖ nonce[8] ‖ solution[17]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Work(#[n(0)] Bytes<WORK_LEN>);

/// Not the work that its subject takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadWork {
    /// The hash of the solution is too high for the effort that it claims.
    #[error("less effort than claimed")]
    TooLittle,
    /// The solution does not solve the puzzle.
    #[error("not a solution")]
    NotASolution,
}

impl Subject {
    /// An envelope without a permit.
    pub fn put(node: &NodeId, mailbox: &MailboxId, envelope: &EnvelopeId) -> Self {
        Self::new(1, node, mailbox.as_bytes(), envelope.as_bytes())
    }

    /// A record.
    pub fn record(node: &NodeId, key: &RecordKey, record: &RecordBytes) -> Self {
        let hash = blake2b_128_concat(b"ZenTalk record hash v1", record);
        Self::new(2, node, key.as_bytes(), &hash)
    }

    /// A mailbox that is not there yet.
    pub fn open(node: &NodeId, mailbox: &MailboxId) -> Self {
        Self::new(3, node, mailbox.as_bytes(), &[0; 16])
    }

    fn new(purpose: u8, node: &NodeId, key: &[u8; 20], object: &[u8; 16]) -> Self {
        let mut bytes = [0; 57];
        let parts = [&[purpose][..], node.as_bytes(), key, object].concat();
        bytes.copy_from_slice(&parts);
        Self(bytes)
    }

    /// The puzzle's input.
    fn challenge(&self, wanted: &WorkWanted) -> [u8; 32] {
        let effort = wanted.effort.to_be_bytes();
        let parts = [&self.0[..], &wanted.seed.0, &effort].concat();
        blake2b_256_concat(b"ZenTalk work v1", &parts)
    }
}

impl Work {
    /// What it was done for, besides its subject.
    pub fn wanted(&self) -> WorkWanted {
        let (seed, effort, ..) = self.parts();
        WorkWanted { seed, effort }
    }

    /// Whether it is the work of this subject, with the effort that it claims. The seed is the caller's to check.
    pub fn verify(&self, subject: &Subject) -> Result<(), BadWork> {
        let (_, effort, nonce, solution) = self.parts();
        let challenge = subject.challenge(&self.wanted());
        if !is_enough(effort, &challenge, &nonce, &solution) {
            return Err(BadWork::TooLittle);
        }
        equihash::verify(&challenge, &nonce, &solution).map_err(|_| BadWork::NotASolution)
    }

    /// Made of its parts.
    pub fn from_parts(
        wanted: &WorkWanted,
        nonce: &[u8; NONCE_LEN],
        solution: &[u8; SOLUTION_LEN],
    ) -> Self {
        let effort = wanted.effort.to_be_bytes();
        let parts = [&wanted.seed.0[..], &effort, nonce, solution].concat();
        let mut bytes = [0; WORK_LEN];
        bytes.copy_from_slice(&parts);
        Self(Bytes(bytes))
    }

    /// As it travels.
    pub const fn as_bytes(&self) -> &[u8; WORK_LEN] {
        &self.0.0
    }

    /// What somebody claims to be work; [`verify`](Self::verify) tells.
    pub const fn from_bytes(bytes: [u8; WORK_LEN]) -> Self {
        Self(Bytes(bytes))
    }

    fn parts(&self) -> (Bytes<16>, u32, [u8; NONCE_LEN], [u8; SOLUTION_LEN]) {
        let mut bytes = self.0.0.iter().copied();
        let seed = take(&mut bytes);
        let effort = u32::from_be_bytes(take(&mut bytes));
        (Bytes(seed), effort, take(&mut bytes), take(&mut bytes))
    }
}

/// The next bytes of a layout whose whole length is fixed.
fn take<const N: usize>(bytes: &mut impl Iterator<Item = u8>) -> [u8; N] {
    core::array::from_fn(|_| bytes.next().unwrap_or_default())
}

/// Tor's proposal 327: of `effort` solutions one has so low a hash.
fn is_enough(
    effort: u32,
    challenge: &[u8; 32],
    nonce: &[u8; NONCE_LEN],
    solution: &[u8; SOLUTION_LEN],
) -> bool {
    let parts = [&challenge[..], nonce, solution].concat();
    let [a, b, c, d, ..] = blake2b_128_concat(b"ZenTalk work effort v1", &parts);
    let hash = u32::from_be_bytes([a, b, c, d]);
    u64::from(hash) * u64::from(effort) <= u64::from(u32::MAX)
}

/// Work being done, a bounded step at a time.
#[derive(Clone, Debug)]
pub struct Solver {
    challenge: [u8; 32],
    wanted: WorkWanted,
    nonce: u64,
}

impl Solver {
    /// Begins at a random nonce.
    pub fn new(subject: &Subject, wanted: WorkWanted, rng: &mut impl CryptoRng) -> Self {
        Self {
            challenge: subject.challenge(&wanted),
            wanted,
            nonce: rng.next_u64(),
        }
    }

    /// One nonce more: some 10 ms, several times that in a browser. It takes `effort` / 2 steps on average.
    pub fn step(&mut self) -> Option<Work> {
        let nonce = self.nonce.to_be_bytes();
        self.nonce = self.nonce.wrapping_add(1);
        let solutions = equihash::solve(&self.challenge, &nonce);
        let good = solutions
            .iter()
            .find(|solution| is_enough(self.wanted.effort, &self.challenge, &nonce, solution))?;
        Some(Work::from_parts(&self.wanted, &nonce, good))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const NODE: NodeId = NodeId::from_bytes([1; 20]);
    const MAILBOX: MailboxId = MailboxId::from_bytes([2; 20]);
    const ENVELOPE: EnvelopeId = EnvelopeId::from_bytes([3; 16]);
    const WANTED: WorkWanted = WorkWanted {
        seed: Bytes([4; 16]),
        effort: 4,
    };

    fn solve(subject: &Subject, wanted: WorkWanted) -> Work {
        let mut solver = Solver::new(subject, wanted, &mut ChaCha20Rng::seed_from_u64(1));
        (0..1000).find_map(|_| solver.step()).unwrap()
    }

    #[test]
    fn work_serves_its_subject_and_no_other() {
        let subject = Subject::put(&NODE, &MAILBOX, &ENVELOPE);
        let work = solve(&subject, WANTED);
        assert_eq!(work.wanted(), WANTED);
        assert_eq!(work.verify(&subject), Ok(()));
        let others = [
            Subject::put(&NodeId::from_bytes([9; 20]), &MAILBOX, &ENVELOPE),
            Subject::put(&NODE, &MailboxId::from_bytes([9; 20]), &ENVELOPE),
            Subject::put(&NODE, &MAILBOX, &EnvelopeId::from_bytes([9; 16])),
            Subject::new(2, &NODE, MAILBOX.as_bytes(), ENVELOPE.as_bytes()),
        ];
        for other in others {
            assert!(work.verify(&other).is_err());
        }
    }

    #[test]
    fn neither_seed_nor_effort_can_be_changed_afterwards() {
        let subject = Subject::put(&NODE, &MAILBOX, &ENVELOPE);
        let (_, _, nonce, solution) = solve(&subject, WANTED).parts();
        for (seed, effort) in [([5; 16], 4), ([4; 16], 5), ([4; 16], 0), ([4; 16], 1)] {
            let seed = Bytes(seed);
            let claimed = Work::from_parts(&WorkWanted { seed, effort }, &nonce, &solution);
            assert!(claimed.verify(&subject).is_err());
        }
    }

    #[test]
    fn effort_is_one_in_so_many_solutions() {
        let challenge = [7; 32];
        let passes = |effort| {
            let nonces = (0..4096_u64).map(u64::to_be_bytes);
            let solution = [1; SOLUTION_LEN];
            nonces
                .filter(|nonce| is_enough(effort, &challenge, nonce, &solution))
                .count()
        };
        assert_eq!((passes(0), passes(1)), (4096, 4096));
        assert!((450..575).contains(&passes(8)), "{}", passes(8));
        assert!((90..167).contains(&passes(32)), "{}", passes(32));
    }

    #[test]
    fn records_are_told_apart_by_their_bytes() {
        let key = RecordKey::from_bytes([6; 20]);
        let subject = |bytes: &[u8]| {
            let record = RecordBytes::new(bytes).unwrap();
            Subject::record(&NODE, &key, &record)
        };
        assert_ne!(subject(&[1, 2]), subject(&[1, 3]));
        assert_eq!(subject(&[1, 2]), subject(&[1, 2]));
    }
}
