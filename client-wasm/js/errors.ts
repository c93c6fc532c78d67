// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The one class of errors that this package throws.

import type { ApiError, ErrorCode } from "./generated.js";

/** Every rejection is one of these; `message` is a sentence for a person. */
export class ZenTalkError extends Error {
  /** For programs. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = "ZenTalkError";
    this.code = code;
  }
}

const CLOSED: ApiError = { code: "closed", message: "ZenTalk was closed in this tab." };
const INTERNAL: ApiError = {
  code: "internal",
  message: "Something went wrong inside ZenTalk. Reloading the page may help.",
};

export const closed = (): ZenTalkError => fromApi(CLOSED);
export const internal = (): ZenTalkError => fromApi(INTERNAL);

/** What the worker reported, as an error to throw. */
export function fromApi(error: ApiError): ZenTalkError {
  return new ZenTalkError(error.code, error.message);
}

/** What the engine threw, as a value that can be posted. */
export function toApi(thrown: unknown): ApiError {
  if (typeof thrown === "object" && thrown !== null && "code" in thrown && "message" in thrown)
    return { code: thrown.code as ErrorCode, message: String(thrown.message) };
  return INTERNAL;
}
