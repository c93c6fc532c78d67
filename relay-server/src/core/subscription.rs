//! Pushing mail to its owner through the stock of reply blocks. DESIGN §3.5.
//!
//! ```text
//!  stored ─ at once, or i × 20 s ─▶ push ─ 60 s ─▶ again ─ 120 s ─▶ again ─ 240 s ─▶ again ─▶ waits for a fetch
//!                                     └──────────── tombstone: forgotten ────────────┘
//!  10 min without a push ─▶ heartbeat
//! ```

use zentalk_shared::id::{EnvelopeId, MailboxId};
use zentalk_shared::onion::{Class, Suite, Surb};
use zentalk_shared::rpc::{
    EnvelopeItem, FormerPermit, MAX_FETCH, MAX_PERMIT_OVERLAP, MailboxDescriptor, OwnerOp,
    OwnerRequest, Push, Refusal, Reply, Subject, SubscribeBody, SubscribeReply,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::BoundedList;
use zeroize::Zeroizing;

use super::admission::{Bucket, Rate};
use super::io::Metric;
use super::mailbox::Permits;
use super::owner::{Verified, owned, verify};
use super::relay::{Relay, Step, Timer};
use super::requests::{After, ReplyTo};
use super::store::{
    Owned, PushPick, SaveSubscription, Stock, StockedSurb, StoreError, StoreOp, TakenPush,
};
use super::swarm::PutKey;

/// Member i of those that did not take the put waits i times this long before it pushes.
pub(super) const STAGGER: Duration = Duration::from_secs(20);
/// Without an acknowledgement, mail is pushed again after this long; doubles every time.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Pushes of one envelope; then it waits for a fetch.
const MAX_PUSHES: u32 = 4;
/// How long a subscription may be silent.
const HEARTBEAT: Duration = Duration::from_mins(10);
/// After a start, mail that waits is pushed within this time, so that not all mailboxes go at once.
const START_SPREAD: Duration = Duration::from_secs(10);
/// Pushes that carry nothing but mail of strangers: one a minute. A first message has up to three envelopes, which
/// may come one by one.
const NOTICES: Rate = Rate {
    per_minute: 1,
    burst: 4,
};
const NOTICE_EVERY: Duration = Duration::from_secs(60);
/// Envelopes of one mailbox that are pushed one by one; the others wait for a fetch.
const MAX_PENDING: usize = 256;

/// When what of one mailbox is pushed.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pending: Vec<Pending>,
    /// What [`NOTICES`] allows; `None`: all of it.
    notices: Option<Bucket>,
    /// After a start: the oldest envelope goes first, and says how many wait.
    oldest: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
    /// Reply blocks, as far as is known.
    surbs: u16,
    waiting: u32,
    /// A push is being taken from the store.
    busy: bool,
    /// The earliest timer that is set.
    armed: Option<Timestamp>,
}

/// A subscription that is in order.
struct ReadSubscription {
    save: SaveSubscription,
    descriptor: MailboxDescriptor,
    permits: Permits,
    /// The suites of its reply blocks whose packets this relay will peel itself.
    own: Vec<Suite>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    id: EnvelopeId,
    due: Timestamp,
    pushes: u32,
    /// It came without a permit.
    stranger: bool,
}

impl Schedule {
    pub(super) fn restored(stock: Stock) -> Self {
        Self {
            surbs: stock.surbs,
            waiting: stock.waiting,
            ..Self::default()
        }
    }

    fn add(&mut self, id: EnvelopeId, due: Timestamp, permitted: bool) {
        let known = self.pending.iter().any(|pending| pending.id == id);
        let alike = self.pending.iter().filter(|one| one.stranger != permitted);
        if !known && alike.count() < MAX_PENDING {
            self.pending.push(Pending {
                id,
                due,
                pushes: 0,
                stranger: !permitted,
            });
        }
    }

    pub(super) fn forget(&mut self, ids: &[EnvelopeId]) {
        self.pending.retain(|pending| !ids.contains(&pending.id));
    }

    /// When there is something to do.
    fn next(&self) -> Option<Timestamp> {
        let first = self.pending.iter().map(|pending| pending.due).min();
        let due = [first, self.oldest, self.heartbeat]
            .into_iter()
            .flatten()
            .min();
        due.filter(|_| !self.busy)
    }

