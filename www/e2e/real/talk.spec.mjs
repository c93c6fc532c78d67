// The proof: browsers against real relay processes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { startNetwork } from "./network.mjs";
import { acquainted, eventually, PATIENCE_MS } from "./person.mjs";
import { relaysOf } from "./sockets.mjs";

const LIMIT = { timeout: 5 * PATIENCE_MS };
const texts = (label, count) => Array.from({ length: count }, (_, i) => `${label} ${i + 1}`);

let network;
before(async () => (network = await startNetwork({ relays: 5 })), LIMIT);
after(() => network?.close());

describe("two people", LIMIT, () => {
  let ada;
  let ben;
  before(async () => ({ ada, ben } = await acquainted(network.url)), LIMIT);
  after(async () => {
    await Promise.all([ada?.done(), ben?.done()]);
  });

  test("(a) two fresh browsers exchange links and talk both ways", async () => {
    await ada.write("Hello from Ada");
    await ben.sees("Hello from Ada");
    // Ben had only a link; the name came with the first answer.
    await ben.page.getByRole("textbox", { name: "Message to Ada", exact: true }).waitFor();
    await ada.reaches("Hello from Ada", "read");
    await ben.reaches("Hello from Ben", "read");
    for (const text of texts("to and fro", 4)) {
      const [from, to] = text.endsWith("1") || text.endsWith("3") ? [ada, ben] : [ben, ada];
      await from.write(text);
      await to.sees(text);
    }
  });

  test("(f) both compute one safety number; compared, it verifies, and goes on verifying after a reload", async () => {
    const sheet = (person) => person.page.getByRole("dialog", { name: "Safety number" });
    const header = (person) => person.page.locator("section.conversation > header");
    const groups = (person) => sheet(person).getByRole("list", { name: "60 digits in 12 groups" }).locator("li > [aria-hidden]");
    for (const person of [ada, ben]) {
      await header(person).getByRole("button", { name: "Verify" }).click();
      await groups(person).first().waitFor();
    }
    const [hers, his] = [await groups(ada).allTextContents(), await groups(ben).allTextContents()];
    assert.equal(hers.length, 12);
    assert.deepEqual(hers, his);
    await sheet(ada).getByRole("button", { name: "Paste theirs" }).click();
    await sheet(ada).getByLabel("The number that they sent you").fill(his.join(" "));
    await sheet(ada).getByRole("button", { name: "Compare", exact: true }).click();
    await sheet(ada).getByRole("button", { name: "Mark as verified" }).click();
    await sheet(ada).getByRole("heading", { name: "You have verified Ben" }).waitFor();
    await Promise.all([ada, ben].map((person) => person.page.keyboard.press("Escape")));
    await ada.page.reload();
    await header(ada).getByRole("button", { name: "Safety number" }).waitFor();
    await ada.write("now I know that it is you");
    await ben.sees("now I know that it is you");
  });

  test("(b) what is written to somebody who is away waits, and arrives in order", async () => {
    await ben.leave();
    const waiting = texts("while you were away", 3);
    for (const text of waiting) await ada.write(text);
    for (const text of waiting) await ada.reaches(text, "sent");
    await ben.arrive();
    await ben.open(/./);
    for (const text of waiting) await ben.sees(text);
    const got = (await ben.received()).filter((t) => waiting.includes(t));
    assert.deepEqual(got, waiting);
    for (const text of waiting) await ada.reaches(text, "delivered");
  });

  test("(c) reload and restart keep history and sessions", async () => {
    const before = await ada.received();
    await ada.page.reload();
    await ada.sees("Hello from Ben");
    assert.deepEqual(await eventually(() => ada.received(), (now) => isDeepStrictEqual(now, before)), before);
    await ada.write("after a reload");
    await ben.sees("after a reload");
    for (const person of [ada, ben]) {
      await person.leave();
      await person.arrive();
      await person.open(/./);
    }
    await ada.sees("Hello from Ben");
    await ben.write("after a restart");
    await ada.sees("after a restart");
    await ada.write("here, too");
    await ben.sees("here, too");
  });

  test("(g) one of the two mixes: texts go both ways, and packets to oneself come back", async () => {
    await ada.page.getByRole("button", { name: "Settings" }).click();
    const mixing = ada.page.getByRole("region", { name: "Hiding when you write" });
    await mixing.getByRole("radio", { name: "Strong" }).check();
    await mixing.getByText("In use now: Strong.").waitFor();
    await mixing.getByText(/[1-9]\d* packets? sent to yourself, (it|all|\d+) came back/).waitFor();
    await ada.open(/Ben/);
    await ada.write("late, and on purpose");
    await ben.sees("late, and on purpose");
    await ben.write("and back to somebody who mixes");
    await ada.sees("and back to somebody who mixes");
    await ada.page.getByRole("button", { name: "Settings" }).click();
    await mixing.getByRole("radio", { name: "Off" }).check();
    await mixing.getByText("In use now: Off.").waitFor();
    await ada.open(/Ben/);
  });

  test("(e) a second tab is live, sends, and takes over when the first is gone", async () => {
    const second = await ada.secondTab();
    await ada.open(/./, second);
    await ada.sees("Hello from Ben", second);
    await ben.write("into both tabs");
    await Promise.all([ada.sees("into both tabs"), ada.sees("into both tabs", second)]);
    await ada.write("from the second tab", second);
    await Promise.all([ben.sees("from the second tab"), ada.sees("from the second tab")]);

    await ada.page.close({ runBeforeUnload: false });
    ada.page = second;
    await ben.write("after the first tab is gone");
    await ada.sees("after the first tab is gone");
    await ada.write("the second tab leads");
    await ben.sees("the second tab leads");
    const all = await ben.received();
    assert.equal(new Set(all).size, all.length, "nothing twice");
  });
});

