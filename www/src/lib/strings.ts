// Every word that the app shows, a file for each part of it: a translation replaces the folder `strings`.
// Functions build sentences, so that word order is free.

import { connection } from "./strings/connection.ts";
import { share, card, add, request, contact } from "./strings/contacts.ts";
import { inbox, thread, state } from "./strings/conversations.ts";
import { announce, dialog, errors } from "./strings/everywhere.ts";
import { route, encryption, mixing } from "./strings/route.ts";
import { storage, settings, limits, erase } from "./strings/settings.ts";
import { app, problem, welcome, creating } from "./strings/start.ts";
import { verify, scanner, keys } from "./strings/verification.ts";

export { LANGUAGE } from "./strings/words.ts";

export const strings = {
  app,
  problem,
  welcome,
  creating,
  share,
  card,
  add,
  inbox,
  thread,
  request,
  verify,
  scanner,
  keys,
  contact,
  state,
  connection,
  route,
  encryption,
  mixing,
  storage,
  settings,
  limits,
  erase,
  announce,
  dialog,
  errors,
};
