//! Proof of work for mail to people who have not answered yet.

use super::people::*;
use super::*;
use crate::client::WorkJob;
use crate::client::engine::Ctx;
use crate::client::outbox::Due;
use crate::client::requests::{Purpose, PutTo};
use crate::client::view::WaitReason;
use crate::client::work::Task;
use crate::id::{Address, MailboxId, NodeId};
use crate::rpc::{MAX_EFFORT, Refusal, Refused, Reply, Subject, WorkWanted};
use crate::time::Duration;
use crate::wire::codec::Bytes;

const WANTED: WorkWanted = WorkWanted {
    seed: Bytes([4; 16]),
    effort: 1,
};

/// Ada has written to Bob for the first time; what is to be put, and Bob's address.
fn first_message() -> (Host, Vec<PutTo>, Address) {
    let (mut ada, mut bob) = pair();
    settle(&mut ada);
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    let b = address(&bob);
    send(&mut ada, b, 1, NOW);
    let mailbox = descriptor(&bob).mailbox();
    let to = |due: Due| PutTo {
        item: due.item,
        envelope: due.envelope,
        device: due.device,
        mailbox,
        member: MEMBER,
        tries: 0,
    };
    let puts: Vec<_> = ada
        .client
        .outbox
        .take_due(NOW)
        .into_iter()
        .map(to)
        .collect();
    assert!(puts.len() > 1, "a first message has several envelopes");
    (ada, puts, b)
}

/// A relay refuses a put for this reason; the work that comes of it.
fn refuse(host: &mut Host, to: PutTo, refused: Refused, now: Timestamp) -> Option<WorkJob> {
    refuse_any(host, Purpose::Put(to), refused, now)
}

fn refuse_any(
    host: &mut Host,
    purpose: Purpose,
    refused: Refused,
    now: Timestamp,
) -> Option<WorkJob> {
    let (loaded, mut batch) = (Loaded::default(), Batch::default());
    let mut ctx = Ctx {
        loaded: &loaded,
        batch: &mut batch,
        now,
        rng: &mut host.rng,
    };
    let reply = Reply::Refused(refused);
    host.client.on_reply(purpose, reply, &mut ctx);
    jobs(batch.effects).pop()
}

fn jobs(effects: Vec<Effect>) -> Vec<WorkJob> {
    let job = |effect| match effect {
        Effect::Work(job) => Some(job),
        _ => None,
    };
    effects.into_iter().filter_map(job).collect()
}

const fn wants(work: WorkWanted) -> Refused {
    Refused {
        reason: Refusal::WorkNeeded,
        work: Some(work),
    }
}

fn solve(mut job: WorkJob) -> Input {
    let work = (0..1000).find_map(|_| job.solver.step()).unwrap();
    Input::Worked(job.id, work)
}

fn asked(host: &Host) -> Vec<PutTo> {
    let put = |purpose: &Purpose| match purpose {
        Purpose::Put(to) => Some(*to),
        _ => None,
    };
    host.client.requests.values().filter_map(put).collect()
}

fn reason(host: &Host, to: &PutTo) -> Option<WaitReason> {
    host.client.outbox.reason(&to.item, None, false)
}

#[test]
fn a_relay_that_wants_work_gets_it_and_the_person_is_told_meanwhile() {
    let (mut ada, puts, _) = first_message();
    let job = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    assert_eq!(reason(&ada, &puts[0]), Some(WaitReason::Preparing));
    let Input::Worked(id, work) = solve(job) else {
        unreachable!()
    };
    let subject = Subject::put(&MEMBER, &puts[0].mailbox, &puts[0].envelope);
    assert_eq!(work.verify(&subject), Ok(()));
    assert_eq!(work.wanted(), WANTED);
    ada.turn(Input::Worked(id, work), NOW);
    assert_eq!(reason(&ada, &puts[0]), Some(WaitReason::WaitingForRelays));
    let asked = asked(&ada);
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].envelope, asked[0].tries), (puts[0].envelope, 1));
    // Once: the result of a piece that is over says nothing.
    ada.turn(Input::Worked(id, work), NOW);
    assert_eq!(ada.client.requests.len(), 1);
}

