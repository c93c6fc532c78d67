// What waits for a decision and not for the network.

import type { MessageState } from "zentalk-client";

/** The state of a message that does not go out until new keys are accepted. */
export const HELD_BACK: MessageState = { kind: "sending", reason: "keysChanged" };

/** Whether a message waits until somebody's new keys are accepted. */
export function isHeldBack(state: MessageState | undefined): boolean {
  return state?.kind === "sending" && state.reason === "keysChanged";
}
