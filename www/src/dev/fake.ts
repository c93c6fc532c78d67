// An in-memory engine with the interface of `zentalk-client`, for development and tests.
// It is chosen by `vite --mode fake` and by vitest, and never part of a production build.
//
// In a page it is steered by the query (`?fake=empty|seeded|long|broken|corrupt|unsupported`, `?speed=N`)
// and by `window.zentalkFake`.

import type {
  Connection,
  Contact,
  Conversation,
  Cover,
  CreatingStep,
  Cursor,
  ErrorCode,
  FailReason,
  Me,
  Message,
  MessagePage,
  MessageState,
  Mixing,
  Network,
  Onion,
  OnionSuite,
  RouteOptions,
  SafetyComparison,
  SafetyNumber,
  StartOptions,
  StorageReport,
  Verification,
  ZenTalk,
  ZenTalkEvent,
} from "zentalk-client";
import { HELD_BACK, isHeldBack } from "../lib/model/waiting.ts";
import { FakeCover } from "./cover.ts";
import { compareWith, ofNextVersion, safetyNumberOf } from "./safety.ts";
import { addressFor, codeFor, HISTORY, INES_CHANGED, type Line, longHistory, PEOPLE, type Person, REQUEST } from "./script.ts";
import { FakeError, FakeStore } from "./store.ts";

export { FakeError };

/** Found in no production bundle. */
export const FAKE_MARKER = "zentalk-in-memory-engine";

export type Scene = "empty" | "seeded" | "long" | "broken" | "corrupt" | "unsupported";

export interface FakeOptions {
  scene?: Scene;
  /** Multiplies every delay; 0 is at once. */
  speed?: number;
  origin?: string;
  now?: () => number;
  route?: RouteOptions;
}

const STEPS: CreatingStep[] = ["accountKey", "deviceKeys", "certificates", "saving", "publishing"];
const CODE = /zen1[02-9ac-hj-np-z]{20,}/i;
const TEXT_LIMIT = 16 * 1024;
const RELAYS = 3;

export class FakeEngine extends FakeStore implements ZenTalk {
  readonly marker = FAKE_MARKER;
  private readonly people = new Map<string, Person>();
  private link: Connection = { kind: "online", since: 0, receiving: true };
  private net: Network = { relays: 24, hops: 3, onion: { kind: "inUse", suite: "x25519", weaker: false } };
  private wanted: RouteOptions;
  /** The best onion suite that enough relays have. */
  private offered: OnionSuite = "xwing";
  private readonly loops: FakeCover;
  private kept = false;
  private nextFailure: FailReason | null = null;
  private nextRejection: FakeError | null = null;
  private readonly speed: number;
  private readonly origin: string;
  private readonly now: () => number;

  constructor(options: FakeOptions = {}) {
    super();
    this.speed = options.speed ?? 1;
    this.origin = options.origin ?? "https://zentalk.example";
    this.now = options.now ?? (() => Date.now());
    for (const person of Object.values(PEOPLE)) this.people.set(addressFor(person.code), person);
    this.link = { kind: "online", since: this.now(), receiving: true };
    this.wanted = options.route ?? {};
    this.net = { ...this.net, onion: this.onion() };
    this.loops = new FakeCover(this.now);
    this.loops.begin(this.wantedMixing());
    this.loops.online(true);
    if (options.scene === "seeded" || options.scene === "long") this.seed(options.scene);
  }

  // --- the interface ---

  async state() {
    await this.pause(60);
    this.throwPlanned();
    return this.self ? ({ kind: "ready", me: this.self } as const) : ({ kind: "empty" } as const);
  }

  async create({ name }: { name: string }): Promise<Me> {
    if (this.self) throw new FakeError("identityExists", "There is already an identity in this browser.");
    for (const step of STEPS) {
      this.emit({ kind: "creating", step });
      await this.pause(step === "accountKey" ? 900 : 320);
      this.throwPlanned();
    }
    this.self = this.makeSelf(name);
    this.emit({ kind: "me", me: this.self });
    return this.self;
  }

  async me(): Promise<Me> {
    return this.requireSelf();
  }

  async rename(name: string): Promise<Me> {
    this.throwPlanned();
    this.self = { ...this.requireSelf(), name };
    this.emit({ kind: "me", me: this.self });
    return this.self;
  }

