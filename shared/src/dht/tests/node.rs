//! Whole relays: join, store, find, hand over, republish, forget.

use std::collections::BTreeSet;

use super::network::Mesh;
use super::support::{
    NOW, account, account_id, contact, peer, plain, plain_node, reply_of, verified,
};
use crate::dht::{
    Answer, Busy, FindNodeRequest, K, NodeConfig, Outcome, Output, PingRequest, Published,
    RecordKind, Reply, Request,
};
use crate::id::MessageId;
use crate::test_support::rng;
use crate::time::Duration;
use crate::wire::decode_frame;

fn publish(mesh: &mut Mesh, n: u32, record: Vec<u8>) -> Published {
    let answer = mesh.query(n, |node, now, rng| {
        node.publish(RecordKind::Account, record, None, now, rng)
            .unwrap()
    });
    let Answer::Published(published) = answer else {
        panic!("{answer:?}");
    };
    published
}

fn find(mesh: &mut Mesh, n: u32, name: u8) -> Outcome {
    let answer = mesh.query(n, |node, now, rng| {
        node.find_value(account_id(name), now, rng).unwrap()
    });
    let Answer::Found(outcome) = answer else {
        panic!("{answer:?}");
    };
    outcome
}

/// Relays that have a record on disk, and the K nearest to it of all that are up.
fn holders(mesh: &Mesh, name: u8) -> (BTreeSet<crate::id::NodeId>, BTreeSet<crate::id::NodeId>) {
    let target = account_id(name).position();
    let up = mesh.nodes.iter().filter(|(_, host)| host.up);
    let held = up
        .clone()
        .filter(|(_, host)| host.disk.contains_key(&account_id(name)));
    let held = held.map(|(id, _)| *id).collect();
    let mut nearest: Vec<_> = up
        .map(|(id, host)| (host.node.contact().position().to(&target), *id))
        .collect();
    nearest.sort_unstable();
    (
        held,
        nearest.into_iter().take(K).map(|(_, id)| id).collect(),
    )
}

#[test]
fn what_one_stores_every_other_finds() {
    let mut mesh = Mesh::of(60);
    let published = publish(&mut mesh, 7, account(1, 3));
    assert_eq!((published.stored, published.asked), (K, K));
    let (held, nearest) = holders(&mesh, 1);
    assert_eq!(held, nearest, "the K nearest have it");
    for n in [1, 20, 33, 60] {
        let outcome = find(&mut mesh, n, 1);
        assert_eq!(outcome.value.unwrap().bytes, account(1, 3));
    }
    assert_eq!(find(&mut mesh, 5, 2).value, None);
}

#[test]
fn two_relays_and_one_alone() {
    let mut mesh = Mesh::of(2);
    assert_eq!(publish(&mut mesh, 1, account(1, 1)).stored, 2);
    assert!(find(&mut mesh, 2, 1).value.is_some());
    let mut alone = Mesh::of(1);
    assert_eq!(publish(&mut alone, 1, account(1, 1)).stored, 1);
}

#[test]
fn a_newer_record_replaces_the_older_and_never_the_reverse() {
    let mut mesh = Mesh::of(40);
    publish(&mut mesh, 1, account(1, 5));
    let published = publish(&mut mesh, 2, account(1, 4));
    assert_eq!((published.stored, published.newer), (0, Some(5)));
    assert_eq!(publish(&mut mesh, 2, account(1, 6)).stored, K);
    assert_eq!(find(&mut mesh, 9, 1).value.unwrap().sequence, 6);
}

#[test]
fn a_reader_who_sees_two_versions_repairs_the_older() {
    let mut mesh = Mesh::of(30);
    publish(&mut mesh, 1, account(1, 1));
    let (held, _) = holders(&mesh, 1);
    publish(&mut mesh, 1, account(1, 2));
    // The nearest holder missed it.
    let target = account_id(1).position();
    let distance = |id: &crate::id::NodeId| mesh.nodes[id].node.contact().position().to(&target);
    let stale = held.into_iter().min_by_key(distance).unwrap();
    for host in mesh
        .nodes
        .values_mut()
        .filter(|host| host.node.contact().node() == stale)
    {
        let held = host.node.store().get(&account_id(1)).unwrap().clone();
        host.disk.insert(account_id(1), account(1, 1));
        let older = crate::dht::Held {
            sequence: 1,
            ..held
        };
        host.node.restore_record(account_id(1), older);
    }
    for n in 2..30 {
        find(&mut mesh, n, 1);
    }
    assert_eq!(mesh.nodes[&stale].disk[&account_id(1)], account(1, 2));
}

#[test]
fn a_nearer_newcomer_is_handed_what_it_should_hold() {
    let mut mesh = Mesh::of(50);
    publish(&mut mesh, 3, account(1, 1));
    let target = account_id(1).position();
    let farthest = holders(&mesh, 1)
        .1
        .into_iter()
        .map(|id| mesh.nodes[&id].node.contact().position().to(&target))
        .max();
    let n = (1000..)
        .find(|n| Some(contact(*n).position().to(&target)) < farthest)
        .unwrap();
    mesh.add(n);
    mesh.pass(Duration::from_secs(10));
    assert!(mesh.host(n).disk.contains_key(&account_id(1)));
}

