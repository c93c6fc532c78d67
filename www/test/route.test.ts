// How packets are encrypted and mixed: the choices, where they are kept, and when the engine gets to know them.

import type { Cover, Mixing, RouteOptions } from "zentalk-client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeEngine, FakeError } from "../src/dev/fake.ts";
import { App } from "../src/lib/model/app.svelte.ts";
import { Route } from "../src/lib/model/route.svelte.ts";
import { watch } from "../src/lib/model/watch.ts";
import { strings } from "../src/lib/strings.ts";
import { fakeBrowser } from "./browser.ts";

const XWING: RouteOptions = { onionSuite: "xwing", mixing: "off" };
const ONLY: RouteOptions = { onionSuite: "xwing", onionFloor: "xwing", mixing: "off" };
const X25519: RouteOptions = { onionSuite: "x25519", mixing: "off" };
const mixed = (options: RouteOptions, mixing: Mixing): RouteOptions => ({ ...options, mixing });
const KEY = "zentalk.route";
const MIXING = "zentalk.mixing";

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
  const told: RouteOptions[] = [];
  const answers: { done: () => void; fail: (error: unknown) => void }[] = [];
  const apply = (options: RouteOptions) => {
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
    for (const [encryption, mixing, options] of [
      [null, null, X25519],
      ["xwing", null, XWING],
      ["xwingOnly", "off", ONLY],
      ["x25519", "light", mixed(X25519, "light")],
      ["of a later version", "of a later version", mixed(XWING, "strong")],
      ["", "", mixed(XWING, "strong")],
      ["toString", "strong", mixed(XWING, "strong")],
    ] as const) {
      kept.clear();
      if (encryption !== null) kept.set(KEY, encryption);
      if (mixing !== null) kept.set(MIXING, mixing);
      expect(new Route(engine().apply).begin()).toEqual(options);
    }
  });
  test("is the choice; the default leaves nothing", async () => {
    const { encryption, mixing } = new Route(engine().apply);
    await encryption.choose("xwingOnly");
    await mixing.choose("strong");
    expect([...kept]).toEqual([[KEY, "xwingOnly"], [MIXING, "strong"]]);
    expect([encryption.kept, mixing.kept]).toEqual([true, true]);
    await encryption.choose("x25519");
    expect([...kept.keys()]).toEqual([MIXING]);
    await mixing.choose("off");
    expect(kept.size).toBe(0);
  });
  test("nothing, where the browser keeps nothing: the choice holds, and that is said", async () => {
    vi.stubGlobal("localStorage", undefined);
    const route = new Route(engine().apply);
    expect(route.begin()).toEqual(X25519);
    void route.mixing.choose("light");
    expect([route.mixing.current, route.mixing.kept, route.encryption.kept]).toEqual(["light", false, true]);
  });
});

