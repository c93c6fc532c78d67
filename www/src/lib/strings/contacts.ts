// Of one’s own link and of contacts.

import type { Verification } from "zentalk-client";

export const share = {
  title: "Share your link",
  first: "Send it to somebody. When they open it, you can talk.",
  more: "Whoever opens it can write to you.",
  link: "Your link",
  copy: "Copy link",
  copied: "Copied",
  copyFailed: "Select the link and copy it by hand.",
  send: "Share…",
  shareText: (name: string) => `Write to ${name} on ZenTalk, privately:`,
  qr: "QR code of your link",
  qrHint: "Any phone camera opens it.",
  have: "I have somebody’s link",
};

export const card = {
  open: "My link and QR code",
  title: "My card",
  short: "Your code, shortened",
  shortHint: "Whoever gets your link sees these characters first. You can compare them aloud.",
  address: "Address",
};

export const add = {
  open: "Add a contact",
  title: "Add a contact",
  code: "Link or code",
  codeHint: "Paste what they sent you. Text around it does not matter.",
  codePlaceholder: "https://…/#add/zen1…",
  codeMissing: "Paste a link or code first.",
  name: "What do you call them?",
  nameHint: "Only you see this. Empty: the name they give themselves.",
  submit: "Add and write",
  adding: "Adding…",
  fromLink: "This link is from",
  fromLinkHint: "Compare these characters with theirs if you are not sure whose link it is.",
};

export const request = {
  title: (name: string) => `${name} wrote to you first`,
  hint: (name: string) =>
    `“${name}” is what they call themselves; nobody has checked it. Answer only if you know who this is.`,
  hintUnnamed: "They did not give a name.",
  name: "Give them a name",
};

export const contact = {
  title: "Contact",
  verification: {
    unverified: "Not compared yet",
    verified: "Verified",
    changed: "Their devices changed since you compared",
  } satisfies Record<Verification, string>,
  verify: {
    unverified: "Verify",
    verified: "Show",
    changed: "Compare again",
  } satisfies Record<Verification, string>,
  name: "What do you call them?",
  save: "Save",
  added: (date: string) => `Added on ${date}`,
  incoming: (date: string) => `Wrote to you first on ${date}`,
  code: "Their code, shortened",
  codeHint: "Compare it with “Your code, shortened” on their card to be sure who this is.",
  address: "Address",
};
