// Names and codes as people see them. Both come from strangers: they are shown as text, isolated,
// and without the control characters that could make them look like something else.

// Bidirectional controls, zero-width characters, line breaks and other controls.
const INVISIBLE = /[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu;

/** At most this many characters of a name are shown. */
const NAME_LIMIT = 80;

export function cleanName(name: string): string {
  const clean = name.replace(INVISIBLE, " ").replace(/\s+/g, " ").trim();
  return [...clean].slice(0, NAME_LIMIT).join("");
}

/** The first letter, for a sigil; empty when the name has none. */
export function initial(name: string): string {
  const [letter] = cleanName(name).match(/[\p{L}\p{N}]/u) ?? [];
  return letter?.toLocaleUpperCase() ?? "";
}

const CODE = /zen1[02-9ac-hj-np-z]+/i;

/** The contact code inside a link or a pasted text, if there is one. Not checked for validity. */
export function findCode(text: string): string | null {
  return CODE.exec(text)?.[0].toLowerCase() ?? null;
}

/** `zen1 qx8f 3k2m … w09d 77ha`: enough to compare aloud. */
export function shortCode(code: string): string {
  const body = code.slice(4);
  if (body.length <= 16) return code;
  const groups = [body.slice(0, 4), body.slice(4, 8), "…", body.slice(-8, -4), body.slice(-4)];
  return `zen1 ${groups.join(" ")}`;
}

/** `3fa9 02cc … 81d0 7e5b` of 64 hex digits. */
export function shortAddress(address: string): string {
  return `${address.slice(0, 4)} ${address.slice(4, 8)} … ${address.slice(-8, -4)} ${address.slice(-4)}`;
}

/** The code of the link that opened the app (`#add/zen1…`), or null. */
export function inviteFromFragment(fragment: string): string | null {
  if (!/^#add\//i.test(fragment)) return null;
  let rest = fragment.slice("#add/".length);
  try {
    rest = decodeURIComponent(rest);
  } catch {
    // Shown as it stands; the engine says what is wrong with it.
  }
  return rest === "" ? null : rest;
}
