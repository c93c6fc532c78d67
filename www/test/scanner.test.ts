// The camera: asked for only when it is to scan, off as soon as it has or nobody looks any more.

import { afterEach, describe, expect, test, vi } from "vitest";
import { CameraError, canScan, scanQr } from "../src/lib/ui/scanner.ts";

afterEach(() => vi.unstubAllGlobals());

class Track {
  readyState: "live" | "ended" = "live";
  stop(): void {
    this.readyState = "ended";
  }
}

interface Setting {
  formats?: string[];
  /** What is seen at each look; an Error is thrown. */
  seen?: (string | Error | undefined)[];
  refusal?: string;
}

/** A browser with one camera. */
function camera({ formats = ["qr_code"], seen = [], refusal }: Setting = {}) {
  const track = new Track();
  const looks = [...seen];
  const getUserMedia = vi.fn(async () => {
    if (refusal) throw Object.assign(new Error(refusal), { name: refusal });
    return { getTracks: () => [track], getVideoTracks: () => [track] };
  });
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
  vi.stubGlobal(
    "BarcodeDetector",
    class {
      static getSupportedFormats = async () => formats;
      detect = async () => {
        const look = looks.shift();
        if (look instanceof Error) throw look;
        return look === undefined ? [] : [{ rawValue: look }];
      };
    },
  );
  const video = { srcObject: null } as unknown as HTMLVideoElement;
  return { track, getUserMedia, video };
}

describe("whether one can scan", () => {
  test("with a detector of QR codes and a camera interface; nobody is asked yet", async () => {
    const { getUserMedia } = camera();
    expect(await canScan()).toBe(true);
    expect(getUserMedia).not.toHaveBeenCalled();
  });
  test("not without the format, the detector or a secure page", async () => {
    camera({ formats: ["ean_13"] });
    expect(await canScan()).toBe(false);
    camera();
    vi.stubGlobal("BarcodeDetector", undefined);
    expect(await canScan()).toBe(false);
    camera();
    vi.stubGlobal("navigator", {});
    expect(await canScan()).toBe(false);
  });
});

describe("scanning", () => {
  test("gives the first text that is seen, and the camera is off", async () => {
    const { track, video } = camera({ seen: [new Error("no picture yet"), undefined, "", "words"] });
    expect(await scanQr(video, new AbortController().signal)).toBe("words");
    expect([track.readyState, video.srcObject]).toEqual(["ended", null]);
  });
  test("that is ended stops the camera at once", async () => {
    const { track, video } = camera();
    const ending = new AbortController();
    const scan = scanQr(video, ending.signal);
    await vi.waitFor(() => expect(video.srcObject).not.toBeNull());
    ending.abort();
    expect(await scan).toBeNull();
    expect([track.readyState, video.srcObject]).toEqual(["ended", null]);
  });
  test("that is ended before permission was given never shows a picture", async () => {
    const { track, video } = camera({ seen: ["words"] });
    const ending = new AbortController();
    const scan = scanQr(video, ending.signal);
    ending.abort();
    expect(await scan).toBeNull();
    expect(track.readyState).toBe("ended");
  });
  test("a camera that is pulled out is a problem", async () => {
    const { track, video } = camera();
    const scan = scanQr(video, new AbortController().signal);
    track.stop();
    await expect(scan).rejects.toEqual(new CameraError("unavailable"));
  });
  test.each([
    ["NotAllowedError", "denied"],
    ["SecurityError", "denied"],
    ["NotFoundError", "missing"],
    ["OverconstrainedError", "missing"],
    ["NotReadableError", "unavailable"],
  ])("%s of the browser is told as %s", async (refusal, problem) => {
    const { video } = camera({ refusal });
    await expect(scanQr(video, new AbortController().signal)).rejects.toMatchObject({ problem });
  });
});
