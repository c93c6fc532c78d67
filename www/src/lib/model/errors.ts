import type { ErrorCode, ZenTalkError } from "zentalk-client";
import { strings } from "../strings.ts";

/** Whether a rejection is the engine's own typed error. */
export function isZenTalkError(error: unknown): error is ZenTalkError {
  return (
    typeof error === "object" &&
    error !== null &&
    "code" in error &&
    "message" in error &&
    typeof error.code === "string" &&
    Object.hasOwn(strings.errors, error.code)
  );
}

/** A sentence for a person: the engine's own, which is the most precise, or one by its code. */
export function sentenceFor(error: unknown): string {
  if (!isZenTalkError(error)) return strings.errors.internal;
  return error.message.trim() || strings.errors[error.code];
}

export function codeOf(error: unknown): ErrorCode | null {
  return isZenTalkError(error) ? error.code : null;
}