    /// What to push now.
    fn due(&mut self, now: Timestamp) -> Option<PushPick> {
        if self.busy {
            return None;
        }
        if !self.may_ring(now) {
            self.postpone_strangers(now);
        }
        let is_due = |pending: &&Pending| pending.due <= now;
        let mut due = self.pending.iter().filter(is_due).peekable();
        // A notice takes along what other strangers have sent, whenever that is due.
        let notice = due.peek().is_some() && due.all(|pending| pending.stranger);
        let along = |one: &&Pending| notice && one.stranger && one.pushes == 0;
        let goes = |one: &&Pending| is_due(one) || along(one);
        let mut due: Vec<_> = self.pending.iter().filter(goes).collect();
        due.sort_by_key(|pending| (pending.stranger, pending.due));
        let ids: Vec<_> = due
            .into_iter()
            .take(MAX_FETCH)
            .map(|pending| pending.id)
            .collect();
        let pick = match (ids.is_empty(), self.oldest, self.heartbeat) {
            (false, ..) => PushPick::These(ids),
            (true, Some(at), _) if at <= now => PushPick::Oldest(1),
            (true, _, Some(at)) if at <= now => PushPick::Heartbeat,
            _ => return None,
        };
        self.busy = true;
        Some(pick)
    }

    /// Whether what is due may go: with mail of a contact anything may, without only as often as [`NOTICES`] allows.
    fn may_ring(&mut self, now: Timestamp) -> bool {
        let mut due = self.pending.iter().filter(|one| one.due <= now).peekable();
        if due.peek().is_none() || due.any(|one| !one.stranger) {
            return true;
        }
        let notices = self.notices;
        let notices = notices.unwrap_or_else(|| Bucket::full(NOTICES, now));
        self.notices.insert(notices).take(NOTICES, 1, now)
    }

    /// What strangers have sent waits for the next notice.
    fn postpone_strangers(&mut self, now: Timestamp) {
        let strangers = self.pending.iter_mut().filter(|pending| pending.stranger);
        for pending in strangers.filter(|pending| pending.due <= now) {
            pending.due = now + NOTICE_EVERY;
        }
    }

    /// The store has given what there is to push, or has failed.
    fn taken(&mut self, pick: &PushPick, taken: Option<&TakenPush>, now: Timestamp) {
        self.busy = false;
        let sent =
            |id: &EnvelopeId| taken.is_some_and(|t| t.envelopes.iter().any(|(sent, _)| sent == id));
        let no_surb = taken.is_none_or(|t| t.surb.is_none() && t.stock.waiting > 0);
        if let PushPick::These(ids) = pick {
            // What is not there any more is forgotten; without a reply block nobody can tell.
            self.pending
                .retain(|p| !ids.contains(&p.id) || no_surb || sent(&p.id));
            for pending in self.pending.iter_mut().filter(|p| ids.contains(&p.id)) {
                pending.due = now + AGAIN_AFTER * (1 << pending.pushes);
                pending.pushes += 1;
            }
            self.pending.retain(|pending| pending.pushes < MAX_PUSHES);
        }
        if matches!(pick, PushPick::Oldest(_)) {
            self.oldest = None;
        }
        if let Some(taken) = taken {
            self.surbs = taken.stock.surbs;
        }
        self.heartbeat = (self.surbs > 0).then_some(now + HEARTBEAT);
    }

    fn subscribed(&mut self, stock: Stock, now: Timestamp) {
        self.surbs = stock.surbs;
        self.heartbeat = (stock.surbs > 0).then_some(now + HEARTBEAT);
    }
}

impl Relay {
    /// The owner opens or refreshes its mailbox here.
    pub(super) fn on_subscribe(
        &mut self,
        reply: ReplyTo,
        request: &OwnerRequest,
        step: &mut Step<'_>,
    ) {
        let verified = match verify::<SubscribeBody>(request, &self.me, OwnerOp::Subscribe) {
            Ok(verified) => verified,
            Err(refusal) => return self.refuse_request(reply, refusal, step),
        };
        // Who has a mailbox writes to it for nothing, so it is not to be had for nothing.
        let reply = match self.mailboxes.descriptor(&verified.mailbox) {
            Some(_) => reply,
            None => {
                let subject = Subject::open(&self.me, &verified.mailbox);
                match self.collect(reply, &subject, verified.body.work.as_ref(), step) {
                    Some(reply) => reply,
                    None => return,
                }
            }
        };
        match self.read_subscription(verified, step) {
            Err(refusal) => self.refuse_request(reply, refusal, step),
            Ok(read) if !self.pay_for_peeling(reply.from, &read.own, step) => {
                self.refuse_request(reply, Refusal::Busy, step);
            }
            Ok(read) => {
                let after = After::Subscribe {
                    reply,
                    descriptor: Box::new(read.descriptor),
                    permits: read.permits,
                };
                self.store(StoreOp::Subscribe(Box::new(read.save)), after);
            }
        }
    }

