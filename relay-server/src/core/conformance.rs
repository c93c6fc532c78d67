//! What every store must do, as tests that [`suite!`] instantiates: the memory store and SQLite pass
//! the same ones.

use zentalk_shared::dht::{Held, RecordId, RecordKind};
use zentalk_shared::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
use zentalk_shared::onion::{Epoch, ReplayEntry};
use zentalk_shared::rpc::{EnvelopeBytes, FormerPermit, Permit};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::{BoundedBytes, Bytes};
use zeroize::Zeroizing;

use super::proofs::Proof;
use super::store::*;

/// A store that the suite can drive.
pub(crate) trait TestStore: Sized {
    fn with(quotas: Quotas) -> Self;
    fn run(&mut self, op: StoreOp) -> Result<StoreReply, StoreError>;
    /// Closes and opens again, as a restart does.
    fn reopen(self) -> (Self, Restored);
}

macro_rules! suite {
    ($store:ty) => {
        $crate::core::conformance::suite!($store:
            an_envelope_is_stored_once,
            a_tombstone_wins_in_either_order,
            members_are_compared_and_tombstones_proven,
            long_ranges_are_listed_in_pages,
            a_descriptor_is_replaced_by_a_newer_one_only,
            quotas_hold,
            first_contact_has_its_own_quota,
            fault_16_strangers_take_no_room_of_contacts,
            mail_needs_a_subscribed_mailbox,
            an_owner_request_takes_effect_once,
            an_older_descriptor_is_stale,
            fetch_pages_through,
            a_push_takes_a_live_surb_and_what_is_left,
            a_push_of_nothing_spends_nothing,
            a_one_time_prekey_is_handed_out_once,
            records_only_grow,
            the_dhts_records_and_table_are_what_was_saved_last,
            everything_survives_a_restart,
            a_sweep_forgets_what_has_expired,
            mailboxes_are_bounded,
        );
    };
    ($store:ty: $($name:ident,)*) => {
        $(#[test] fn $name() { $crate::core::conformance::$name::<$store>(); })*
    };
}
pub(crate) use suite;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const MAILBOX: MailboxId = MailboxId::from_bytes([1; 20]);
pub(crate) const OTHER: MailboxId = MailboxId::from_bytes([2; 20]);

pub(crate) fn id(n: u8) -> EnvelopeId {
    EnvelopeId::from_bytes([n; 16])
}

pub(crate) fn envelope(n: u8) -> PutEnvelope {
    PutEnvelope {
        mailbox: MAILBOX,
        id: id(n),
        envelope: Box::new(Bytes([n; ENVELOPE_LEN]) as EnvelopeBytes),
        hour: Hour::at(NOW),
        permitted: true,
    }
}

pub(crate) fn stamp(sequence: u64) -> OwnerStamp {
    OwnerStamp {
        sequence,
        digest: [sequence as u8; 32],
    }
}

fn surb(n: u8, lives: Duration) -> StockedSurb {
    StockedSurb {
        expires: NOW + lives,
        bytes: Zeroizing::new(vec![n; 460]),
    }
}

fn former() -> FormerPermit {
    FormerPermit {
        permit: Permit::from_bytes([6; 32]),
        until: NOW + Duration::from_days(3),
    }
}

fn subscription(mailbox: MailboxId, sequence: u64) -> SaveSubscription {
    SaveSubscription {
        mailbox,
        stamp: stamp(sequence),
        replace: false,
        descriptor_sequence: 1,
        descriptor: vec![9; 40],
        permit: Some([7; 32]),
        former: Some(former()),
        surbs: Vec::new(),
        now: NOW,
    }
}

pub(crate) fn with_mailbox<S: TestStore>(quotas: Quotas) -> S {
    let mut store = S::with(quotas);
    subscribe(&mut store, subscription(MAILBOX, 1));
    store
}

/// Opens the suite's mailbox in a store that a test has made its own way.
pub(crate) fn with_mailbox_in(store: &mut impl TestStore) -> bool {
    matches!(subscribe(store, subscription(MAILBOX, 1)), Owned::Done(_))
}

fn subscribe(store: &mut impl TestStore, save: SaveSubscription) -> Owned<Stock> {
    match store.run(StoreOp::Subscribe(Box::new(save))) {
        Ok(StoreReply::Subscription(owned)) => owned,
        other => panic!("{other:?}"),
    }
}

fn put(store: &mut impl TestStore, put: PutEnvelope) -> PutOutcome {
    match store.run(StoreOp::Put(put)) {
        Ok(StoreReply::Put(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

fn bury(store: &mut impl TestStore, ids: Vec<EnvelopeId>) -> Option<u16> {
    match store.run(StoreOp::Tombstone {
        mailbox: MAILBOX,
        ids,
        hour: Hour::at(NOW),
        proof: vec![7],
    }) {
        Ok(StoreReply::Tombstone(recorded)) => recorded,
        other => panic!("{other:?}"),
    }
}

fn fetch(store: &mut impl TestStore, sequence: u64, after: u64, limit: u8) -> Owned<Fetched> {
    let op = StoreOp::Fetch {
        mailbox: MAILBOX,
        stamp: stamp(sequence),
        after,
        limit,
        now: NOW,
    };
    match store.run(op) {
        Ok(StoreReply::Fetched(owned)) => owned,
        other => panic!("{other:?}"),
    }
}

fn take_push(store: &mut impl TestStore, pick: PushPick) -> TakenPush {
    match store.run(StoreOp::TakePush {
        mailbox: MAILBOX,
        pick,
        now: NOW,
    }) {
        Ok(StoreReply::Push(push)) => push,
        other => panic!("{other:?}"),
    }
}

fn waiting(store: &mut impl TestStore) -> u32 {
    take_push(store, PushPick::These(Vec::new())).stock.waiting
}

pub(crate) fn an_envelope_is_stored_once<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Stored);
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Held);
    assert_eq!(waiting(&mut store), 1);
    let read = store.run(StoreOp::ReadEnvelope {
        mailbox: MAILBOX,
        id: id(1),
    });
    let Ok(StoreReply::Envelope(Some(stored))) = read else {
        panic!("{read:?}")
    };
    assert_eq!(stored.envelope, envelope(1).envelope);
    assert_eq!((stored.hour, stored.permitted), (Hour::at(NOW), true));
}

pub(crate) fn a_tombstone_wins_in_either_order<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    put(&mut store, envelope(1));
    assert_eq!(bury(&mut store, vec![id(1), id(2)]), Some(2));
    assert_eq!(waiting(&mut store), 0);
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Tombstoned);
    assert_eq!(
        put(&mut store, envelope(2)),
        PutOutcome::Tombstoned,
        "it had never been here"
    );
    assert_eq!(
        bury(&mut store, vec![id(1), id(1)]),
        Some(2),
        "again is fine"
    );
    assert_eq!(waiting(&mut store), 0);
    assert_eq!(put(&mut store, envelope(3)), PutOutcome::Stored);
}

