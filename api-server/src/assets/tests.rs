//! Files, caching, and everything that is not a file of the app.

use std::fs;

use axum::body::{Body, to_bytes};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

const SCRIPT: &str = "/assets/index-CB1cozr5.js";

/// A built app, with a secret beside it.
fn built() -> (TempDir, PathBuf) {
    let outside = tempfile::tempdir().unwrap();
    let www = outside.path().join("dist");
    fs::create_dir_all(www.join("assets/empty")).unwrap();
    fs::create_dir_all(www.join(".well-known")).unwrap();
    fs::create_dir_all(www.join(".git")).unwrap();
    for (name, text) in [
        ("index.html", "<!doctype html><title>ZenTalk</title>"),
        ("favicon.svg", "<svg/>"),
        ("manifest.webmanifest", "{}"),
        ("licences.txt", "licences"),
        ("assets/index-CB1cozr5.js", "script as it is"),
        ("assets/index-CB1cozr5.js.br", "script in brotli"),
        ("assets/index-CB1cozr5.js.gz", "script in gzip"),
        ("assets/style-BzxZYk3E.css", "body{}"),
        ("assets/engine_bg-hsMS0n0O.wasm", "\0asm"),
        ("assets/grotesk-wght-normal-Bb8VGrTG.woff2", "font"),
        ("assets/plain.js", "not hashed"),
        (".well-known/security.txt", "Contact: us"),
        (".git/config", "secret"),
        (".env", "secret"),
        ("../secret.txt", "secret"),
    ] {
        fs::write(www.join(name), text).unwrap();
    }
    (outside, www)
}

