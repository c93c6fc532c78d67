// The model over the in-memory engine.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { App, CREATING_STEPS } from "../src/lib/model/app.svelte.ts";
import { FakeEngine, FakeError, type FakeOptions } from "../src/dev/fake.ts";
import { codeFor } from "../src/dev/script.ts";
import { fakeBrowser } from "./browser.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: new Date(2026, 10, 23, 12) });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function opened(options: FakeOptions = {}, hash = "") {
  const browser = fakeBrowser(hash);
  const engine = new FakeEngine(options);
  const app = new App();
  void app.open(async () => engine);
  await vi.advanceTimersByTimeAsync(500);
  return { app, engine, browser };
}

/** An app with its own identity and the seeded conversations, showing the one with `name`. */
async function talking(name: string) {
  const { app, engine, browser } = await opened({ scene: "seeded" });
  const address = engine.addressOf(name) ?? "";
  app.router.go({ name: "conversation", address });
  app.show(address);
  await vi.advanceTimersByTimeAsync(200);
  const thread = app.thread;
  if (!thread) throw new Error("no thread");
  return { app, engine, browser, thread, address };
}

describe("start", () => {
  test("without an identity it welcomes", async () => {
    const { app } = await opened();
    expect(app.phase).toEqual({ kind: "welcome", erased: false, problem: null });
  });
  test("with one it is ready, newest conversation first", async () => {
    const { app } = await opened({ scene: "seeded" });
    expect(app.phase.kind).toBe("ready");
    expect(app.conversations.map((c) => c.contact.name)).toEqual([
      "Mirjam",
      "Nora Lindqvist",
      "Tomás Herrera",
      "Ines Duarte",
    ]);
    expect(app.unread).toBe(2);
  });
  test("what the engine cannot do is said", async () => {
    fakeBrowser();
    const app = new App();
    await app.open(() => Promise.reject(new FakeError("unsupportedBrowser", "No IndexedDB.")));
    expect(app.phase).toEqual({ kind: "problem", unsupported: true, erasable: false, message: "No IndexedDB." });
  });
  test("what is stored and cannot be read can be erased", async () => {
    fakeBrowser();
    const engine = new FakeEngine({ scene: "seeded", speed: 0 });
    const app = new App();
    engine.rejectNext("storage", "Unreadable.");
    await app.open(async () => engine);
    expect(app.phase).toMatchObject({ kind: "problem", erasable: true });
    await app.erase();
    expect(app.phase).toEqual({ kind: "welcome", erased: true, problem: null });
  });
  test("an unknown error does not show its innards", async () => {
    fakeBrowser();
    const app = new App();
    await app.open(() => Promise.reject(new TypeError("x is not a function")));
    expect(app.phase).toMatchObject({ kind: "problem", message: "Something went wrong inside ZenTalk." });
  });
  test("a list that cannot be read can be read again", async () => {
    fakeBrowser();
    const engine = new FakeEngine({ scene: "seeded" });
    const app = new App();
    void app.open(async () => engine);
    await vi.advanceTimersByTimeAsync(61);
    engine.rejectNext("storage", "no");
    await vi.advanceTimersByTimeAsync(500);
    expect(app.inbox).toBe("failed");
    void app.reloadInbox();
    await vi.advanceTimersByTimeAsync(500);
    expect(app.inbox).toBe("ready");
    expect(app.conversations).toHaveLength(4);
  });
});

describe("creating an identity", () => {
  test("goes through its steps and ends ready", async () => {
    const { app } = await opened();
    const seen: string[] = [];
    const done = app.create("Ada");
    for (let i = 0; i < 60; i += 1) {
      const now = app.phase.kind === "creating" ? app.phase.step : app.phase.kind;
      if (seen.at(-1) !== now) seen.push(now);
      await vi.advanceTimersByTimeAsync(50);
    }
    await done;
    expect(seen).toEqual([...CREATING_STEPS, "ready"]);
    expect(app.me?.name).toBe("Ada");
  });
  test("a failure returns to the form with its reason", async () => {
    const { app, engine } = await opened({ speed: 0 });
    engine.rejectNext("storage", "The disk is full.");
    await app.create("Ada");
    expect(app.phase).toEqual({ kind: "welcome", erased: false, problem: "The disk is full." });
  });
});

