// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The whole client in Chromium, without relays: identity, store, tabs. Messages stay in the outbox.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browse, call, event, open, serve, within } from "./browser.mjs";

/** Of an account that nobody has. */
const FRIEND = process.env["ZENTALK_TEST_CODE"];

let server;
const faults = [];

before(async () => {
  server = await serve();
});

after(async () => {
  await server.close();
});

/** Runs `body` in a browser of its own, with the client started in one page. */
function inBrowser(name, body) {
  test(name, { timeout: 400_000 }, async () => {
    const { context, close } = await browse();
    try {
      faults.length = 0;
      const page = await open(context, server.url, faults);
      await body(page, context);
      assert.deepEqual(faults, []);
    } finally {
      await close();
    }
  });
}

const leads = (page) => event(page, { kind: "leader", leading: true });
const another = (context) => open(context, server.url, faults);

/** A second identity, for its contact code. */
async function codeOfSomebody() {
  const { context, close } = await browse();
  try {
    const page = await open(context, server.url, faults);
    return (await call(page, "create", { name: "Bob" })).code;
  } finally {
    await close();
  }
}

let bob = FRIEND;
const friend = async () => (bob ??= await codeOfSomebody());

inBrowser("an identity is made, shown and kept over a reload", async (page) => {
  assert.deepEqual(await call(page, "state"), { kind: "empty" });
  assert.equal((await call(page, "me")).error.code, "noIdentity");
  const me = await call(page, "create", { name: "Ada" });
  assert.match(me.address, /^[0-9a-f]{64}$/);
  assert.match(me.code, /^zen1[0-9a-z]{109}$/);
  assert.equal(me.link, `${server.url}#add/${me.code}`);
  assert.equal(me.qr, me.code.toUpperCase());
  const steps = await page.evaluate(() =>
    window.events.filter((e) => e.kind === "creating").map((e) => e.step),
  );
  assert.deepEqual(steps, ["accountKey", "deviceKeys", "certificates", "saving", "publishing"]);
  assert.equal((await call(page, "create", { name: "Eve" })).error.code, "identityExists");
  assert.equal((await call(page, "rename", "Ada L.")).name, "Ada L.");
  await page.reload();
  await page.evaluate(() => window.begin());
  assert.deepEqual(await call(page, "state"), { kind: "ready", me: { ...me, name: "Ada L." } });
  const storage = await call(page, "storage");
  assert.equal(typeof storage.persisted, "boolean");
  assert.ok(storage.usageBytes > 0 && storage.quotaBytes > storage.usageBytes);
});

inBrowser("contacts and messages are durable when their promise resolves", async (page) => {
  const me = await call(page, "create", { name: "Ada" });
  assert.equal((await call(page, "addContact", me.link)).error.code, "ownCode");
  const bad = await call(page, "addContact", "zen1nonsense");
  assert.equal(bad.error.code, "badCode");
  assert.equal(bad.error.name, "ZenTalkError");
  assert.match(bad.error.message, /^[A-Z].*\.$/);
  const code = await friend();
  const contact = await call(page, "addContact", `This is me: https://elsewhere.example/#add/${code}, bye`, "Bob");
  assert.deepEqual([contact.name, contact.code, contact.origin], ["Bob", code, "added"]);
  assert.equal((await call(page, "send", contact.address, "  ")).error.code, "emptyText");
  assert.equal((await call(page, "send", contact.address, "x".repeat(16_385))).error.code, "tooLarge");
  assert.equal((await call(page, "send", "00".repeat(32), "hi")).error.code, "unknownContact");
  const id = "ab".repeat(16);
  const sent = await call(page, "send", contact.address, "hello", id);
  assert.deepEqual([sent.id, sent.text, sent.direction, sent.state.kind], [id, "hello", "out", "sending"]);
  assert.equal((await call(page, "send", contact.address, "hello", id)).id, id);
  await page.reload();
  await page.evaluate(() => window.begin());
  const history = await call(page, "messages", contact.address);
  assert.deepEqual(
    history.messages.map((message) => [message.id, message.text]),
    [[id, "hello"]],
  );
  const [conversation] = await call(page, "conversations");
  assert.equal(conversation.contact.name, "Bob");
  assert.equal(conversation.lastMessage.text, "hello");
  assert.equal((await call(page, "renameContact", contact.address, "Robert")).name, "Robert");
  assert.equal((await call(page, "contacts"))[0].name, "Robert");
});

