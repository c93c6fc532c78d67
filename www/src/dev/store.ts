// What the in-memory engine remembers: one identity, its contacts and messages. Every change is an event.

import type { Contact, Conversation, ErrorCode, Me, Message, MessageState, NoticeKind, ZenTalkError, ZenTalkEvent } from "zentalk-client";

export class FakeError extends Error implements ZenTalkError {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** The store under the engine. Lists are replaced, never changed. */
export class FakeStore {
  protected self: Me | null = null;
  protected readonly book = new Map<string, Contact>();
  protected readonly log = new Map<string, Message[]>();
  protected readonly unread = new Map<string, number>();
  protected readonly listeners = new Set<(event: ZenTalkEvent) => void>();
  protected closed = false;

  protected append(
    address: string,
    direction: "in" | "out",
    text: string,
    sentAt: number,
    state?: MessageState,
    id = this.newId(),
  ): Message {
    return this.put({ id, address, direction, text, sentAt, orderedAt: sentAt, ...(state ? { state } : {}) });
  }

  protected notice(address: string, notice: NoticeKind, at: number, since?: number): void {
    const when = { sentAt: at, orderedAt: at, ...(since === undefined ? {} : { since }) };
    this.put({ id: this.newId(), address, direction: "notice", notice, text: "", ...when });
  }

  protected put(message: Message): Message {
    const { address, direction } = message;
    const list = this.log.get(address) ?? [];
    const last = list.at(-1);
    if (last && message.orderedAt <= last.orderedAt) message.orderedAt = last.orderedAt + 1;
    this.log.set(address, [...list, message]);
    if (direction === "in") this.unread.set(address, (this.unread.get(address) ?? 0) + 1);
    this.emit({ kind: "message", message });
    this.emitConversation(address);
    return message;
  }

  protected change(id: string, state: MessageState): Message {
    const message = this.find(id);
    if (!message) throw new FakeError("unknownMessage", "This message is not known here.");
    const changed = { ...message, state };
    const list = this.log.get(message.address) ?? [];
    this.log.set(message.address, list.map((m) => (m.id === id ? changed : m)));
    this.emit({ kind: "message", message: changed });
    this.emitConversation(message.address);
    return changed;
  }

  protected find(id: string): Message | undefined {
    for (const list of this.log.values()) {
      const found = list.find((m) => m.id === id);
      if (found) return found;
    }
    return undefined;
  }

  protected keep(contact: Contact): void {
    this.book.set(contact.address, contact);
    this.emit({ kind: "contact", contact });
    this.emitConversation(contact.address);
  }

  protected conversation(address: string): Conversation {
    const lastMessage = this.log.get(address)?.findLast((m) => m.direction !== "notice");
    const contact = this.requireContact(address);
    return { contact, unread: this.unread.get(address) ?? 0, ...(lastMessage ? { lastMessage } : {}) };
  }

  protected emitConversation(address: string): void {
    if (this.book.has(address)) this.emit({ kind: "conversation", conversation: this.conversation(address) });
  }

  protected requireSelf(): Me {
    if (this.closed) throw new FakeError("closed", "This engine was closed.");
    if (!this.self) throw new FakeError("noIdentity", "There is no identity in this browser.");
    return this.self;
  }

  protected requireContact(address: string): Contact {
    this.requireSelf();
    const contact = this.book.get(address);
    if (!contact) throw new FakeError("unknownContact", "This contact is not known here.");
    return contact;
  }

  protected newId(): string {
    return crypto.randomUUID().replaceAll("-", "");
  }

  protected emit(event: ZenTalkEvent): void {
    for (const listener of this.listeners) listener(structuredClone(event));
  }
}
