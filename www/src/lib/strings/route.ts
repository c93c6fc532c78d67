// Of the choices of how packets travel.

import type { Cover, Mixing, OnionSuite } from "zentalk-client";
import { count, onionSuite } from "./words.ts";

const modes: Record<Mixing, string> = { off: "Off", light: "Light", strong: "Strong" };

/** Of every choice of how packets travel. */
export const route = {
  changing: "Reconnecting with it…",
  notConnected: "It is used as soon as you are connected.",
  failed: (reason: string) => `The change did not take effect: ${reason} ZenTalk goes by it when it starts the next time.`,
  notKept: "This browser does not keep the choice: it holds until you reload.",
};

export const encryption = {
  title: "Encryption of the route",
  about:
    "What you write stays unreadable either way, also for quantum computers. This is about who talks to whom: how your packets are wrapped for the relays that pass them on.",
  names: { x25519: "Usual: X25519", xwing: "Post-quantum: X-Wing" } satisfies Partial<Record<OnionSuite, string>>,
  hints: {
    x25519:
      "Small packets. But whoever records them now, and has a quantum computer one day, could work out then who talked to whom.",
    xwing:
      "Keeps that from quantum computers, too. Packets are twice as large: 18\u00a0kB for a short message instead of 9\u00a0kB, on each part of the way. Relays that lack it are left out while enough others have it.",
  } satisfies Partial<Record<OnionSuite, string>>,
  only: "Send nothing rather than use something weaker",
  onlyHint: "While too few relays have X-Wing, what you write waits, and nothing reaches you.",
  inUse: (suite: OnionSuite) => `In use now: ${onionSuite[suite]}.`,
  details: "Show the connection",
};

export const mixing = {
  title: "Hiding when you write",
  about: [
    "Nobody on the way can read what you write. But somebody who watches many relays, or the wires between them, could follow a message by the moments at which it passes, and find out who writes to whom.",
    "Against that, relays can hold each of your packets back for a random time, and ZenTalk can send packets to yourself, which look like any other. While the browser has put this tab to sleep, it sends none.",
  ],
  names: modes,
  /** `large`: packets are encrypted with X-Wing. */
  hint(mode: Mixing, large: boolean): string {
    switch (mode) {
      case "off":
        return "Messages travel as fast as they can, and nothing extra is sent. Whoever sees both ends can compare times.";
      case "light":
        return `A message takes about 0.4\u00a0s longer. A packet to yourself every 30\u00a0s on average: about ${large ? 6 : 3}\u00a0MB an hour.`;
      case "strong":
        return `A message takes about 4\u00a0s longer. A packet to yourself every 5\u00a0s on average: about ${large ? 34 : 17}\u00a0MB an hour.`;
    }
  },
  inUse: (mode: Mixing) => `In use now: ${modes[mode]}.`,
  /** What became of the packets; those under way are neither back nor lost. */
  cover({ sent, returned, lost }: Cover): string {
    const packets = `${count(sent, "packet", "packets")} sent to yourself`;
    const one = sent === 1;
    if (sent === 0) return "No packet sent to yourself yet.";
    if (returned === sent) return one ? `${packets}, it came back.` : `${packets}, all came back.`;
    if (lost === sent) return one ? `${packets}, it did not come back.` : `${packets}, none came back.`;
    if (lost > 0) return `${packets}, ${lost} did not come back.`;
    if (returned > 0) return `${packets}, ${returned} came back so far.`;
    return one ? `${packets}, it is not back yet.` : `${packets}, none is back yet.`;
  },
  lost: "A relay or your connection loses packets. For a while, ZenTalk takes other relays for the way where it can.",
  fewRelays: "With the few relays that there are now, this hides little.",
};