  async addContact(text: string, name?: string): Promise<Contact> {
    const me = this.requireSelf();
    await this.pause(120);
    this.throwPlanned();
    const code = CODE.exec(text)?.[0].toLowerCase();
    if (!code) throw new FakeError("badCode", "There is no ZenTalk link or code in this text.");
    if (code.length < 113)
      throw new FakeError("badCode", `The code is cut off: ${code.length} of 113 characters are there.`);
    if (code.includes("bad"))
      throw new FakeError("badCode", "The code has a typing error: its checksum does not match.");
    if (code === me.code) throw new FakeError("ownCode", "This is your own link. Send it to somebody else.");
    const address = addressFor(code);
    const known = this.book.get(address);
    const contact: Contact = known
      ? { ...known, code, origin: "added", name: name || known.name }
      : { address, code, name: name ?? "", addedAt: this.now(), origin: "added", verification: "unverified" };
    this.keep(contact);
    return contact;
  }

  async contacts(): Promise<Contact[]> {
    this.requireSelf();
    return [...this.book.values()];
  }

  async renameContact(address: string, name: string): Promise<Contact> {
    this.throwPlanned();
    const contact = { ...this.requireContact(address), name, origin: "added" as const };
    this.keep(contact);
    return contact;
  }

  async conversations(): Promise<Conversation[]> {
    this.requireSelf();
    await this.pause(60);
    this.throwPlanned();
    const at = (c: Conversation) => c.lastMessage?.orderedAt ?? c.contact.addedAt;
    return [...this.book.keys()].map((a) => this.conversation(a)).sort((a, b) => at(b) - at(a));
  }

  async messages(address: string, page: { before?: Cursor; limit?: number } = {}): Promise<MessagePage> {
    this.requireContact(address);
    await this.pause(page.before ? 300 : 80);
    this.throwPlanned();
    const limit = Math.min(page.limit ?? 50, 100);
    const all = this.log.get(address) ?? [];
    const end = page.before ? all.findIndex((m) => m.id === page.before?.id) : all.length;
    const start = Math.max(0, end - limit);
    const messages = all.slice(start, end);
    const first = messages[0];
    return { messages, ...(start > 0 && first ? { before: { orderedAt: first.orderedAt, id: first.id } } : {}) };
  }

  async send(address: string, text: string, id: string = this.newId()): Promise<Message> {
    const contact = this.requireContact(address);
    await this.pause(30);
    this.throwPlanned();
    if (text.trim() === "") throw new FakeError("emptyText", "There is nothing to send.");
    if (new TextEncoder().encode(text).length > TEXT_LIMIT)
      throw new FakeError("tooLarge", "A message holds at most 16 KiB of text.");
    const twice = this.find(id);
    if (twice) return twice;
    if (contact.origin === "incoming") this.keep({ ...contact, origin: "added" });
    const message = this.append(address, "out", text, this.now(), { kind: "sending" }, id);
    this.deliver(message);
    return message;
  }

  async retry(messageId: string): Promise<Message> {
    const message = this.find(messageId);
    if (!message) throw new FakeError("unknownMessage", "This message is not known here.");
    this.throwPlanned();
    const again = this.change(messageId, { kind: "sending", reason: "retrying" });
    this.deliver(again);
    return again;
  }

  async markRead(address: string): Promise<void> {
    this.requireContact(address);
    if ((this.unread.get(address) ?? 0) === 0) return;
    this.unread.set(address, 0);
    this.emitConversation(address);
  }

  async safetyNumber(address: string): Promise<SafetyNumber> {
    this.requireContact(address);
    await this.pause(150);
    this.throwPlanned();
    return this.numberWith(address);
  }

  async compareSafetyNumber(address: string, scanned: string): Promise<SafetyComparison> {
    this.requireContact(address);
    await this.pause(60);
    this.throwPlanned();
    return compareWith(this.numberWith(address), scanned);
  }

  async setVerified(address: string, verified: boolean): Promise<Contact> {
    await this.pause(60);
    this.throwPlanned();
    return this.judge(address, verified ? "verified" : "unverified");
  }

  async acceptKeys(address: string): Promise<Contact> {
    await this.pause(60);
    this.throwPlanned();
    return this.judge(address, "unverified");
  }

  async connection(): Promise<Connection> {
    return this.link;
  }

  async network(): Promise<Network> {
    return this.net;
  }

  /** Asked on and on while somebody looks: it leaves the rejection that a test plans to the next call of another kind. */
  async cover(): Promise<Cover> {
    await this.pause(20);
    return this.loops.read();
  }

  async storage(): Promise<StorageReport> {
    return { persisted: this.kept, usageBytes: 1_340_000, quotaBytes: 2_100_000_000 };
  }

  async setRoute(options: RouteOptions): Promise<void> {
    await this.pause(40);
    this.throwPlanned();
    this.wanted = options;
    this.connecting(1);
    this.loops.begin(this.wantedMixing());
    await this.pause(150);
    this.reconnect();
  }

