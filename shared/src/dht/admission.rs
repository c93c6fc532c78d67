//! Who may store: a seam. Account records are free to make, so each has to cost its publisher something.
//!
//! The work itself is another module's; here it is a proof of some bytes, carried with the record from holder
//! to holder, and a price in effort that the relay names. A host plugs in an [`Admission`].

use minicbor::{Decode, Encode};

use super::record::Facts;
use crate::id::NodeId;
use crate::time::Timestamp;
use crate::wire::codec::BoundedBytes;

/// The longest proof in bytes.
pub const MAX_PROOF_LEN: usize = 80;

/// A proof of work for one record. What it must be over is the admission's matter.
pub type Proof = BoundedBytes<MAX_PROOF_LEN>;

/// What a proof must be worth, in the unit of the admission (for proof of work: its effort).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Cost(pub u32);

/// A record that somebody wants to have stored; it has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// What the record says.
    pub facts: Facts,
    /// Its bytes.
    pub record: &'a [u8],
    /// The proof that came with it, if it is worth what is asked for.
    pub proof: Option<&'a Proof>,
    /// Who has brought it; this relay itself, if it publishes it.
    pub giver: NodeId,
    /// The giver is a contact of the table: it may be handing over what it holds.
    pub from_contact: bool,
    /// An older one is held: nothing more is kept than before.
    pub renews: bool,
}

/// Decides whether a record may be stored.
pub trait Admission {
    /// Whether a proof is worth what is asked for a record: only such ones are kept and passed on.
    fn is_worth(&self, facts: &Facts, record: &[u8], proof: &Proof) -> bool;

    /// `Err`: what the proof would have to be worth.
    fn admit(&mut self, application: &Application<'_>, now: Timestamp) -> Result<(), Cost>;
}

/// Admits everything: for relay records, which cost a position, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn is_worth(&self, _: &Facts, _: &[u8], _: &Proof) -> bool {
        true
    }

    fn admit(&mut self, _: &Application<'_>, _: Timestamp) -> Result<(), Cost> {
        Ok(())
    }
}
