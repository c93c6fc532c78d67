//! Messages end to end: through three relays into a swarm of three, durable on two, and pushed back to their owner.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use zentalk_shared::id::{EnvelopeId, MessageId, NodeId};
use zentalk_shared::onion::Class;
use zentalk_shared::rpc::Reply;

use crate::echo::Echo;
use crate::forward;
use crate::measure::{LOST, cpu_of_all, metric, scaled, spread};
use crate::support::{
    Client, Network, Owner, PATIENCE, Path, Process, complete_directory, envelope_id,
};

const RELAYS: usize = 5;
const PEOPLE: usize = 48;
/// Messages of one person at full load: as many as a stock of reply blocks can bring.
const EACH: usize = 30;
/// Parts of the load in percent, and messages of one person: a stock must not have to bring what is pushed again after
/// a minute.
const LOADS: [(u32, usize); 3] = [(10, 10), (50, EACH), (90, EACH)];
/// By then a request has got lost.
const NO_ANSWER: Duration = Duration::from_secs(2);
/// Reply blocks in a stock.
const STOCK: usize = 32;
/// What the relays do at least for one message: peels to the mailbox, of the answer, and of the push; and frames of
/// about that length, which are these and two replicas.
const PEELS: f64 = 7.0;
const FRAMES: f64 = 9.0;

/// Somebody who writes to themselves: the ways are those of two people, and one clock times both ends.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) owner: Owner,
    held: Vec<EnvelopeId>,
}

/// From when a message was due: until the sender heard that a majority holds it, and until its owner had it.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) sent: Vec<Duration>,
    pub(crate) delivered: Vec<Duration>,
}

/// A message made before the clock starts.
struct Ready {
    id: MessageId,
    envelope: EnvelopeId,
    frame: Vec<u8>,
}

impl Times {
    pub(crate) fn join(&mut self, more: Self) {
        self.sent.extend(more.sent);
        self.delivered.extend(more.delivered);
    }
}

impl Person {
    pub(crate) async fn at(
        url: &str,
        seed: u64,
        members: impl FnOnce(NodeId) -> Vec<NodeId>,
    ) -> Self {
        let mut client = Client::at(url, seed).await;
        let members = members(client.guard());
        let owner = Owner::new(&mut client, members);
        Self {
            client,
            owner,
            held: Vec::new(),
        }
    }

    /// A whole stock at the first member, by which it pushes over what is before it on `back`; what was read is
    /// acknowledged, so that it is not pushed again.
    pub(crate) async fn subscribe(&mut self, path: &Path, back: &Path, least: usize) {
        assert!(least <= STOCK);
        let member = self.owner.members[0];
        if !self.held.is_empty() {
            let acknowledge = self.owner.acknowledge(std::mem::take(&mut self.held));
            let reply = self.client.call(path, &acknowledge).await;
            assert!(matches!(reply, Reply::Acknowledge(_)), "{reply:?}");
        }
        let back = back.back();
        let subscribe = self
            .owner
            .subscription(&mut self.client, &member, &back, STOCK);
        let reply = self.client.call(path, &subscribe).await;
        assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    }

    /// Opens the mailbox at a member. Relays that have just started connect in their own time: it is asked until it
    /// answers.
    async fn open(&mut self, member: &NodeId, path: &Path) {
        loop {
            let back = path.back();
            let open = self.owner.subscription(&mut self.client, member, &back, 0);
            if let Ok(reply) = timeout(NO_ANSWER, self.client.call(path, &open)).await {
                assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
                return;
            }
        }
    }

    fn prepare(&mut self, path: &Path, first: usize, count: usize) -> Vec<Ready> {
        let member = self.owner.members[0];
        let ready = (first..first + count).map(|n| {
            let n = n as u64;
            let (id, frame) = self.client.frame_of(path, &self.owner.put(&member, n));
            let envelope = envelope_id(n);
            Ready {
                id,
                envelope,
                frame,
            }
        });
        ready.collect()
    }

    /// One message after the other.
    pub(crate) async fn write_all(&mut self, path: &Path, first: usize, count: usize) -> Times {
        let mut times = Times::default();
        for message in self.prepare(path, first, count) {
            self.write(message, Instant::now(), &mut times).await;
        }
        times
    }

    /// Sends a message and waits for both ends of it.
    async fn write(&mut self, message: Ready, due: Instant, times: &mut Times) {
        let Ready {
            id,
            envelope,
            frame,
        } = message;
        self.client.say(frame).await;
        let (mut sent, mut delivered) = (None, None);
        while sent.is_none() || delivered.is_none() {
            let answer = timeout(PATIENCE, self.client.answer()).await;
            match answer.expect("an answer in time") {
                (answered, Reply::Put(_)) => {
                    assert_eq!(answered, id);
                    sent = Some(due.elapsed());
                }
                (_, Reply::Push(push)) => {
                    if push.envelopes.iter().any(|item| item.id == envelope) {
                        delivered = delivered.or_else(|| Some(due.elapsed()));
                    }
                }
                (_, other) => panic!("{other:?}"),
            }
        }
        times.sent.extend(sent);
        times.delivered.extend(delivered);
        self.held.push(envelope);
    }
}

