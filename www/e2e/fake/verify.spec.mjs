// Safety numbers: shown, compared by eye, camera and text; the mark; keys that change.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PHONE } from "../browser.mjs";
import { becomes, calm, choose, gone, qrReader, record, recorded, startApp, steer, until, visible } from "./app.mjs";

let app;
before(async () => (app = await startApp()));
after(() => app.close());

const header = (page) => page.locator("section.conversation > header");
const sheet = (page) => page.getByRole("dialog", { name: "Safety number" });
const digits = (page) => sheet(page).getByRole("list", { name: "60 digits in 12 groups" });
const item = (page, text) => page.locator("li.item", { hasText: text });
const row = (page, name) => page.getByRole("navigation").getByRole("button", { name });
const confirm = (page) => sheet(page).getByRole("button", { name: "They match", exact: true });
const addressOf = (page, name) => steer(page, "addressOf", name);

/** The safety number with somebody whose conversation is open. */
async function openNumber(page, button = "Verify") {
  await header(page).getByRole("button", { name: button }).click();
  await visible(digits(page));
}

async function compareText(page, text) {
  await sheet(page).getByRole("button", { name: "Paste theirs" }).click();
  await sheet(page).getByLabel("The number that they sent you").fill(text);
  await sheet(page).getByRole("button", { name: "Compare", exact: true }).click();
}

/** What the camera sees from now on. */
const holdUp = (page, text) => page.evaluate((seen) => (window.before = seen), text);
const camerasOn = (page) => page.evaluate(() => window.cameras.filter((c) => c.readyState === "live").length);

describe("the number", () => {
  test("is twelve groups in four columns, read out digit by digit, and copied once", async () => {
    const { page, context, done } = await app.open("/?fake=seeded");
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await choose(page, /Tomás/);
    await openNumber(page);
    await calm(page);
    const groups = await digits(page).locator("li > [aria-hidden]").allTextContents();
    assert.equal(groups.length, 12);
    for (const group of groups) assert.match(group, /^\d{5}$/);
    const tops = await digits(page).locator("li").evaluateAll((all) => all.map((li) => Math.round(li.getBoundingClientRect().top)));
    assert.equal(new Set(tops).size, 3, "three lines of four");
    const widths = await digits(page).locator("li > [aria-hidden]").evaluateAll((all) => all.map((e) => e.getBoundingClientRect().width));
    assert.ok(Math.max(...widths) - Math.min(...widths) < 0.5, "tabular figures");
    assert.deepEqual(
      await digits(page).locator(".sr-only").allTextContents(),
      groups.map((group) => [...group].join(" ")),
    );
    await visible(sheet(page).getByRole("img", { name: "QR code of your safety number with Tomás Herrera" }));
    await record(page, "dialog button");
    await sheet(page).getByRole("button", { name: "Copy" }).click();
    await recorded(page, /Copied/);
    await becomes(() => page.evaluate(() => navigator.clipboard.readText()), groups.join(" "));
    await done();
  });

  test("that cannot be worked out says why, and is asked for again", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await visible(page.locator("li.item"));
    await steer(page, "rejectNext", "storage", "The disk is gone.");
    await header(page).getByRole("button", { name: "Verify" }).click();
    await visible(sheet(page).getByRole("alert").filter({ hasText: "The disk is gone." }));
    await gone(confirm(page));
    await sheet(page).getByRole("button", { name: "Try again" }).click();
    await visible(digits(page));
    await done();
  });

  test("of somebody who was not found yet is said not to be there", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await page.getByRole("button", { name: "Add a contact" }).click();
    await page.getByLabel("Link or code").fill(await steer(page, "linkFor", "somebody"));
    await page.getByLabel("What do you call them?").fill("Sam");
    await page.keyboard.press("Enter");
    await visible(page.getByRole("region", { name: "Conversation with Sam" }));
    await header(page).getByRole("button", { name: "Verify" }).click();
    await visible(sheet(page).getByText("has not found Sam’s keys", { exact: false }));
    await gone(confirm(page));
    await done();
  });
});