#[test]
fn nothing_leaves_after_the_work_if_the_person_has_keys_to_accept_by_then() {
    let (mut ada, puts, bob) = first_message();
    let job = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    ada.client.outbox.block(bob);
    ada.turn(solve(job), NOW);
    assert!(asked(&ada).is_empty());
}

#[test]
fn pieces_are_worked_for_one_after_the_other() {
    let (mut ada, puts, _) = first_message();
    let first = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    let second = refuse(&mut ada, puts[1], wants(WANTED), NOW);
    assert!(second.is_none(), "the host has one at a time");
    let second = jobs(ada.turn(solve(first), NOW)).pop().unwrap();
    assert!(jobs(ada.turn(solve(second), NOW)).is_empty());
    assert_eq!(asked(&ada).len(), 2);
}

#[test]
fn what_is_withdrawn_or_too_old_is_not_worked_for() {
    let (mut ada, puts, _) = first_message();
    let first = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    refuse(&mut ada, puts[1], wants(WANTED), NOW);
    // The seed is not good any more when the second's turn comes: the relay is asked for another.
    let later = later(Duration::from_mins(6));
    assert!(jobs(ada.turn(solve(first), later)).is_empty());
    assert_eq!(asked(&ada).len(), 2);
    let (mut ada, puts, _) = first_message();
    let first = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    refuse(&mut ada, puts[1], wants(WANTED), NOW);
    ada.client.outbox.remove(&puts[1].item);
    assert!(jobs(ada.turn(solve(first), NOW)).is_empty());
    assert!(asked(&ada).is_empty(), "both were of one message");
}

#[test]
fn a_relay_that_wants_too_much_or_too_often_counts_as_failing() {
    let dear = WorkWanted {
        effort: MAX_EFFORT + 1,
        ..WANTED
    };
    for refused in [
        wants(dear),
        Refused::because(Refusal::WorkNeeded),
        Refused {
            reason: Refusal::Busy,
            work: Some(WANTED),
        },
    ] {
        let (mut ada, puts, _) = first_message();
        assert!(refuse(&mut ada, puts[0], refused, NOW).is_none());
        assert_eq!(reason(&ada, &puts[0]), Some(WaitReason::Retrying));
    }
    let (mut ada, puts, _) = first_message();
    let mut to = puts[0];
    for _ in 0..3 {
        let job = refuse(&mut ada, to, wants(WANTED), NOW).unwrap();
        ada.turn(solve(job), NOW);
        to = *asked(&ada).last().unwrap();
    }
    assert!(refuse(&mut ada, to, wants(WANTED), NOW).is_none());
    assert_eq!(reason(&ada, &to), Some(WaitReason::Retrying));
}

#[test]
fn a_member_that_wants_work_for_a_mailbox_gets_it_and_is_asked_nothing_else_meanwhile() {
    let mut ada = Host::new(0);
    settle(&mut ada);
    let subscribe = |host: &Host, member| Purpose::Subscribe {
        member,
        replace: true,
        losses: host.client.mailbox.losses(),
        tries: 0,
    };
    let purpose = subscribe(&ada, MEMBER);
    let job = refuse_any(&mut ada, purpose, wants(WANTED), NOW).unwrap();
    assert!(ada.client.busy_members().contains(&MEMBER));
    let Input::Worked(id, work) = solve(job) else {
        unreachable!()
    };
    let mailbox = descriptor(&ada).mailbox();
    assert_eq!(work.verify(&Subject::open(&MEMBER, &mailbox)), Ok(()));
    assert_eq!(ada.client.works.opening(&MEMBER, NOW), None);
    ada.turn(Input::Worked(id, work), NOW);
    assert!(ada.client.busy_members().is_empty(), "no guard to ask by");
    let kept = ada.client.works.opening(&MEMBER, NOW);
    assert_eq!(kept, Some(work), "it is shown by the next attempt");
    let late = later(Duration::from_mins(5));
    assert_eq!(ada.client.works.opening(&MEMBER, late), None);
    // Nothing is worked for a relay that has left the swarm.
    let mut ada = Host::new(0);
    settle(&mut ada);
    let purpose = subscribe(&ada, NodeId::from_bytes([0x99; 20]));
    assert!(refuse_any(&mut ada, purpose, wants(WANTED), NOW).is_none());
    assert!(ada.client.busy_members().is_empty());
}

