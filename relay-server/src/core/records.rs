//! Account records: held for their readers, opaque to this relay. DESIGN §6.
//!
//! What is not held here is looked up in the DHT, and what is taken goes there.
//!
//! A record is taken only if the key that its place commits to has signed it, if it is not over, and if
//! it is newer than what is held.

use zentalk_shared::id::RecordKey;
use zentalk_shared::rpc::{
    AccountRecord, RecordBytes, RecordError, RecordGetReply, RecordGetRequest, RecordPutReply,
    RecordPutRequest, Refusal, Reply, Subject,
};

use super::relay::{Relay, Step};
use super::requests::{After, ReplyTo, refusal_of};
use super::store::{RecordOutcome, StoreError, StoreOp};

impl Relay {
    pub(super) fn on_record_put(
        &mut self,
        reply: ReplyTo,
        put: RecordPutRequest,
        step: &mut Step<'_>,
    ) {
        match AccountRecord::verify(&put.record, step.now) {
            Err(RecordError::Malformed) => self.refuse_request(reply, Refusal::Malformed, step),
            Err(_) => self.refuse_request(reply, Refusal::NotAllowed, step),
            Ok(record) => {
                let subject = Subject::record(&self.me, &record.key(), &put.record);
                let Some(reply) = self.collect(reply, &subject, put.work.as_ref(), step) else {
                    return;
                };
                let op = StoreOp::PutRecord {
                    key: record.key(),
                    sequence: record.sequence(),
                    expires: record.expires(),
                    record: put.record.to_vec(),
                };
                self.store(
                    op,
                    After::RecordPut {
                        reply,
                        key: record.key(),
                        sequence: record.sequence(),
                        put: Box::new(put),
                    },
                );
            }
        }
    }

    pub(super) fn record_put(
        &mut self,
        reply: ReplyTo,
        (key, sequence, put): (RecordKey, u64, RecordPutRequest),
        answer: Result<RecordOutcome, StoreError>,
        step: &mut Step<'_>,
    ) {
        let body = match answer {
            Ok(RecordOutcome::Stored) => RecordPutReply {
                stored: true,
                sequence,
            },
            Ok(RecordOutcome::Held(held)) => RecordPutReply {
                stored: false,
                sequence: held,
            },
            Ok(RecordOutcome::Full) => return self.refuse_request(reply, Refusal::Full, step),
            Err(error) => return self.refuse_request(reply, refusal_of(error), step),
        };
        if body.stored {
            let RecordPutRequest { record, work } = put;
            self.publish_record(&key, record.into_inner(), work.as_ref(), step);
        }
        self.respond(reply, &Reply::RecordPut(body), step);
    }

    pub(super) fn on_record_get(&mut self, reply: ReplyTo, get: RecordGetRequest, step: &Step<'_>) {
        let op = StoreOp::GetRecord {
            key: get.key,
            now: step.now,
        };
        let key = get.key;
        self.store(op, After::RecordGet { reply, key });
    }

    pub(super) fn record_got(
        &mut self,
        reply: ReplyTo,
        key: RecordKey,
        answer: Result<Option<Vec<u8>>, StoreError>,
        step: &mut Step<'_>,
    ) {
        match answer {
            Ok(None) => self.look_up_record(reply, key, step),
            Ok(record) => {
                let record = record.and_then(|bytes| RecordBytes::new(bytes).ok());
                self.respond(reply, &Reply::RecordGet(RecordGetReply { record }), step);
            }
            Err(error) => self.refuse_request(reply, refusal_of(error), step),
        }
    }
}
