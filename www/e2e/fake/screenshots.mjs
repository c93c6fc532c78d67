// Pictures of every screen, small and large, light and dark, for people to look at.

import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { DESKTOP, PHONE } from "../browser.mjs";
import { calm, qrReader, startApp, steer } from "./app.mjs";

const folder = fileURLToPath(new URL("../screenshots/", import.meta.url));
const sizes = { phone: PHONE, desktop: DESKTOP };

let app;
before(async () => {
  await mkdir(folder, { recursive: true });
  app = await startApp();
});
after(() => app.close());

const choose = (page, name) => page.getByRole("navigation").getByRole("button", { name }).click();

const header = (page) => page.locator("section.conversation > header");
const number = (page) => page.getByRole("list", { name: "60 digits in 12 groups" }).waitFor();

async function section(page, id) {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.locator(id).evaluate((heading) => heading.scrollIntoView());
}
const route = (page) => section(page, "#s-route");

async function mixing(page, mode) {
  await section(page, "#s-mixing");
  const region = page.getByRole("region", { name: "Hiding when you write" });
  await region.getByText("In use now: Off.").waitFor();
  if (mode) await region.getByRole("radio", { name: mode }).check();
  await page.locator("#s-mixing").evaluate((heading) => heading.scrollIntoView());
  return region;
}

/** So much time has passed, and so many packets were lost in it. */
async function covered(page, region, ms, lost, said) {
  await region.getByText("No packet sent to yourself yet.").waitFor();
  await steer(page, "passCover", ms);
  await steer(page, "loseCover", lost);
  await region.getByText(said).waitFor();
}

