//! An owner who comes back to a backlog of ten thousand messages, and fetches it through three relays.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use zentalk_relay::core::Ticket;
use zentalk_relay::core::store::{Hour, PutEnvelope, Quotas, StoreOp};
use zentalk_relay::store::{DbOptions, Started, StoreThreads};
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{Class, Directory};
use zentalk_shared::rpc::Reply;

use crate::echo::Echo;
use crate::forward;
use crate::measure::{cpu_of_all, micros_each, scaled};
use crate::support::{Client, Network, Owner, complete_directory, envelope, envelope_id, now};

const BACKLOG: usize = 10_000;
/// Envelopes that one reply of the class `bulk` brings.
const PAGE: usize = 3;
/// Three relays there, two back.
const HOPS: f64 = 5.0;
const NO_ANSWER: Duration = Duration::from_secs(2);
/// As many ids as one acknowledgement may have.
const ACKNOWLEDGED: usize = 400;

pub(crate) async fn measure() {
    let backlog = scaled(BACKLOG);
    let quotas = Quotas {
        envelopes: 20_000,
        bytes: 200 << 20,
        ..Quotas::default()
    };
    let mut network = Network::start(3, |_| {
        format!(
            "[limits]\nclient_frames_per_minute = 60000\nenvelopes_per_mailbox = {}\nbytes_per_mailbox = {}\n",
            quotas.envelopes, quotas.bytes
        )
    });
    let directory = complete_directory(&network.relays[0].url, 3).await;
    let middle = Client::at(&network.relays[1].url, 98).await.guard();
    let member = Client::at(&network.relays[2].url, 99).await.guard();
    let mut client = Client::at(&network.relays[0].url, 1).await;
    let mut owner = Owner::new(&mut client, vec![member]);
    let path = client.path(&directory, &[middle, member]);
    let subscribe = owner.subscription(&mut client, &member, &path.back(), 0);
    assert!(matches!(
        client.call(&path, &subscribe).await,
        Reply::Subscribe(_)
    ));
    // Straight into its database, while it is down.
    network.relays[2].kill();
    fill(
        &network.relays[2].home.join("data"),
        quotas,
        &owner,
        backlog as u64,
    );
    network.relays[2].start();
    until_linked(
        &network.relays[0].url,
        &directory,
        &[middle, member],
        &mut owner,
    )
    .await;
    let echo = Echo::start();
    let (io, peel) = forward::floor(&echo, Class::Bulk).await;
    let (began, cpu) = (Instant::now(), cpu_of_all(&network.relays));
    let ids = owner.fetch_all(&mut client, &path, &member).await;
    let fetched = began.elapsed();
    let cpu = cpu_of_all(&network.relays) - cpu;
    assert_eq!(ids.len(), backlog);
    for some in ids.chunks(ACKNOWLEDGED) {
        let acknowledge = owner.acknowledge(some.to_vec());
        assert!(matches!(
            client.call(&path, &acknowledge).await,
            Reply::Acknowledge(_)
        ));
    }
    let all = began.elapsed();
    println!("drain: {backlog} messages through three relays, one page under way at a time");
    println!(
        "  fetched                {:.1} s, {:.0} a second",
        fetched.as_secs_f64(),
        backlog as f64 / fetched.as_secs_f64()
    );
    println!("  and acknowledged       {:.1} s", all.as_secs_f64());
    let pages = backlog.div_ceil(PAGE);
    let cpu = micros_each(cpu, pages);
    let floor = HOPS * (io + peel);
    println!("  CPU of all relays      {cpu:.0} µs a page of {PAGE}");
    println!("  floor                  {floor:.0} µs: {HOPS} peels and echoes of `bulk`");
    println!("  relays / floor         {:.2}", cpu / floor);
}

/// After a restart relays connect again in their own time.
async fn until_linked(url: &str, directory: &Directory, through: &[NodeId], owner: &mut Owner) {
    let mut probe = Client::at(url, 2).await;
    let path = probe.path(directory, through);
    let mut answered = false;
    while !answered {
        let fetch = owner.fetch(&through[1], 0);
        answered = timeout(NO_ANSWER, probe.call(&path, &fetch)).await.is_ok();
    }
}

fn fill(data: &std::path::Path, quotas: Quotas, owner: &Owner, backlog: u64) {
    let (answers, answered) = channel();
    let options = DbOptions {
        quotas,
        max_bytes: None,
    };
    let Started { store, .. } = StoreThreads::start(data, options, || {
        let answers = answers.clone();
        Box::new(move |_, reply| answers.send(reply).unwrap())
    })
    .unwrap();
    for n in 0..backlog {
        let put = StoreOp::Put(PutEnvelope {
            mailbox: owner.key.id(),
            id: envelope_id(n),
            envelope: Box::new(envelope(n)),
            hour: Hour::at(now()),
            permitted: true,
        });
        assert!(store.submit(Ticket(n), put));
    }
    for _ in 0..backlog {
        answered.recv().unwrap().unwrap();
    }
    store.finish();
}
