// Which relay a browser is connected to, as the operating system sees it (Linux): the app and its
// engine are not asked, so they cannot be wrong about it.

import { readdir, readFile, readlink } from "node:fs/promises";

const ESTABLISHED = "01";

/** Remote port of every established TCP connection on loopback, by inode. */
async function connections() {
  const found = new Map();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "utf8").catch(() => "");
    for (const line of text.split("\n").slice(1)) {
      const columns = line.trim().split(/\s+/);
      if (columns[3] !== ESTABLISHED) continue;
      found.set(columns[9], Number.parseInt(columns[2].split(":")[1], 16));
    }
  }
  return found;
}

/** Processes that were started with this argument. */
async function processesWith(argument) {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return ids.filter((_, i) => lines[i].includes(argument));
}

/** The relays that the browser with this profile folder is connected to. */
export async function relaysOf(profile, relays) {
  const open = await connections();
  const ports = new Set();
  for (const id of await processesWith(profile)) {
    const files = await readdir(`/proc/${id}/fd`).catch(() => []);
    for (const file of files) {
      const target = await readlink(`/proc/${id}/fd/${file}`).catch(() => "");
      const port = open.get(/^socket:\[(\d+)\]$/.exec(target)?.[1]);
      if (port !== undefined) ports.add(port);
    }
  }
  return relays.filter((relay) => ports.has(relay.port));
}
