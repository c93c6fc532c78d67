// What several screens build sentences of.

import type { OnionSuite } from "zentalk-client";

/** Of all words; dates and numbers are written accordingly. */
export const LANGUAGE = "en-GB";

export const count = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

export const onionSuite: Record<OnionSuite, string> = {
  x25519: "X25519",
  xwing: "X-Wing (post-quantum)",
  rsa4096: "RSA-4096",
};
