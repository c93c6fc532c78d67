// The little of a browser that the model touches, for tests in Node.

import { vi } from "vitest";

export function fakeBrowser(hash = ""): { url: () => string } {
  let url = new URL(`https://zentalk.example/${hash}`);
  const stack: unknown[] = [null];
  const history = {
    get state() {
      return stack.at(-1);
    },
    pushState: (state: unknown) => void stack.push(structuredClone(state)),
    replaceState(state: unknown, _: string, to?: string) {
      stack[stack.length - 1] = structuredClone(state);
      if (to) url = new URL(to, url);
    },
    back: () => void stack.pop(),
  };
  vi.stubGlobal("history", history);
  vi.stubGlobal("location", {
    get hash() {
      return url.hash;
    },
    get pathname() {
      return url.pathname;
    },
    search: "",
  });
  return { url: () => url.href };
}
