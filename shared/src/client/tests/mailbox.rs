//! The mailbox as a state machine.

use std::collections::BTreeSet;

use super::*;
use crate::client::mailbox::{Mailbox, Need};
use crate::client::records::{MailboxRow, current_version};
use crate::id::{EnvelopeId, NodeId};
use crate::identity::MailboxSecret;
use crate::rpc::{MailboxDescriptor, WriteSecret};
use crate::time::Duration;

const FULL: u16 = 32;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 20])
}

fn after(ms: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_ms(ms))
}

/// A mailbox on relays 1, 2 and 3, with 4 in reserve.
fn mailbox() -> Mailbox {
    let mut rng = rng(1);
    let row = MailboxRow {
        version: current_version(),
        write_secret: WriteSecret::random(&mut rng),
        descriptor: None,
        owner_sequence: 0,
        former: None,
        former_members: None,
        absent: None,
    };
    let mut mailbox = Mailbox::restore(row, NOW);
    assert!(
        mailbox.needs(FULL, &BTreeSet::new(), NOW).is_empty(),
        "nobody to ask yet"
    );
    let key = MailboxSecret::random(&mut rng);
    let members = (1..=4).map(node).collect();
    mailbox.moved(
        MailboxDescriptor::sign(&key, 1, members, 3, NOW).unwrap(),
        NOW,
    );
    mailbox
}

fn needs(mailbox: &Mailbox, now: Timestamp) -> Vec<(NodeId, Need)> {
    mailbox.needs(FULL, &BTreeSet::new(), now)
}

/// Every member has answered a full subscription.
fn subscribed() -> Mailbox {
    let mut mailbox = mailbox();
    for (member, need) in needs(&mailbox, NOW) {
        assert_eq!(
            need,
            Need::Subscribe {
                count: FULL,
                replace: true
            }
        );
        mailbox.asked(member, need, NOW);
        mailbox.subscribed(member, FULL, 0, true, NOW);
    }
    assert!(needs(&mailbox, NOW).is_empty());
    mailbox
}

#[test]
fn every_member_listed_is_supplied() {
    let mailbox = mailbox();
    let asked: Vec<NodeId> = needs(&mailbox, NOW)
        .into_iter()
        .map(|(member, _)| member)
        .collect();
    assert_eq!(asked, [node(1), node(2), node(3), node(4)]);
    assert!(!mailbox.receiving());
    assert!(subscribed().receiving());
}

#[test]
fn a_busy_member_waits_and_does_not_wake_the_host() {
    let mailbox = mailbox();
    let busy = BTreeSet::from([1, 2, 3, 4].map(node));
    assert!(mailbox.needs(FULL, &busy, NOW).is_empty());
    assert_eq!(mailbox.next_timeout(FULL, &busy), None);
    assert_eq!(mailbox.next_timeout(FULL, &BTreeSet::new()), Some(NOW));
}

#[test]
fn a_half_empty_stock_is_filled_up_without_replacing_it() {
    let mut mailbox = subscribed();
    mailbox.pushed(node(2), FULL / 2 + 1, 0, after(1_001));
    assert!(needs(&mailbox, after(1_001)).is_empty());
    mailbox.pushed(node(2), FULL / 2, 0, after(1_002));
    assert_eq!(
        needs(&mailbox, after(1_002)),
        [(
            node(2),
            Need::Subscribe {
                count: FULL / 2,
                replace: false
            }
        )]
    );
}

#[test]
fn silence_and_old_age_replace_the_stock() {
    let mailbox = subscribed();
    let silent = NOW.saturating_add(Duration::from_mins(25));
    assert_eq!(mailbox.next_timeout(FULL, &BTreeSet::new()), Some(silent));
    assert!(
        needs(&mailbox, silent)
            .iter()
            .all(|(_, need)| matches!(need, Need::Subscribe { replace: true, .. }))
    );
    let mut lively = subscribed();
    for minute in 1..=300 {
        lively.pushed(
            node(1),
            FULL,
            0,
            NOW.saturating_add(Duration::from_mins(minute)),
        );
    }
    let old = NOW.saturating_add(Duration::from_hours(5));
    assert!(needs(&lively, old).contains(&(
        node(1),
        Need::Subscribe {
            count: FULL,
            replace: true
        }
    )));
}

