//! What it takes to store a record in the DHT. PROTOCOL §11, "Admission".
//!
//! A relay's own record costs a relay that is met at its URL. An account's was paid for by proof of work at the relay
//! that took it from its owner; that proof goes with the record from holder to holder, and each checks it again.

use zentalk_shared::dht::{Admission, Application, Cost, Facts, Proof, RecordId, RecordKind};
use zentalk_shared::id::{NodeId, RecordKey};
use zentalk_shared::rpc::{RecordBytes, Subject, WORK_LEN, Work};
use zentalk_shared::time::Timestamp;

use super::super::toll::WorkPolicy;

/// What every relay asks for while there is little to do: who asks for more in the DHT would hold nothing.
const EFFORT: u32 = 32;

/// Admits what was paid for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    effort: u32,
}

impl Payment {
    pub(super) fn with(policy: WorkPolicy) -> Self {
        Self {
            effort: policy.effort.min(EFFORT),
        }
    }
}

/// The proof that `taker` was paid: `NodeId[20] ‖ work[45]`.
pub(super) fn receipt(taker: &NodeId, work: &Work) -> Option<Proof> {
    Proof::new([taker.as_bytes().as_slice(), work.as_bytes()].concat()).ok()
}

/// The effort that a proof is worth for a record.
fn worth(proof: &Proof, key: &RecordKey, record: &[u8]) -> Option<u32> {
    let (taker, work) = proof.split_first_chunk::<20>()?;
    let work = Work::from_bytes(<[u8; WORK_LEN]>::try_from(work).ok()?);
    let record = RecordBytes::new(record).ok()?;
    let subject = Subject::record(&NodeId::from_bytes(*taker), key, &record);
    work.verify(&subject).ok()?;
    Some(work.wanted().effort)
}

impl Admission for Payment {
    fn is_worth(&self, facts: &Facts, record: &[u8], proof: &Proof) -> bool {
        let of_account = facts.id.kind == RecordKind::Account;
        let worth = of_account.then(|| worth(proof, &facts.id.key, record));
        worth.flatten().is_some_and(|effort| effort >= self.effort)
    }

    fn admit(&mut self, application: &Application<'_>, _: Timestamp) -> Result<(), Cost> {
        let Application { facts, .. } = application;
        let paid = match facts.id.kind {
            RecordKind::Relay => {
                RecordId::relay(&application.giver) == facts.id || application.from_contact
            }
            RecordKind::Account if self.effort == 0 => true,
            // A lookup that has met an old copy brings the new one: if nobody had its proof, without.
            RecordKind::Account if application.renews && application.from_contact => true,
            RecordKind::Account => application.proof.is_some(),
        };
        paid.then_some(()).ok_or(Cost(self.effort))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zentalk_shared::rpc::{Solver, WorkWanted};
    use zentalk_shared::wire::codec::Bytes;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const TAKER: NodeId = NodeId::from_bytes([1; 20]);
    const KEY: RecordKey = RecordKey::from_bytes([2; 20]);
    const RECORD: [u8; 3] = [7; 3];

    fn proof(effort: u32) -> Proof {
        let record = RecordBytes::new(RECORD.as_slice()).unwrap();
        let subject = Subject::record(&TAKER, &KEY, &record);
        let seed = Bytes([3; 16]);
        let wanted = WorkWanted { seed, effort };
        let mut solver = Solver::new(&subject, wanted, &mut ChaCha20Rng::seed_from_u64(1));
        let work = (0..1000).find_map(|_| solver.step()).unwrap();
        receipt(&TAKER, &work).unwrap()
    }

    fn admits(kind: RecordKind, proof: Option<&Proof>, change: fn(&mut Application<'_>)) -> bool {
        let facts = Facts {
            id: RecordId { kind, key: KEY },
            sequence: 1,
            expires: NOW,
        };
        let mut application = Application {
            facts,
            record: &RECORD,
            proof,
            giver: NodeId::from_bytes([9; 20]),
            from_contact: false,
            renews: false,
        };
        change(&mut application);
        let mut payment = Payment { effort: 4 };
        let Application { facts, record, .. } = application;
        application.proof = proof.filter(|proof| payment.is_worth(&facts, record, proof));
        payment.admit(&application, NOW).is_ok()
    }

    #[test]
    fn fault_20_an_account_record_is_taken_for_work_that_was_done_for_it() {
        use RecordKind::Account;
        let (good, cheap) = (proof(4), proof(1));
        let same = |_: &mut Application<'_>| {};
        assert!(admits(Account, Some(&good), same));
        assert!(!admits(Account, Some(&cheap), same));
        assert!(!admits(Account, None, same));
        assert!(!admits(Account, Some(&good), |a| a.record = &[8; 3]));
        assert!(!admits(Account, Some(&good), |a| a.facts.id.key =
            RecordKey::from_bytes([3; 20])));
        assert!(!admits(Account, None, |a| a.from_contact = true));
        assert!(!admits(Account, None, |a| a.renews = true));
        assert!(admits(Account, None, |a| (a.renews, a.from_contact) = (true, true)));
        for length in [0, 19, 20, 64, 66, 80] {
            let mut bytes = good.to_vec();
            bytes.resize(length, 0);
            assert!(!admits(Account, Some(&Proof::new(bytes).unwrap()), same));
        }
    }

    #[test]
    fn fault_20_a_relays_record_is_its_own_to_bring_or_a_contacts_to_hand_over() {
        let own = |a: &mut Application<'_>| a.facts.id = RecordId::relay(&a.giver);
        assert!(admits(RecordKind::Relay, None, own));
        assert!(!admits(RecordKind::Relay, None, |_| {}));
        assert!(admits(RecordKind::Relay, None, |a| a.from_contact = true));
        let proof = proof(4);
        assert!(!admits(RecordKind::Relay, Some(&proof), |_| {}));
    }
}
