/** Decision, trust and intervals, where the model folder carries a calibration: `monai_lesion/measures/judgements.py`. */

import type { Measurements, Quantity } from "./measures";
import type { Mask, Picture } from "./operations";

export interface TrustCalibration {
  signal: "scores" | "views";
  presence: { threshold: number } | null;
  trust: { quality: number[]; dice: number[]; least: number };
  familiarity: { mean: number[]; scale: number[]; whitening: number[][]; limit: number } | null;
  intervals: { level: number; groups: Record<string, Record<string, [number, number] | null>> };
}

export interface Signals {
  presence: number;
  quality: number;
  /** Of the picture, see describePicture. */
  features: number[] | null;
}

export interface Verdict {
  decision: "lesion" | "doubtful" | "nothing found";
  trust: number | null;
  unfamiliar: boolean;
  quality: number;
  group: string;
}

export interface Interval {
  low: number;
  high: number;
  unit: Quantity["unit"];
  level: number;
}

export const SIZES = ["long_axis", "short_axis", "area"] as const;
const GAMMA = 0.7, SPREAD = 0.1, FURTHEST = 1e6;
const SIDE = 64, COARSE = 8, GREYS = 10, SCALES = 4;

/** The signals of a network's scores, logits of presence and quality. */
export function signalsOf(scores: ArrayLike<number>, features: number[] | null = null): Signals {
  const [presence, quality] = [scores[0], scores[1]].map((x) => 1 / (1 + Math.exp(-Math.min(Math.max(x, -60), 60))));
  return { presence, quality, features };
}

/** The signals of a network without scores: how far the masks of three views agree. */
export async function signalsOfViews(
  mask: Mask, picture: Picture, segment: (view: Picture) => Promise<Mask>, features: number[] | null,
): Promise<Signals> {
  const mirrored = mirroredMask(await segment(mirroredPicture(picture)));
  const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => 255 * (value / 255) ** GAMMA);
  const brighter = { ...picture, rgba: picture.rgba.map((value, i) => (i % 4 === 3 ? value : table[value])) };
  const agreement = agreementOf([mask, mirrored, await segment(brighter)]);
  return { presence: agreement, quality: agreement, features };
}

