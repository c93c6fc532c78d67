// What belongs to no screen: announcements, dialogs, errors.

import type { ErrorCode } from "zentalk-client";

export const announce = {
  message: (name: string, text: string) => `${name}: ${text}`,
  elsewhere: (name: string) => `New message from ${name}`,
  connection: (label: string) => `Connection: ${label}`,
  added: (name: string) => `${name} was added`,
  copied: "Copied",
  marked: (name: string) => `${name} is marked as verified`,
  unmarked: (name: string) => `${name} is not marked as verified any more`,
  accepted: (name: string) => `The devices of ${name} are accepted`,
};

export const dialog = { close: "Close" };

export const errors = {
  badCode: "This is not a ZenTalk link or code.",
  ownCode: "This is your own link.",
  unknownContact: "This contact is not known here.",
  unknownMessage: "This message is not known here.",
  tooLarge: "The message is too long.",
  emptyText: "There is nothing to send.",
  noIdentity: "There is no identity in this browser.",
  identityExists: "There is already an identity in this browser.",
  storage: "The browser could not save this.",
  unsupportedBrowser: "This browser cannot run ZenTalk.",
  closed: "ZenTalk was closed in this tab. Reload to go on.",
  internal: "Something went wrong inside ZenTalk.",
  keysUnknown: "Their keys have not been found yet.",
} satisfies Record<ErrorCode, string>;
