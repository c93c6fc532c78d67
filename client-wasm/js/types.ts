// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The types of npm `zentalk-client`: everything that an application may know about the engine. Values are
// declared in `generated.ts`, which is written from the Rust types that cross the border.

import type {
  Connection,
  Contact,
  Conversation,
  Cover,
  Cursor,
  Me,
  Message,
  MessagePage,
  Mixing,
  Network,
  OnionSuite,
  SafetyComparison,
  SafetyNumber,
  State,
  ZenTalkEvent,
} from "./generated.js";

export type {
  Connection,
  Contact,
  Conversation,
  Cover,
  CreatingStep,
  Cursor,
  Direction,
  ErrorCode,
  FailReason,
  Me,
  Message,
  MessagePage,
  MessageState,
  Mixing,
  Network,
  NoticeKind,
  Onion,
  OnionSuite,
  Origin,
  PrivacyWarning,
  SafetyComparison,
  SafetyNumber,
  State,
  StorageFailure,
  Verification,
  WaitReason,
  ZenTalkEvent,
} from "./generated.js";

/** How packets are encrypted for the relays that they pass, and mixed with those of others. All tabs should name the same. */
export interface RouteOptions {
  /**
   * The suite to prefer; default: the floor, or `x25519`. `xwing` also protects who talks to whom against those who
   * record packets today and have a quantum computer later; packets are then twice as large. (What you write is
   * protected against them in any case.) Relays that do not offer the suite are left out while enough others do,
   * otherwise another suite is used; `Network.onion` says which.
   */
  onionSuite?: OnionSuite;
  /**
   * Rather nothing is sent than by a suite that is weaker than this one; weakest first: `x25519`, `rsa4096`, `xwing`.
   * Not set: no floor. While too few relays offer such a suite, `Network.onion` is `belowFloor` and messages wait for
   * the reason `onionBelowFloor`.
   */
  onionFloor?: OnionSuite;
  /**
   * Default `off`. `light` and `strong` have relays hold each packet for a random time, and send packets to this client
   * itself at random times, so that who watches relays or wires cannot follow a message by when it passes. A message
   * takes longer for it, about 0.4 s (`light`) or 4 s (`strong`), and the tab sends and receives about 3 MB or 17 MB an hour more,
   * twice that with `xwing`. A tab that the browser freezes sends none.
   */
  mixing?: Mixing;
}

export interface StartOptions extends RouteOptions {
  /** URL of the bootstrap list, on the page's own origin; default `/bootstrap.json`. */
  bootstrap?: string;
  /** Name of the IndexedDB database; default `zentalk`. */
  database?: string;
}

export interface StorageReport {
  /** The browser keeps the data until a person deletes it. */
  persisted: boolean;
  usageBytes: number;
  quotaBytes: number;
}

/** Every method rejects with a `ZenTalkError`. */
export interface ZenTalk {
  /** What this browser holds: no identity yet, or an open one. */
  state(): Promise<State>;
  /** Makes keys (1–3 s: RSA in WebCrypto). Progress arrives as events `creating`. */
  create(profile: { name: string }): Promise<Me>;
  me(): Promise<Me>;
  rename(name: string): Promise<Me>;
  /** Accepts a code, a link, or pasted text around either. Idempotent. */
  addContact(code: string, name?: string): Promise<Contact>;
  contacts(): Promise<Contact[]>;
  renameContact(address: string, name: string): Promise<Contact>;
  /** Newest first. */
  conversations(): Promise<Conversation[]>;
  /** One page, oldest first; `limit` at most 100, default 50. */
  messages(address: string, page?: { before?: Cursor; limit?: number }): Promise<MessagePage>;
  /** Resolves when the message is durable here. Sending again with the same `id` sends once. */
  send(address: string, text: string, id?: string): Promise<Message>;
  /** Tries a failed message again that this tab has seen. */
  retry(messageId: string): Promise<Message>;
  markRead(address: string): Promise<void>;
  /** Rejects with `keysUnknown` until the contact's keys have been looked up. */
  safetyNumber(address: string): Promise<SafetyNumber>;
  /** Compares the text of the other end's QR code; changes nothing. Rejects like `safetyNumber`. */
  compareSafetyNumber(address: string, scanned: string): Promise<SafetyComparison>;
  /**
   * The person has compared safety numbers, or takes it back. Either way a contact is no longer `changed`, and
   * what waited for that is sent. Rejects with `keysUnknown` if there is nothing to compare yet.
   */
  setVerified(address: string, verified: boolean): Promise<Contact>;
  /** The person accepts a `changed` contact without comparing: it is `unverified`, and what waited is sent. */
  acceptKeys(address: string): Promise<Contact>;
  connection(): Promise<Connection>;
  network(): Promise<Network>;
  /** What became of the packets that this client has sent to itself. */
  cover(): Promise<Cover>;
  /**
   * Encrypts and mixes packets otherwise than `start` was told: what is left out has its default. Resolves when it is in effect,
   * in whichever tab runs the engine; every connection is made anew for it. Nothing is stored: the next `start`, and
   * other tabs that may come to run the engine, have to be told as well.
   */
  setRoute(options: RouteOptions): Promise<void>;
  /** Asks the browser to keep storage and reports what it said. */
  storage(): Promise<StorageReport>;
  /** Deletes every key and message in this browser. */
  erase(): Promise<void>;
  /** Events reach every tab of the same identity. Returns the way to stop. */
  subscribe(listener: (event: ZenTalkEvent) => void): () => void;
  /** Stops the engine in this tab, after its last commit; another tab goes on. */
  close(): void;
}