describe("the mark", () => {
  test("is set by hand, shown in list and header, and taken back", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await gone(header(page).getByRole("img", { name: "Verified" }));
    await openNumber(page);
    await confirm(page).click();
    await visible(sheet(page).getByRole("heading", { name: "You have verified Tomás Herrera" }));
    await page.keyboard.press("Escape");
    await gone(sheet(page));
    await visible(header(page).getByRole("img", { name: "Verified" }));
    await visible(row(page, /Tomás Herrera Verified/));
    await openNumber(page, "Safety number");
    await sheet(page).getByRole("button", { name: "Not verified any more" }).click();
    await visible(confirm(page));
    await page.keyboard.press("Escape");
    await gone(page.getByRole("main").getByRole("img", { name: "Verified" }).nth(1));
    await gone(row(page, /Tomás/).getByRole("img", { name: "Verified" }));
    await done();
  });

  test("can be reached from the contact's sheet, which says how it stands", async () => {
    const { page, done } = await app.open("/?fake=seeded", { viewport: PHONE, hasTouch: true, isMobile: true });
    await choose(page, /Nora/);
    await page.getByRole("button", { name: /Show details/ }).click();
    const contact = page.getByRole("dialog", { name: "Contact" });
    await visible(contact.getByRole("region", { name: "Safety number" }).getByText("Verified"));
    await contact.getByRole("button", { name: "Show", exact: true }).click();
    await visible(digits(page));
    await gone(contact);
    await page.keyboard.press("Escape");
    await gone(sheet(page));
    await until(page, () => document.activeElement?.textContent?.includes("Show details"));
    await done();
  });
});

describe("comparing a text", () => {
  test("of theirs: they match, and one press marks them", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await openNumber(page);
    await compareText(page, await digits(page).locator("li > [aria-hidden]").allTextContents().then((all) => all.join(" ")));
    await visible(sheet(page).getByRole("group", { name: "They match" }));
    await becomes(() => page.evaluate(() => document.activeElement?.getAttribute("role")), "group", "the verdict has the focus");
    await sheet(page).getByRole("button", { name: "Mark as verified" }).click();
    await visible(sheet(page).getByRole("heading", { name: "You have verified Tomás Herrera" }));
    await done();
  });

  test("of another: a strong warning says what to do, and nobody can be marked", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await openNumber(page);
    await compareText(page, await steer(page, "theirQr", await addressOf(page, "Nora Lindqvist")));
    await visible(sheet(page).getByRole("group", { name: "They do not match" }));
    await visible(sheet(page).getByText("somebody may be reading along", { exact: false }));
    await gone(confirm(page));
    await sheet(page).getByLabel("The number that they sent you").fill("something else");
    await gone(sheet(page).getByRole("group", { name: "They do not match" }));
    await done();
  });

  test("that is no safety number, or of another version, is told apart", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await openNumber(page);
    await compareText(page, await steer(page, "linkFor", "somebody"));
    await visible(sheet(page).getByRole("group", { name: "This is no safety number" }));
    await sheet(page)
      .getByLabel("The number that they sent you")
      .fill(await steer(page, "theirQr", await addressOf(page, "Tomás Herrera"), true));
    await page.keyboard.press("Enter");
    await visible(sheet(page).getByRole("group", { name: "Made by another version of ZenTalk" }));
    await sheet(page).getByLabel("The number that they sent you").fill("  ");
    await page.keyboard.press("Enter");
    await visible(sheet(page).getByRole("alert").filter({ hasText: "Paste their number first." }));
    await done();
  });
});

describe("the camera", () => {
  const camera = { init: qrReader, permissions: ["camera"] };

  test("is not offered where codes cannot be read", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await openNumber(page);
    await visible(sheet(page).getByRole("button", { name: "Paste theirs" }));
    await gone(sheet(page).getByRole("button", { name: "Scan theirs" }));
    await done();
  });

  test("runs from Scan to the first code, and the verdict follows", async () => {
    const { page, done } = await app.open("/?fake=seeded", { ...camera, viewport: PHONE, hasTouch: true, isMobile: true });
    await choose(page, /Tomás/);
    await openNumber(page);
    assert.equal(await page.evaluate(() => window.cameras.length), 0, "nobody is asked before Scan");
    await sheet(page).getByRole("button", { name: "Scan theirs" }).click();
    await visible(sheet(page).getByText("Hold their code into the picture."));
    await until(page, () => document.querySelector("video").videoWidth > 0);
    await becomes(() => camerasOn(page), 1);
    await holdUp(page, await steer(page, "theirQr", await addressOf(page, "Tomás Herrera")));
    await visible(sheet(page).getByRole("group", { name: "They match" }));
    await becomes(() => camerasOn(page), 0);
    await holdUp(page, await steer(page, "theirQr", await addressOf(page, "Nora Lindqvist")));
    await sheet(page).getByRole("button", { name: "Scan theirs" }).click();
    await visible(sheet(page).getByRole("group", { name: "They do not match" }));
    await done();
  });

  test("stops when it is stopped, when the sheet closes, and when one goes elsewhere", async () => {
    const { page, done } = await app.open("/?fake=seeded", camera);
    await choose(page, /Tomás/);
    await openNumber(page);
    const ways = [
      () => sheet(page).getByRole("button", { name: "Stop scanning" }).click(),
      async () => {
        await page.keyboard.press("Escape");
        await gone(sheet(page));
      },
      () => page.goBack(),
    ];
    for (const [i, leave] of ways.entries()) {
      if (i === 2) await openNumber(page);
      await sheet(page).getByRole("button", { name: "Scan theirs" }).click();
      await visible(sheet(page).getByText("Hold their code into the picture."));
      await leave();
      await until(page, () => window.cameras.every((c) => c.readyState === "ended"));
    }
    assert.equal(await page.evaluate(() => window.cameras.length), ways.length);
    await done();
  });

  test("that is refused is explained, and the digits stay", async () => {
    const { page, done } = await app.open("/?fake=seeded", { init: qrReader });
    await choose(page, /Tomás/);
    await openNumber(page);
    await page.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    });
    await sheet(page).getByRole("button", { name: "Scan theirs" }).click();
    await visible(sheet(page).getByRole("alert").filter({ hasText: "does not let ZenTalk use the camera" }));
    await visible(digits(page));
    await visible(sheet(page).getByRole("button", { name: "Scan theirs" }));
    await done();
  });
});

