// Somebody with a browser of their own, who uses the app as people do: by what it shows.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchWithProfile } from "../browser.mjs";

/** The order in which the states of a message come. */
export const STATES = ["sending", "sent", "delivered", "read"];

const MEANINGS = [
  [/^(On its way|Not out yet)/, "sending"],
  [/^Sent: held by/, "sent"],
  [/^Delivered/, "delivered"],
  [/^Read/, "read"],
  [/^Not sent/, "failed"],
];
const stateOf = (label) => MEANINGS.find(([meaning]) => meaning.test(label))?.[1] ?? "unknown";

/**
 * Everything here may pass relays, on a busy machine. What a killed relay took along, members push again after 60 s,
 * each 20 s after the one before it.
 */
export const PATIENCE_MS = 150_000;

export class Person {
  constructor(name, url) {
    this.name = name;
    this.url = url;
    this.problems = [];
  }

  /** Opens the browser, also again after `leave`, on `at` or where the app is. */
  async arrive(at = this.url) {
    this.profile ??= await mkdtemp(join(tmpdir(), `zentalk-${this.name}-`));
    this.context = await launchWithProfile(this.profile);
    this.context.setDefaultTimeout(PATIENCE_MS);
    this.page = this.context.pages()[0] ?? (await this.context.newPage());
    await this.#prepare(this.page);
    await this.page.goto(at);
    return this;
  }

  /** Another tab of the same identity. */
  async secondTab() {
    const page = await this.context.newPage();
    await this.#prepare(page);
    await page.goto(this.url);
    return page;
  }

  async #prepare(page) {
    page.on("pageerror", (error) => this.problems.push(String(error.stack ?? error)));
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        throw new Error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
  }

  /** Closes the browser; the profile stays. */
  async leave() {
    await this.context?.close();
    this.context = undefined;
  }

  /** Closes the browser for good; nothing may have gone wrong in its pages. */
  async done() {
    await this.leave();
    await rm(this.profile, { recursive: true, force: true });
    assert.deepEqual(this.problems, [], `${this.name} saw errors`);
  }

  /** Makes an identity; with a contact link in the address the conversation opens. */
  async create() {
    await this.page.getByLabel("Your name").fill(this.name);
    await this.page.getByRole("button", { name: /^Start/ }).click();
    await this.page.getByRole("navigation", { name: "Conversations" }).waitFor();
  }

  /** My link, as the card shows it. */
  async link() {
    await this.page.getByRole("button", { name: "My link and QR code" }).click();
    const link = await this.page.getByRole("dialog").getByLabel("Your link", { exact: true }).inputValue();
    await this.page.keyboard.press("Escape");
    return link;
  }

  async add(link, name) {
    await this.page.getByRole("button", { name: "Add a contact" }).click();
    await this.page.getByLabel("Link or code").fill(link);
    await this.page.getByLabel("What do you call them?").fill(name);
    await this.page.getByRole("button", { name: "Add and write" }).click();
    await this.page.getByRole("textbox", { name: `Message to ${name}` }).waitFor();
  }

  /** Opens the conversation with somebody from the list, as soon as it is there. */
  async open(name, page = this.page) {
    await page.getByRole("navigation", { name: "Conversations" }).getByRole("button", { name }).click();
    await page.getByRole("textbox", { name: /^Message to/ }).waitFor();
  }

  async write(text, page = this.page) {
    await page.getByRole("textbox", { name: /^Message to/ }).fill(text);
    await page.getByRole("button", { name: "Send", exact: true }).click();
  }

  #item(text, page = this.page) {
    return page.locator("li.item").filter({ has: page.getByText(text, { exact: true }) });
  }

  /** Waits until this text stands in the open conversation. */
  async sees(text, page = this.page) {
    await this.#item(text, page).waitFor();
  }

  /** Waits until my message has at least this state. */
  async reaches(text, state, page = this.page) {
    const meanings = MEANINGS.filter(([, s]) => STATES.indexOf(s) >= STATES.indexOf(state)).map(([m]) => m.source);
    await this.#item(text, page).getByRole("button", { name: new RegExp(meanings.join("|")) }).waitFor();
  }

  /** My messages and their states, oldest first. */
  async sentMessages(page = this.page) {
    const items = await page.locator("li.item.out").evaluateAll((all) =>
      all.map((item) => [
        item.querySelector(".bubble p")?.textContent ?? "",
        item.querySelector("button.state")?.getAttribute("aria-label") ?? item.querySelector(".failure p")?.textContent ?? "",
      ]),
    );
    return items.map(([text, label]) => ({ text, state: stateOf(label) }));
  }

  /** Texts of the open conversation that came from the other, oldest first. */
  received(page = this.page) {
    return page.locator("li.item.in .bubble p").allTextContents();
  }
}

/** Waits until `read` gives something that `fits`, and gives it; at the deadline, whatever it gave last. */
export async function eventually(read, fits) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await read();
    if (fits(value) || Date.now() > deadline) return value;
    await new Promise((go) => setTimeout(go, 100));
  }
}

/** Two people who have each other's conversation open: the second came by the first one's link. */
export async function acquainted(url, [first, second] = ["Ada", "Ben"]) {
  const ada = await new Person(first, url).arrive();
  await ada.create();
  const ben = await new Person(second, url).arrive(await ada.link());
  await ben.create();
  await ben.write(`Hello from ${second}`);
  await ada.open(new RegExp(second));
  await ada.sees(`Hello from ${second}`);
  return { ada, ben };
}
