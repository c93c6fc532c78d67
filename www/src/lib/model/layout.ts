// How a list of messages is laid out: days, and runs of one sender within a day.

import type { Message } from "zentalk-client";
import { dayKey } from "../text/time.ts";

export interface LaidOut {
  message: Message;
  /** Begins a run: the sender changed, or there was a pause. */
  first: boolean;
  last: boolean;
  /** The first message that was unread when the conversation was opened. */
  unreadFrom: boolean;
}

export interface Day {
  key: string;
  /** Any time on that day. */
  at: number;
  items: LaidOut[];
}

/** A longer pause than this ends a run. */
export const RUN_PAUSE_MS = 5 * 60_000;

function breaks(before: Message | undefined, after: Message | undefined): boolean {
  if (!before || !after) return true;
  return (
    before.direction !== after.direction ||
    Math.abs(after.sentAt - before.sentAt) > RUN_PAUSE_MS ||
    dayKey(before.sentAt) !== dayKey(after.sentAt)
  );
}

export function layOut(messages: readonly Message[], unreadFrom: string | null): Day[] {
  const days: Day[] = [];
  messages.forEach((message, i) => {
    const key = dayKey(message.sentAt);
    let day = days.at(-1);
    if (day?.key !== key) {
      // A clock that went back may open the same day twice: the key stays unique.
      day = { key: days.some((d) => d.key === key) ? `${key} ${message.id}` : key, at: message.sentAt, items: [] };
      days.push(day);
    }
    const marked = message.id === unreadFrom;
    const nextMarked = messages[i + 1]?.id === unreadFrom;
    day.items.push({
      message,
      first: marked || breaks(messages[i - 1], message),
      last: nextMarked || breaks(message, messages[i + 1]),
      unreadFrom: marked,
    });
  });
  return days;
}