describe("the engine", () => {
  test("is told nothing before it is opened, and then what was chosen meanwhile", async () => {
    const { told, answers, apply } = engine();
    const route = new Route(apply);
    await route.encryption.choose("xwing");
    expect(told).toEqual([]);
    expect(route.begin()).toEqual(XWING);
    await route.encryption.choose("x25519");
    await route.mixing.choose("light");
    expect(told).toEqual([]);
    void route.opened();
    expect(told).toEqual([mixed(X25519, "light")]);
    answers[0]?.done();
    await settled();
    void route.encryption.choose("xwingOnly");
    expect(told[1]).toEqual(mixed(ONLY, "light"));
    expect([route.encryption.changing, route.mixing.changing]).toEqual([true, false]);
    answers[1]?.done();
    await settled();
    expect([told.length, route.busy, route.encryption.changing]).toEqual([2, false, false]);
  });
  test("is told one change at a time, and the last of many", async () => {
    const { told, answers, apply } = engine();
    const route = new Route(apply);
    route.begin();
    void route.opened();
    for (const choice of ["xwing", "xwingOnly", "x25519", "xwingOnly"] as const) void route.encryption.choose(choice);
    for (const choice of ["light", "strong"] as const) void route.mixing.choose(choice);
    expect(told).toEqual([XWING]);
    answers[0]?.done();
    await settled();
    expect(told).toEqual([XWING, mixed(ONLY, "strong")]);
    answers[1]?.done();
    await settled();
    expect([told.length, route.busy]).toEqual([2, false]);
  });
  test("that refuses: why, beside what it refused, until the next change, which is told", async () => {
    const { told, answers, apply } = engine();
    const route = new Route(apply);
    const { encryption, mixing } = route;
    route.begin();
    void route.opened();
    void mixing.choose("light");
    answers[0]?.fail(new FakeError("closed", ""));
    await settled();
    expect([mixing.problem, mixing.current, kept.get(MIXING)]).toEqual([strings.errors.closed, "light", "light"]);
    expect([encryption.problem, route.busy]).toEqual([null, false]);
    void mixing.choose("off");
    expect([mixing.problem, told.length]).toEqual([null, 2]);
    answers[1]?.fail(new FakeError("internal", ""));
    await settled();
    expect(mixing.problem, "nobody knows what it goes by now").toBe(strings.errors.internal);
    void encryption.choose("xwing");
    answers[2]?.done();
    await settled();
    expect([told[2], mixing.problem, encryption.problem], "both were taken").toEqual([XWING, null, null]);
  });
  test("that refuses is told what was chosen while it did", async () => {
    const { told, answers, apply } = engine();
    const route = new Route(apply);
    route.begin();
    void route.opened();
    void route.mixing.choose("light");
    void route.mixing.choose("off");
    expect(route.mixing.changing, "until the engine is back where it was").toBe(true);
    answers[0]?.fail(new FakeError("internal", ""));
    await settled();
    expect(told).toEqual([mixed(X25519, "light"), X25519]);
    answers[1]?.done();
    await settled();
    expect([route.mixing.problem, route.mixing.changing]).toEqual([null, false]);
  });
  test("is told what another tab has chosen", () => {
    const window = new EventTarget();
    vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
    vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window));
    const { told, apply } = engine();
    const route = new Route(apply);
    const now = () => [route.encryption.current, route.mixing.current];
    route.begin();
    void route.opened();
    const detach = route.attach();
    const hear = (key: string | null, newValue: string | null) =>
      window.dispatchEvent(Object.assign(new Event("storage"), { key, newValue }));
    hear("zentalk.theme", "xwing");
    expect([told, now()]).toEqual([[], ["x25519", "off"]]);
    hear(KEY, "xwingOnly");
    expect([told, now()]).toEqual([[ONLY], ["xwingOnly", "off"]]);
    hear(MIXING, "light");
    expect(now()).toEqual(["xwingOnly", "light"]);
    expect(kept.size, "what is kept is the other tab's").toBe(0);
    hear(KEY, "of a later version");
    hear(MIXING, "of a later version");
    expect(now(), "the stronger ones").toEqual(["xwing", "strong"]);
    hear(null, null);
    expect(now()).toEqual(["x25519", "off"]);
    detach();
    hear(KEY, "xwing");
    hear(MIXING, "light");
    expect(now()).toEqual(["x25519", "off"]);
  });
});

describe("the app", () => {
  test("opens its engine with the choice, and hears how it stands", async () => {
    kept.set(KEY, "xwingOnly");
    kept.set(MIXING, "strong");
    fakeBrowser();
    const app = new App();
    const fake = (route: RouteOptions) => new FakeEngine({ scene: "seeded", speed: 0, route });
    let opened: FakeEngine | undefined;
    await app.open(async (route) => (opened = fake(route)));
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "xwing", weaker: false });
    expect((await app.cover()).mixing).toBe("strong");
    opened?.setOffered("x25519");
    expect(app.network?.onion).toEqual({ kind: "belowFloor", floor: "xwing" });
    const { encryption, mixing } = app.route;
    await encryption.choose("xwing");
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "x25519", weaker: true });
    await encryption.choose("x25519");
    expect(app.network?.onion).toEqual({ kind: "inUse", suite: "x25519", weaker: false });
    expect(app.connection?.kind).toBe("online");
    expect((await app.cover()).mixing, "one choice leaves the other").toBe("strong");
    await mixing.choose("off");
    expect(await app.cover()).toEqual({ mixing: "off", sent: 0, returned: 0, lost: 0 });
  });
  test("tells an engine what was chosen while it was opening", async () => {
    fakeBrowser();
    const app = new App();
    const fake = new FakeEngine({ scene: "seeded", speed: 0 });
    await app.open(async () => {
      await app.route.encryption.choose("xwing");
      await app.route.mixing.choose("light");
      return fake;
    });
    await settled();
    expect([fake.wantedOnion(), fake.wantedMixing()]).toEqual([{ onionSuite: "xwing" }, "light"]);
  });
});

