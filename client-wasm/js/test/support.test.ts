// SPDX-License-Identifier: MIT OR Apache-2.0

import assert from "node:assert/strict";
import { test } from "node:test";
import { BootstrapLoader } from "../bootstrap.js";
import { fromApi, toApi } from "../errors.js";
import { checkSupport, type Scope } from "../support.js";
import { settle } from "./world.js";

const whole: Scope = {
  isSecureContext: true,
  crypto: { subtle: {} },
  indexedDB: {},
  navigator: { locks: {} },
  BroadcastChannel: {},
  WebAssembly: {},
  Worker: {},
  WebSocket: {},
};

test("a browser that has everything is taken", () => checkSupport(whole));

test("whatever is missing has its sentence", () => {
  const sentences = new Set<string>();
  for (const name of Object.keys(whole) as (keyof Scope)[]) {
    const lacking = { ...whole, [name]: undefined };
    assert.throws(
      () => checkSupport(lacking),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "unsupportedBrowser");
        sentences.add(error.message);
        return /^(This browser|ZenTalk) .*\.$/.test(error.message);
      },
    );
  }
  assert.equal(sentences.size, Object.keys(whole).length);
});

test("what is thrown by something else is a fault of ours", () => {
  assert.equal(toApi(new TypeError("x")).code, "internal");
  assert.equal(toApi(undefined).code, "internal");
  assert.equal(fromApi(toApi({ code: "ownCode", message: "m" })).code, "ownCode");
});

test("the bootstrap list is asked for until it is there, at once when the network is back", async () => {
  const texts: string[] = [];
  let tries = 0;
  const fetcher = (async () => {
    tries += 1;
    if (tries === 1) throw new TypeError("no network");
    return new Response(tries === 2 ? "gone" : "list", { status: tries === 2 ? 404 : 200 });
  }) as typeof fetch;
  const loader = new BootstrapLoader("/bootstrap.json", (text) => texts.push(text), fetcher);
  const until = async (count: number): Promise<void> => {
    while (tries < count) await settle();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  loader.start();
  await until(1);
  loader.hurry();
  await until(2);
  assert.deepEqual(texts, []);
  loader.hurry();
  await until(3);
  assert.deepEqual(texts, ["list"]);
  loader.hurry();
  await settle();
  assert.equal(tries, 3);
});
