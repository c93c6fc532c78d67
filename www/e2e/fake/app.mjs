// The app over the in-memory engine, served under the production content security policy.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { preview } from "vite";
import { DESKTOP, launch } from "../browser.mjs";

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
      const page = await context.newPage();
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

/** Calls a method of the fake engine inside the page. */
export function steer(page, method, ...args) {
  return page.evaluate(([name, values]) => window.zentalkFake[name](...values), [method, args]);
}

/** Waits until the locator shows; the message of a failure names it. */
export const visible = (locator) => locator.first().waitFor({ state: "visible", timeout: 20_000 });
export const gone = (locator) => locator.first().waitFor({ state: "hidden", timeout: 20_000 });

/** Opens the conversation with somebody from the list. */
export async function choose(page, name) {
  await page.getByRole("navigation").getByRole("button", { name }).click();
  await visible(page.getByRole("region", { name: "Conversation with" }));
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

/**
 * Waits until `check`, evaluated in the page, is true. What it throws before that (it asks for an element that is not
 * drawn yet) is "not yet"; at the deadline it is the reason given.
 */
export async function until(page, check, arg, timeout = 20_000) {
  const deadline = Date.now() + timeout;
  for (let thrown; ; await new Promise((go) => setTimeout(go, 30))) {
    try {
      if (await page.evaluate(check, arg)) return;
      thrown = undefined;
    } catch (error) {
      thrown = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${check}`, { cause: thrown });
  }
}
