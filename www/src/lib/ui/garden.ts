// Lines of raked sand around stones: streamlines of an ideal flow past circles, as SVG paths.

export interface Stone {
  x: number;
  y: number;
  /** Radius of the raked circle around the stone, which the lines pass. */
  r: number;
}

const ROUNDS = 40;
const STEP = 8;

/** Height at `x` of the line that would lie at `level` if there were no stones, sought from `near`. */
function height(x: number, level: number, near: number, stones: readonly Stone[]): number {
  let y = near;
  for (let round = 0; round < ROUNDS; round += 1) {
    let pushed = level;
    for (const stone of stones) {
      const square = Math.max((x - stone.x) ** 2 + (y - stone.y) ** 2, stone.r ** 2);
      pushed += (stone.r ** 2 * (y - stone.y)) / square;
    }
    y += (pushed - y) * 0.5;
  }
  return y;
}

/** Paths of lines `gap` apart that fill a box of `width` × `height`. */
export function rakedLines(width: number, boxHeight: number, gap: number, stones: readonly Stone[]): string[] {
  const lines: string[] = [];
  for (let level = gap / 2; level < boxHeight; level += gap) {
    const points: string[] = [];
    // From one point to the next a line stays on its side of every stone.
    let y = level;
    for (let x = 0; x <= width; x += STEP) {
      y = height(x, level, y, stones);
      points.push(`${x} ${y.toFixed(1)}`);
    }
    lines.push(`M${points.join("L")}`);
  }
  return lines;
}

/** Radii of the raked circles of one stone, from the outside in. */
export function rings(stone: Stone, gap: number, smallest: number): number[] {
  const radii: number[] = [];
  for (let r = stone.r; r > smallest; r -= gap) radii.push(r);
  return radii;
}
