// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What page, worker and the workers of other tabs say to each other.

import type { Answer, ApiError, Mixing, OnionSuite, Request, ZenTalkEvent } from "./generated.js";

/** How packets are encrypted and mixed, defaults filled in. */
export interface ChosenRoute {
  onionSuite: OnionSuite;
  onionFloor?: OnionSuite;
  mixing: Mixing;
}

/** A page's orders to its worker. `start` comes first. */
export type ToWorker =
  | ({ type: "start"; database: string; bootstrap: string; origin: string; visible: boolean } & ChosenRoute)
  /**
   * `id` is the page's; one answer or refusal comes back. What `setRoute` says, this worker also goes by when it
   * comes to run the engine later.
   */
  | { type: "ask"; id: number; request: Request }
  | { type: "visible"; visible: boolean }
  /** Answered by `closed`. */
  | { type: "close" };

export type FromWorker =
  | { type: "answer"; id: number; answer: Answer }
  | { type: "refusal"; id: number; error: ApiError }
  | { type: "event"; event: ZenTalkEvent }
  /** The worker is of no use any more: it is to be replaced. */
  | { type: "crashed" }
  | { type: "closed" };

/** Between workers. Each has a random name, `tab`. */
export type Between =
  /** I follow. A leader answers with `leading`; a hidden one hands over to a visible follower. */
  | { type: "hello"; tab: string; visible: boolean }
  /** I lead. Whatever was asked and not answered is to be asked again. */
  | { type: "leading"; tab: string; visible: boolean }
  /** I stop leading, in favour of `to`. */
  | { type: "handover"; to: string }
  | { type: "ask"; tab: string; id: number; request: Request }
  | { type: "answer"; tab: string; id: number; answer: Answer }
  | { type: "refusal"; tab: string; id: number; error: ApiError }
  | { type: "event"; event: ZenTalkEvent };
