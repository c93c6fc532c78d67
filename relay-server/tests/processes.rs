//! Five relay processes: mail through three hops, kills, a full disk, many senders on one socket.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::{
    Client, Network, Owner, PATIENCE, Path, binary_with_small_files, complete_directory,
    envelope_id, fetched, pushed,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zentalk_shared::id::{EnvelopeId, NodeId};
use zentalk_shared::onion::{Directory, Suite};
use zentalk_shared::rpc::{Refusal, Reply, Request};
use zentalk_shared::wire::link::LinkErrorCode;

/// Between two looks at something that has its own pace.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Relays in the order of their processes.
async fn nodes(network: &Network) -> (Directory, Vec<NodeId>) {
    let mut directory = Directory::new();
    // A packet for a relay that its forerunner does not know yet would be dropped.
    for relay in &network.relays {
        directory = complete_directory(&relay.url, network.relays.len()).await;
    }
    let node = |url: &str| {
        let at = |d: &&zentalk_shared::onion::RelayDescriptor| d.info().urls[0].as_str() == url;
        directory.iter().find(at).unwrap().node()
    };
    let nodes = network
        .relays
        .iter()
        .map(|relay| node(&relay.url))
        .collect();
    (directory, nodes)
}

#[tokio::test]
async fn mail_goes_through_three_relays_and_survives_the_death_of_its_keeper() {
    keeps_mail(Suite::X25519, |_| String::new()).await;
}

#[tokio::test]
async fn the_same_by_paths_of_x_wing_through_a_relay_that_offers_nothing_else() {
    let offers = |index| match index {
        4 => "onion_suites = [\"xwing\"]\n".to_owned(),
        _ => String::new(),
    };
    keeps_mail(Suite::XWing, offers).await;
}

async fn keeps_mail(suite: Suite, offers: impl Fn(usize) -> String) {
    let mut network = Network::start(5, offers);
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[3].url, 1).await;
    client.suite = suite;
    let mut owner = Owner::new(&mut client, nodes[..3].to_vec());
    for member in nodes[..3].iter().copied() {
        // Guard, a fresh relay, the member; pushes come back over the first two.
        let path = client.path(&directory, &[nodes[4], member]);
        let subscribe = owner.subscription(&mut client, &member, &path.back(), 4);
        let reply = client.call(&path, &subscribe).await;
        assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    }
    let mut sender = Client::at(&network.relays[4].url, 2).await;
    sender.suite = suite;
    let path = sender.path(&directory, &[nodes[3], nodes[0]]);
    let reply = sender.call(&path, &owner.put(&nodes[0], 1)).await;
    assert!(
        matches!(reply, Reply::Put(put) if put.held >= 2 && put.of == 3),
        "{reply:?}"
    );
    let push = pushed(client.reply().await);
    assert_eq!(push.envelopes[0].id, envelope_id(1));

    network.relays[0].kill();
    network.relays[0].start();
    let path = client.path(&directory, &[nodes[4], nodes[0]]);
    client.ask(&path, &owner.fetch(&nodes[0], 0)).await;
    // The restarted member may push the envelope again before it answers.
    let reply = loop {
        match client.reply().await {
            Reply::Push(push) => assert_eq!(push.envelopes[0].id, envelope_id(1)),
            reply => break fetched(reply),
        }
    };
    assert_eq!(reply.envelopes.len(), 1);
    assert_eq!(reply.envelopes[0].id, envelope_id(1));
}

/// Opens a mailbox at every member, from `guard`.
async fn open_mailbox(client: &mut Client, owner: &mut Owner, directory: &Directory, surbs: usize) {
    for member in owner.members.clone() {
        let path = client.path(directory, &[member]);
        let back = path.back();
        let subscribe = owner.subscription(client, &member, &back, surbs);
        let reply = client.call(&path, &subscribe).await;
        assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    }
}

