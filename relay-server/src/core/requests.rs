//! Remote calls: from what came out of an onion to the service, and from its answer into the reply block.
//!
//! No reply leaves before the store has confirmed what it says: a service submits an operation with an
//! [`After`], and the reply is made from the store's answer.

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId, RecordKey};
use zentalk_shared::onion::{Class, Features, ReplayEntry, Surb};
use zentalk_shared::rpc::{
    MailboxDescriptor, RecordPutRequest, Refusal, Refused, Reply, Request, Subject, Tombstone, Work,
};
use zentalk_shared::wire::Tag;

use super::anti_entropy::Comparison;
use super::io::{ConnId, Metric};
use super::kademlia::DhtAfter;
use super::mailbox::Permits;
use super::relay::{Relay, Step};
use super::store::{PushPick, RecordOutcome, StoreError, StoreReply};
use super::swarm::PutKey;
use super::toll::Unpaid;

/// The store's answer to the operation that was submitted; any other is a failure of the store.
macro_rules! expect {
    ($answer:ident, $variant:ident) => {
        match $answer {
            Ok(StoreReply::$variant(value)) => Ok(value),
            Ok(_) => Err(StoreError::Failed),
            Err(error) => Err(error),
        }
    };
}

/// Where an answer goes.
pub(super) struct ReplyTo {
    /// Whose connection pays for what the request makes this relay peel; `None`: it has sent the request to itself.
    pub(super) from: Option<ConnId>,
    surb: Surb,
    pub(super) class: Class,
    id: MessageId,
}

/// What goes on when the store has answered.
pub(super) enum After {
    /// Nothing waits for it.
    Nothing,
    /// A step of the sweep.
    Swept,
    /// Onion keys are durable: publish them.
    KeysSaved,
    /// Tags of packets that have passed are in the log.
    ReplayLogged(Vec<ReplayEntry>),
    /// An envelope that was put here.
    Put {
        key: PutKey,
        /// It showed a permit.
        permitted: bool,
    },
    /// An envelope that another member has sent.
    ReplicatePut {
        conn: ConnId,
        frame: MessageId,
        from: NodeId,
        key: PutKey,
        /// It showed a permit there.
        permitted: bool,
    },
    /// A subscription.
    Subscribe {
        reply: ReplyTo,
        descriptor: Box<MailboxDescriptor>,
        permits: Permits,
    },
    /// Envelopes for their owner.
    Fetch(ReplyTo),
    /// An acknowledgement, to be passed on.
    Acknowledge {
        reply: ReplyTo,
        mailbox: MailboxId,
        tombstone: Box<Tombstone>,
    },
    /// An acknowledgement that another member has sent.
    ReplicateTombstone {
        conn: ConnId,
        frame: MessageId,
        mailbox: MailboxId,
        ids: Vec<EnvelopeId>,
    },
    /// A push.
    Push { mailbox: MailboxId, pick: PushPick },
    /// An envelope for a member that has not confirmed it.
    Replicate { node: NodeId, key: PutKey },
    /// A comparison with another member.
    Compare(Comparison),
    /// Prekeys of an owner.
    PreKeyPublish { reply: ReplyTo, mailbox: MailboxId },
    /// A bundle for an asker.
    PreKeyTake(ReplyTo),
    /// An account record.
    RecordPut {
        reply: ReplyTo,
        key: RecordKey,
        sequence: u64,
        put: Box<RecordPutRequest>,
    },
    /// A question for one.
    RecordGet { reply: ReplyTo, key: RecordKey },
    /// Something of the DHT's.
    Dht(DhtAfter),
}