#[test]
fn waiting_mail_is_fetched_page_by_page() {
    let mut mailbox = mailbox();
    let (member, need) = needs(&mailbox, NOW)[0];
    mailbox.asked(member, need, NOW);
    mailbox.subscribed(member, FULL, 5, true, NOW);
    let fetch = |mailbox: &Mailbox| {
        needs(mailbox, NOW)
            .into_iter()
            .find(|(of, _)| *of == member)
            .map(|(_, need)| need)
    };
    assert_eq!(fetch(&mailbox), Some(Need::Fetch { after: 0 }));
    mailbox.asked(member, Need::Fetch { after: 0 }, NOW);
    assert_eq!(fetch(&mailbox), None);
    mailbox.fetched(member, 17, 2, NOW);
    assert_eq!(fetch(&mailbox), Some(Need::Fetch { after: 17 }));
    mailbox.fetched(member, 19, 0, NOW);
    assert_eq!(fetch(&mailbox), None);
}

#[test]
fn what_a_push_leaves_behind_is_fetched_unless_it_is_pushed_soon() {
    let fetches = |mailbox: &Mailbox, ms| {
        let fetch = Need::Fetch { after: 0 };
        needs(mailbox, after(ms)).contains(&(node(1), fetch))
    };
    let mut mailbox = subscribed();
    mailbox.pushed(node(1), FULL - 1, 2, NOW);
    assert!(!fetches(&mailbox, 11_999) && fetches(&mailbox, 12_000));
    assert_eq!(
        mailbox.next_timeout(FULL, &BTreeSet::new()),
        Some(after(12_000))
    );
    mailbox.pushed(node(1), FULL - 2, 1, after(5_000));
    assert!(fetches(&mailbox, 12_000), "as long after the first");
    mailbox.pushed(node(1), FULL - 3, 0, after(9_000));
    assert!(!fetches(&mailbox, 60_000), "nothing is left");
    mailbox.pushed(node(1), FULL - 4, u32::from(FULL), after(60_000));
    assert!(
        fetches(&mailbox, 60_000),
        "more than it has reply blocks for"
    );
}

#[test]
fn a_member_that_keeps_no_reply_blocks_is_asked_later_each_time_and_fetched_from() {
    let mut mailbox = mailbox();
    let mut refills = Vec::new();
    for ms in (0..300_000).step_by(250) {
        let due = needs(&mailbox, after(ms)).into_iter();
        for (member, need) in due.filter(|(member, _)| *member == node(1)) {
            mailbox.asked(member, need, after(ms));
            match need {
                Need::Subscribe { .. } => {
                    refills.push(ms);
                    mailbox.subscribed(member, 0, 1, ms == 0, after(ms));
                }
                Need::Fetch { .. } => mailbox.fetched(member, 1, 0, after(ms)),
                Need::Tell => panic!("nobody has left"),
            }
        }
    }
    assert_eq!(
        refills,
        [
            0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000, 127_000, 247_000
        ]
    );
    // It has some again, and they are used up: at once.
    mailbox.pushed(node(1), 0, 0, after(300_000));
    let refill = Need::Subscribe {
        count: FULL,
        replace: false,
    };
    assert_eq!(
        mailbox.next_timeout(FULL, &BTreeSet::new()),
        Some(NOW),
        "other members"
    );
    assert!(needs(&mailbox, after(300_000)).contains(&(node(1), refill)));
}

#[test]
fn members_are_asked_soon_while_requests_fail_and_less_and_less_if_that_fails_too() {
    let (mut mailbox, mut rng) = (subscribed(), rng(5));
    let asks = |mailbox: &Mailbox, secs| {
        let at = NOW.saturating_add(Duration::from_secs(secs));
        let fetch = (node(1), Need::Fetch { after: 0 });
        needs(mailbox, at).contains(&fetch)
    };
    assert!(!asks(&mailbox, 12));
    mailbox.doubt();
    assert!(!asks(&mailbox, 11) && asks(&mailbox, 12));
    let asked = NOW.saturating_add(Duration::from_secs(12));
    mailbox.asked(node(1), Need::Fetch { after: 0 }, asked);
    mailbox.doubt();
    let mut at = 12;
    for longest in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
        mailbox.asked(node(1), Need::Fetch { after: 0 }, after(at * 1000));
        assert!(!asks(&mailbox, at + 300), "under way");
        mailbox.fetch_failed(node(1), after(at * 1000), &mut rng);
        mailbox.doubt();
        assert!(!asks(&mailbox, at) && asks(&mailbox, at + longest));
        at += longest;
    }
    mailbox.asked(node(1), Need::Fetch { after: 0 }, after(at * 1000));
    mailbox.fetched(node(1), 0, 0, after(at * 1000));
    assert!(!asks(&mailbox, at + 120), "it has answered");
    mailbox.asked(node(1), Need::Fetch { after: 0 }, after(at * 1000));
    mailbox.fetch_failed(node(1), after(at * 1000), &mut rng);
    assert!(asks(&mailbox, at + 1), "the pause begins anew");
}

