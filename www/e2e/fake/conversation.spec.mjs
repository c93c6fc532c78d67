import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PHONE } from "../browser.mjs";
import { becomes, calm, choose, focused, fragment, gone, record, recorded, startApp, steer, until, visible } from "./app.mjs";

let app;
before(async () => (app = await startApp()));
after(() => app.close());

const field = (page) => page.getByRole("textbox", { name: /^Message to/ });
const write = async (page, text) => {
  await field(page).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
};
const item = (page, text) => page.locator("li.item", { hasText: text });
const atEnd = () => {
  const s = document.querySelector(".scroller");
  return s.scrollHeight - s.scrollTop - s.clientHeight < 4;
};

describe("sending", () => {
  test("goes through every state, each with its meaning", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=4");
    await choose(page, /Nora/);
    await record(page, "button.state", "aria-label");
    await write(page, "On my way.");
    const mine = item(page, "On my way.");
    await visible(mine.getByRole("button", { name: /^Read at/ }));
    const meanings = await page.evaluate(() => window.seen);
    const order = [/^Sent: held by 2 of 3/, /^Sent: held by 3 of 3 relays until they come online/, /^Delivered to their device at/];
    const places = order.map((meaning) => meanings.findIndex((text) => meaning.test(text)));
    assert.ok(places.every((place, i) => place > (places[i - 1] ?? -1)), meanings.join("\n"));
    await mine.getByRole("button", { name: /^Read at/ }).click();
    await visible(mine.locator(".words", { hasText: "Read at" }));
    await becomes(() => mine.getByRole("button").getAttribute("aria-expanded"), "true");
    await visible(page.getByText("Got it, thank you."));
    await done();
  });

  test("Enter sends, Shift+Enter makes a line, an input method keeps its Enter", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Tomás/);
    await field(page).press("a");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("b");
    await field(page).evaluate((f) => f.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true })));
    await becomes(() => field(page).inputValue(), "a\nb");
    await page.keyboard.press("Enter");
    await becomes(() => field(page).inputValue(), "");
    await visible(item(page, "a\nb"));
    await done();
  });

  test("on a phone Enter makes a line", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1", { viewport: PHONE, hasTouch: true, isMobile: true });
    await choose(page, /Tomás/);
    await field(page).tap();
    await page.keyboard.type("a");
    await page.keyboard.press("Enter");
    await page.keyboard.type("b");
    await becomes(() => field(page).inputValue(), "a\nb");
    await done();
  });

  test("a failure says why, and Retry sends it", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Tomás/);
    await steer(page, "failNext", "contactNotFound");
    await write(page, "Hello?");
    await visible(page.getByText("Nobody could be found under this link", { exact: false }));
    await page.getByRole("button", { name: "Retry" }).click();
    await visible(item(page, "Hello?").getByRole("button", { name: /held by 3 of 3/ }));
    await gone(page.getByRole("button", { name: "Retry" }));
    await becomes(() => item(page, "Hello?").count(), 1);
    await done();
  });

  test("what cannot be saved stays on the screen until it is sent or discarded", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Tomás/);
    await steer(page, "rejectNext", "storage", "No space left.");
    await write(page, "Precious words");
    await visible(page.getByText("Not sent. No space left."));
    await choose(page, /Nora/);
    await choose(page, /Tomás/);
    await page.getByRole("button", { name: "Retry" }).click();
    await visible(item(page, "Precious words").getByRole("button", { name: /held by/ }));
    await steer(page, "rejectNext", "storage", "No space left.");
    await write(page, "Worthless words");
    await page.getByRole("button", { name: "Discard" }).click();
    await gone(item(page, "Worthless words"));
    await done();
  });

  test("a text over the limit is counted and cannot be sent", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Tomás/);
    await field(page).fill("x".repeat(16 * 1024 + 7));
    await visible(page.getByText("7 bytes too long"));
    await becomes(() => page.getByRole("button", { name: "Send", exact: true }).isDisabled(), true);
    await done();
  });

  test("drafts stay with their conversation", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Tomás/);
    await field(page).fill("half a thought");
    await choose(page, /Nora/);
    await becomes(() => field(page).inputValue(), "");
    await choose(page, /Tomás/);
    await becomes(() => field(page).inputValue(), "half a thought");
    await done();
  });
});

