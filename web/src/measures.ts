/**
 * Sizes of a lesion from its mask: `monai_lesion/measures/sizes.py` and `outlines.py`.
 * Pixel coordinates are (row, column) with whole numbers at pixel centres.
 */

import { boxOf, components, empty, filled, padded, type Mask } from "./operations";

export type Point = readonly [number, number];
export type Spacing = readonly [number, number];

export interface Quantity {
  value: number;
  unit: "mm" | "mm2" | "mm3" | "ml" | "px" | "px2";
}

export interface Measurements {
  long_axis: Quantity;
  short_axis: Quantity;
  width: Quantity;
  height: Quantity;
  area: Quantity;
  perimeter: Quantity;
  equivalent_diameter: Quantity;
  depth: Quantity;
  centroid: Point;
  long_axis_ends: readonly [Point, Point];
  short_axis_ends: readonly [Point, Point];
  contour: Point[];
  spacing: Spacing | null;
  components: number;
  at_border: boolean;
}

const REACH = 2.3; // larger steps, out to the neighbours whose directions the perimeter uses
const MOST_PIXELS = 12;

export function isEmpty(mask: Mask): boolean {
  return !mask.pixels.includes(1);
}

/** Measure the largest part of a mask; null where it is empty. `top` is the row where depth begins. */
export function measure(mask: Mask, spacing: Spacing | null, top = 0): Measurements | null {
  const part = largestPart(mask);
  if (part === null) return null;
  const { lesion, corner, parts } = part;
  const steps: Spacing = spacing ?? [1, 1];
  const outline = outlineOf(lesion);
  const scaled = outline.map(([row, column]): Point => [row * steps[0], column * steps[1]]);
  const { long, short } = axesOf(scaled);
  let count = 0, rows = 0, columns = 0;
  for (let i = 0; i < lesion.rows; i++) {
    for (let j = 0; j < lesion.columns; j++) {
      if (!lesion.pixels[i * lesion.columns + j]) continue;
      count++;
      rows += i;
      columns += j;
    }
  }
  const length = spacing === null ? "px" : "mm", square = spacing === null ? "px2" : "mm2";
  const area = count * steps[0] * steps[1];
  const back = (point: Point): Point => [point[0] / steps[0] + corner[0], point[1] / steps[1] + corner[1]];
  const bottom = corner[0] + lesion.rows, right = corner[1] + lesion.columns;
  return {
    long_axis: { value: distance(long[0], long[1]), unit: length },
    short_axis: { value: distance(short[0], short[1]), unit: length },
    width: { value: lesion.columns * steps[1], unit: length },
    height: { value: lesion.rows * steps[0], unit: length },
    area: { value: area, unit: square },
    perimeter: { value: perimeterOf(lesion, steps), unit: length },
    equivalent_diameter: { value: Math.sqrt((4 * area) / Math.PI), unit: length },
    depth: { value: (corner[0] - top) * steps[0], unit: length },
    centroid: [rows / count + corner[0], columns / count + corner[1]],
    long_axis_ends: upperFirst(back(long[0]), back(long[1])),
    short_axis_ends: upperFirst(back(short[0]), back(short[1])),
    contour: outline.map(([row, column]): Point => [row + corner[0], column + corner[1]]),
    spacing,
    components: parts,
    at_border: corner[0] === 0 || corner[1] === 0 || bottom === mask.rows || right === mask.columns,
  };
}

export interface CaseMeasurements {
  axes: [Quantity, Quantity, Quantity] | null;
  volume: Quantity | null;
  reason: string;
}

/** The ellipsoid of two perpendicular views: `measure_case`. */
export function measureCase(one: Measurements | null, other: Measurements | null): CaseMeasurements {
  if (one === null || other === null) return { axes: null, volume: null, reason: "noLesionInView" };
  if (one.spacing === null || other.spacing === null) return { axes: null, volume: null, reason: "noCommonScale" };
  const [plane, across] = other.long_axis.value > one.long_axis.value ? [other, one] : [one, other];
  const axes: [Quantity, Quantity, Quantity] = [plane.long_axis, plane.short_axis, across.width];
  const volume = (Math.PI / 6) * axes[0].value * axes[1].value * axes[2].value;
  return { axes, volume: { value: volume, unit: "mm3" }, reason: "" };
}

