//! The files of the built app.
//!
//! tower-http's `ServeDir` does HTTP: types, ranges, validators, precompressed variants. Here is what it
//! leaves open: which files may be read at all ([`Rooted`]), and how long a browser may keep them.
//!
//! Vite puts a hash of the content into the names under `/assets/`: those never change and are cached for
//! good. All else, `index.html` first, is asked for again each time, so that a new version of the app shows
//! at the next load. Only `/` serves `index.html`; the app's own routes live behind `#`.

use std::future::Future;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use thiserror::Error;
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, TokioBackend, TokioFile};

/// Where Vite puts files whose names hold a hash of their content.
pub const HASHED: &str = "/assets/";

const INDEX: &str = "index.html";
/// One year, the longest that caches count.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Base64url digits of Vite's hash in a name.
const HASH_LEN: usize = 8;
/// A folder that standards give a meaning to (RFC 8615); other dotted names are not served.
const WELL_KNOWN: &str = ".well-known";

/// The directory cannot be served: a mistake in the configuration, or a build that is missing.
#[derive(Debug, Error)]
pub enum WwwError {
    /// There is nothing of that name.
    #[error(
        "the web app's directory {} does not exist; build the app with `cargo xtask build`, or name \
         the directory of a build with --www or `www`",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is something else.
    #[error("{} is not a directory; name the directory of the built web app with --www or `www`", .0.display())]
    NotADirectory(PathBuf),
    /// The app is not in it.
    #[error(
        "{} holds no index.html: the web app is not built yet; build it with `cargo xtask build`",
        .0.display()
    )]
    NotBuilt(PathBuf),
    /// It holds what the app is built from.
    #[error(
        "{} holds the web app's sources; build them with `cargo xtask build` and name the `dist` \
         directory in it",
        .0.display()
    )]
    Sources(PathBuf),
    /// The operating system refuses.
    #[error("the web app's directory {} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
}

/// The files below one directory and nothing else.
///
/// A name is resolved with all its symbolic links first; where it then lies decides. Someone who can change
/// the directory between that and the opening of the file could as well change the app.
#[derive(Clone, Debug)]
pub struct Rooted {
    root: Arc<Path>,
}

/// What a name must be to count as there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    File,
    Any,
}

/// A router that serves the app from `www`, and 404 for what is not there.
pub fn router(www: &Path) -> Result<Router, WwwError> {
    let rooted = Rooted::new(www)?;
    let files = ServeDir::with_backend(&rooted.root, rooted.clone())
        .redirect_to_trailing_slash(false)
        .ignore_multi_range_requests(true)
        .precompressed_br()
        .precompressed_gzip();
    Ok(Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(finish)))
}

impl Rooted {
    /// Checks that `www` holds a built app.
    fn new(www: &Path) -> Result<Self, WwwError> {
        let root = std::fs::canonicalize(www).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WwwError::Missing(www.to_owned()),
            _ => WwwError::Unreadable(www.to_owned(), error),
        })?;
        if !root.is_dir() {
            return Err(WwwError::NotADirectory(www.to_owned()));
        }
        match (
            root.join("package.json").exists(),
            root.join(INDEX).is_file(),
        ) {
            (true, _) => Err(WwwError::Sources(www.to_owned())),
            (_, false) => Err(WwwError::NotBuilt(www.to_owned())),
            (false, true) => Ok(Self { root: root.into() }),
        }
    }

    /// Where a name leads, if that may be served.
    async fn resolve(self, path: PathBuf, wanted: Wanted) -> io::Result<PathBuf> {
        let resolved = tokio::task::spawn_blocking(move || self.resolve_now(&path, wanted)).await;
        resolved.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
    }

    fn resolve_now(&self, path: &Path, wanted: Wanted) -> io::Result<PathBuf> {
        // A name that cannot be resolved (too long, a file used as a folder, a loop) is not there.
        let real = std::fs::canonicalize(path).map_err(|_| io::ErrorKind::NotFound)?;
        let below = real
            .strip_prefix(&self.root)
            .map_err(|_| io::ErrorKind::NotFound)?;
        // A pipe or a device would keep its reader waiting.
        let kind = std::fs::metadata(&real)?;
        let is_wanted = kind.is_file() || kind.is_dir() && wanted == Wanted::Any;
        match is_wanted && below.components().all(is_public) {
            true => Ok(real),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Files that begin with a dot are somebody's tools, never the app.
fn is_public(component: Component<'_>) -> bool {
    let name = component.as_os_str();
    name == WELL_KNOWN || !name.as_encoded_bytes().starts_with(b".")
}

impl Backend for Rooted {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<TokioFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<std::fs::Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let resolved = self.clone().resolve(path, Wanted::File);
        Box::pin(async { TokioBackend.open(resolved.await?).await })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let resolved = self.clone().resolve(path, Wanted::Any);
        Box::pin(async { TokioBackend.metadata(resolved.await?).await })
    }
}

/// Gives what `ServeDir` answers its place in caches, and a sentence to people who have mistyped.
async fn finish(mut request: Request, next: Next) -> Response {
    // A range is for GET only (RFC 9110 §14.2). `If-Range` is not evaluated below, and who does not
    // evaluate it sends the whole (§13.1.5).
    if request.method() != Method::GET || request.headers().contains_key(IF_RANGE) {
        request.headers_mut().remove(RANGE);
    }
    let caching = caching(request.uri().path());
    let mut response = next.run(request).await;
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        return (
            status,
            [(CACHE_CONTROL, ASK_AGAIN)],
            "There is nothing here.\n",
        )
            .into_response();
    }
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CACHE_CONTROL, caching);
        name_charset(response.headers_mut());
    }
    response
}

/// How long the file behind a path may be kept.
fn caching(path: &str) -> HeaderValue {
    match path.strip_prefix(HASHED).is_some_and(is_hashed) {
        true => FOREVER,
        false => ASK_AGAIN,
    }
}

/// Whether a name is of the form `name-HASH.extension`.
fn is_hashed(name: &str) -> bool {
    let stem = name.split_once('.').map_or("", |(stem, _)| stem);
    let Some((front, hash)) = stem
        .len()
        .checked_sub(HASH_LEN)
        .and_then(|at| stem.split_at_checked(at))
    else {
        return false;
    };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    front.len() > 1 && front.ends_with('-') && hash.bytes().all(is_digit)
}

/// All text of the app is UTF-8.
fn name_charset(headers: &mut HeaderMap) {
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .filter(|kind| kind.starts_with("text/") && !kind.contains(';'))
        .map(|kind| format!("{kind}; charset=utf-8"));
    if let Some(value) = named.and_then(|kind| HeaderValue::try_from(kind).ok()) {
        headers.insert(CONTENT_TYPE, value);
    }
}

#[cfg(test)]
mod tests;