describe("connection", () => {
  test("offline and connecting are shown, messages wait and go out", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await choose(page, /Tomás/);
    await steer(page, "offline");
    await visible(page.getByText("You are offline.", { exact: false }));
    await visible(page.getByRole("button", { name: "Connection: Offline. Show details" }));
    await write(page, "From the tunnel");
    await visible(item(page, "From the tunnel").getByRole("button", { name: "Not out yet: you are offline." }));
    await steer(page, "connecting", 3, 300_000);
    await visible(page.getByText(/Not connected, next try in (300|2\d\d) s/));
    await steer(page, "online");
    await visible(item(page, "From the tunnel").getByRole("button", { name: /held by 3 of 3/ }));
    await gone(page.getByText("You are offline.", { exact: false }));
    await done();
  });

  test("the panel says how many relays, and what is lost when they are few", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await page.getByRole("button", { name: /^Connection: Online/ }).click();
    const panel = page.getByRole("dialog", { name: "Connection" });
    await visible(panel.getByText("Messages pass 3 relays", { exact: false }));
    await steer(page, "setNetwork", { relays: 1, hops: 1, privacyWarning: "oneRelay" });
    await visible(panel.getByText("There is only one relay"));
    await visible(panel.getByText("may delete your keys", { exact: false }));
    await steer(page, "setPersisted", true);
    await panel.getByRole("button", { name: "Ask to keep them" }).click();
    await visible(panel.getByText("has promised to keep", { exact: false }));
    await done();
  });

  test("the panel says how packets are encrypted, and when that is less than was asked for", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await steer(page, "setNetwork", { onion: { kind: "inUse", suite: "xwing", weaker: false } });
    await page.getByRole("button", { name: /^Connection: Online/ }).click();
    const panel = page.getByRole("dialog", { name: "Connection" });
    await visible(panel.getByText("X-Wing (post-quantum)"));
    await gone(panel.getByRole("group", { name: /onion encryption/ }));
    await steer(page, "setNetwork", { onion: { kind: "inUse", suite: "x25519", weaker: true } });
    await visible(panel.getByText("X25519"));
    await visible(panel.getByRole("group", { name: "Weaker onion encryption than you prefer" }));
    await steer(page, "setNetwork", { onion: { kind: "belowFloor", floor: "xwing" } });
    await visible(panel.getByText("None that you allow"));
    await gone(panel.getByText("The way of your messages"));
    await visible(panel.getByRole("group", { name: "Nothing is sent or received" }));
    await visible(panel.getByText("Too few relays offer X-Wing (post-quantum), and you have", { exact: false }));
    await done();
  });

  test("how the route is encrypted is chosen in the settings, takes effect at once, and is kept", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await page.getByRole("button", { name: "Settings" }).click();
    const route = page.getByRole("region", { name: "Encryption of the route" });
    const only = route.getByRole("switch", { name: "Send nothing rather than use something weaker" });
    await visible(route.getByText("In use now: X25519."));
    await gone(only);
    await record(page, "section[aria-labelledby=s-route] [aria-live]");
    await page.evaluate(() => (window.opened = window.zentalkFake));
    await route.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
    await visible(route.getByText("In use now: X-Wing (post-quantum)."));
    await recorded(page, /Reconnecting/, /X-Wing/);
    assert.ok(await page.evaluate(() => window.opened === window.zentalkFake), "no second engine was opened");
    await only.check();
    await becomes(() => steer(page, "wantedOnion"), { onionSuite: "xwing", onionFloor: "xwing" });
    await page.reload();
    await visible(route.getByText("In use now: X-Wing (post-quantum)."));
    await becomes(() => only.isChecked(), true);
    assert.deepEqual(await steer(page, "wantedOnion"), { onionSuite: "xwing", onionFloor: "xwing" }, "opened with it");
    await route.getByRole("radio", { name: "Usual: X25519" }).check();
    await visible(route.getByText("In use now: X25519."));
    await gone(only);
    await page.reload();
    await visible(route.getByText("In use now: X25519."));
    await done();
  });

  test("what relays cannot give is said beside the choice, and one leads to the other", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await steer(page, "setOffered", "x25519");
    await page.getByRole("button", { name: "Settings" }).click();
    const route = page.getByRole("region", { name: "Encryption of the route" });
    await route.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
    await visible(route.getByRole("group", { name: "Weaker onion encryption than you prefer" }));
    await route.getByRole("switch").check();
    await visible(route.getByRole("group", { name: "Nothing is sent or received" }));
    await route.getByRole("button", { name: "Show the connection" }).click();
    const panel = page.getByRole("dialog", { name: "Connection" });
    await visible(panel.getByRole("group", { name: "Nothing is sent or received" }));
    await page.keyboard.press("Escape");
    await gone(panel);
    await choose(page, /Tomás/);
    await page.getByRole("button", { name: /^Connection: / }).click();
    await panel.getByRole("button", { name: "Choose the encryption" }).click();
    await becomes(() => focused(page), "Encryption of the route");
    await steer(page, "offline");
    await route.getByRole("radio", { name: "Usual: X25519" }).check();
    await visible(route.getByText("In use now: X25519."));
    await steer(page, "offline");
    await visible(route.getByText("It is used as soon as you are connected."));
    await done();
  });

  test("a change that the engine does not take says why, and is kept for the next start", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await page.getByRole("button", { name: "Settings" }).click();
    const route = page.getByRole("region", { name: "Encryption of the route" });
    await visible(route.getByText("In use now: X25519."));
    await steer(page, "rejectNext", "closed", "");
    await route.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
    await visible(route.getByText("did not take effect", { exact: false }));
    await page.reload();
    await visible(route.getByText("In use now: X-Wing (post-quantum)."));
    await done();
  });

  test("another tab follows the choice", async () => {
    const { page, context, done } = await app.open("/?fake=seeded&speed=0.3");
    const second = await context.newPage();
    await second.goto(page.url());
    for (const tab of [page, second]) await tab.getByRole("button", { name: "Settings" }).click();
    const route = (tab) => tab.getByRole("region", { name: "Encryption of the route" });
    await visible(route(second).getByText("In use now: X25519."));
    await route(page).getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
    await visible(route(second).getByText("In use now: X-Wing (post-quantum)."));
    await becomes(() => route(second).getByRole("radio", { name: "Post-quantum: X-Wing" }).isChecked(), true);
    await done();
  });

  test("times are hidden as chosen in the settings, at once, and that is kept", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await page.getByRole("button", { name: "Settings" }).click();
    const mixing = page.getByRole("region", { name: "Hiding when you write" });
    await visible(mixing.getByText("In use now: Off."));
    await gone(mixing.locator(".cover"));
    await record(page, "section[aria-labelledby=s-mixing] [aria-live]");
    await page.evaluate(() => (window.opened = window.zentalkFake));
    await mixing.getByRole("radio", { name: "Light" }).check();
    await visible(mixing.getByText("In use now: Light."));
    await recorded(page, /Reconnecting/, /Light/);
    await visible(mixing.getByText("No packet sent to yourself yet."));
    assert.ok(await page.evaluate(() => window.opened === window.zentalkFake), "no second engine was opened");
    await mixing.getByRole("radio", { name: "Strong" }).check();
    await visible(mixing.getByText("In use now: Strong."));
    await becomes(() => steer(page, "wantedMixing"), "strong");
    await visible(mixing.getByText("about 17 MB an hour", { exact: false }));
    await page.getByRole("radio", { name: "Post-quantum: X-Wing" }).check();
    await visible(page.getByText("In use now: X-Wing (post-quantum)."));
    await visible(mixing.getByText("about 34 MB an hour", { exact: false }));
    await visible(mixing.getByText("In use now: Strong."));
    await page.reload();
    await visible(mixing.getByText("In use now: Strong."));
    assert.deepEqual(
      [await steer(page, "wantedOnion"), await steer(page, "wantedMixing")],
      [{ onionSuite: "xwing" }, "strong"],
      "opened with both",
    );
    await mixing.getByRole("radio", { name: "Off" }).check();
    await visible(mixing.getByText("In use now: Off."));
    await becomes(() => steer(page, "wantedMixing"), "off");
    await page.reload();
    await visible(mixing.getByText("In use now: Off."));
    await done();
  });

  test("what became of packets to oneself is shown, and kept up to date while it is looked at", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await page.getByRole("button", { name: "Settings" }).click();
    const mixing = page.getByRole("region", { name: "Hiding when you write" });
    // Asked how often, to see when nobody asks.
    await page.evaluate(() => {
      const read = window.zentalkFake.cover.bind(window.zentalkFake);
      window.asked = 0;
      window.zentalkFake.cover = () => ((window.asked += 1), read());
    });
    const asked = () => page.evaluate(() => window.asked);
    await visible(mixing.getByText("In use now: Off."));
    await mixing.getByRole("radio", { name: "Light" }).check();
    await visible(mixing.getByText("No packet sent to yourself yet."));
    await steer(page, "passCover", 31_000);
    await visible(mixing.getByText("1 packet sent to yourself, it came back."));
    await steer(page, "passCover", 330_000);
    await visible(mixing.getByText("12 packets sent to yourself, all came back."));
    await steer(page, "loseCover", 2);
    await visible(mixing.getByText("12 packets sent to yourself, 2 did not come back."));
    await visible(mixing.getByText("A relay or your connection loses packets.", { exact: false }));
    await becomes(() => mixing.locator("[aria-live]").textContent(), /^\s*In use now: Light\.\s*$/, "counts are not read out");
    await steer(page, "offline");
    await visible(mixing.getByText("It is used as soon as you are connected."));
    await steer(page, "online");
    await steer(page, "setNetwork", { relays: 1, hops: 1, privacyWarning: "oneRelay" });
    await visible(mixing.getByText("With the few relays that there are now, this hides little."));
    await choose(page, /Tomás/);
    const before = await asked();
    assert.ok(before >= 3, `${before} times`);
    await page.waitForTimeout(6_000);
    assert.equal(await asked(), before, "nobody asks when nobody looks");
    await page.getByRole("button", { name: "Settings" }).click();
    await visible(mixing.getByText("2 did not come back", { exact: false }));
    await mixing.getByRole("radio", { name: "Off" }).check();
    await visible(mixing.getByText("In use now: Off."));
    await gone(mixing.locator(".cover"));
    const off = await asked();
    await page.waitForTimeout(6_000);
    assert.equal(await asked(), off, "nor when it is off");
    await done();
  });

  test("hiding that the engine refuses says why, beside it alone", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.3");
    await page.getByRole("button", { name: "Settings" }).click();
    const mixing = page.getByRole("region", { name: "Hiding when you write" });
    const route = page.getByRole("region", { name: "Encryption of the route" });
    await visible(mixing.getByText("In use now: Off."));
    await steer(page, "rejectNext", "closed", "");
    await mixing.getByRole("radio", { name: "Strong" }).check();
    await visible(mixing.getByText("The change did not take effect: ZenTalk was closed in this tab.", { exact: false }));
    await visible(route.getByText("In use now: X25519."));
    await gone(route.getByText("did not take effect", { exact: false }));
    await page.reload();
    await visible(mixing.getByText("In use now: Strong."));
    await done();
  });

  test("hiding that the browser does not keep holds until reload", async () => {
    const init = () => {
      Storage.prototype.setItem = () => {
        throw new DOMException("", "QuotaExceededError");
      };
    };
    const { page, done } = await app.open("/?fake=seeded&speed=0.3", { init });
    await page.getByRole("button", { name: "Settings" }).click();
    const mixing = page.getByRole("region", { name: "Hiding when you write" });
    await mixing.getByRole("radio", { name: "Light" }).check();
    await visible(mixing.getByText("In use now: Light."));
    await visible(mixing.getByText("This browser does not keep the choice", { exact: false }));
    await page.reload();
    await visible(mixing.getByText("In use now: Off."));
    await done();
  });

  test("another tab follows what is hidden", async () => {
    const { page, context, done } = await app.open("/?fake=seeded&speed=0.3");
    const second = await context.newPage();
    await second.goto(page.url());
    for (const tab of [page, second]) await tab.getByRole("button", { name: "Settings" }).click();
    const mixing = (tab) => tab.getByRole("region", { name: "Hiding when you write" });
    await visible(mixing(second).getByText("In use now: Off."));
    await mixing(page).getByRole("radio", { name: "Strong" }).check();
    await visible(mixing(second).getByText("In use now: Strong."));
    await becomes(() => mixing(second).getByRole("radio", { name: "Strong" }).isChecked(), true);
    await becomes(() => steer(second, "wantedMixing"), "strong");
    await done();
  });

  test("storage that fails is said across the top", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await visible(page.getByRole("navigation"));
    await steer(page, "storageFailed", "quota");
    await visible(page.getByRole("alert").filter({ hasText: "storage is full" }));
    await done();
  });
});

