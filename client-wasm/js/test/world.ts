// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Several tabs in one process: a lock with the browser's queue, a channel, engines that count.

import type { Answer, HostNotice, Request, ZenTalkEvent } from "../generated.js";
import type { Between, FromWorker } from "../protocol.js";
import { type Engine, Tab } from "../tab.js";

type Work = () => Promise<void>;

/** Lets everything that is due happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

/** The Web Lock of one database. */
class Lock {
  #holder: { rob(): void } | undefined;
  readonly #queue: (() => void)[] = [];

  async request(steal: boolean, work: Work): Promise<"done" | "robbed"> {
    if (steal) this.#holder?.rob();
    else if (this.#holder) await new Promise<void>((resolve) => this.#queue.push(resolve));
    const mine = { rob: (): void => undefined };
    this.#holder = mine;
    const robbed = new Promise<"robbed">((resolve) => (mine.rob = () => resolve("robbed")));
    const end = await Promise.race([work().then(() => "done" as const), robbed]);
    if (this.#holder === mine) {
      this.#holder = undefined;
      this.#queue.shift()?.();
    }
    return end;
  }
}

export class FakeEngine implements Engine {
  readonly requests: Request[] = [];
  open = true;
  /** When set, requests wait until it is called. */
  hold: Promise<void> | undefined;
  constructor(readonly notify: (notice: HostNotice) => void) {}

  async request(request: Request): Promise<Answer> {
    this.requests.push(request);
    await this.hold;
    if (!this.open) throw { code: "closed", message: "" };
    if (request.kind === "rename") throw { code: "tooLarge", message: "Too long." };
    return { kind: "done" };
  }

  async close(): Promise<void> {
    this.open = false;
  }

  emit(event: ZenTalkEvent): void {
    this.notify({ kind: "event", event });
  }
}

export interface FakeTab {
  tab: Tab;
  page: FromWorker[];
  engines: FakeEngine[];
  /** The browser kills it: nothing of it runs or is heard any more. */
  kill(): void;
  /** The browser stops it for a while: it keeps its lock and hears nothing. */
  freeze(): void;
}

export class World {
  readonly #lock = new Lock();
  readonly #tabs = new Map<string, { receive(message: Between): void }>();
  readonly said: Between[] = [];
  time = 0;

  add(name: string, visible = true): FakeTab {
    const page: FromWorker[] = [];
    const engines: FakeEngine[] = [];
    let alive = true;
    let die = (): void => undefined;
    const killed = new Promise<void>((resolve) => (die = resolve));
    const tab = new Tab(
      {
        tab: name,
        lock: (steal, work) =>
          this.#lock.request(steal, () => (alive ? Promise.race([work(), killed]) : Promise.resolve())),
        toTabs: (message) => alive && this.#post(name, message),
        toPage: (message) => alive && page.push(message),
        open: (notify) => {
          const engine = new FakeEngine(notify);
          engines.push(engine);
          return engine;
        },
        now: () => this.time,
      },
      visible,
    );
    this.#tabs.set(name, tab);
    void tab.run();
    const kill = (): void => {
      alive = false;
      this.#tabs.delete(name);
      void tab.close();
      die();
    };
    const freeze = (): void => {
      this.#tabs.delete(name);
    };
    return { tab, page, engines, kill, freeze };
  }

  #post(from: string, message: Between): void {
    this.said.push(message);
    for (const [name, tab] of this.#tabs) if (name !== from) queueMicrotask(() => tab.receive(message));
  }
}

/** Answers and refusals that a page got, in short. */
export function outcomes(tab: FakeTab): string[] {
  return tab.page.flatMap((message) => {
    if (message.type === "answer") return [`${message.id} ${message.answer.kind}`];
    if (message.type === "refusal") return [`${message.id} ${message.error.code}`];
    return [];
  });
}
