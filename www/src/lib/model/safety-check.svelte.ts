// One look at a safety number: its digits, what a comparison said, and the mark that follows from it.

import type { Contact, SafetyComparison, SafetyNumber, ZenTalk } from "zentalk-client";
import { codeOf, sentenceFor } from "./errors.ts";
import type { Loading } from "./thread.svelte.ts";

const SPACE = /\s+/g;
const DIGITS = /^\d{60}$/;

/** `12345 67890 …`: as the digits are shown, copied and read out. */
export const groupsOf = (digits: string): string[] => digits.match(/\d{1,5}/g) ?? [];

export class SafetyCheck {
  /** `unknown`: their keys have not been found yet, so there is no number. */
  status = $state.raw<Loading | "unknown">("loading");
  number = $state.raw<SafetyNumber | null>(null);
  /** What the last comparison by camera or text said. */
  outcome = $state.raw<SafetyComparison | null>(null);
  busy = $state.raw(false);
  /** Why the last thing asked for was not done. */
  problem = $state.raw<string | null>(null);

  constructor(
    private readonly client: ZenTalk,
    readonly address: string,
    private readonly keep: (contact: Contact) => void,
  ) {}

  async load(): Promise<void> {
    this.status = "loading";
    this.problem = null;
    try {
      this.number = await this.client.safetyNumber(this.address);
      this.status = "ready";
    } catch (error) {
      if (codeOf(error) === "keysUnknown") {
        this.status = "unknown";
        return;
      }
      this.status = "failed";
      this.problem = sentenceFor(error);
    }
  }

  /** Compares with the text of a QR code, or with the digits as they are copied. */
  async compare(text: string): Promise<void> {
    this.forget();
    const digits = text.replace(SPACE, "");
    if (this.number && DIGITS.test(digits)) {
      this.outcome = digits === this.number.digits ? "match" : "different";
      return;
    }
    await this.#attempt(async () => {
      this.outcome = await this.client.compareSafetyNumber(this.address, text);
    });
  }

  /** Drops what the last comparison said. */
  forget(): void {
    this.outcome = null;
    this.problem = null;
  }

  /** Marks them as verified, or takes the mark back. */
  async mark(verified: boolean): Promise<void> {
    await this.#attempt(async () => {
      this.keep(await this.client.setVerified(this.address, verified));
      this.outcome = null;
    });
  }

  /** One thing at a time; if it is not done, `problem` says why. */
  async #attempt(act: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = null;
    try {
      await act();
    } catch (error) {
      this.problem = sentenceFor(error);
    } finally {
      this.busy = false;
    }
  }
}