describe("receiving", () => {
  test("the newest message is followed and marked read while it is looked at", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Nora/);
    const nora = await steer(page, "addressOf", "Nora Lindqvist");
    for (let i = 0; i < 12; i += 1) await steer(page, "receive", nora, `Line ${i}`);
    await visible(item(page, "Line 11"));
    await until(page, atEnd);
    await gone(page.getByRole("navigation").getByText("unread", { exact: false }).nth(1));
    await becomes(() => page.title(), /^\(2\) Nora Lindqvist/); // Mirjam's two
    await done();
  });

  test("who reads further up is not moved, and sees how many are new", async () => {
    const { page, done } = await app.open("/?fake=long");
    await choose(page, /Nora/);
    await until(page, atEnd);
    await calm(page);
    await page.locator(".scroller").evaluate((s) => (s.scrollTop -= 900));
    await visible(page.getByRole("button", { name: "Jump to the newest message" }));
    const top = await page.locator(".scroller").evaluate((s) => s.scrollTop);
    const nora = await steer(page, "addressOf", "Nora Lindqvist");
    await steer(page, "receive", nora, "One");
    await steer(page, "receive", nora, "Two");
    await visible(page.getByRole("button", { name: "2 new messages" }));
    await calm(page);
    assert.equal(await page.locator(".scroller").evaluate((s) => s.scrollTop), top);
    await becomes(() => page.title(), /^\(4\)/, "not read yet");
    await page.getByRole("button", { name: "2 new messages" }).click();
    await until(page, atEnd);
    await until(page, () => document.title.startsWith("(2)"));
    await done();
  });

  test("nothing is marked read while nobody looks", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await choose(page, /Nora/);
    await page.evaluate(() => {
      document.hasFocus = () => false;
      dispatchEvent(new Event("blur"));
    });
    const nora = await steer(page, "addressOf", "Nora Lindqvist");
    await steer(page, "receive", nora, "Anybody?");
    await visible(item(page, "Anybody?"));
    await until(page, () => document.title.startsWith("(3)"));
    await page.evaluate(() => {
      document.hasFocus = () => true;
      dispatchEvent(new Event("focus"));
    });
    await until(page, () => document.title.startsWith("(2)"));
    await done();
  });

  test("paging up keeps the place and ends at the beginning", async () => {
    const { page, done } = await app.open("/?fake=long&speed=0.1");
    await choose(page, /Nora/);
    await until(page, atEnd);
    const seen = page.getByText("Note 131.", { exact: true });
    await seen.scrollIntoViewIfNeeded();
    await until(page, () => document.querySelectorAll("li.item").length > 50);
    await calm(page);
    const box = await seen.boundingBox();
    assert.ok(box && box.y > 0 && box.y < 800, "still in view after older ones came in above");
    await until(page, () => {
      document.querySelector(".scroller").scrollTop = 0;
      return document.querySelectorAll("li.item").length === 180;
    });
    await visible(page.getByRole("heading", { name: /This is the beginning/ }));
    await done();
  });

  test("a stranger is a request until answered, under the name they claim", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await choose(page, /Mirjam/);
    const banner = page.getByRole("complementary", { name: "Mirjam wrote to you first" });
    await visible(banner.getByText("what they call themselves", { exact: false }));
    await banner.getByRole("button", { name: "Give them a name" }).click();
    await page.getByRole("dialog").getByLabel("What do you call them?").fill("Mirjam (Utrecht)");
    await page.getByRole("button", { name: "Save" }).click();
    await gone(banner);
    await visible(page.getByRole("region", { name: "Conversation with Mirjam (Utrecht)" }));
    await done();
  });

  test("hostile text is text", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    const requests = [];
    page.on("request", (r) => requests.push(r.url()));
    const address = await steer(page, "request", "Eve <img src=x onerror=alert(1)>\u202e", [
      [3, "in", "<img src=https://evil.example/x.png onerror=alert(1)><script>alert(2)</script>"],
      [2, "in", "javascript:alert(3) https://evil.example/\u202efdp.exe"],
      [1, "in", "\u202eright to left override"],
    ]);
    await choose(page, /Eve/);
    await visible(page.getByText("<script>alert(2)</script>", { exact: false }));
    await visible(page.getByText("right to left override", { exact: false }));
    assert.equal(await page.locator("main img, main script").count(), 0);
    const links = () => page.locator("main a").evaluateAll((all) => all.map((a) => [a.href, a.rel, a.target]));
    await becomes(links, [
      ["https://evil.example/x.png", "noopener noreferrer", "_blank"],
      ["https://evil.example/", "noopener noreferrer", "_blank"],
    ]);
    assert.deepEqual(requests.filter((u) => u.includes("evil")), []);
    assert.equal(typeof address, "string");
    await done();
  });
});

