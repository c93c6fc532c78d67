// Emits `licences.txt`: the licence texts of what is shipped to the browser.

import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const SHIPPED = ["svelte", "uqr", "@fontsource-variable/schibsted-grotesk"] as const;
const FILE_NAMES = ["LICENSE", "LICENSE.md", "LICENSE.txt"];

function licenceOf(name: string): string {
  const folder = new URL(`../node_modules/${name}/`, import.meta.url);
  const { version, license } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8")) as {
    version: string;
    license: string;
  };
  for (const file of FILE_NAMES) {
    try {
      return `${name} ${version} (${license})\n\n${readFileSync(new URL(file, folder), "utf8").trim()}\n`;
    } catch {
      // The next name.
    }
  }
  throw new Error(`${name} has no licence file: add its text to build/licences.ts`);
}

export function licences(): Plugin {
  return {
    name: "zentalk-licences",
    apply: "build",
    generateBundle() {
      const head = "ZenTalk is free software under AGPL-3.0-or-later. It contains:\n";
      const source = [head, ...SHIPPED.map(licenceOf)].join(`\n${"-".repeat(72)}\n\n`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}
