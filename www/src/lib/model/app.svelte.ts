// The whole state of the app over one engine. Components read it and call its methods; nothing else
// talks to `zentalk-client`.

import { createContext } from "svelte";
import type {
  Connection,
  Contact,
  Conversation,
  Cover,
  CreatingStep,
  Me,
  Message,
  Network,
  RouteOptions,
  StorageReport,
  ZenTalk,
  ZenTalkEvent,
} from "zentalk-client";
import { strings } from "../strings.ts";
import { cleanName, findCode, inviteFromFragment, shortCode } from "../text/names.ts";
import { fullDate, sentenceTime } from "../text/time.ts";
import { Activity } from "./activity.svelte.ts";
import { Announcer } from "./announcer.svelte.ts";
import { codeOf, sentenceFor } from "./errors.ts";
import { withConversation } from "./order.ts";
import { Route } from "./route.svelte.ts";
import { Router } from "./router.svelte.ts";
import { SafetyCheck } from "./safety-check.svelte.ts";
import { ThemeChoice } from "./theme.svelte.ts";
import { Thread } from "./thread.svelte.ts";

export type Phase =
  | { kind: "opening" }
  /** `erasable`: the engine is there, but what is stored cannot be read. */
  | { kind: "problem"; unsupported: boolean; erasable: boolean; message: string }
  | { kind: "welcome"; erased: boolean; problem: string | null }
  | { kind: "creating"; step: CreatingStep }
  | { kind: "ready" };

export const CREATING_STEPS: readonly CreatingStep[] = [
  "accountKey",
  "deviceKeys",
  "certificates",
  "saving",
  "publishing",
];

export type StorageProblem = "quota" | "unavailable" | "corrupt";

export class App {
  phase = $state.raw<Phase>({ kind: "opening" });
  me = $state.raw<Me | null>(null);
  conversations = $state.raw<readonly Conversation[]>([]);
  inbox = $state.raw<"loading" | "ready" | "failed">("loading");
  thread = $state.raw<Thread | null>(null);
  /** The conversation that was open last. */
  lastShown = $state.raw<string | null>(null);
  connection = $state.raw<Connection | null>(null);
  network = $state.raw<Network | null>(null);
  storageProblem = $state.raw<StorageProblem | null>(null);
  leading = $state.raw<boolean | null>(null);
  /** What the link that opened the app carries after `#add/`, until it is dealt with. */
  invite = $state.raw<string | null>(null);

