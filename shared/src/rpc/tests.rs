//! Tests of remote calls and of the objects that relays store.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::id::{Address, EnvelopeId, MailboxId, MessageId, NodeId};
use crate::identity::{DirectorySecret, MailboxSecret};
use crate::onion::{Class, Layout, Suite};
use crate::time::{Duration, Timestamp};
use crate::wire::budget::ENVELOPE_LEN;
use crate::wire::codec::{BoundedBytes, BoundedList, Bytes, from_cbor, to_cbor};

const NODE: NodeId = NodeId::from_bytes([1; 20]);
const OTHER: NodeId = NodeId::from_bytes([2; 20]);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

const WANTED: WorkWanted = WorkWanted {
    seed: Bytes([7; 16]),
    effort: MAX_EFFORT,
};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

fn put() -> Request {
    Request::Put(PutRequest {
        mailbox: MailboxId::from_bytes([3; 20]),
        id: EnvelopeId::from_bytes([4; 16]),
        permit: Some(WriteSecret::from_bytes([5; 32]).permit(&NODE)),
        envelope: Bytes([6; ENVELOPE_LEN]),
        work: Some(Work::from_parts(&WANTED, &[8; 8], &[9; 17])),
    })
}

#[test]
fn a_put_fits_a_message_packet_and_every_reply_has_its_length() {
    let id = MessageId::from_bytes([9; 16]);
    let request = put().encode(id, Class::Message).unwrap();
    assert_eq!(request.len(), Class::Message.capacity());
    assert_eq!(Request::decode(&request).unwrap(), (id, put()));
    let held = Reply::Put(PutReply { held: 2, of: 3 })
        .encode(id, Class::Message)
        .unwrap();
    let refused = Reply::Refused(Refused::because(Refusal::Full))
        .encode(id, Class::Message)
        .unwrap();
    assert_eq!(held.len(), refused.len());
    let wanted = Refused {
        reason: Refusal::WorkNeeded,
        work: Some(WANTED),
    };
    let wanted = Reply::Refused(wanted);
    let told = wanted.encode(id, Class::Message).unwrap();
    assert_eq!(told.len(), refused.len());
    assert_eq!(Reply::decode(&told).unwrap(), (id, wanted));
    assert!(matches!(
        Request::decode(&held),
        Err(RpcError::Unexpected(_))
    ));
}

/// PROTOCOL §6: what work is wanted is said only where work is missing.
#[test]
fn work_is_wanted_only_where_it_is_missing() {
    let said = |reason| {
        let work = Some(WANTED);
        to_cbor(&Refused { reason, work })
    };
    assert!(from_cbor::<Refused>(&said(Refusal::WorkNeeded), 256).is_ok());
    for reason in [Refusal::Full, Refusal::Moved, Refusal::Malformed] {
        assert!(from_cbor::<Refused>(&said(reason), 256).is_err());
        assert!(from_cbor::<Refused>(&to_cbor(&Refused::because(reason)), 256).is_ok());
    }
}

#[test]
fn a_push_holds_one_envelope_or_three_by_class() {
    let item = EnvelopeItem {
        id: EnvelopeId::from_bytes([4; 16]),
        envelope: Bytes([6; ENVELOPE_LEN]),
    };
    let push = |n| {
        Reply::Push(Push {
            envelopes: BoundedList::new(vec![item.clone(); n]).unwrap(),
            stock: 31,
            waiting: 9,
        })
    };
    let id = MessageId::from_bytes([9; 16]);
    assert!(push(1).encode(id, Class::Message).is_ok());
    assert!(push(2).encode(id, Class::Message).is_err());
    assert!(push(3).encode(id, Class::Bulk).is_ok());
}

