// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Written from client-wasm/src/api.rs by its tests; do not edit. To write it anew:
//     ZENTALK_WRITE_TYPES=1 cargo test -p zentalk-client-wasm declarations
// Times are milliseconds since 1970-01-01 UTC; addresses are 64 lower-case hex digits, ids 32.

/**
 * The account of this browser.
 */
export interface Me {
    /**
     * 64 hex digits.
     */
    address: string;
    /**
     * `zen1…`
     */
    code: string;
    /**
     * Origin + `/#add/zen1…`
     */
    link: string;
    /**
     * The upper-case code, for dense QR codes.
     */
    qr: string;
    /**
     * The name that others see.
     */
    name: string;
    /**
     * When the account was made.
     */
    createdAt: number;
}

/**
 * How a contact came about.
 */
export type Origin = "added" | "incoming";

/**
 * What a person has made of a contact's safety number.
 */
export type Verification = "unverified" | "verified" | "changed";

/**
 * What two people compare to be sure that nobody sits between them.
 */
export interface SafetyNumber {
    /**
     * 60 digits, the same at both ends; to be shown in twelve groups of five.
     */
    digits: string;
    /**
     * Text for a QR code that the other end scans; 114 characters, upper case.
     */
    qr: string;
}

/**
 * What a scanned QR code says about a safety number.
 */
export type SafetyComparison = "match" | "different" | "notASafetyNumber" | "otherVersion";

/**
 * A person.
 */
export interface Contact {
    /**
     * Who they are.
     */
    address: string;
    /**
     * Their contact code, when known.
     */
    code?: string;
    /**
     * What this person is called here; for `incoming`, what they call themselves. May be empty.
     */
    name: string;
    /**
     * Since when.
     */
    addedAt: number;
    /**
     * How; `incoming`: they wrote first.
     */
    origin: Origin;
    /**
     * Whether their safety number was compared.
     */
    verification: Verification;
}

/**
 * One line of the list of conversations.
 */
export interface Conversation {
    /**
     * With whom.
     */
    contact: Contact;
    /**
     * The newest message.
     */
    lastMessage?: Message;
    /**
     * Incoming messages not yet read.
     */
    unread: number;
}

/**
 * Why a message is not out yet.
 */
export type WaitReason = "offline" | "onionBelowFloor" | "lookingUpContact" | "contactNotFound" | "waitingForRelays" | "preparing" | "retrying" | "keysChanged";

/**
 * Why a message will not be sent.
 */
export type FailReason = "contactNotFound" | "expired" | "contactKeysInvalid" | "tooLarge";

/**
 * Where an outgoing message is.
 */
export type MessageState = { kind: "sending"; reason?: WaitReason } | { kind: "sent"; held: number; of: number } | { kind: "delivered"; at: number } | { kind: "read"; at: number } | { kind: "failed"; reason: FailReason };

/**
 * Who wrote a message.
 */
export type Direction = "out" | "in" | "notice";

/**
 * What happened to a conversation.
 */
export type NoticeKind = "sessionRenewed" | "keysChanged" | "devicesUnconfirmed";

/**
 * One message.
 */
export interface Message {
    /**
     * 32 hex digits, the same at both ends.
     */
    id: string;
    /**
     * The conversation's contact.
     */
    address: string;
    /**
     * Who wrote.
     */
    direction: Direction;
    /**
     * What.
     */
    text: string;
    /**
     * The sender's clock.
     */
    sentAt: number;
    /**
     * Local order within the conversation.
     */
    orderedAt: number;
    /**
     * Only of `out`.
     */
    state?: MessageState;
    /**
     * Only of `notice`, and always there.
     */
    notice?: NoticeKind;
    /**
     * Only of the notice `devicesUnconfirmed`, and always there: when they were last confirmed.
     */
    since?: number;
}

/**
 * A place in a conversation.
 */
export interface Cursor {
    /**
     * Order of the message that stands there.
     */
    orderedAt: number;
    /**
     * Its id.
     */
    id: string;
}

/**
 * Part of a conversation.
 */
export interface MessagePage {
    /**
     * Oldest first.
     */
    messages: Message[];
    /**
     * Present when older ones exist.
     */
    before?: Cursor;
}

/**
 * The link to the network.
 */
export type Connection = { kind: "offline" } | { kind: "connecting"; attempt: number; retryAt?: number } | { kind: "online"; since: number; receiving: boolean };

/**
 * What a small network cannot give.
 */
export type PrivacyWarning = "fewRelays" | "oneRelay";

/**
 * How packets are encrypted for the relays that they pass.
 */
export type Onion = { kind: "inUse"; suite: OnionSuite; weaker: boolean } | { kind: "belowFloor"; floor: OnionSuite };

/**
 * The relays known.
 */
export interface Network {
    /**
     * How many.
     */
    relays: number;
    /**
     * Relays on a path.
     */
    hops: number;
    /**
     * What is lost.
     */
    privacyWarning?: PrivacyWarning;
    /**
     * How packets are encrypted.
     */
    onion: Onion;
}

