//! Publishing what others need to write to me: the account record at the relays nearest to its key, and
//! prekeys at the members of my swarm.

use super::discovery::{RECORD_RELAYS, kept_apart, record_width};
use super::engine::{Client, Ctx};
use super::publication::{PreKeyDue, TOLD};
use super::records::meta;
use super::requests::{Purpose, RecordTo, Target};
use super::store::Row;
use super::work::Task;
use crate::id::{MailboxId, NodeId};
use crate::identity::Freshness;
use crate::onion::Class;
use crate::rpc::{
    AccountContents, AccountRecord, MailboxDescriptor, OwnerOp, PreKeyPublishBody, PublishedDevice,
    RecordPutReply, RecordPutRequest, Request, Work, seal_prekey_entry, seal_record_contents,
};
use crate::time::Duration;
use crate::wire::codec::{BoundedBytes, BoundedList, from_cbor, to_cbor, to_secret_cbor};
use crate::x3dh::PreKeySecrets;

/// An account record lives this long.
const RECORD_LIFE: Duration = Duration::from_days(29);
/// Longest prekey record, in bytes.
const MAX_PREKEYS_LEN: usize = 1 << 20;

impl Client {
    /// Where readers look for my record first.
    pub(super) fn own_record_relays(&self) -> Vec<NodeId> {
        self.record_relays(&self.me.directory.public().record_key(), RECORD_RELAYS)
    }

    pub(super) fn publish_record(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mailbox) = self.mailbox.descriptor.clone() else {
            return;
        };
        // When the nearest do not take it, those behind them are asked too; readers do the same.
        let width = record_width(self.publication.record_attempts());
        let relays = self.record_relays(&self.me.directory.public().record_key(), width);
        if relays.is_empty() {
            self.publication.record_postponed(ctx.now);
            return;
        }
        let nearest = relays.get(..RECORD_RELAYS).unwrap_or(&relays);
        let sequence = self
            .publication
            .record_asked(nearest, relays.len(), ctx.now, &mut ctx.rng);
        ctx.batch.writes.push(self.publication.write());
        let Some(record) = self.account_record(mailbox, sequence, ctx) else {
            return;
        };
        for (relay, beside) in kept_apart(&relays) {
            let to = RecordTo {
                sequence,
                relay,
                beside: beside.to_vec(),
                record: record.bytes().clone(),
                tries: 0,
            };
            if !self.works_first(Task::Record(to.clone()), ctx) {
                self.record_to(to, None, ctx);
            }
        }
    }

    /// Asks a relay to hold my record.
    pub(super) fn record_to(&mut self, to: RecordTo, work: Option<Work>, ctx: &mut Ctx<'_>) {
        let request = Request::RecordPut(RecordPutRequest {
            record: to.record.clone(),
            work,
        });
        let beside = to.beside.clone();
        let target = Target {
            node: to.relay,
            swarm: &beside,
            own: true,
        };
        self.ask(
            target,
            request,
            Class::Bulk,
            Purpose::PublishRecord(to),
            ctx,
        );
    }

    /// One of the relays has answered.
    pub(super) fn record_put(&mut self, sequence: u64, put: RecordPutReply, ctx: &mut Ctx<'_>) {
        self.publication.held_elsewhere(put.sequence, ctx.now);
        let stored = put.stored || put.sequence == sequence;
        self.record_stored(sequence, stored, ctx);
    }

    /// One of the relays has stored the record, or not.
    pub(super) fn record_stored(&mut self, sequence: u64, stored: bool, ctx: &mut Ctx<'_>) {
        let answered = self
            .publication
            .record_answered(sequence, stored, ctx.now, &mut ctx.rng);
        if answered {
            ctx.batch.writes.push(self.publication.write());
        }
    }

    pub(super) fn account_record(
        &self,
        mailbox: MailboxDescriptor,
        sequence: u64,
        ctx: &mut Ctx<'_>,
    ) -> Option<AccountRecord> {
        let me = &self.me;
        let sealing_key = me
            .device
            .publish_sealing_key()
            .verify(&me.certificate, mailbox.mailbox())
            .ok()?;
        let device = PublishedDevice {
            certificate: me.certificate.clone().into_certificate(),
            sealing_key,
            mailbox,
        };
        let contents = AccountContents {
            keys: me.keys.clone(),
            list: me.list.clone(),
            devices: vec![device],
            stale_since: None,
        };
        let contents = contents
            .encode(Freshness::sign(&me.list, &me.device, ctx.now))
            .ok()?;
        let sealed = seal_record_contents(&me.address, &contents, &mut ctx.rng)?;
        AccountRecord::sign(
            &me.directory,
            sequence,
            ctx.now.floor_to(TOLD).saturating_add(RECORD_LIFE),
            sealed,
        )
        .ok()
    }

    /// Makes prekeys for every member that wants some; their secrets are committed before they leave.
    pub(super) fn publish_prekeys(&mut self, ctx: &mut Ctx<'_>) {
        let stored = ctx.loaded.get(&meta::prekeys());
        let stored =
            stored.and_then(|bytes| from_cbor::<PreKeySecrets>(bytes, MAX_PREKEYS_LEN).ok());
        let mut secrets = stored.unwrap_or_else(|| PreKeySecrets::random(ctx.now, &mut ctx.rng));
        secrets.rotate(ctx.now, &mut ctx.rng);
        let mailbox = self.me.device.mailbox().id();
        for due in self
            .publication
            .prekeys_due(self.stock.prekeys, &self.busy_members(), ctx.now)
        {
            self.publication.prekeys_asked(due);
            if self
                .publish_prekeys_to(due, &mailbox, &mut secrets, ctx)
                .is_none()
            {
                self.publication
                    .prekeys_failed(due.node, ctx.now, &mut ctx.rng);
            }
        }
        ctx.batch
            .put(Row::plain(meta::prekeys(), to_secret_cbor(&secrets)));
    }

    fn publish_prekeys_to(
        &mut self,
        due: PreKeyDue,
        mailbox: &MailboxId,
        secrets: &mut PreKeySecrets,
        ctx: &mut Ctx<'_>,
    ) -> Option<()> {
        let descriptor = self.mailbox.descriptor.clone()?;
        let address = self.me.address;
        let base = secrets
            .base(self.me.device.signing(), &self.me.certificate)
            .encode();
        let base =
            BoundedBytes::new(seal_prekey_entry(&address, mailbox, &base, &mut ctx.rng)?).ok()?;
        let entries = secrets.make_one_time(
            &due.node,
            due.count,
            self.me.device.signing(),
            ctx.now,
            &mut ctx.rng,
        );
        let mut one_time = Vec::with_capacity(entries.len());
        for entry in entries {
            let sealed = seal_prekey_entry(&address, mailbox, &entry.encode(), &mut ctx.rng)?;
            one_time.push(BoundedBytes::new(sealed).ok()?);
        }
        let body = PreKeyPublishBody {
            replace: false,
            base,
            one_time: BoundedList::new(one_time).ok()?,
        };
        let request = self.owner_request(&due.node, OwnerOp::PreKeyPublish, to_cbor(&body), ctx)?;
        let purpose = Purpose::PublishPreKeys { member: due.node };
        let request = Request::PreKeyPublish(request);
        self.ask(
            Target {
                node: due.node,
                swarm: descriptor.members(),
                own: true,
            },
            request,
            Class::Bulk,
            purpose,
            ctx,
        );
        Some(())
    }
}
