// One conversation: its loaded messages, what is being written, and what could not be saved yet.

import type { Cursor, Message, ZenTalk } from "zentalk-client";
import { sentenceFor } from "./errors.ts";
import { compareMessages, withMessage, withPage } from "./order.ts";

/** A message that the engine has not confirmed yet; shown so that sending feels immediate. */
export interface Echo {
  message: Message;
  /** Why the engine did not take it; it can be tried again with the same id. */
  problem: string | null;
}

export type Loading = "loading" | "ready" | "failed";

const PAGE = 50;
/** Where a conversation that is left is cut off, so that a long read does not stay in memory. */
const KEEP = 100;

/** Message ids are 16 bytes; the engine takes ours, so that trying again sends once. */
function newMessageId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export class Thread {
  status = $state.raw<Loading>("loading");
  older = $state.raw<"idle" | "loading" | "failed">("idle");
  messages = $state.raw<readonly Message[]>([]);
  echoes = $state.raw<readonly Echo[]>([]);
  draft = $state("");
  /** The first message that was unread when the conversation was opened. */
  unreadFrom = $state.raw<string | null>(null);
  #before = $state.raw<Cursor | undefined>(undefined);
  #loaded = false;

  constructor(
    private readonly client: ZenTalk,
    readonly address: string,
  ) {}

  get hasOlder(): boolean {
    return this.#before !== undefined;
  }

  /** Whether I ever wrote here, as far as is loaded. */
  get answered(): boolean {
    return this.echoes.length > 0 || this.messages.some((m) => m.direction === "out");
  }

  /** Everything to show, oldest first. */
  get shown(): readonly Message[] {
    return this.echoes.length === 0 ? this.messages : [...this.messages, ...this.echoes.map((e) => e.message)];
  }

  problemOf(id: string): string | null {
    return this.echoes.find((e) => e.message.id === id)?.problem ?? null;
  }

  /** Reads the newest page; `unread` says how many of it are new. */
  async open(unread: number): Promise<void> {
    if (!this.#loaded) {
      this.status = "loading";
      try {
        const page = await this.client.messages(this.address, { limit: PAGE });
        this.#before = page.before;
        this.messages = withPage(this.messages, page.messages);
        this.#loaded = true;
        this.status = "ready";
      } catch {
        this.status = "failed";
        return;
      }
    }
    const received = this.messages.filter((m) => m.direction === "in");
    this.unreadFrom = unread > 0 ? (received.at(-unread)?.id ?? null) : null;
  }

  async loadOlder(): Promise<void> {
    const before = this.#before;
    if (!before || this.older === "loading") return;
    this.older = "loading";
    try {
      const page = await this.client.messages(this.address, { before, limit: PAGE });
      this.#before = page.before;
      this.messages = withPage(this.messages, page.messages);
      this.older = "idle";
    } catch {
      this.older = "failed";
    }
  }

  /** The conversation is left: long reads are cut back to the newest messages. */
  leave(): void {
    this.unreadFrom = null;
    if (this.messages.length <= KEEP) return;
    this.messages = this.messages.slice(-KEEP);
    const first = this.messages[0];
    if (first) this.#before = { orderedAt: first.orderedAt, id: first.id };
  }

  /** An event: a new message, or one whose state changed. Returns whether it is new here. */
  receive(message: Message): boolean {
    this.echoes = this.echoes.filter((e) => e.message.id !== message.id);
    const known = this.messages.some((m) => m.id === message.id);
    // What belongs to a page that is not loaded comes with that page.
    if (!known && this.#before && compareMessages(message, this.#before) < 0) return false;
    this.messages = withMessage(this.messages, message);
    return !known;
  }

  async send(text: string): Promise<void> {
    const now = Date.now();
    const message: Message = {
      id: newMessageId(),
      address: this.address,
      direction: "out",
      text,
      sentAt: now,
      orderedAt: now,
      state: { kind: "sending" },
    };
    this.echoes = [...this.echoes, { message, problem: null }];
    await this.#submit(message);
  }

  /** Once more what the engine did not take. */
  async resubmit(id: string): Promise<void> {
    const echo = this.echoes.find((e) => e.message.id === id);
    if (!echo) return;
    this.#setProblem(id, null);
    await this.#submit(echo.message);
  }

  discard(id: string): void {
    this.echoes = this.echoes.filter((e) => e.message.id !== id);
  }

  /** Once more what failed on the way. Rejects with `ZenTalkError`. */
  async retry(id: string): Promise<void> {
    this.receive(await this.client.retry(id));
  }

  async #submit(message: Message): Promise<void> {
    try {
      const saved = await this.client.send(this.address, message.text, message.id);
      // An event may have brought a newer state already.
      if (!this.messages.some((m) => m.id === saved.id)) this.receive(saved);
      this.discard(message.id);
    } catch (error) {
      this.#setProblem(message.id, sentenceFor(error));
    }
  }

  #setProblem(id: string, problem: string | null): void {
    this.echoes = this.echoes.map((e) => (e.message.id === id ? { ...e, problem } : e));
  }
}