fn compare(store: &mut impl TestStore, with: CompareIds) -> Option<Compared> {
    match store.run(StoreOp::Compare(Box::new(with))) {
        Ok(StoreReply::Compared(compared)) => compared,
        other => panic!("{other:?}"),
    }
}

fn with(theirs: Vec<EnvelopeId>) -> CompareIds {
    CompareIds {
        mailbox: MAILBOX,
        from: id(0),
        until: None,
        theirs,
    }
}

fn summaries(store: &mut impl TestStore, mailboxes: &[MailboxId]) -> Vec<HeldMail> {
    match store.run(StoreOp::Summarise(mailboxes.to_vec())) {
        Ok(StoreReply::Held(held)) => held,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn members_are_compared_and_tombstones_proven<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        envelopes: 4,
        tombstones: 3,
        ..Quotas::default()
    });
    for n in [3, 1, 2] {
        put(&mut store, envelope(n));
    }
    let bury = |store: &mut S, ids: Vec<EnvelopeId>, proof| {
        let op = StoreOp::Tombstone {
            mailbox: MAILBOX,
            ids,
            hour: Hour::at(NOW),
            proof,
        };
        assert!(matches!(store.run(op), Ok(StoreReply::Tombstone(Some(_)))));
    };
    bury(&mut store, vec![id(2), id(4)], vec![1]);
    bury(&mut store, vec![id(4)], vec![2]);
    let held = |ids: &[EnvelopeId]| HeldMail {
        mailbox: MAILBOX,
        count: u32::try_from(ids.len()).unwrap(),
        digest: zentalk_shared::rpc::held_digest(ids.iter().copied()),
    };
    assert_eq!(
        summaries(&mut store, &[OTHER, MAILBOX]),
        [held(&[id(1), id(3)])],
        "the unknown one is left out"
    );
    let compared = compare(&mut store, with([3, 2, 4, 5, 6, 7].map(id).to_vec()));
    let expected = Compared {
        held: vec![id(1), id(3)],
        until: None,
        missing: vec![id(5), id(6)],
        proofs: vec![vec![1]],
    };
    assert_eq!(compared, Some(expected), "as many are missing as have room");
    let unknown = CompareIds {
        mailbox: OTHER,
        ..with(vec![])
    };
    assert_eq!(compare(&mut store, unknown), None);
    let part = CompareIds {
        from: id(2),
        until: Some(id(3)),
        ..with(vec![])
    };
    assert_eq!(compare(&mut store, part), Some(Compared::default()));
    // A long acknowledgement of little that is new is not kept.
    let mut many = vec![id(0)];
    many.extend([4; 8].map(id));
    bury(&mut store, many, vec![9]);
    let proofs = compare(&mut store, with(vec![id(0)])).unwrap().proofs;
    assert_eq!(proofs, Vec::<Vec<u8>>::new());
    // Tombstones that give way take their proof with them.
    bury(&mut store, vec![id(5), id(6), id(7)], vec![3]);
    let (mut store, _) = store.reopen();
    let proofs = compare(&mut store, with([2, 4, 5].map(id).to_vec()));
    assert_eq!(proofs.unwrap().proofs, [[3]]);
}

