// SPDX-License-Identifier: MIT OR Apache-2.0
//
// `cargo xtask bench crypto`: the benchmark's wasm (BENCH_PKG) in Chromium, its figures into a file
// (BENCH_FIGURES). Not a part of the client. The page is isolated from other origins, for a finer clock.

import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, extname, join } from "node:path";
import { browse } from "./browser.mjs";

/** How long the rounds take, in seconds, and one sample, in microseconds: the clock's step is 5. */
const SECONDS = 60;
const SAMPLE = 2_000;

const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
  const name = basename(new URL(request.url ?? "/", "http://localhost").pathname);
  const headers = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
  };
  try {
    const body = name === "" ? "<!doctype html><title>bench</title>" : await readFile(join(process.env["BENCH_PKG"], name));
    response.writeHead(200, { ...headers, "Content-Type": TYPES[extname(name)] ?? "text/html" }).end(body);
  } catch {
    response.writeHead(404, headers).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const { context, close } = await browse();
try {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const figures = await page.evaluate(
    async ([seconds, sample, words]) => {
      if (!crossOriginIsolated) throw new Error("the page is not isolated: its clock is coarse");
      const bench = await import("/zentalk_bench.js");
      await bench.default({ module_or_path: "/zentalk_bench_bg.wasm" });
      return bench.measure_in_browser(seconds, sample, words);
    },
    [SECONDS, SAMPLE, process.argv.slice(2)],
  );
  await writeFile(process.env["BENCH_FIGURES"], figures);
} finally {
  await close();
  server.closeAllConnections();
  server.close();
}
