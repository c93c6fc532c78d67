// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The page's side: turns method calls into requests to the worker and answers into results.

import { closed, fromApi, internal, type ZenTalkError } from "./errors.js";
import type { Answer, Message, Request, ZenTalkEvent } from "./generated.js";
import type { ChosenRoute, FromWorker, ToWorker } from "./protocol.js";
import type {
  Connection,
  Contact,
  Conversation,
  Cover,
  Cursor,
  Me,
  MessagePage,
  Network,
  RouteOptions,
  SafetyComparison,
  SafetyNumber,
  State,
  StorageReport,
  ZenTalk,
} from "./types.js";

/** A worker, as a page has it. */
export interface WorkerPort {
  postMessage(message: ToWorker): void;
  terminate(): void;
}

/** What the client needs of its page. */
export interface Page {
  /** Starts a worker; `receive` is called with what it says, `crashed` when it cannot go on. */
  spawn(receive: (message: FromWorker) => void, crashed: () => void): WorkerPort;
  /** What a worker is told first. */
  start(route: ChosenRoute): ToWorker;
  storage?: StorageManager | undefined;
  /** 32 random hex digits. */
  randomId(): string;
  now(): number;
  /** Called once, when the client is closed. */
  closed(): void;
}

/** A second crash within this time, in ms, is the end: it would only happen again. */
const CRASH_WINDOW = 60_000;
const DEFAULT_PAGE = 50;
const MAX_PAGE = 100;
/** How long `close` lets the worker finish its last commit, in ms. */
const CLOSE_DEADLINE = 3_000;

type Value<K extends Answer["kind"]> = Extract<Answer, { kind: K }> extends { value: infer V } ? V : undefined;

interface Waiting {
  request: Request;
  resolve(answer: Answer): void;
  reject(error: ZenTalkError): void;
}

export class Client implements ZenTalk {
  readonly #page: Page;
  readonly #listeners = new Set<(event: ZenTalkEvent) => void>();
  readonly #waiting = new Map<number, Waiting>();
  /** Failed messages that this page has seen, and whose they are. */
  readonly #failed = new Map<string, string>();
  #worker: WorkerPort | undefined;
  #route: ChosenRoute;
  #lastId = 0;
  #crashedAt: number | undefined;
  /** Set when nothing works any more, to what every call rejects with. */
  #end: (() => ZenTalkError) | undefined;

  constructor(page: Page, route: RouteOptions = {}) {
    this.#page = page;
    this.#route = chosen(route);
    this.#spawn();
  }

  state = (): Promise<State> => this.#ask({ kind: "state" }, "state");
  me = (): Promise<Me> => this.#ask({ kind: "me" }, "me");
  rename = (name: string): Promise<Me> => this.#ask({ kind: "rename", name }, "me");
  contacts = (): Promise<Contact[]> => this.#ask({ kind: "contacts" }, "contacts");
  connection = (): Promise<Connection> => this.#ask({ kind: "connection" }, "connection");
  network = (): Promise<Network> => this.#ask({ kind: "network" }, "network");
  cover = (): Promise<Cover> => this.#ask({ kind: "cover" }, "cover");

  async create(profile: { name: string }): Promise<Me> {
    const me = await this.#ask({ kind: "create", name: profile.name, again: false }, "me");
    // Keys are worth asking for; browsers may put a question to the person, so nobody waits for it.
    void this.#page.storage?.persist?.().catch(() => false);
    return me;
  }

  addContact(code: string, name?: string): Promise<Contact> {
    return this.#ask({ kind: "addContact", code, ...(name === undefined ? {} : { name }) }, "contact");
  }

  renameContact(address: string, name: string): Promise<Contact> {
    return this.#ask({ kind: "renameContact", address, name }, "contact");
  }

  async conversations(): Promise<Conversation[]> {
    const conversations = await this.#ask({ kind: "conversations" }, "conversations");
    for (const { lastMessage } of conversations) if (lastMessage) this.#note(lastMessage);
    return conversations;
  }