pub(crate) fn long_ranges_are_listed_in_pages<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    let number = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        EnvelopeId::from_bytes(bytes)
    };
    let count = u32::try_from(PAGE_IDS).unwrap() + 1;
    for n in (0..count).rev() {
        let envelope = PutEnvelope {
            id: number(n),
            ..envelope(1)
        };
        put(&mut store, envelope);
    }
    let page = compare(&mut store, with(vec![])).unwrap();
    assert_eq!(
        (page.held.len(), page.until),
        (PAGE_IDS, Some(number(count - 1)))
    );
    assert!(page.held.is_sorted());
    let rest = CompareIds {
        from: number(count - 1),
        ..with(vec![])
    };
    let rest = compare(&mut store, rest).unwrap();
    assert_eq!((rest.held, rest.until), (vec![number(count - 1)], None));
}

pub(crate) fn a_descriptor_is_replaced_by_a_newer_one_only<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    let keep = |store: &mut S, mailbox, sequence, byte| {
        let op = StoreOp::KeepDescriptor {
            mailbox,
            sequence,
            descriptor: vec![byte],
        };
        match store.run(op) {
            Ok(StoreReply::DescriptorKept(kept)) => kept,
            other => panic!("{other:?}"),
        }
    };
    assert!(!keep(&mut store, OTHER, 9, 1), "no such mailbox");
    assert!(!keep(&mut store, MAILBOX, 1, 1), "no newer");
    assert!(keep(&mut store, MAILBOX, 3, 2));
    assert!(!keep(&mut store, MAILBOX, 2, 3), "older");
    let save = SaveSubscription {
        descriptor_sequence: 2,
        ..subscription(MAILBOX, 2)
    };
    assert_eq!(subscribe(&mut store, save), Owned::Stale);
    let (_, restored) = store.reopen();
    assert_eq!(restored.mailboxes[0].descriptor, Some(vec![2]));
}

