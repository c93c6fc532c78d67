//! Tests of the bookkeeping of guards.

use super::*;
use crate::test_support::rng;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const A: NodeId = NodeId::from_bytes([1; 20]);
const B: NodeId = NodeId::from_bytes([2; 20]);
const C: NodeId = NodeId::from_bytes([3; 20]);
const LINK: LinkId = LinkId(7);

fn links() -> GuardLinks {
    let mut links = GuardLinks::new();
    assert_eq!(links.set_kept(vec![A, B, C], Some(A), NOW), None);
    links
}

fn up() -> GuardLinks {
    let mut links = links();
    links.connecting(A, LINK);
    links.accepted(A, LINK, false, NOW);
    links
}

fn shun(swarm: &[NodeId]) -> Shunned {
    Shunned {
        swarm: swarm.to_vec(),
        ..Shunned::default()
    }
}

#[test]
fn the_primary_is_wanted_at_once_and_only_it() {
    let links = links();
    assert_eq!(links.due(NOW), [A]);
    assert_eq!(links.next_timeout(), Some(NOW));
    assert_eq!(
        links.connection(),
        Connection::Connecting {
            attempt: 1,
            retry: Some(NOW)
        }
    );
}

#[test]
fn two_failures_in_a_row_give_a_primary_up() {
    let mut links = links();
    let mut rng = rng(1);
    links.connecting(A, LINK);
    assert_eq!(links.failed(A, false, NOW, &mut rng), Verdict::Stay);
    links.connecting(A, LINK);
    assert!(
        matches!(links.failed(A, false, NOW, &mut rng), Verdict::GiveUp { next_at } if next_at >= NOW)
    );
    assert!(matches!(
        links.connection(),
        Connection::Connecting { attempt: 3, .. }
    ));
    assert_eq!(links.replace_primary(B, NOW, NOW), None);
    assert_eq!(links.due(NOW), [B]);
}

#[test]
fn losing_a_link_that_held_is_no_failure_and_losing_one_that_did_not_is() {
    let mut rng = rng(2);
    let mut links = up();
    let late = NOW + STABLE;
    assert_eq!(links.failed(A, false, late, &mut rng), Verdict::Stay);
    assert!(links.next_timeout().unwrap() <= late + RETRY_BASE);
    links.connecting(A, LINK);
    assert_eq!(links.failed(A, false, late, &mut rng), Verdict::Stay);
    assert_eq!(up().failed(A, true, late, &mut rng), Verdict::Stay);
    let mut blamed = up();
    blamed
        .slots
        .get_mut(&A)
        .unwrap()
        .backoff
        .fail(NOW, &mut rng);
    let verdict = blamed.failed(A, true, late, &mut rng);
    assert!(
        matches!(verdict, Verdict::GiveUp { .. }),
        "breaking rules is one"
    );
    let mut flapping = up();
    assert_eq!(flapping.failed(A, false, NOW, &mut rng), Verdict::Stay);
    flapping.connecting(A, LINK);
    flapping.accepted(A, LINK, false, NOW);
    assert!(matches!(
        flapping.failed(A, false, NOW, &mut rng),
        Verdict::GiveUp { .. }
    ));
}

#[test]
fn attempts_keep_the_pace_whichever_guard_is_primary() {
    let mut rng = rng(3);
    let mut links = links();
    let mut now = NOW;
    let mut primary = A;
    for n in 0..40 {
        links.connecting(primary, LINK);
        if let Verdict::GiveUp { next_at } = links.failed(primary, false, now, &mut rng) {
            primary = if primary == A { B } else { A };
            links.replace_primary(primary, next_at, now);
        }
        let next = links.next_timeout().unwrap();
        assert!(next.since(now) <= (RETRY_BASE * (1 << n.min(20))).min(RETRY_CAP));
        now = next;
    }
    assert!(now.since(NOW) > Duration::from_mins(5), "not in a rush");
    assert!(links.all_failed());
}

#[test]
fn a_guard_is_chosen_outside_the_swarm() {
    let mut links = up();
    assert_eq!(links.choose(&shun(&[C]), false), Some(A));
    assert_eq!(links.choose(&shun(&[A]), false), Some(B));
    assert_eq!(links.choose(&shun(&[A, B]), false), Some(C));
    assert_eq!(links.choose(&shun(&[A, B, C]), false), None);
    links.want(C, NOW);
    links.connecting(C, LinkId(8));
    links.accepted(C, LinkId(8), false, NOW);
    assert_eq!(links.choose(&shun(&[A]), false), Some(C), "one that is up");
    let spare = NodeId::from_bytes([9; 20]);
    links.add_spare(spare);
    assert_eq!(links.choose(&shun(&[A, B, C]), false), Some(spare));
    assert_eq!(links.choose(&shun(&[A, B, C, spare]), false), None);
    for n in 10..20 {
        links.add_spare(NodeId::from_bytes([n; 20]));
    }
    assert_eq!(links.spare.len(), MAX_SPARE);
    assert!(!links.has_room_for_spare());
}