describe("packets to oneself", () => {
  const said = (sent: number, returned: number, lost = 0) => strings.mixing.cover({ mixing: "light", sent, returned, lost });

  test("are told of in words that fit their number", () => {
    expect(said(0, 0)).toBe("No packet sent to yourself yet.");
    expect(said(1, 0)).toBe("1 packet sent to yourself, it is not back yet.");
    expect(said(1, 1)).toBe("1 packet sent to yourself, it came back.");
    expect(said(1, 0, 1)).toBe("1 packet sent to yourself, it did not come back.");
    expect(said(3, 0)).toBe("3 packets sent to yourself, none is back yet.");
    expect(said(3, 2)).toBe("3 packets sent to yourself, 2 came back so far.");
    expect(said(12, 12)).toBe("12 packets sent to yourself, all came back.");
    expect(said(12, 11, 1)).toBe("12 packets sent to yourself, 1 did not come back.");
    expect(said(12, 9, 2), "one is under way").toBe("12 packets sent to yourself, 2 did not come back.");
    expect(said(2, 0, 2)).toBe("2 packets sent to yourself, none came back.");
  });
  test("cost more with X-Wing", () => {
    expect([false, true].map((large) => strings.mixing.hint("light", large).match(/\d+.MB/u)?.[0])).toEqual(["3\u00a0MB", "6\u00a0MB"]);
    expect([false, true].map((large) => strings.mixing.hint("strong", large).match(/\d+.MB/u)?.[0])).toEqual(["17\u00a0MB", "34\u00a0MB"]);
  });
  test("of the in-memory engine go out while it is connected, and begin anew with every change", async () => {
    let now = 0;
    const fake = new FakeEngine({ speed: 0, now: () => now, route: { mixing: "light" } });
    const read = async () => {
      const { sent, returned, lost } = await fake.cover();
      return [sent, returned, lost];
    };
    now = 60_000;
    expect(await read(), "one is under way").toEqual([2, 1, 0]);
    fake.loseCover(1);
    now = 61_000;
    expect(await read()).toEqual([2, 1, 1]);
    fake.offline();
    now = 600_000;
    expect(await read()).toEqual([2, 1, 1]);
    await fake.setRoute({ mixing: "strong" });
    expect(await read()).toEqual([0, 0, 0]);
    now += 50_000;
    expect(await read()).toEqual([10, 9, 0]);
    await fake.setRoute({});
    now += 50_000;
    expect(await fake.cover()).toEqual({ mixing: "off", sent: 0, returned: 0, lost: 0 });
  });
});

describe("what is asked on and on", () => {
  const COVER: Cover = { mixing: "light", sent: 1, returned: 1, lost: 0 };
  let page: EventTarget & { visibilityState: string };

  beforeEach(() => {
    vi.useFakeTimers();
    page = Object.assign(new EventTarget(), { visibilityState: "visible" });
    vi.stubGlobal("document", page);
  });
  afterEach(() => vi.useRealTimers());

  const turn = (visibilityState: string) => {
    page.visibilityState = visibilityState;
    page.dispatchEvent(new Event("visibilitychange"));
  };

  test("is asked at once, and again after each answer, until it is stopped", async () => {
    const answers: ((cover: Cover) => void)[] = [];
    const shown: unknown[] = [];
    const stop = watch(() => new Promise<Cover>((done) => answers.push(done)), (value) => shown.push(value), 5_000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(answers.length, "a slow engine is not asked twice").toBe(1);
    answers[0]?.(COVER);
    await vi.advanceTimersByTimeAsync(5_000);
    expect([shown, answers.length]).toEqual([[COVER], 2]);
    stop();
    answers[1]?.(COVER);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([shown.length, answers.length]).toEqual([1, 2]);
    turn("visible");
    expect(answers.length).toBe(2);
  });
  test("is not asked while the page is hidden, and at once when it is seen again", async () => {
    let asked = 0;
    const stop = watch(async () => (asked += 1), () => {}, 5_000);
    await vi.advanceTimersByTimeAsync(0);
    turn("hidden");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(1);
    turn("visible");
    expect(asked).toBe(2);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked).toBe(3);
    stop();
  });
  test("is nothing when it cannot be read, and is asked again", async () => {
    const shown: (number | null)[] = [];
    let asked = 0;
    const read = async () => {
      asked += 1;
      if (asked === 1) throw new FakeError("internal", "");
      return asked;
    };
    const stop = watch(read, (value) => shown.push(value), 5_000);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(shown).toEqual([null, 2]);
    stop();
  });
});
