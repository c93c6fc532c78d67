// Pure list operations of the model: one order for messages, one for conversations.

import type { Conversation, Cursor, Message } from "zentalk-client";

export function compareMessages(a: Cursor, b: Cursor): number {
  return a.orderedAt - b.orderedAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** `list` (ascending) with `message` in its place; one of the same id is replaced. */
export function withMessage(list: readonly Message[], message: Message): Message[] {
  const rest = list.filter((m) => m.id !== message.id);
  let at = rest.length;
  while (at > 0 && compareMessages(rest[at - 1] as Message, message) > 0) at -= 1;
  rest.splice(at, 0, message);
  return rest;
}

/** A page read from the store, under what events brought meanwhile: the events are newer. */
export function withPage(list: readonly Message[], page: readonly Message[]): Message[] {
  const known = new Set(list.map((m) => m.id));
  return [...page.filter((m) => !known.has(m.id)), ...list].sort(compareMessages);
}

export function lastActivity(conversation: Conversation): number {
  return conversation.lastMessage?.orderedAt ?? conversation.contact.addedAt;
}

/** Newest first, with `conversation` in its place. */
export function withConversation(list: readonly Conversation[], conversation: Conversation): Conversation[] {
  const rest = list.filter((c) => c.contact.address !== conversation.contact.address);
  return [...rest, conversation].sort((a, b) => lastActivity(b) - lastActivity(a));
}
