//! The headers that every response carries: what a page from here may load, and who may load it.
//!
//! `www/build/csp.ts` repeats the content security policy for `vite preview`; change both together.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The content security policy (CSP Level 3) with these WebSocket sources.
macro_rules! content_security_policy {
    ($sockets:literal) => {
        concat!(
            "default-src 'none'; ",
            "script-src 'self' 'wasm-unsafe-eval'; ",
            "style-src 'self'; ",
            "img-src 'self' data: blob:; ",
            "font-src 'self'; ",
            "connect-src 'self' ",
            $sockets,
            "; ",
            "worker-src 'self'; ",
            "manifest-src 'self'; ",
            "base-uri 'none'; ",
            "form-action 'none'; ",
            "frame-ancestors 'none'"
        )
    };
}

const POLICY: &str = content_security_policy!("wss:");
/// In development relays on this machine are reached without TLS.
const DEVELOPMENT_POLICY: &str = content_security_policy!("wss: ws://127.0.0.1:* ws://localhost:*");

/// Everything off that a browser knows by name, but the three that the app's own buttons need: the
/// camera to scan a safety number, copying and sharing. The browser still asks before a camera runs.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), bluetooth=(), camera=(self), \
    clipboard-read=(), clipboard-write=(self), compute-pressure=(), display-capture=(), \
    encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
    identity-credentials-get=(), idle-detection=(), keyboard-map=(), local-fonts=(), \
    magnetometer=(), microphone=(), midi=(), otp-credentials=(), payment=(), \
    picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), \
    screen-wake-lock=(), serial=(), storage-access=(), sync-xhr=(), usb=(), web-share=(self), \
    window-management=(), xr-spatial-tracking=()";

/// Two years, as browsers' preload lists ask.
const TRANSPORT_SECURITY: &str = "max-age=63072000; includeSubDomains";

/// The headers, made once.
#[derive(Clone, Debug)]
pub struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    /// For a server of the public (`wss:` only, HTTPS from now on) or of a developer.
    pub fn new(development: bool) -> Self {
        let policy = match development {
            true => DEVELOPMENT_POLICY,
            false => POLICY,
        };
        let named = |name| HeaderName::from_static(name);
        let mut headers = vec![
            (CONTENT_SECURITY_POLICY, policy),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (named("cross-origin-opener-policy"), "same-origin"),
            (named("cross-origin-embedder-policy"), "require-corp"),
            (named("cross-origin-resource-policy"), "same-origin"),
            (named("permissions-policy"), PERMISSIONS),
        ];
        if !development {
            headers.push((STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY));
        }
        let valued = headers
            .into_iter()
            .map(|(name, value)| (name, HeaderValue::from_static(value)));
        Self(valued.collect())
    }

    /// Puts them on a response, in place of any that are there.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(development: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        SecurityHeaders::new(development).apply(&mut headers);
        headers
    }

    #[test]
    fn the_policy_is_exactly_this() {
        assert_eq!(
            applied(false)[CONTENT_SECURITY_POLICY],
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
             img-src 'self' data: blob:; font-src 'self'; connect-src 'self' wss:; \
             worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        assert_eq!(
            applied(true)[CONTENT_SECURITY_POLICY],
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
             img-src 'self' data: blob:; font-src 'self'; \
             connect-src 'self' wss: ws://127.0.0.1:* ws://localhost:*; \
             worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
    }

    #[test]
    fn the_other_headers() {
        let headers = applied(false);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert_eq!(headers.len(), 8);
    }

    #[test]
    fn a_developer_is_not_sent_to_https() {
        assert!(applied(false).contains_key(STRICT_TRANSPORT_SECURITY));
        assert!(!applied(true).contains_key(STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn nothing_is_permitted_but_scanning_copying_and_sharing() {
        let headers = applied(false);
        let allowed = headers["permissions-policy"]
            .to_str()
            .unwrap()
            .split(", ")
            .filter(|entry| !entry.ends_with("=()"));
        assert_eq!(
            allowed.collect::<Vec<_>>(),
            [
                "camera=(self)",
                "clipboard-write=(self)",
                "web-share=(self)"
            ]
        );
    }

    #[test]
    fn what_a_handler_has_set_is_overruled() {
        let mut headers = HeaderMap::new();
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("unsafe-url"));
        SecurityHeaders::new(true).apply(&mut headers);
        assert_eq!(
            headers.get_all(REFERRER_POLICY).iter().collect::<Vec<_>>(),
            ["no-referrer"]
        );
    }
}
