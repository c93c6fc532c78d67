// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Loads the bootstrap list, again and again until it is there. The engine starts with the list of last time
// meanwhile, so that a slow or absent server does not hold it up.

const FIRST_PAUSE = 5_000;
const LAST_PAUSE = 5 * 60_000;
const DEADLINE = 10_000;

export class BootstrapLoader {
  readonly #url: string;
  readonly #loaded: (text: string) => void;
  readonly #fetch: typeof fetch;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause = FIRST_PAUSE;
  #over = false;

  constructor(url: string, loaded: (text: string) => void, fetcher: typeof fetch = fetch.bind(globalThis)) {
    this.#url = url;
    this.#loaded = loaded;
    this.#fetch = fetcher;
  }

  start(): void {
    void this.#try();
  }

  /** There may be a network again: no need to sit the pause out. */
  hurry(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    void this.#try();
  }

  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #try(): Promise<void> {
    const text = await this.#load();
    if (this.#over) return;
    if (text !== undefined) {
      this.stop();
      this.#loaded(text);
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#try();
    }, this.#pause);
    this.#pause = Math.min(this.#pause * 2, LAST_PAUSE);
  }

  async #load(): Promise<string | undefined> {
    try {
      const response = await this.#fetch(this.#url, {
        mode: "same-origin",
        credentials: "omit",
        redirect: "error",
        cache: "no-cache",
        signal: AbortSignal.timeout(DEADLINE),
      });
      return response.ok ? await response.text() : undefined;
    } catch {
      return undefined;
    }
  }
}
