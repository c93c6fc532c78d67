//! The swarm of my mailbox: choosing it, letting it grow with the network, and asking its members.

use super::api::Step;
use super::engine::{Client, Ctx};
use super::mailbox::Need;
use super::requests::{OpenAt, Purpose, Target};
use crate::id::{EnvelopeId, NodeId};
use crate::onion::Class;
use crate::rpc::{
    EnvelopeItem, FetchBody, MAX_FETCH, MailboxDescriptor, OwnerOp, OwnerRequest, Push, Request,
    SubscribeBody, Tombstone, envelope_id,
};
use crate::time::Duration;
use crate::wire::codec::{BoundedBytes, BoundedList, to_cbor};

/// Relays that hold my mail.
const SWARM: usize = 6;
/// Those of them that are active.
const ACTIVE: usize = 3;
/// In a small network so many relays are left out, but for the active ones, for the paths to the others: a guard, a vanguard,
/// a fresh one, and one to choose.
const APART: usize = 4;
/// A directory with fewer relays than this may still be growing.
const FEW: u32 = 5;
/// A small directory is waited for until relays know no others, or for this long.
const GROWING: Duration = Duration::from_secs(15);

impl Client {
    /// Other relays are known than before: the record may belong elsewhere, because readers ask the relays
    /// nearest to its key; the swarm may want members; and who could not be reached or found may be now.
    pub(super) fn relays_changed(&mut self, ctx: &mut Ctx<'_>) {
        let nearest = self.own_record_relays();
        self.publication.relays_are(&nearest, ctx.now);
        self.grow_swarm(ctx);
        self.lookups.hurry(ctx.now);
        self.outbox.hurry(ctx.now);
    }

    /// Chooses the swarm once. A directory with few relays may be one that is still growing: it is read
    /// again before.
    pub(super) fn choose_swarm(&mut self, ctx: &mut Ctx<'_>) {
        if self.mailbox.descriptor.is_some() {
            return;
        }
        let patience = *self.patience.get_or_insert(ctx.now.saturating_add(GROWING));
        let few = self.net.network().relays < FEW && !self.net.directory_is_settled();
        if few && ctx.now < patience {
            self.net.want_directory(ctx.now, &mut ctx.rng);
            return;
        }
        let size = self.swarm_size();
        let members = self
            .net
            .choose_members(&[], &[], size, ctx.now, &mut ctx.rng);
        self.move_to(members, ctx);
    }

    fn swarm_size(&self) -> usize {
        size_among(self.net.network().relays)
    }

    /// A small swarm gets further members once there are relays for it. Those that it has stay, so no mail is left
    /// behind; those that were lost do not come back for that.
    fn grow_swarm(&mut self, ctx: &mut Ctx<'_>) {
        let descriptor = self.mailbox.descriptor.as_ref();
        if descriptor.is_some_and(|descriptor| descriptor.members().len() < self.swarm_size()) {
            self.replace_members(&[], ctx);
        }
    }

    /// Members that have not answered for hours are replaced: the others hold what waits, and give it to the
    /// new ones.
    pub(super) fn replace_lost(&mut self, ctx: &mut Ctx<'_>) {
        let lost = self.mailbox.lost_members(ctx.now);
        if !lost.is_empty() && self.is_online() {
            self.replace_members(&lost, ctx);
        }
    }

    /// Leaves `lost` out, and adds as many members as there are relays for; the others stay, in their order. A
    /// lost member stays, too, while without it the swarm would be smaller than it should be: it may come back.
    fn replace_members(&mut self, lost: &[NodeId], ctx: &mut Ctx<'_>) {
        let Some(descriptor) = &self.mailbox.descriptor else {
            return;
        };
        let before = descriptor.members().to_vec();
        let mut members = before.clone();
        members.retain(|node| !lost.contains(node));
        let size = self.swarm_size();
        let mut not = before.clone();
        if lost.is_empty() {
            not.extend(self.mailbox.former_members());
        }
        let new = self
            .net
            .choose_members(&members, &not, size, ctx.now, &mut ctx.rng);
        members.extend(new);
        let stay = before.iter().filter(|node| lost.contains(node)).copied();
        let short = before.len().min(ACTIVE).saturating_sub(members.len());
        members.extend(stay.take(short));
        if members != before {
            self.move_to(members, ctx);
        }
    }

    /// Signs a new list of members, and makes it known.
    fn move_to(&mut self, members: Vec<NodeId>, ctx: &mut Ctx<'_>) {
        let active = u8::try_from(members.len().min(ACTIVE)).unwrap_or(0);
        let key = self.me.device.mailbox();
        let last = self.mailbox.descriptor.as_ref();
        let next = last.map_or(0, |descriptor| descriptor.sequence().saturating_add(1));
        let sequence = ctx.now.as_ms().max(next);
        let Ok(descriptor) = MailboxDescriptor::sign(key, sequence, members, active, ctx.now)
        else {
            return;
        };
        let members = descriptor.members().to_vec();
        let write = self.mailbox.moved(descriptor, ctx.now);
        ctx.batch.writes.push(write);
        self.net.former_swarm_is(self.mailbox.former_members());
        self.net.own_swarm_is(&members, ctx.now, &mut ctx.rng);
        self.publication.touch(&self.mailbox.members(), ctx.now);
        self.introduction_changed(ctx);
    }

    /// The relays that hold my mail, those that should have all of it first.
    pub fn swarm(&self) -> Vec<NodeId> {
        let descriptor = self.mailbox.descriptor.as_ref();
        let members = descriptor.map(MailboxDescriptor::members);
        members.unwrap_or_default().to_vec()
    }

