// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The page of the end-to-end tests: the client, within their reach.

import { start } from "/dist/index.js";

window.events = [];

const plain = (error) => ({ code: error.code, message: error.message, name: error.name });

window.begin = async () => {
  window.client = await start();
  window.client.subscribe((event) => window.events.push(event));
};

window.call = async (method, args) => {
  try {
    return await window.client[method](...args);
  } catch (error) {
    return { error: plain(error) };
  }
};

/** Pretends that the page was shown or hidden: headless pages are always visible. */
window.setVisible = (visible) => {
  Object.defineProperty(document, "visibilityState", {
    configurable: true,
    get: () => (visible ? "visible" : "hidden"),
  });
  document.dispatchEvent(new Event("visibilitychange"));
};