/**
 * How packets are mixed, so that who watches relays or wires cannot follow them by time: `light` has each relay hold a
 * packet for 0.1 s on average and sends a packet to itself every 30 s, which is 3 MB an hour; `strong` 1 s, every 5 s,
 * 17 MB an hour (twice that with `xwing`); `off` does neither.
 */
export type Mixing = "off" | "light" | "strong";

/**
 * Packets that this client has sent to itself since its engine started, so that nobody can tell when it does something.
 */
export interface Cover {
    /**
     * How packets are mixed.
     */
    mixing: Mixing;
    /**
     * Packets sent to itself.
     */
    sent: number;
    /**
     * Of these, came back.
     */
    returned: number;
    /**
     * Of these, did not come back in time. Some relay on their way loses packets, or somebody does on the wire.
     */
    lost: number;
}

/**
 * What this browser holds.
 */
export type State = { kind: "empty" } | { kind: "ready"; me: Me };

/**
 * A stage of making an identity.
 */
export type CreatingStep = "accountKey" | "deviceKeys" | "certificates" | "saving" | "publishing";

/**
 * Why the store does not work.
 */
export type StorageFailure = "quota" | "unavailable" | "corrupt";

/**
 * Something happened. Reaches every tab of the same identity.
 */
export type ZenTalkEvent = { kind: "creating"; step: CreatingStep } | { kind: "me"; me: Me } | { kind: "contact"; contact: Contact } | { kind: "conversation"; conversation: Conversation } | { kind: "message"; message: Message } | { kind: "connection"; connection: Connection } | { kind: "network"; network: Network } | { kind: "leader"; leading: boolean } | { kind: "storageFailed"; reason: StorageFailure } | { kind: "erased" };

/**
 * Kinds of failure that an application can tell apart.
 */
export type ErrorCode = "badCode" | "ownCode" | "unknownContact" | "unknownMessage" | "tooLarge" | "emptyText" | "keysUnknown" | "noIdentity" | "identityExists" | "storage" | "unsupportedBrowser" | "closed" | "internal";

/**
 * A failure. Every rejection of the JavaScript API carries one.
 */
export interface ApiError {
    /**
     * For programs.
     */
    code: ErrorCode;
    /**
     * A sentence for a person.
     */
    message: string;
}

/**
 * What a tab asks of the engine.
 */
export type Request = { kind: "state" } | { kind: "create"; name: string; again: boolean } | { kind: "me" } | { kind: "rename"; name: string } | { kind: "addContact"; code: string; name?: string } | { kind: "contacts" } | { kind: "renameContact"; address: string; name: string } | { kind: "conversations" } | { kind: "messages"; address: string; before?: Cursor; limit: number } | { kind: "send"; address: string; text: string; id: string } | { kind: "retry"; address: string; messageId: string } | { kind: "markRead"; address: string } | { kind: "safetyNumber"; address: string } | { kind: "compareSafetyNumber"; address: string; scanned: string } | { kind: "setVerified"; address: string; verified: boolean } | { kind: "acceptKeys"; address: string } | { kind: "connection" } | { kind: "network" } | { kind: "cover" } | { kind: "setRoute"; onionSuite: OnionSuite; onionFloor?: OnionSuite; mixing: Mixing } | { kind: "erase" };

/**
 * What the engine answers.
 */
export type Answer = { kind: "state"; value: State } | { kind: "me"; value: Me } | { kind: "contact"; value: Contact } | { kind: "contacts"; value: Contact[] } | { kind: "conversations"; value: Conversation[] } | { kind: "page"; value: MessagePage } | { kind: "message"; value: Message } | { kind: "connection"; value: Connection } | { kind: "network"; value: Network } | { kind: "cover"; value: Cover } | { kind: "safetyNumber"; value: SafetyNumber } | { kind: "comparison"; value: SafetyComparison } | { kind: "done" };

/**
 * What a host is opened with.
 */
export interface HostOptions {
    /**
     * Name of the IndexedDB database.
     */
    database: string;
    /**
     * Origin of the page, for links to add me.
     */
    origin: string;
    /**
     * Whether the browser believes that there is a network.
     */
    online: boolean;
    /**
     * The onion suite to prefer; `x25519` unless said otherwise.
     */
    onionSuite?: OnionSuite;
    /**
     * Rather nothing is sent than by a suite that is weaker than this one (weakest first: `x25519`, `rsa4096`, `xwing`).
     */
    onionFloor?: OnionSuite;
    /**
     * How packets are mixed; `off` unless said otherwise.
     */
    mixing?: Mixing;
}

/**
 * How packets are encrypted for the relays that they pass: `x25519` is classical, with small packets; `xwing` adds
 * ML-KEM-768, also against who records packets today and has a quantum computer later, and makes packets twice as large;
 * `rsa4096` is slow for relays, and few offer it.
 */
export type OnionSuite = "x25519" | "xwing" | "rsa4096";

/**
 * What a host tells the worker that runs it.
 */
export type HostNotice = { kind: "event"; event: ZenTalkEvent } | { kind: "replaced" };
