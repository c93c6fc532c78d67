// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The dedicated worker of one tab: wires `Tab` to this browser.

import init, { Host } from "../pkg/zentalk_client_wasm.js";
import type { HostNotice } from "./generated.js";
import { BootstrapLoader } from "./bootstrap.js";
import type { Between, ChosenRoute, FromWorker, ToWorker } from "./protocol.js";
import { type Engine, Tab, WATCH_INTERVAL } from "./tab.js";

type Start = Extract<ToWorker, { type: "start" }>;

/** The part of `DedicatedWorkerGlobalScope` that is used; the DOM's types describe pages only. */
interface WorkerScope {
  postMessage(message: FromWorker): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToWorker>) => void): void;
  addEventListener(type: string, listener: () => void): void;
}

const scope = self as unknown as WorkerScope;
const toPage = (message: FromWorker): void => scope.postMessage(message);

// A trap in wasm leaves its memory in an unknown state: this worker is finished, and the page starts another,
// which restores everything from the store.
const crashed = (): void => toPage({ type: "crashed" });
scope.addEventListener("error", crashed);
scope.addEventListener("unhandledrejection", crashed);

let begun: Promise<Tab> | undefined;
/** How an engine that is opened from now on encrypts and mixes packets. */
let route: ChosenRoute;

scope.addEventListener("message", (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  if (message.type === "start") {
    const { onionSuite, onionFloor, mixing } = message;
    route = { onionSuite, mixing, ...(onionFloor && { onionFloor }) };
    begun ??= begin(message);
    return;
  }
  // Orders keep their sequence: each waits for the same promise.
  void begun?.then((tab) => obey(tab, message));
});

async function obey(tab: Tab, message: Exclude<ToWorker, Start>): Promise<void> {
  switch (message.type) {
    case "ask": {
      const { id, request } = message;
      if (request.kind === "setRoute") {
        const { kind: _, ...chosen } = request;
        route = chosen;
      }
      return tab.ask(id, request);
    }
    case "visible":
      return tab.setVisible(message.visible);
    case "close":
      await tab.close();
      toPage({ type: "closed" });
  }
}

async function begin(start: Start): Promise<Tab> {
  // Spelt out here, so that bundlers find the file and move it along.
  await init({ module_or_path: new URL("../pkg/zentalk_client_wasm_bg.wasm", import.meta.url) });
  const name = `zentalk:${start.database}`;
  const channel = new BroadcastChannel(name);
  const tab = new Tab(
    {
      tab: crypto.randomUUID(),
      lock: async (steal, work) => {
        try {
          await navigator.locks.request(name, { steal }, work);
          return "done";
        } catch (thrown) {
          if (thrown instanceof DOMException && thrown.name === "AbortError") return "robbed";
          throw thrown;
        }
      },
      toTabs: (message: Between) => channel.postMessage(message),
      toPage,
      open: (notify) => open(start, notify),
      now: () => performance.now(),
    },
    start.visible,
  );
  channel.addEventListener("message", (event: MessageEvent<Between>) => tab.receive(event.data));
  setInterval(() => tab.watch(), WATCH_INTERVAL);
  void tab.run();
  return tab;
}

/** Starts the engine with a bootstrap list that follows as soon as it is loaded. */
function open(start: Start, notify: (notice: HostNotice) => void): Engine {
  const { database, origin } = start;
  const options = { database, origin, online: navigator.onLine, ...route };
  const host = new Host(options, notify);
  const tellOnline = (): void => {
    host.online(navigator.onLine);
    if (navigator.onLine) loader.hurry();
  };
  const loader = new BootstrapLoader(start.bootstrap, (text) => host.bootstrap(text));
  scope.addEventListener("online", tellOnline);
  scope.addEventListener("offline", tellOnline);
  loader.start();
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    loader.stop();
    self.removeEventListener("online", tellOnline);
    self.removeEventListener("offline", tellOnline);
    await host.close();
  };
  return {
    request: (request) => host.request(request),
    close: () => (closing ??= close()),
  };
}
