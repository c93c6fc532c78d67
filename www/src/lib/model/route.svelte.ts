// How packets travel: encrypted for the relays on their way, and mixed with others. Each is chosen once, kept in this
// browser, the same in all its tabs; the engine is told both together.

import type { Mixing, RouteOptions } from "zentalk-client";
import { sentenceFor } from "./errors.ts";

/** `xwingOnly`: rather nothing is sent than by something weaker. */
export type Encryption = "x25519" | "xwing" | "xwingOnly";

/** Takes what was chosen to the engine. */
type Apply = (options: RouteOptions) => Promise<void>;

const OPTIONS: Record<Encryption, RouteOptions> = {
  x25519: { onionSuite: "x25519" },
  xwing: { onionSuite: "xwing" },
  xwingOnly: { onionSuite: "xwing", onionFloor: "xwing" },
};

interface Kind<T extends string> {
  /** Under which it is kept. */
  key: string;
  values: readonly T[];
  /** The default; nothing is kept of it. */
  usual: T;
  /** What something counts as that only a later version knows: it was chosen for its strength, presumably. */
  unknown: T;
}

const ENCRYPTION: Kind<Encryption> = {
  key: "zentalk.route",
  values: ["x25519", "xwing", "xwingOnly"],
  usual: "x25519",
  unknown: "xwing",
};

const MIXING: Kind<Mixing> = {
  key: "zentalk.mixing",
  values: ["off", "light", "strong"],
  usual: "off",
  unknown: "strong",
};

/** One of several, and how far the engine goes by it. */
export class Choice<T extends string = string> {
  #current = $state.raw() as T;
  /** What the engine was told last. */
  #told = $state.raw<T | null>(null);
  /** What it has accepted; unknown since it refused something. */
  #taken = $state.raw<T | null>(null);
  /** Why the engine did not take it. */
  #problem = $state.raw<string | null>(null);
  #kept = $state.raw(true);

  readonly #kind: Kind<T>;
  readonly #route: Route;

  constructor(kind: Kind<T>, route: Route) {
    this.#kind = kind;
    this.#route = route;
    this.#current = this.#stored();
  }

  get current(): T {
    return this.#current;
  }

  get problem(): string | null {
    return this.#problem;
  }

  /** The browser keeps the choice; otherwise it holds until reload. */
  get kept(): boolean {
    return this.#kept;
  }

  /** The engine is being told of it. */
  get changing(): boolean {
    return this.#route.busy && !(this.#told === this.#current && this.#taken === this.#current);
  }

  async choose(value: T): Promise<void> {
    this.#current = value;
    const { key, usual } = this.#kind;
    try {
      if (value === usual) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
      this.#kept = true;
    } catch {
      this.#kept = false;
    }
    await this.#route.tell();
  }

  // --- for `Route` ---

  get told(): T {
    return this.#told ?? this.#current;
  }

  get isTold(): boolean {
    return this.#told === this.#current;
  }

  telling(): void {
    this.#problem = null;
    this.#told = this.#current;
  }

  taken(): void {
    this.#taken = this.#told;
  }

  refused(reason: string): void {
    if (this.#taken === this.#told) return;
    this.#taken = null;
    this.#problem = reason;
  }

  /** Another tab has stored this; no key: everything was deleted. */
  heard(key: string | null, value: string | null): void {
    if (key === this.#kind.key || key === null) this.#current = this.#read(value);
  }

  #stored(): T {
    try {
      return this.#read(localStorage.getItem(this.#kind.key));
    } catch {
      return this.#kind.usual;
    }
  }

  #read(value: string | null): T {
    const { values, usual, unknown } = this.#kind;
    if (value === null) return usual;
    return values.find((known) => known === value) ?? unknown;
  }
}

export class Route {
  readonly encryption = new Choice(ENCRYPTION, this);
  readonly mixing = new Choice(MIXING, this);
  readonly #choices: readonly Choice<Encryption | Mixing>[] = [this.encryption, this.mixing];

  /** The engine is being told something. */
  #busy = $state.raw(false);

  readonly #apply: Apply;
  #open = false;

  /** `apply` is called with every change, once `opened` was called. */
  constructor(apply: Apply) {
    this.#apply = apply;
  }

  get busy(): boolean {
    return this.#busy;
  }

  /** What an engine is opened with. */
  begin(): RouteOptions {
    this.#open = false;
    for (const choice of this.#choices) {
      choice.telling();
      choice.taken();
    }
    return this.#options;
  }

  /** The engine is open: it is told what was chosen meanwhile, and every choice from now on. */
  async opened(): Promise<void> {
    this.#open = true;
    await this.tell();
  }

  /** Follows choices of other tabs: whichever tab runs the engine goes by the last. Returns the way to stop. */
  attach(): () => void {
    const onStorage = ({ key, newValue }: StorageEvent) => {
      for (const choice of this.#choices) choice.heard(key, newValue);
      void this.tell();
    };
    addEventListener("storage", onStorage);
    return () => removeEventListener("storage", onStorage);
  }

  /** One after the other; what was chosen while the engine was busy with an earlier choice follows. */
  async tell(): Promise<void> {
    if (this.#busy || !this.#open) return;
    this.#busy = true;
    while (this.#choices.some((choice) => !choice.isTold)) {
      for (const choice of this.#choices) choice.telling();
      try {
        await this.#apply(this.#options);
        for (const choice of this.#choices) choice.taken();
      } catch (error) {
        for (const choice of this.#choices) choice.refused(sentenceFor(error));
      }
    }
    this.#busy = false;
  }

  get #options(): RouteOptions {
    return { ...OPTIONS[this.encryption.told], mixing: this.mixing.told };
  }
}
