// How packets are encrypted: the choice, where it is kept, and when the engine gets to know it.

import type { OnionOptions } from "zentalk-client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeEngine, FakeError } from "../src/dev/fake.ts";
import { App } from "../src/lib/model/app.svelte.ts";
import { RouteEncryption } from "../src/lib/model/route-encryption.svelte.ts";
import { strings } from "../src/lib/strings.ts";
import { fakeBrowser } from "./browser.ts";

const XWING: OnionOptions = { onionSuite: "xwing" };
const ONLY: OnionOptions = { onionSuite: "xwing", onionFloor: "xwing" };
const X25519: OnionOptions = { onionSuite: "x25519" };
const KEY = "zentalk.route";

let kept: Map<string, string>;

beforeEach(() => {
  kept = new Map();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  });
});
afterEach(() => vi.unstubAllGlobals());

/** Applied choices, each of which the engine answers when told to. */
function engine() {
  const told: OnionOptions[] = [];
  const answers: { done: () => void; fail: (error: unknown) => void }[] = [];
  const apply = (options: OnionOptions) => {
    told.push(options);
    return new Promise<void>((done, fail) => answers.push({ done, fail }));
  };
  return { told, answers, apply };
}

const settled = async () => {
  for (let i = 0; i < 5; i += 1) await Promise.resolve();
};

describe("what is kept", () => {
  test("is what an engine is opened with", () => {
    for (const [value, options] of [
      [null, X25519],
      ["xwing", XWING],
      ["xwingOnly", ONLY],
      ["x25519", X25519],
      ["of a later version", XWING],
      ["", XWING],
    ] as const) {
      kept.clear();
      if (value !== null) kept.set(KEY, value);
      expect(new RouteEncryption(engine().apply).begin()).toEqual(options);
    }
  });
  test("is the choice; the default leaves nothing", async () => {
    const route = new RouteEncryption(engine().apply);
    await route.choose("xwingOnly");
    expect([kept.get(KEY), route.kept]).toEqual(["xwingOnly", true]);
    await route.choose("x25519");
    expect(kept.size).toBe(0);
  });
  test("nothing, where the browser keeps nothing: the choice holds, and that is said", async () => {
    vi.stubGlobal("localStorage", undefined);
    const route = new RouteEncryption(engine().apply);
    expect(route.begin()).toEqual(X25519);
    void route.choose("xwing");
    expect([route.current, route.kept]).toEqual(["xwing", false]);
  });
});

describe("the engine", () => {
  test("is told nothing before it is opened, and then what was chosen meanwhile", async () => {
    const { told, answers, apply } = engine();
    const route = new RouteEncryption(apply);
    await route.choose("xwing");
    expect(told).toEqual([]);
    expect(route.begin()).toEqual(XWING);
    await route.choose("x25519");
    expect(told).toEqual([]);
    void route.opened();
    expect(told).toEqual([X25519]);
    answers[0]?.done();
    await settled();
    void route.choose("xwingOnly");
    expect([told, route.changing]).toEqual([[X25519, ONLY], true]);
    answers[1]?.done();
    await settled();
    expect(route.changing).toBe(false);
  });
  test("is told one choice at a time, and the last of many", async () => {
    const { told, answers, apply } = engine();
    const route = new RouteEncryption(apply);
    route.begin();
    void route.opened();
    for (const choice of ["xwing", "xwingOnly", "x25519", "xwingOnly"] as const) void route.choose(choice);
    expect(told).toEqual([XWING]);
    answers[0]?.done();
    await settled();
    expect(told).toEqual([XWING, ONLY]);
    answers[1]?.done();
    await settled();
    expect([told.length, route.changing]).toEqual([2, false]);
  });
  test("that refuses: why, until the next choice, which is told", async () => {
    const { told, answers, apply } = engine();
    const route = new RouteEncryption(apply);
    route.begin();
    void route.opened();
    void route.choose("xwing");
    answers[0]?.fail(new FakeError("closed", ""));
    await settled();
    expect([route.problem, route.current, kept.get(KEY)]).toEqual([strings.errors.closed, "xwing", "xwing"]);
    void route.choose("xwingOnly");
    expect([route.problem, told.length]).toEqual([null, 2]);
  });
  test("is told what another tab has chosen", () => {
    const window = new EventTarget();
    vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
    vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window));
    const { told, apply } = engine();
    const route = new RouteEncryption(apply);
    route.begin();
    void route.opened();
    const detach = route.attach();
    const hear = (key: string | null, newValue: string | null) =>
      window.dispatchEvent(Object.assign(new Event("storage"), { key, newValue }));
    hear("zentalk.theme", "xwing");
    expect([told, route.current]).toEqual([[], "x25519"]);
    hear(KEY, "xwingOnly");
    expect([told, route.current]).toEqual([[ONLY], "xwingOnly"]);
    expect(kept.size, "what is kept is the other tab's").toBe(0);
    hear(KEY, "of a later version");
    expect(route.current, "the stronger one").toBe("xwing");
    hear(null, null);
    expect(route.current).toBe("x25519");
    detach();
    hear(KEY, "xwing");
    expect(route.current).toBe("x25519");
  });
});

describe("the app", () => {
  test("opens its engine with the choice, and hears how it stands", async () => {
    kept.set(KEY, "xwingOnly");
    fakeBrowser();
    const app = new App();
    const fake = (onion: OnionOptions) => new FakeEngine({ scene: "seeded", speed: 0, onion });
    let opened: FakeEngine | undefined;
    await app.open(async (onion) => (opened = fake(onion)));
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "xwing", weaker: false });
    opened?.setOffered("x25519");
    expect(app.network?.onion).toEqual({ kind: "belowFloor", floor: "xwing" });
    await app.route.choose("xwing");
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "x25519", weaker: true });
    await app.route.choose("x25519");
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "x25519", weaker: false });
    expect(app.connection?.kind).toBe("online");
  });
  test("tells an engine what was chosen while it was opening", async () => {
    fakeBrowser();
    const app = new App();
    const fake = new FakeEngine({ scene: "seeded", speed: 0 });
    await app.open(async () => {
      await app.route.choose("xwing");
      return fake;
    });
    await settled();
    expect(fake.wantedOnion()).toEqual(XWING);
  });
});
