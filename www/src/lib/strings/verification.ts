// Of safety numbers, and of devices that have changed.

import type { SafetyComparison, Verification } from "zentalk-client";
import type { CameraProblem } from "../ui/scanner.ts";

export const verify = {
  /** Of the button that opens the sheet. */
  open: {
    unverified: "Verify",
    verified: "Safety number",
    changed: "Compare again",
  } satisfies Record<Verification, string>,
  /** Of the mark beside a name; who is unverified has none. */
  mark: { verified: "Verified", changed: "Devices changed" },
  title: "Safety number",
  about: (name: string) =>
    `You and ${name} should both see these 60 digits; then nobody can read along in between. Compare them on a call, or scan each other’s code when you meet.`,
  qr: (name: string) => `QR code of your safety number with ${name}`,
  digits: "60 digits in 12 groups",
  loading: "Working out the safety number",
  failed: "The safety number could not be worked out.",
  unknown: (name: string) =>
    `There is no number yet: ZenTalk has not found ${name}’s keys so far. They may not have been online since you added them.`,
  copy: "Copy",
  scan: "Scan theirs",
  stop: "Stop scanning",
  paste: "Paste theirs",
  pasted: "The number that they sent you",
  pastedHint: "Get it another way, not through ZenTalk: whoever could read along here could also change it here.",
  pastedMissing: "Paste their number first.",
  compare: "Compare",
  confirm: "They match",
  confirmMatched: "Mark as verified",
  verified: (name: string) => `You have verified ${name}`,
  verifiedHint: "If their devices change, ZenTalk tells you and sends nothing until you have decided.",
  undo: "Not verified any more",
  changed: (name: string) => `${name}’s devices changed`,
  changedHint: (name: string) =>
    `The digits stay the same: they belong to the person, not to a device. So ask ${name}, on a call or when you meet, whether the new device is theirs; then compare.`,
  outcome: {
    match: {
      title: "They match",
      text: (name: string) => `Nobody stands between you, if what you compared with really came from ${name}.`,
    },
    different: {
      title: "They do not match",
      text: (name: string) =>
        `Send nothing to ${name} that must stay private. Make sure that it is the safety number with you which they show, and compare again. If it still differs, somebody may be reading along: meet, and start anew with a link that you hand over there.`,
    },
    notASafetyNumber: {
      title: "This is no safety number",
      text: (name: string) =>
        `${name} finds theirs in the conversation with you, under “Verify”. It has 60 digits; a contact link is something else.`,
    },
    otherVersion: {
      title: "Made by another version of ZenTalk",
      text: () => "It cannot be compared with this one. Reload ZenTalk on both sides, then try again.",
    },
  } satisfies Record<SafetyComparison, { title: string; text: (name: string) => string }>,
};

export const scanner = {
  picture: "What the camera sees",
  starting: "Opening the camera",
  hint: "Hold their code into the picture.",
  problem: {
    denied: "The browser does not let ZenTalk use the camera. Allow it in the settings of this page, or compare the digits by eye.",
    missing: "There is no camera here. Compare the digits by eye.",
    unavailable: "The camera does not answer; another app may be using it. Try again, or compare the digits by eye.",
  } satisfies Record<CameraProblem, string>,
};

/** Somebody who was verified has other devices now. */
export const keys = {
  title: (name: string) => `${name}’s devices changed`,
  text: (name: string) =>
    `You had verified ${name}. Since then, one of their devices is new or has new keys. Ask them on a call or in person whether that was them: whoever stole their keys could do it, too. Nothing goes out until you decide.`,
  compare: "Compare again",
  accept: (waiting: boolean) => (waiting ? "Accept and send" : "Accept"),
};
