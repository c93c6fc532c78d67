//! Real relay cores that are told of two seeds find each other, and find records, while others die.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::id::RecordKey;
use zentalk_shared::identity::DirectorySecret;
use zentalk_shared::rpc::{
    AccountRecord, RecordGetRequest, RecordPutRequest, Reply, Request, Solver, Subject, Work,
};
use zentalk_shared::time::Duration;
use zentalk_tests::keys::RELAYS;
use zentalk_tests::sim::Mesh;

const SEEDS: usize = 2;

/// Relays of the pool, the seeds first, the others one a second.
fn joined(seed: u64, relays: usize) -> Mesh {
    let mut mesh = Mesh::new(seed, relays, SEEDS);
    for index in 0..relays {
        mesh.start(index);
        mesh.pass(Duration::from_secs(1));
    }
    mesh.pass(Duration::from_mins(5));
    mesh
}

fn contacts(mesh: &Mesh, index: usize) -> usize {
    let holdings = mesh.relay(index).dht_holdings();
    holdings.expect("it knows its place")[0]
}

/// Puts a record at a relay, for the work that it asks for.
fn put(mesh: &mut Mesh, index: usize, record: &AccountRecord, rng: &mut ChaCha20Rng) {
    let mut work: Option<Work> = None;
    for _ in 0..2 {
        let record_bytes = record.bytes().clone();
        let put = RecordPutRequest {
            record: record_bytes.clone(),
            work,
        };
        match mesh.call(index, &Request::RecordPut(put)) {
            Some(Reply::RecordPut(reply)) if reply.stored => return,
            Some(Reply::Refused(refused)) => {
                let subject = Subject::record(&mesh.node(index), &record.key(), &record_bytes);
                let wanted = refused.work.expect("it asks for work");
                let mut solver = Solver::new(&subject, wanted, rng);
                work = (0..10_000).find_map(|_| solver.step());
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("paid, and not taken");
}

fn get(mesh: &mut Mesh, index: usize, key: RecordKey) -> Option<Vec<u8>> {
    match mesh.call(index, &Request::RecordGet(RecordGetRequest { key })) {
        Some(Reply::RecordGet(got)) => got.record.map(|record| record.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn thirty_two_relays_join_through_two_seeds_and_records_outlive_relays() {
    let mut mesh = joined(1, RELAYS);
    for index in 0..RELAYS {
        assert_eq!(mesh.relay(index).known_relays(), RELAYS, "{index}");
        assert!(contacts(&mesh, index) >= RELAYS - 2, "{index}");
    }
    println!("{} frames to join", mesh.frames);

    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let expires = mesh.now() + Duration::from_days(20);
    let records: Vec<AccountRecord> = (0..4u8)
        .map(|n| {
            let secret = DirectorySecret::random(&mut rng);
            AccountRecord::sign(&secret, 1, expires, vec![n; 5000]).expect("a record")
        })
        .collect();
    for (n, record) in records.iter().enumerate() {
        put(&mut mesh, 2 + n, record, &mut rng);
    }
    mesh.pass(Duration::from_secs(10));
    // Both seeds, all who took the records, and others: a third of all.
    (0..RELAYS / 3).for_each(|index| mesh.kill(index));
    for reader in [RELAYS / 3, RELAYS / 2, RELAYS - 1] {
        for record in &records {
            let found = get(&mut mesh, reader, record.key());
            assert_eq!(found.as_deref(), Some(&record.bytes()[..]), "{reader}");
        }
    }
    let nobodys = RecordKey::from_bytes([9; 20]);
    assert_eq!(get(&mut mesh, RELAYS - 1, nobodys), None);
}

#[test]
fn after_a_night_away_and_without_seeds_the_table_on_disk_leads_back() {
    let mut mesh = joined(2, 10);
    let (away, others) = (9, 10 - SEEDS);
    mesh.kill(away);
    (0..SEEDS).for_each(|index| mesh.kill(index));
    // Longer than any descriptor or proof is good for.
    mesh.pass(Duration::from_hours(14));
    mesh.start(away);
    mesh.pass(Duration::from_mins(5));
    assert_eq!(mesh.relay(away).known_relays(), others);
    assert_eq!(contacts(&mesh, away), others - 1);
    assert_eq!(mesh.relay(SEEDS).known_relays(), others, "and is found");
}
