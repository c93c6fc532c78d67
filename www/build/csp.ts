// The content security policy that the api-server sends with the app, repeated here so that
// `vite preview` and the end-to-end tests run under it.

/** `development` also lets the page reach relays on this machine without TLS. */
export function contentSecurityPolicy({ development }: { development: boolean }): string {
  const sockets = development ? "wss: ws://127.0.0.1:* ws://localhost:*" : "wss:";
  return [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    `connect-src 'self' ${sockets}`,
    "worker-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