inBrowser("a page of history is oldest first and leads to the one above", async (page) => {
  await call(page, "create", { name: "Ada" });
  const { address } = await call(page, "addContact", await friend());
  for (let number = 1; number <= 5; number++) await call(page, "send", address, `m${number}`);
  const texts = (answer) => answer.messages.map((message) => message.text);
  const newest = await call(page, "messages", address, { limit: 2 });
  assert.deepEqual(texts(newest), ["m4", "m5"]);
  const above = await call(page, "messages", address, { limit: 2, before: newest.before });
  assert.deepEqual(texts(above), ["m2", "m3"]);
  const top = await call(page, "messages", address, { limit: 2, before: above.before });
  assert.deepEqual(texts(top), ["m1"]);
  assert.equal(top.before, undefined);
});

inBrowser("a second tab shows the same, can write, and takes over when the first is killed", async (first, context) => {
  const me = await call(first, "create", { name: "Ada" });
  const second = await another(context);
  assert.deepEqual(await call(second, "state"), { kind: "ready", me });
  const { address } = await call(second, "addContact", await friend(), "Bob");
  await event(first, { kind: "contact", contact: { name: "Bob" } });
  await call(second, "send", address, "from the second");
  await event(first, { kind: "message", message: { text: "from the second" } });
  await call(first, "send", address, "from the first");
  await event(second, { kind: "message", message: { text: "from the first" } });
  // As hard as it gets: the renderer is gone without a word.
  const crashed = first.waitForEvent("crash");
  await first.goto("chrome://crash").catch(() => undefined);
  await crashed;
  await leads(second);
  await call(second, "send", address, "after the change");
  const history = await call(second, "messages", address);
  assert.deepEqual(
    history.messages.map((message) => message.text),
    ["from the second", "from the first", "after the change"],
  );
});

inBrowser("a hidden leader hands over to the tab that is shown", async (first, context) => {
  await call(first, "create", { name: "Ada" });
  const second = await another(context);
  await call(second, "state");
  await first.evaluate(() => window.setVisible(false));
  await leads(second);
  await event(first, { kind: "leader", leading: false });
  assert.equal((await call(first, "me")).name, "Ada");
});

inBrowser("a request that is under way when its leader is closed is answered by the next", async (first, context) => {
  const second = await another(context);
  const third = await another(context);
  const creating = call(third, "create", { name: "Ada" });
  await event(second, { kind: "creating" });
  await first.close();
  const me = await creating;
  assert.equal(me.error, undefined);
  assert.equal(me.name, "Ada");
  assert.deepEqual(await call(second, "me"), me);
});

inBrowser("a worker that fails is replaced and nothing is lost", async (page) => {
  const me = await call(page, "create", { name: "Ada" });
  const [worker] = page.workers();
  const gone = worker.waitForEvent("close");
  await worker.evaluate(() => {
    setTimeout(() => {
      throw new Error("as a trap in wasm would");
    });
  });
  await gone;
  assert.deepEqual(await call(page, "me"), me);
  faults.length = 0;
});

