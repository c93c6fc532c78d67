// The small picture of an address: raked arcs around a point of the rim, in one of ten muted hues.
// It helps the eye; it is no proof of identity (there are only a few hundred).

export interface Sigil {
  /** OKLCH hue in degrees. */
  hue: number;
  /** Centre of the arcs, in a 40 × 40 box. */
  x: number;
  y: number;
  /** Radii of the arcs. */
  radii: number[];
}

const HUES = [95, 135, 165, 200, 230, 265, 310, 350, 25, 60];

const byte = (address: string, at: number) => Number.parseInt(address.slice(at * 2, at * 2 + 2), 16) || 0;

export function sigilOf(address: string): Sigil {
  const angle = ((byte(address, 1) % 16) / 16) * 2 * Math.PI;
  const gap = 3.2 + (byte(address, 2) % 3) * 0.7;
  const round = (n: number) => Math.round(n * 100) / 100;
  return {
    hue: HUES[byte(address, 0) % HUES.length] ?? 95,
    x: round(20 + 20 * Math.cos(angle)),
    y: round(20 + 20 * Math.sin(angle)),
    radii: Array.from({ length: 4 + (byte(address, 3) % 2) }, (_, i) => round(gap * (i + 1))),
  };
}
