// The people and conversations that the in-memory engine plays. Development and tests only.

import type { Verification } from "zentalk-client";

export interface Person {
  name: string;
  code: string;
  /** Unverified if not said. */
  verification?: Verification;
  /** Whether their device is on: decides how far states advance. */
  online: boolean;
  /** Answers, given in turn when they are online. */
  answers: string[];
}

const ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** Repeatable numbers, no better than they need to be. */
export function numbers(seed: string): () => number {
  let x = 2166136261;
  for (const c of seed) x = Math.imul(x ^ (c.codePointAt(0) ?? 0), 16777619);
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** A code of the right shape for a name; the checksum is not one. */
export function codeFor(seed: string): string {
  const next = numbers(`code ${seed}`);
  return `zen1${Array.from({ length: 109 }, () => ALPHABET[next() % 32]).join("")}`;
}

/** 64 hex digits for a code. */
export function addressFor(code: string): string {
  const next = numbers(`address ${code}`);
  return Array.from({ length: 8 }, () => next().toString(16).padStart(8, "0")).join("");
}

export const PEOPLE = {
  nora: {
    name: "Nora Lindqvist",
    code: codeFor("nora"),
    verification: "verified",
    online: true,
    answers: [
      "Got it, thank you.",
      "Yes, that works for me.",
      "I read through it on the train. The second half is the better half.",
    ],
  },
  tomas: { name: "Tomás Herrera", code: codeFor("tomas"), online: false, answers: [] },
  ines: { name: "Ines Duarte", code: codeFor("ines"), verification: "changed", online: false, answers: [] },
  yuki: {
    name: "Yuki",
    code: codeFor("yuki"),
    online: true,
    answers: ["はい、大丈夫です。", "See you there."],
  },
} satisfies Record<string, Person>;

/** [minutes before now, direction, text], oldest first. */
export type Line = readonly [minutes: number, direction: "in" | "out", text: string];

const DAY = 24 * 60;

export const HISTORY: Record<keyof typeof PEOPLE, readonly Line[]> = {
  nora: [
    [2 * DAY + 190, "out", "Hi Nora, this is the thing I told you about. It runs in a tab."],
    [2 * DAY + 186, "in", "And there is really no account?"],
    [2 * DAY + 185, "out", "None. My keys are in this browser and nowhere else."],
    [2 * DAY + 184, "out", "Which also means: if I clear the browser, I am a new person."],
    [2 * DAY + 171, "in", "I can live with that."],
    [DAY + 61, "in", "I have the draft ready. Do you want it today or on Thursday?"],
    [DAY + 58, "out", "Today, if you can."],
    [DAY + 57, "in", "Then here it is: https://example.org/drafts/river-walk?version=4"],
    [DAY + 57, "in", "Chapter three is still rough, please be kind to it."],
    [42, "out", "I finished it last night. Chapter three is not rough at all, it is the one I would keep as it is."],
    [40, "out", "Shall we go through the rest tomorrow, over lunch?"],
    [31, "in", "Yes. One o’clock, at the place by the canal?"],
    [12, "out", "Perfect."],
  ],
  tomas: [
    [5 * DAY + 20, "in", "Are you coming on Saturday?"],
    [5 * DAY + 12, "out", "I hope so. I will know by Friday."],
    [3 * 60 + 5, "out", "It is Friday, and I am coming. Can I bring anything?"],
  ],
  ines: [
    [8 * DAY + 31, "out", "The contract is signed. I put the paper copy into your folder."],
    [8 * DAY + 24, "in", "Thank you. From now on only here, please, never by mail."],
    [8 * DAY + 23, "out", "Of course."],
  ],
  yuki: [],
};

/** After her devices changed: held back until that is accepted. */
export const INES_CHANGED = { noticed: 7 * DAY + 3, held: [DAY + 96, "out", "Are you still at the old address?"] as Line };

export const REQUEST: readonly Line[] = [
  [6, "in", "Hello! I got your link from Nora. We met at the workshop in Utrecht."],
  [5, "in", "Would you send me the notes you mentioned?"],
];

/** A long history, to page through. */
export function longHistory(lines: number): Line[] {
  return Array.from({ length: lines }, (_, i) => [
    (lines - i) * 47 + 60,
    i % 3 === 0 ? "out" : "in",
    i % 7 === 0 ? `Note ${i + 1}. ${"A longer thought that takes more than one line to say. ".repeat(2)}` : `Note ${i + 1}.`,
  ]);
}
