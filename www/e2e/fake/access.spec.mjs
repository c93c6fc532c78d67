// For everybody: an automatic scan of every screen, and a run with nothing but a keyboard.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { DESKTOP, PHONE } from "../browser.mjs";
import { becomes, calm, choose, focused, qrReader, startApp, steer, until, visible } from "./app.mjs";

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let app;
before(async () => (app = await startApp()));
after(() => app.close());

async function violations(page) {
  // Animated colours are not what is measured.
  await calm(page);
  await page.evaluate(axeSource);
  const { violations: found } = await page.evaluate(() => window.axe.run());
  return found.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`);
}

async function press(page, name, leadsTo) {
  await page.getByRole("button", { name }).click();
  await visible(leadsTo);
}

/** Each: [path, steps to the screen and until it is there, how the page is opened]. */
const screens = {
  welcome: ["/?fake=empty", (page) => visible(page.getByLabel("Your name"))],
  invited: [
    "/?fake=empty#add/zen1qx8f3k2m9d7t5w0s3jn54khce6mua7lqpzry9x8",
    (page) => visible(page.getByText("Somebody sent you their link")),
  ],
  "missing name": [
    "/?fake=empty",
    async (page) => {
      await page.getByRole("button", { name: "Start talking" }).click();
      await visible(page.getByRole("alert").filter({ hasText: "Enter a name" }));
    },
  ],
  creating: [
    "/?fake=empty&speed=20",
    async (page) => {
      await page.getByLabel("Your name").fill("Ada");
      await page.keyboard.press("Enter");
      await visible(page.getByRole("heading", { name: "Making your keys" }));
    },
  ],
  list: ["/?fake=seeded", (page) => visible(page.getByText("Nora Lindqvist"))],
  conversation: [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await choose(page, /Nora/);
      await steer(page, "failNext", "expired");
      await page.getByRole("textbox", { name: /^Message/ }).fill("Hm.");
      await page.getByRole("button", { name: "Send", exact: true }).click();
      await visible(page.getByRole("button", { name: "Retry" }));
      await steer(page, "offline");
      await visible(page.getByText("You are offline.", { exact: false }));
    },
  ],
  request: ["/?fake=seeded", (page) => choose(page, /Mirjam/)],
  card: ["/?fake=seeded", (page) => press(page, "My link and QR code", page.getByRole("dialog"))],
  add: ["/?fake=seeded", (page) => press(page, "Add a contact", page.getByRole("dialog"))],
  connection: [
    "/?fake=seeded",
    async (page) => {
      await visible(page.getByRole("navigation"));
      const onion = { kind: "belowFloor", floor: "xwing" };
      await steer(page, "setNetwork", { relays: 2, hops: 2, privacyWarning: "fewRelays", onion });
      await press(page, /^Connection/, page.getByRole("group", { name: "Nothing is sent or received" }));
    },
  ],
  contact: [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Nora/);
      await page.locator("section.conversation > header").getByRole("button", { name: /Show details/ }).click();
      await visible(page.getByRole("dialog", { name: "Contact" }));
    },
  ],
  "keys changed": ["/?fake=seeded", (page) => choose(page, /Ines/)],
  "safety number, verified": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Nora/);
      await page.getByRole("button", { name: "Safety number" }).click();
      await visible(page.getByRole("list", { name: "60 digits in 12 groups" }));
    },
  ],
  "safety number, changed and different": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Ines/);
      await page.locator("section.conversation > header").getByRole("button", { name: "Compare again" }).click();
      await page.getByRole("button", { name: "Paste theirs" }).click();
      await page.getByLabel("The number that they sent you").fill("0".repeat(60));
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await visible(page.getByRole("heading", { name: "They do not match" }));
    },
  ],
  "safety number, camera": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await page.getByRole("button", { name: "Verify" }).click();
      await page.getByRole("button", { name: "Scan theirs" }).click();
      await visible(page.getByText("Hold their code into the picture."));
    },
    { init: qrReader, permissions: ["camera"] },
  ],
  "safety number, failed": [
    "/?fake=seeded",
    async (page) => {
      await choose(page, /Tomás/);
      await visible(page.locator("li.item"));
      await steer(page, "rejectNext", "storage", "The disk is gone.");
      await page.getByRole("button", { name: "Verify" }).click();
      await visible(page.getByRole("alert").filter({ hasText: "The disk is gone." }));
    },
  ],
  settings: ["/?fake=seeded", (page) => press(page, "Settings", page.getByRole("heading", { name: "Settings" }))],
  "settings, route": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await steer(page, "setOffered", "x25519");
      await press(page, "Settings", page.getByRole("heading", { name: "Settings" }));
      await page.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
      await page.getByRole("switch").check();
      await visible(page.getByRole("group", { name: "Nothing is sent or received" }));
    },
  ],
  "settings, hiding": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await press(page, "Settings", page.getByRole("heading", { name: "Settings" }));
      const mixing = page.getByRole("region", { name: "Hiding when you write" });
      await mixing.getByRole("radio", { name: "Strong" }).check();
      await visible(mixing.getByText("In use now: Strong."));
      await steer(page, "passCover", 60_000);
      await steer(page, "loseCover", 2);
      await visible(mixing.getByText("2 did not come back", { exact: false }));
      await mixing.scrollIntoViewIfNeeded();
    },
  ],
  "settings, hiding refused": [
    "/?fake=seeded&speed=0.1",
    async (page) => {
      await press(page, "Settings", page.getByRole("heading", { name: "Settings" }));
      const mixing = page.getByRole("region", { name: "Hiding when you write" });
      await visible(mixing.getByText("In use now: Off."));
      await steer(page, "rejectNext", "closed", "");
      await mixing.getByRole("radio", { name: "Light" }).check();
      await visible(mixing.getByText("did not take effect", { exact: false }));
      await mixing.scrollIntoViewIfNeeded();
    },
  ],
  erase: [
    "/?fake=seeded",
    async (page) => {
      await page.getByRole("button", { name: "Settings" }).click();
      await press(page, /^Erase this/, page.getByRole("dialog"));
    },
  ],
  unsupported: ["/?fake=unsupported", (page) => visible(page.getByText("This browser cannot run ZenTalk"))],
};

describe("axe finds nothing", () => {
  for (const [name, [path, steps, options]] of Object.entries(screens)) {
    for (const [viewport, colorScheme] of [
      [DESKTOP, "light"],
      [PHONE, "dark"],
    ]) {
      test(`${name}, ${viewport.width} px, ${colorScheme}`, async () => {
        const { page, done } = await app.open(path, { viewport, colorScheme, ...options });
        await steps(page);
        assert.deepEqual(await violations(page), []);
        const overflow = await page.evaluate(() => {
          const { scrollWidth, scrollHeight } = document.documentElement;
          return [scrollWidth - innerWidth, scrollHeight - innerHeight];
        });
        assert.deepEqual(overflow, [0, 0], "only panes scroll, never the page");
        await done();
      });
    }
  }
});

describe("with a keyboard only", () => {
  /** Tabs until the focus is on something with this name. */
  async function tabTo(page, name, key = "Tab") {
    for (let i = 0; i < 40; i += 1) {
      if (name.test(await focused(page))) return;
      await page.keyboard.press(key);
    }
    assert.fail(`${name} was not reached; the focus is on "${await focused(page)}"`);
  }

  test("from the first screen to a conversation and back", async () => {
    const { page, done } = await app.open("/?fake=empty&speed=0.1");
    await becomes(() => focused(page), "Your name");
    await page.keyboard.type("Ada");
    await page.keyboard.press("Enter");
    await visible(page.getByRole("heading", { name: "Share your link" }));
    const link = await steer(page, "linkFor", "friend");

    await page.keyboard.press("Tab");
    await becomes(() => focused(page), /Skip to the conversation/);
    await tabTo(page, /^Add a contact$/);
    await page.keyboard.press("Enter");
    await visible(page.getByRole("dialog", { name: "Add a contact" }));
    await becomes(() => focused(page), "Link or code");
    await page.keyboard.press("Escape");
    await becomes(() => focused(page), /^Add a contact$/, "the focus returns to the button");

    await page.keyboard.press("Enter");
    await page.keyboard.insertText(link);
    await page.keyboard.press("Tab");
    await page.keyboard.type("Friend");
    await page.keyboard.press("Enter");
    await visible(page.getByRole("region", { name: "Conversation with Friend" }));
    await becomes(() => focused(page), "Message to Friend");

    await page.keyboard.type("First");
    await page.keyboard.press("Enter");
    await page.keyboard.type("Second");
    await page.keyboard.press("Enter");
    await visible(page.locator("li.item", { hasText: "Second" }).getByRole("button", { name: /held by 3 of 3/ }));

    // One stop for all states, arrows between them, Enter explains.
    await page.keyboard.press("Shift+Tab");
    await becomes(() => focused(page), /^Sent: held by 3 of 3/);
    await page.keyboard.press("Enter");
    await visible(page.locator("li.item", { hasText: "Second" }).locator(".words", { hasText: "held by 3 of 3" }));
    await page.keyboard.press("ArrowUp");
    await until(page, () => document.activeElement?.closest("li")?.textContent?.includes("First"));
    await page.keyboard.press("Shift+Tab");
    await becomes(() => focused(page), "Messages with Friend", "the messages can be scrolled");
    await page.keyboard.press("Shift+Tab");
    await becomes(() => focused(page), "Verify");
    await page.keyboard.press("Shift+Tab");
    await becomes(() => focused(page), /Friend.*Show details$/s);
    await done();
  });

  test("a safety number is compared, marked and unmarked, and the focus returns", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Tomás/);
    await tabTo(page, /^Verify$/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await visible(page.getByRole("list", { name: "60 digits in 12 groups" }));
    await tabTo(page, /^Paste theirs$/);
    await page.keyboard.press("Enter");
    await becomes(() => focused(page), "The number that they sent you");
    await page.keyboard.insertText(await steer(page, "theirQr", await steer(page, "addressOf", "Tomás Herrera")));
    await page.keyboard.press("Enter");
    await until(page, () => document.activeElement?.textContent?.includes("They match"));
    await tabTo(page, /^Mark as verified$/);
    await page.keyboard.press("Enter");
    await visible(page.getByRole("heading", { name: "You have verified Tomás Herrera" }));
    await becomes(() => focused(page), "Not verified any more", "undo is where the focus is");
    await page.keyboard.press("Escape");
    await becomes(() => focused(page), "Safety number", "the focus returns to the button");
    await done();
  });

  test("changed keys are accepted, and the focus stays in the conversation", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Ines/);
    await tabTo(page, /^Accept and send$/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("complementary").waitFor({ state: "detached" });
    await until(page, () => document.activeElement?.id === "pane");
    await done();
  });

  test("settings and back", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await visible(page.getByRole("navigation"));
    await tabTo(page, /^Settings$/);
    await page.keyboard.press("Enter");
    await visible(page.getByRole("heading", { name: "Settings" }));
    await tabTo(page, /^As the system$/);
    await page.keyboard.press("ArrowRight");
    await until(page, () => document.documentElement.dataset.theme === "light");
    await done();
  });

  test("the encryption of the route is chosen, and insisted on", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await visible(page.getByRole("navigation"));
    await tabTo(page, /^Settings$/);
    await page.keyboard.press("Enter");
    await visible(page.getByRole("heading", { name: "Settings" }));
    await tabTo(page, /^Usual: X25519$/);
    await page.keyboard.press("ArrowDown");
    await becomes(() => focused(page), "Post-quantum: X-Wing");
    await visible(page.getByText("In use now: X-Wing (post-quantum)."));
    await page.keyboard.press("Tab");
    await becomes(() => focused(page), "Send nothing rather than use something weaker");
    await page.keyboard.press("Space");
    await becomes(() => page.getByRole("switch").isChecked(), true);
    await becomes(() => steer(page, "wantedOnion"), { onionSuite: "xwing", onionFloor: "xwing" });
    await done();
  });

  test("hiding when one writes is chosen by arrows, and left by one Tab", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await visible(page.getByRole("navigation"));
    await tabTo(page, /^Settings$/);
    await page.keyboard.press("Enter");
    await visible(page.getByRole("heading", { name: "Settings" }));
    await tabTo(page, /^Off$/);
    await page.keyboard.press("ArrowDown");
    await becomes(() => focused(page), "Light");
    await visible(page.getByText("In use now: Light."));
    await page.keyboard.press("ArrowDown");
    await becomes(() => focused(page), "Strong");
    await visible(page.getByText("In use now: Strong."));
    await becomes(() => steer(page, "wantedMixing"), "strong");
    await page.keyboard.press("Shift+Tab");
    await becomes(() => focused(page), "Usual: X25519", "it is one stop");
    await page.keyboard.press("Tab");
    await becomes(() => focused(page), "Strong");
    await done();
  });

  test("every stop of the Tab key is visible", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Nora/);
    await page.locator("body").press("Tab");
    for (let i = 0; i < 14; i += 1) {
      const outline = () =>
        page.evaluate(() => {
          const e = document.activeElement;
          const box = e.closest(".box");
          const style = getComputedStyle(e);
          const shown = style.outlineStyle !== "none" || (box && getComputedStyle(box).boxShadow !== "none");
          return shown || e.id === "pane" || e === document.body ? "visible" : e.outerHTML.slice(0, 80);
        });
      await becomes(outline, "visible");
      await page.keyboard.press("Tab");
    }
    await done();
  });
});

test("new messages are read out, older ones are not", async () => {
  const { page, done } = await app.open("/?fake=seeded");
  await choose(page, /Nora/);
  const said = async () => (await page.locator(".sr-only[role=status]").last().textContent())?.trim();
  await becomes(said, "");
  const nora = await steer(page, "addressOf", "Nora Lindqvist");
  await steer(page, "receive", nora, "Hello there");
  await becomes(said, "Nora Lindqvist: Hello there");
  await done();
});

test("with reduced motion nothing keeps moving", async () => {
  const { page, done } = await app.open("/?fake=empty&speed=20", { reducedMotion: "reduce" });
  await page.getByLabel("Your name").fill("Ada");
  await page.keyboard.press("Enter");
  await visible(page.getByRole("heading", { name: "Making your keys" }));
  await until(page, () => document.getAnimations().every((a) => a.playState !== "running"));
  await done();
});