impl Relay {
    /// A request has come out of an onion.
    pub(super) fn on_request(
        &mut self,
        from: Option<ConnId>,
        surb: Surb,
        payload: &[u8],
        step: &mut Step<'_>,
    ) {
        let own = self.own_peeling(&surb);
        if !self.pay_for_peeling(from, own.as_slice(), step) {
            return self.count(Metric::PacketDropped("cost"));
        }
        self.count(Metric::Processed);
        let class = match payload.len() == Class::Message.capacity() {
            true => Class::Message,
            false => Class::Bulk,
        };
        let Ok((id, request)) = Request::decode(payload) else {
            // Not even a frame whose id could be repeated.
            return self.count(Metric::Refused("malformed"));
        };
        let reply = ReplyTo {
            from,
            surb,
            class,
            id,
        };
        if let Err(refusal) = self.admit(&request) {
            return self.refuse_request(reply, refusal, step);
        }
        match request {
            Request::Put(put) => self.on_put(reply, put, step),
            Request::Subscribe(request) => self.on_subscribe(reply, &request, step),
            Request::Fetch(request) => self.on_fetch(reply, &request, step),
            Request::Acknowledge(tombstone) => self.on_acknowledge(reply, tombstone, step),
            Request::PreKeyPublish(request) => self.on_prekey_publish(reply, &request, step),
            Request::PreKeyTake(take) => self.on_prekey_take(reply, take, step),
            Request::RecordPut(put) => self.on_record_put(reply, put, step),
            Request::RecordGet(get) => self.on_record_get(reply, get, step),
            Request::DirectorySync(ask) => {
                let part = self.directory_part(ask, class, step);
                self.respond(reply, &part, step);
            }
        }
    }

