// SPDX-License-Identifier: MIT OR Apache-2.0
//
// One tab's part in running one engine for all tabs.
//
//   page ──ask──▶ Tab ── leads? ──▶ engine ──▶ answer, events ──▶ own page and, by channel, every tab
//                  └── follows? ──▶ channel ──▶ the leader's Tab
//
// Who holds the Web Lock leads; when a leader's tab is closed or killed, the browser frees the lock and the
// next tab in the queue has it at once. What was asked and not answered is asked again when a leader
// announces itself, so nothing is lost between two leaders; every request may be repeated. A hidden leader
// hands over to a visible tab. A leader that does not react at all (a frozen tab) is robbed of the lock: the
// store's fence sees to it that it cannot write afterwards.

import { toApi } from "./errors.js";
import type { Answer, ApiError, HostNotice, Request, ZenTalkEvent } from "./generated.js";
import type { Between, FromWorker } from "./protocol.js";

/** The engine, as its host offers it. */
export interface Engine {
  request(request: Request): Promise<Answer>;
  /** Resolves when the last commit is done and the database released. */
  close(): Promise<void>;
}

/** What a tab needs of its browser. */
export interface Surroundings {
  /** Random; tells this tab from others. */
  tab: string;
  /** Asks for the lock of this database; `work` runs while it is held. `robbed`: another tab took it. */
  lock(steal: boolean, work: () => Promise<void>): Promise<"done" | "robbed">;
  /** To the workers of all other tabs. */
  toTabs(message: Between): void;
  toPage(message: FromWorker): void;
  /** Starts the engine. Called while the lock is held. */
  open(notify: (notice: HostNotice) => void): Engine;
  now(): number;
}

/** A leader that has been silent for so long while something waits is taken for dead, in ms. */
export const SILENCE_LIMIT = 15_000;
/** How often a tab looks whether its requests are being answered, in ms. */
export const WATCH_INTERVAL = 5_000;

export class Tab {
  readonly #around: Surroundings;
  /** What this tab's page has asked and nobody has answered. */
  readonly #pending = new Map<number, Request>();
  /** Other tabs' requests that this leader is working on. */
  readonly #serving = new Set<string>();
  #engine: Engine | undefined;
  #endLeading: (() => void) | undefined;
  /** Done when this tab's latest time as leader is over. */
  #reign: Promise<void> | undefined;
  #visible: boolean;
  #closed = false;
  /** The tab that a leader stepped down for; others let it pass, once. */
  #letPass: string | undefined;
  #heard: number;

  constructor(around: Surroundings, visible: boolean) {
    this.#around = around;
    this.#visible = visible;
    this.#heard = around.now();
  }

  get leading(): boolean {
    return this.#engine !== undefined;
  }

