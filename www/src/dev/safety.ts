// Safety numbers of the in-memory engine: of the right shape, made of nothing secret.

import type { SafetyComparison, SafetyNumber } from "zentalk-client";
import { numbers } from "./script.ts";

/** `ZSN1`, a letter for the version, and what both sides have in common. */
const TEXT = /^ZSN1([A-Z])[0-9A-Z]{108}$/;
const VERSION = "P";
const NEXT_VERSION = "Z";

/** The same from both sides. */
export function safetyNumberOf(one: string, other: string): SafetyNumber {
  const next = numbers(`safety ${[one, other].sort().join(" ")}`);
  const digits = Array.from({ length: 12 }, () => String(next() % 100_000).padStart(5, "0")).join("");
  const body = Array.from({ length: 108 }, () => (next() % 36).toString(36)).join("");
  return { digits, qr: `ZSN1${VERSION}${body.toUpperCase()}` };
}

/** As a later version of the app would show it. */
export const ofNextVersion = ({ qr }: SafetyNumber): string => qr.replace(VERSION, NEXT_VERSION);

export function compareWith(own: SafetyNumber, scanned: string): SafetyComparison {
  const text = scanned.replace(/\s+/g, "").toUpperCase();
  const version = TEXT.exec(text)?.[1];
  if (!version) return "notASafetyNumber";
  if (version !== VERSION) return "otherVersion";
  return text === own.qr ? "match" : "different";
}