  async erase(): Promise<void> {
    await this.pause(200);
    this.throwPlanned();
    this.self = null;
    this.book.clear();
    this.log.clear();
    this.unread.clear();
    this.emit({ kind: "erased" });
  }

  subscribe(listener: (event: ZenTalkEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.closed = true;
    this.listeners.clear();
  }

  // --- steering, for tests and for playing ---

  offline(): void {
    this.setConnection({ kind: "offline" });
  }

  connecting(attempt: number, inMs?: number): void {
    this.setConnection({ kind: "connecting", attempt, ...(inMs ? { retryAt: this.now() + inMs } : {}) });
  }

  online(receiving = true): void {
    this.setConnection({ kind: "online", since: this.now(), receiving });
    for (const message of [...this.log.values()].flat())
      if (message.state?.kind === "sending") this.deliver(message);
  }

  /** What is left out stays, but for the warning. */
  setNetwork(changes: Partial<Network>): void {
    const { privacyWarning: _, ...rest } = this.net;
    const network = { ...rest, ...changes };
    this.net = network;
    this.emit({ kind: "network", network });
  }

  /** The relays have nothing better than this any more, or have it again. */
  setOffered(suite: OnionSuite): void {
    this.offered = suite;
    this.reconnect();
  }

  /** What the app has asked for. */
  wantedOnion(): RouteOptions {
    const { mixing: _, ...onion } = this.wanted;
    return onion;
  }

  wantedMixing(): Mixing {
    return this.wanted.mixing ?? "off";
  }

  /** As if packets to itself had gone out for so much longer. */
  passCover(ms: number): void {
    this.loops.pass(ms);
  }

  /** So many of its packets to itself do not come back. */
  loseCover(packets: number): void {
    this.loops.lose(packets);
  }

  setPersisted(persisted: boolean): void {
    this.kept = persisted;
  }

  storageFailed(reason: "quota" | "unavailable" | "corrupt"): void {
    this.emit({ kind: "storageFailed", reason });
  }

  /** The next message that goes out fails with this reason. */
  failNext(reason: FailReason): void {
    this.nextFailure = reason;
  }

  /** The next call is rejected. */
  rejectNext(code: ErrorCode, message: string): void {
    this.nextRejection = new FakeError(code, message);
  }

  receive(address: string, text: string): Message {
    const message = this.append(address, "in", text, this.now());
    return message;
  }

  /** Somebody unknown writes first. */
  request(name: string, lines: readonly Line[] = REQUEST): string {
    const code = codeFor(`request ${name}`);
    const address = addressFor(code);
    this.people.set(address, { name, code, online: true, answers: ["Thank you!"] });
    this.keep({ address, code, name, addedAt: this.now(), origin: "incoming", verification: "unverified" });
    this.fill(address, lines);
    return address;
  }

  /** Their devices change: a notice, and who was verified is so no longer. */
  changeKeys(address: string): void {
    const contact = this.requireContact(address);
    this.notice(address, "keysChanged", this.now());
    if (contact.verification === "verified") this.keep({ ...contact, verification: "changed" });
  }

  /** They have not been heard of for so many days, and are written to for the first time. */
  unconfirmed(address: string, days: number): void {
    const now = this.now();
    this.notice(address, "devicesUnconfirmed", now, now - days * 86_400_000);
  }

  /** The text of the QR code on their screen; that of a later version of the app if asked so. */
  theirQr(address: string, later = false): string {
    const number = this.numberWith(address);
    return later ? ofNextVersion(number) : number.qr;
  }

  /** An invented link that `addContact` accepts. */
  linkFor(seed: string): string {
    return `${this.origin}/#add/${codeFor(seed)}`;
  }

  addressOf(name: string): string | undefined {
    return [...this.book.values()].find((c) => c.name === name)?.address;
  }

  // --- inside ---

  private seed(scene: Scene): void {
    this.self = this.makeSelf("Ada");
    for (const [key, person] of Object.entries(PEOPLE)) {
      const address = addressFor(person.code);
      const lines = HISTORY[key as keyof typeof PEOPLE];
      if (lines.length === 0) continue;
      const { code, name, verification = "unverified" } = person as Person;
      this.keep({ address, code, name, addedAt: this.now() - 3e8, origin: "added", verification });
      this.fill(address, scene === "long" && key === "nora" ? longHistory(180) : lines);
      if (key === "ines") {
        this.notice(address, "keysChanged", this.now() - INES_CHANGED.noticed * 60_000);
        const [minutes, direction, text] = INES_CHANGED.held;
        this.append(address, direction, text, this.now() - minutes * 60_000, HELD_BACK);
      }
      this.unread.set(address, 0);
    }
    this.request("Mirjam");
  }

  private fill(address: string, lines: readonly Line[]): void {
    const online = this.people.get(address)?.online ?? false;
    for (const [minutes, direction, text] of lines) {
      const at = this.now() - minutes * 60_000;
      const later = { kind: minutes > 60 || online ? "read" : "delivered", at: at + 40_000 } as const;
      const state: MessageState = online || minutes > 24 * 60 ? later : { kind: "sent", held: 3, of: RELAYS };
      this.append(address, direction, text, at, direction === "out" ? state : undefined);
    }
  }

  private deliver(message: Message): void {
    if (this.requireContact(message.address).verification === "changed") {
      this.change(message.id, HELD_BACK);
      return;
    }
    if (this.link.kind !== "online") {
      this.change(message.id, { kind: "sending", reason: "offline" });
      return;
    }
    if (this.nextFailure) {
      const reason = this.nextFailure;
      this.nextFailure = null;
      this.later(350, () => this.change(message.id, { kind: "failed", reason }));
      return;
    }
    const person = this.people.get(message.address);
    this.later(250, () => this.change(message.id, { kind: "sent", held: 2, of: RELAYS }));
    this.later(500, () => this.change(message.id, { kind: "sent", held: 3, of: RELAYS }));
    if (!person?.online) return;
    this.later(900, () => this.change(message.id, { kind: "delivered", at: this.now() }));
    this.later(1600, () => this.change(message.id, { kind: "read", at: this.now() }));
    const answer = person.answers.shift();
    if (answer) this.later(2600, () => this.receive(message.address, answer));
  }

  /** What a person decides about somebody's keys; what was held back goes out. */
  private judge(address: string, verification: Verification): Contact {
    const contact = { ...this.requireContact(address), verification };
    this.keep(contact);
    for (const message of this.log.get(address) ?? []) if (isHeldBack(message.state)) this.deliver(message);
    return contact;
  }

  private numberWith(address: string): SafetyNumber {
    this.requireContact(address);
    if (!this.people.has(address)) throw new FakeError("keysUnknown", "Their keys have not been found yet.");
    return safetyNumberOf(this.requireSelf().address, address);
  }

  /** A path of what relays offer and the app wants, if there is one. */
  private reconnect(): void {
    const onion = this.onion();
    this.setNetwork({ onion });
    if (onion.kind === "inUse") this.online();
    else this.connecting(2, 30_000);
  }

  private onion(): Onion {
    const { onionFloor, onionSuite = onionFloor ?? "x25519" } = this.wanted;
    if (onionSuite === "x25519" || onionSuite === this.offered) return { kind: "inUse", suite: onionSuite, weaker: false };
    if (onionFloor && onionFloor !== "x25519") return { kind: "belowFloor", floor: onionFloor };
    return { kind: "inUse", suite: this.offered, weaker: true };
  }

  private setConnection(connection: Connection): void {
    this.link = connection;
    this.loops.online(connection.kind === "online");
    this.emit({ kind: "connection", connection });
  }

  private makeSelf(name: string): Me {
    const code = codeFor(`me ${this.origin}`);
    const link = `${this.origin}/#add/${code}`;
    return { address: addressFor(code), code, link, qr: code.toUpperCase(), name, createdAt: this.now() };
  }

  private throwPlanned(): void {
    const error = this.nextRejection;
    this.nextRejection = null;
    if (error) throw error;
  }

  private pause(ms: number): Promise<void> {
    return this.speed === 0 ? Promise.resolve() : new Promise((done) => setTimeout(done, ms * this.speed));
  }

  private later(ms: number, act: () => void): void {
    setTimeout(() => !this.closed && this.self && act(), ms * this.speed);
  }
}

declare global {
  interface Window {
    zentalkFake?: FakeEngine;
  }
}

/** What `zentalk-client` exports. */
export async function start(options: StartOptions = {}): Promise<ZenTalk> {
  const query = new URLSearchParams(location.search);
  const scene = (query.get("fake") ?? "empty") as Scene;
  const speed = Number(query.get("speed") ?? 1);
  const engine = new FakeEngine({ scene, speed, origin: location.origin, route: options });
  if (scene === "unsupported") throw new FakeError("unsupportedBrowser", "IndexedDB is not available in this window.");
  if (scene === "broken") throw new FakeError("storage", "The database could not be opened: it was made by a newer version.");
  if (scene === "corrupt") engine.rejectNext("storage", "What is stored could not be read.");
  window.zentalkFake = engine;
  return engine;
}
