// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A server of this package's own files under the strict policy, and Chromium with fresh profiles.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const HOME = fileURLToPath(new URL("..", import.meta.url));

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self' ws://127.0.0.1:*",
].join("; ");

/** Serves dist/, pkg/ and e2e/page.*; `list()` is the bootstrap list, undefined: not found. */
export async function serve(list = () => undefined) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const headers = { "Content-Security-Policy": POLICY, "Cache-Control": "no-store" };
    try {
      if (pathname === "/bootstrap.json") {
        const text = list();
        if (text === undefined) throw new Error("no list");
        response.writeHead(200, { ...headers, "Content-Type": TYPES[".json"] }).end(text);
        return;
      }
      const path = normalize(pathname === "/" ? "/e2e/page.html" : pathname);
      if (!/^\/(dist|pkg|e2e)\//.test(path)) throw new Error("elsewhere");
      const body = await readFile(join(HOME, path));
      response.writeHead(200, { ...headers, "Content-Type": TYPES[extname(path)] ?? "text/plain" }).end(body);
    } catch {
      response.writeHead(404, headers).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const close = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return { url: `http://127.0.0.1:${port}/`, close };
}

/** A browser with one fresh profile. */
export async function browse() {
  const profile = await mkdtemp(join(tmpdir(), "zentalk-client-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-dev-shm-usage",
    ],
  });
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}

/** Opens the page and starts the client in it. What the policy forbids ends up in `faults`. */
export async function open(context, url, faults) {
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !/bootstrap\.json|404|WebSocket/.test(message.text()))
      faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(url);
  await page.evaluate(() => window.begin());
  return page;
}

/** Waits until `check`, asked every quarter of a second, gives something, and gives it; undefined after `ms`. */
export async function within(ms, check) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await check();
    if (found !== undefined || Date.now() > deadline) return found;
    await new Promise((go) => setTimeout(go, 250));
  }
}

/** Calls a method of the client; a rejection becomes `{ code, message }`. */
export function call(page, method, ...args) {
  return page.evaluate(([method, args]) => window.call(method, args), [method, args]);
}

/**
 * Waits for an event that has the fields `wanted`. A function, not a string: what is polled as a string is
 * evaluated anew outside the inspector, where the policy forbids `eval`.
 */
export function event(page, wanted, timeout = 60_000) {
  const find = (wanted) => {
    const fits = (found, wanted) =>
      found === wanted ||
      (typeof wanted === "object" && Object.keys(wanted).every((name) => fits(found?.[name], wanted[name])));
    return window.events.find((event) => fits(event, wanted));
  };
  return page.waitForFunction(find, wanted, { timeout, polling: 50 });
}
