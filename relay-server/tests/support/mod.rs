//! Real relay processes on loopback, and a client that speaks to them through onions.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use minicbor::Encode;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use zentalk_shared::id::{ConnectionTag, EnvelopeId, MessageId, NodeId, SurbId};
use zentalk_shared::identity::MailboxSecret;
use zentalk_shared::onion::{Class, Directory, RelayDescriptor, Route, Suite, Surb, SurbKeys};
use zentalk_shared::rpc::{
    self, EnvelopeBytes, FetchBody, FetchReply, MailboxDescriptor, OwnerOp, OwnerRequest, Push,
    PutRequest, Reply, Request, SubscribeBody, SurbBytes, Tombstone, WriteSecret,
};
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::{BoundedBytes, BoundedList, Bytes, from_cbor, to_cbor};
use zentalk_shared::wire::link::{HandshakeAck, LinkError, Role};
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};
use zentalk_tests::live::by_hand::{self, request_frame, shake_hands, who_trusts};
use zentalk_tests::live::free_port;

pub(crate) use zentalk_tests::keys::relay_der;
pub(crate) use zentalk_tests::live::by_hand::{PATIENCE, frame, hello, next_frame, now};

/// A relay process with its own folder.
pub(crate) struct Process {
    pub(crate) url: String,
    pub(crate) home: PathBuf,
    config: PathBuf,
    child: Option<Child>,
}

/// Relays that know each other.
pub(crate) struct Network {
    pub(crate) relays: Vec<Process>,
    _folder: tempfile::TempDir,
}

/// Ports below those that the system gives to outgoing connections, so that none is taken between this
/// look and the relay's.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    std::iter::repeat_with(free_port).take(count).collect()
}

/// A private data directory with a test key, so that no key has to be generated.
pub(crate) fn data_dir(home: &std::path::Path, index: usize) -> PathBuf {
    let data = home.join("data");
    zentalk_relay::files::private_directory(&data).unwrap();
    zentalk_relay::files::write_private(&data.join("relay-rsa4096.pk8"), relay_der(index)).unwrap();
    data
}

/// The relay under a limit of the size of each file that it writes, in KiB: what lies beyond fails, as
/// on a broken disk.
pub(crate) fn binary_with_small_files(kib: u32) -> Command {
    let mut command = Command::new("sh");
    // `ulimit -f` counts blocks of 512 bytes. The signal must not end the process.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_zentalk-relay")])
        .env_clear()
        .stdin(Stdio::null());
    command
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zentalk-relay"));
    command.env_clear().stdin(Stdio::null());
    command
}

impl Network {
    /// Starts relays; `extra` is appended to each one's configuration.
    pub(crate) fn start(count: usize, extra: impl Fn(usize) -> String) -> Self {
        let mut index = 0..;
        Self::start_with("ws", count, |_, _| extra(index.next().unwrap_or_default()))
    }

    /// The same, with URLs of TLS; `extra` is told each one's URL and folder.
    pub(crate) fn start_secure(
        count: usize,
        extra: impl FnMut(&str, &std::path::Path) -> String,
    ) -> Self {
        Self::start_with("wss", count, extra)
    }

    fn start_with(
        scheme: &str,
        count: usize,
        extra: impl FnMut(&str, &std::path::Path) -> String,
    ) -> Self {
        let ports = free_ports(count);
        let url = |port: &u16| format!("{scheme}://127.0.0.1:{port}/v1");
        let urls: Vec<String> = ports.iter().map(url).collect();
        Self::start_led(&urls, &ports, extra)
    }

    /// The same, of relays at these ports; whoever connects to a URL gets to its port by some way.
    pub(crate) fn start_led(
        urls: &[String],
        ports: &[u16],
        mut extra: impl FnMut(&str, &std::path::Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peers: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
        let relays = urls.iter().zip(ports).enumerate();
        let relays = relays.map(|(index, (url, port))| {
            let home = folder.path().join(format!("relay-{index}"));
            fs::create_dir(&home).unwrap();
            let data = data_dir(&home, index);
            let config = home.join("relay.toml");
            let text = format!(
                "listen = \"127.0.0.1:{port}\"\nurl = {url:?}\ndata_dir = {data:?}\n\
                 operator = \"{index}\"\nallow_private = true\npeers = [{}]\nstrangers.effort = 0\n{}",
                peers.join(", "),
                extra(url, &home),
            );
            fs::write(&config, text).unwrap();
            let mut process = Process {
                url: url.clone(),
                home,
                config,
                child: None,
            };
            process.start();
            process
        });
        Self {
            relays: relays.collect(),
            _folder: folder,
        }
    }
}

impl Process {
    /// Starts the process and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        self.start_as(binary());
    }

