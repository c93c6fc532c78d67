//! Who has no permit: proof of work, a quota and a notice a minute. PROTOCOL §6, "Work".

use zentalk_shared::id::MailboxId;
use zentalk_shared::identity::DirectorySecret;
use zentalk_shared::rpc::{
    AccountRecord, FormerPermit, PutReply, PutRequest, RecordPutReply, RecordPutRequest, Refusal,
    Refused, Reply, Request, Solver, Subject, Work, WorkWanted, WriteSecret,
};
use zentalk_shared::time::Duration;

use super::net::Net;
use super::people::{Caller, Owner};
use crate::core::store::Quotas;
use crate::core::{Limits, Rate, WorkPolicy};

const PUT: Reply = Reply::Put(PutReply { held: 2, of: 3 });

/// Relays that ask for work.
fn dear(relays: usize, effort: u32, quotas: Quotas) -> Net {
    let mut net = Net::cold(relays, Limits::default(), quotas);
    let rate = Rate {
        per_minute: 600,
        burst: 600,
    };
    for index in 0..relays {
        net.nodes[index].config.work = WorkPolicy { effort, rate };
        net.start(index);
    }
    net.settle();
    net.advance(Duration::from_secs(1));
    net
}

fn wanted(reply: Option<Reply>) -> WorkWanted {
    match reply {
        Some(Reply::Refused(Refused {
            reason: Refusal::WorkNeeded,
            work: Some(wanted),
        })) => wanted,
        other => panic!("{other:?}"),
    }
}

fn solve(net: &mut Net, subject: &Subject, wanted: WorkWanted) -> Work {
    let mut solver = Solver::new(subject, wanted, &mut net.rng);
    (0..1000).find_map(|_| solver.step()).unwrap()
}

/// The request with the work that relay 0 wants for it.
fn paid(net: &mut Net, put: &PutRequest, wanted: WorkWanted) -> Request {
    let subject = Subject::put(&net.id(0), &put.mailbox, &put.id);
    let work = Some(solve(net, &subject, wanted));
    Request::Put(PutRequest {
        work,
        ..put.clone()
    })
}

#[test]
fn a_contact_pays_nothing_and_replies_do_not_tell_a_stranger_from_one_who_is_blocked() {
    let mut net = dear(4, 2, Quotas::default());
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let contact = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &contact), Some(PUT));
    let stranger = owner.stranger_put(2);
    let blocked = PutRequest {
        permit: Some(WriteSecret::from_bytes([1; 32]).permit(&net.id(0))),
        ..owner.stranger_put(3)
    };
    let mut told = Vec::new();
    for put in [&stranger, &blocked] {
        let refused = sender.call(&mut net, &[3, 0], &Request::Put(put.clone()));
        told.push(wanted(refused));
    }
    assert_eq!(told[0], told[1], "the same words");
    assert_eq!(told[0].effort, 2);
    for put in [stranger, blocked] {
        let put = paid(&mut net, &put, told[0]);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
}

#[test]
fn a_former_permit_counts_until_its_time_is_over_and_after_a_restart() {
    let mut net = dear(4, 2, Quotas::default());
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let old = owner.secret.permit(&net.id(0));
    owner.secret = WriteSecret::from_bytes([8; 32]);
    let overlap = Duration::from_hours(1);
    owner.former = Some(FormerPermit {
        permit: old.clone(),
        until: net.now + overlap,
    });
    owner.subscribe(&mut net, 0, 0);
    let by_old = |n| {
        Request::Put(PutRequest {
            permit: Some(old.clone()),
            ..owner.stranger_put(n)
        })
    };
    let new = owner.put(&net, 0, 1);
    for put in [by_old(2), new] {
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(20));
    assert_eq!(sender.call(&mut net, &[3, 0], &by_old(3)), Some(PUT));
    net.advance(overlap);
    sender.connect(&mut net);
    wanted(sender.call(&mut net, &[3, 0], &by_old(4)));
}

#[test]
fn work_for_one_envelope_or_relay_buys_no_place_for_another() {
    let mut net = dear(4, 2, Quotas::default());
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let first = Request::Put(owner.stranger_put(1));
    let told = wanted(sender.call(&mut net, &[3, 0], &first));
    let Request::Put(bought) = paid(&mut net, &owner.stranger_put(1), told) else {
        unreachable!()
    };
    let other = Request::Put(PutRequest {
        work: bought.work,
        ..owner.stranger_put(2)
    });
    assert_eq!(wanted(sender.call(&mut net, &[3, 0], &other)), told);
    let elsewhere = wanted(sender.call(&mut net, &[3, 1], &Request::Put(bought.clone())));
    assert_ne!(elsewhere.seed, told.seed);
    // A retry is free.
    for _ in 0..2 {
        let again = Request::Put(bought.clone());
        assert_eq!(sender.call(&mut net, &[3, 0], &again), Some(PUT));
    }
}