    pub(super) fn owner_request(
        &mut self,
        node: &NodeId,
        op: OwnerOp,
        body: Vec<u8>,
        ctx: &mut Ctx<'_>,
    ) -> Option<OwnerRequest> {
        let sequence = self.mailbox.next_sequence(ctx.now);
        ctx.batch.writes.push(self.mailbox.write());
        let body = BoundedBytes::new(body).ok()?;
        Some(OwnerRequest::sign(
            self.me.device.mailbox(),
            node,
            op,
            sequence,
            body,
        ))
    }

    pub(super) fn subscribe(
        &mut self,
        member: NodeId,
        count: u16,
        replace: bool,
        tries: u8,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        if replace {
            self.net.forget_stock(member);
        }
        let surbs = self.net.mint_stock(
            member,
            descriptor.members(),
            usize::from(count),
            ctx.now,
            &mut ctx.rng,
        );
        let Some(surbs) = surbs.and_then(|surbs| BoundedList::new(surbs).ok()) else {
            self.mailbox.subscribe_failed(member, ctx.now, &mut ctx.rng);
            return;
        };
        let (permit, former) = self.mailbox.permits(&member, ctx.now);
        let body = SubscribeBody {
            replace,
            descriptor: descriptor.bytes().clone(),
            surbs,
            permit: Some(permit),
            former,
            work: self.works.opening(&member, ctx.now),
        };
        let Some(request) = self.owner_request(&member, OwnerOp::Subscribe, to_cbor(&body), ctx)
        else {
            return;
        };
        self.mailbox
            .asked(member, Need::Subscribe { count, replace }, ctx.now);
        let purpose = Purpose::Subscribe {
            member,
            replace,
            losses: self.mailbox.losses(),
            tries,
        };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Subscribe(request),
            Class::Bulk,
            purpose,
            ctx,
        );
    }

    /// Opens the mailbox at a member that has asked for work.
    pub(super) fn open_at(&mut self, at: OpenAt, ctx: &mut Ctx<'_>) {
        let OpenAt { member, tries } = at;
        if self.swarm().contains(&member) {
            self.subscribe(member, self.stock.surbs, true, tries, ctx);
        }
    }

    /// Tells a former member that it is one: it takes no mail any more, and says so.
    pub(super) fn tell_former(&mut self, member: NodeId, ctx: &mut Ctx<'_>) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        let body = SubscribeBody {
            replace: true,
            descriptor: descriptor.bytes().clone(),
            surbs: BoundedList::default(),
            permit: None,
            former: None,
            work: None,
        };
        let Some(request) = self.owner_request(&member, OwnerOp::Subscribe, to_cbor(&body), ctx)
        else {
            return;
        };
        self.mailbox.asked(member, Need::Tell, ctx.now);
        let purpose = Purpose::TellFormer { member };
        let target = Target {
            node: member,
            swarm: descriptor.members(),
            own: true,
        };
        let request = Request::Subscribe(request);
        self.ask(target, request, Class::Bulk, purpose, ctx);
    }

    pub(super) fn fetch(&mut self, member: NodeId, after: u64, ctx: &mut Ctx<'_>) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        let body = FetchBody {
            after,
            limit: u8::try_from(MAX_FETCH).unwrap_or(1),
        };
        let Some(request) = self.owner_request(&member, OwnerOp::Fetch, to_cbor(&body), ctx) else {
            return;
        };
        self.mailbox.asked(member, Need::Fetch { after }, ctx.now);
        let purpose = Purpose::Fetch { member };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Fetch(request),
            Class::Bulk,
            purpose,
            ctx,
        );
    }

    pub(super) fn send_acknowledgement(
        &mut self,
        member: NodeId,
        ids: Vec<EnvelopeId>,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        let Ok(tombstone) = Tombstone::sign(self.me.device.mailbox(), ids.clone()) else {
            return;
        };
        let purpose = Purpose::Acknowledge { ids };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Acknowledge(tombstone),
            Class::Message,
            purpose,
            ctx,
        );
    }

    pub(super) fn on_push(&mut self, member: NodeId, push: Push, ctx: &mut Ctx<'_>) {
        self.mailbox
            .pushed(member, push.stock, push.waiting, ctx.now);
        self.receive(member, push.envelopes.into_inner(), ctx);
    }

    /// Takes in what a member has sent, in its order. What goes by the id of other bytes is nobody's envelope:
    /// an acknowledgement of that id would have the other members forget the one that it is of.
    pub(super) fn receive(
        &mut self,
        member: NodeId,
        envelopes: Vec<EnvelopeItem>,
        ctx: &mut Ctx<'_>,
    ) {
        for EnvelopeItem { id, envelope } in envelopes {
            if envelope_id(&envelope) != id {
                self.net.mislabelled();
                continue;
            }
            ctx.batch.step(Step::Envelope {
                member,
                id,
                bytes: Box::new(envelope),
            });
        }
    }
}

/// Members of a mailbox in a network of so many relays. Decision 0026.
fn size_among(relays: u32) -> usize {
    let relays = usize::try_from(relays).unwrap_or(usize::MAX);
    relays.saturating_sub(APART).clamp(ACTIVE, SWARM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_networks_leave_four_relays_outside_a_swarm() {
        let sizes = [0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 4_096].map(size_among);
        assert_eq!(sizes, [3, 3, 3, 3, 3, 4, 5, 6, 6, 6, 6]);
    }
}
