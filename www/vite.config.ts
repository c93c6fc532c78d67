import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { contentSecurityPolicy } from "./build/csp.ts";
import { licences } from "./build/licences.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const { version } = JSON.parse(readFileSync(here("package.json"), "utf8")) as { version: string };

export default defineConfig(({ mode }) => {
  // Only these two modes ever see the in-memory engine; test/bundle.test.ts proves it.
  const fake = mode === "fake" || mode === "test";
  // `cargo xtask up --dev`: the app hot-reloads here, everything else comes from the api-server.
  const api = process.env["ZENTALK_API_URL"];
  return {
    define: { __APP_VERSION__: JSON.stringify(version) },
    plugins: [svelte(), licences()],
    resolve: {
      alias: {
        $lib: here("src/lib"),
        "zentalk-client": fake ? here("src/dev/fake.ts") : here("../client-wasm/dist/index.js"),
      },
      ...(mode === "test" ? { conditions: ["browser"] } : {}),
    },
    // wasm-bindgen finds its .wasm and its worker by `import.meta.url`: leave the package as it is.
    optimizeDeps: { exclude: ["zentalk-client"] },
    worker: { format: "es" },
    build: {
      outDir: mode === "fake" ? "dist-fake" : "dist",
      // `font-src 'self'` and friends: nothing becomes a data: URL.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
    server: {
      host: "127.0.0.1",
      fs: { allow: [here("."), here("../client-wasm")] },
      ...(api ? { proxy: { "/bootstrap.json": api } } : {}),
    },
    preview: {
      host: "127.0.0.1",
      headers: { "Content-Security-Policy": contentSecurityPolicy({ development: true }) },
    },
    test: { include: ["test/**/*.test.ts"], environment: "node" },
  };
});