    fn read_subscription(
        &self,
        verified: Verified<SubscribeBody>,
        step: &Step<'_>,
    ) -> Result<ReadSubscription, Refusal> {
        let Verified {
            mailbox,
            stamp,
            body,
        } = verified;
        let descriptor =
            MailboxDescriptor::verify(&body.descriptor).map_err(|_| Refusal::Malformed)?;
        // A former member is told of the move, and gets nothing to push with.
        let listed = descriptor.members().contains(&self.me);
        let was = self.mailboxes.descriptor(&mailbox).is_some();
        if descriptor.mailbox() != mailbox || !(listed || was && body.surbs.is_empty()) {
            return Err(Refusal::NotAllowed);
        }
        let (mut surbs, mut own) = (Vec::with_capacity(body.surbs.len()), Vec::new());
        for bytes in body.surbs.into_inner() {
            let surb = Surb::decode(&bytes).map_err(|_| Refusal::Malformed)?;
            if surb.expires() > step.now {
                own.extend(self.own_peeling(&surb));
                let bytes = Zeroizing::new(bytes.into_inner());
                surbs.push(StockedSurb {
                    expires: surb.expires(),
                    bytes,
                });
            }
        }
        let permits = Permits {
            current: body.permit,
            former: body.former.map(|former| FormerPermit {
                until: former.until.min(step.now + MAX_PERMIT_OVERLAP),
                ..former
            }),
        };
        let save = SaveSubscription {
            mailbox,
            stamp,
            replace: body.replace,
            descriptor_sequence: descriptor.sequence(),
            descriptor: body.descriptor.to_vec(),
            permit: permits.current.as_ref().map(|permit| *permit.as_bytes()),
            former: permits.former.clone(),
            surbs,
            now: step.now,
        };
        Ok(ReadSubscription {
            save,
            descriptor,
            permits,
            own,
        })
    }

    pub(super) fn subscribed(
        &mut self,
        reply: ReplyTo,
        descriptor: MailboxDescriptor,
        permits: Permits,
        answer: Result<Owned<Stock>, StoreError>,
        step: &mut Step<'_>,
    ) {
        let stock = match owned(answer) {
            Ok(stock) => stock,
            Err(refusal) => return self.refuse_request(reply, refusal, step),
        };
        let id = descriptor.mailbox();
        let known = self.mailboxes.descriptor(&id);
        let moved = known.is_none_or(|known| known.sequence() < descriptor.sequence());
        let mailbox = self
            .mailboxes
            .open(id, self.config.limits.prekeys, step.now);
        mailbox.adopt(descriptor);
        mailbox.permits = permits;
        mailbox.schedule.subscribed(stock, step.now);
        self.arm(id);
        if moved {
            self.swarm_changed(id, step);
        }
        let body = SubscribeReply {
            stock: stock.surbs,
            waiting: stock.waiting,
        };
        self.respond(reply, &Reply::Subscribe(body), step);
    }

    /// After a start: mail that waits is pushed, and heartbeats go on.
    pub(super) fn resume_pushes(&mut self, step: &mut Step<'_>) {
        for id in self.mailboxes.ids() {
            let (soon, later) = (step.jitter(START_SPREAD), step.jitter(HEARTBEAT));
            let Some(mailbox) = self.mailboxes.get_mut(&id) else {
                continue;
            };
            let schedule = &mut mailbox.schedule;
            if schedule.surbs > 0 {
                schedule.oldest = (schedule.waiting > 0).then_some(step.now + START_SPREAD + soon);
                schedule.heartbeat = Some(step.now + START_SPREAD + later);
                self.arm(id);
            }
        }
    }