    /// Whether this relay offers the service, and has room for another request.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        let needs = match request {
            Request::RecordPut(_) | Request::RecordGet(_) => Features::DIRECTORY,
            Request::DirectorySync(_) => Features::NONE,
            _ => Features::MAILBOX,
        };
        match self.config.info.features.has(needs) {
            false => Err(Refusal::NotAllowed),
            // The directory is in memory, and leads to relays that have less to do.
            true if needs != Features::NONE && self.is_store_busy() => Err(Refusal::Busy),
            true => Ok(()),
        }
    }

    /// Goes on with what waited for the store.
    pub(super) fn resume(
        &mut self,
        after: After,
        answer: Result<StoreReply, StoreError>,
        step: &mut Step<'_>,
    ) {
        match after {
            After::Put { key, permitted } => {
                self.put_stored((key, permitted), expect!(answer, Put), step);
            }
            After::ReplicatePut {
                conn,
                frame,
                from,
                key,
                permitted,
            } => {
                let put = expect!(answer, Put);
                self.replica_stored((conn, frame), from, (key, permitted), put, step);
            }
            After::Replicate { node, key } => {
                self.replica_read(node, key, expect!(answer, Envelope), step);
            }
            After::Acknowledge {
                reply,
                mailbox,
                tombstone,
            } => self.acknowledged(reply, mailbox, &tombstone, expect!(answer, Tombstone), step),
            After::ReplicateTombstone {
                conn,
                frame,
                mailbox,
                ids,
            } => {
                let answer = expect!(answer, Tombstone);
                self.tombstone_replicated((conn, frame), mailbox, &ids, answer);
            }
            After::Push { mailbox, pick } => {
                self.push_taken(mailbox, &pick, expect!(answer, Push), step);
            }
            After::Compare(comparison) => self.compared(comparison, answer, step),
            other => self.resume_service(other, answer, step),
        }
    }

    /// The same, for what concerns one asker and no other member.
    fn resume_service(
        &mut self,
        after: After,
        answer: Result<StoreReply, StoreError>,
        step: &mut Step<'_>,
    ) {
        match after {
            After::KeysSaved => self.keys_saved(answer.map(drop), step),
            After::Swept => self.swept(expect!(answer, Swept), step),
            After::ReplayLogged(entries) => self.replay_logged(entries, answer.map(drop), step),
            After::Subscribe {
                reply,
                descriptor,
                permits,
            } => {
                let answer = expect!(answer, Subscription);
                self.subscribed(reply, *descriptor, permits, answer, step);
            }
            After::Fetch(reply) => self.fetched(reply, expect!(answer, Fetched), step),
            After::PreKeyPublish { reply, mailbox } => {
                self.prekeys_published(reply, mailbox, expect!(answer, PreKeys), step);
            }
            After::PreKeyTake(reply) => self.prekey_taken(reply, expect!(answer, Bundle), step),
            After::RecordPut {
                reply,
                key,
                sequence,
                put,
            } => {
                let answer = expect!(answer, RecordPut);
                self.record_put(reply, (key, sequence, *put), answer, step);
            }
            After::RecordGet { reply, key } => {
                self.record_got(reply, key, expect!(answer, Record), step);
            }
            After::Dht(DhtAfter::Written(life, ticket)) if self.is_of_this_life(life) => {
                let durable = answer == Ok(StoreReply::RecordPut(RecordOutcome::Stored));
                self.dht_written(ticket, durable, step);
            }
            After::Dht(DhtAfter::Read(life, ticket)) if self.is_of_this_life(life) => {
                let record = expect!(answer, Record).ok().flatten();
                self.dht_read(ticket, record, step);
            }
            After::Dht(_) => {}
            After::Nothing => {}
            // `resume` has seen to these.
            After::Put { .. }
            | After::ReplicatePut { .. }
            | After::Replicate { .. }
            | After::Acknowledge { .. }
            | After::ReplicateTombstone { .. }
            | After::Push { .. }
            | After::Compare(_) => {}
        }
    }

    /// Answers a request through its reply block, in the packet class of the request.
    pub(super) fn respond(&mut self, to: ReplyTo, reply: &Reply, step: &mut Step<'_>) {
        match reply.encode(to.id, to.class) {
            Ok(payload) => {
                self.count(Metric::Answered(reply.tag().name()));
                self.send_reply(to.surb, &payload, to.class, step);
            }
            // The asker chose a class that the answer does not fit.
            Err(_) if reply.tag() != Tag::Refused => {
                self.refuse_request(to, Refusal::Malformed, step);
            }
            Err(_) => {}
        }
    }

    pub(super) fn refuse_request(&mut self, to: ReplyTo, reason: Refusal, step: &mut Step<'_>) {
        self.count(Metric::Refused(label(reason)));
        self.respond(to, &Reply::Refused(Refused::because(reason)), step);
    }

    /// Whether a stranger's request has been paid for; if not, the asker learns what it takes.
    pub(super) fn collect(
        &mut self,
        reply: ReplyTo,
        subject: &Subject,
        work: Option<&Work>,
        step: &mut Step<'_>,
    ) -> Option<ReplyTo> {
        match self.toll.pay(subject, work, step.now) {
            Ok(()) => return Some(reply),
            Err(Unpaid::Busy) => self.refuse_request(reply, Refusal::Busy, step),
            Err(Unpaid::Wanted(wanted)) => {
                let refused = Refused {
                    reason: Refusal::WorkNeeded,
                    work: Some(wanted),
                };
                self.count(Metric::Refused(label(refused.reason)));
                self.respond(reply, &Reply::Refused(refused), step);
            }
        }
        None
    }

    /// Sends a payload through a reply block.
    pub(super) fn send_reply(
        &mut self,
        surb: Surb,
        payload: &[u8],
        class: Class,
        step: &mut Step<'_>,
    ) {
        if surb.expires() <= step.now {
            return self.count(Metric::PacketDropped("expired_reply_block"));
        }
        let first = surb.first_hop();
        match surb.reply(payload, class) {
            Ok(packet) => self.send_packet(first, packet, step),
            Err(_) => self.count(Metric::PacketDropped("reply_block")),
        }
    }
}

/// Why a store's failure makes a request fail.
pub(super) const fn refusal_of(error: StoreError) -> Refusal {
    match error {
        StoreError::Full => Refusal::Full,
        StoreError::Failed => Refusal::Busy,
    }
}

const fn label(reason: Refusal) -> &'static str {
    match reason {
        Refusal::Malformed => "malformed",
        Refusal::Unknown => "unknown",
        Refusal::NotAllowed => "not_allowed",
        Refusal::Full => "full",
        Refusal::TooFewMembers => "too_few_members",
        Refusal::StaleSequence => "stale_sequence",
        Refusal::Busy => "busy",
        Refusal::WorkNeeded => "work_needed",
        Refusal::Moved => "moved",
    }
}
