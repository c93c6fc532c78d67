//! What is done once a minute: what has expired goes, and what waited for its time begins.

use super::engine::{Client, Ctx};
use super::records::meta;
use super::store::{Key, Row, Table, Write};
use crate::time::Duration;
use crate::wire::codec::to_secret_cbor;

const EVERY: Duration = Duration::from_mins(1);

impl Client {
    /// Once a minute: what nobody else thinks of.
    pub(super) fn housekeep(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.now < self.housekeeping {
            return;
        }
        let before = self.housekeeping.saturating_sub(EVERY);
        self.housekeeping = ctx.now.saturating_add(EVERY);
        for (item, was_sealed) in self.outbox.expired(ctx.now) {
            self.give_up(item, was_sealed, ctx);
        }
        for key in self.reassembly.expire(ctx.now) {
            ctx.batch
                .writes
                .push(Write::Delete(Key::new(Table::Fragment, key.0)));
        }
        ctx.batch.writes.extend(self.held.expire(ctx.now));
        self.sweep_seen_if_due(ctx);
        self.mailbox.expire_formers(ctx.now);
        self.net.former_swarm_is(self.mailbox.former_members());
        self.replace_lost(ctx);
        self.resume_renewals(Some(before), ctx.now);
        if self.me.device.sealing_mut().rotate(ctx.now, &mut ctx.rng) {
            ctx.batch
                .put(Row::plain(meta::device(), to_secret_cbor(&self.me.device)));
            self.introduction_changed(ctx);
            self.publication.touch(&self.mailbox.members(), ctx.now);
        }
    }
}
