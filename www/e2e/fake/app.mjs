// The app over the in-memory engine, served under the production content security policy.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { preview } from "vite";
import { DESKTOP, launch, slowDown } from "../browser.mjs";

/** For everything that a page does, on a machine that is busy with other things, in ms. */
const PATIENCE = 60_000;

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Serves `dist-fake` and starts a browser; `close` ends both. */
export async function startApp() {
  const server = await preview({ root, mode: "fake", logLevel: "warn", preview: { port: 0, strictPort: false } });
  const browser = await launch();
  const [origin] = server.resolvedUrls.local;
  return {
    origin,
    browser,
    /**
     * A page on `path`, which fails the test on any console error or policy violation. `init` runs in it
     * before anything else.
     */
    async open(path = "/", { init, ...options } = {}) {
      const context = await browser.newContext({ viewport: DESKTOP, locale: "en-GB", ...options });
      context.setDefaultTimeout(PATIENCE);
      const page = await context.newPage();
      await slowDown(page);
      const problems = [];
      page.on("pageerror", (error) => problems.push(error.stack ?? String(error)));
      page.on("console", (line) => {
        if (line.type() === "error" || line.type() === "warning") problems.push(line.text());
      });
      await page.addInitScript(() => {
        addEventListener("securitypolicyviolation", (event) => {
          console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
        });
      });
      if (init) await page.addInitScript(init);
      await page.goto(new URL(path, origin).href);
      return {
        page,
        context,
        /** Ends the page; nothing may have gone wrong in it. */
        async done() {
          await context.close();
          assert.deepEqual(problems, []);
        },
      };
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

/** Calls a method of the fake engine inside the page, as soon as it is there. */
export async function steer(page, method, ...args) {
  await until(page, () => window.zentalkFake !== undefined);
  return page.evaluate(([name, values]) => window.zentalkFake[name](...values), [method, args]);
}

/** Waits until the locator shows; the message of a failure names it. */
export const visible = (locator) => locator.first().waitFor({ state: "visible", timeout: PATIENCE });
export const gone = (locator) => locator.first().waitFor({ state: "hidden", timeout: PATIENCE });

/** Opens the conversation with somebody from the list; its messages have been read. */
export async function choose(page, name) {
  await page.getByRole("navigation").getByRole("button", { name }).click();
  await visible(page.getByRole("region", { name: new RegExp(`^Conversation with .*${name.source}`) }));
  await visible(page.locator("li.item"));
}

/** As `init`: a browser that reads QR codes. What the camera sees is `window.before`; its pictures are real. */
export function qrReader() {
  window.cameras = [];
  window.BarcodeDetector = class {
    static getSupportedFormats = async () => ["qr_code"];
    detect = async () => (window.before ? [{ rawValue: window.before }] : []);
  };
  const media = navigator.mediaDevices;
  const open = media.getUserMedia.bind(media);
  media.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    window.cameras.push(...stream.getTracks());
    return stream;
  };
}

const pause = () => new Promise((go) => setTimeout(go, 30));

/**
 * Waits until `check`, evaluated in the page, is true. What it throws before that (it asks for an element that is not
 * drawn yet) is "not yet"; at the deadline it is the reason given.
 */
export async function until(page, check, arg, timeout = PATIENCE) {
  const deadline = Date.now() + timeout;
  for (let thrown; ; await pause()) {
    try {
      if (await page.evaluate(check, arg)) return;
      thrown = undefined;
    } catch (error) {
      thrown = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${check}`, { cause: thrown });
  }
}

/** Waits until `read` gives `wanted`, or fits it where that is a pattern; at the deadline, tells what it gave instead. */
export async function becomes(read, wanted, message) {
  const fits = (value) => (wanted instanceof RegExp ? wanted.test(value) : isDeepStrictEqual(value, wanted));
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await read();
    if (fits(value)) return;
    if (Date.now() > deadline) {
      if (wanted instanceof RegExp) assert.match(value, wanted, message);
      assert.deepEqual(value, wanted, message);
    }
    await pause();
  }
}

/** What has the focus, by its name: the label, or else its words. */
export const focused = (page) =>
  page.evaluate(() => {
    const e = document.activeElement;
    return e?.getAttribute("aria-label") ?? e?.labels?.[0]?.textContent?.trim() ?? e?.textContent?.trim() ?? "";
  });

/** The part of the address after `#`, as the page has it: the test's side learns of changes later. */
export const fragment = (page) => page.evaluate(() => location.hash);

/** Notes from now on what these elements say (or this attribute), so that nothing is missed that shows for a moment. */
export const record = (page, selector, attribute) =>
  page.evaluate(
    ([wanted, name]) => {
      window.seen = [];
      const look = () => {
        for (const element of document.querySelectorAll(wanted)) {
          const text = (name ? element.getAttribute(name) : element.textContent) ?? "";
          if (!window.seen.includes(text)) window.seen.push(text);
        }
      };
      look();
      const changes = { subtree: true, childList: true, characterData: true, attributes: true };
      new MutationObserver(look).observe(document.body, changes);
    },
    [selector, attribute],
  );

/** Waits until what `record` has noted fits all of these patterns, one after the other. */
export const recorded = (page, ...patterns) =>
  until(
    page,
    (all) => {
      const rest = [...all];
      for (const text of window.seen) if (rest[0]?.test(text)) rest.shift();
      return rest.length === 0;
    },
    patterns,
  );

/** Waits until nothing moves any more but what never stops. */
export async function calm(page) {
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  await page.evaluate(() => document.fonts.ready.then(() => true));
  await until(page, () =>
    document
      .getAnimations()
      .every((a) => a.playState !== "running" || a.effect?.getComputedTiming().endTime === Infinity),
  );
}