#[test]
fn members_are_asked_until_each_has_answered_once_a_guard_has_lost_what_came() {
    let (mut mailbox, mut rng) = (subscribed(), rng(6));
    let fetch = Need::Fetch { after: 0 };
    let soon = |secs| NOW.saturating_add(Duration::from_secs(secs));
    mailbox.pushes_lost(soon(1));
    let all = [1, 2, 3, 4].map(|number| (node(number), fetch));
    assert_eq!(needs(&mailbox, soon(1)), all);
    assert_eq!(mailbox.next_timeout(FULL, &BTreeSet::new()), Some(soon(1)));
    for (member, need) in all {
        mailbox.asked(member, need, soon(1));
    }
    mailbox.fetched(node(1), 0, 0, soon(2));
    mailbox.fetched(node(4), 0, 0, soon(2));
    mailbox.fetch_failed(node(2), soon(2), &mut rng);
    mailbox.fetched(node(3), 7, 1, soon(2));
    let rest = [(node(2), fetch), (node(3), Need::Fetch { after: 7 })];
    assert_eq!(needs(&mailbox, soon(3)), rest);
    let due = mailbox.next_timeout(FULL, &BTreeSet::new()).unwrap();
    assert!(due <= soon(3), "the host is woken for it");
}

#[test]
fn who_has_no_reply_blocks_says_what_waits_with_the_subscription() {
    let mut mailbox = mailbox();
    mailbox.pushes_lost(NOW);
    let (member, need) = needs(&mailbox, NOW)[0];
    assert!(matches!(need, Need::Subscribe { .. }));
    mailbox.asked(member, need, NOW);
    mailbox.subscribed(member, FULL, 0, true, NOW);
    let asked = needs(&mailbox, NOW);
    assert!(asked.contains(&(member, Need::Fetch { after: 0 })));
}

#[test]
fn a_failed_subscription_is_tried_again_later_each_time() {
    let (mut mailbox, mut rng) = (mailbox(), rng(3));
    mailbox.subscribe_failed(node(1), NOW, &mut rng);
    let due: Vec<_> = needs(&mailbox, NOW)
        .into_iter()
        .map(|(member, _)| member)
        .collect();
    assert_eq!(due, [node(2), node(3), node(4)]);
    assert_eq!(
        needs(&mailbox, NOW.saturating_add(Duration::from_secs(1))).len(),
        4
    );
}

#[test]
fn acknowledgements_are_asked_of_who_pushed_then_of_the_others() {
    let (mut mailbox, mut rng) = (subscribed(), rng(4));
    let id = EnvelopeId::from_bytes([9; 16]);
    mailbox.acknowledge(id, node(2), NOW);
    mailbox.acknowledge(id, node(3), NOW);
    assert_eq!(mailbox.take_acknowledgements(NOW), [(node(2), vec![id])]);
    assert!(mailbox.take_acknowledgements(NOW).is_empty(), "under way");
    mailbox.acknowledge_failed(&[id], NOW, &mut rng);
    let later = NOW.saturating_add(Duration::from_secs(2));
    assert_eq!(mailbox.take_acknowledgements(later), [(node(3), vec![id])]);
    mailbox.acknowledged(&[id]);
    assert!(
        mailbox
            .take_acknowledgements(later.saturating_add(Duration::from_hours(1)))
            .is_empty()
    );
}