pub(crate) fn quotas_hold<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        envelopes: 2,
        tombstones: 2,
        ..Quotas::default()
    });
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Stored);
    assert_eq!(put(&mut store, envelope(2)), PutOutcome::Stored);
    assert_eq!(put(&mut store, envelope(3)), PutOutcome::Full);
    assert_eq!(
        put(&mut store, envelope(2)),
        PutOutcome::Held,
        "a retry is no new envelope"
    );
    bury(&mut store, vec![id(1)]);
    assert_eq!(
        put(&mut store, envelope(3)),
        PutOutcome::Stored,
        "room again"
    );
    bury(&mut store, vec![id(2), id(3)]);
    assert_eq!(put(&mut store, envelope(3)), PutOutcome::Tombstoned);
    let mut store = with_mailbox::<S>(Quotas {
        bytes: 8000 + 7999,
        ..Quotas::default()
    });
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Stored);
    assert_eq!(put(&mut store, envelope(2)), PutOutcome::Full);
}

pub(crate) fn first_contact_has_its_own_quota<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        first_contact: 1,
        ..Quotas::default()
    });
    let stranger = |n| PutEnvelope {
        permitted: false,
        ..envelope(n)
    };
    assert_eq!(put(&mut store, stranger(1)), PutOutcome::Stored);
    assert_eq!(put(&mut store, stranger(2)), PutOutcome::Full);
    assert_eq!(put(&mut store, envelope(3)), PutOutcome::Stored);
    bury(&mut store, vec![id(1)]);
    assert_eq!(put(&mut store, stranger(2)), PutOutcome::Stored);
}

pub(crate) fn fault_16_strangers_take_no_room_of_contacts<S: TestStore>() {
    let quotas = Quotas {
        envelopes: 2,
        bytes: 2 * 8000,
        first_contact: 3,
        ..Quotas::default()
    };
    let stranger = |n| PutEnvelope {
        permitted: false,
        ..envelope(n)
    };
    let mut store = with_mailbox::<S>(quotas);
    for n in 1..=3 {
        assert_eq!(put(&mut store, stranger(n)), PutOutcome::Stored);
    }
    assert_eq!(put(&mut store, stranger(4)), PutOutcome::Full);
    for n in 5..=6 {
        assert_eq!(put(&mut store, envelope(n)), PutOutcome::Stored);
    }
    assert_eq!(put(&mut store, envelope(7)), PutOutcome::Full);
    bury(&mut store, vec![id(1)]);
    let full = put(&mut store, envelope(7));
    assert_eq!(full, PutOutcome::Full, "nor contacts of strangers");
    assert_eq!(put(&mut store, stranger(4)), PutOutcome::Stored);
}

pub(crate) fn mail_needs_a_subscribed_mailbox<S: TestStore>() {
    let mut store = S::with(Quotas::default());
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Unknown);
    assert_eq!(bury(&mut store, vec![id(1)]), None);
    assert_eq!(fetch(&mut store, 1, 0, 3), Owned::Unknown);
    let prekeys = SavePreKeys {
        mailbox: MAILBOX,
        stamp: stamp(1),
        replace: false,
        base: BoundedBytes::new(vec![1]).unwrap(),
        one_time: Vec::new(),
        now: NOW,
    };
    assert_eq!(
        store.run(StoreOp::SavePreKeys(Box::new(prekeys))),
        Ok(StoreReply::PreKeys(Owned::Unknown)),
        "prekeys open no mailbox"
    );
}

