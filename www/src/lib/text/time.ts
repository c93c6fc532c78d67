// Points in time as people read them. Words come from the app's language, the clock (12 or 24
// hours) from the reader's system.

import { LANGUAGE, strings } from "../strings.ts";

const hour12 = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions().hour12 ?? false;

const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: "2-digit", minute: "2-digit", hour12 });
const weekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: "long" });
const shortWeekday = new Intl.DateTimeFormat(LANGUAGE, { weekday: "short" });
const dayMonth = new Intl.DateTimeFormat(LANGUAGE, { weekday: "long", day: "numeric", month: "long" });
const shortDay = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "short" });
const fullDay = new Intl.DateTimeFormat(LANGUAGE, { day: "numeric", month: "long", year: "numeric" });
const shortYear = new Intl.DateTimeFormat(LANGUAGE, { month: "short", year: "numeric" });

/** `2026-11-23` in local time: equal for equal days. */
export function dayKey(ms: number): string {
  const d = new Date(ms);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** Whole local days from `ms` to `now`; negative for the future. */
function daysAgo(ms: number, now: number): number {
  const midnight = (t: number) => new Date(t).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(ms)) / 86_400_000);
}

const sameYear = (a: number, b: number) => new Date(a).getFullYear() === new Date(b).getFullYear();

export const timeOfDay = (ms: number): string => clock.format(ms);

/** Above a day of messages. */
export function dayLabel(ms: number, now: number): string {
  const ago = daysAgo(ms, now);
  if (ago === 0) return strings.thread.today;
  if (ago === 1) return strings.thread.yesterday;
  if (ago > 1 && ago < 7) return weekday.format(ms);
  return sameYear(ms, now) ? dayMonth.format(ms) : fullDay.format(ms);
}

/** In the list of conversations. */
export function listTime(ms: number, now: number): string {
  const ago = daysAgo(ms, now);
  if (ago === 0) return timeOfDay(ms);
  if (ago > 0 && ago < 7) return shortWeekday.format(ms);
  return sameYear(ms, now) ? shortDay.format(ms) : shortYear.format(ms);
}

/** In a sentence: `at 14:02`, `on Monday at 14:02`, `on 3 May 2025 at 14:02`. */
export function sentenceTime(ms: number, now: number): string {
  const ago = daysAgo(ms, now);
  if (ago === 0) return `at ${timeOfDay(ms)}`;
  const day = ago > 0 && ago < 7 ? weekday.format(ms) : fullDay.format(ms);
  return `on ${day} at ${timeOfDay(ms)}`;
}

export const fullDate = (ms: number): string => fullDay.format(ms);
