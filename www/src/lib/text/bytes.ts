/** The most that one message holds, in bytes of UTF-8. */
export const TEXT_LIMIT = 16 * 1024;

const encoder = new TextEncoder();

/** How many bytes `text` is over the limit of one message; 0 when it fits. */
export function bytesOver(text: string): number {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if (text.length * 3 <= TEXT_LIMIT) return 0;
  return Math.max(0, encoder.encode(text).length - TEXT_LIMIT);
}

/** `1.3 MB`, decimal as storage is sold. */
export function humanBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
