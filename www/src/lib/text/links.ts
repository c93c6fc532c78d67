// Splits a message into text and web addresses. Only http and https become links, and nothing is
// ever loaded: a link is an anchor that a person may click.

export interface TextPart {
  text: string;
  /** Present for links. */
  href?: string;
}

const CANDIDATE = /\bhttps?:\/\/[^\s<>"\u0000-\u0020\u00a0\u2028\u2029\u202a-\u202e\u2066-\u2069]+/giu;

// Punctuation that more likely ends the sentence than the address.
const TRAILING = /[.,;:!?'’”»…]+$/u;
const BRACKETS: Record<string, string> = { ")": "(", "]": "[", "}": "{" };

function trimmed(candidate: string): string {
  let text = candidate;
  for (;;) {
    const shorter = text.replace(TRAILING, "");
    const last = shorter.at(-1) ?? "";
    const open = BRACKETS[last];
    const unbalanced = open && shorter.split(last).length > shorter.split(open).length;
    const next = unbalanced ? shorter.slice(0, -1) : shorter;
    if (next === text) return text;
    text = next;
  }
}

function parsed(text: string): string | null {
  try {
    const url = new URL(text);
    const web = url.protocol === "http:" || url.protocol === "https:";
    // user@host addresses exist to mislead.
    return web && url.hostname !== "" && url.username === "" ? url.href : null;
  } catch {
    return null;
  }
}

export function splitLinks(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const shown = trimmed(match[0]);
    const href = parsed(shown);
    if (!href) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: shown, href });
    end = match.index + shown.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}
