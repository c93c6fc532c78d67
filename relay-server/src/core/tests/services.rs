//! Prekeys, account records and the directory, as clients see them.

use zentalk_shared::identity::DirectorySecret;
use zentalk_shared::onion::{Class, UnverifiedDescriptor};
use zentalk_shared::rpc::{
    AccountRecord, DirectorySyncRequest, OwnerOp, PreKeyPublishBody, PreKeyTakeRequest,
    RecordGetRequest, RecordPutReply, RecordPutRequest, Refusal, Refused, Reply, Request,
    SYNC_STEP,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedBytes, BoundedList, Bytes};

use super::net::Net;
use super::people::{Caller, Owner};
use crate::core::store::Quotas;
use crate::core::{Limits, Rate};

fn publish(net: &mut Net, owner: &mut Owner, member: usize, keys: &[u8]) -> Option<Reply> {
    let one_time = keys
        .iter()
        .map(|n| BoundedBytes::new(vec![*n; 60]).unwrap())
        .collect();
    let body = PreKeyPublishBody {
        replace: false,
        base: BoundedBytes::new(vec![9; 3000]).unwrap(),
        one_time: BoundedList::new(one_time).unwrap(),
    };
    let request = Request::PreKeyPublish(owner.signed(net, member, OwnerOp::PreKeyPublish, &body));
    owner
        .caller
        .call(net, &[owner.caller.guard, member], &request)
}

/// The first byte of the one-time part.
fn take(net: &mut Net, caller: &mut Caller, owner: &Owner, member: usize) -> Option<Option<u8>> {
    let request = Request::PreKeyTake(PreKeyTakeRequest {
        mailbox: owner.key.id(),
    });
    match caller.call(net, &[caller.guard, member], &request) {
        Some(Reply::PreKeyTake(bundle)) => Some(bundle.one_time.map(|key| key[0])),
        Some(Reply::Refused(_)) | None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fault_05_every_asker_gets_a_one_time_prekey_of_its_own() {
    let mut net = Net::new(3);
    let mut owner = Owner::with_mailbox(&mut net, 2, 0);
    let mut caller = Caller::at(&mut net, 2);
    let mut nobody = Owner::new(&mut net, 2);
    let unknown = Some(Reply::Refused(Refused::because(Refusal::Unknown)));
    assert_eq!(publish(&mut net, &mut nobody, 0, &[1]), unknown);
    assert_eq!(take(&mut net, &mut caller, &owner, 0), None);
    assert!(publish(&mut net, &mut owner, 0, &[1, 2]).is_some());
    assert!(publish(&mut net, &mut owner, 1, &[3]).is_some());
    assert_eq!(take(&mut net, &mut caller, &owner, 0), Some(Some(1)));
    assert_eq!(take(&mut net, &mut caller, &owner, 1), Some(Some(3)));
    assert_eq!(take(&mut net, &mut caller, &owner, 0), Some(Some(2)));
    assert_eq!(
        take(&mut net, &mut caller, &owner, 0),
        Some(None),
        "the base is for everybody"
    );
}

#[test]
fn fault_05_a_prekey_that_may_have_left_is_gone_after_a_crash() {
    let mut net = Net::new(3);
    let mut owner = Owner::with_mailbox(&mut net, 2, 0);
    let mut caller = Caller::at(&mut net, 2);
    publish(&mut net, &mut owner, 0, &[1, 2, 3]).unwrap();
    net.nodes[0].slow_disk = true;
    assert_eq!(
        take(&mut net, &mut caller, &owner, 0),
        None,
        "no reply before it is removed"
    );
    net.kill(0, 1);
    net.nodes[0].slow_disk = false;
    net.start(0);
    net.advance(Duration::from_secs(20));
    caller.replies(&mut net);
    assert_eq!(take(&mut net, &mut caller, &owner, 0), Some(Some(2)));
}

#[test]
fn who_asks_too_often_gets_the_base_alone() {
    let limits = Limits {
        prekeys: Rate {
            per_minute: 1,
            burst: 2,
        },
        ..Limits::default()
    };
    let mut net = Net::with(3, limits, Quotas::default());
    let mut owner = Owner::with_mailbox(&mut net, 2, 0);
    let mut caller = Caller::at(&mut net, 2);
    publish(&mut net, &mut owner, 0, &[1, 2, 3, 4]).unwrap();
    let taken: Vec<_> = (0..4)
        .map(|_| take(&mut net, &mut caller, &owner, 0))
        .collect();
    assert_eq!(
        taken,
        [Some(Some(1)), Some(Some(2)), Some(None), Some(None)]
    );
    net.advance(Duration::from_secs(60));
    assert_eq!(take(&mut net, &mut caller, &owner, 0), Some(Some(3)));
}

#[test]
fn fault_18_records_are_their_signers_and_never_go_back() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 1);
    let secret = DirectorySecret::random(&mut net.rng);
    let expires = net.now + Duration::from_days(20);
    let sign =
        |sequence, byte| AccountRecord::sign(&secret, sequence, expires, vec![byte; 9000]).unwrap();
    let put = |net: &mut Net, caller: &mut Caller, bytes: Vec<u8>| {
        let record = BoundedBytes::new(bytes).unwrap();
        caller.call(
            net,
            &[1, 0],
            &Request::RecordPut(RecordPutRequest { record, work: None }),
        )
    };
    let key = sign(1, 1).key();
    let get = |net: &mut Net, caller: &mut Caller| match caller.call(
        net,
        &[1, 0],
        &Request::RecordGet(RecordGetRequest { key }),
    ) {
        Some(Reply::RecordGet(reply)) => reply.record.map(|record| record.to_vec()),
        other => panic!("{other:?}"),
    };
    assert_eq!(get(&mut net, &mut caller), None);
    let reply = |stored, sequence| Some(Reply::RecordPut(RecordPutReply { stored, sequence }));
    assert_eq!(
        put(&mut net, &mut caller, sign(2, 2).bytes().to_vec()),
        reply(true, 2)
    );
    assert_eq!(
        put(&mut net, &mut caller, sign(1, 1).bytes().to_vec()),
        reply(false, 2)
    );
    let mut forged = sign(3, 3).bytes().to_vec();
    let at = forged.len() / 2;
    forged[at] ^= 1;
    let refused = Some(Reply::Refused(Refused::because(Refusal::NotAllowed)));
    assert_eq!(put(&mut net, &mut caller, forged), refused);
    assert_eq!(
        get(&mut net, &mut caller),
        Some(sign(2, 2).bytes().to_vec())
    );
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(20));
    assert_eq!(
        get(&mut net, &mut caller),
        Some(sign(2, 2).bytes().to_vec())
    );
}