pub(crate) fn an_owner_request_takes_effect_once<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        stock: 3,
        ..Quotas::default()
    });
    let day = Duration::from_days(1);
    let refill = SaveSubscription {
        surbs: vec![surb(1, day), surb(2, day)],
        ..subscription(MAILBOX, 5)
    };
    let stock = |surbs| Owned::Done(Stock { surbs, waiting: 0 });
    assert_eq!(subscribe(&mut store, refill.clone()), stock(2));
    assert_eq!(
        subscribe(&mut store, refill.clone()),
        stock(2),
        "a repetition adds nothing"
    );
    assert_eq!(
        subscribe(&mut store, subscription(MAILBOX, 4)),
        Owned::Stale
    );
    let mut twin = refill.clone();
    twin.stamp.digest = [0; 32];
    assert_eq!(
        subscribe(&mut store, twin),
        Owned::Stale,
        "another request of the same number"
    );
    let mut next = refill.clone();
    next.stamp = stamp(6);
    assert_eq!(subscribe(&mut store, next.clone()), stock(3), "the quota");
    next.stamp = stamp(7);
    next.replace = true;
    assert_eq!(subscribe(&mut store, next), stock(2));
    assert_eq!(
        fetch(&mut store, 7, 0, 3),
        Owned::Done(Fetched {
            envelopes: vec![],
            next: 0,
            remaining: 0
        })
    );
    assert_eq!(fetch(&mut store, 6, 0, 3), Owned::Stale);
}

pub(crate) fn an_older_descriptor_is_stale<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    let with = |sequence, descriptor_sequence| SaveSubscription {
        descriptor_sequence,
        ..subscription(MAILBOX, sequence)
    };
    assert!(matches!(subscribe(&mut store, with(2, 3)), Owned::Done(_)));
    assert_eq!(subscribe(&mut store, with(3, 2)), Owned::Stale);
    assert!(
        matches!(subscribe(&mut store, with(3, 3)), Owned::Done(_)),
        "sequence 3 was not used up"
    );
}

pub(crate) fn fetch_pages_through<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    (1..=5).for_each(|n| assert_eq!(put(&mut store, envelope(n)), PutOutcome::Stored));
    bury(&mut store, vec![id(2)]);
    let Owned::Done(first) = fetch(&mut store, 2, 0, 3) else {
        panic!()
    };
    let ids = |page: &Fetched| page.envelopes.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(&first), [id(1), id(3), id(4)]);
    assert_eq!(first.remaining, 1);
    let Owned::Done(second) = fetch(&mut store, 3, first.next, 3) else {
        panic!()
    };
    assert_eq!((ids(&second), second.remaining), (vec![id(5)], 0));
    assert_eq!(second.envelopes[0].1, envelope(5).envelope);
    let Owned::Done(third) = fetch(&mut store, 4, second.next, 3) else {
        panic!()
    };
    assert_eq!((third.envelopes.len(), third.next), (0, second.next));
}

pub(crate) fn a_push_takes_a_live_surb_and_what_is_left<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    let hour = Duration::from_hours(1);
    subscribe(
        &mut store,
        SaveSubscription {
            surbs: vec![surb(1, hour * 2), surb(2, Duration::ZERO), surb(3, hour)],
            ..subscription(MAILBOX, 2)
        },
    );
    (1..=3).for_each(|n| assert_eq!(put(&mut store, envelope(n)), PutOutcome::Stored));
    bury(&mut store, vec![id(2)]);
    let push = take_push(&mut store, PushPick::These(vec![id(2), id(3)]));
    assert_eq!(
        push.surb.as_deref(),
        Some(&vec![3; 460]),
        "the one that expires first"
    );
    assert_eq!(push.envelopes, [(id(3), envelope(3).envelope)]);
    assert_eq!(
        push.stock,
        Stock {
            surbs: 1,
            waiting: 1
        }
    );
    let push = take_push(&mut store, PushPick::Oldest(3));
    assert_eq!(push.envelopes.len(), 2);
    assert_eq!(
        push.stock,
        Stock {
            surbs: 0,
            waiting: 0
        }
    );
    let push = take_push(&mut store, PushPick::Oldest(3));
    assert_eq!(
        (push.surb, push.envelopes.len(), push.stock.waiting),
        (None, 0, 2)
    );
}