function distance(one: Point, other: Point): number {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

function upperFirst(one: Point, other: Point): readonly [Point, Point] {
  const upper = one[0] < other[0] || (one[0] === other[0] && one[1] <= other[1]);
  return upper ? [one, other] : [other, one];
}

function largestPart(mask: Mask): { lesion: Mask; corner: Point; parts: number } | null {
  const { names, counts } = components(mask, 8);
  if (counts.length < 2) return null;
  let largest = 1;
  for (let name = 2; name < counts.length; name++) if (counts[name] > counts[largest]) largest = name;
  const { top, left, bottom, right } = boxOf(names, mask.rows, mask.columns, largest)!;
  const cut = empty(bottom - top, right - left);
  for (let i = 0; i < cut.rows; i++) {
    for (let j = 0; j < cut.columns; j++) {
      if (names[(top + i) * mask.columns + left + j] === largest) cut.pixels[i * cut.columns + j] = 1;
    }
  }
  return { lesion: filled(cut, 4), corner: [top, left], parts: counts.length - 1 };
}

const STEPS: readonly Point[] = [[0, 1], [1, 0], [0, -1], [-1, 0]]; // right, down, left, up: along the pixels' borders

/**
 * Trace the outer outline of one part, through the midpoints between pixels inside and outside.
 *
 * It walks along the pixels' borders with the lesion on its right. Where two lesion pixels meet at a corner it turns
 * left, so that pixels connect by corners.
 */
export function outlineOf(lesion: Mask): Point[] {
  const inside = (row: number, column: number): boolean =>
    row >= 0 && column >= 0 && row < lesion.rows && column < lesion.columns &&
    lesion.pixels[row * lesion.columns + column] === 1;
  const start = lesion.pixels.indexOf(1);
  if (start < 0) return [];
  // A corner (row, column) lies above and to the left of the pixel of these numbers.
  const startRow = Math.floor(start / lesion.columns), startColumn = start % lesion.columns;
  let row = startRow, column = startColumn, heading = 0;
  const points: Point[] = [];
  do {
    const [down, right] = STEPS[heading];
    points.push([row + down / 2 - 0.5, column + right / 2 - 0.5]);
    row += down;
    column += right;
    for (const turn of [3, 0, 1, 2]) { // left first
      const next = (heading + turn) % 4;
      if (borders(inside, row, column, next)) {
        heading = next;
        break;
      }
    }
  } while (row !== startRow || column !== startColumn || heading !== 0);
  return points;
}

function borders(inside: (row: number, column: number) => boolean, row: number, column: number, heading: number): boolean {
  // The pixels to the right and to the left of the border that starts at this corner.
  switch (heading) {
    case 0: return inside(row, column) && !inside(row - 1, column);
    case 1: return inside(row, column - 1) && !inside(row, column);
    case 2: return inside(row - 1, column - 1) && !inside(row, column - 1);
    default: return inside(row - 1, column) && !inside(row - 1, column - 1);
  }
}

/** The ends of the longest diameter of an outline, and of the longest chord perpendicular to it. */
export function axesOf(outline: readonly Point[]): { long: [Point, Point]; short: [Point, Point] } {
  const hull = convexHull(outline);
  let longest = 0;
  for (let i = 0; i < hull.length; i++) {
    for (let j = i + 1; j < hull.length; j++) longest = Math.max(longest, distance(hull[i], hull[j]));
  }
  let best: { long: [Point, Point]; short: [Point, Point] } | null = null, width = -1;
  for (let i = 0; i < hull.length; i++) {
    for (let j = i + 1; j < hull.length; j++) {
      if (distance(hull[i], hull[j]) < longest * (1 - 1e-9)) continue;
      const short = chord(outline, [hull[i][0] - hull[j][0], hull[i][1] - hull[j][1]]);
      if (distance(short[0], short[1]) > width * (1 + 1e-12)) {
        width = distance(short[0], short[1]);
        best = { long: [hull[i], hull[j]], short };
      }
    }
  }
  return best!;
}

function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered: readonly Point[]): Point[] => {
    const chain: Point[] = [];
    for (const point of ordered) {
      while (chain.length > 1) {
        const a = chain[chain.length - 2], b = chain[chain.length - 1];
        if ((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]) > 0) break;
        chain.pop();
      }
      chain.push(point);
    }
    chain.pop();
    return chain;
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** The longest chord perpendicular to a direction; a longest one passes through a vertex. */
function chord(outline: readonly Point[], direction: Point): [Point, Point] {
  const size = Math.hypot(direction[0], direction[1]);
  const along: Point = [direction[0] / size, direction[1] / size], across: Point = [-along[1], along[0]];
  const start = outline.map((point) => point[0] * along[0] + point[1] * along[1]);
  const level = outline.map((point) => point[0] * across[0] + point[1] * across[1]);
  const positions = [...new Set(start)].sort((a, b) => a - b);
  const upper = new Float64Array(positions.length).fill(-Infinity);
  const lower = new Float64Array(positions.length).fill(Infinity);
  for (let edge = 0; edge < outline.length; edge++) {
    const next = (edge + 1) % outline.length;
    const low = Math.min(start[edge], start[next]), high = Math.max(start[edge], start[next]);
    const run = start[next] === start[edge] ? 1 : start[next] - start[edge];
    for (let at = search(positions, low); at < positions.length && positions[at] <= high; at++) {
      const value = level[edge] + ((positions[at] - start[edge]) / run) * (level[next] - level[edge]);
      upper[at] = Math.max(upper[at], value);
      lower[at] = Math.min(lower[at], value);
    }
  }
  let best = 0;
  for (let at = 1; at < positions.length; at++) if (upper[at] - lower[at] > upper[best] - lower[best]) best = at;
  const end = (value: number): Point =>
    [positions[best] * along[0] + value * across[0], positions[best] * along[1] + value * across[1]];
  return [end(lower[best]), end(upper[best])];
}

