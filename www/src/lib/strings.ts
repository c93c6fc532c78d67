// Every word that the app shows, in one place: a translation replaces this file.
// Functions build sentences, so that word order is free.

import type {
  Connection,
  Cover,
  CreatingStep,
  ErrorCode,
  FailReason,
  MessageState,
  Mixing,
  Network,
  NoticeKind,
  Onion,
  OnionSuite,
  SafetyComparison,
  Verification,
  WaitReason,
} from "zentalk-client";
import { isHeldBack } from "./model/waiting.ts";
import type { CameraProblem } from "./ui/scanner.ts";

/** Of the words below; dates and numbers are written accordingly. */
export const LANGUAGE = "en-GB";

const count = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

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

const onionSuite: Record<OnionSuite, string> = {
  x25519: "X25519",
  xwing: "X-Wing (post-quantum)",
  rsa4096: "RSA-4096",
};

const mixing: Record<Mixing, string> = { off: "Off", light: "Light", strong: "Strong" };

export const strings = {
  app: {
    name: "ZenTalk",
    title: (unread: number, place?: string) =>
      `${unread > 0 ? `(${unread}) ` : ""}${place ? `${place} · ` : ""}ZenTalk`,
    skip: "Skip to the conversation",
    opening: "Opening ZenTalk",
    openingLong: "Still opening. The first start loads the encryption engine.",
    reload: "Reload",
  },

  problem: {
    title: "ZenTalk cannot start here",
    unsupportedTitle: "This browser cannot run ZenTalk",
    unsupportedHint:
      "It needs WebAssembly, web workers and IndexedDB. A current Firefox, Chrome, Edge or Safari has them; a private window may not.",
    technical: "What was reported",
  },

  welcome: {
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
  },

  creating: {
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
  },

  share: {
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
  },

  card: {
    open: "My link and QR code",
    title: "My card",
    short: "Your code, shortened",
    shortHint: "Whoever gets your link sees these characters first. You can compare them aloud.",
    address: "Address",
  },

  add: {
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
  },

  inbox: {
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
  },

  thread: {
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
  },

  request: {
    title: (name: string) => `${name} wrote to you first`,
    hint: (name: string) =>
      `“${name}” is what they call themselves; nobody has checked it. Answer only if you know who this is.`,
    hintUnnamed: "They did not give a name.",
    name: "Give them a name",
  },

  verify: {
    /** Of the button that opens the sheet. */
    open: {
      unverified: "Verify",
      verified: "Safety number",
      changed: "Compare again",
    } satisfies Record<Verification, string>,
    /** Of the mark beside a name; who is unverified has none. */
    mark: { verified: "Verified", changed: "Devices changed" },
    title: "Safety number",
    about: (name: string) =>
      `You and ${name} should both see these 60 digits; then nobody can read along in between. Compare them on a call, or scan each other’s code when you meet.`,
    qr: (name: string) => `QR code of your safety number with ${name}`,
    digits: "60 digits in 12 groups",
    loading: "Working out the safety number",
    failed: "The safety number could not be worked out.",
    unknown: (name: string) =>
      `There is no number yet: ZenTalk has not found ${name}’s keys so far. They may not have been online since you added them.`,
    copy: "Copy",
    scan: "Scan theirs",
    stop: "Stop scanning",
    paste: "Paste theirs",
    pasted: "The number that they sent you",
    pastedHint: "Get it another way, not through ZenTalk: whoever could read along here could also change it here.",
    pastedMissing: "Paste their number first.",
    compare: "Compare",
    confirm: "They match",
    confirmMatched: "Mark as verified",
    verified: (name: string) => `You have verified ${name}`,
    verifiedHint: "If their devices change, ZenTalk tells you and sends nothing until you have decided.",
    undo: "Not verified any more",
    changed: (name: string) => `${name}’s devices changed`,
    changedHint: (name: string) =>
      `The digits stay the same: they belong to the person, not to a device. So ask ${name}, on a call or when you meet, whether the new device is theirs; then compare.`,
    outcome: {
      match: {
        title: "They match",
        text: (name: string) => `Nobody stands between you, if what you compared with really came from ${name}.`,
      },
      different: {
        title: "They do not match",
        text: (name: string) =>
          `Send nothing to ${name} that must stay private. Make sure that it is the safety number with you which they show, and compare again. If it still differs, somebody may be reading along: meet, and start anew with a link that you hand over there.`,
      },
      notASafetyNumber: {
        title: "This is no safety number",
        text: (name: string) =>
          `${name} finds theirs in the conversation with you, under “Verify”. It has 60 digits; a contact link is something else.`,
      },
      otherVersion: {
        title: "Made by another version of ZenTalk",
        text: () => "It cannot be compared with this one. Reload ZenTalk on both sides, then try again.",
      },
    } satisfies Record<SafetyComparison, { title: string; text: (name: string) => string }>,
  },

  scanner: {
    picture: "What the camera sees",
    starting: "Opening the camera",
    hint: "Hold their code into the picture.",
    problem: {
      denied: "The browser does not let ZenTalk use the camera. Allow it in the settings of this page, or compare the digits by eye.",
      missing: "There is no camera here. Compare the digits by eye.",
      unavailable: "The camera does not answer; another app may be using it. Try again, or compare the digits by eye.",
    } satisfies Record<CameraProblem, string>,
  },

  /** Somebody who was verified has other devices now. */
  keys: {
    title: (name: string) => `${name}’s devices changed`,
    text: (name: string) =>
      `You had verified ${name}. Since then, one of their devices is new or has new keys. Ask them on a call or in person whether that was them: whoever stole their keys could do it, too. Nothing goes out until you decide.`,
    compare: "Compare again",
    accept: (waiting: boolean) => (waiting ? "Accept and send" : "Accept"),
  },

  contact: {
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
  },

  state: {
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
  },

  connection: {
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
  },

  /** Of every choice of how packets travel. */
  route: {
    changing: "Reconnecting with it…",
    notConnected: "It is used as soon as you are connected.",
    failed: (reason: string) => `The change did not take effect: ${reason} ZenTalk goes by it when it starts the next time.`,
    notKept: "This browser does not keep the choice: it holds until you reload.",
  },

  encryption: {
    title: "Encryption of the route",
    about:
      "What you write stays unreadable either way, also for quantum computers. This is about who talks to whom: how your packets are wrapped for the relays that pass them on.",
    names: { x25519: "Usual: X25519", xwing: "Post-quantum: X-Wing" } satisfies Partial<Record<OnionSuite, string>>,
    hints: {
      x25519:
        "Small packets. But whoever records them now, and has a quantum computer one day, could work out then who talked to whom.",
      xwing:
        "Keeps that from quantum computers, too. Packets are twice as large: 18\u00a0kB for a short message instead of 9\u00a0kB, on each part of the way. Relays that lack it are left out while enough others have it.",
    } satisfies Partial<Record<OnionSuite, string>>,
    only: "Send nothing rather than use something weaker",
    onlyHint: "While too few relays have X-Wing, what you write waits, and nothing reaches you.",
    inUse: (suite: OnionSuite) => `In use now: ${onionSuite[suite]}.`,
    details: "Show the connection",
  },

  mixing: {
    title: "Hiding when you write",
    about: [
      "Nobody on the way can read what you write. But somebody who watches many relays, or the wires between them, could follow a message by the moments at which it passes, and find out who writes to whom.",
      "Against that, relays can hold each of your packets back for a random time, and ZenTalk can send packets to yourself, which look like any other. While the browser has put this tab to sleep, it sends none.",
    ],
    names: mixing,
    /** `large`: packets are encrypted with X-Wing. */
    hint(mode: Mixing, large: boolean): string {
      switch (mode) {
        case "off":
          return "Messages travel as fast as they can, and nothing extra is sent. Whoever sees both ends can compare times.";
        case "light":
          return `A message takes about 0.4\u00a0s longer. A packet to yourself every 30\u00a0s on average: about ${large ? 6 : 3}\u00a0MB an hour.`;
        case "strong":
          return `A message takes about 4\u00a0s longer. A packet to yourself every 5\u00a0s on average: about ${large ? 34 : 17}\u00a0MB an hour.`;
      }
    },
    inUse: (mode: Mixing) => `In use now: ${mixing[mode]}.`,
    /** What became of the packets; those under way are neither back nor lost. */
    cover({ sent, returned, lost }: Cover): string {
      const packets = `${count(sent, "packet", "packets")} sent to yourself`;
      const one = sent === 1;
      if (sent === 0) return "No packet sent to yourself yet.";
      if (returned === sent) return one ? `${packets}, it came back.` : `${packets}, all came back.`;
      if (lost === sent) return one ? `${packets}, it did not come back.` : `${packets}, none came back.`;
      if (lost > 0) return `${packets}, ${lost} did not come back.`;
      if (returned > 0) return `${packets}, ${returned} came back so far.`;
      return one ? `${packets}, it is not back yet.` : `${packets}, none is back yet.`;
    },
    lost: "A relay or your connection loses packets. For a while, ZenTalk takes other relays for the way where it can.",
    fewRelays: "With the few relays that there are now, this hides little.",
  },

  storage: {
    title: "Storage",
    persisted: "This browser has promised to keep your keys and messages.",
    notPersisted: "The browser may delete your keys and messages when space gets short.",
    ask: "Ask to keep them",
    refused: "The browser said no. It may agree after you use ZenTalk more, or bookmark or install it.",
    usage: (used: string, quota: string) => `${used} of ${quota} used`,
    unknown: "The browser does not tell.",
    failed: {
      quota: "The browser’s storage is full. Nothing new can be saved until there is space.",
      unavailable: "The browser does not let ZenTalk save. Close other tabs of it, then reload.",
      corrupt: "What was saved could not be read. Reload; if that does not help, erase this identity in the settings.",
    },
  },

  settings: {
    open: "Settings",
    title: "Settings",
    profile: "Profile",
    name: "Your name",
    save: "Save",
    saved: "Saved",
    appearance: "Appearance",
    theme: { system: "As the system", light: "Light", dark: "Dark" },
    connection: "Connection",
    connectionOpen: "Show details",
    erase: "Erase",
    eraseHint: "Deletes every key and message in this browser. Nobody can bring them back.",
    eraseOpen: "Erase this identity…",
    about: "About",
    version: (version: string) => `Version ${version}`,
    licence: "Free software under the GNU Affero General Public Licence, version 3 or later.",
    licences: "Licences of what it contains",
    limitsTitle: "What is not private",
  },

  limits: [
    "The first relay, your guard, sees your network address and that you use ZenTalk. It sees neither whom you write to nor what.",
    "Whoever watches both ends of the network at once can guess from timing who talks to whom. “Hiding when you write”, in the settings, makes that harder.",
    "Whoever has your link can write to you and can tell that the mailbox exists.",
    "This page comes from a server. A dishonest one could send you a changed app: use a server that you trust, or run your own.",
    "Whoever can unlock this device or this browser profile can read what is in it.",
    "There is no backup yet: if the browser’s data is deleted, this identity is gone.",
  ],

  erase: {
    title: "Erase this identity?",
    text: "Your keys, contacts and messages in this browser are deleted for good. Nobody can reach you through your link any more, and nobody is told.",
    word: "erase",
    confirm: (word: string) => `Type “${word}” to confirm`,
    submit: "Erase everything",
    cancel: "Keep it",
    erasing: "Erasing…",
  },

  announce: {
    message: (name: string, text: string) => `${name}: ${text}`,
    elsewhere: (name: string) => `New message from ${name}`,
    connection: (label: string) => `Connection: ${label}`,
    added: (name: string) => `${name} was added`,
    copied: "Copied",
    marked: (name: string) => `${name} is marked as verified`,
    unmarked: (name: string) => `${name} is not marked as verified any more`,
    accepted: (name: string) => `The devices of ${name} are accepted`,
  },

  dialog: { close: "Close" },

  errors: {
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
  } satisfies Record<ErrorCode, string>,
};
