// How packets are encrypted for the relays on their way: chosen once, kept in this browser, the same in all its tabs.

import type { OnionOptions } from "zentalk-client";
import { sentenceFor } from "./errors.ts";

/** `xwingOnly`: rather nothing is sent than by something weaker. */
export type Route = "x25519" | "xwing" | "xwingOnly";

/** Takes a choice to the engine. */
type Apply = (options: OnionOptions) => Promise<void>;

const KEY = "zentalk.route";

const OPTIONS: Record<Route, OnionOptions> = {
  x25519: { onionSuite: "x25519" },
  xwing: { onionSuite: "xwing" },
  xwingOnly: { onionSuite: "xwing", onionFloor: "xwing" },
};

/** What was stored; nothing is the default. What only a later version knows was chosen for its strength, presumably. */
function routeOf(value: string | null): Route {
  if (value === null || value === "x25519") return "x25519";
  return value === "xwingOnly" ? value : "xwing";
}

function stored(): Route {
  try {
    return routeOf(localStorage.getItem(KEY));
  } catch {
    return "x25519";
  }
}

export class RouteEncryption {
  #route = $state.raw<Route>(stored());
  /** The engine is being told. */
  changing = $state.raw(false);
  /** Why the engine did not take the last choice. */
  problem = $state.raw<string | null>(null);
  /** The browser keeps the choice; otherwise it holds until reload. */
  kept = $state.raw(true);

  readonly #apply: Apply;
  /** What the engine goes by. */
  #told: Route | null = null;
  #open = false;

  /** `apply` is called with every change, once `opened` was called. */
  constructor(apply: Apply) {
    this.#apply = apply;
  }

  get current(): Route {
    return this.#route;
  }

  /** What an engine is opened with. */
  begin(): OnionOptions {
    this.#open = false;
    this.#told = this.#route;
    return OPTIONS[this.#route];
  }

  /** The engine is open: it is told what was chosen meanwhile, and every choice from now on. */
  async opened(): Promise<void> {
    this.#open = true;
    await this.#tell();
  }

  async choose(route: Route): Promise<void> {
    this.#route = route;
    try {
      if (route === "x25519") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, route);
      this.kept = true;
    } catch {
      this.kept = false;
    }
    await this.#tell();
  }

  /** Follows choices of other tabs: whichever tab runs the engine goes by the last. Returns the way to stop. */
  attach(): () => void {
    const onStorage = (event: StorageEvent) => {
      // No key: everything was deleted.
      if (event.key !== KEY && event.key !== null) return;
      this.#route = routeOf(event.newValue);
      void this.#tell();
    };
    addEventListener("storage", onStorage);
    return () => removeEventListener("storage", onStorage);
  }

  /** One after the other; what was chosen while the engine was busy with an earlier choice follows. */
  async #tell(): Promise<void> {
    if (this.changing || !this.#open) return;
    this.changing = true;
    this.problem = null;
    try {
      while (this.#told !== this.#route) {
        this.#told = this.#route;
        await this.#apply(OPTIONS[this.#route]);
      }
    } catch (error) {
      this.problem = sentenceFor(error);
    } finally {
      this.changing = false;
    }
  }
}
