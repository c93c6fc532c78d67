// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The types of npm `zentalk-client`: everything that an application may know about the engine.
// Times are milliseconds since 1970-01-01 UTC; addresses are 64 lower-case hex digits.

/** Opens (or prepares to create) the identity that this browser holds. Rejects with `ZenTalkError`. */
export declare function start(options?: StartOptions): Promise<ZenTalk>;

export interface StartOptions {
  /** URL of the bootstrap list; default `/bootstrap.json`. */
  bootstrap?: string;
  /** Name of the IndexedDB database; default `zentalk`. */
  database?: string;
}

export interface ZenTalk {
  /** What this browser holds: no identity yet, or an open one. */
  state(): Promise<{ kind: "empty" } | { kind: "ready"; me: Me }>;
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
  retry(messageId: string): Promise<Message>;
  markRead(address: string): Promise<void>;
  connection(): Promise<Connection>;
  network(): Promise<Network>;
  /** Asks the browser to keep storage and reports what it said. */
  storage(): Promise<StorageReport>;
  /** Deletes every key and message in this browser. */
  erase(): Promise<void>;
  /** Events reach every tab of the same identity. Returns the way to stop. */
  subscribe(listener: (event: ZenTalkEvent) => void): () => void;
  close(): void;
}

export interface Me {
  address: string;
  /** `zen1…` */
  code: string;
  /** Origin + `/#add/zen1…` */
  link: string;
  /** The upper-case code, for dense QR codes. */
  qr: string;
  name: string;
  createdAt: number;
}

export interface Contact {
  address: string;
  code?: string;
  /** What this person is called here; for `incoming`, what they call themselves. May be empty. */
  name: string;
  addedAt: number;
  /** `incoming`: they wrote first. */
  origin: "added" | "incoming";
}

export interface Conversation {
  contact: Contact;
  lastMessage?: Message;
  unread: number;
}

export type MessageState =
  /** `reason`: why it is not out yet. */
  | { kind: "sending"; reason?: WaitReason }
  /** Durable on `held` of `of` relays. */
  | { kind: "sent"; held: number; of: number }
  | { kind: "delivered"; at: number }
  | { kind: "read"; at: number }
  | { kind: "failed"; reason: FailReason };

export type WaitReason = "offline" | "lookingUpContact" | "waitingForRelays" | "retrying";
export type FailReason = "contactNotFound" | "expired" | "contactKeysInvalid" | "tooLarge";

export interface Message {
  id: string;
  /** The conversation's contact. */
  address: string;
  direction: "out" | "in";
  text: string;
  /** The sender's clock. */
  sentAt: number;
  /** Local order within the conversation. */
  orderedAt: number;
  /** Only of `out`. */
  state?: MessageState;
}

export interface Cursor {
  orderedAt: number;
  id: string;
}

export interface MessagePage {
  /** Oldest first. */
  messages: Message[];
  /** Present when older ones exist. */
  before?: Cursor;
}

export type Connection =
  | { kind: "offline" }
  | { kind: "connecting"; attempt: number; retryAt?: number }
  /** `receiving`: the mailbox is subscribed. */
  | { kind: "online"; since: number; receiving: boolean };

export interface Network {
  relays: number;
  hops: number;
  privacyWarning?: "fewRelays" | "oneRelay";
}

export interface StorageReport {
  persisted: boolean;
  usageBytes: number;
  quotaBytes: number;
}

export type CreatingStep = "accountKey" | "deviceKeys" | "certificates" | "saving" | "publishing";

export type ZenTalkEvent =
  | { kind: "creating"; step: CreatingStep }
  | { kind: "me"; me: Me }
  | { kind: "contact"; contact: Contact }
  | { kind: "conversation"; conversation: Conversation }
  /** A new message, or one whose state changed. */
  | { kind: "message"; message: Message }
  | { kind: "connection"; connection: Connection }
  | { kind: "network"; network: Network }
  /** `leading`: this tab runs the engine. */
  | { kind: "leader"; leading: boolean }
  | { kind: "storageFailed"; reason: "quota" | "unavailable" | "corrupt" }
  | { kind: "erased" };

/** Every rejection is one of these; `message` is a sentence for a person. */
export interface ZenTalkError {
  code: ErrorCode;
  message: string;
}

export type ErrorCode =
  | "badCode"
  | "ownCode"
  | "unknownContact"
  | "unknownMessage"
  | "tooLarge"
  | "emptyText"
  | "noIdentity"
  | "identityExists"
  | "storage"
  | "unsupportedBrowser"
  | "closed"
  | "internal";