async fn send(www: &Path, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router(www).unwrap().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

async fn get(www: &Path, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(www, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_root_serves_the_app() {
    let (_dir, www) = built();
    let (status, headers, body) = get(&www, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    assert!(body.contains("<title>ZenTalk"));
}

#[tokio::test]
async fn types_are_those_that_browsers_insist_on() {
    let (_dir, www) = built();
    for (path, expected) in [
        (SCRIPT, "text/javascript; charset=utf-8"),
        ("/assets/style-BzxZYk3E.css", "text/css; charset=utf-8"),
        ("/assets/engine_bg-hsMS0n0O.wasm", "application/wasm"),
        ("/assets/grotesk-wght-normal-Bb8VGrTG.woff2", "font/woff2"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/favicon.svg", "image/svg+xml"),
        ("/licences.txt", "text/plain; charset=utf-8"),
    ] {
        let (status, headers, _) = get(&www, path, &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers[CONTENT_TYPE], expected, "{path}");
    }
}

#[tokio::test]
async fn only_hashed_names_are_kept_for_good() {
    let (_dir, www) = built();
    for (path, forever) in [
        (SCRIPT, true),
        ("/assets/engine_bg-hsMS0n0O.wasm", true),
        ("/assets/plain.js", false),
        ("/favicon.svg", false),
        ("/index.html", false),
    ] {
        let (_, headers, _) = get(&www, path, &[]).await;
        let expected = if forever { FOREVER } else { ASK_AGAIN };
        assert_eq!(headers[CACHE_CONTROL], expected, "{path}");
    }
    // A file that comes with the next version must not be missing for a year.
    let (status, headers, _) = get(&www, "/assets/index-AAAAAAAA.js", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
}

#[test]
fn hashed_names() {
    for name in [
        "index-CB1cozr5.js",
        "a-b-_-12345_.woff2",
        "x-abcdefgh.js.map",
    ] {
        assert!(is_hashed(name), "{name}");
    }
    for name in [
        "",
        "index.js",
        "index-short.js",
        "-CB1cozr5.js",
        "index-CB1 ozr5.js",
        "é-1234567.js",
    ] {
        assert!(!is_hashed(name), "{name}");
    }
}

#[tokio::test]
async fn a_validator_saves_the_body() {
    let (_dir, www) = built();
    let (_, headers, _) = get(&www, "/", &[]).await;
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let (status, headers, body) = get(&www, "/", &[("if-none-match", &etag)]).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert_eq!(
        (headers["etag"].to_str().unwrap(), body.as_str()),
        (etag.as_str(), "")
    );
    let (status, ..) = get(&www, "/", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn precompressed_variants_are_used_when_accepted() {
    let (_dir, www) = built();
    for (accepts, encoding, body) in [
        ("gzip, br", Some("br"), "script in brotli"),
        ("gzip", Some("gzip"), "script in gzip"),
        ("br;q=0, gzip;q=0", None, "script as it is"),
        ("zstd", None, "script as it is"),
    ] {
        let (status, headers, text) = get(&www, SCRIPT, &[("accept-encoding", accepts)]).await;
        assert_eq!(status, StatusCode::OK, "{accepts}");
        let sent = headers
            .get("content-encoding")
            .map(|value| value.to_str().unwrap());
        assert_eq!((sent, text.as_str()), (encoding, body), "{accepts}");
        assert_eq!(headers[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(headers["vary"], "accept-encoding");
    }
    let (_, headers, text) = get(&www, "/favicon.svg", &[("accept-encoding", "br")]).await;
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(text, "<svg/>");
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let (_dir, www) = built();
    let request = Request::head(SCRIPT).header("range", "bytes=0-1");
    let (status, headers, body) = send(&www, request.body(Body::empty()).unwrap()).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(headers["content-length"], "15");
    assert_eq!(headers[CACHE_CONTROL], FOREVER);
}

#[tokio::test]
async fn ranges() {
    let (_dir, www) = built();
    let (status, headers, body) = get(&www, SCRIPT, &[("range", "bytes=7-8")]).await;
    assert_eq!((status, body.as_str()), (StatusCode::PARTIAL_CONTENT, "as"));
    assert_eq!(headers["content-range"], "bytes 7-8/15");
    for range in ["bytes=99-", "bytes=5-1", "bytes=x-y"] {
        let (status, headers, _) = get(&www, SCRIPT, &[("range", range)]).await;
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert!(!headers.contains_key(CACHE_CONTROL), "{range}");
    }
    // What would need an answer in parts, or a comparison, gets the whole.
    for headers in [
        &[("range", "bytes=0-1,3-4")][..],
        &[("range", "bytes=0-1"), ("if-range", "\"old\"")],
    ] {
        let (status, _, body) = get(&www, SCRIPT, headers).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "script as it is"));
    }
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let (_dir, www) = built();
    let long = format!("/{}", "a".repeat(5000));
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/....//secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/.env",
        "/.git/config",
        "/%2eenv",
        "/assets/%00",
        "/index.html%00.js",
        "/%ff%fe",
        "/index.html/",
        "/index.html/x",
        "/assets",
        "/assets/",
        "/assets/empty/",
        "/chats/zen1abc",
        "/index",
        &long,
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = Request::builder().method(method.clone()).uri(path);
            let (status, headers, body) = send(&www, request.body(Body::empty()).unwrap()).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
            assert!(!body.contains("secret"), "{path}");
            assert_eq!(headers[CACHE_CONTROL], "no-cache", "{path}");
        }
    }
}

#[tokio::test]
async fn well_known_files_may_have_a_dot() {
    let (_dir, www) = built();
    let (status, _, body) = get(&www, "/.well-known/security.txt", &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "Contact: us"));
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_stay_inside() {
    use std::os::unix::fs::symlink;
    let (outside, www) = built();
    symlink(outside.path().join("secret.txt"), www.join("out.txt")).unwrap();
    symlink(outside.path(), www.join("up")).unwrap();
    symlink("/dev/zero", www.join("zero")).unwrap();
    symlink(www.join("loop"), www.join("loop")).unwrap();
    symlink(
        outside.path().join("secret.txt"),
        www.join("favicon.svg.br"),
    )
    .unwrap();
    for path in ["/out.txt", "/up/secret.txt", "/zero", "/loop"] {
        let (status, _, body) = get(&www, path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!body.contains("secret"), "{path}");
    }
    let (status, headers, body) = get(&www, "/favicon.svg", &[("accept-encoding", "br")]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "<svg/>"));
    assert!(!headers.contains_key("content-encoding"));

    // Inside is fine, as is a directory that is itself reached through a link.
    symlink("licences.txt", www.join("in.txt")).unwrap();
    let link = outside.path().join("current");
    symlink(&www, &link).unwrap();
    let (status, _, body) = get(&link, "/in.txt", &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "licences"));
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let (_dir, www) = built();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let request = Request::builder().method(method).uri("/");
        let (status, headers, _) = send(&www, request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(headers["allow"], "GET,HEAD", "{method}");
    }
}

#[test]
fn a_directory_without_the_app_is_explained() {
    let (outside, www) = built();
    let sentence = |path: &Path| router(path).map(drop).unwrap_err().to_string();
    let missing = sentence(&www.join("nowhere"));
    assert!(
        missing.contains("does not exist") && missing.contains("cargo xtask build"),
        "{missing}"
    );
    let file = sentence(&www.join("index.html"));
    assert!(file.contains("is not a directory"), "{file}");
    let empty = sentence(&www.join("assets"));
    assert!(empty.contains("not built yet"), "{empty}");
    fs::write(outside.path().join("index.html"), "").unwrap();
    fs::write(outside.path().join("package.json"), "{}").unwrap();
    let sources = sentence(outside.path());
    assert!(
        sources.contains("sources") && sources.contains("dist"),
        "{sources}"
    );
}