#[test]
fn fault_11_an_owner_request_is_good_for_one_relay_operation_and_key() {
    let key = MailboxSecret::random(&mut rng());
    let request = OwnerRequest::sign(
        &key,
        &NODE,
        OwnerOp::Fetch,
        7,
        BoundedBytes::new(vec![1]).unwrap(),
    );
    let (mailbox, body) = request.verify(&NODE, OwnerOp::Fetch).unwrap();
    assert_eq!(body, [1]);
    assert_eq!(
        mailbox,
        MailboxDescriptor::sign(&key, 1, vec![NODE], 1, NOW)
            .unwrap()
            .mailbox()
    );
    assert_eq!(request.verify(&OTHER, OwnerOp::Fetch), Err(NotTheOwner));
    assert_eq!(request.verify(&NODE, OwnerOp::Subscribe), Err(NotTheOwner));
}

#[test]
fn a_tombstone_covers_exactly_its_ids() {
    let key = MailboxSecret::random(&mut rng());
    let ids = vec![
        EnvelopeId::from_bytes([1; 16]),
        EnvelopeId::from_bytes([2; 16]),
    ];
    let tombstone = Tombstone::sign(&key, ids.clone()).unwrap();
    assert_eq!(tombstone.verify().unwrap().1, ids);
    let mut bytes = crate::wire::codec::to_cbor(&tombstone);
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    let forged = crate::wire::codec::from_cbor::<Tombstone>(&bytes, 10_000);
    assert!(forged.is_err() || forged.unwrap().verify().is_err());
    assert!(Tombstone::sign(&key, vec![ids[0]; MAX_TOMBSTONE_IDS + 1]).is_err());
}

#[test]
fn a_mailbox_descriptor_is_checked_before_it_is_believed() {
    let key = MailboxSecret::random(&mut rng());
    let descriptor = MailboxDescriptor::sign(&key, 5, vec![NODE, OTHER], 1, NOW).unwrap();
    assert_eq!(
        MailboxDescriptor::verify(descriptor.bytes()).unwrap(),
        descriptor
    );
    assert_eq!(descriptor.active(), [NODE]);
    assert_eq!(descriptor.majority(), 1);
    for index in 0..descriptor.bytes().len() {
        let mut bytes = descriptor.bytes().to_vec();
        bytes[index] ^= 1;
        assert!(MailboxDescriptor::verify(&bytes).is_err(), "byte {index}");
    }
    assert!(
        MailboxDescriptor::sign(&key, 5, vec![NODE, NODE], 1, NOW).is_err(),
        "a member twice"
    );
    assert!(
        MailboxDescriptor::sign(&key, 5, vec![NODE], 2, NOW).is_err(),
        "more active than listed"
    );
    assert!(
        MailboxDescriptor::sign(&key, 5, vec![], 0, NOW).is_err(),
        "nobody"
    );
}

#[test]
fn fault_18_a_record_is_bound_to_its_key_and_opens_for_its_address_only() {
    let mut rng = rng();
    let key = DirectorySecret::random(&mut rng);
    let address = Address::from_bytes([8; 32]);
    let expires = NOW.saturating_add(Duration::from_days(30));
    let sealed = seal_record_contents(&address, b"contents", &mut rng).unwrap();
    let record = AccountRecord::sign(&key, 3, expires, sealed).unwrap();
    let verified = AccountRecord::verify(record.bytes(), NOW).unwrap();
    assert_eq!(verified.key(), key.public().record_key());
    assert_eq!(
        open_record_contents(&address, verified.sealed()).unwrap(),
        b"contents"
    );
    assert_eq!(
        open_record_contents(&Address::from_bytes([9; 32]), verified.sealed()),
        Err(RecordError::Sealed)
    );
    assert_eq!(
        AccountRecord::verify(record.bytes(), expires),
        Err(RecordError::Expired)
    );
    let early = Timestamp::from_ms(NOW.as_ms() - Duration::from_days(2).as_ms());
    assert_eq!(
        AccountRecord::verify(record.bytes(), early),
        Err(RecordError::Expired)
    );
    let day = NOW.saturating_add(Duration::from_days(1)).as_ms();
    for (sequence, verdict) in [(day, None), (day + 1, Some(RecordError::Ahead))] {
        let record = AccountRecord::sign(&key, sequence, expires, vec![1]).unwrap();
        assert_eq!(AccountRecord::verify(record.bytes(), NOW).err(), verdict);
    }
    for index in 0..record.bytes().len() {
        let mut bytes = record.bytes().to_vec();
        bytes[index] ^= 1;
        assert!(AccountRecord::verify(&bytes, NOW).is_err(), "byte {index}");
    }
}