    /// The same, by another command.
    pub(crate) fn start_as(&mut self, mut command: Command) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let mut child = command
            .args(["run", "--config"])
            .arg(&self.config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("ready node="), "{line:?}\n{}", self.log());
        self.child = Some(child);
    }

    /// One of the operator's commands on this relay: whether it succeeded, and all that it said.
    pub(crate) fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = binary()
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// What it answers to its operator.
    pub(crate) fn status(&self) -> String {
        self.command(&["status", "--json"]).1
    }

    /// Appends to its configuration.
    pub(crate) fn configure(&self, more: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, format!("{more}{text}")).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal: `-TERM`, `-STOP`, `-CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// SIGTERM; yields the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.take().unwrap().wait().unwrap().code()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("a number of KiB")
    }

    /// Where the relay listens.
    pub(crate) fn address(&self) -> &str {
        let (_, rest) = self.url.split_once("://").unwrap();
        rest.split('/').next().unwrap()
    }

    /// Status code and body of what it answers to a browser.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(PATIENCE, read).await.expect("an answer").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Connects and shakes hands; yields the socket and the answer.
pub(crate) async fn handshake(
    url: &str,
    role: Role,
    tag: Option<ConnectionTag>,
) -> (Socket, HandshakeAck) {
    handshake_from("127.0.0.1", url, role, tag).await
}

pub(crate) async fn handshake_from(
    address: &str,
    url: &str,
    role: Role,
    tag: Option<ConnectionTag>,
) -> (Socket, HandshakeAck) {
    let mut socket = connect_from(address, url).await;
    let answer = shake_hands(&mut socket, role, tag).await;
    (socket, answer)
}

/// An open WebSocket on which nothing was said.
pub(crate) async fn connect_from(address: &str, url: &str) -> Socket {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.bind(SocketAddr::new(address.parse().unwrap(), 0))
        .unwrap();
    let relay = url.trim_start_matches("ws://").split('/').next().unwrap();
    let connected = timeout(PATIENCE, tcp.connect(relay.parse().unwrap())).await;
    let stream = connected.unwrap().unwrap();
    // Thousands of sockets: the library would take 128 KiB for each at once.
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let opening = client_async_with_config(url, stream, Some(config));
    let opened = timeout(PATIENCE, opening).await;
    opened.unwrap().unwrap().0
}

/// Waits until something is so.
pub(crate) async fn eventually(mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("in time");
}

/// TLS that trusts this root only.
pub(crate) fn tls_client(root: &CertificateDer<'static>) -> TlsConnector {
    TlsConnector::from(Arc::new(who_trusts(root)))
}

/// Connects to a relay's address under TLS.
pub(crate) async fn connect_tls(
    relay: &Process,
    trusts: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_tls_to(relay.address(), trusts).await
}

pub(crate) async fn connect_tls_to(
    address: &str,
    trusts: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connected = timeout(PATIENCE, trusts.connect(name, tcp)).await;
    connected.expect("an end of the handshake")
}

/// Takes any certificate: for who looks at it otherwise.
#[derive(Debug)]
pub(crate) struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Reads a relay's directory until it lists `count` relays.
pub(crate) async fn complete_directory(url: &str, count: usize) -> Directory {
    let reading = async {
        let (mut socket, _) = handshake(url, Role::Visitor, None).await;
        by_hand::complete_directory(&mut socket, count).await
    };
    let complete = timeout(PATIENCE, reading).await;
    complete.expect("relays find each other in time")
}

/// Relays to send through.
#[derive(Clone)]
pub(crate) struct Path {
    relays: Vec<RelayDescriptor>,
    suite: Suite,
}

impl Path {
    /// The way back from the last of them; from a single one, to itself.
    pub(crate) fn back(&self) -> Self {
        let mut back = self.clone();
        if back.relays.len() > 1 {
            back.relays.pop();
            back.relays.reverse();
        }
        back
    }

    pub(crate) fn route(&self) -> Route {
        let delay = zentalk_shared::time::Duration::ZERO;
        let relays = self.relays.iter().map(|relay| (relay, delay));
        Route::through(relays, self.suite, now()).expect("keys of now")
    }
}

/// A client at its guard.
pub(crate) struct Client {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) tag: ConnectionTag,
    socket: Socket,
    surbs: HashMap<SurbId, SurbKeys>,
    guard: NodeId,
    /// Of its paths.
    pub(crate) suite: Suite,
}

impl Client {
    pub(crate) async fn at(url: &str, seed: u64) -> Self {
        Self::from("127.0.0.1", url, seed).await
    }

    /// The same, from another address of this machine.
    pub(crate) async fn from(address: &str, url: &str, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let tag = ConnectionTag::random(&mut rng);
        let (socket, ack) = handshake_from(address, url, Role::Client, Some(tag)).await;
        Self {
            rng,
            tag,
            socket,
            surbs: HashMap::new(),
            guard: ack.node,
            suite: Suite::X25519,
        }
    }

    /// The guard and these relays.
    pub(crate) fn path(&self, directory: &Directory, through: &[NodeId]) -> Path {
        let relay = |node: &NodeId| directory.get(node).expect("a known relay").clone();
        let relays = std::iter::once(&self.guard).chain(through).map(relay);
        Path {
            relays: relays.collect(),
            suite: self.suite,
        }
    }

    pub(crate) fn surb(&mut self, back: &Path) -> Surb {
        let route = back.route();
        let (surb, keys) = route.surb(self.tag, now(), &mut self.rng).unwrap();
        self.surbs.insert(keys.id(), keys);
        surb
    }

    /// Sends a request along `path`; the answer comes back through the relays before the last.
    pub(crate) async fn ask(&mut self, path: &Path, request: &Request) -> MessageId {
        let (id, frame) = self.frame_of(path, request);
        self.say(frame).await;
        id
    }

    /// The request as a frame, not sent yet, and its id.
    pub(crate) fn frame_of(&mut self, path: &Path, request: &Request) -> (MessageId, Vec<u8>) {
        let class = match request {
            Request::Put(_) | Request::Acknowledge(_) => Class::Message,
            _ => Class::Bulk,
        };
        let surb = self.surb(&path.back());
        request_frame(request, class, &path.route(), &surb, &mut self.rng)
    }

    /// The relay that it is connected to.
    pub(crate) const fn guard(&self) -> NodeId {
        self.guard
    }

    /// The next reply or push.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.answer().await.1
    }

    /// The next reply or push, with the id of the request.
    pub(crate) async fn answer(&mut self) -> (MessageId, Reply) {
        loop {
            let bytes = next_frame(&mut self.socket).await.expect("a reply");
            let frame = decode_frame(&bytes).expect("whole frames only");
            if frame.tag == Tag::Error {
                panic!("{:?}", from_cbor::<LinkError>(frame.payload, 256));
            }
            if frame.tag != Tag::Deliver {
                continue;
            }
            let (id, body) = frame.payload.split_first_chunk::<16>().unwrap();
            let keys = self
                .surbs
                .remove(&SurbId::from_bytes(*id))
                .expect("a reply block of ours");
            return Reply::decode(&keys.open(body.to_vec()).unwrap()).unwrap();
        }
    }

    pub(crate) async fn call(&mut self, path: &Path, request: &Request) -> Reply {
        self.ask(path, request).await;
        self.reply().await
    }

    /// Sends a frame as it is.
    pub(crate) async fn say(&mut self, frame: Vec<u8>) {
        self.socket
            .send(Message::Binary(frame.into()))
            .await
            .unwrap();
    }

    /// Reads until the relay ends the link: how many replies came before, and why it ended.
    pub(crate) async fn farewell(&mut self) -> (usize, LinkError) {
        let mut before = 0;
        loop {
            let bytes = next_frame(&mut self.socket).await.expect("a farewell");
            let frame = decode_frame(&bytes).unwrap();
            if frame.tag == Tag::Error {
                return (before, from_cbor(frame.payload, 256).unwrap());
            }
            before += usize::from(frame.tag == Tag::Deliver);
        }
    }

    /// Waits for an echo.
    pub(crate) async fn ping(&mut self) {
        let id = MessageId::random(&mut self.rng);
        self.say(encode_frame(Tag::Ping, id, b"")).await;
        loop {
            let bytes = next_frame(&mut self.socket).await.expect("a pong");
            let frame = decode_frame(&bytes).unwrap();
            if (frame.tag, frame.id) == (Tag::Pong, id) {
                return;
            }
        }
    }
}

/// Somebody with a mailbox.
pub(crate) struct Owner {
    pub(crate) key: MailboxSecret,
    pub(crate) secret: WriteSecret,
    pub(crate) members: Vec<NodeId>,
    sequence: u64,
}

impl Owner {
    pub(crate) fn new(client: &mut Client, members: Vec<NodeId>) -> Self {
        Self {
            key: MailboxSecret::random(&mut client.rng),
            secret: WriteSecret::random(&mut client.rng),
            members,
            sequence: now().as_ms(),
        }
    }

    fn signed<T: Encode<()>>(&mut self, member: &NodeId, op: OwnerOp, body: &T) -> OwnerRequest {
        self.sequence += 1;
        let body = BoundedBytes::new(to_cbor(body)).unwrap();
        OwnerRequest::sign(&self.key, member, op, self.sequence, body)
    }

    /// Subscribes at one member with reply blocks over `back`.
    pub(crate) fn subscription(
        &mut self,
        client: &mut Client,
        member: &NodeId,
        back: &Path,
        surbs: usize,
    ) -> Request {
        let active = u8::try_from(self.members.len().min(3)).unwrap();
        let descriptor =
            MailboxDescriptor::sign(&self.key, 1, self.members.clone(), active, now()).unwrap();
        let surbs = (0..surbs).map(|_| SurbBytes::new(client.surb(back).encode()).unwrap());
        let body = SubscribeBody {
            replace: true,
            descriptor: descriptor.bytes().clone(),
            surbs: BoundedList::new(surbs.collect()).unwrap(),
            permit: Some(self.secret.permit(member)),
            former: None,
            work: None,
        };
        Request::Subscribe(self.signed(member, OwnerOp::Subscribe, &body))
    }

    pub(crate) fn fetch(&mut self, member: &NodeId, after: u64) -> Request {
        let body = FetchBody { after, limit: 3 };
        Request::Fetch(self.signed(member, OwnerOp::Fetch, &body))
    }

    /// All that waits at a member, page by page.
    pub(crate) async fn fetch_all(
        &mut self,
        client: &mut Client,
        path: &Path,
        member: &NodeId,
    ) -> Vec<EnvelopeId> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            client.ask(path, &self.fetch(member, after)).await;
            let page = loop {
                match client.reply().await {
                    Reply::Push(_) => {}
                    reply => break fetched(reply),
                }
            };
            found.extend(page.envelopes.iter().map(|item| item.id));
            after = page.next;
            if page.remaining == 0 {
                return found;
            }
        }
    }

    pub(crate) fn acknowledge(&self, ids: Vec<EnvelopeId>) -> Request {
        Request::Acknowledge(Tombstone::sign(&self.key, ids).unwrap())
    }

    pub(crate) fn put(&self, member: &NodeId, n: u64) -> Request {
        Request::Put(PutRequest {
            mailbox: self.key.id(),
            id: envelope_id(n),
            permit: Some(self.secret.permit(member)),
            envelope: envelope(n),
            work: None,
        })
    }
}

pub(crate) fn envelope(n: u64) -> EnvelopeBytes {
    let mut envelope = [0; ENVELOPE_LEN];
    envelope[..8].copy_from_slice(&n.to_be_bytes());
    Bytes(envelope)
}

pub(crate) fn envelope_id(n: u64) -> EnvelopeId {
    rpc::envelope_id(&envelope(n))
}

pub(crate) fn fetched(reply: Reply) -> FetchReply {
    match reply {
        Reply::Fetch(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn pushed(reply: Reply) -> Push {
    match reply {
        Reply::Push(push) => push,
        other => panic!("{other:?}"),
    }
}