    /// Plans the first push of an envelope.
    pub(super) fn schedule_push(&mut self, (mailbox, id): PutKey, permitted: bool, due: Timestamp) {
        if let Some(mailbox) = self.mailboxes.get_mut(&mailbox) {
            mailbox.schedule.add(id, due, permitted);
        }
        self.arm(mailbox);
    }

    /// Sets a timer for the mailbox if none is set that is early enough.
    fn arm(&mut self, id: MailboxId) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        let schedule = &mut mailbox.schedule;
        if let Some(next) = schedule.next()
            && schedule.armed.is_none_or(|armed| next < armed)
        {
            schedule.armed = Some(next);
            self.timers.set(next, Timer::Mailbox(id));
        }
    }

    /// A mailbox's timer.
    pub(super) fn push_due(&mut self, id: MailboxId, step: &Step<'_>) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        if mailbox
            .schedule
            .armed
            .is_some_and(|armed| armed <= step.now)
        {
            mailbox.schedule.armed = None;
        }
        match mailbox.schedule.due(step.now) {
            Some(pick) => {
                let op = StoreOp::TakePush {
                    mailbox: id,
                    pick: pick.clone(),
                    now: step.now,
                };
                self.store(op, After::Push { mailbox: id, pick });
            }
            None => self.arm(id),
        }
    }

    pub(super) fn push_taken(
        &mut self,
        id: MailboxId,
        pick: &PushPick,
        answer: Result<TakenPush, StoreError>,
        step: &mut Step<'_>,
    ) {
        let Some(mailbox) = self.mailboxes.get_mut(&id) else {
            return;
        };
        mailbox.schedule.taken(pick, answer.as_ref().ok(), step.now);
        self.arm(id);
        let Ok(TakenPush {
            surb: Some(surb),
            envelopes,
            stock,
        }) = answer
        else {
            return;
        };
        let class = match envelopes.len() {
            0 | 1 => Class::Message,
            _ => Class::Bulk,
        };
        let items = envelopes
            .into_iter()
            .map(|(id, e)| EnvelopeItem { id, envelope: *e });
        let push = Reply::Push(Push {
            envelopes: BoundedList::new(items.collect()).unwrap_or_default(),
            stock: stock.surbs,
            waiting: stock.waiting,
        });
        if let (Ok(surb), Ok(payload)) = (Surb::decode(&surb), push.encode(step.id(), class)) {
            self.count(Metric::Pushed);
            self.send_reply(surb, &payload, class, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zentalk_shared::wire::budget::ENVELOPE_LEN;
    use zentalk_shared::wire::codec::Bytes;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn id(n: u8) -> EnvelopeId {
        EnvelopeId::from_bytes([n; 16])
    }

    fn taken(ids: &[u8], surbs: u16) -> TakenPush {
        let envelope = || Box::new(Bytes([0; ENVELOPE_LEN]));
        TakenPush {
            surb: Some(Zeroizing::new(vec![])),
            envelopes: ids.iter().map(|n| (id(*n), envelope())).collect(),
            stock: Stock { surbs, waiting: 0 },
        }
    }

    #[test]
    fn mail_is_pushed_four_times_and_then_waits() {
        let mut schedule = Schedule {
            surbs: 9,
            ..Schedule::default()
        };
        schedule.add(id(1), NOW, true);
        let mut now = NOW;
        for pause in [60, 120, 240] {
            let pick = schedule.due(now).unwrap();
            assert_eq!(pick, PushPick::These(vec![id(1)]));
            assert_eq!(schedule.due(now), None, "one at a time");
            schedule.taken(&pick, Some(&taken(&[1], 9)), now);
            now += Duration::from_secs(pause);
            assert_eq!(schedule.due(now - Duration::from_ms(1)), None);
        }
        let pick = schedule.due(now).unwrap();
        schedule.taken(&pick, Some(&taken(&[1], 9)), now);
        assert!(schedule.pending.is_empty());
        assert_eq!(schedule.next(), Some(now + HEARTBEAT));
        assert_eq!(schedule.due(now + HEARTBEAT), Some(PushPick::Heartbeat));
    }

    #[test]
    fn an_acknowledgement_ends_it() {
        let mut schedule = Schedule::default();
        schedule.add(id(1), NOW, true);
        schedule.add(id(2), NOW, true);
        schedule.forget(&[id(1)]);
        assert_eq!(schedule.due(NOW), Some(PushPick::These(vec![id(2)])));
        schedule.forget(&[id(2)]);
        schedule.taken(&PushPick::These(vec![id(2)]), Some(&taken(&[2], 0)), NOW);
        assert_eq!(schedule.next(), None, "no reply block, no heartbeat");
    }

    #[test]
    fn three_go_together_and_what_is_gone_is_forgotten() {
        let mut schedule = Schedule::default();
        (1..=5).for_each(|n| schedule.add(id(n), NOW + Duration::from_ms(n.into()), true));
        let pick = schedule.due(NOW + Duration::from_secs(1)).unwrap();
        assert_eq!(pick, PushPick::These(vec![id(1), id(2), id(3)]));
        schedule.taken(&pick, Some(&taken(&[1, 3], 9)), NOW);
        let left: Vec<_> = schedule.pending.iter().map(|pending| pending.id).collect();
        assert_eq!(left, [id(1), id(3), id(4), id(5)]);
    }

    #[test]
    fn an_empty_stock_keeps_what_is_pending() {
        let mut schedule = Schedule::default();
        schedule.add(id(1), NOW, true);
        let pick = schedule.due(NOW).unwrap();
        let stock = Stock {
            surbs: 0,
            waiting: 1,
        };
        schedule.taken(
            &pick,
            Some(&TakenPush {
                surb: None,
                envelopes: vec![],
                stock,
            }),
            NOW,
        );
        assert_eq!(schedule.next(), Some(NOW + AGAIN_AFTER));
        let pick = schedule.due(NOW + AGAIN_AFTER).unwrap();
        schedule.taken(&pick, None, NOW + AGAIN_AFTER);
        assert_eq!(
            schedule.pending.len(),
            1,
            "a store that failed is tried again"
        );
    }

    #[test]
    fn strangers_alone_have_a_notice_a_minute_and_go_with_contacts_meanwhile() {
        let mut schedule = Schedule::default();
        let push = |schedule: &mut Schedule, now| {
            let pick = schedule.due(now)?;
            let PushPick::These(ids) = &pick else {
                panic!("no heartbeat without a reply block")
            };
            let pushed = ids.clone();
            schedule.taken(&pick, None, now);
            schedule.forget(&pushed);
            Some(pushed)
        };
        // One by one, as the envelopes of a first message come.
        for n in 1..=4 {
            schedule.add(id(n), NOW, false);
            assert_eq!(push(&mut schedule, NOW), Some(vec![id(n)]));
        }
        (5..=9).for_each(|n| schedule.add(id(n), NOW, false));
        assert_eq!(push(&mut schedule, NOW), None);
        assert_eq!(schedule.next(), Some(NOW + NOTICE_EVERY));
        let soon = NOW + Duration::from_secs(20);
        schedule.add(id(10), soon, true);
        assert_eq!(push(&mut schedule, soon), Some(vec![id(10)]), "a contact");
        let minute = NOW + NOTICE_EVERY;
        schedule.add(id(11), minute, true);
        let together = push(&mut schedule, minute).unwrap();
        assert_eq!(together[0], id(11), "contacts first");
        assert_eq!(together.len(), MAX_FETCH);
        assert!(push(&mut schedule, minute).is_some(), "and one notice");
        assert_eq!(push(&mut schedule, minute), None);
        // Every one of them is due at a time of its own, and they go together all the same.
        let mut schedule = Schedule::default();
        for n in 1..=9 {
            let at = NOW + Duration::from_secs(5 * u64::from(n));
            schedule.add(id(n), at, false);
            push(&mut schedule, at);
        }
        let next = schedule.next().unwrap();
        let left = schedule.pending.len();
        assert_eq!(
            push(&mut schedule, next).map(|ids| ids.len()),
            Some(left.min(MAX_FETCH))
        );
    }

    #[test]
    fn pending_pushes_are_bounded() {
        let mut schedule = Schedule::default();
        for n in 0..=MAX_PENDING as u16 {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            schedule.add(EnvelopeId::from_bytes(bytes), NOW, true);
            schedule.add(EnvelopeId::from_bytes(bytes), NOW, true);
        }
        assert_eq!(schedule.pending.len(), MAX_PENDING);
    }
}
