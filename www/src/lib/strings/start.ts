// Before there is an identity, and where there cannot be one.

import type { CreatingStep } from "zentalk-client";

export const app = {
  name: "ZenTalk",
  title: (unread: number, place?: string) =>
    `${unread > 0 ? `(${unread}) ` : ""}${place ? `${place} · ` : ""}ZenTalk`,
  skip: "Skip to the conversation",
  opening: "Opening ZenTalk",
  openingLong: "Still opening. The first start loads the encryption engine.",
  reload: "Reload",
};

export const problem = {
  title: "ZenTalk cannot start here",
  unsupportedTitle: "This browser cannot run ZenTalk",
  unsupportedHint:
    "It needs WebAssembly, web workers and IndexedDB. A current Firefox, Chrome, Edge or Safari has them; a private window may not.",
  technical: "What was reported",
};

export const welcome = {
  headline: "Talk privately, from this tab.",
  sentence:
    "ZenTalk is a messenger whose keys are made in your browser and never leave it. No phone number, no account, nothing to install.",
  name: "Your name",
  nameHint: "The people you write to will see it. You can change it.",
  namePlaceholder: "Ada",
  nameMissing: "Enter a name first. Any name will do.",
  start: "Start talking",
  startInvited: "Start and write to them",
  erased: "The identity in this browser was erased.",
  invitedTitle: "Somebody sent you their link",
  invitedHint: "As soon as your keys are made, your conversation with them opens.",
  limits: "What is not private?",
};

export const creating = {
  title: "Making your keys",
  hint: "This happens once, in this browser. It takes a few seconds.",
  steps: {
    accountKey: "Account key",
    deviceKeys: "Keys for this browser",
    certificates: "Certificates",
    saving: "Saved in this browser",
    publishing: "Mailbox opened",
  } satisfies Record<CreatingStep, string>,
  progress: (done: number, all: number, step: string) => `Step ${done} of ${all}: ${step}`,
  done: "done",
  failed: "Your keys could not be made.",
};