export function agreementOf(masks: readonly Mask[]): number {
  const shares: number[] = [];
  masks.forEach((one, i) => masks.slice(i + 1).forEach((other) => {
    let common = 0, total = 0;
    one.pixels.forEach((value, place) => {
      common += value & other.pixels[place];
      total += value + other.pixels[place];
    });
    shares.push(total ? (2 * common) / total : 1);
  }));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Decide, and estimate the Dice. */
export function judge(calibration: TrustCalibration, signals: Signals, found: boolean, scanner: string): Verdict {
  const unfamiliar = distanceOf(calibration.familiarity, signals.features) > 1, { quality } = signals;
  const group = Object.keys(calibration.intervals.groups).find((name) => name && name.toLowerCase() === scanner.toLowerCase()) ?? "";
  if (!found || (calibration.presence !== null && signals.presence < calibration.presence.threshold)) {
    return { decision: "nothing found", trust: null, unfamiliar, quality, group };
  }
  const trust = interpolated(quality, calibration.trust.quality, calibration.trust.dice);
  const doubtful = unfamiliar || trust < calibration.trust.least;
  return { decision: doubtful ? "doubtful" : "lesion", trust, unfamiliar, quality, group };
}

/** The intervals of the sizes that were measured; null where there are none. */
export function intervalsOf(
  calibration: TrustCalibration, verdict: Verdict, found: Measurements | null,
): Record<string, Interval> | null {
  if (found === null || verdict.unfamiliar || verdict.decision === "nothing found") return null;
  const { groups, level } = calibration.intervals, spread = 1 - verdict.quality + SPREAD;
  const intervals: Record<string, Interval> = {};
  for (const name of SIZES) {
    const bounds = groups[verdict.group]?.[name] ?? groups[""][name];
    if (!bounds) continue;
    const { value, unit } = found[name];
    intervals[name] = { low: value * Math.exp(bounds[0] * spread), high: value * Math.exp(bounds[1] * spread), unit, level };
  }
  return Object.keys(intervals).length ? intervals : null;
}

/** Statistics that tell a picture of another kind: of another organ, a photograph, a page, noise. */
export function describePicture(picture: Picture): number[] {
  const places = (size: number): number[] =>
    Array.from({ length: SIDE }, (_, i) => Math.min(Math.trunc(((i + 0.5) * size) / SIDE), size - 1));
  const grey: number[][] = [], colours: number[] = [];
  for (const row of places(picture.rows)) {
    grey.push(places(picture.columns).map((column) => {
      const start = 4 * (row * picture.columns + column);
      const [r, g, b] = [0, 1, 2].map((channel) => picture.rgba[start + channel] / 255);
      colours.push(Math.max(r, g, b) - Math.min(r, g, b));
      return (r + g + b) / 3;
    }));
  }
  const flat = grey.flat(), levels = new Array<number>(GREYS).fill(0);
  for (const value of flat) { // numpy's `histogram`: the edges decide, not the rounded product
    let bin = Math.min(Math.trunc(value * GREYS), GREYS - 1);
    if (value < bin * (1 / GREYS)) bin--;
    else if (bin < GREYS - 1 && value >= (bin + 1) * (1 / GREYS)) bin++;
    levels[bin]++;
  }
  const width = SIDE / COARSE, bands = [...Array(COARSE).keys()];
  const across = bands.map((band) => mean(grey.slice(band * width, (band + 1) * width).flat()));
  const down = bands.map((band) => mean(grey.flatMap((line) => line.slice(band * width, (band + 1) * width))));
  const middle = mean(flat), deviation = Math.sqrt(mean(flat.map((value) => (value - middle) ** 2)));
  const features = [...levels.map((count) => Math.log(count / flat.length + 1e-2)), ...across, ...down];
  features.push(middle, deviation, mean(colours), quantile(colours, 0.95));
  let level = grey;
  for (let scale = 0; scale < SCALES; scale++) {
    const vertical = level.slice(1).flatMap((line, i) => line.map((value, j) => Math.abs(value - level[i][j])));
    const horizontal = level.flatMap((line) => line.slice(1).map((value, j) => Math.abs(value - line[j])));
    for (const step of [vertical, horizontal]) features.push(Math.log(1e-3 + mean(step)), Math.log(1e-3 + quantile(step, 0.95)));
    level = Array.from({ length: level.length / 2 }, (_, i) => Array.from({ length: level.length / 2 }, (_, j) =>
      (level[2 * i][2 * j] + level[2 * i][2 * j + 1] + level[2 * i + 1][2 * j] + level[2 * i + 1][2 * j + 1]) / 4));
  }
  return features;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** numpy's `quantile`. */
function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort(), place = share * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

function distanceOf(familiarity: TrustCalibration["familiarity"], features: number[] | null): number {
  if (familiarity === null || features === null) return 0;
  const standard = features.map((value, i) => (value - familiarity.mean[i]) / familiarity.scale[i]);
  const squares = familiarity.whitening.map((line) =>
    Math.min(line.reduce((sum, weight, i) => sum + weight * standard[i], 0) ** 2, FURTHEST));
  return mean(squares) / familiarity.limit;
}

/** numpy's `interp`. */
function interpolated(x: number, xs: readonly number[], ys: readonly number[]): number {
  if (x <= xs[0]) return ys[0];
  for (let i = 1; i < xs.length; i++) {
    if (x < xs[i]) return ys[i - 1] + ((x - xs[i - 1]) / (xs[i] - xs[i - 1])) * (ys[i] - ys[i - 1]);
  }
  return ys[ys.length - 1];
}

function mirroredPicture(picture: Picture): Picture {
  const rgba = new Uint8ClampedArray(picture.rgba.length), { rows, columns } = picture;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const from = 4 * (i * columns + columns - 1 - j);
      rgba.set(picture.rgba.subarray(from, from + 4), 4 * (i * columns + j));
    }
  }
  return { rows, columns, rgba };
}

function mirroredMask(mask: Mask): Mask {
  const pixels = new Uint8Array(mask.pixels.length), { rows, columns } = mask;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) pixels[i * columns + j] = mask.pixels[i * columns + columns - 1 - j];
  }
  return { rows, columns, pixels };
}
