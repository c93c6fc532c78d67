// Safety numbers, the mark for them, and keys that change: the model over the in-memory engine.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeEngine, FakeError } from "../src/dev/fake.ts";
import { App } from "../src/lib/model/app.svelte.ts";
import { groupsOf } from "../src/lib/model/safety-check.svelte.ts";
import { isHeldBack } from "../src/lib/model/waiting.ts";
import { strings } from "../src/lib/strings.ts";
import { fakeBrowser } from "./browser.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: new Date(2026, 10, 23, 12) });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const pass = (ms = 1000) => vi.advanceTimersByTimeAsync(ms);

/** An app that shows the conversation with `name`, and a look at the safety number with them. */
async function looking(name: string) {
  fakeBrowser();
  const engine = new FakeEngine({ scene: "seeded" });
  const app = new App();
  void app.open(async () => engine);
  await pass();
  const address = engine.addressOf(name) ?? "";
  app.show(address);
  await pass();
  const thread = app.thread;
  if (!thread) throw new Error("no thread");
  const look = app.safetyCheck(address);
  void look.load();
  await pass();
  return { app, engine, address, thread, look, verification: () => app.conversation(address)?.contact.verification };
}

const NORA = "Nora Lindqvist"; // verified
const TOMAS = "Tomás Herrera"; // not verified
const INES = "Ines Duarte"; // changed

describe("the number", () => {
  test("is twelve groups of five digits, the same at each look", async () => {
    const { app, look, address } = await looking(TOMAS);
    expect(look.status).toBe("ready");
    const digits = look.number?.digits ?? "";
    expect(groupsOf(digits)).toHaveLength(12);
    expect(groupsOf(digits).every((group) => /^\d{5}$/.test(group))).toBe(true);
    const again = app.safetyCheck(address);
    void again.load();
    await pass();
    expect(again.number?.digits).toBe(digits);
  });
  test("that cannot be read says why, and can be asked for again", async () => {
    const { engine, app, address } = await looking(TOMAS);
    engine.rejectNext("storage", "The disk is gone.");
    const look = app.safetyCheck(address);
    void look.load();
    expect(look.status).toBe("loading");
    await pass();
    expect([look.status, look.problem, look.number]).toEqual(["failed", "The disk is gone.", null]);
    void look.load();
    await pass();
    expect([look.status, look.problem]).toEqual(["ready", null]);
  });
  test("of somebody whose keys were never found is not there yet", async () => {
    const { app, engine } = await looking(TOMAS);
    void app.addContact(engine.linkFor("somebody"), "Sam");
    await pass();
    const check = app.safetyCheck(engine.addressOf("Sam") ?? "");
    void check.load();
    await pass();
    expect([check.status, check.problem]).toEqual(["unknown", null]);
  });
  test("stays the same when their devices change: it belongs to the person", async () => {
    const { engine, address, look } = await looking(NORA);
    const before = look.number?.digits;
    engine.changeKeys(address);
    void look.load();
    await pass();
    expect(look.number?.digits).toBe(before);
  });
});

describe("comparing", () => {
  test.each([
    ["the code on their screen", (e: FakeEngine, a: string) => e.theirQr(a), "match"],
    ["another person's code", (e: FakeEngine) => e.theirQr(e.addressOf(NORA) ?? ""), "different"],
    ["a contact link", (e: FakeEngine) => e.linkFor("somebody"), "notASafetyNumber"],
    ["a later version's code", (e: FakeEngine, a: string) => e.theirQr(a, true), "otherVersion"],
  ])("with %s", async (_, said, outcome) => {
    const { engine, address, look, verification } = await looking(TOMAS);
    void look.compare(said(engine, address));
    await pass();
    expect(look.outcome).toBe(outcome);
    expect(verification(), "comparing alone marks nobody").toBe("unverified");
  });
  test("with the digits as they are copied, which the engine is not asked about", async () => {
    const { engine, look } = await looking(TOMAS);
    const asked = vi.spyOn(engine, "compareSafetyNumber");
    const digits = look.number?.digits ?? "";
    await look.compare(`\n${groupsOf(digits).join(" ")} `);
    expect(look.outcome).toBe("match");
    await look.compare("0".repeat(60));
    expect(look.outcome).toBe("different");
    expect(asked).not.toHaveBeenCalled();
    void look.compare(digits.slice(1));
    await pass();
    expect(look.outcome, "59 digits are no number").toBe("notASafetyNumber");
  });
  test("that fails says why and leaves no verdict behind", async () => {
    const { engine, address, look } = await looking(TOMAS);
    void look.compare(engine.theirQr(address));
    await pass();
    engine.rejectNext("internal", "Broken.");
    void look.compare(engine.theirQr(address));
    await pass();
    expect([look.outcome, look.problem, look.busy]).toEqual([null, "Broken.", false]);
  });
});

