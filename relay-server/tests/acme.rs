//! A certificate from an authority: a small ACME server that checks its claims on the relay's own socket.
//!
//! It speaks the part of RFC 8555 that the relay uses and believes every signature; what it does check is the
//! proof (RFC 8737), which is what a real one would connect for.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Network, Process, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const TOKEN: &str = "a-token-of-the-authority";
/// id-pe-acmeIdentifier (RFC 8737, section 6.1) in DER.
const ACME_IDENTIFIER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];

/// An authority with its root.
#[derive(Clone)]
struct Authority {
    address: SocketAddr,
    /// Where the relay listens, which is where the name in question leads.
    relay: SocketAddr,
    issuer: Arc<Issuer<'static, KeyPair>>,
    root: CertificateDer<'static>,
    /// Hash of the account's key, as its owner must prove it.
    thumbprint: Arc<Mutex<String>>,
    chain: Arc<Mutex<Option<String>>>,
    proven: Arc<Mutex<bool>>,
    accounts: Arc<AtomicU32>,
    orders: Arc<AtomicU32>,
    /// The next certificate has ten minutes left of an hour and ten.
    aged: Arc<AtomicBool>,
}

impl Authority {
    /// Starts one; its root, in PEM, is written to `root`.
    fn start(relay: SocketAddr, root: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(root, certificate.pem()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let authority = Self {
            address: listener.local_addr().unwrap(),
            relay,
            issuer: Arc::new(Issuer::new(params, key)),
            root: certificate.der().clone(),
            thumbprint: Arc::default(),
            chain: Arc::default(),
            proven: Arc::default(),
            accounts: Arc::default(),
            orders: Arc::default(),
            aged: Arc::default(),
        };
        let own_key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &authority.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::Pkcs8(own_key.serialize_der().into()),
            )
            .unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let router = authority.router();
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), router));
        authority
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/directory", get(directory))
            .route("/nonce", get(nonce))
            .route("/account", post(account))
            .route("/order", post(new_order))
            .route("/order/1", post(order))
            .route("/authorization", post(authorization))
            .route("/challenge", post(challenge))
            .route("/finalize", post(finalize))
            .route("/certificate", post(certificate))
            .with_state(self.clone())
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    fn order(&self) -> Value {
        let issued = self.chain.lock().unwrap().is_some();
        let status = match (issued, *self.proven.lock().unwrap()) {
            (true, _) => "valid",
            (false, true) => "ready",
            (false, false) => "pending",
        };
        json!({
            "status": status,
            "identifiers": [{"type": "ip", "value": "127.0.0.1"}],
            "authorizations": [self.url("/authorization")],
            "finalize": self.url("/finalize"),
            "certificate": issued.then(|| self.url("/certificate")),
        })
    }

    /// Connects to the relay as RFC 8737 says, and looks for what only the account's owner could have put there.
    async fn has_proof(&self) -> bool {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(support::AnyCertificate))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let tcp = TcpStream::connect(self.relay).await.unwrap();
        // RFC 8738, section 6: the name of an address in the reverse tree.
        let name = ServerName::try_from("1.0.0.127.in-addr.arpa").unwrap();
        let Ok(stream) = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
        else {
            return false;
        };
        let (_, tls) = stream.get_ref();
        let shown = tls.peer_certificates().unwrap()[0].to_vec();
        let key_authorization = format!("{TOKEN}.{}", self.thumbprint.lock().unwrap());
        let digest = Sha256::digest(key_authorization.as_bytes());
        let has = |needle: &[u8]| shown.windows(needle.len()).any(|window| window == needle);
        tls.alpn_protocol() == Some(b"acme-tls/1") && has(ACME_IDENTIFIER) && has(&digest)
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else {
                return;
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            drop(connection.await);
        });
    }
}

/// Every answer brings a nonce.
fn answer(status: StatusCode, location: Option<String>, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert("replay-nonce", HeaderValue::from_static("once"));
    if let Some(location) = location {
        headers.insert("location", location.parse().unwrap());
    }
    response
}

fn json_answer(status: StatusCode, location: Option<String>, body: &Value) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    answer(status, location, (headers, body.to_string()))
}

/// The part of a signed request, which is JSON in base64.
fn part(body: &Bytes, name: &str) -> Value {
    let outer: Value = serde_json::from_slice(body).unwrap();
    let text = outer[name].as_str().unwrap();
    serde_json::from_slice(&base64url(text)).unwrap_or(Value::Null)
}

