// SPDX-License-Identifier: MIT OR Apache-2.0
//
// npm `zentalk-client`: a private messenger's engine in a browser tab.

import { Client, type Page } from "./client.js";
import type { FromWorker } from "./protocol.js";
import { checkSupport } from "./support.js";
import type { StartOptions, ZenTalk } from "./types.js";

export { ZenTalkError } from "./errors.js";
export type * from "./types.js";

/** Opens (or prepares to create) the identity that this browser holds. Rejects with `ZenTalkError`. */
export async function start(options: StartOptions = {}): Promise<ZenTalk> {
  checkSupport(globalThis);
  const database = options.database ?? "zentalk";
  const bootstrap = new URL(options.bootstrap ?? "/bootstrap.json", document.baseURI).href;
  const visible = (): boolean => document.visibilityState === "visible";
  const tellVisible = (): void => client.setVisible(visible());
  const page: Page = {
    spawn: (receive, crashed) => {
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.addEventListener("message", (event: MessageEvent<FromWorker>) => receive(event.data));
      worker.addEventListener("error", crashed);
      return worker;
    },
    start: (onion) => ({
      type: "start",
      database,
      bootstrap,
      origin: location.origin,
      visible: visible(),
      ...onion,
    }),
    storage: navigator.storage,
    randomId: () =>
      Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    now: () => performance.now(),
    closed: () => document.removeEventListener("visibilitychange", tellVisible),
  };
  const client = new Client(page, options);
  document.addEventListener("visibilitychange", tellVisible);
  // Until the engine has answered once, nobody can say that it works.
  await client.state().catch((error: unknown) => {
    if (!isStorage(error)) {
      client.close();
      throw error;
    }
    // The store may work again later, and `erase` works even now.
  });
  return client;
}

const isStorage = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && error.code === "storage";
