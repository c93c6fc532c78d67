// Of the settings and what is in them.

export const storage = {
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
};

export const settings = {
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
};

export const limits = [
  "The first relay, your guard, sees your network address and that you use ZenTalk. It sees neither whom you write to nor what.",
  "Whoever watches both ends of the network at once can guess from timing who talks to whom. “Hiding when you write”, in the settings, makes that harder.",
  "Whoever has your link can write to you and can tell that the mailbox exists.",
  "This page comes from a server. A dishonest one could send you a changed app: use a server that you trust, or run your own.",
  "Whoever can unlock this device or this browser profile can read what is in it.",
  "There is no backup yet: if the browser’s data is deleted, this identity is gone.",
];

export const erase = {
  title: "Erase this identity?",
  text: "Your keys, contacts and messages in this browser are deleted for good. Nobody can reach you through your link any more, and nobody is told.",
  word: "erase",
  confirm: (word: string) => `Type “${word}” to confirm`,
  submit: "Erase everything",
  cancel: "Keep it",
  erasing: "Erasing…",
};
