//! Prekeys: every member has a batch of its own, and hands each one-time prekey out once. DESIGN §5.
//!
//! The store removes a one-time prekey before the reply leaves: after a crash it is gone, never twice
//! out. Whoever asks too often gets the base alone, which makes a session without one-time key.

use zentalk_shared::id::MailboxId;
use zentalk_shared::rpc::{
    OwnerOp, OwnerRequest, PreKeyPublishBody, PreKeyPublishReply, PreKeyTakeReply,
    PreKeyTakeRequest, Refusal, Reply,
};

use super::owner::{Verified, owned, verify};
use super::relay::{Relay, Step};
use super::requests::{After, ReplyTo, refusal_of};
use super::store::{Bundle, Owned, SavePreKeys, StoreError, StoreOp};

impl Relay {
    pub(super) fn on_prekey_publish(
        &mut self,
        reply: ReplyTo,
        request: &OwnerRequest,
        step: &mut Step<'_>,
    ) {
        let verified = verify::<PreKeyPublishBody>(request, &self.me, OwnerOp::PreKeyPublish);
        let Verified {
            mailbox,
            stamp,
            body,
        } = match verified {
            Ok(verified) => verified,
            Err(refusal) => return self.refuse_request(reply, refusal, step),
        };
        if body.base.is_empty() || body.one_time.iter().any(|prekey| prekey.is_empty()) {
            return self.refuse_request(reply, Refusal::Malformed, step);
        }
        let save = SavePreKeys {
            mailbox,
            stamp,
            replace: body.replace,
            base: body.base,
            one_time: body.one_time.into_inner(),
            now: step.now,
        };
        self.store(
            StoreOp::SavePreKeys(Box::new(save)),
            After::PreKeyPublish { reply, mailbox },
        );
    }

    pub(super) fn prekeys_published(
        &mut self,
        reply: ReplyTo,
        mailbox: MailboxId,
        answer: Result<Owned<u16>, StoreError>,
        step: &mut Step<'_>,
    ) {
        match owned(answer) {
            Err(refusal) => self.refuse_request(reply, refusal, step),
            Ok(held) => {
                self.mailboxes
                    .open(mailbox, self.config.limits.prekeys, step.now);
                self.respond(
                    reply,
                    &Reply::PreKeyPublish(PreKeyPublishReply { held }),
                    step,
                );
            }
        }
    }

    pub(super) fn on_prekey_take(
        &mut self,
        reply: ReplyTo,
        take: PreKeyTakeRequest,
        step: &mut Step<'_>,
    ) {
        let rate = self.config.limits.prekeys;
        let Some(mailbox) = self.mailboxes.get_mut(&take.mailbox) else {
            return self.refuse_request(reply, Refusal::Unknown, step);
        };
        let one_time = mailbox.prekeys.take(rate, 1, step.now);
        let op = StoreOp::TakePreKey {
            mailbox: take.mailbox,
            one_time,
        };
        self.store(op, After::PreKeyTake(reply));
    }

    pub(super) fn prekey_taken(
        &mut self,
        reply: ReplyTo,
        answer: Result<Option<Bundle>, StoreError>,
        step: &mut Step<'_>,
    ) {
        match answer {
            Ok(Some(Bundle { base, one_time })) => {
                let body = PreKeyTakeReply { base, one_time };
                self.respond(reply, &Reply::PreKeyTake(body), step);
            }
            Ok(None) => self.refuse_request(reply, Refusal::Unknown, step),
            Err(error) => self.refuse_request(reply, refusal_of(error), step),
        }
    }
}
