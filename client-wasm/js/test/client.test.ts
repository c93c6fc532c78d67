// SPDX-License-Identifier: MIT OR Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../client.js";
import { ZenTalkError } from "../errors.js";
import type { Contact, Me, Message, ZenTalkEvent } from "../generated.js";
import type { FromWorker, ToWorker } from "../protocol.js";
import { settle } from "./world.js";

class FakeWorker {
  readonly got: ToWorker[] = [];
  terminated = false;
  constructor(
    readonly say: (message: FromWorker) => void,
    readonly crash: () => void,
  ) {}
  postMessage(message: ToWorker): void {
    this.got.push(message);
  }
  terminate(): void {
    this.terminated = true;
  }
}

function page() {
  const workers: FakeWorker[] = [];
  const state = { now: 0, closed: 0, ids: 0 };
  const client = new Client({
    spawn: (receive, crashed) => {
      const worker = new FakeWorker(receive, crashed);
      workers.push(worker);
      return worker;
    },
    start: (onion) => ({ type: "start", database: "d", bootstrap: "b", origin: "o", visible: true, ...onion }),
    randomId: () => `id${++state.ids}`,
    now: () => state.now,
    closed: () => void state.closed++,
  });
  const worker = (): FakeWorker => {
    const last = workers.at(-1);
    assert.ok(last);
    return last;
  };
  return { client, workers, worker, state };
}

const me: Me = { address: "a", code: "c", link: "l", qr: "q", name: "Ada", createdAt: 1 };

const message = (id: string, failed: boolean): Message => ({
  id,
  address: "bob",
  direction: "out",
  text: "t",
  sentAt: 1,
  orderedAt: 1,
  state: failed ? { kind: "failed", reason: "expired" } : { kind: "sending" },
});

test("calls become requests and answers become results", async () => {
  const { client, worker } = page();
  const asked = client.create({ name: "Ada" });
  assert.deepEqual(worker().got.at(-1), {
    type: "ask",
    id: 1,
    request: { kind: "create", name: "Ada", again: false },
  });
  worker().say({ type: "answer", id: 1, answer: { kind: "me", value: me } });
  assert.deepEqual(await asked, me);
});

test("refusals become ZenTalkErrors with code and sentence", async () => {
  const { client, worker } = page();
  const asked = client.me();
  worker().say({ type: "refusal", id: 1, error: { code: "noIdentity", message: "There is none." } });
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof ZenTalkError);
    assert.deepEqual([error.code, error.message], ["noIdentity", "There is none."]);
    return true;
  });
});

test("an answer of the wrong kind is a fault of ours", async () => {
  const { client, worker } = page();
  const asked = client.me();
  worker().say({ type: "answer", id: 1, answer: { kind: "done" } });
  await assert.rejects(asked, { code: "internal" });
});

test("safety numbers are asked for, compared and confirmed by request", async () => {
  const { client, worker } = page();
  const number = { digits: "0".repeat(60), qr: "ZSN1" };
  const asked = [
    client.safetyNumber("bob"),
    client.compareSafetyNumber("bob", "ZSN1"),
    client.setVerified("bob", true),
    client.acceptKeys("bob"),
  ] as const;
  const requests = worker().got.flatMap((order) => (order.type === "ask" ? [order.request] : []));
  assert.deepEqual(requests, [
    { kind: "safetyNumber", address: "bob" },
    { kind: "compareSafetyNumber", address: "bob", scanned: "ZSN1" },
    { kind: "setVerified", address: "bob", verified: true },
    { kind: "acceptKeys", address: "bob" },
  ]);
  const contact: Contact = { address: "bob", name: "Bob", addedAt: 1, origin: "added", verification: "verified" };
  worker().say({ type: "answer", id: 1, answer: { kind: "safetyNumber", value: number } });
  worker().say({ type: "answer", id: 2, answer: { kind: "comparison", value: "match" } });
  worker().say({ type: "answer", id: 3, answer: { kind: "contact", value: contact } });
  worker().say({ type: "refusal", id: 4, error: { code: "unknownContact", message: "Nobody." } });
  assert.deepEqual(await asked[0], number);
  assert.equal(await asked[1], "match");
  assert.deepEqual(await asked[2], contact);
  await assert.rejects(asked[3], { code: "unknownContact" });
});

test("a message has an id before it is sent, so that repeating sends once", () => {
  const { client, worker } = page();
  void client.send("bob", "hi").catch(() => undefined);
  void client.send("bob", "hi", "mine").catch(() => undefined);
  const ids = worker().got.flatMap((order) =>
    order.type === "ask" && order.request.kind === "send" ? [order.request.id] : [],
  );
  assert.deepEqual(ids, ["id1", "mine"]);
});

test("a failed message can be retried by its id alone", async () => {
  const { client, worker } = page();
  await assert.rejects(client.retry("m1"), { code: "unknownMessage" });
  worker().say({ type: "event", event: { kind: "message", message: message("m1", true) } });
  void client.retry("m1").catch(() => undefined);
  assert.deepEqual(worker().got.at(-1), {
    type: "ask",
    id: 1,
    request: { kind: "retry", address: "bob", messageId: "m1" },
  });
  worker().say({ type: "event", event: { kind: "message", message: message("m1", false) } });
  await assert.rejects(client.retry("m1"), { code: "unknownMessage" });
});

