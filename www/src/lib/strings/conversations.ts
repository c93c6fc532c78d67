// Of the list of conversations, of one of them, and of what became of a message.

import type { FailReason, MessageState, NoticeKind, WaitReason } from "zentalk-client";
import { isHeldBack } from "../model/waiting.ts";
import { LANGUAGE, count } from "./words.ts";

const waitReason: Record<WaitReason, string> = {
  offline: "you are offline",
  onionBelowFloor: "too few relays offer the encryption that you insist on",
  lookingUpContact: "looking up where they receive mail",
  contactNotFound:
    "nobody is known under this link yet: they may not have been online so far, or ask them for it again",
  waitingForRelays: "waiting for relays to answer",
  preparing: "preparing the first message, which costs this device a few seconds of work",
  retrying: "trying another way through",
  keysChanged: "their devices changed, and you have not accepted that yet",
};

const failReason: Record<FailReason, string> = {
  contactNotFound: "Nobody could be found under this link. Ask them for a new one.",
  expired: "It could not be handed over for seven days.",
  contactKeysInvalid: "The keys found for this person are not valid, so nothing was sent.",
  tooLarge: "It is too long for one message.",
};

export const inbox = {
  label: "Conversations",
  empty: "No conversations yet",
  emptyHint: "Send somebody your link, or open theirs.",
  loadFailed: "Your conversations could not be read.",
  noMessages: "No messages yet",
  you: "You:",
  newPerson: "New",
  newPersonHint: "This person wrote to you first",
  unread: (n: number) => count(n, "unread message", "unread messages"),
  unnamed: "No name yet",
  privacy: "End-to-end encrypted",
};

export const thread = {
  notice: (kind: NoticeKind | undefined, name: string, since = "") => {
    switch (kind) {
      case "keysChanged":
        return `${name}’s devices changed: one is new, or has new keys. If you did not expect it, ask whether that was them.`;
      case "devicesUnconfirmed":
        return `${name}’s devices were last confirmed on ${since}. They may be away. It is also possible that a device of theirs was lost since, and that this is being hidden from you.`;
      default:
        return "Encryption with this person was set up anew.";
    }
  },
  label: (name: string) => `Conversation with ${name}`,
  messages: (name: string) => `Messages with ${name}`,
  back: "Back to conversations",
  details: "Show details",
  firstTitle: (name: string) => `This is the beginning with ${name}`,
  first: (fewRelays: boolean) =>
    `Messages are end-to-end encrypted: only the two of you can read them. ${
      fewRelays
        ? "With the few relays that there are now, who writes to whom is not fully hidden from them."
        : "No relay that carries them learns who writes to whom."
    }`,
  loading: "Opening the conversation",
  loadFailed: "This conversation could not be read.",
  again: "Try again",
  older: "Earlier messages",
  olderLoading: "Loading earlier messages",
  olderFailed: "Earlier messages could not be read.",
  unreadFrom: "New",
  newPill: (n: number) => count(n, "new message", "new messages"),
  toNewest: "Jump to the newest message",
  said: (name: string) => `${name}:`,
  youSaid: "You:",
  composer: (name: string) => `Message to ${name}`,
  placeholder: (name: string) => `Write to ${name}`,
  send: "Send",
  tooLong: (bytes: number) => `${bytes.toLocaleString(LANGUAGE)} bytes too long`,
  retry: "Retry",
  discard: "Discard",
  notSaved: "Not sent.",
  waitingOffline: "You are offline. What you write is kept here and goes out when you are back.",
  waitingConnection: "Not connected yet. What you write is kept here until it can go out.",
  today: "Today",
  yesterday: "Yesterday",
};

export const state = {
  short(state: MessageState): string {
    switch (state.kind) {
      case "sending":
        if (isHeldBack(state)) return "Held back";
        return state.reason === "offline" ? "Waiting" : "Sending";
      case "sent":
        return "Sent";
      case "delivered":
        return "Delivered";
      case "read":
        return "Read";
      case "failed":
        return "Not sent";
    }
  },
  long(state: MessageState, at: (ms: number) => string): string {
    switch (state.kind) {
      case "sending":
        return state.reason ? `Not out yet: ${waitReason[state.reason]}.` : "On its way to the relays.";
      case "sent":
        return `Sent: held by ${state.held} of ${count(state.of, "relay", "relays")} until they come online.`;
      case "delivered":
        return `Delivered to their device ${at(state.at)}.`;
      case "read":
        return `Read ${at(state.at)}.`;
      case "failed":
        return `Not sent. ${failReason[state.reason]}`;
    }
  },
};
