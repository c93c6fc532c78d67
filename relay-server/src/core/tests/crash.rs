//! Power cuts between any two steps: what was acknowledged is there, what is there twice is one.

use zentalk_shared::rpc::Reply;
use zentalk_shared::time::Duration;

use super::net::Net;
use super::people::{Caller, Owner, id};

/// Relays that hold the envelope once they are all up again.
fn holders(net: &mut Net, owner: &mut Owner, n: u8) -> usize {
    let holds = |member: usize, net: &mut Net, owner: &mut Owner| {
        let fetched = owner.fetch(net, member);
        let copies = fetched
            .envelopes
            .iter()
            .filter(|item| item.id == id(n))
            .count();
        assert!(copies <= 1, "one envelope, one copy");
        copies
    };
    (0..3).map(|member| holds(member, net, owner)).sum()
}

#[test]
fn an_envelope_that_was_acknowledged_survives_the_death_of_any_relay() {
    // Every member dies at every moment of a put, with its disk having done all or nothing.
    for victim in 0..3 {
        for applied in [0, 9] {
            for slow in [
                [true, false, false],
                [false, true, false],
                [false, true, true],
            ] {
                let mut net = Net::new(4);
                let mut owner = Owner::with_mailbox(&mut net, 3, 0);
                let mut sender = Caller::at(&mut net, 3);
                let put = owner.put(&net, 0, 1);
                (0..3).for_each(|index| net.nodes[index].slow_disk = slow[index]);
                sender.ask(&mut net, &[3, 0], &put);
                net.kill(victim, applied);
                (0..3).for_each(|index| net.nodes[index].slow_disk = false);
                net.settle();
                let replies = sender.replies(&mut net);
                net.start(victim);
                net.advance(Duration::from_secs(40));
                sender.connect(&mut net);
                owner.caller.connect(&mut net);
                sender.replies(&mut net);
                let held = holders(&mut net, &mut owner, 1);
                if let Some(Reply::Put(reply)) = replies.first() {
                    assert!(
                        held >= usize::from(reply.held),
                        "{victim} {applied} {slow:?}"
                    );
                }
                // The sender, who may have heard nothing, tries again: the same envelope, once.
                assert!(matches!(
                    sender.call(&mut net, &[3, 0], &put),
                    Some(Reply::Put(_))
                ));
                net.advance(Duration::from_secs(5));
                assert_eq!(holders(&mut net, &mut owner, 1), 3);
            }
        }
    }
}

#[test]
fn nothing_is_acknowledged_before_it_is_on_disk() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 3);
    let mut sender = Caller::at(&mut net, 3);
    (0..3).for_each(|index| net.nodes[index].slow_disk = true);
    let put = owner.put(&net, 0, 1);
    sender.ask(&mut net, &[3, 0], &put);
    let subscription = owner.subscription(&mut net, 1, 2);
    owner.caller.ask(&mut net, &[3, 1], &subscription);
    assert!(sender.replies(&mut net).is_empty() && owner.caller.replies(&mut net).is_empty());
    net.nodes[0].slow_disk = false;
    net.settle();
    assert!(
        sender.replies(&mut net).is_empty(),
        "one disk of three is no majority"
    );
    assert_eq!(owner.pushes(&mut net).len(), 1, "but its owner may have it");
    net.nodes[1].slow_disk = false;
    net.settle();
    assert!(matches!(sender.replies(&mut net)[..], [Reply::Put(_)]));
    assert!(matches!(
        owner.caller.replies(&mut net)[..],
        [Reply::Subscribe(_)]
    ));
}

#[test]
fn subscription_stock_and_mail_survive_a_restart_and_are_pushed_after_it() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 4);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    sender.call(&mut net, &[3, 0], &put).unwrap();
    (0..3).for_each(|index| net.kill(index, 0));
    net.settle();
    net.take_inbox(owner.caller.socket); // The push of before is lost.
    owner.caller.received += 1;
    (0..3).for_each(|index| net.start(index));
    net.advance(Duration::from_mins(1));
    let pushes = owner.pushes(&mut net);
    assert!(!pushes.is_empty());
    assert!(
        pushes.iter().all(|push| push.envelopes[0].id == id(1)),
        "{}",
        pushes.len()
    );
    let put = owner.put(&net, 1, 2);
    sender.connect(&mut net);
    sender.replies(&mut net);
    assert!(sender.call(&mut net, &[3, 1], &put).is_some());
    assert_eq!(owner.pushes(&mut net)[0].envelopes[0].id, id(2));
}

#[test]
fn an_acknowledgement_survives_a_crash_and_is_asked_for_again_otherwise() {
    for applied in [0, 1] {
        let mut net = Net::new(4);
        let mut owner = Owner::with_mailbox(&mut net, 3, 0);
        let mut sender = Caller::at(&mut net, 3);
        let put = owner.put(&net, 0, 1);
        sender.call(&mut net, &[3, 0], &put).unwrap();
        net.nodes[0].slow_disk = true;
        let tombstone = zentalk_shared::rpc::Tombstone::sign(&owner.key, vec![id(1)]).unwrap();
        let request = zentalk_shared::rpc::Request::Acknowledge(tombstone);
        owner.caller.ask(&mut net, &[3, 0], &request);
        net.kill(0, applied);
        net.nodes[0].slow_disk = false;
        assert!(owner.caller.replies(&mut net).is_empty());
        net.start(0);
        net.advance(Duration::from_secs(5));
        assert_eq!(owner.fetch(&mut net, 0).envelopes.len(), 1 - applied);
        owner.acknowledge(&mut net, 0, &[1]);
        assert_eq!(holders(&mut net, &mut owner, 1), 0);
    }
}