pub(crate) fn a_push_of_nothing_spends_nothing<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    subscribe(
        &mut store,
        SaveSubscription {
            surbs: vec![surb(1, Duration::from_hours(1))],
            ..subscription(MAILBOX, 2)
        },
    );
    assert_eq!(
        take_push(&mut store, PushPick::These(vec![id(1)])).surb,
        None
    );
    assert_eq!(take_push(&mut store, PushPick::Oldest(3)).surb, None);
    let heartbeat = take_push(&mut store, PushPick::Heartbeat);
    assert!(heartbeat.surb.is_some() && heartbeat.envelopes.is_empty());
    assert_eq!(
        take_push(&mut store, PushPick::Heartbeat).surb,
        None,
        "the stock is empty"
    );
}

pub(crate) fn a_one_time_prekey_is_handed_out_once<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        one_time: 2,
        ..Quotas::default()
    });
    let take = |store: &mut S, one_time| match store.run(StoreOp::TakePreKey {
        mailbox: MAILBOX,
        one_time,
    }) {
        Ok(StoreReply::Bundle(bundle)) => bundle.map(|b| b.one_time.map(|key| key[0])),
        other => panic!("{other:?}"),
    };
    assert_eq!(take(&mut store, true), None);
    let key = |n: u8| BoundedBytes::new(vec![n; 50]).unwrap();
    let mut save = SavePreKeys {
        mailbox: MAILBOX,
        stamp: stamp(2),
        replace: false,
        base: BoundedBytes::new(vec![1; 900]).unwrap(),
        one_time: vec![key(1), key(2), key(3)],
        now: NOW,
    };
    let publish = |store: &mut S, save: &SavePreKeys| match store
        .run(StoreOp::SavePreKeys(Box::new(save.clone())))
    {
        Ok(StoreReply::PreKeys(owned)) => owned,
        other => panic!("{other:?}"),
    };
    assert_eq!(publish(&mut store, &save), Owned::Done(2), "the quota");
    assert_eq!(take(&mut store, false), Some(None));
    assert_eq!(take(&mut store, true), Some(Some(1)));
    assert_eq!(
        publish(&mut store, &save),
        Owned::Done(1),
        "a repetition brings nothing back"
    );
    let (mut store, _) = store.reopen();
    assert_eq!(take(&mut store, true), Some(Some(2)));
    assert_eq!(take(&mut store, true), Some(None));
    save.stamp = stamp(3);
    save.replace = true;
    save.one_time = vec![key(4)];
    assert_eq!(publish(&mut store, &save), Owned::Done(1));
    assert_eq!(take(&mut store, true), Some(Some(4)));
}