#[test]
fn a_member_that_wants_work_for_the_mailbox_again_and_again_gets_it_three_times_an_hour() {
    let mut ada = Host::new(0);
    settle(&mut ada);
    let mut worked = |now| {
        let purpose = Purpose::Subscribe {
            member: MEMBER,
            replace: false,
            losses: ada.client.mailbox.losses(),
            tries: 0,
        };
        let job = refuse_any(&mut ada, purpose, wants(WANTED), now);
        job.is_some_and(|job| {
            ada.turn(solve(job), now);
            true
        })
    };
    for _ in 0..3 {
        assert!(worked(NOW));
    }
    assert!(!worked(NOW) && !worked(later(Duration::from_mins(59))));
    assert!(worked(later(Duration::from_mins(61))));
}

/// A seed can be made for one request alone.
#[test]
fn a_seed_is_shown_with_nothing_that_it_would_join_with_another_persona() {
    let (mut ada, puts, _) = first_message();
    let subscription = Purpose::Subscribe {
        member: MEMBER,
        replace: true,
        losses: ada.client.mailbox.losses(),
        tries: 0,
    };
    let job = refuse_any(&mut ada, subscription, wants(WANTED), NOW).unwrap();
    let works_first = |host: &mut Host, put: PutTo| {
        let (loaded, mut batch) = (Loaded::default(), Batch::default());
        let mut ctx = Ctx {
            loaded: &loaded,
            batch: &mut batch,
            now: NOW,
            rng: &mut host.rng,
        };
        host.client.works_first(Task::Put(put), &mut ctx)
    };
    assert!(
        !works_first(&mut ada, puts[0]),
        "the seed was for the mailbox"
    );
    ada.turn(solve(job), NOW);
    let other = WorkWanted {
        seed: Bytes([5; 16]),
        ..WANTED
    };
    let job = refuse(&mut ada, puts[0], wants(other), NOW).unwrap();
    let Input::Worked(_, work) = solve(job) else {
        unreachable!()
    };
    assert_eq!(work.wanted(), other);
    assert!(works_first(&mut ada, puts[1]), "to the same mailbox");
    let elsewhere = PutTo {
        mailbox: MailboxId::from_bytes([7; 20]),
        ..puts[1]
    };
    assert!(!works_first(&mut ada, elsewhere));
}

#[test]
fn what_takes_least_is_worked_for_first() {
    let (mut ada, puts, _) = first_message();
    let dear = WorkWanted {
        effort: 4,
        ..WANTED
    };
    let subscription = Purpose::Subscribe {
        member: NodeId::from_bytes([0x99; 20]),
        replace: true,
        losses: 0,
        tries: 0,
    };
    let first = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    // Nobody of the swarm: it is dropped when its turn comes.
    assert!(refuse_any(&mut ada, subscription, wants(dear), NOW).is_none());
    assert!(refuse(&mut ada, puts[1], wants(WANTED), NOW).is_none());
    let second = jobs(ada.turn(solve(first), NOW)).pop().unwrap();
    let Input::Worked(_, work) = solve(second) else {
        unreachable!()
    };
    let subject = Subject::put(&MEMBER, &puts[1].mailbox, &puts[1].envelope);
    assert_eq!(work.verify(&subject), Ok(()));
}

#[test]
fn the_result_of_another_engines_work_is_ignored() {
    let (mut ada, puts, _) = first_message();
    let job = refuse(&mut ada, puts[0], wants(WANTED), NOW).unwrap();
    ada.restart();
    ada.turn(solve(job), NOW);
    assert!(asked(&ada).is_empty());
}