describe("around", () => {
  test("back on a phone leads to the list, reload to the same conversation state", async () => {
    const { page, done } = await app.open("/?fake=seeded", { viewport: PHONE, hasTouch: true, isMobile: true });
    await choose(page, /Nora/);
    await becomes(() => fragment(page), "");
    await page.reload();
    await visible(page.getByRole("region", { name: "Conversation with Nora Lindqvist" }));
    const list = await page.locator(".scroller").elementHandle();
    await page.goBack();
    await visible(page.getByRole("navigation"));
    await gone(page.getByRole("region", { name: /^Conversation with/ }));
    // A browser may tell of a scroll when the list is gone already.
    await list.evaluate((gone) => gone.dispatchEvent(new Event("scroll")));
    await done();
  });

  test("the theme can be chosen and survives a reload", async () => {
    const { page, done } = await app.open("/?fake=seeded", { colorScheme: "light" });
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByRole("button", { name: "Settings" }).click();
    const light = await ground();
    await page.getByRole("radio", { name: "Dark" }).check({ force: true });
    await becomes(() => page.evaluate(() => document.documentElement.dataset.theme), "dark");
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    await becomes(ground, dark);
    await page.getByRole("radio", { name: "As the system" }).check({ force: true });
    await becomes(ground, light);
    await done();
  });

  test("the name can be changed", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("Your name").fill("Ada L.");
    await page.getByRole("button", { name: "Save" }).click();
    await visible(page.getByRole("button", { name: "Saved" }));
    await visible(page.locator("footer").getByText("Ada L."));
    await done();
  });

  test("erasing needs the word, and leaves the first screen", async () => {
    const { page, done } = await app.open("/?fake=seeded&speed=0.1");
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Erase this identity…" }).click();
    const confirm = page.getByRole("button", { name: "Erase everything" });
    await becomes(() => confirm.isDisabled(), true);
    await becomes(() => focused(page), /confirm$/);
    await page.keyboard.type("erase");
    await page.keyboard.press("Enter");
    await visible(page.getByText("The identity in this browser was erased."));
    await visible(page.getByLabel("Your name"));
    await done();
  });

  test("licences of what is shipped are there", async () => {
    const { page, done } = await app.open("/?fake=seeded");
    const text = await page.evaluate(() => fetch("/licences.txt").then((r) => r.text()));
    for (const name of ["svelte", "uqr", "schibsted-grotesk"]) assert.ok(text.includes(name), name);
    await done();
  });
});
