// Real relays and a real api-server, as processes on free ports with their own data folders.
//
// Binaries and the built app: ZENTALK_RELAY_BIN, ZENTALK_API_BIN, ZENTALK_WWW_DIST; or
// ZENTALK_BIN_DIR for both binaries; else what `cargo build` and `npm run build` left.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const folder = process.env.ZENTALK_BIN_DIR ?? join(repository, "target/debug");
const RELAY = process.env.ZENTALK_RELAY_BIN ?? join(folder, "zentalk-relay");
const API = process.env.ZENTALK_API_BIN ?? join(folder, "zentalk-api");
const WWW = process.env.ZENTALK_WWW_DIST ?? join(repository, "www/dist");

/** Key generation of a debug build on a busy machine is slow. */
const READY_MS = 90_000;
const STOP_MS = 5_000;

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((done) => s.close(done))));
  return ports;
}

// The variables above are for us; a daemon would take them for settings.
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("ZENTALK_")),
);

// No daemon outlives the tests, however they end.
const started = new Set();
process.once("exit", () => started.forEach((child) => child.kill("SIGKILL")));

/** One daemon: started, killed and started again with the same configuration. */
class Daemon {
  #child = null;

  constructor(name, [binary, ...command], config, port, home) {
    Object.assign(this, { name, binary, command, config, port, home });
    this.log = join(home, "log");
  }

  async start() {
    const log = createWriteStream(this.log, { flags: "a" });
    const child = spawn(this.binary, [...this.command, "--config", this.config], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    started.add(child);
    child.once("exit", () => started.delete(child));
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    const deadline = Date.now() + READY_MS;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${this.name} ended at its start:\n${await this.tail()}`);
      const healthy = await fetch(`http://127.0.0.1:${this.port}/healthz`).then((r) => r.ok, () => false);
      if (healthy) return;
      if (Date.now() > deadline) throw new Error(`${this.name} did not get ready:\n${await this.tail()}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** `kill -9`: no goodbye, nothing flushed. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await gone;
    clearTimeout(late);
  }

  async tail() {
    const text = await readFile(this.log, "utf8").catch(() => "");
    return text.split("\n").slice(-25).join("\n");
  }
}

async function present(path, how) {
  await access(path).catch(() => {
    throw new Error(`${path} is not there: ${how}`);
  });
}

/** Starts `relays` relays and an api-server; `close` ends them and removes their folders. */
export async function startNetwork({ relays: count = 5 } = {}) {
  await present(RELAY, "run `cargo build -p zentalk-relay`");
  await present(API, "run `cargo build -p zentalk-api`");
  await present(join(WWW, "index.html"), "run `cargo xtask build`");

  const home = await mkdtemp(join(tmpdir(), "zentalk-e2e-"));
  const [apiPort, ...ports] = await freePorts(count + 1);
  const links = JSON.stringify(ports.map((port) => `ws://127.0.0.1:${port}/v1`));

  const daemon = async (name, binary, port, lines) => {
    const own = join(home, name);
    await mkdir(own);
    const config = join(own, "config.toml");
    await writeFile(config, [`listen = "127.0.0.1:${port}"`, ...lines(own), ""].join("\n"));
    return new Daemon(name, binary, config, port, own);
  };
  const relays = await Promise.all(
    ports.map((port, i) =>
      daemon(`relay-${i + 1}`, [RELAY, "run"], port, (own) => [
        `data_dir = ${JSON.stringify(join(own, "data"))}`,
        `url = "ws://127.0.0.1:${port}/v1"`,
        `operator = "relay-${i + 1}"`,
        `region = "local"`,
        `peers = ${links}`,
        `features = ["guard", "mailbox", "directory"]`,
        `allow_private = true`,
      ]),
    ),
  );
  const api = await daemon("api", [API], apiPort, () => [
    `www = ${JSON.stringify(resolve(WWW))}`,
    `bootstrap = ${links}`,
    `development = true`,
  ]);

  const close = async () => {
    await Promise.all([...relays, api].map((d) => d.stop()));
    await rm(home, { recursive: true, force: true });
  };
  try {
    await Promise.all(relays.map((r) => r.start()));
    await api.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `http://127.0.0.1:${apiPort}/`, relays, api, home, close };
}