/// People, their way to their mailboxes, and the number of their next message.
struct Crowd {
    people: Vec<Person>,
    path: Path,
    next: usize,
}

impl Crowd {
    async fn gather(network: &Network) -> Self {
        let first = &network.relays[0].url;
        let directory = complete_directory(first, RELAYS).await;
        let mut nodes = Vec::new();
        for relay in &network.relays {
            nodes.push(Client::at(&relay.url, 99).await.guard());
        }
        let mut people = Vec::new();
        for seed in 0..PEOPLE {
            let members = nodes[2..].to_vec();
            let mut person = Person::at(first, 1_000 + seed as u64, |_| members).await;
            for member in &nodes[2..] {
                let path = person.client.path(&directory, &[nodes[1], *member]);
                person.open(member, &path).await;
            }
            people.push(person);
        }
        let path = people[0].client.path(&directory, &[nodes[1], nodes[2]]);
        Self {
            people,
            path,
            next: 0,
        }
    }

    /// Everybody writes so many: at even distances, `rate` a second in all, or else one as soon as the one before is
    /// there.
    async fn write(&mut self, relays: &[Process], each: usize, rate: Option<f64>) -> Written {
        let mut loads = Vec::new();
        for mut person in self.people.drain(..) {
            person.subscribe(&self.path, &self.path, each).await;
            let messages = person.prepare(&self.path, self.next, each);
            loads.push((person, messages));
        }
        self.next += each;
        let (began, cpu) = (Instant::now(), cpu_of_all(relays));
        let mut writing = JoinSet::new();
        for (index, (mut person, messages)) in loads.into_iter().enumerate() {
            writing.spawn(async move {
                let mut times = Times::default();
                for (round, message) in messages.into_iter().enumerate() {
                    let place = (round * PEOPLE + index) as f64;
                    let due = rate.map(|rate| began + Duration::from_secs_f64(place / rate));
                    if let Some(due) = due {
                        sleep_until(due.into()).await;
                    }
                    // Whoever is late has kept the message waiting.
                    let due = due.unwrap_or_else(Instant::now);
                    person.write(message, due, &mut times).await;
                }
                (person, times)
            });
        }
        let mut all = Times::default();
        for (person, times) in writing.join_all().await {
            self.people.push(person);
            all.join(times);
        }
        let messages = (PEOPLE * each) as f64;
        Written {
            rate: messages / began.elapsed().as_secs_f64(),
            cpu: (cpu_of_all(relays) - cpu).as_secs_f64() * 1e6 / messages,
            times: all,
        }
    }
}

/// What came of it.
struct Written {
    /// Messages a second.
    rate: f64,
    /// Microseconds of all relays for one of them.
    cpu: f64,
    times: Times,
}

pub(crate) async fn measure() {
    let network = Network::start(RELAYS, |_| {
        "[limits]\nclient_frames_per_minute = 60000\n".to_owned()
    });
    let mut crowd = Crowd::gather(&network).await;
    let echo = Echo::start();
    // For warming up.
    crowd.write(&network.relays, 2, None).await;
    let (io, peel) = forward::floor(&echo, Class::Message).await;
    let floor = FRAMES * io + PEELS * peel;
    let full = crowd.write(&network.relays, scaled(EACH), None).await;
    let Written {
        rate: full,
        cpu,
        mut times,
    } = full;
    println!(
        "mail: three relays to a mailbox of three and back to its owner; five relays and {PEOPLE} people on this machine"
    );
    println!("  at full load           {full:.0} messages a second");
    println!("    delivered            {}", spread(&mut times.delivered));
    println!("  CPU of all relays      {cpu:.0} µs a message");
    println!("  floor                  {floor:.0} µs: {PEELS} peels, {FRAMES} frames echoed");
    println!("  relays / floor         {:.2}", cpu / floor);
    for (load, each) in LOADS {
        let rate = full * f64::from(load) / 100.0;
        let written = crowd.write(&network.relays, scaled(each), Some(rate)).await;
        let mut times = written.times;
        println!(
            "  at {load} %, delivered     {}",
            spread(&mut times.delivered)
        );
        println!("    sent                 {}", spread(&mut times.sent));
    }
    for relay in &network.relays {
        assert_eq!(metric(relay, LOST).await, 0);
    }
}
