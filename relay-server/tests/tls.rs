//! The listener as the Internet meets it: TLS with a certificate of files, handshakes that never end, proxies.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::SinkExt;
use rustls::pki_types::CertificateDer;
use support::{Network, PATIENCE, Process, connect_tls, eventually, hello, next_frame, tls_client};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use zentalk_shared::wire::link::Role;
use zentalk_shared::wire::{Tag, decode_frame};

/// A certificate for this machine, in the folder of a relay.
struct Issued {
    certificate: PathBuf,
    key: PathBuf,
}

impl Issued {
    fn at(folder: &Path) -> Self {
        Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// Writes another one in its place; yields what a client trusts.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(&self.certificate, made.cert.pem()).unwrap();
        fs::write(&self.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    fn config(&self) -> String {
        format!(
            "[tls]\nmode = \"files\"\ncertificate = {:?}\nkey = {:?}\n",
            self.certificate, self.key
        )
    }
}

/// One relay behind TLS, and what its clients trust.
fn secured() -> (Network, Issued, CertificateDer<'static>) {
    let mut root = None;
    let mut issued = None;
    let network = Network::start_secure(1, |_, home| {
        let files = Issued::at(home);
        root = Some(files.renew());
        let config = files.config();
        issued = Some(files);
        config
    });
    (network, issued.unwrap(), root.unwrap())
}

async fn connect(relay: &Process, root: &CertificateDer<'static>) -> Option<TlsStream<TcpStream>> {
    connect_tls(relay, &tls_client(root)).await.ok()
}

/// Status line and body of what is answered on a stream.
async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, headers: &str) -> String {
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{headers}\r\n");
    let mut answer = Vec::new();
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    // How the connection ends is not what is asked.
    drop(timeout(PATIENCE, asked).await.expect("an end"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn frames_travel_under_tls_and_nothing_else_is_understood() {
    let (network, _, root) = secured();
    let relay = &network.relays[0];
    let stream = connect(relay, &root).await.expect("a trusted certificate");
    assert!(get(stream, "").await.starts_with("HTTP/1.1 200"));
    let stream = connect(relay, &root).await.unwrap();
    let url = format!("ws://{}/v1", relay.address());
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    socket.send(hello(Role::Visitor, None)).await.unwrap();
    let answer = next_frame(&mut socket).await.expect("an answer");
    assert_eq!(decode_frame(&answer).unwrap().tag, Tag::HandshakeAck);
    let plain = TcpStream::connect(relay.address()).await.unwrap();
    assert!(!get(plain, "").await.contains("200"));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_after_sighup_and_a_spoilt_one_is_not() {
    let (network, issued, old) = secured();
    let relay = &network.relays[0];
    fs::write(&issued.certificate, "spoilt").unwrap();
    relay.signal("-HUP");
    eventually(|| relay.log().contains("the certificate was not read again")).await;
    assert!(connect(relay, &old).await.is_some(), "the old one stays");
    assert!(relay.status().contains("holds no certificate"));
    let new = issued.renew();
    relay.signal("-HUP");
    eventually(|| relay.log().contains("the certificate was read again")).await;
    assert!(connect(relay, &new).await.is_some());
    assert!(connect(relay, &old).await.is_none());
    assert!(relay.status().contains("\"notices\":[]"));
}

#[tokio::test]
async fn relays_link_by_certificates_of_an_authority_that_they_are_told_of() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let start = |roots: &'static str| {
        Network::start_secure(2, |_, home| {
            let files = Issued::at(home);
            fs::write(&files.certificate, made.cert.pem()).unwrap();
            fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
            let trusted = match roots {
                "" => PathBuf::new(),
                name => home.join(name),
            };
            format!(
                "{}roots = {trusted:?}\n[log]\nlevel = \"debug\"\n",
                files.config()
            )
        })
    };
    let network = start("certificate.pem");
    let linked = |relay: &Process| relay.status().contains("\"relays_linked\":1");
    eventually(|| network.relays.iter().all(linked)).await;

    // Whoever is told nothing of it does not believe it.
    let network = start("");
    let complains = |relay: &Process| relay.log().contains("UnknownIssuer");
    eventually(|| network.relays.iter().all(complains)).await;
    assert!(!network.relays.iter().any(linked));
}

#[tokio::test]
async fn fault_15_tls_handshakes_that_never_end_are_ended() {
    let (network, _, root) = secured();
    let relay = &network.relays[0];
    let mut slow = Vec::new();
    for sent in [
        &b""[..],
        b"\x16\x03\x01\x02",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        slow.push(stream);
    }
    let stream = connect(relay, &root)
        .await
        .expect("others are served meanwhile");
    assert!(get(stream, "").await.starts_with("HTTP/1.1 200"));
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the relay gives up");
    }
}

const BEHIND: &str = "[limits]\nconnections_per_subnet = 1\n[proxy]\ntrusted = [\"127.0.0.1\"]\n";
/// Sockets that the door lets in beyond the core's cap, so that it can say why.
const SPARE: usize = 16;

/// Opens WebSockets through a proxy, as many as get in of `count`.
async fn enter(
    relay: &Process,
    count: usize,
    proxied: &str,
    headers: &str,
) -> (usize, Vec<TcpStream>) {
    let mut streams = Vec::new();
    let mut entered = 0;
    for _ in 0..count {
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        let request = format!(
            "{proxied}GET /v1 HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
        );
        // Whoever is hung up on may notice while it writes or while it reads.
        let mut answer = [0; 12];
        let asked = async {
            stream.write_all(request.as_bytes()).await?;
            stream.read_exact(&mut answer).await
        };
        let answered = timeout(PATIENCE, asked).await.expect("an end").is_ok();
        entered += usize::from(answered && answer == *b"HTTP/1.1 101");
        streams.push(stream);
    }
    (entered, streams)
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_counted_by_their_own_network() {
    let network = Network::start(1, |_| BEHIND.to_owned());
    let relay = &network.relays[0];
    let from = |address: &str| format!("X-Forwarded-For: 203.0.113.9, {address}\r\n");
    let (first, held) = enter(relay, 2 + SPARE, "", &from("192.0.2.7")).await;
    assert_eq!(first, 1 + SPARE, "one network");
    let (second, _) = enter(relay, 1, "", &from("198.51.100.7")).await;
    assert_eq!(second, 1, "another one");
    drop(held);
}

#[tokio::test]
async fn a_proxy_header_is_read_from_trusted_proxies_only() {
    let config = format!("{BEHIND}protocol = \"proxy-protocol\"\n");
    let network = Network::start(1, |_| config.clone());
    let relay = &network.relays[0];
    let from = |address: &str| format!("PROXY TCP4 {address} 127.0.0.1 4711 443\r\n");
    let (first, held) = enter(relay, 2 + SPARE, &from("192.0.2.7"), "").await;
    assert_eq!(first, 1 + SPARE);
    let (second, _) = enter(relay, 1, &from("198.51.100.7"), "").await;
    assert_eq!(second, 1);
    let (without, _) = enter(relay, 1, "", "").await;
    assert_eq!(without, 0, "a proxy that says nothing");
    drop(held);

    let network = Network::start(1, |_| String::new());
    let (stranger, _) = enter(&network.relays[0], 1, &from("192.0.2.7"), "").await;
    assert_eq!(stranger, 0, "who is not trusted cannot speak for others");
}