#[test]
fn in_a_small_network_the_swarm_is_no_obstacle_but_the_target_is() {
    let links = up();
    let shunned = |never| Shunned {
        swarm: vec![A, B, C],
        never,
        kin: Vec::new(),
    };
    assert_eq!(links.choose(&shunned(vec![]), true), Some(A));
    assert_eq!(links.choose(&shunned(vec![A]), true), Some(B));
    assert_eq!(links.choose(&shunned(vec![A]), false), None);
}

#[test]
fn another_guard_that_keeps_failing_is_a_last_resort() {
    let mut links = up();
    let mut rng = rng(6);
    for node in [B, C] {
        links.want(node, NOW);
        for _ in 0..MAX_FAILURES {
            assert!(links.choose(&shun(&[A]), false).is_some());
            links.failed(node, false, NOW, &mut rng);
        }
    }
    assert_eq!(links.choose(&shun(&[A]), false), None);
    assert_eq!(links.last_resort(&shun(&[A]), false), Some(B));
    assert_eq!(links.last_resort(&shun(&[A]), true), Some(A));
    let _ = links.drop_idle(NOW + IDLE);
    assert_eq!(
        links.choose(&shun(&[A]), false),
        Some(B),
        "forgiven in time"
    );
}

#[test]
fn stock_is_lost_once_for_every_primary_that_comes_up() {
    let mut links = links();
    assert!(!links.take_stock_change(), "nobody is up");
    links.connecting(A, LINK);
    links.accepted(A, LINK, false, NOW);
    assert!(links.take_stock_change());
    assert!(!links.take_stock_change());
    links.replace_primary(B, NOW, NOW);
    assert!(!links.take_stock_change());
    links.connecting(B, LINK);
    links.accepted(B, LINK, false, NOW);
    assert!(links.take_stock_change());
}

#[test]
fn pushes_may_be_lost_where_a_guard_was_dead_or_has_not_been_heard_for_longer_than_it_keeps_them() {
    let mut links = links();
    links.tag(A, &mut rng(1));
    let mut accepted = |resumed, secs: u64| {
        links.connecting(A, LINK);
        let lost = links.accepted(A, LINK, resumed, NOW + Duration::from_secs(secs));
        links.take_stock_change();
        lost
    };
    assert!(!accepted(false, 0), "there was no stock yet");
    assert!(!accepted(true, 44));
    assert!(accepted(false, 60));
    assert!(accepted(true, 105), "not heard for too long");
    links.heard(A, NOW + Duration::from_secs(300));
    links.connecting(A, LINK);
    assert!(!links.accepted(A, LINK, true, NOW + Duration::from_secs(344)));
}

#[test]
fn a_guard_that_is_kept_no_more_is_replaced() {
    let mut links = up();
    assert_eq!(links.set_kept(vec![A, C], Some(A), NOW), None);
    assert_eq!(
        links.set_kept(vec![B, C], Some(B), NOW),
        Some((A, Some(LINK)))
    );
    assert_eq!((links.primary(), links.due(NOW)), (Some(B), vec![B]));
    assert_eq!(links.set_kept(vec![], None, NOW), Some((B, None)));
    assert_eq!(links.primary(), None);
    assert_eq!(links.next_timeout(), None);
}

#[test]
fn every_guard_has_one_tag_a_run() {
    let mut links = links();
    let mut rng = rng(4);
    let tag = links.tag(A, &mut rng);
    assert_eq!(links.tag(A, &mut rng).tag, tag.tag);
    assert_ne!(links.tag(B, &mut rng).tag, tag.tag);
    links.count(A, 12);
    assert_eq!(links.tag(A, &mut rng).received, 12);
}

#[test]
fn other_guards_are_dropped_when_idle_and_the_primary_never() {
    let mut links = up();
    links.want(B, NOW);
    links.connecting(B, LinkId(8));
    assert!(links.drop_idle(NOW + Duration::from_secs(59)).is_empty());
    assert_eq!(links.next_timeout(), Some(NOW + IDLE));
    assert_eq!(links.drop_idle(NOW + IDLE), [LinkId(8)]);
    assert!(links.drop_idle(NOW + IDLE * 100).is_empty());
    assert_eq!(links.up(A), Some(LINK));
}

#[test]
fn many_requests_without_a_reply_give_a_primary_up() {
    let mut links = up();
    for _ in 1..MAX_UNANSWERED {
        assert_eq!(links.unanswered(A, NOW), Verdict::Stay);
    }
    links.answered(A);
    for _ in 1..MAX_UNANSWERED {
        assert_eq!(links.unanswered(A, NOW), Verdict::Stay);
    }
    assert_eq!(links.unanswered(A, NOW), Verdict::GiveUp { next_at: NOW });
    assert_eq!(links.replace_primary(B, NOW, NOW), Some(LINK));
}

#[test]
fn suspension_closes_everything_and_waking_ends_every_wait() {
    let mut links = up();
    links.want(B, NOW);
    links.connecting(B, LinkId(8));
    assert_eq!(links.suspend(NOW), [LINK, LinkId(8)]);
    links.connecting(A, LINK);
    for _ in 0..20 {
        let _ = links.failed(A, false, NOW, &mut rng(5));
    }
    links.retry_now(NOW);
    assert_eq!(links.due(NOW), [A]);
    assert_eq!(
        links.connection(),
        Connection::Connecting {
            attempt: 1,
            retry: Some(NOW)
        }
    );
}
