//! Envelopes made durable, beside what SQLite does with the same bytes in batches of the same size.

use std::sync::mpsc::channel;
use std::time::Instant;

use rusqlite::Connection;
use zentalk_relay::core::Ticket;
use zentalk_relay::core::store::{
    Hour, OwnerStamp, PutEnvelope, PutOutcome, Quotas, SaveSubscription, StoreOp, StoreReply,
};
use zentalk_relay::store::{DbOptions, Started, StoreThreads};
use zentalk_shared::id::{EnvelopeId, MailboxId};
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::Bytes;

use crate::measure::{median, scaled};
use crate::support::now;

const ENVELOPES: usize = 4_096;
/// As many as the relay's writer puts into a transaction at most.
const BATCH: usize = 256;
const MAILBOXES: u8 = 64;
const ROUNDS: usize = 5;

pub(crate) fn measure() {
    let (mut ours, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (floor, relay) = (sqlite(), enqueued());
        ratios.push(relay / floor);
        ours.push(relay);
        floors.push(floor);
    }
    println!("queue: envelopes of {ENVELOPE_LEN} bytes into {MAILBOXES} mailboxes, durable");
    println!("  relay's store          {:.0} a second", median(ours));
    println!(
        "  floor: SQLite          {:.0} a second, one table, {BATCH} a transaction",
        median(floors)
    );
    println!("  relay / floor          {:.2} (goal: 0.7)", median(ratios));
}

/// Whole batches.
fn envelopes() -> usize {
    scaled(ENVELOPES).next_multiple_of(BATCH)
}

/// Envelopes a second through the relay's store.
fn enqueued() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let (answers, answered) = channel();
    let options = DbOptions {
        quotas: Quotas::default(),
        max_bytes: None,
    };
    let Started { store, .. } = StoreThreads::start(folder.path(), options, || {
        let answers = answers.clone();
        Box::new(move |_, reply| answers.send(reply).unwrap())
    })
    .unwrap();
    for mailbox in 0..MAILBOXES {
        assert!(store.submit(Ticket(0), open(mailbox)));
        answered.recv().unwrap().unwrap();
    }
    let puts: Vec<StoreOp> = (0..envelopes()).map(put).collect();
    let began = Instant::now();
    for (ticket, put) in (1..).zip(puts) {
        assert!(store.submit(Ticket(ticket), put));
    }
    for _ in 0..envelopes() {
        let reply = answered.recv().unwrap();
        assert_eq!(reply, Ok(StoreReply::Put(PutOutcome::Stored)));
    }
    let took = began.elapsed();
    store.finish();
    envelopes() as f64 / took.as_secs_f64()
}

/// The same bytes into one table without an index of its own.
fn sqlite() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Connection::open(folder.path().join("floor.sqlite")).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE envelopes (id BLOB PRIMARY KEY, envelope BLOB NOT NULL) STRICT;",
        )
        .unwrap();
    let began = Instant::now();
    for batch in 0..envelopes() / BATCH {
        let transaction = database.transaction().unwrap();
        let mut insert = transaction
            .prepare_cached("INSERT INTO envelopes VALUES (?1, ?2)")
            .unwrap();
        for n in 0..BATCH {
            let n = batch * BATCH + n;
            insert.execute((id(n).as_bytes(), envelope(n).0)).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    }
    envelopes() as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn open(mailbox: u8) -> StoreOp {
    StoreOp::Subscribe(Box::new(SaveSubscription {
        mailbox: MailboxId::from_bytes([mailbox; 20]),
        stamp: OwnerStamp {
            sequence: 1,
            digest: [0; 32],
        },
        replace: true,
        descriptor_sequence: 1,
        descriptor: vec![0; 300],
        permit: Some([0; 32]),
        former: None,
        surbs: Vec::new(),
        now: now(),
    }))
}

fn put(n: usize) -> StoreOp {
    let mailbox = u8::try_from(n % usize::from(MAILBOXES)).unwrap();
    StoreOp::Put(PutEnvelope {
        mailbox: MailboxId::from_bytes([mailbox; 20]),
        id: id(n),
        envelope: Box::new(envelope(n)),
        hour: Hour::at(now()),
        permitted: true,
    })
}

/// Spread as hashes are.
fn id(n: usize) -> EnvelopeId {
    let mut id = [0; 16];
    let mixed = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    EnvelopeId::from_bytes(id)
}

fn envelope(n: usize) -> Bytes<ENVELOPE_LEN> {
    let mut bytes = [0x5a; ENVELOPE_LEN];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Bytes(bytes)
}