  readonly router = new Router();
  readonly theme = new ThemeChoice();
  readonly route = new Route((options) => this.#engine.setRoute(options));
  readonly activity = new Activity();
  readonly announcer = new Announcer();

  #client: ZenTalk | null = null;
  readonly #threads = new Map<string, Thread>();
  readonly #markingRead = new Set<string>();

  readonly unread = $derived(this.conversations.reduce((sum, c) => sum + c.unread, 0));

  /** Opens the engine. Never rejects: what goes wrong becomes a phase. */
  async open(start: (route: RouteOptions) => Promise<ZenTalk>): Promise<void> {
    this.phase = { kind: "opening" };
    this.invite = inviteFromFragment(location.hash);
    try {
      const client = await start(this.route.begin());
      this.#client = client;
      client.subscribe((event) => this.#on(event));
      void this.route.opened();
      const state = await client.state();
      if (state.kind === "empty") this.phase = { kind: "welcome", erased: false, problem: null };
      else await this.#enter(state.me);
    } catch (error) {
      this.phase = {
        kind: "problem",
        unsupported: codeOf(error) === "unsupportedBrowser",
        erasable: this.#client !== null && codeOf(error) === "storage",
        message: sentenceFor(error),
      };
    }
  }

  async create(name: string): Promise<void> {
    this.phase = { kind: "creating", step: "accountKey" };
    try {
      await this.#enter(await this.#engine.create({ name }));
    } catch (error) {
      this.phase = { kind: "welcome", erased: false, problem: sentenceFor(error) };
    }
  }

  /** Another contact link was opened in this tab. */
  fragmentChanged(): void {
    const invite = inviteFromFragment(location.hash);
    if (!invite) return;
    this.invite = invite;
    if (this.phase.kind === "ready") void this.#takeInvite(false);
  }

  /** The invitation was accepted or dismissed: the address bar forgets it. */
  dropInvite(): void {
    this.invite = null;
    if (location.hash !== "") history.replaceState(history.state, "", location.pathname + location.search);
  }

  conversation(address: string): Conversation | undefined {
    return this.conversations.find((c) => c.contact.address === address);
  }

  /** What a person is called here; never empty. */
  nameOf(contact: Contact): string {
    return cleanName(contact.name) || (contact.code ? shortCode(contact.code) : strings.inbox.unnamed);
  }

  /** They wrote first and were not answered yet. */
  isRequest(conversation: Conversation): boolean {
    if (conversation.contact.origin !== "incoming") return false;
    if (conversation.lastMessage?.direction === "out") return false;
    return !this.#threads.get(conversation.contact.address)?.answered;
  }

  /** Shows a conversation; the router has already gone there. */
  show(address: string | null): void {
    if (this.thread?.address === address) return;
    this.thread?.leave();
    this.thread = null;
    if (!address || !this.#client) return;
    this.lastShown = address;
    const thread = this.#threads.get(address) ?? new Thread(this.#client, address);
    this.#threads.set(address, thread);
    this.thread = thread;
    void thread.open(this.conversation(address)?.unread ?? 0);
  }

  /** Rejects with `ZenTalkError`. */
  async addContact(code: string, name: string): Promise<Contact> {
    const contact = await this.#engine.addContact(code, cleanName(name) || undefined);
    this.#keep(contact);
    this.announcer.say(strings.announce.added(this.nameOf(contact)));
    this.router.go({ name: "conversation", address: contact.address });
    return contact;
  }

  async renameContact(address: string, name: string): Promise<void> {
    this.#keep(await this.#engine.renameContact(address, cleanName(name)));
  }

  /** A look at the safety number with somebody. */
  safetyCheck(address: string): SafetyCheck {
    return new SafetyCheck(this.#engine, address, (contact) => {
      this.#keep(contact);
      const { marked, unmarked } = strings.announce;
      this.announcer.say((contact.verification === "verified" ? marked : unmarked)(this.nameOf(contact)));
    });
  }

  /** Goes on with new keys that nobody has compared. Rejects with `ZenTalkError`. */
  async acceptKeys(address: string): Promise<void> {
    const contact = await this.#engine.acceptKeys(address);
    this.#keep(contact);
    this.announcer.say(strings.announce.accepted(this.nameOf(contact)));
  }

  async rename(name: string): Promise<void> {
    this.me = await this.#engine.rename(cleanName(name));
  }

  async markRead(address: string): Promise<void> {
    if (this.#markingRead.has(address)) return;
    this.#markingRead.add(address);
    try {
      await this.#engine.markRead(address);
    } catch {
      // It stays unread and is tried again with the next message or the next look.
    } finally {
      this.#markingRead.delete(address);
    }
  }

  cover(): Promise<Cover> {
    return this.#engine.cover();
  }

  storage(): Promise<StorageReport> {
    return this.#engine.storage();
  }

  erase(): Promise<void> {
    return this.#engine.erase();
  }

  async reloadInbox(): Promise<void> {
    this.inbox = "loading";
    try {
      const read = await this.#engine.conversations();
      // Events that came meanwhile are newer than what was read.
      const known = new Set(this.conversations.map((c) => c.contact.address));
      for (const conversation of read) {
        if (!known.has(conversation.contact.address))
          this.conversations = withConversation(this.conversations, conversation);
      }
      this.inbox = "ready";
    } catch {
      this.inbox = "failed";
    }
  }

  get #engine(): ZenTalk {
    if (!this.#client) throw new Error("the engine is not open");
    return this.#client;
  }

  async #enter(me: Me): Promise<void> {
    const fresh = this.phase.kind === "creating";
    this.me = me;
    const [connection, network] = await Promise.all([
      this.#engine.connection(),
      this.#engine.network(),
      this.reloadInbox(),
    ]);
    this.connection ??= connection;
    this.network ??= network;
    const { view } = this.router;
    if (view.name === "conversation" && !this.conversation(view.address)) this.router.reset();
    this.phase = { kind: "ready" };
    if (this.invite) await this.#takeInvite(fresh);
  }

  /** A new identity was made for this link: add at once. An old one is asked first. */
  async #takeInvite(fresh: boolean): Promise<void> {
    const invite = this.invite;
    if (!invite) return;
    const code = findCode(invite);
    const known = code && this.conversations.find((c) => c.contact.code === code);
    if (known) {
      this.dropInvite();
      this.router.go({ name: "conversation", address: known.contact.address });
      return;
    }
    if (fresh) {
      try {
        await this.addContact(invite, "");
        this.dropInvite();
        return;
      } catch {
        // The dialog shows what is wrong with it.
      }
    }
    this.router.open("add");
  }

  #keep(contact: Contact): void {
    const known = this.conversation(contact.address);
    this.conversations = withConversation(this.conversations, { unread: 0, ...known, contact });
  }

