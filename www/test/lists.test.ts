import { describe, expect, test } from "vitest";
import type { Conversation, Message } from "zentalk-client";
import { layOut, RUN_PAUSE_MS } from "../src/lib/model/layout.ts";
import { withConversation, withMessage, withPage } from "../src/lib/model/order.ts";
import { sigilOf } from "../src/lib/ui/sigil.ts";

const NOON = new Date(2026, 10, 23, 12).getTime();

function message(id: string, at = 0, direction: "in" | "out" = "in"): Message {
  return { id, address: "a", direction, text: id, sentAt: NOON + at, orderedAt: NOON + at };
}
const ids = (list: readonly Message[]) => list.map((m) => m.id).join("");

describe("order of messages", () => {
  test("by local order, then by id", () => {
    let list: Message[] = [];
    for (const m of [message("c", 5), message("b", 1), message("a", 5), message("d", 9)]) list = withMessage(list, m);
    expect(ids(list)).toBe("bacd");
  });
  test("the same id replaces", () => {
    const list = withMessage([message("a", 1), message("b", 2)], { ...message("a", 1), text: "new" });
    expect(list.map((m) => m.text)).toEqual(["new", "b"]);
  });
  test("a page does not overwrite what events brought", () => {
    const newer = { ...message("b", 2), text: "newer" };
    const list = withPage([newer, message("c", 3)], [message("a", 1), message("b", 2)]);
    expect(list.map((m) => m.text)).toEqual(["a", "newer", "c"]);
  });
});

describe("order of conversations", () => {
  const conversation = (address: string, addedAt: number, last?: Message): Conversation => ({
    contact: { address, name: address, addedAt, origin: "added", verification: "unverified" },
    unread: 0,
    ...(last ? { lastMessage: last } : {}),
  });
  test("newest first, by last message or by when it was added", () => {
    let list = withConversation([], conversation("a", NOON + 5));
    list = withConversation(list, conversation("b", NOON, message("m", 9)));
    list = withConversation(list, conversation("c", NOON + 7));
    expect(list.map((c) => c.contact.address)).toEqual(["b", "c", "a"]);
    list = withConversation(list, conversation("a", NOON, message("n", 20)));
    expect(list.map((c) => c.contact.address)).toEqual(["a", "b", "c"]);
  });
});

describe("layout", () => {
  const runs = (list: Message[], unread: string | null = null) =>
    layOut(list, unread)
      .flatMap((d) => d.items)
      .map((i) => `${i.first ? "(" : ""}${i.message.id}${i.last ? ")" : ""}`)
      .join("");

  test("runs end with the sender, a pause and the day", () => {
    const day = 24 * 3600_000;
    expect(
      runs([
        message("a", 0),
        message("b", 1000),
        message("c", 2000, "out"),
        message("d", 3000 + RUN_PAUSE_MS + 1, "out"),
        message("e", day),
      ]),
    ).toBe("(ab)(c)(d)(e)");
  });
  test("the first unread message begins a run and is marked", () => {
    const list = [message("a", 0), message("b", 1), message("c", 2)];
    expect(runs(list, "b")).toBe("(a)(bc)");
    expect(layOut(list, "b")[0]?.items.map((i) => i.unreadFrom)).toEqual([false, true, false]);
  });
  test("each day once, with unique keys even when a clock went back", () => {
    const day = 24 * 3600_000;
    const days = layOut([message("a", day), message("b", 0), message("c", day)], null);
    expect(days).toHaveLength(3);
    expect(new Set(days.map((d) => d.key)).size).toBe(3);
  });
  test("nothing for nothing", () => expect(layOut([], null)).toEqual([]));
});

describe("sigils", () => {
  test("are the same for the same address and survive odd input", () => {
    const address = "0f".repeat(32);
    expect(sigilOf(address)).toEqual(sigilOf(address));
    expect(sigilOf("")).toMatchObject({ hue: expect.any(Number) });
  });
});