fn base64url(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

async fn directory(State(authority): State<Authority>) -> Response {
    let body = json!({
        "newNonce": authority.url("/nonce"),
        "newAccount": authority.url("/account"),
        "newOrder": authority.url("/order"),
        "meta": {"profiles": {"shortlived": "six days"}},
    });
    json_answer(StatusCode::OK, None, &body)
}

async fn nonce() -> Response {
    answer(StatusCode::OK, None, "")
}

async fn account(State(authority): State<Authority>, body: Bytes) -> Response {
    let jwk = &part(&body, "protected")["jwk"];
    // RFC 7638: the members in order, without spaces.
    let canonical = format!(
        r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
        jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
    );
    let digest = Sha256::digest(canonical.as_bytes());
    authority.accounts.fetch_add(1, Ordering::Relaxed);
    *authority.thumbprint.lock().unwrap() = BASE64_URL_SAFE_NO_PAD.encode(digest);
    let location = Some(authority.url("/account/1"));
    json_answer(StatusCode::CREATED, location, &json!({"status": "valid"}))
}

async fn new_order(State(authority): State<Authority>, body: Bytes) -> Response {
    let wanted = part(&body, "payload");
    assert_eq!(
        wanted["identifiers"],
        json!([{"type": "ip", "value": "127.0.0.1"}])
    );
    assert_eq!(wanted["profile"], "shortlived");
    authority.orders.fetch_add(1, Ordering::Relaxed);
    *authority.chain.lock().unwrap() = None;
    *authority.proven.lock().unwrap() = false;
    let location = Some(authority.url("/order/1"));
    json_answer(StatusCode::CREATED, location, &authority.order())
}

async fn order(State(authority): State<Authority>) -> Response {
    json_answer(StatusCode::OK, None, &authority.order())
}

async fn authorization(State(authority): State<Authority>) -> Response {
    let proven = *authority.proven.lock().unwrap();
    let status = if proven { "valid" } else { "pending" };
    let body = json!({
        "identifier": {"type": "ip", "value": "127.0.0.1"},
        "status": status,
        "challenges": [{
            "type": "tls-alpn-01",
            "url": authority.url("/challenge"),
            "token": TOKEN,
            "status": status,
        }],
    });
    json_answer(StatusCode::OK, None, &body)
}

async fn challenge(State(authority): State<Authority>) -> Response {
    let proven = authority.has_proof().await;
    *authority.proven.lock().unwrap() = proven;
    let body = json!({
        "type": "tls-alpn-01",
        "url": authority.url("/challenge"),
        "token": TOKEN,
        "status": if proven { "valid" } else { "invalid" },
    });
    json_answer(StatusCode::OK, None, &body)
}

async fn finalize(State(authority): State<Authority>, body: Bytes) -> Response {
    let payload = part(&body, "payload");
    let csr = base64url(payload["csr"].as_str().unwrap());
    let csr = CertificateSigningRequestDer::from(csr);
    let mut request = CertificateSigningRequestParams::from_der(&csr).unwrap();
    if authority.aged.swap(false, Ordering::Relaxed) {
        let (now, minute) = (SystemTime::now(), Duration::from_mins(1));
        request.params.not_before = (now - minute * 60).into();
        request.params.not_after = (now + minute * 10).into();
    }
    let issued = request.signed_by(&authority.issuer).unwrap();
    *authority.chain.lock().unwrap() = Some(issued.pem());
    json_answer(StatusCode::OK, None, &authority.order())
}

async fn certificate(State(authority): State<Authority>) -> Response {
    let chain = authority.chain.lock().unwrap().clone().unwrap();
    answer(StatusCode::OK, None, chain)
}

/// A relay and the authority that it gets its certificates from, the first one `aged`.
fn relay_and_authority(aged: bool) -> (Network, Authority) {
    let mut authority = None;
    let network = Network::start_secure(1, |url, home| {
        let relay = url.split('/').nth(2).unwrap().parse().unwrap();
        let root = home.join("root.pem");
        let started = Authority::start(relay, &root);
        started.aged.store(aged, Ordering::Relaxed);
        let config = format!(
            "[tls]\nmode = \"acme\"\nacme_directory = {:?}\nacme_root = {root:?}\n",
            started.url("/directory")
        );
        authority = Some(started);
        config
    });
    (network, authority.unwrap())
}

/// How often a certificate has come.
fn got(relay: &Process) -> usize {
    relay.log().matches("a new certificate is in use").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_a_name_gets_a_certificate_for_its_address_and_keeps_it() {
    let (mut network, authority) = relay_and_authority(false);
    let relay = &mut network.relays[0];
    eventually(|| got(relay) == 1).await;
    let trusts = support::tls_client(&authority.root);
    let connected = support::connect_tls(relay, &trusts).await;
    assert!(connected.is_ok(), "{connected:?}");
    assert!(
        !authority.has_proof().await,
        "the proof is gone when it was seen"
    );
    assert!(relay.status().contains("\"certificate_until\":"));

    relay.kill();
    relay.start();
    let connected = support::connect_tls(relay, &trusts).await;
    assert!(connected.is_ok(), "after a restart at once");
    assert_eq!(authority.orders.load(Ordering::Relaxed), 1, "it was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_with_little_left_is_renewed_by_the_same_account_and_the_new_one_is_shown() {
    let (mut network, authority) = relay_and_authority(true);
    let relay = &mut network.relays[0];
    eventually(|| got(relay) == 1).await;
    let until = |relay: &Process| {
        let status: Value = serde_json::from_str(&relay.status()).unwrap();
        status["certificate_until"].as_u64().unwrap()
    };
    let first = until(relay);
    let now = support::now().as_ms() / 1000;
    assert!(first <= now + 600, "{first}");
    // After an order it waits for two minutes, but not after a start.
    relay.kill();
    relay.start();
    eventually(|| got(relay) == 2).await;
    assert!(until(relay) > first + 86_400);
    let trusts = support::tls_client(&authority.root);
    let connected = support::connect_tls(relay, &trusts).await;
    assert!(connected.is_ok(), "{connected:?}");
    relay.kill();
    relay.start();
    assert!(until(relay) > first + 86_400, "it was stored");
    assert_eq!(authority.orders.load(Ordering::Relaxed), 2);
    assert_eq!(authority.accounts.load(Ordering::Relaxed), 1);
}
