//! What is remembered of envelopes, and for how long.

use super::people::{MEMBER, by_hand, settle};
use super::*;
use crate::client::seen::{REMEMBER, Seen};
use crate::client::store::{Key, Table};
use crate::id::{EnvelopeId, NodeId};
use crate::rpc::{EnvelopeItem, MailboxDescriptor, envelope_id};
use crate::time::Duration;
use crate::wire::codec::Bytes;

fn id(number: u32) -> EnvelopeId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    EnvelopeId::from_bytes(id)
}

/// How many envelopes the store remembers; the pages of the log are not counted.
fn remembered(rows: &BTreeMap<Key, Row>) -> usize {
    let seen = |key: &&Key| key.table == Table::Seen && key.id.len() == 16;
    rows.keys().filter(seen).count()
}

/// A host that has taken in so many envelopes, 64 of them a page.
fn host(count: u32) -> Host {
    let mut host = Host::new(0);
    for number in 0..count {
        let writes = host.client.seen.add(id(number), NOW);
        commit(&mut host.rows, writes);
    }
    host
}

fn later(by: Duration) -> Timestamp {
    NOW.saturating_add(by)
}

#[test]
fn nothing_is_forgotten_while_a_duplicate_can_still_come() {
    let mut host = host(200);
    for day in 0..37 {
        host.turn(Input::Timer, later(Duration::from_days(day)));
        assert_eq!(remembered(&host.rows), 200);
    }
}

#[test]
fn what_is_older_goes_page_by_page_and_what_is_newer_stays() {
    let mut host = host(130);
    let second = later(Duration::from_days(20));
    for number in 130..200 {
        let writes = host.client.seen.add(id(number), second);
        commit(&mut host.rows, writes);
    }
    host.restart();
    host.turn(Input::Timer, later(REMEMBER));
    assert_eq!(remembered(&host.rows), 200 - 128, "two pages of 64");
    host.turn(Input::Timer, second.saturating_add(REMEMBER));
    assert_eq!(
        remembered(&host.rows),
        200 - 192,
        "three; the last ids wait for their page to fill"
    );
    let tables = host.rows.keys().filter(|key| key.table == Table::Seen);
    assert_eq!(tables.count(), 8);
}

#[test]
fn a_flood_is_bounded() {
    let (mut rows, mut seen) = (BTreeMap::new(), Seen::restore(None, NOW).unwrap());
    let pages: u32 = 2048 + 3;
    for number in 0..pages * 64 {
        commit(&mut rows, seen.add(id(number), NOW));
    }
    let mut host = Host::new(0);
    host.rows.extend(rows);
    host.restart();
    host.turn(Input::Timer, later(Duration::from_mins(2)));
    assert_eq!(remembered(&host.rows), 2048 * 64);
    assert!(
        !host.rows.contains_key(&Key::new(Table::Seen, id(191))),
        "the oldest go first"
    );
    assert!(host.rows.contains_key(&Key::new(Table::Seen, id(192))));
}

fn other(number: u8) -> NodeId {
    NodeId::from_bytes([number; 20])
}

/// A member hands these bytes out under the id of those.
fn hand_out(host: &mut Host, member: NodeId, bytes: u8, id_of: u8) {
    let item = EnvelopeItem {
        id: envelope_id(&Bytes([id_of; _])),
        envelope: Bytes([bytes; _]),
    };
    by_hand(host, NOW, |client, ctx| {
        client.receive(member, vec![item], ctx);
    });
}

#[test]
fn garbage_under_an_envelopes_id_is_not_acknowledged_and_the_envelope_is_taken_from_another() {
    let mut host = Host::new(0);
    let key = host.client.me.device.mailbox();
    let members = vec![other(1), other(2)];
    let swarm = MailboxDescriptor::sign(key, 1, members, 2, NOW).unwrap();
    host.client.mailbox.moved(swarm, NOW);
    hand_out(&mut host, other(1), 6, 5);
    assert!(host.client.mailbox.take_acknowledgements(NOW).is_empty());
    assert_eq!(remembered(&host.rows), 0);
    assert_eq!(host.client.net.dropped().mislabelled, 1);
    hand_out(&mut host, other(2), 5, 5);
    let id = envelope_id(&Bytes([5; _]));
    assert_eq!(
        host.client.mailbox.take_acknowledgements(NOW),
        [(other(2), vec![id])]
    );
    assert!(host.rows.contains_key(&Key::new(Table::Seen, id)));
}

#[test]
fn an_envelope_that_comes_again_is_acknowledged_again_and_taken_in_once() {
    let mut host = Host::new(0);
    settle(&mut host);
    for _ in 0..3 {
        hand_out(&mut host, MEMBER, 5, 5);
        let due = host.client.mailbox.take_acknowledgements(NOW);
        let [(MEMBER, ids)] = &due[..] else {
            panic!("{due:?}")
        };
        host.client.mailbox.acknowledged(ids);
        assert_eq!(remembered(&host.rows), 1);
    }
}