test("limits of pages stay within what the engine takes", () => {
  const { client, worker } = page();
  for (const limit of [0, 1.5, 1000, undefined])
    void client.messages("bob", limit === undefined ? {} : { limit }).catch(() => undefined);
  const limits = worker().got.flatMap((order) =>
    order.type === "ask" && order.request.kind === "messages" ? [order.request.limit] : [],
  );
  assert.deepEqual(limits, [1, 1, 100, 50]);
});

test("a crashed worker is replaced once, and what it had not answered is asked again", async () => {
  const { client, workers, worker, state } = page();
  const first = client.me();
  const second = client.create({ name: "Ada" });
  worker().crash();
  assert.equal(workers[0]?.terminated, true);
  assert.equal(workers.length, 2);
  assert.deepEqual(
    worker().got.map((order) => (order.type === "ask" ? order.request : order.type)),
    ["start", { kind: "me" }, { kind: "create", name: "Ada", again: true }],
  );
  workers[0]?.say({ type: "answer", id: 1, answer: { kind: "done" } });
  worker().say({ type: "answer", id: 1, answer: { kind: "me", value: me } });
  assert.deepEqual(await first, me, "what the old worker said late was not heard");
  state.now = 1_000;
  worker().say({ type: "crashed" });
  await assert.rejects(second, { code: "internal" });
  await assert.rejects(client.me(), { code: "internal" });
  assert.equal(workers.length, 2);
  assert.equal(state.closed, 1);
});

test("how packets are encrypted and mixed is asked for with its defaults, and told to a worker that follows", async () => {
  const { client, worker } = page();
  const onion = (): unknown[] =>
    worker().got.flatMap((order): unknown[] => {
      if (order.type === "start") return [[order.onionSuite, order.onionFloor, order.mixing]];
      return order.type === "ask" && order.request.kind === "setRoute" ? [order.request] : [];
    });
  const asked = [{}, { onionSuite: "xwing" }, { mixing: "light" }, { onionFloor: "xwing", mixing: "strong" }] as const;
  const done = asked.map((options) => client.setRoute(options));
  assert.deepEqual(onion(), [
    ["x25519", undefined, "off"],
    { kind: "setRoute", onionSuite: "x25519", mixing: "off" },
    { kind: "setRoute", onionSuite: "xwing", mixing: "off" },
    { kind: "setRoute", onionSuite: "x25519", mixing: "light" },
    { kind: "setRoute", onionSuite: "xwing", onionFloor: "xwing", mixing: "strong" },
  ]);
  for (const id of [1, 2, 3, 4]) worker().say({ type: "answer", id, answer: { kind: "done" } });
  assert.deepEqual(await Promise.all(done), Array(4).fill(undefined));
  worker().crash();
  assert.deepEqual(onion(), [["xwing", "xwing", "strong"]]);
});

test("crashes far apart are each survived", () => {
  const { workers, worker, state } = page();
  worker().crash();
  state.now = 120_000;
  worker().crash();
  assert.equal(workers.length, 3);
});

test("after close every call rejects and the worker ends when its last commit is done", async () => {
  const { client, worker, state } = page();
  const waiting = client.me();
  client.close();
  client.close();
  await assert.rejects(waiting, { code: "closed" });
  await assert.rejects(client.state(), { code: "closed" });
  assert.deepEqual(worker().got.at(-1), { type: "close" });
  assert.equal(worker().terminated, false);
  worker().say({ type: "closed" });
  assert.equal(worker().terminated, true);
  assert.equal(state.closed, 1);
});

test("a listener that throws does not keep events from the others", async () => {
  const { client, worker } = page();
  const reported: unknown[] = [];
  Object.assign(globalThis, { reportError: (error: unknown) => reported.push(error) });
  const heard: ZenTalkEvent[] = [];
  client.subscribe(() => {
    throw new Error("mine");
  });
  const stop = client.subscribe((event) => heard.push(event));
  worker().say({ type: "event", event: { kind: "erased" } });
  stop();
  worker().say({ type: "event", event: { kind: "erased" } });
  await settle();
  assert.equal(heard.length, 1);
  assert.equal(reported.length, 2);
});

test("storage asks the browser and reports what it said", async () => {
  const asked: string[] = [];
  const storage = {
    persisted: async () => false,
    persist: async () => (asked.push("persist"), true),
    estimate: async () => ({ usage: 5, quota: 10 }),
  } as unknown as StorageManager;
  const client = new Client({
    spawn: (receive, crashed) => new FakeWorker(receive, crashed),
    start: () => ({ type: "close" }),
    storage,
    randomId: () => "",
    now: () => 0,
    closed: () => undefined,
  });
  assert.deepEqual(await client.storage(), { persisted: true, usageBytes: 5, quotaBytes: 10 });
  assert.deepEqual(asked, ["persist"]);
});
