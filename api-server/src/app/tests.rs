//! Every route, with what every response carries.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method};
use tower::ServiceExt;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::RelayUrl;

use super::*;
use crate::config::ConfiguredRelay;

struct Site {
    app: App,
    router: Router,
}

fn site(node: Option<NodeId>, development: bool) -> Site {
    let url = RelayUrl::parse("wss://relay.example/v1").unwrap();
    let app = App {
        bootstrap: Bootstrap::new(&[ConfiguredRelay { url, node }]),
        metrics: Metrics::new(),
        headers: Arc::new(SecurityHeaders::new(development)),
    };
    let www = tempfile::tempdir().unwrap();
    std::fs::write(www.path().join("index.html"), "app").unwrap();
    // The directory is gone when a request comes: nothing here asks for a file.
    let assets = crate::assets::router(www.path()).unwrap();
    let router = router(app.clone(), assets, &Limits::default());
    Site { app, router }
}

impl Site {
    async fn send(&self, request: Request) -> (StatusCode, HeaderMap, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (
            parts.status,
            parts.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }
}

const NODE: NodeId = NodeId::from_bytes([0xab; 20]);

#[tokio::test]
async fn the_bootstrap_list() {
    let (status, headers, body) = site(Some(NODE), false).get(BOOTSTRAP).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    let node = "ab".repeat(20);
    assert_eq!(
        body,
        format!(r#"{{"version":1,"relays":[{{"node":"{node}","url":"wss://relay.example/v1"}}]}}"#)
    );
}

#[tokio::test]
async fn a_list_without_relays_is_not_served() {
    let (status, headers, _) = site(None, false).get(BOOTSTRAP).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers[RETRY_AFTER], "2");
    assert_eq!(headers[CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn health_follows_the_first_visits() {
    let site = site(Some(NODE), false);
    assert_eq!(site.get(HEALTH).await.0, StatusCode::SERVICE_UNAVAILABLE);
    site.app.bootstrap.settle();
    assert_eq!(site.get(HEALTH).await.0, StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let site = site(Some(NODE), false);
    site.get(BOOTSTRAP).await;
    site.get(BOOTSTRAP).await;
    site.get("/nothing").await;
    let (status, headers, body) = site.get(METRICS).await;
    assert_eq!(
        (status, &headers[CONTENT_TYPE]),
        (StatusCode::OK, &PROMETHEUS_TEXT.parse().unwrap())
    );
    for line in [
        "zentalk_api_requests_total{route=\"bootstrap\",status=\"200\"} 2",
        "zentalk_api_requests_total{route=\"other\",status=\"404\"} 1",
    ] {
        assert!(body.contains(line), "{line} is not in:\n{body}");
    }
}

#[tokio::test]
async fn every_response_is_secured() {
    for development in [true, false] {
        let site = site(None, development);
        site.app.bootstrap.settle();
        let mut expected = HeaderMap::new();
        site.app.headers.apply(&mut expected);
        let large = Request::get("/").header("content-length", 1 << 20);
        let requests = [
            (Request::get(METRICS), StatusCode::OK),
            (Request::head(HEALTH), StatusCode::OK),
            (Request::get(BOOTSTRAP), StatusCode::SERVICE_UNAVAILABLE),
            (Request::get("/assets/x-12345678.js"), StatusCode::NOT_FOUND),
            (Request::post(BOOTSTRAP), StatusCode::METHOD_NOT_ALLOWED),
            (
                Request::builder().method(Method::TRACE).uri("/"),
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            (large, StatusCode::PAYLOAD_TOO_LARGE),
        ];
        for (request, status) in requests {
            let (sent, headers, _) = site.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(sent, status);
            for (name, value) in &expected {
                assert_eq!(headers.get(name), Some(value), "{status} {name}");
            }
        }
    }
}