describe("changed devices", () => {
  test("of somebody not verified: a line in the conversation, and messages go out", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Tomás/);
    await steer(page, "changeKeys", await addressOf(page, "Tomás Herrera"));
    await visible(page.locator("li.notice", { hasText: "Tomás Herrera’s devices changed" }));
    await gone(page.getByRole("complementary"));
    await page.getByRole("textbox", { name: /^Message to/ }).fill("Still you?");
    await page.keyboard.press("Enter");
    await visible(item(page, "Still you?").getByRole("button", { name: /held by 3 of 3/ }));
    await done();
  });

  test("that nobody has confirmed for long: the line says since when, and what that may mean", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Tomás/);
    await steer(page, "unconfirmed", await addressOf(page, "Tomás Herrera"), 20);
    const line = page.locator("li.notice", { hasText: "Tomás Herrera’s devices were last confirmed on" });
    await visible(line);
    const day = await page.evaluate(() => new Date(Date.now() - 20 * 86_400_000).getDate());
    assert.match(await line.textContent(), new RegExp(`confirmed on .*\\b${day}\\b.*They may be away`));
    await done();
  });

  test("of somebody verified: texts wait and say why; accepting sends them", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Nora/);
    await steer(page, "changeKeys", await addressOf(page, "Nora Lindqvist"));
    const banner = page.getByRole("complementary", { name: "Nora Lindqvist’s devices changed" });
    await visible(banner.getByText("Nothing goes out until you decide.", { exact: false }));
    await visible(header(page).getByRole("img", { name: "Devices changed" }));
    await visible(row(page, /Nora Lindqvist Devices changed/));
    await visible(banner.getByRole("button", { name: "Accept", exact: true }));
    await page.getByRole("textbox", { name: /^Message to/ }).fill("The new plan");
    await page.keyboard.press("Enter");
    const mine = item(page, "The new plan");
    await visible(mine.getByRole("button", { name: "Not out yet: their devices changed, and you have not accepted that yet." }));
    await visible(mine.locator(".words", { hasText: "their devices changed" }));
    await banner.getByRole("button", { name: "Accept and send" }).click();
    await gone(banner);
    await visible(mine.getByRole("button", { name: /^Read at/ }));
    await gone(header(page).getByRole("img"));
    await done();
  });

  test("compared again, they are verified again and what waited goes out", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Ines/);
    const held = item(page, "Are you still at the old address?");
    await visible(held.getByRole("button", { name: /^Not out yet: their devices changed/ }));
    await page.getByRole("complementary").getByRole("button", { name: "Compare again" }).click();
    await visible(sheet(page).getByText("The digits stay the same", { exact: false }));
    await confirm(page).click();
    await visible(sheet(page).getByRole("heading", { name: "You have verified Ines Duarte" }));
    await page.keyboard.press("Escape");
    await gone(page.getByRole("complementary"));
    await visible(held.getByRole("button", { name: /held by 3 of 3/ }));
    await done();
  });

  test("that cannot be accepted says why, and stays", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Ines/);
    const banner = page.getByRole("complementary");
    await visible(banner.getByRole("button", { name: "Accept and send" }));
    await steer(page, "rejectNext", "storage", "No space left.");
    await banner.getByRole("button", { name: "Accept and send" }).click();
    await visible(banner.getByRole("alert").filter({ hasText: "No space left." }));
    await visible(banner.getByRole("button", { name: "Accept and send" }));
    await done();
  });
});