#[test]
fn a_record_survives_its_holders_one_generation_after_the_other() {
    let mut mesh = Mesh::of(45);
    publish(&mut mesh, 45, account(1, 1));
    for _ in 0..2 {
        // Half of its holders leave, and an hour later the others have found new ones.
        let (held, _) = holders(&mesh, 1);
        for id in held.into_iter().step_by(2) {
            mesh.nodes.get_mut(&id).unwrap().up = false;
        }
        mesh.pass(Duration::from_mins(65));
    }
    let (held, nearest) = holders(&mesh, 1);
    assert!(
        held.intersection(&nearest).count() >= K - 4,
        "{} of {}",
        held.len(),
        nearest.len()
    );
    let reader = *mesh.nodes.iter().find(|(_, host)| host.up).unwrap().0;
    let n = (1..=45).find(|n| contact(*n).node() == reader).unwrap();
    assert!(find(&mut mesh, n, 1).value.is_some());
}

#[test]
fn records_end() {
    let mut mesh = Mesh::of(10);
    let short = plain(
        RecordKind::Account,
        1,
        1,
        mesh.now + Duration::from_mins(30),
    );
    publish(&mut mesh, 1, short);
    mesh.pass(Duration::from_mins(29));
    assert!(find(&mut mesh, 2, 1).value.is_some());
    mesh.pass(Duration::from_mins(5));
    assert!(find(&mut mesh, 2, 1).value.is_none());
    assert!(mesh.nodes.values().all(|host| host.disk.is_empty()));
}

#[test]
fn a_relays_own_record_is_published_again_as_long_as_it_lives() {
    let mut mesh = Mesh::of(25);
    let record = plain(RecordKind::Relay, 9, 1, mesh.now + Duration::from_hours(5));
    let now = mesh.now;
    mesh.host(4).node.publish_own(record, now);
    mesh.pass(Duration::from_hours(2));
    let count = |mesh: &Mesh| {
        mesh.nodes
            .values()
            .filter(|host| !host.disk.is_empty())
            .count()
    };
    assert!(count(&mesh) >= K);
    mesh.host(4).up = false;
    mesh.pass(Duration::from_mins(63));
    mesh.host(4).disk.clear();
    assert_eq!(
        count(&mesh),
        0,
        "an hour after the last time it is forgotten"
    );
}

#[test]
fn a_crawl_finds_everybody() {
    let mut mesh = Mesh::of(80);
    mesh.host(50).up = false;
    let answer = mesh.query(3, |node, now, rng| node.crawl(now, rng).unwrap());
    let Answer::Crawled(found) = answer else {
        panic!("{answer:?}");
    };
    let found: BTreeSet<_> = found.iter().map(|c| c.node()).collect();
    let missing = (1..=80)
        .filter(|n| *n != 3 && *n != 50 && !found.contains(&contact(*n).node()))
        .count();
    assert_eq!((missing, found.contains(&contact(50).node())), (0, false));
}

#[test]
fn a_restarted_relay_comes_back_by_its_table_alone() {
    let mut mesh = Mesh::of(30);
    mesh.pass(Duration::from_mins(15));
    let persisted = mesh.host(30).persisted.take().unwrap();
    mesh.host(30).node = plain_node(30, NodeConfig::default());
    assert!(mesh.host(30).node.table().is_empty());
    mesh.host(30).node.restore(&persisted).unwrap();
    mesh.settle();
    mesh.pass(Duration::from_secs(30));
    assert!(mesh.host(30).node.table().len() >= 25);
}

#[test]
fn relays_that_have_gone_leave_the_tables() {
    let mut mesh = Mesh::of(30);
    for n in 2..=10 {
        mesh.host(n).up = false;
    }
    mesh.pass(Duration::from_hours(2));
    let dead: BTreeSet<_> = (2..=10).map(|n| contact(n).node()).collect();
    let host = mesh.host(20);
    let left = host
        .node
        .table()
        .contacts()
        .filter(|c| dead.contains(&c.node()))
        .count();
    assert!(left <= 2, "{left}");
}

#[test]
fn fault_20_what_is_under_way_is_bounded() {
    let config = NodeConfig {
        max_lookups: 8,
        max_questions: 30,
        ..NodeConfig::default()
    };
    let (mut node, mut rng) = (plain_node(0, config), rng(3));
    for n in 1..100 {
        node.handle_verified(&verified(&contact(n)), NOW, &mut rng);
    }
    let results: Vec<_> = (0..20)
        .map(|name| node.find_value(account_id(name), NOW, &mut rng))
        .collect();
    assert_eq!(results.iter().filter(|r| **r == Err(Busy)).count(), 12);
    let asked = core::iter::from_fn(|| node.poll())
        .filter(|o| matches!(o, Output::Ask(..)))
        .count();
    assert!(asked <= 24, "{asked}");
}

#[test]
fn fault_20_who_asks_too_much_hears_nothing() {
    let (mut node, mut rng) = (plain_node(0, NodeConfig::default()), rng(3));
    let target = *contact(9).position();
    let mut answers = 0;
    for n in 0..2000u32 {
        let id = MessageId::from_bytes([(n % 251) as u8; 16]);
        let frame = Request::FindNode(FindNodeRequest { target }).encode(id);
        node.handle_frame(&peer(1), &decode_frame(&frame).unwrap(), NOW, &mut rng)
            .unwrap();
        answers += core::iter::from_fn(|| node.poll())
            .filter(|o| matches!(o, Output::Answer(..)))
            .count();
    }
    assert_eq!(answers, 400);
    let frame = Request::Ping(PingRequest {}).encode(MessageId::from_bytes([0; 16]));
    node.handle_frame(&peer(2), &decode_frame(&frame).unwrap(), NOW, &mut rng)
        .unwrap();
    let answered = core::iter::from_fn(|| node.poll()).any(|o| match o {
        Output::Answer(_, frame) => matches!(reply_of(&frame), Reply::Pong(_)),
        _ => false,
    });
    assert!(answered, "others are served");
}