#[test]
fn a_reply_that_does_not_fit_its_class_is_refused_and_not_lost() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 1);
    let secret = DirectorySecret::random(&mut net.rng);
    let expires = net.now + Duration::from_days(20);
    let record = AccountRecord::sign(&secret, 1, expires, vec![1; 9000]).unwrap();
    let put = Request::RecordPut(RecordPutRequest {
        record: record.bytes().clone(),
        work: None,
    });
    caller.call(&mut net, &[1, 0], &put).unwrap();
    let get = Request::RecordGet(RecordGetRequest { key: record.key() });
    caller.ask_in(&mut net, &[1, 0], &get, Class::Message);
    let refused = Reply::Refused(Refused::because(Refusal::Malformed));
    assert_eq!(caller.replies(&mut net), [refused]);
}

#[test]
fn the_directory_tells_what_is_new_in_it() {
    let mut net = Net::new(6);
    net.advance(Duration::from_hours(1));
    let now = net.now;
    net.kill(5, 0);
    net.start(5);
    net.advance(Duration::from_mins(1));
    let mut caller = Caller::at(&mut net, 1);
    let mut ask = |known, since| {
        let request = Request::DirectorySync(DirectorySyncRequest {
            known,
            offset: 0,
            since,
        });
        caller.ask_in(&mut net, &[1, 0], &request, Class::Bulk);
        match caller.replies(&mut net).pop() {
            Some(Reply::DirectorySync(part)) => (part, net.relay(5).node(), net.now),
            other => panic!("{other:?}"),
        }
    };
    let nothing = Bytes([0; 32]);
    let (new, node, later) = ask(nothing, Some(now));
    assert_eq!((new.total, new.descriptors.len()), (1, 1));
    let listed = UnverifiedDescriptor::decode(&new.descriptors[0]).unwrap();
    assert_eq!(listed.claimed_node(), node);
    assert_eq!(new.time, Some(later.floor_to(SYNC_STEP)));
    let (all, ..) = ask(nothing, None);
    assert_eq!((all.total, all.digest), (6, new.digest));
    let (none, ..) = ask(nothing, Some(later + Duration::from_mins(1)));
    assert_eq!((none.total, none.descriptors.len()), (0, 0));
    let (same, ..) = ask(all.digest, Some(now));
    assert_eq!(same.descriptors.len(), 0);
    // Whoever asks for what came before the beginning of time gets everything.
    let (early, ..) = ask(nothing, Some(Timestamp::EPOCH));
    assert_eq!(early.total, 6);
}

#[test]
fn the_directory_comes_in_parts() {
    let mut net = Net::new(6);
    let mut caller = Caller::at(&mut net, 1);
    let mut known = Bytes([0; 32]);
    let (mut read, mut rounds) = (0, 0);
    loop {
        let request = Request::DirectorySync(DirectorySyncRequest {
            known,
            offset: read,
            since: None,
        });
        caller.ask_in(&mut net, &[1, 0], &request, Class::Message);
        let Some(Reply::DirectorySync(part)) = caller.replies(&mut net).pop() else {
            panic!()
        };
        read += u32::try_from(part.descriptors.len()).unwrap();
        rounds += 1;
        if part.descriptors.is_empty() {
            break;
        }
        assert_eq!(part.total, 6);
        if read == part.total {
            known = part.digest;
        }
    }
    assert_eq!(read, 6);
    assert!(rounds >= 3, "a message packet has no room for all of them");
}