#[test]
fn a_permit_is_per_relay_and_never_printed() {
    let secret = WriteSecret::random(&mut rng());
    assert_eq!(secret.permit(&NODE), secret.permit(&NODE));
    assert_ne!(secret.permit(&NODE), secret.permit(&OTHER));
    assert_eq!(format!("{secret:?}"), "WriteSecret(Secret(…))");
}

#[test]
fn prekey_entries_open_for_their_address_and_mailbox_only() {
    let (address, mailbox) = (Address::from_bytes([1; 32]), MailboxId::from_bytes([2; 20]));
    let sealed = seal_prekey_entry(&address, &mailbox, b"entry", &mut rng()).unwrap();
    assert_eq!(
        open_prekey_entry(&address, &mailbox, &sealed).unwrap(),
        b"entry"
    );
    assert!(open_prekey_entry(&Address::from_bytes([3; 32]), &mailbox, &sealed).is_none());
    assert!(open_prekey_entry(&address, &MailboxId::from_bytes([3; 20]), &sealed).is_none());
    assert!(open_prekey_entry(&address, &mailbox, &sealed[..20]).is_none());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_errors_not_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::decode(&bytes);
        let _ = Reply::decode(&bytes);
        let _ = MailboxDescriptor::verify(&bytes);
        let _ = AccountRecord::verify(&bytes, NOW);
    }
}

/// The longest subscription with so many reply blocks of a suite.
fn subscription(suite: Suite, count: usize) -> Option<Request> {
    let secret = MailboxSecret::random(&mut rng());
    let surb = SurbBytes::new(vec![7; Layout::of_suite(suite).surb()]).unwrap();
    let body = SubscribeBody {
        replace: true,
        descriptor: BoundedBytes::new(vec![7; MAX_MAILBOX_DESCRIPTOR_LEN]).unwrap(),
        surbs: BoundedList::new(vec![surb; count]).ok()?,
        permit: Some(WriteSecret::from_bytes([5; 32]).permit(&NODE)),
        former: Some(FormerPermit {
            permit: WriteSecret::from_bytes([6; 32]).permit(&NODE),
            until: Timestamp::from_ms(u64::MAX),
        }),
        work: Some(Work::from_parts(&WANTED, &[8; 8], &[9; 17])),
    };
    let body = BoundedBytes::new(crate::wire::codec::to_cbor(&body)).ok()?;
    let signed = OwnerRequest::sign(&secret, &NODE, OwnerOp::Subscribe, u64::MAX, body);
    Some(Request::Subscribe(signed))
}

#[test]
fn one_subscription_carries_as_many_reply_blocks_of_a_suite_as_it_says() {
    let id = MessageId::from_bytes([9; 16]);
    let fits = |suite, count| {
        let request = subscription(suite, count);
        request.is_some_and(|request| request.encode(id, Class::Bulk).is_ok())
    };
    for (suite, most) in [(Suite::X25519, 48), (Suite::Rsa4096, 11), (Suite::XWing, 5)] {
        let count = SubscribeBody::SURBS_ROOM / SubscribeBody::surb_needs(suite);
        assert_eq!(count, most, "{suite:?}");
        assert!(fits(suite, count), "{suite:?}");
        assert!(!fits(suite, count + 1), "{suite:?}");
    }
}
