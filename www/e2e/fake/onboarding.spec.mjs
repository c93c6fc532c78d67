import { after, before, describe, test } from "node:test";
import { PHONE } from "../browser.mjs";
import { becomes, choose, focused, fragment, gone, record, recorded, startApp, steer, visible } from "./app.mjs";

let app;
before(async () => (app = await startApp()));
after(() => app.close());

const code = `zen1${"qx8f3k2m9d7t5w0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2t77ha"}`;

describe("first run", () => {
  test("a name and one button lead to the link", async () => {
    const { page, done } = await app.open("/?fake=empty&speed=3");
    await visible(page.getByRole("heading", { name: /Talk privately/ }));
    await becomes(() => focused(page), "Your name");
    await record(page, "#app");
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Start talking" }).click();
    await visible(page.getByRole("heading", { name: "Share your link" }));
    await recorded(page, /Making your keys/, /Certificates/, /Share your link/);
    await becomes(() => page.getByLabel("Your link", { exact: true }).inputValue(), /\/#add\/zen1/);
    await done();
  });

  test("an empty name is asked for, and nothing starts", async () => {
    const { page, done } = await app.open("/?fake=empty");
    await page.getByLabel("Your name").fill("   ");
    await page.getByRole("button", { name: "Start talking" }).click();
    await visible(page.getByRole("alert").filter({ hasText: "Enter a name" }));
    await becomes(() => page.getByLabel("Your name").getAttribute("aria-invalid"), "true");
    await done();
  });

  test("keys that could not be made: the reason, and another try", async () => {
    const { page, done } = await app.open("/?fake=empty&speed=0.2");
    await visible(page.getByLabel("Your name"));
    await steer(page, "rejectNext", "storage", "The browser’s storage is full.");
    await page.getByLabel("Your name").fill("Ada");
    await page.getByLabel("Your name").press("Enter");
    await visible(page.getByText("storage is full"));
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Start talking" }).click();
    await visible(page.getByRole("heading", { name: "Share your link" }));
    await done();
  });

  test("what is not private is told before anything is made", async () => {
    const { page, done } = await app.open("/?fake=empty");
    await page.getByRole("button", { name: "What is not private?" }).click();
    await visible(page.getByRole("dialog").getByText("There is no backup yet", { exact: false }));
    await page.keyboard.press("Escape");
    await gone(page.getByRole("dialog"));
    await done();
  });

  test("the link is copied, and the button says so", async () => {
    const { page, context, done } = await app.open("/?fake=seeded");
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await visible(page.getByRole("button", { name: "Copy link" }));
    await record(page, "button");
    await page.getByRole("button", { name: "Copy link" }).click();
    await recorded(page, /Copied/);
    await becomes(() => page.evaluate(() => navigator.clipboard.readText()), /#add\/zen1/);
    await done();
  });

  test("unsupported and broken starts say what to do", async () => {
    for (const [scene, words] of [
      ["unsupported", "This browser cannot run ZenTalk"],
      ["broken", "made by a newer version"],
    ]) {
      const { page, done } = await app.open(`/?fake=${scene}`);
      await visible(page.getByText(words, { exact: false }));
      await visible(page.getByRole("button", { name: "Reload" }));
      await done();
    }
  });
});

test("what is stored and cannot be read can be erased, to begin anew", async () => {
  const { page, done } = await app.open("/?fake=corrupt&speed=0.1");
  await page.getByRole("button", { name: /^Erase this identity/ }).click();
  await becomes(() => focused(page), /confirm$/);
  await page.keyboard.type("erase");
  await page.keyboard.press("Enter");
  await visible(page.getByLabel("Your name"));
  await done();
});

describe("a contact link", () => {
  test("with a new identity: whose it is, then the conversation, and a clean address", async () => {
    const { page, done } = await app.open(`/?fake=empty&speed=0.1#add/${code}`, { viewport: PHONE });
    await visible(page.getByText("zen1 qx8f 3k2m … f2t7", { exact: false }).or(page.getByText("zen1 qx8f 3k2m", { exact: false })));
    await page.getByLabel("Your name").fill("Ada");
    await page.getByRole("button", { name: "Start and write to them" }).click();
    await visible(page.getByRole("region", { name: /^Conversation with/ }));
    await becomes(() => fragment(page), "");
    await done();
  });

  test("with an existing identity: one question, an optional name, the conversation", async () => {
    const { page, done } = await app.open(`/?fake=seeded&speed=0.1#add/${code}`);
    const dialog = page.getByRole("dialog", { name: "Add a contact" });
    await visible(dialog.getByText("zen1 qx8f 3k2m", { exact: false }));
    await becomes(() => focused(page), "What do you call them?");
    await page.keyboard.type("Sam");
    await page.keyboard.press("Enter");
    await visible(page.getByRole("region", { name: "Conversation with Sam" }));
    await becomes(() => fragment(page), "");
    // The focus is where one writes, not on the button that is gone.
    await becomes(() => focused(page), "Message to Sam");
    await done();
  });

  test("opened while the app runs", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Nora/);
    await page.evaluate((c) => (location.hash = `#add/${c}`), code);
    await visible(page.getByRole("dialog", { name: "Add a contact" }));
    await page.keyboard.press("Escape");
    await gone(page.getByRole("dialog"));
    await becomes(() => fragment(page), "");
    await done();
  });

  test("that is damaged says what is wrong", async () => {
    const { page, done } = await app.open("/?fake=empty&speed=0.1#add/zen1qqqqqqqqqqqqqqqqqqqqqqqq");
    await page.getByLabel("Your name").fill("Ada");
    await page.getByLabel("Your name").press("Enter");
    const dialog = page.getByRole("dialog", { name: "Add a contact" });
    await visible(dialog);
    await page.getByRole("button", { name: "Add and write" }).click();
    await visible(dialog.getByText("cut off", { exact: false }));
    await done();
  });
});

test("a pasted link adds somebody; mistakes are named", async () => {
  const { page, done } = await app.open("/?fake=seeded&speed=0.1");
  await page.getByRole("button", { name: "Add a contact" }).click();
  const field = page.getByLabel("Link or code");
  for (const [text, words] of [
    ["", "Paste a link or code first"],
    ["hello", "There is no ZenTalk link"],
    [await steer(page, "linkFor", "x").then((l) => l.slice(0, -30)), "cut off"],
    [(await page.evaluate(() => window.zentalkFake.me().then((m) => m.link))), "your own link"],
  ]) {
    await field.fill(text);
    await page.getByRole("button", { name: "Add and write" }).click();
    await visible(page.getByRole("alert").filter({ hasText: words }));
  }
  await field.fill(`here: ${await steer(page, "linkFor", "friend")} see you`);
  await page.getByLabel("What do you call them?").fill("Friend");
  await page.getByRole("button", { name: "Add and write" }).click();
  await visible(page.getByRole("heading", { name: "This is the beginning with Friend" }));
  await done();
});