/// Puts one envelope after the other; without an answer in time, the same one at another member.
/// Tells for each how many members were said to hold it.
async fn put_each(
    mut sender: Client,
    paths: Vec<Path>,
    envelopes: Vec<(EnvelopeId, Vec<Request>)>,
    news: mpsc::UnboundedSender<(EnvelopeId, u8)>,
) {
    const NO_ANSWER: Duration = Duration::from_secs(2);
    for (turn, (envelope, puts)) in envelopes.into_iter().enumerate() {
        let mut asked = BTreeSet::new();
        let held = 'tries: loop {
            let at = (turn + asked.len()) % puts.len();
            asked.insert(sender.ask(&paths[at], &puts[at]).await);
            while let Ok((id, reply)) = timeout(NO_ANSWER, sender.answer()).await {
                match reply {
                    // An answer to an earlier envelope may come late.
                    Reply::Put(put) if asked.contains(&id) => break 'tries put.held,
                    Reply::Refused(_) if asked.contains(&id) => break,
                    _ => {}
                }
            }
            assert!(asked.len() < 30, "a majority is there all the time");
        };
        news.send((envelope, held)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_16_what_was_acknowledged_under_load_survives_kills_and_is_there_once() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 30;
    let mut network = Network::start(5, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[3].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes[..3].to_vec());
    open_mailbox(&mut client, &mut owner, &directory, 0).await;
    let (told, mut news) = mpsc::unbounded_channel();
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let sender = Client::at(&network.relays[3 + (n as usize % 2)].url, 20 + n).await;
        let paths = owner
            .members
            .iter()
            .map(|member| sender.path(&directory, &[*member]));
        let paths: Vec<_> = paths.collect();
        let puts = |n| {
            (
                envelope_id(n),
                owner.members.iter().map(|m| owner.put(m, n)).collect(),
            )
        };
        let envelopes = (n * EACH..(n + 1) * EACH).map(puts).collect();
        senders.push(tokio::spawn(put_each(
            sender,
            paths,
            envelopes,
            told.clone(),
        )));
    }
    drop(told);
    let mut acknowledged = BTreeMap::new();
    let mut until = async |count: usize, acknowledged: &mut BTreeMap<_, _>| {
        while acknowledged.len() < count {
            let (id, held) = timeout(PATIENCE, news.recv())
                .await
                .expect("progress")
                .unwrap();
            acknowledged.insert(id, held);
        }
    };
    for (victim, killed, back) in [(0, 15, 25), (1, 45, 55), (2, 75, 85)] {
        until(killed, &mut acknowledged).await;
        network.relays[victim].kill();
        until(back, &mut acknowledged).await;
        network.relays[victim].start();
    }
    until((SENDERS * EACH) as usize, &mut acknowledged).await;
    for sender in senders {
        sender.await.unwrap();
    }
    let mut copies = BTreeMap::<EnvelopeId, u8>::new();
    let mut client = Client::at(&network.relays[4].url, 99).await;
    for member in owner.members.clone() {
        let path = client.path(&directory, &[member]);
        let found = owner.fetch_all(&mut client, &path, &member).await;
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "no envelope is there twice");
        found
            .iter()
            .for_each(|id| *copies.entry(*id).or_default() += 1);
    }
    for (id, held) in acknowledged {
        let found = copies.get(&id).copied().unwrap_or(0);
        assert!(
            held >= 2 && found >= held,
            "{id:?}: said {held}, found {found}"
        );
    }
}

#[tokio::test]
async fn fault_16_a_member_that_hangs_holds_up_nobody_and_is_told_later() {
    let network = Network::start(4, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[3].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes[..3].to_vec());
    open_mailbox(&mut client, &mut owner, &directory, 0).await;
    // Its sockets stay open and take bytes, but nobody reads them.
    network.relays[1].signal("-STOP");
    let path = client.path(&directory, &[nodes[0]]);
    for n in 0..10 {
        let reply = client.call(&path, &owner.put(&nodes[0], n)).await;
        assert!(
            matches!(reply, Reply::Put(put) if put.held == 2),
            "{reply:?}"
        );
    }
    network.relays[1].signal("-CONT");
    let path = client.path(&directory, &[nodes[1]]);
    let told = async {
        while owner.fetch_all(&mut client, &path, &nodes[1]).await.len() < 10 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, told)
        .await
        .expect("it is told what it has missed");
}