  /** Queues for leadership, until closed. */
  async run(): Promise<void> {
    this.#hello();
    while (!this.#closed) await this.#campaign(false);
  }

  /** The page asks. */
  ask(id: number, request: Request): void {
    if (this.#pending.size === 0 && !this.#engine) this.#heard = this.#around.now();
    this.#pending.set(id, request);
    this.#askOnce(id, request);
  }

  /** The page was shown or hidden. */
  setVisible(visible: boolean): void {
    if (visible === this.#visible) return;
    this.#visible = visible;
    if (this.#engine) this.#announce();
    else this.#hello();
  }

  /** Stops for good, after the last commit. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#stop();
  }

  /** To be called every `WATCH_INTERVAL`: a visible tab robs a leader that has fallen silent. */
  watch(): void {
    if (this.#engine || this.#closed || this.#pending.size === 0) {
      this.#heard = this.#around.now();
      return;
    }
    if (this.#visible && this.#around.now() - this.#heard > SILENCE_LIMIT) {
      this.#heard = this.#around.now();
      void this.#campaign(true);
    } else this.#hello();
  }

  /** Another tab's worker says something. */
  receive(message: Between): void {
    switch (message.type) {
      case "hello":
        return this.#onHello(message.tab, message.visible);
      case "leading":
        return this.#onLeading(message.tab, message.visible);
      case "handover":
        this.#letPass = message.to;
        return;
      case "ask":
        return this.#serve(message.tab, message.id, message.request);
      case "answer":
      case "refusal":
        this.#heard = this.#around.now();
        if (message.tab !== this.#around.tab) return;
        if (message.type === "answer") this.#settle(message.id, message.answer);
        else this.#settle(message.id, undefined, message.error);
        return;
      case "event":
        this.#heard = this.#around.now();
        this.#around.toPage(message);
    }
  }

  async #campaign(steal: boolean): Promise<void> {
    const end = await this.#around.lock(steal, () => this.#withLock());
    if (end === "robbed") this.#endLeading?.();
  }

  async #withLock(): Promise<void> {
    // One that was robbed may still be closing its engine.
    await this.#reign;
    const letPass = this.#letPass;
    this.#letPass = undefined;
    // To the end of the queue, behind the tab that this one makes way for.
    if (this.#closed || (letPass && letPass !== this.#around.tab)) return;
    this.#reign = this.#lead();
    await this.#reign;
  }

  async #lead(): Promise<void> {
    const over = new Promise<void>((resolve) => (this.#endLeading = resolve));
    const engine = this.#around.open((notice) => this.#onNotice(engine, notice));
    this.#engine = engine;
    this.#announce();
    this.#event({ kind: "leader", leading: true });
    this.#askAgain();
    await over;
    await engine.close();
    this.#engine = undefined;
    this.#event({ kind: "leader", leading: false });
  }

  async #stop(): Promise<void> {
    const engine = this.#engine;
    this.#endLeading?.();
    await engine?.close();
  }

  #onNotice(engine: Engine, notice: HostNotice): void {
    if (notice.kind === "replaced") {
      // Another tab took over although this one had the lock: it was robbed.
      if (this.#engine === engine) this.#endLeading?.();
      return;
    }
    this.#event(notice.event);
    this.#around.toTabs({ type: "event", event: notice.event });
  }

  #onHello(tab: string, visible: boolean): void {
    if (!this.#engine) return;
    if (visible && !this.#visible) {
      this.#around.toTabs({ type: "handover", to: tab });
      // This tab queues again at once; it must not have the lock back before the other.
      this.#letPass = tab;
      this.#endLeading?.();
    } else this.#announce();
  }

  #onLeading(tab: string, visible: boolean): void {
    this.#heard = this.#around.now();
    this.#letPass = undefined;
    if (this.#engine || tab === this.#around.tab) return;
    // Repeated although it says nothing new about this tab: what was missed meanwhile can be fetched.
    this.#event({ kind: "leader", leading: false });
    this.#askAgain();
    if (!visible && this.#visible) this.#hello();
  }

  #askAgain(): void {
    for (const [id, request] of [...this.#pending]) {
      const again = request.kind === "create" ? { ...request, again: true } : request;
      this.#askOnce(id, again);
    }
  }

  #askOnce(id: number, request: Request): void {
    if (this.#engine) void this.#serveOwn(this.#engine, id, request);
    else this.#around.toTabs({ type: "ask", tab: this.#around.tab, id, request });
  }

  async #serveOwn(engine: Engine, id: number, request: Request): Promise<void> {
    const [answer, error] = await attempt(engine, request);
    if (answer || error) this.#settle(id, answer, error);
  }

  #serve(tab: string, id: number, request: Request): void {
    const engine = this.#engine;
    const name = `${tab} ${id}`;
    if (!engine || this.#serving.has(name)) return;
    this.#serving.add(name);
    void attempt(engine, request).then(([answer, error]) => {
      this.#serving.delete(name);
      if (answer) this.#around.toTabs({ type: "answer", tab, id, answer });
      else if (error) this.#around.toTabs({ type: "refusal", tab, id, error });
    });
  }

  #settle(id: number, answer?: Answer, error?: ApiError): void {
    // The first answer counts; a repeated request may have two.
    if (!this.#pending.delete(id)) return;
    if (answer) this.#around.toPage({ type: "answer", id, answer });
    else if (error) this.#around.toPage({ type: "refusal", id, error });
  }

  #announce(): void {
    this.#around.toTabs({ type: "leading", tab: this.#around.tab, visible: this.#visible });
  }

  #hello(): void {
    this.#around.toTabs({ type: "hello", tab: this.#around.tab, visible: this.#visible });
  }

  #event(event: ZenTalkEvent): void {
    this.#around.toPage({ type: "event", event });
  }
}

/** Neither answer nor error: the engine was closed first, and the next leader is to be asked. */
async function attempt(engine: Engine, request: Request): Promise<[Answer | undefined, ApiError | undefined]> {
  try {
    return [await engine.request(request), undefined];
  } catch (thrown) {
    const error = toApi(thrown);
    return error.code === "closed" ? [undefined, undefined] : [undefined, error];
  }
}
