// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What a browser must have, and the sentence for each that is missing.

import { ZenTalkError } from "./errors.js";

/** The part of the global scope that is looked at. */
export interface Scope {
  isSecureContext?: boolean;
  crypto?: { subtle?: unknown };
  indexedDB?: unknown;
  navigator?: { locks?: unknown };
  BroadcastChannel?: unknown;
  WebAssembly?: unknown;
  Worker?: unknown;
  WebSocket?: unknown;
}

const NEEDED: readonly [(scope: Scope) => unknown, string][] = [
  [
    (scope) => scope.isSecureContext,
    "ZenTalk works on pages that come over HTTPS only: elsewhere browsers offer no safe cryptography.",
  ],
  [(scope) => scope.WebAssembly, "This browser does not run WebAssembly, which ZenTalk is made of."],
  [(scope) => scope.Worker, "This browser has no web workers, which ZenTalk runs in."],
  [(scope) => scope.crypto?.subtle, "This browser has no WebCrypto, which ZenTalk makes its keys with."],
  [
    (scope) => scope.indexedDB,
    "This browser has no IndexedDB, or does not allow it here, and ZenTalk could not keep your messages.",
  ],
  [
    (scope) => scope.navigator?.locks,
    "This browser has no Web Locks, without which two tabs could spoil each other's messages.",
  ],
  [(scope) => scope.BroadcastChannel, "This browser does not let its tabs talk to each other."],
  [(scope) => scope.WebSocket, "This browser has no WebSockets, which reach the relays."],
];

/** Throws when the browser lacks something essential. */
export function checkSupport(scope: Scope): void {
  const missing = NEEDED.find(([has]) => !has(scope));
  if (missing) throw new ZenTalkError("unsupportedBrowser", missing[1]);
}