/// Fills a relay until it refuses; yields what it acknowledged, and the reasons of its refusals.
async fn fill(
    client: &mut Client,
    owner: &Owner,
    path: &Path,
    puts: u64,
) -> (BTreeSet<EnvelopeId>, Vec<Refusal>) {
    let (mut acknowledged, mut refused) = (BTreeSet::new(), Vec::new());
    for n in 0..puts {
        match client.call(path, &owner.put(&owner.members[0], n)).await {
            Reply::Put(_) => drop(acknowledged.insert(envelope_id(n))),
            Reply::Refused(reply) => refused.push(reply.reason),
            other => panic!("{other:?}"),
        }
    }
    (acknowledged, refused)
}

#[tokio::test]
async fn a_full_disk_is_refused_and_what_was_acknowledged_is_there() {
    let extra = |_| "[limits]\ndatabase_bytes = 900_000\n".to_owned();
    let mut network = Network::start(1, extra);
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes.clone());
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &nodes[0], &path, 0);
    let reply = client.call(&path, &subscribe).await;
    assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    let (acknowledged, refused) = fill(&mut client, &owner, &path, 120).await;
    assert!(
        acknowledged.len() > 5 && refused.len() > 5,
        "{}",
        acknowledged.len()
    );
    assert!(
        refused.iter().all(|reason| *reason == Refusal::Full),
        "{refused:?}"
    );
    assert_eq!(network.relays[0].get("/healthz", "").await.0, 200);
    let complaints = network.relays[0].log().matches("the disk is full").count();
    assert!(
        (1..5).contains(&complaints),
        "said, and not every time: {complaints}"
    );

    network.relays[0].kill();
    network.relays[0].start();
    let mut client = Client::at(&network.relays[0].url, 3).await;
    let found = owner.fetch_all(&mut client, &path, &nodes[0]).await;
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found, acknowledged);
    // Its owner can still take mail away, and then there is room again.
    let ids = acknowledged.into_iter().collect();
    let reply = client.call(&path, &owner.acknowledge(ids)).await;
    assert!(matches!(reply, Reply::Acknowledge(_)), "{reply:?}");
    let reply = client.call(&path, &owner.put(&nodes[0], 500)).await;
    assert!(matches!(reply, Reply::Put(_)), "{reply:?}");
}

#[tokio::test]
async fn a_disk_that_fails_is_refused_and_the_relay_lives_on() {
    let mut network = Network::start(1, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes.clone());
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &nodes[0], &path, 0);
    let reply = client.call(&path, &subscribe).await;
    assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    network.relays[0].terminate();
    network.relays[0].start_as(binary_with_small_files(1024));
    let mut client = Client::at(&network.relays[0].url, 2).await;
    let (acknowledged, refused) = fill(&mut client, &owner, &path, 160).await;
    assert!(
        acknowledged.len() > 5 && refused.len() > 5,
        "{}",
        acknowledged.len()
    );
    let typed = |reason: &Refusal| matches!(reason, Refusal::Full | Refusal::Busy);
    assert!(refused.iter().all(typed), "{refused:?}");
    assert_eq!(network.relays[0].get("/healthz", "").await.0, 200);
    network.relays[0].kill();
    network.relays[0].start();
    let mut client = Client::at(&network.relays[0].url, 3).await;
    let found = owner.fetch_all(&mut client, &path, &nodes[0]).await;
    let found: BTreeSet<_> = found.into_iter().collect();
    assert!(found.is_superset(&acknowledged));
}