pub(crate) fn records_only_grow<S: TestStore>() {
    let mut store = S::with(Quotas {
        records: 1,
        ..Quotas::default()
    });
    let key = RecordKey::from_bytes([4; 20]);
    let expires = NOW + Duration::from_days(1);
    let put = |store: &mut S, key, sequence, byte| {
        let record = vec![byte; 100];
        match store.run(StoreOp::PutRecord {
            key,
            sequence,
            expires,
            record,
        }) {
            Ok(StoreReply::RecordPut(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(put(&mut store, key, 5, 1), RecordOutcome::Stored);
    assert_eq!(
        put(&mut store, key, 5, 1),
        RecordOutcome::Stored,
        "the very same"
    );
    assert_eq!(put(&mut store, key, 5, 2), RecordOutcome::Held(5));
    assert_eq!(put(&mut store, key, 4, 2), RecordOutcome::Held(5));
    assert_eq!(put(&mut store, key, 6, 2), RecordOutcome::Stored);
    assert_eq!(
        put(&mut store, RecordKey::from_bytes([5; 20]), 1, 1),
        RecordOutcome::Full
    );
    let get = |store: &mut S, now| match store.run(StoreOp::GetRecord { key, now }) {
        Ok(StoreReply::Record(record)) => record,
        other => panic!("{other:?}"),
    };
    assert_eq!(get(&mut store, NOW), Some(vec![2; 100]));
    assert_eq!(get(&mut store, expires), None);
}

pub(crate) fn everything_survives_a_restart<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    let descriptor = |node, byte, address: Option<&str>| SavedDescriptor {
        node: NodeId::from_bytes([node; 20]),
        descriptor: vec![byte],
        proof: address.map(|address| Proof {
            at: Timestamp::from_ms(1_800_000_000_123),
            address: address.parse().unwrap(),
        }),
    };
    let tag = |epoch, n| {
        let mut bytes = [n; ReplayEntry::LEN];
        bytes[1..3].copy_from_slice(&[0, epoch]);
        ReplayEntry::from_bytes(&bytes)
    };
    put(&mut store, envelope(1));
    put(&mut store, envelope(2));
    bury(&mut store, vec![id(2)]);
    for op in [
        StoreOp::SaveOnionKeys(Zeroizing::new(vec![1])),
        StoreOp::SaveOnionKeys(Zeroizing::new(vec![2])),
        StoreOp::AppendReplay(vec![tag(1, 1), tag(2, 2)]),
        StoreOp::AppendReplay(vec![tag(2, 3)]),
        StoreOp::KeepReplay(vec![Epoch::from_number(2)]),
        StoreOp::SaveDescriptor(descriptor(8, 1, None)),
        StoreOp::SaveDescriptor(descriptor(8, 2, Some("192.0.2.7:443"))),
        StoreOp::SaveDescriptor(descriptor(7, 3, Some("[2001:db8::7]:9001"))),
        StoreOp::SaveDescriptor(descriptor(6, 4, Some("192.0.2.7:443"))),
        StoreOp::SaveDescriptor(descriptor(6, 5, None)),
        StoreOp::SaveDescriptor(descriptor(9, 6, None)),
        StoreOp::ForgetDescriptor(NodeId::from_bytes([9; 20])),
    ] {
        assert_eq!(store.run(op), Ok(StoreReply::Done));
    }
    let (mut store, restored) = store.reopen();
    let mailbox = RestoredMailbox {
        mailbox: MAILBOX,
        descriptor: Some(vec![9; 40]),
        permit: Some([7; 32]),
        former: Some(former()),
        stock: Stock {
            surbs: 0,
            waiting: 1,
        },
    };
    assert_eq!(
        restored,
        Restored {
            onion_keys: Some(Zeroizing::new(vec![2])),
            replay: vec![tag(2, 2), tag(2, 3)],
            descriptors: vec![
                descriptor(6, 5, None),
                descriptor(7, 3, Some("[2001:db8::7]:9001")),
                descriptor(8, 2, Some("192.0.2.7:443")),
            ],
            mailboxes: vec![mailbox],
            ..Restored::default()
        }
    );
    assert_eq!(put(&mut store, envelope(1)), PutOutcome::Held);
    assert_eq!(put(&mut store, envelope(2)), PutOutcome::Tombstoned);
    assert_eq!(
        subscribe(&mut store, subscription(MAILBOX, 0)),
        Owned::Stale
    );
}

fn dht_record(kind: RecordKind, sequence: u64, length: usize) -> SavedRecord {
    let key = RecordKey::from_bytes([7; 20]);
    SavedRecord {
        id: RecordId { kind, key },
        held: Held {
            sequence,
            expires: NOW + Duration::from_hours(1),
            length,
            giver: NodeId::from_bytes([8; 20]),
            proof: (sequence > 1).then(|| BoundedBytes::new(vec![3; 65]).unwrap()),
            touched: NOW,
        },
        record: vec![sequence as u8; length],
    }
}

pub(crate) fn the_dhts_records_and_table_are_what_was_saved_last<S: TestStore>() {
    use RecordKind::{Account, Relay};
    let mut store = S::with(Quotas::default());
    let stored = Ok(StoreReply::RecordPut(RecordOutcome::Stored));
    for saved in [
        dht_record(Account, 1, 30),
        dht_record(Relay, 9, 40),
        dht_record(Account, 2, 50),
    ] {
        assert_eq!(store.run(StoreOp::SaveDhtRecord(Box::new(saved))), stored);
    }
    for table in [vec![1; 9], vec![2; 5000]] {
        assert_eq!(
            store.run(StoreOp::SaveDhtTable(table)),
            Ok(StoreReply::Done)
        );
    }
    let (mut store, restored) = store.reopen();
    let known = [dht_record(Relay, 9, 40), dht_record(Account, 2, 50)];
    assert_eq!(
        restored.dht_records,
        known.clone().map(|saved| (saved.id, saved.held))
    );
    assert_eq!(restored.dht_table, Some(vec![2; 5000]));
    let [relay, account] = known;
    let key = account.id.key;
    let read = |record: &SavedRecord| Ok(StoreReply::Record(Some(record.record.clone())));
    assert_eq!(store.run(StoreOp::ReadDhtRecord(relay.id)), read(&relay));
    // What a client has put here counts if it is newer.
    assert_eq!(
        store.run(StoreOp::GetRecord { key, now: NOW }),
        read(&account)
    );
    for (sequence, newest) in [(1, vec![2; 50]), (3, vec![9; 60])] {
        let put = StoreOp::PutRecord {
            key,
            sequence,
            expires: NOW + Duration::from_hours(1),
            record: vec![9; 60],
        };
        assert_eq!(store.run(put), stored);
        let newest = Ok(StoreReply::Record(Some(newest)));
        assert_eq!(store.run(StoreOp::GetRecord { key, now: NOW }), newest);
    }
    let gone = Ok(StoreReply::Record(None));
    let now = NOW + Duration::from_hours(1);
    assert_eq!(store.run(StoreOp::GetRecord { key, now }), gone);
    let forgotten = store.run(StoreOp::ForgetDhtRecord(account.id));
    assert_eq!(forgotten, Ok(StoreReply::Done));
    assert_eq!(store.run(StoreOp::ReadDhtRecord(account.id)), gone);
    assert_eq!(store.reopen().1.dht_records.len(), 1);
}

pub(crate) fn a_sweep_forgets_what_has_expired<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas::default());
    put(&mut store, envelope(1));
    bury(&mut store, vec![id(2)]);
    let sweep = |store: &mut S, days| {
        let swept = store.run(StoreOp::Sweep(NOW + Duration::from_days(days)));
        match swept {
            Ok(StoreReply::Swept(Swept { more: false, gone })) => gone,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sweep(&mut store, 29), []);
    assert_eq!(waiting(&mut store), 1);
    sweep(&mut store, 30);
    assert_eq!(waiting(&mut store), 0);
    assert_eq!(put(&mut store, envelope(2)), PutOutcome::Tombstoned);
    sweep(&mut store, 37);
    assert_eq!(put(&mut store, envelope(2)), PutOutcome::Stored);
    assert_eq!(sweep(&mut store, 60), [MAILBOX]);
    assert_eq!(sweep(&mut store, 61), []);
    assert_eq!(
        put(&mut store, envelope(3)),
        PutOutcome::Unknown,
        "nobody came for the mailbox"
    );
    assert_eq!(store.reopen().1.mailboxes, []);
}

pub(crate) fn mailboxes_are_bounded<S: TestStore>() {
    let mut store = with_mailbox::<S>(Quotas {
        mailboxes: 1,
        ..Quotas::default()
    });
    assert_eq!(subscribe(&mut store, subscription(OTHER, 1)), Owned::Full);
    assert!(matches!(
        subscribe(&mut store, subscription(MAILBOX, 2)),
        Owned::Done(_)
    ));
}
