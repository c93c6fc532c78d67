// What production ships: no trace of the in-memory engine, nothing inline, and few bytes.

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { FAKE_MARKER } from "../src/dev/fake.ts";
import { PEOPLE } from "../src/dev/script.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const APP_CODE_LIMIT = 60 * 1024;

async function bundle(mode: string): Promise<Map<string, string>> {
  // Or Svelte would compile for development, as vitest does.
  vi.stubEnv("NODE_ENV", "production");
  const result = (await build({
    root,
    mode,
    logLevel: "silent",
    // The engine is measured by its own package.
    build: { write: false, rolldownOptions: mode === "fake" ? {} : { external: ["zentalk-client"] } },
  })) as Rolldown.RolldownOutput;
  vi.unstubAllEnvs();
  const text = (data: string | Uint8Array) => (typeof data === "string" ? data : Buffer.from(data).toString("latin1"));
  return new Map(result.output.map((f) => [f.fileName, f.type === "chunk" ? f.code : text(f.source)]));
}

describe("the production bundle", () => {
  let files: Map<string, string>;
  beforeAll(async () => {
    files = await bundle("production");
  }, 120_000);

  const all = () => [...files.values()].join("\n");
  const ending = (suffix: string) => [...files].filter(([name]) => name.endsWith(suffix)).map(([, code]) => code);

  test("contains nothing of the in-memory engine", () => {
    for (const trace of [FAKE_MARKER, "zentalkFake", PEOPLE.nora.name]) expect(all()).not.toContain(trace);
  });
  test("imports the engine by its name", () => expect(all()).toMatch(/from\s*["']zentalk-client["']/));
  test("has no inline script or style", () => {
    const [html] = ending(".html");
    expect(html).toBeDefined();
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=/i);
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)/i);
  });
  test("names no other origin", () => {
    const [html] = ending(".html");
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    for (const css of ending(".css")) expect(css).not.toMatch(/url\((["']?)(https?:|data:|\/\/)/);
  });
  test("is light", () => {
    const bytes = ending(".js").reduce((sum, code) => sum + gzipSync(code, { level: 9 }).length, 0);
    console.log(`app code: ${(bytes / 1024).toFixed(1)} KiB gzip`);
    expect(bytes).toBeLessThan(APP_CODE_LIMIT);
  });
});

test("the fake build does contain the marker: the search above would find it", async () => {
  const files = await bundle("fake");
  expect([...files.values()].join("\n")).toContain(FAKE_MARKER);
}, 120_000);