#[tokio::test]
async fn fault_17_many_senders_and_one_socket_do_not_interleave() {
    const EACH: u64 = 40;
    // Two of them stay below what a relay takes for one mailbox at once.
    const AT_ONCE: usize = 30;
    let network = Network::start(3, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, vec![nodes[2]]);
    let path = client.path(&directory, &[nodes[2]]);
    let back = path.back();
    let subscribe = owner.subscription(&mut client, &nodes[2], &back, 48);
    assert!(matches!(
        client.call(&path, &subscribe).await,
        Reply::Subscribe(_)
    ));
    let (stored, mut news) = mpsc::unbounded_channel();
    let mut senders = Vec::new();
    for seed in 0..2 {
        let mut sender = Client::at(&network.relays[1].url, 10 + seed).await;
        let path = sender.path(&directory, &[nodes[2]]);
        let puts: Vec<_> = (0..EACH)
            .map(|n| owner.put(&nodes[2], seed * EACH + n))
            .collect();
        let stored = stored.clone();
        senders.push(tokio::spawn(async move {
            let (first, later) = puts.split_at(AT_ONCE);
            for put in first {
                sender.ask(&path, put).await;
            }
            for n in 0..puts.len() {
                let reply = sender.reply().await;
                assert!(matches!(reply, Reply::Put(_)), "{reply:?}");
                stored.send(()).unwrap();
                if let Some(put) = later.get(n) {
                    sender.ask(&path, put).await;
                }
            }
        }));
    }
    // Replies to fetches and pushes share the owner's socket; each frame must decode and open.
    let mut seen = BTreeSet::new();
    let (mut after, mut asked, mut more) = (0, false, false);
    while seen.len() < 2 * EACH as usize {
        tokio::select! {
            reply = client.reply() => match reply {
                Reply::Push(push) => seen.extend(push.envelopes.iter().map(|item| item.id)),
                reply => {
                    let page = fetched(reply);
                    seen.extend(page.envelopes.iter().map(|item| item.id));
                    (after, asked) = (page.next, false);
                    more |= page.remaining > 0;
                }
            },
            Some(()) = news.recv() => more = true,
        }
        if more && !asked {
            client.ask(&path, &owner.fetch(&nodes[2], after)).await;
            (asked, more) = (true, false);
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_says_so_and_ends_well() {
    let mut network = Network::start(1, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes.clone());
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &nodes[0], &path, 0);
    client.call(&path, &subscribe).await;
    for n in 0..50 {
        client.ask(&path, &owner.put(&nodes[0], n)).await;
    }
    let code = network.relays[0].terminate();
    let (acknowledged, farewell) = client.farewell().await;
    assert_eq!(farewell.code, LinkErrorCode::ShuttingDown);
    assert_eq!(code, Some(0), "{}", network.relays[0].log());
    network.relays[0].start();
    let mut client = Client::at(&network.relays[0].url, 2).await;
    let found = owner.fetch_all(&mut client, &path, &nodes[0]).await;
    assert!(
        found.len() >= acknowledged,
        "{} of {acknowledged}",
        found.len()
    );
}

#[tokio::test]
async fn health_is_for_everybody_and_metrics_for_this_machine() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let _client = Client::at(&relay.url, 1).await;
    assert_eq!(relay.get("/healthz", "").await, (200, "ok\n".to_owned()));
    let (code, metrics) = relay.get("/metrics", "").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("zentalk_connections"), "{metrics}");
    // Whoever could watch the counters from afar would see every packet of a quiet relay.
    for proxied in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Forwarded: for=192.0.2.1\r\n",
    ] {
        assert_eq!(relay.get("/metrics", proxied).await.0, 404);
    }
    assert_eq!(relay.get("/elsewhere", "").await.0, 404);
}

#[tokio::test]
async fn logs_name_nobody() {
    let network = Network::start(2, |_| {
        "[log]\nformat = \"json\"\nlevel = \"trace\"\n".to_owned()
    });
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::from("127.0.0.77", &network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, vec![nodes[1]]);
    open_mailbox(&mut client, &mut owner, &directory, 2).await;
    let path = client.path(&directory, &[nodes[1]]);
    client.call(&path, &owner.put(&nodes[1], 1)).await;
    // What breaks the rules is no reason to name anybody, either.
    let mut rude = Client::from("127.0.0.78", &network.relays[0].url, 2).await;
    rude.say(b"garbage".to_vec()).await;
    rude.farewell().await;
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let secrets = [
        hex(client.tag.as_bytes()),
        hex(owner.key.id().as_bytes()),
        hex(rude.tag.as_bytes()),
        hex(envelope_id(1).as_bytes()),
        "127.0.0.77".to_owned(),
        "127.0.0.78".to_owned(),
    ];
    for relay in &network.relays {
        let log = relay.log();
        assert!(log.contains("relay linked"), "{log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} in\n{log}");
        }
    }
}