#[test]
fn nobody_works_for_a_mailbox_that_is_not_here() {
    let mut net = dear(4, 2, Quotas::default());
    let owner = Owner::new(&mut net, 3);
    let mut sender = Caller::at(&mut net, 3);
    let put = Request::Put(PutRequest {
        mailbox: MailboxId::from_bytes([9; 20]),
        ..owner.stranger_put(1)
    });
    let unknown = Reply::Refused(Refused::because(Refusal::Unknown));
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(unknown));
}

#[test]
fn a_mailbox_is_opened_for_work_and_then_refreshed_for_nothing() {
    let mut net = dear(4, 2, Quotas::default());
    let mut owner = Owner::new(&mut net, 3);
    let subscribe = |net: &mut Net, owner: &mut Owner, member| {
        let request = owner.subscription(net, member, 1);
        owner.caller.call(net, &[3, member], &request)
    };
    let told = wanted(subscribe(&mut net, &mut owner, 0));
    assert_eq!(told.effort, 2);
    let elsewhere = wanted(subscribe(&mut net, &mut owner, 1));
    for work in [
        owner.work_to_open(&mut net, 0, elsewhere),
        owner.work_to_open(&mut net, 1, told),
        Owner::new(&mut net, 3).work_to_open(&mut net, 0, told),
    ] {
        owner.work = Some(work);
        assert_eq!(wanted(subscribe(&mut net, &mut owner, 0)), told);
    }
    owner.work = Some(owner.work_to_open(&mut net, 0, told));
    let opened = subscribe(&mut net, &mut owner, 0);
    assert!(matches!(opened, Some(Reply::Subscribe(_))), "{opened:?}");
    owner.work = None;
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(20));
    let refreshed = subscribe(&mut net, &mut owner, 0);
    assert!(
        matches!(refreshed, Some(Reply::Subscribe(_))),
        "{refreshed:?}"
    );
}

#[test]
fn a_mailbox_that_nobody_comes_for_leaves_memory_and_has_its_price_again() {
    let mut net = dear(1, 2, Quotas::default());
    let mut owner = Owner::new(&mut net, 0);
    owner.members = vec![0];
    owner.subscribe(&mut net, 0, 0);
    assert_eq!(net.relay(0).mailboxes_held(), 1);
    net.advance(Duration::from_days(59));
    assert_eq!(net.relay(0).mailboxes_held(), 1);
    net.advance(Duration::from_days(2));
    assert_eq!(net.relay(0).mailboxes_held(), 0);
    owner.caller.connect(&mut net);
    let again = owner.subscription(&mut net, 0, 0);
    wanted(owner.caller.call(&mut net, &[0], &again));
}

#[test]
fn a_record_is_taken_for_work() {
    let mut net = dear(2, 2, Quotas::default());
    let mut caller = Caller::at(&mut net, 1);
    let secret = DirectorySecret::random(&mut net.rng);
    let expires = net.now + Duration::from_days(20);
    let record = AccountRecord::sign(&secret, 1, expires, vec![1; 2000]).unwrap();
    let put = |work| {
        Request::RecordPut(RecordPutRequest {
            record: record.bytes().clone(),
            work,
        })
    };
    let told = wanted(caller.call(&mut net, &[1, 0], &put(None)));
    let subject = Subject::record(&net.id(0), &record.key(), record.bytes());
    let work = solve(&mut net, &subject, told);
    let (stored, sequence) = (true, 1);
    let reply = Reply::RecordPut(RecordPutReply { stored, sequence });
    assert_eq!(
        caller.call(&mut net, &[1, 0], &put(Some(work))),
        Some(reply)
    );
}

#[test]
fn fault_16_a_flood_of_strangers_fills_their_own_room_and_rings_once_a_minute() {
    let quotas = Quotas {
        envelopes: 3,
        first_contact: 12,
        ..Quotas::default()
    };
    let mut net = Net::with(4, Limits::default(), quotas);
    let mut owner = Owner::with_mailbox(&mut net, 3, 30);
    let mut sender = Caller::at(&mut net, 3);
    let full = Reply::Refused(Refused::because(Refusal::Full));
    for n in 0..20 {
        let put = Request::Put(owner.stranger_put(n));
        let expected = if n < 12 { &PUT } else { &full };
        let reply = sender.call(&mut net, &[3, 0], &put);
        assert_eq!(reply.as_ref(), Some(expected), "{n}");
    }
    // A first message whole, then silence.
    let pushes = owner.pushes(&mut net);
    assert!(pushes.len() <= 4, "{}", pushes.len());
    for n in 100..103 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
    assert_eq!(owner.pushes(&mut net).len(), 3, "contacts at once");
    let mut alone = 0;
    for _ in 0..180 {
        net.advance(Duration::from_secs(1));
        alone += owner.pushes(&mut net).len();
    }
    // Three members, three minutes, and each repeats what is not acknowledged.
    assert!(alone <= 3 * (4 + 3) + 3 * 3 * 2, "{alone}");
}