  async messages(address: string, page: { before?: Cursor; limit?: number } = {}): Promise<MessagePage> {
    const limit = Math.min(Math.max(Math.trunc(page.limit ?? DEFAULT_PAGE), 1), MAX_PAGE);
    const before = page.before ? { before: page.before } : {};
    const answer = await this.#ask({ kind: "messages", address, limit, ...before }, "page");
    answer.messages.forEach((message) => this.#note(message));
    return answer;
  }

  send(address: string, text: string, id: string = this.#page.randomId()): Promise<Message> {
    return this.#ask({ kind: "send", address, text, id }, "message");
  }

  async retry(messageId: string): Promise<Message> {
    const address = this.#failed.get(messageId);
    if (address === undefined) throw fromApi({ code: "unknownMessage", message: UNKNOWN_MESSAGE });
    return this.#ask({ kind: "retry", address, messageId }, "message");
  }

  async markRead(address: string): Promise<void> {
    await this.#ask({ kind: "markRead", address }, "done");
  }

  safetyNumber(address: string): Promise<SafetyNumber> {
    return this.#ask({ kind: "safetyNumber", address }, "safetyNumber");
  }

  compareSafetyNumber(address: string, scanned: string): Promise<SafetyComparison> {
    return this.#ask({ kind: "compareSafetyNumber", address, scanned }, "comparison");
  }

  setVerified(address: string, verified: boolean): Promise<Contact> {
    return this.#ask({ kind: "setVerified", address, verified }, "contact");
  }

  acceptKeys(address: string): Promise<Contact> {
    return this.#ask({ kind: "acceptKeys", address }, "contact");
  }

  async storage(): Promise<StorageReport> {
    const storage = this.#page.storage;
    const persisted = (await storage?.persisted?.()) || (await storage?.persist?.()) || false;
    const estimate = await storage?.estimate?.();
    return { persisted, usageBytes: estimate?.usage ?? 0, quotaBytes: estimate?.quota ?? 0 };
  }

  async setRoute(options: RouteOptions): Promise<void> {
    // A worker that takes the place of this one goes by it, too.
    this.#route = chosen(options);
    await this.#ask({ kind: "setRoute", ...this.#route }, "done");
  }

  async erase(): Promise<void> {
    await this.#ask({ kind: "erase" }, "done");
  }

  subscribe(listener: (event: ZenTalkEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    const worker = this.#worker;
    if (this.#end) return;
    this.#finish(closed);
    worker?.postMessage({ type: "close" });
    // `closed` comes when the last commit is done; a worker that does not answer is ended all the same.
    setTimeout(() => worker?.terminate(), CLOSE_DEADLINE);
  }

  /** The page was shown or hidden. */
  setVisible(visible: boolean): void {
    this.#worker?.postMessage({ type: "visible", visible });
  }

  async #ask<K extends Answer["kind"]>(request: Request, kind: K): Promise<Value<K>> {
    if (this.#end) throw this.#end();
    const id = ++this.#lastId;
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { request, resolve, reject });
      this.#worker?.postMessage({ type: "ask", id, request });
    });
    if (answer.kind !== kind) throw internal();
    return ("value" in answer ? answer.value : undefined) as Value<K>;
  }

  #spawn(): void {
    // What a worker says after its end is of no interest.
    const current = (): boolean => this.#worker === worker;
    const worker: WorkerPort = this.#page.spawn(
      (message) => {
        if (message.type === "closed") worker.terminate();
        else if (current()) this.#receive(message);
      },
      () => current() && this.#crashed(),
    );
    this.#worker = worker;
    worker.postMessage(this.#page.start(this.#route));
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "event":
        return this.#emit(message.event);
      case "crashed":
        return this.#crashed();
      case "answer":
        return this.#take(message.id)?.resolve(message.answer);
      case "refusal":
        return this.#take(message.id)?.reject(fromApi(message.error));
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /** A new worker restores everything from the store; what was not answered is asked again. */
  #crashed(): void {
    this.#worker?.terminate();
    const now = this.#page.now();
    if (this.#crashedAt !== undefined && now - this.#crashedAt < CRASH_WINDOW) {
      this.#finish(internal);
      return;
    }
    this.#crashedAt = now;
    this.#spawn();
    for (const [id, { request }] of this.#waiting) {
      const again = request.kind === "create" ? { ...request, again: true } : request;
      this.#worker?.postMessage({ type: "ask", id, request: again });
    }
  }

  #finish(error: () => ZenTalkError): void {
    this.#end = error;
    this.#worker = undefined;
    for (const waiting of this.#waiting.values()) waiting.reject(error());
    this.#waiting.clear();
    this.#listeners.clear();
    this.#page.closed();
  }

  #emit(event: ZenTalkEvent): void {
    if (event.kind === "message") this.#note(event.message);
    if (event.kind === "erased") this.#failed.clear();
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (thrown) {
        // A listener's fault must not keep the event from the others; the browser reports it.
        reportError(thrown);
      }
    }
  }

  #note(message: Message): void {
    if (message.state?.kind === "failed") this.#failed.set(message.id, message.address);
    else this.#failed.delete(message.id);
  }
}

function chosen({ onionSuite, onionFloor, mixing = "off" }: RouteOptions): ChosenRoute {
  return { onionSuite: onionSuite ?? onionFloor ?? "x25519", mixing, ...(onionFloor && { onionFloor }) };
}

const UNKNOWN_MESSAGE = "This message has not failed, or is not in this browser.";