describe("relays that are killed", LIMIT, () => {
  let ada;
  let ben;
  before(async () => ({ ada, ben } = await acquainted(network.url, ["Cleo", "Dan"])), LIMIT);
  after(async () => {
    await Promise.all([ada?.done(), ben?.done()]);
  });

  /** Whom somebody is connected to, as soon as that is anybody. */
  const guardsOf = ({ profile }) => eventually(() => relaysOf(profile, network.relays), (found) => found.length > 0);

  /** Every message is there exactly once. */
  async function everythingArrived(written) {
    for (const text of written) await ada.reaches(text, "delivered");
    for (const text of written) await ben.sees(text);
    const got = (await ben.received()).filter((t) => written.includes(t));
    assert.deepEqual(got.sort(), [...written].sort());
  }

  test("(d1) a relay in the middle", async () => {
    const guards = new Set([...(await guardsOf(ada)), ...(await guardsOf(ben))]);
    const middle = network.relays.find((relay) => !guards.has(relay));
    assert.ok(middle, "somebody is in the middle");
    const written = texts("around the middle", 4);
    await ada.write(written[0]);
    await middle.kill();
    for (const text of written.slice(1)) await ada.write(text);
    await everythingArrived(written);
    await middle.start();
  });

  test("(d2) the guard of the sender", async () => {
    const [guard] = await guardsOf(ada);
    assert.ok(guard, "the sender is connected to a relay");
    const written = texts("around the guard", 4);
    await ada.write(written[0]);
    await guard.kill();
    for (const text of written.slice(1)) await ada.write(text);
    await everythingArrived(written);
    await guard.start();
  });

  test("(d3) all relays, which come back with what they had promised to hold", async () => {
    await ben.leave();
    const held = texts("held on disk", 3);
    for (const text of held) await ada.write(text);
    for (const text of held) await ada.reaches(text, "sent");
    await Promise.all(network.relays.map((relay) => relay.kill()));
    const during = texts("while all are down", 2);
    for (const text of during) await ada.write(text);
    await Promise.all(network.relays.map((relay) => relay.start()));
    await ben.arrive();
    await ben.open(/./);
    await everythingArrived([...held, ...during]);
  });
});
