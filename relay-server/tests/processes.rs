//! Five relay processes: mail through three hops, kills, a full disk, many senders on one socket.

mod support;

use std::collections::BTreeSet;

use support::{Client, Network, Owner, complete_directory, envelope_id, fetched, pushed};
use tokio::sync::mpsc;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::Directory;
use zentalk_shared::rpc::{Refusal, Reply};
use zentalk_shared::wire::link::LinkErrorCode;

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
    let mut network = Network::start(5, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[3].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes[..3].to_vec());
    for member in nodes[..3].to_vec() {
        // Guard, a fresh relay, the member; pushes come back over the first two.
        let path = client.path(&directory, &[nodes[4], member]);
        let back = [path[1].clone(), path[0].clone()];
        let subscribe = owner.subscription(&mut client, &member, &back, 4);
        let reply = client.call(&path, &subscribe).await;
        assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    }
    let mut sender = Client::at(&network.relays[4].url, 2).await;
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

#[tokio::test]
async fn a_full_disk_is_refused_and_what_was_acknowledged_is_there() {
    let extra = |_| "[limits]\ndatabase_bytes = 600_000\n".to_owned();
    let mut network = Network::start(1, extra);
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, nodes.clone());
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &nodes[0], &path, 0);
    assert!(matches!(
        client.call(&path, &subscribe).await,
        Reply::Subscribe(_)
    ));
    let mut acknowledged = BTreeSet::new();
    let mut refused = 0;
    for n in 0..90 {
        match client.call(&path, &owner.put(&nodes[0], n)).await {
            Reply::Put(_) => drop(acknowledged.insert(envelope_id(n))),
            Reply::Refused(reply) => {
                assert_eq!(reply.reason, Refusal::Full);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        acknowledged.len() > 5 && refused > 5,
        "{} and {refused}",
        acknowledged.len()
    );
    network.relays[0].kill();
    network.relays[0].start();
    let mut client = Client::at(&network.relays[0].url, 3).await;
    let mut after = 0;
    let mut found = BTreeSet::new();
    loop {
        let page = fetched(client.call(&path, &owner.fetch(&nodes[0], after)).await);
        found.extend(page.envelopes.iter().map(|item| item.id));
        after = page.next;
        if page.envelopes.is_empty() {
            break;
        }
    }
    assert!(
        found.is_superset(&acknowledged),
        "{} of {}",
        found.len(),
        acknowledged.len()
    );
}

#[tokio::test]
async fn fault_17_many_senders_and_one_socket_do_not_interleave() {
    const EACH: u64 = 40;
    let network = Network::start(3, |_| String::new());
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, vec![nodes[2]]);
    let path = client.path(&directory, &[nodes[2]]);
    let back = [path[0].clone()];
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
            for put in &puts {
                sender.ask(&path, put).await;
            }
            for _ in &puts {
                let reply = sender.reply().await;
                assert!(matches!(reply, Reply::Put(_)), "{reply:?}");
                stored.send(()).unwrap();
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
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let code = network.relays[0].terminate();
    assert_eq!(client.farewell().await.code, LinkErrorCode::ShuttingDown);
    assert_eq!(code, Some(0), "{}", network.relays[0].log());
    network.relays[0].start();
    Client::at(&network.relays[0].url, 2).await;
}

#[tokio::test]
async fn logs_name_nobody() {
    let network = Network::start(2, |_| {
        "[log]\nformat = \"json\"\nlevel = \"debug\"\n".to_owned()
    });
    let (directory, nodes) = nodes(&network).await;
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, vec![nodes[1]]);
    let path = client.path(&directory, &[nodes[1]]);
    let back = [path[0].clone()];
    let subscribe = owner.subscription(&mut client, &nodes[1], &back, 2);
    assert!(matches!(
        client.call(&path, &subscribe).await,
        Reply::Subscribe(_)
    ));
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let secrets = [
        hex(client.tag.as_bytes()),
        hex(owner.key.id().as_bytes()),
        client.local_address(),
    ];
    for relay in &network.relays {
        let log = relay.log();
        assert!(log.contains("relay linked"), "{log}");
        for secret in &secrets {
            assert!(!log.contains(secret), "{secret} in\n{log}");
        }
    }
}