describe("a contact link", () => {
  const code = codeFor("somebody");
  test("with a new identity is added, opened, and leaves the address bar", async () => {
    const { app, browser } = await opened({ speed: 0 }, `#add/${code}`);
    expect(app.invite).toBe(code);
    await app.create("Ada");
    const [conversation] = app.conversations;
    expect(conversation?.contact.code).toBe(code);
    expect(app.router.view).toEqual({ name: "conversation", address: conversation?.contact.address });
    expect(browser.url()).toBe("https://zentalk.example/");
    expect(app.invite).toBeNull();
  });
  test("that is wrong opens the dialog which says so", async () => {
    const { app } = await opened({ speed: 0 }, "#add/zen1short");
    await app.create("Ada");
    expect(app.phase.kind).toBe("ready");
    expect(app.router.sheet).toBe("add");
    expect(app.invite).toBe("zen1short");
  });
  test("with an existing identity is asked about first", async () => {
    const { app, browser } = await opened({ scene: "seeded" }, `#add/${code}`);
    expect(app.router.sheet).toBe("add");
    expect(app.conversations).toHaveLength(4);
    void app.addContact(code, "Sam").then(() => app.dropInvite());
    await vi.advanceTimersByTimeAsync(500);
    expect(app.conversations[0]?.contact.name).toBe("Sam");
    expect(browser.url()).toBe("https://zentalk.example/");
  });
  test("of somebody known opens the conversation", async () => {
    const { app, browser } = await opened({ scene: "seeded" }, `#add/${codeFor("nora")}`);
    expect(app.router.sheet).toBeNull();
    expect(app.router.view.name).toBe("conversation");
    expect(browser.url()).toBe("https://zentalk.example/");
  });
  test("errors are the engine's own sentences", async () => {
    const { app } = await opened({ scene: "seeded", speed: 0 });
    await expect(app.addContact("hello", "")).rejects.toMatchObject({ code: "badCode" });
    await expect(app.addContact(app.me?.link ?? "", "")).rejects.toMatchObject({ code: "ownCode" });
  });
});

