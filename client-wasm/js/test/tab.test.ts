// SPDX-License-Identifier: MIT OR Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { SILENCE_LIMIT } from "../tab.js";
import { outcomes, settle, World } from "./world.js";

test("the first tab leads and answers its own page", async () => {
  const world = new World();
  const a = world.add("a");
  a.tab.ask(1, { kind: "contacts" });
  await settle();
  assert.equal(a.tab.leading, true);
  assert.deepEqual(outcomes(a), ["1 done"]);
});

test("a follower's requests are answered by the leader, refusals included", async () => {
  const world = new World();
  const a = world.add("a");
  await settle();
  const b = world.add("b");
  await settle();
  b.tab.ask(7, { kind: "me" });
  b.tab.ask(8, { kind: "rename", name: "x" });
  await settle();
  assert.equal(b.tab.leading, false);
  assert.deepEqual(outcomes(b), ["7 done", "8 tooLarge"]);
  assert.deepEqual(outcomes(a), []);
});

test("the leader's events reach every page once", async () => {
  const world = new World();
  const [a, b, c] = [world.add("a"), world.add("b"), world.add("c")];
  await settle();
  a.engines[0]?.emit({ kind: "erased" });
  await settle();
  for (const tab of [a, b, c]) {
    const events = tab.page.filter((message) => message.type === "event" && message.event.kind === "erased");
    assert.equal(events.length, 1);
  }
});

test("when the leader is killed the next tab leads and takes up what nobody answered", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  await settle();
  const leader = a.engines[0];
  assert.ok(leader);
  leader.hold = new Promise(() => undefined);
  b.tab.ask(1, { kind: "send", address: "x", text: "hi", id: "m" });
  b.tab.ask(2, { kind: "create", name: "Ada", again: false });
  await settle();
  assert.equal(leader.requests.length, 2);
  assert.deepEqual(outcomes(b), []);
  a.kill();
  await settle();
  assert.equal(b.tab.leading, true);
  assert.deepEqual(outcomes(b), ["1 done", "2 done"]);
  assert.deepEqual(b.engines[0]?.requests, [
    { kind: "send", address: "x", text: "hi", id: "m" },
    { kind: "create", name: "Ada", again: true },
  ]);
});

test("a third tab's request survives the change of leader too, and is answered once", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  const c = world.add("c");
  await settle();
  const leader = a.engines[0];
  assert.ok(leader);
  leader.hold = new Promise(() => undefined);
  c.tab.ask(5, { kind: "network" });
  await settle();
  a.kill();
  await settle();
  assert.equal(b.tab.leading, true);
  assert.deepEqual(outcomes(c), ["5 done"]);
});

test("a request that is repeated while the leader works on it is not done twice", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  await settle();
  const leader = a.engines[0];
  assert.ok(leader);
  let release = (): void => undefined;
  leader.hold = new Promise((resolve) => (release = resolve));
  b.tab.ask(1, { kind: "me" });
  await settle();
  b.tab.receive({ type: "leading", tab: "a", visible: true });
  await settle();
  release();
  await settle();
  assert.equal(leader.requests.length, 1);
  assert.deepEqual(outcomes(b), ["1 done"]);
});

test("a hidden leader hands over to the visible tab, past others in the queue", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b", false);
  const c = world.add("c");
  await settle();
  assert.equal(a.tab.leading, true);
  a.tab.setVisible(false);
  await settle();
  assert.deepEqual([a.tab.leading, b.tab.leading, c.tab.leading], [false, false, true]);
  assert.equal(a.engines[0]?.open, false, "its engine was closed first");
  assert.equal(b.engines.length, 0, "the hidden tab did not even start an engine");
});

test("a hidden leader stays when every tab is hidden, and makes way when one is shown", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b", false);
  await settle();
  a.tab.setVisible(false);
  await settle();
  assert.equal(a.tab.leading, true);
  b.tab.setVisible(true);
  await settle();
  assert.equal(b.tab.leading, true);
});

test("a tab that is closed stops its engine and the next one leads", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  await settle();
  await a.tab.close();
  await settle();
  assert.equal(a.engines[0]?.open, false);
  assert.deepEqual([a.tab.leading, b.tab.leading], [false, true]);
  await b.tab.close();
});

test("a leader that says nothing while something waits is robbed by a visible tab", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  await settle();
  a.freeze();
  b.tab.ask(1, { kind: "me" });
  await settle();
  world.time += SILENCE_LIMIT;
  b.tab.watch();
  await settle();
  assert.equal(b.tab.leading, false, "not yet");
  world.time += 1;
  b.tab.watch();
  await settle();
  assert.equal(b.tab.leading, true);
  assert.deepEqual(outcomes(b), ["1 done"]);
  assert.equal(a.tab.leading, false, "the lock told the old leader");
});

test("an idle follower robs nobody", async () => {
  const world = new World();
  world.add("a");
  const b = world.add("b");
  await settle();
  world.time += 10 * SILENCE_LIMIT;
  b.tab.watch();
  b.tab.ask(1, { kind: "me" });
  b.tab.watch();
  await settle();
  assert.equal(b.tab.leading, false);
  assert.deepEqual(outcomes(b), ["1 done"]);
});

test("a host that was replaced gives leadership up", async () => {
  const world = new World();
  const a = world.add("a");
  const b = world.add("b");
  await settle();
  a.engines[0]?.notify({ kind: "replaced" });
  await settle();
  assert.deepEqual([a.tab.leading, b.tab.leading], [false, true]);
});