describe("the mark", () => {
  test("is set, said, and taken back", async () => {
    const { app, look, verification } = await looking(TOMAS);
    void look.mark(true);
    await pass();
    expect(verification()).toBe("verified");
    expect(app.announcer.polite.trim()).toBe("Tomás Herrera is marked as verified");
    void look.mark(false);
    await pass();
    expect(verification()).toBe("unverified");
    expect(app.announcer.polite.trim()).toBe("Tomás Herrera is not marked as verified any more");
  });
  test("that cannot be saved says why", async () => {
    const { engine, look, verification } = await looking(NORA);
    engine.rejectNext("storage", "No space left.");
    void look.mark(false);
    await pass();
    expect([verification(), look.problem, look.busy]).toEqual(["verified", "No space left.", false]);
  });
  test("is asked for once, however often it is pressed", async () => {
    const { engine, look } = await looking(TOMAS);
    const setVerified = vi.spyOn(engine, "setVerified");
    void look.mark(true);
    void look.mark(true);
    await pass();
    expect(setVerified).toHaveBeenCalledTimes(1);
  });
});

describe("a change of keys", () => {
  test("of somebody verified: a notice that is read out, and nothing goes out until accepted", async () => {
    const { app, engine, address, thread, verification } = await looking(NORA);
    engine.changeKeys(address);
    expect(verification()).toBe("changed");
    expect(thread.messages.at(-1)).toMatchObject({ direction: "notice", notice: "keysChanged" });
    expect(app.announcer.polite.trim()).toBe(strings.thread.notice("keysChanged", NORA));
    void thread.send("one");
    void thread.send("two");
    await pass(3000);
    const waiting = () => thread.messages.filter((m) => isHeldBack(m.state)).map((m) => m.text);
    expect(waiting()).toEqual(["one", "two"]);
    void app.acceptKeys(address);
    await pass(3000);
    expect(waiting()).toEqual([]);
    expect(verification()).toBe("unverified");
    expect(thread.messages.findLast((m) => m.text === "two")?.state).toMatchObject({ kind: "read" });
  });
  test("comparing again sends, too", async () => {
    const { thread, look, verification } = await looking(INES);
    expect(verification()).toBe("changed");
    expect(thread.messages.some((m) => isHeldBack(m.state))).toBe(true);
    void look.mark(true);
    await pass(2000);
    expect(verification()).toBe("verified");
    expect(thread.messages.some((m) => isHeldBack(m.state))).toBe(false);
  });
  test("of somebody not verified: a notice, and messages go out", async () => {
    const { engine, address, thread, verification } = await looking(TOMAS);
    engine.changeKeys(address);
    void thread.send("still here?");
    await pass(2000);
    expect(verification()).toBe("unverified");
    expect(thread.messages.at(-1)?.state).toMatchObject({ kind: "sent" });
  });
  test("does not become the preview in the list", async () => {
    const { app, engine, address } = await looking(TOMAS);
    const before = app.conversation(address)?.lastMessage?.id;
    engine.changeKeys(address);
    expect(app.conversation(address)?.lastMessage?.id).toBe(before);
  });
  test("that cannot be accepted rejects with the engine's sentence", async () => {
    const { app, engine, address, verification } = await looking(INES);
    engine.rejectNext("storage", "No space left.");
    const accepted = expect(app.acceptKeys(address)).rejects.toEqual(new FakeError("storage", "No space left."));
    await pass();
    await accepted;
    expect(verification()).toBe("changed");
  });
});

describe("words", () => {
  const at = () => "";
  test("a message that is held back says why", () => {
    const held = { kind: "sending", reason: "keysChanged" } as const;
    expect(strings.state.short(held)).toBe("Held back");
    expect(strings.state.long(held, at)).toBe(
      "Not out yet: their devices changed, and you have not accepted that yet.",
    );
  });
  test("a notice of devices that nobody has confirmed says since when", () => {
    expect(strings.thread.notice("devicesUnconfirmed", NORA, "3 May 2026")).toMatch(/last confirmed on 3 May 2026\./);
  });
  test("a notice of no kind is that of a renewed session", () => {
    expect(strings.thread.notice(undefined, NORA)).toBe(strings.thread.notice("sessionRenewed", NORA));
  });
});
