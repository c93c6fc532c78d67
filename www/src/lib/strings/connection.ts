// Of the connection and its way.

import type { Connection, Network, Onion } from "zentalk-client";
import { onionSuite } from "./words.ts";

export const connection = {
  short(connection: Connection | null, secondsLeft: number | null): string {
    if (!connection) return "Starting";
    switch (connection.kind) {
      case "offline":
        return "Offline";
      case "connecting":
        if (secondsLeft !== null && secondsLeft > 0) return `Not connected, next try in ${secondsLeft} s`;
        return connection.attempt > 1 ? `Connecting, try ${connection.attempt}` : "Connecting";
      case "online":
        return connection.receiving ? "Online" : "Online, opening mailbox";
    }
  },
  long(connection: Connection | null): string {
    if (!connection) return "The connection is being opened.";
    switch (connection.kind) {
      case "offline":
        return "This device has no network. ZenTalk reconnects by itself.";
      case "connecting":
        return "No relay is reached at the moment. ZenTalk keeps trying, less often each time.";
      case "online":
        return connection.receiving
          ? "You can send, and new messages arrive at once."
          : "You can send. Your mailbox is being opened.";
    }
  },
  open: (state: string) => `Connection: ${state}. Show details`,
  title: "Connection",
  path: "The way of your messages",
  you: "You",
  relay: "Relay",
  mailbox: "Their mailbox",
  pathText: (hops: number) =>
    hops <= 1
      ? "Messages pass one relay on their way."
      : `Messages pass ${hops} relays; each knows only the one before and the one after it.`,
  relays: "Relays known",
  hops: "Relays on the way",
  onion: "Onion encryption",
  onionInUse: (onion: Onion) => (onion.kind === "inUse" ? onionSuite[onion.suite] : "None that you allow"),
  /** What is wrong with it, if anything is. */
  onionProblem: (onion: Onion) => {
    switch (onion.kind) {
      case "inUse":
        return onion.weaker
          ? {
              title: "Weaker onion encryption than you prefer",
              text: "Too few relays offer the stronger one now. Messages stay as unreadable as ever. But whoever records what passes between the relays may find it easier to work out later who talks to whom.",
            }
          : null;
      case "belowFloor":
        return {
          title: "Nothing is sent or received",
          text: `Too few relays offer ${onionSuite[onion.floor]}${onion.floor === "xwing" ? "" : " or something stronger"}, and you have allowed nothing weaker. What you write is kept, and goes out as soon as enough relays do.`,
        };
    }
  },
  choose: "Choose the encryption",
  receiving: "Mailbox",
  receivingYes: "Open: mail arrives at once",
  receivingNo: "Not open yet",
  since: "Connected since",
  tab: "This tab",
  tabLeads: "runs the engine",
  tabFollows: "follows another tab",
  warning: {
    oneRelay: {
      title: "There is only one relay",
      text: "It sees your network address and also whose mailbox you use. It cannot read any message. Who talks to whom is not hidden from it.",
    },
    fewRelays: {
      title: "Few relays",
      text: "Messages stay unreadable to all of them. But with so few, one relay may have several roles, and those who run them could work out together who talks to whom.",
    },
  } satisfies Record<NonNullable<Network["privacyWarning"]>, { title: string; text: string }>,
};
