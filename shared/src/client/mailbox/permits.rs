//! The secret that contacts write by: replaced at will, and the former one counts for a while. PROTOCOL §6.

use rand_core::CryptoRng;

use super::Mailbox;
use crate::client::records::FormerSecret;
use crate::client::store::Write;
use crate::id::NodeId;
use crate::rpc::{FormerPermit, MAX_PERMIT_OVERLAP, Permit, WriteSecret};
use crate::time::{Duration, Timestamp};

impl Mailbox {
    /// Another write secret; members learn of it with their next subscription, due now. `overlap`: for so long the one
    /// before counts, too. Returns the write.
    pub(in crate::client) fn renew_secret(
        &mut self,
        overlap: Duration,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Write {
        let secret = core::mem::replace(&mut self.row.write_secret, WriteSecret::random(rng));
        let until = now.saturating_add(overlap.min(MAX_PERMIT_OVERLAP));
        let counts = overlap > Duration::ZERO;
        self.row.former = counts.then_some(FormerSecret { secret, until });
        for member in self.members.values_mut() {
            member.told = 0;
        }
        self.write()
    }

    /// What contacts show at a member, and what those show who know only the secret before.
    pub(in crate::client) fn permits(
        &self,
        member: &NodeId,
        now: Timestamp,
    ) -> (Permit, Option<FormerPermit>) {
        let former = self.row.former.as_ref().filter(|one| one.until > now);
        let former = former.map(|one| FormerPermit {
            permit: one.secret.permit(member),
            until: one.until,
        });
        (self.row.write_secret.permit(member), former)
    }
}