/** Each: [path, steps before the picture, how the page is opened]. */
const scenes = {
  "welcome": ["/?fake=empty"],
  "welcome-invited": ["/?fake=empty#add/zen1qx8f3k2m9d7t5w0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7l77ha"],
  "creating": [
    "/?fake=empty&speed=6",
    async (page) => {
      await page.getByLabel("Your name").fill("Ada");
      await page.getByRole("button", { name: "Start talking" }).click();
      await page.locator("li[aria-current=step]", { hasText: "Certificates" }).waitFor();
    },
  ],
  "first-run": [
    "/?fake=empty&speed=0",
    async (page) => {
      await page.getByLabel("Your name").fill("Ada");
      await page.getByRole("button", { name: "Start talking" }).click();
      await page.getByRole("heading", { name: "Share your link" }).first().waitFor();
    },
  ],
  "list": ["/?fake=seeded", (page) => page.getByText("Nora Lindqvist").waitFor()],
  "conversation": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Nora/);
      await page.getByText("Perfect.").last().waitFor();
    },
  ],
  "sent": [
    "/?fake=seeded&speed=0.01",
    async (page) => {
      await choose(page, /Tomás/);
      await page.getByLabel("Message to Tomás").fill("I will bring the long table, then nobody has to stand.");
      await page.getByRole("button", { name: "Send", exact: true }).click();
      await page.getByRole("button", { name: /held by 3 of 3/ }).last().click();
    },
  ],
  "failed-offline": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await choose(page, /Nora/);
      await steer(page, "failNext", "contactKeysInvalid");
      await page.getByLabel("Message to Nora").fill("Could you send it once more?");
      await page.getByRole("button", { name: "Send", exact: true }).click();
      await page.getByRole("button", { name: "Retry" }).waitFor();
      await steer(page, "offline");
      await page.getByLabel("Message to Nora").fill("This one is written on the train.\nIt has two lines.");
      await page.getByRole("button", { name: "Send", exact: true }).click();
      await page.getByLabel("Message to Nora").fill("And this one is not even");
    },
  ],
  "request": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Mirjam/);
      await page.getByText("wrote to you first").waitFor();
    },
  ],
  "card": ["/?fake=seeded", (page) => page.getByRole("button", { name: "My link and QR code" }).click()],
  "add": [
    "/?fake=seeded",
    async (page) => {
      await page.getByRole("button", { name: "Add a contact" }).click();
      await page.getByLabel("Link or code").fill("zen1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq");
      await page.getByRole("button", { name: "Add and write" }).click();
      await page.getByText("cut off").waitFor();
    },
  ],
  "connection": [
    "/?fake=seeded",
    async (page) => {
      await steer(page, "setNetwork", { relays: 5, hops: 3, privacyWarning: "fewRelays" });
      await page.getByRole("button", { name: /^Connection/ }).click();
    },
  ],
  "connection-weaker": [
    "/?fake=seeded",
    async (page) => {
      await steer(page, "setNetwork", { onion: { kind: "inUse", suite: "x25519", weaker: true } });
      await page.getByRole("button", { name: /^Connection/ }).click();
    },
  ],
  "connection-below-floor": [
    "/?fake=seeded",
    async (page) => {
      await steer(page, "connecting", 3, 30_000);
      await steer(page, "setNetwork", { onion: { kind: "belowFloor", floor: "xwing" } });
      await page.getByRole("button", { name: /^Connection/ }).click();
    },
  ],
  "contact": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Nora/);
      await page.getByRole("region", { name: /^Conversation/ }).getByRole("button", { name: /Show details/ }).click();
    },
  ],
  "keys-changed": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Ines/);
      await page.getByRole("button", { name: "Accept and send" }).waitFor();
    },
  ],
  "keys-changed-unverified": [
    "/?fake=seeded&speed=0.01",
    async (page) => {
      await choose(page, /Tomás/);
      await steer(page, "changeKeys", await steer(page, "addressOf", "Tomás Herrera"));
      await page.getByText("devices changed", { exact: false }).first().waitFor();
    },
  ],
  "verify": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await header(page).getByRole("button", { name: "Verify" }).click();
      await number(page);
    },
    { init: qrReader },
  ],
  "verify-verified": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Nora/);
      await header(page).getByRole("button", { name: "Safety number" }).click();
      await number(page);
    },
  ],
  "unconfirmed": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await steer(page, "unconfirmed", await steer(page, "addressOf", "Tomás Herrera"), 20);
      await page.locator("li.notice").last().waitFor();
    },
  ],
  "verify-changed": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Ines/);
      await header(page).getByRole("button", { name: "Compare again" }).click();
      await number(page);
    },
  ],
  "verify-match": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await header(page).getByRole("button", { name: "Verify" }).click();
      await page.evaluate((qr) => (window.before = qr), await steer(page, "theirQr", await steer(page, "addressOf", "Tomás Herrera")));
      await page.getByRole("button", { name: "Scan theirs" }).click();
      await page.getByRole("heading", { name: "They match" }).waitFor();
    },
    { init: qrReader, permissions: ["camera"] },
  ],
  "verify-different": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await header(page).getByRole("button", { name: "Verify" }).click();
      await page.getByRole("button", { name: "Paste theirs" }).click();
      await page.getByLabel("The number that they sent you").fill("07312 ".repeat(12));
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { name: "They do not match" }).waitFor();
    },
  ],
  "verify-scan": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await header(page).getByRole("button", { name: "Verify" }).click();
      await page.getByRole("button", { name: "Scan theirs" }).click();
      await page.getByText("Hold their code into the picture.").waitFor();
    },
    { init: qrReader, permissions: ["camera"] },
  ],
  "verify-failed": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await page.locator("li.item").first().waitFor();
      await steer(page, "rejectNext", "storage", "What is stored of this person could not be read.");
      await header(page).getByRole("button", { name: "Verify" }).click();
      await page.getByRole("button", { name: "Try again" }).waitFor();
    },
  ],
  "settings": ["/?fake=seeded", (page) => page.getByRole("button", { name: "Settings" }).click()],
  "settings-route": ["/?fake=seeded&speed=0.1", (page) => route(page)],
  "settings-route-only": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await route(page);
      await page.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
      await page.getByRole("switch").check();
      await page.getByText("In use now: X-Wing").waitFor();
    },
  ],
  "settings-route-weaker": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await steer(page, "setOffered", "x25519");
      await route(page);
      await page.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
      await page.getByRole("group", { name: /^Weaker/ }).waitFor();
    },
  ],
  "settings-route-below-floor": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await steer(page, "setOffered", "x25519");
      await route(page);
      await page.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
      await page.getByRole("switch").check();
      await page.getByRole("group", { name: "Nothing is sent or received" }).waitFor();
    },
  ],
  "settings-mixing": ["/?fake=seeded&speed=0.1", (page) => mixing(page)],
  "settings-mixing-light": [
    "/?fake=seeded&speed=0.1",
    async (page) => covered(page, await mixing(page, "Light"), 365_000, 0, "12 packets sent to yourself, all came back."),
  ],
  "settings-mixing-lost": [
    "/?fake=seeded&speed=0.1",
    async (page) => covered(page, await mixing(page, "Strong"), 1_064_500, 2, /2 did not come back/),
  ],
  "settings-mixing-changing": [
    "/?fake=seeded&speed=100",
    async (page) => (await mixing(page, "Light")).getByText("Reconnecting").waitFor(),
  ],
  "settings-mixing-refused": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      const region = await mixing(page);
      await steer(page, "rejectNext", "closed", "");
      await region.getByRole("radio", { name: "Strong" }).check();
      await region.getByText("did not take effect").waitFor();
    },
  ],
  "settings-mixing-few-relays": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      const region = await mixing(page, "Light");
      await region.getByText("In use now: Light.").waitFor();
      await steer(page, "setNetwork", { relays: 5, hops: 3, privacyWarning: "fewRelays" });
      await region.getByText("this hides little").waitFor();
    },
  ],
  "settings-end": [
    "/?fake=seeded",
    async (page) => {
      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByRole("button", { name: /^Erase this/ }).scrollIntoViewIfNeeded();
    },
  ],
  "invited": ["/?fake=seeded#add/zen1qx8f3k2m9d7t5w0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7l77ha"],
  "reading-up": [
    "/?fake=long",
    async (page) => {
      await choose(page, /Nora/);
      await page.locator("li.item", { hasText: "Note 180." }).waitFor();
      await calm(page);
      await page.locator(".scroller").evaluate((s) => (s.scrollTop -= 700));
      const nora = await steer(page, "addressOf", "Nora Lindqvist");
      await steer(page, "receive", nora, "Are you still there?");
    },
  ],
  "unsupported": ["/?fake=unsupported"],
};

for (const [name, [path, steps, options]] of Object.entries(scenes)) {
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"]) {
      test(`picture: ${name}, ${size}, ${colorScheme}`, async () => {
        const touch = size === "phone" ? { hasTouch: true, isMobile: true } : {};
        const { page, done } = await app.open(path, { viewport, colorScheme, ...touch, ...options });
        await page.evaluate(() => document.fonts.ready);
        await steps?.(page);
        await calm(page);
        await page.screenshot({ path: `${folder}${name}-${size}-${colorScheme}.png` });
        await done();
      });
    }
  }
}
