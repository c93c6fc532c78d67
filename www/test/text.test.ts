import { describe, expect, test } from "vitest";
import { bytesOver, humanBytes, TEXT_LIMIT } from "../src/lib/text/bytes.ts";
import { splitLinks } from "../src/lib/text/links.ts";
import { cleanName, findCode, initial, inviteFromFragment, shortAddress, shortCode } from "../src/lib/text/names.ts";
import { dayKey, dayLabel, listTime, sentenceTime } from "../src/lib/text/time.ts";

const hrefs = (text: string) => splitLinks(text).flatMap((p) => (p.href ? [p.href] : []));

describe("links", () => {
  test("http and https become links, the text around them stays", () => {
    expect(splitLinks("see https://a.example/x?y=1#z now")).toEqual([
      { text: "see " },
      { text: "https://a.example/x?y=1#z", href: "https://a.example/x?y=1#z" },
      { text: " now" },
    ]);
  });
  test.each(["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "vbscript:x", "ftp://a.example"])(
    "%s stays text",
    (text) => expect(splitLinks(text)).toEqual([{ text }]),
  );
  test("punctuation after an address is not part of it", () => {
    expect(hrefs("(https://a.example/b).")).toEqual(["https://a.example/b"]);
    expect(hrefs("“https://a.example/b”, yes")).toEqual(["https://a.example/b"]);
  });
  test("balanced brackets are part of it", () => {
    expect(hrefs("https://a.example/b_(c)")).toEqual(["https://a.example/b_(c)"]);
  });
  test("an address with a user name is not a link: it would pretend to be another host", () => {
    expect(hrefs("https://bank.example@evil.example/")).toEqual([]);
  });
  test("a bidirectional override ends an address", () => {
    expect(splitLinks("https://a.example/\u202egnp.exe")[0]).toEqual({
      text: "https://a.example/",
      href: "https://a.example/",
    });
  });
  test("no character is lost", () => {
    const text = "a https://a.example, b\nhttp://b.example. (https://c.example/d) <b>https://</b>";
    expect(splitLinks(text).map((p) => p.text).join("")).toBe(text);
  });
  test("an empty text has no parts", () => expect(splitLinks("")).toEqual([]));
});

describe("names and codes", () => {
  test("control, zero-width and direction characters are taken out", () => {
    expect(cleanName("Ada\u202e\u200b\n  Lovelace\u0007")).toBe("Ada Lovelace");
  });
  test("a name is cut by characters, not by UTF-16 units", () => {
    expect([...cleanName("🙂".repeat(200))]).toHaveLength(80);
  });
  test("the initial is the first letter or digit", () => {
    expect(initial("  «élise»")).toBe("É");
    expect(initial("…")).toBe("");
  });
  test("a code is found inside links and text, also in upper case", () => {
    expect(findCode("write me: https://z.example/#add/zen1qpzry9x8 thanks")).toBe("zen1qpzry9x8");
    expect(findCode("ZEN1QPZRY")).toBe("zen1qpzry");
    expect(findCode("nothing here")).toBeNull();
  });
  test("short forms show both ends", () => {
    expect(shortCode(`zen1${"abcdefgh"}${"x".repeat(90)}12345678`)).toBe("zen1 abcd efgh … 1234 5678");
    expect(shortAddress(`01234567${"f".repeat(48)}89abcdef`)).toBe("0123 4567 … 89ab cdef");
  });
  test("an invitation is what follows #add/", () => {
    expect(inviteFromFragment("#add/zen1abc")).toBe("zen1abc");
    expect(inviteFromFragment("#add/%E2%82%AC")).toBe("€");
    expect(inviteFromFragment("#add/%zz")).toBe("%zz");
    expect(inviteFromFragment("#add/")).toBeNull();
    expect(inviteFromFragment("#other")).toBeNull();
    expect(inviteFromFragment("")).toBeNull();
  });
});

describe("bytes", () => {
  test("the limit counts UTF-8", () => {
    expect(bytesOver("a".repeat(TEXT_LIMIT))).toBe(0);
    expect(bytesOver("a".repeat(TEXT_LIMIT + 1))).toBe(1);
    expect(bytesOver("€".repeat(TEXT_LIMIT / 2))).toBe(TEXT_LIMIT / 2);
  });
  test("sizes are readable", () => {
    expect(humanBytes(0)).toBe("0 B");
    expect(humanBytes(1_340_000)).toBe("1.3 MB");
    expect(humanBytes(52_000_000_000)).toBe("52 GB");
  });
});

describe("time", () => {
  const now = new Date(2026, 10, 23, 15, 0).getTime();
  const at = (days: number, hour = 9) => new Date(2026, 10, 23 - days, hour, 5).getTime();
  test("days are local days", () => expect(dayKey(new Date(2026, 0, 2, 23, 59).getTime())).toBe("2026-01-02"));
  test("labels of days", () => {
    expect(dayLabel(at(0), now)).toBe("Today");
    expect(dayLabel(at(1, 23), now)).toBe("Yesterday");
    expect(dayLabel(at(3), now)).toBe("Friday");
    expect(dayLabel(at(40), now)).toContain("14 October");
    expect(dayLabel(at(400), now)).toContain("2025");
  });
  test("a clock in the future is a date, not a weekday", () => expect(dayLabel(at(-2), now)).toContain("25 November"));
  test("times in the list shrink with age", () => {
    expect(listTime(at(0), now)).toContain("05");
    expect(listTime(at(2), now)).toBe("Sat");
    expect(listTime(at(40), now)).toBe("14 Oct");
  });
  test("times in sentences", () => {
    expect(sentenceTime(at(0), now)).toMatch(/^at /);
    expect(sentenceTime(at(2), now)).toMatch(/^on Saturday at /);
  });
});
