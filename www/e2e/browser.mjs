// Chromium for the end-to-end tests.

import { chromium } from "playwright-core";

// `CHROMIUM` names another binary.
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

/** `SLOW=6` makes pages run six times slower, to find tests that read too early. */
const SLOW = Number(process.env.SLOW ?? 1);

export async function slowDown(page) {
  if (SLOW <= 1) return;
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOW });
}

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1280, height: 800 };

/** A browser whose contexts forget everything, with a camera that shows a test picture. */
export function launch() {
  return chromium.launch({ executablePath, args: [...args, "--use-fake-device-for-media-stream"] });
}

/** A browser with a profile folder, which it finds again after a restart. */
export function launchWithProfile(folder) {
  return chromium.launchPersistentContext(folder, { executablePath, args, viewport: DESKTOP, locale: "en-GB" });
}
