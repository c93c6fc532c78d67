// `cargo xtask bench browser`: what a person waits for, in Chromium, over five real relays on loopback.
//
// Page load → identity ready: fresh profiles, from the request of the page to the list of conversations.
// Latency: from the press of Enter in one browser to the text on the other's screen, by the clock of the
// one machine; messages go one at a time, alternating, after the session stands.

import { startNetwork } from "./real/network.mjs";
import { acquainted, Person } from "./real/person.mjs";

const PROFILES = 7;
const MESSAGES = 100;

const percentile = (values, p) => [...values].sort((a, b) => a - b)[Math.ceil((p / 100) * values.length) - 1];
const line = (what, values) =>
  console.log(`${what}: p50 ${percentile(values, 50)} ms, p95 ${percentile(values, 95)} ms, max ${Math.max(...values)} ms (${values.length})`);

const network = await startNetwork({ relays: 5 });
const people = [];
try {
  const ready = [];
  for (let i = 0; i < PROFILES; i++) {
    const person = new Person(`Reader ${i}`, "about:blank");
    await person.arrive();
    people.push(person);
    const start = performance.now();
    await person.page.goto(network.url);
    await person.create();
    ready.push(Math.round(performance.now() - start));
    await people.pop().done();
  }
  line("page load to identity ready", ready);

  const { ada, ben } = await acquainted(network.url);
  people.push(ada, ben);
  for (const { page } of people) {
    await page.evaluate(() => {
      window.pressed = new Map();
      window.shown = new Map();
      const note = () => {
        for (const p of document.querySelectorAll("li.item.in .bubble p"))
          if (!window.shown.has(p.textContent)) window.shown.set(p.textContent, Date.now());
      };
      new MutationObserver(note).observe(document.body, { childList: true, subtree: true, characterData: true });
      addEventListener("keydown", (event) => {
        if (event.key === "Enter") window.pressed.set(event.target.value, Date.now());
      }, true);
    });
  }
  const took = [];
  for (let i = 0; i < MESSAGES; i++) {
    const [from, to] = i % 2 ? [ben, ada] : [ada, ben];
    const text = `measured ${i}`;
    const box = from.page.getByRole("textbox", { name: /^Message to/ });
    await box.fill(text);
    await box.press("Enter");
    const pressed = await from.page.evaluate((text) => window.pressed.get(text), text);
    const shown = await to.page.waitForFunction((text) => window.shown.get(text), text);
    took.push((await shown.jsonValue()) - pressed);
  }
  line("message, Enter to the other screen, three relays", took);
} finally {
  for (const person of people) await person.done();
  await network.close();
}