inBrowser("a full disk is told in a sentence, loses nothing and is got over", async (page, context) => {
  await call(page, "create", { name: "Ada" });
  const { address } = await call(page, "addContact", await friend());
  const devtools = await context.newCDPSession(page);
  const origin = new URL(server.url).origin;
  await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1 });
  // Chromium goes by the space that it measured up to half a minute ago.
  const kept = [];
  const refused = await within(120_000, async () => {
    // Not more than a page of history holds.
    if (kept.length > 90) return { error: { code: "none" } };
    const text = `${kept.length} ${"x".repeat(10_000)}`;
    const answer = await call(page, "send", address, text, kept.length.toString(16).padStart(32, "0"));
    if (answer.error) return answer;
    kept.push(text);
    await page.waitForTimeout(500);
    return undefined;
  });
  assert.equal(refused?.error.code, "storage");
  assert.match(refused.error.message, /no space left/);
  await event(page, { kind: "storageFailed", reason: "quota" });
  await devtools.send("Storage.overrideQuotaForOrigin", { origin });
  // The same goes for space that is there again; and after each failure the engine pauses for twice as long.
  let last;
  const sent = await within(150_000, async () => {
    last = await call(page, "send", address, "after all", "f2".repeat(16));
    return last.error ? undefined : last;
  });
  assert.equal(sent?.text, "after all", last.error?.message);
  const history = await call(page, "messages", address, { limit: 100 });
  assert.deepEqual(
    history.messages.map((message) => message.text),
    [...kept, "after all"],
  );
});

inBrowser("packets are encrypted and mixed as was asked last, whichever tab runs the engine", async (first, context) => {
  const suite = async (page) => (await call(page, "network")).onion.suite;
  await call(first, "create", { name: "Ada" });
  const second = await another(context);
  assert.equal(await suite(second), "x25519");
  await call(second, "setRoute", { onionSuite: "xwing", onionFloor: "xwing", mixing: "light" });
  await event(first, { kind: "network", network: { onion: { kind: "inUse", suite: "xwing" } } });
  assert.equal(await suite(first), "xwing");
  assert.equal((await call(first, "cover")).mixing, "light");
  const { address } = await call(first, "addContact", await friend());
  assert.equal((await call(first, "send", address, "after the change")).text, "after the change");
  await first.close();
  await leads(second);
  assert.equal(await suite(second), "xwing", "the tab that asked goes by it when it leads");
  assert.equal((await call(second, "cover")).mixing, "light");
  await call(second, "setRoute", {});
  assert.equal(await suite(second), "x25519");
});

inBrowser("erasing leaves nothing and every tab hears of it", async (first, context) => {
  await call(first, "create", { name: "Ada" });
  const second = await another(context);
  await call(second, "state");
  assert.equal((await call(second, "erase"))?.error, undefined);
  await event(first, { kind: "erased" });
  await event(second, { kind: "erased" });
  assert.deepEqual(await call(first, "state"), { kind: "empty" });
  assert.equal((await call(second, "create", { name: "Eve" })).name, "Eve");
});

inBrowser("what is stored shows neither names nor texts", async (page) => {
  const me = await call(page, "create", { name: "Ada Lovelace" });
  const { address } = await call(page, "addContact", await friend(), "Charles Babbage");
  await call(page, "send", address, "the analytical engine");
  const stored = await page.evaluate(async () => {
    const result = (request) =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const database = await result(indexedDB.open("zentalk"));
    const transaction = database.transaction([...database.objectStoreNames]);
    const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    const rows = await result(transaction.objectStore("rows").getAll());
    const key = (await result(transaction.objectStore("head").get("dataKey"))).wraps[0];
    database.close();
    return {
      rows: rows.map((row) => Object.values(row).map(text).join(" ")),
      extractable: key.key.extractable,
      kind: key.kind,
    };
  });
  assert.ok(stored.rows.length > 5);
  const raw = (hex) => Buffer.from(hex, "hex").toString("latin1");
  for (const secret of ["Ada", "Lovelace", "Babbage", "analytical", me.code, raw(me.address), raw(address)])
    assert.ok(!stored.rows.some((row) => row.includes(secret)));
  assert.deepEqual([stored.extractable, stored.kind], [false, "browser"]);
});