#[test]
fn owner_sequences_only_grow_even_if_the_clock_goes_back() {
    let mut mailbox = mailbox();
    let first = mailbox.next_sequence(NOW);
    assert_eq!(first, NOW.as_ms());
    assert_eq!(mailbox.next_sequence(NOW), first + 1);
    assert_eq!(mailbox.next_sequence(Timestamp::EPOCH), first + 2);
}

#[test]
fn a_swarm_that_grows_keeps_its_members_with_their_stock_and_tells_them() {
    let mut mailbox = subscribed();
    let key = MailboxSecret::random(&mut rng(1));
    let members = [node(1), node(2), node(5)].to_vec();
    let moved = MailboxDescriptor::sign(&key, 9_000_000_000_000, members, 3, NOW).unwrap();
    mailbox.moved(moved, NOW);
    let subscribe = |count, replace| Need::Subscribe { count, replace };
    let wanted = [
        (node(1), subscribe(0, false)),
        (node(2), subscribe(0, false)),
        (node(5), subscribe(FULL, true)),
        (node(3), Need::Tell),
        (node(4), Need::Tell),
    ];
    assert_eq!(needs(&mailbox, NOW), wanted);
    assert!(mailbox.next_timeout(FULL, &BTreeSet::new()).unwrap() <= NOW);
    for (member, need) in wanted {
        mailbox.asked(member, need, NOW);
        match need {
            Need::Tell => mailbox.told(member, NOW),
            _ => mailbox.subscribed(member, FULL, 0, member == node(5), NOW),
        }
    }
    let fetch = |n| (node(n), Need::Fetch { after: 0 });
    assert_eq!(needs(&mailbox, NOW), [fetch(3), fetch(4)]);
    for former in [3, 4].map(node) {
        mailbox.asked(former, Need::Fetch { after: 0 }, NOW);
        mailbox.fetched(former, 0, 0, NOW);
    }
    assert!(needs(&mailbox, NOW).is_empty());
    assert!(mailbox.next_timeout(FULL, &BTreeSet::new()).unwrap() > NOW);
    assert_eq!(mailbox.members(), [node(1), node(2), node(5)]);
}

#[test]
fn reply_blocks_for_a_guard_that_has_died_meanwhile_count_for_nothing() {
    let mut mailbox = subscribed();
    let before = mailbox.losses();
    mailbox.reset(NOW);
    assert_ne!(mailbox.losses(), before);
    mailbox.subscribed_in_vain(node(1), NOW);
    let again = Need::Subscribe {
        count: FULL,
        replace: true,
    };
    assert_eq!(needs(&mailbox, NOW)[0], (node(1), again));
}

#[test]
fn a_new_secret_is_told_to_every_member_and_the_former_counts_for_a_while() {
    let (mut mailbox, mut rng) = (subscribed(), rng(2));
    let before = mailbox.row.write_secret.clone();
    let overlap = Duration::from_days(3);
    mailbox.renew_secret(overlap, NOW, &mut rng);
    assert_ne!(mailbox.row.write_secret, before);
    let due = needs(&mailbox, NOW);
    assert_eq!(due.len(), 4, "nothing is wrong with their stock");
    for (member, need) in due {
        let (count, replace) = (0, false);
        assert_eq!(need, Need::Subscribe { count, replace });
        mailbox.asked(member, need, NOW);
        mailbox.subscribed(member, FULL, 0, false, NOW);
    }
    assert!(needs(&mailbox, NOW).is_empty());
    let (permit, former) = mailbox.permits(&node(1), NOW);
    let former = former.unwrap();
    assert_eq!(permit, mailbox.row.write_secret.permit(&node(1)));
    assert_eq!(former.permit, before.permit(&node(1)));
    assert_eq!(former.until, NOW.saturating_add(overlap));
    let later = NOW.saturating_add(overlap);
    assert_eq!(mailbox.permits(&node(1), later).1, None);
    mailbox.renew_secret(Duration::ZERO, NOW, &mut rng);
    assert_eq!(mailbox.permits(&node(1), NOW).1, None, "at once");
    mailbox.renew_secret(Duration::from_days(99), NOW, &mut rng);
    let until = mailbox.permits(&node(1), NOW).1.map(|one| one.until);
    assert_eq!(until, Some(later_by(30)), "the protocol's most");
}

fn later_by(days: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_days(days))
}
