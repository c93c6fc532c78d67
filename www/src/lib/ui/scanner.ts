// QR codes by the browser's own detector. The camera runs only while `scanQr` does.

/** W3C Shape Detection API, as far as it is used; TypeScript does not know it. */
interface BarcodeDetector {
  detect(source: HTMLVideoElement): Promise<readonly { rawValue: string }[]>;
}
interface BarcodeDetectorClass {
  new (options: { formats: string[] }): BarcodeDetector;
  getSupportedFormats(): Promise<readonly string[]>;
}

const QR = "qr_code";
/** Between two looks: quick for a person, little work for a phone. */
const LOOK_MS = 150;

export type CameraProblem = "denied" | "missing" | "unavailable";

export class CameraError extends Error {
  constructor(readonly problem: CameraProblem) {
    super(`camera: ${problem}`);
  }
}

function detectorClass(): BarcodeDetectorClass | undefined {
  return (globalThis as { BarcodeDetector?: BarcodeDetectorClass }).BarcodeDetector;
}

/** Whether this browser reads QR codes and can have a camera. Asks nobody for permission. */
export async function canScan(): Promise<boolean> {
  const detector = detectorClass();
  // Absent where the page is not secure, whatever TypeScript says.
  const media = navigator.mediaDevices as MediaDevices | undefined;
  if (!detector || typeof media?.getUserMedia !== "function") return false;
  try {
    return (await detector.getSupportedFormats()).includes(QR);
  } catch {
    return false;
  }
}

/**
 * Shows the camera in `video` until a QR code is seen, and gives its text; null when `signal` ends it.
 * The browser asks for permission. When this settles, the camera is off. Rejects with `CameraError`.
 */
export async function scanQr(video: HTMLVideoElement, signal: AbortSignal): Promise<string | null> {
  const Detector = detectorClass();
  if (!Detector) throw new CameraError("unavailable");
  const stream = await openCamera();
  try {
    if (signal.aborted) return null;
    video.srcObject = stream;
    const detector = new Detector({ formats: [QR] });
    while (!signal.aborted) {
      if (stream.getVideoTracks().every((track) => track.readyState === "ended")) throw new CameraError("unavailable");
      const text = await look(detector, video);
      if (text && !signal.aborted) return text;
      await pause(signal);
    }
    return null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  }
}

async function openCamera(): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "NotAllowedError" || name === "SecurityError") throw new CameraError("denied");
    if (name === "NotFoundError" || name === "OverconstrainedError") throw new CameraError("missing");
    throw new CameraError("unavailable");
  }
}

async function look(detector: BarcodeDetector, video: HTMLVideoElement): Promise<string | null> {
  try {
    const [code] = await detector.detect(video);
    return code?.rawValue || null;
  } catch {
    // There is no picture yet.
    return null;
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, LOOK_MS);
    signal.addEventListener("abort", end);
  });
}