describe("sending", () => {
  test("shows the message at once and then every state", async () => {
    const { thread } = await talking("Nora Lindqvist");
    const states: string[] = [];
    void thread.send("hello");
    expect(thread.shown.at(-1)).toMatchObject({ text: "hello", state: { kind: "sending" } });
    for (let i = 0; i < 40; i += 1) {
      const state = thread.shown.findLast((m) => m.text === "hello")?.state;
      const text = state?.kind === "sent" ? `sent ${state.held}/${state.of}` : (state?.kind ?? "none");
      if (states.at(-1) !== text) states.push(text);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(states).toEqual(["sending", "sent 2/3", "sent 3/3", "delivered", "read"]);
    expect(thread.shown.filter((m) => m.text === "hello")).toHaveLength(1);
  });
  test("what the engine does not take stays, is tried again with the same id, and is sent once", async () => {
    const { thread, engine } = await talking("Tomás Herrera");
    engine.rejectNext("storage", "No space left.");
    void thread.send("keep me");
    await vi.advanceTimersByTimeAsync(100);
    const [echo] = thread.echoes;
    expect(echo?.problem).toBe("No space left.");
    void thread.resubmit(echo?.message.id ?? "");
    await vi.advanceTimersByTimeAsync(100);
    expect(thread.echoes).toEqual([]);
    expect(thread.messages.filter((m) => m.id === echo?.message.id)).toHaveLength(1);
  });
  test("what the engine does not take can be discarded", async () => {
    const { thread, engine } = await talking("Tomás Herrera");
    const before = thread.shown.length;
    engine.rejectNext("storage", "No space left.");
    void thread.send("never mind");
    await vi.advanceTimersByTimeAsync(100);
    thread.discard(thread.echoes[0]?.message.id ?? "");
    expect(thread.shown).toHaveLength(before);
  });
  test("a failed message is retried under its own id", async () => {
    const { app, thread, engine } = await talking("Nora Lindqvist");
    engine.failNext("contactNotFound");
    void thread.send("lost");
    await vi.advanceTimersByTimeAsync(600);
    const failed = thread.messages.findLast((m) => m.text === "lost");
    expect(failed?.state).toEqual({ kind: "failed", reason: "contactNotFound" });
    expect(app.announcer.polite).toContain("Nobody could be found");
    void thread.retry(failed?.id ?? "");
    await vi.advanceTimersByTimeAsync(700);
    expect(thread.messages.find((m) => m.id === failed?.id)?.state).toMatchObject({ kind: "sent" });
  });
  test("offline it waits, and goes out when the connection is back", async () => {
    const { app, thread, engine } = await talking("Tomás Herrera");
    engine.offline();
    expect(app.connection).toEqual({ kind: "offline" });
    void thread.send("later");
    await vi.advanceTimersByTimeAsync(1000);
    expect(thread.messages.at(-1)?.state).toEqual({ kind: "sending", reason: "offline" });
    engine.online();
    await vi.advanceTimersByTimeAsync(1000);
    expect(thread.messages.at(-1)?.state).toEqual({ kind: "sent", held: 3, of: 3 });
  });
});

describe("receiving", () => {
  test("in the open conversation: shown, read out, marked read", async () => {
    const { app, thread, engine, address } = await talking("Nora Lindqvist");
    engine.receive(address, "are you there?");
    expect(thread.messages.at(-1)?.text).toBe("are you there?");
    expect(app.announcer.polite).toBe("Nora Lindqvist: are you there?");
    expect(app.conversation(address)?.unread).toBe(1);
    await app.markRead(address);
    expect(app.conversation(address)?.unread).toBe(0);
  });
  test("elsewhere: the list moves, the words are not read out", async () => {
    const { app, engine } = await talking("Nora Lindqvist");
    const other = engine.addressOf("Tomás Herrera") ?? "";
    engine.receive(other, "secret words");
    expect(app.conversations[0]?.contact.address).toBe(other);
    expect(app.announcer.polite.trim()).toBe("New message from Tomás Herrera");
  });
  test("a state change is no new message", async () => {
    const { app, thread } = await talking("Nora Lindqvist");
    const said = app.announcer.polite;
    const last = thread.messages.findLast((m) => m.direction === "in");
    if (last) thread.receive(last);
    expect(app.announcer.polite).toBe(said);
  });
  test("somebody unknown is a request until answered", async () => {
    const { app, engine } = await opened({ scene: "seeded" });
    const address = engine.request("Eve\u202e");
    const request = app.conversation(address);
    expect(request && app.isRequest(request)).toBe(true);
    expect(request && app.nameOf(request.contact)).toBe("Eve");
    app.show(address);
    await vi.advanceTimersByTimeAsync(200);
    void app.thread?.send("hello");
    await vi.advanceTimersByTimeAsync(200);
    const answered = app.conversation(address);
    expect(answered && app.isRequest(answered)).toBe(false);
  });
});

describe("history", () => {
  test("opens with the newest page, and older ones come before it in order", async () => {
    const { app, engine } = await opened({ scene: "long" });
    app.show(engine.addressOf("Nora Lindqvist") ?? "");
    await vi.advanceTimersByTimeAsync(200);
    const thread = app.thread;
    expect(thread?.messages).toHaveLength(50);
    expect(thread?.hasOlder).toBe(true);
    while (thread?.hasOlder) {
      void thread.loadOlder();
      await vi.advanceTimersByTimeAsync(400);
    }
    expect(thread?.messages).toHaveLength(180);
    const times = thread?.messages.map((m) => m.orderedAt) ?? [];
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
  test("a page that cannot be read can be asked for again", async () => {
    const { app, engine } = await opened({ scene: "long" });
    app.show(engine.addressOf("Nora Lindqvist") ?? "");
    await vi.advanceTimersByTimeAsync(200);
    engine.rejectNext("storage", "no");
    void app.thread?.loadOlder();
    await vi.advanceTimersByTimeAsync(400);
    expect(app.thread?.older).toBe("failed");
    void app.thread?.loadOlder();
    await vi.advanceTimersByTimeAsync(400);
    expect(app.thread?.messages).toHaveLength(100);
  });
  test("leaving cuts a long read back, and nothing is lost by it", async () => {
    const { app, engine } = await opened({ scene: "long" });
    const address = engine.addressOf("Nora Lindqvist") ?? "";
    app.show(address);
    await vi.advanceTimersByTimeAsync(200);
    for (let i = 0; i < 3; i += 1) {
      void app.thread?.loadOlder();
      await vi.advanceTimersByTimeAsync(400);
    }
    app.show(null);
    app.show(address);
    await vi.advanceTimersByTimeAsync(200);
    expect(app.thread?.messages).toHaveLength(100);
    void app.thread?.loadOlder();
    await vi.advanceTimersByTimeAsync(400);
    expect(new Set(app.thread?.messages.map((m) => m.id)).size).toBe(150);
  });
  test("drafts stay with their conversation", async () => {
    const { app, engine, thread, address } = await talking("Nora Lindqvist");
    thread.draft = "half a thought";
    app.show(engine.addressOf("Tomás Herrera") ?? "");
    expect(app.thread?.draft).toBe("");
    app.show(address);
    expect(app.thread?.draft).toBe("half a thought");
  });
  test("what was unread when it was opened is marked", async () => {
    const { app, engine } = await opened({ scene: "seeded" });
    app.show(engine.addressOf("Mirjam") ?? "");
    await vi.advanceTimersByTimeAsync(200);
    expect(app.thread?.unreadFrom).toBe(app.thread?.messages[0]?.id);
  });
});

describe("erasing", () => {
  test("leaves nothing behind and welcomes", async () => {
    const { app } = await talking("Nora Lindqvist");
    void app.erase();
    await vi.advanceTimersByTimeAsync(500);
    expect(app.phase).toEqual({ kind: "welcome", erased: true, problem: null });
    expect([app.me, app.thread, app.conversations.length]).toEqual([null, null, 0]);
    expect(app.router.view).toEqual({ name: "home" });
  });
  test("that fails is reported and changes nothing", async () => {
    const { app, engine } = await opened({ scene: "seeded", speed: 0 });
    engine.rejectNext("storage", "no");
    await expect(app.erase()).rejects.toMatchObject({ code: "storage" });
    expect(app.phase.kind).toBe("ready");
  });
});