function search(sorted: readonly number[], value: number): number {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The length of the outline by Crofton's formula: how often parallel lines in many directions cross it. */
export function perimeterOf(lesion: Mask, steps: Spacing): number {
  const reach = REACH * Math.max(...steps);
  const downs = Math.min(Math.trunc(reach / steps[0]), MOST_PIXELS);
  const rights = Math.min(Math.trunc(reach / steps[1]), MOST_PIXELS);
  const lines: { angle: number; length: number; i: number; j: number }[] = [];
  for (let i = 0; i <= downs; i++) {
    for (let j = -rights; j <= rights; j++) {
      const length = Math.hypot(i * steps[0], j * steps[1]);
      if (divisor(i, Math.abs(j)) !== 1 || !(i > 0 || (i === 0 && j > 0)) || length > reach) continue;
      lines.push({ angle: Math.atan2(i * steps[0], j * steps[1]), length, i, j });
    }
  }
  lines.sort((a, b) => a.angle - b.angle);
  const gaps = lines.map((line, n) => (n + 1 < lines.length ? lines[n + 1].angle : lines[0].angle + Math.PI) - line.angle);
  const margin = Math.max(downs, rights), width = lesion.columns + 2 * margin, around = padded(lesion, margin);
  let total = 0;
  lines.forEach(({ length, i, j }, n) => {
    let crossings = 0;
    const step = i * width + j, last = lesion.columns + Math.max(-j, 0);
    for (let row = -i; row < lesion.rows; row++) {
      const start = (row + margin) * width + margin;
      for (let column = -Math.max(j, 0); column < last; column++) {
        if (around[start + column] !== around[start + column + step]) crossings++;
      }
    }
    const share = (gaps[n] + gaps[(n + gaps.length - 1) % gaps.length]) / 2;
    total += (share * crossings) / length;
  });
  return (total * steps[0] * steps[1]) / 2;
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