  #on(event: ZenTalkEvent): void {
    switch (event.kind) {
      case "creating":
        if (this.phase.kind === "creating") this.phase = { kind: "creating", step: event.step };
        break;
      case "me":
        this.me = event.me;
        // Created in another tab.
        if (this.phase.kind === "welcome") void this.#enter(event.me);
        break;
      case "contact":
        this.#keep(event.contact);
        break;
      case "conversation":
        this.conversations = withConversation(this.conversations, event.conversation);
        break;
      case "message":
        this.#onMessage(event.message);
        break;
      case "connection":
        this.connection = event.connection;
        break;
      case "network":
        this.network = event.network;
        break;
      case "leader":
        this.leading = event.leading;
        break;
      case "storageFailed":
        this.storageProblem = event.reason;
        break;
      case "erased":
        this.#forget();
        break;
    }
  }

  #onMessage(message: Message): void {
    const isNew = this.#threads.get(message.address)?.receive(message);
    const conversation = this.conversation(message.address);
    const last = conversation?.lastMessage;
    const before = last?.id === message.id ? last.state?.kind : undefined;
    const isNotice = message.direction === "notice";
    if (conversation && !isNotice && (!last || last.id === message.id || last.orderedAt <= message.orderedAt))
      this.conversations = withConversation(this.conversations, { ...conversation, lastMessage: message });

    const name = conversation ? this.nameOf(conversation.contact) : strings.inbox.unnamed;
    if (message.state?.kind === "failed" && before !== "failed") {
      this.announcer.say(strings.state.long(message.state, (ms) => sentenceTime(ms, Date.now())));
    } else if (isNotice) {
      const since = fullDate(message.since ?? message.sentAt);
      if (isNew && this.thread?.address === message.address)
        this.announcer.say(strings.thread.notice(message.notice, name, since));
    } else if (message.direction === "in" && last?.id !== message.id) {
      const open = this.thread?.address === message.address;
      if (open && isNew) this.announcer.say(strings.announce.message(name, message.text));
      else if (!open) this.announcer.say(strings.announce.elsewhere(name));
    }
  }

  #forget(): void {
    this.#threads.clear();
    this.thread = null;
    this.lastShown = null;
    this.me = null;
    this.conversations = [];
    this.storageProblem = null;
    this.invite = null;
    this.router.reset();
    this.phase = { kind: "welcome", erased: true, problem: null };
  }
}

export const [useApp, provideApp] = createContext<App>();
