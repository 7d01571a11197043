/** Millimetres a pixel, as a DICOM header says: `monai_lesion/images/calibration.py` and `regions.py`. */

import type { Mask } from "./operations";
import type { Spacing } from "./measures";

export interface Region {
  top: number;
  left: number;
  bottom: number;
  right: number;
  spacing: Spacing | null;
  inside: boolean;
}

export interface Calibration {
  spacing: Spacing | null;
  source: string;
  regions: readonly Region[];
  stated: Spacing | null;
}

export const UNKNOWN: Calibration = {
  spacing: null, source: "none: the file does not know its scale", regions: [], stated: null,
};

const AGREEMENT = 0.01, SMALLEST = 16;

export function calibrationFrom(regions: readonly Region[], stated: Spacing | null): Calibration {
  if (regions.length === 0) {
    return stated === null ? UNKNOWN : { spacing: stated, source: "mm from Pixel Spacing", regions, stated };
  }
  const why = contradiction(regions, stated);
  return why ? none(why, regions, stated) : known(regions[0].spacing, regions, stated);
}

/** The calibration that holds for a lesion: that of the one region which it lies in. */
export function calibrationOf(whole: Calibration, mask: Mask): Calibration {
  const { regions, stated } = whole;
  if (regions.length === 0 || !regions.every((region) => region.inside) || !mask.pixels.includes(1)) return whole;
  const around = regions.filter((region) => holds(region, mask));
  if (around.length === 0) return none("the lesion does not lie in one ultrasound region", regions, stated);
  const why = contradiction(around, stated);
  return why ? none(why, regions, stated) : known(around[0].spacing, regions, stated);
}

/** The row where depth begins: the first of the smallest region around the lesion. */
export function topOf(calibration: Calibration, mask: Mask): number {
  if (!calibration.regions.every((region) => region.inside)) return 0;
  const size = (region: Region): number => (region.bottom - region.top) * (region.right - region.left);
  const around = calibration.regions.filter((region) => holds(region, mask)).sort((a, b) => size(a) - size(b));
  return around.length ? around[0].top : 0;
}

/** Say that a lesion lies outside the tissue, or in part; empty when it does not: `outside_of`. */
export function outsideOf(mask: Mask, regions: readonly Region[]): string {
  if (regions.length === 0 || !regions.every((region) => region.inside)) return "";
  let inside = 0, all = 0;
  for (let row = 0, place = 0; row < mask.rows; row++) {
    for (let column = 0; column < mask.columns; column++, place++) {
      if (!mask.pixels[place]) continue;
      all++;
      if (regions.some(({ top, left, bottom, right }) => row >= top && row < bottom && column >= left && column < right)) inside++;
    }
  }
  if (inside === all) return "";
  return inside === 0 ? "outside every tissue region of the header" : "partly outside the tissue regions of the header";
}

/** The region to show the network: the largest that lies in the image, of equal ones the upper, then the left. */
export function regionOfInterest(regions: readonly Region[]): Region | null {
  const usable = regions.filter(
    (region) => region.inside && Math.min(region.bottom - region.top, region.right - region.left) >= SMALLEST,
  );
  const size = (region: Region): number => (region.bottom - region.top) * (region.right - region.left);
  return [...usable].sort((a, b) => size(b) - size(a) || a.top - b.top || a.left - b.left)[0] ?? null;
}

export function holds(region: Region, mask: Mask): boolean {
  for (let place = 0; place < mask.pixels.length; place++) {
    if (!mask.pixels[place]) continue;
    const row = Math.floor(place / mask.columns), column = place % mask.columns;
    if (row < region.top || row >= region.bottom || column < region.left || column >= region.right) return false;
  }
  return true;
}

function none(why: string, regions: readonly Region[], stated: Spacing | null): Calibration {
  return { spacing: null, source: `none: ${why}`, regions, stated };
}

function known(spacing: Spacing | null, regions: readonly Region[], stated: Spacing | null): Calibration {
  return { spacing, source: "mm from ultrasound region", regions, stated };
}

function contradiction(regions: readonly Region[], stated: Spacing | null): string {
  if (!regions.every((region) => region.inside)) return "an ultrasound region reaches outside the image";
  const steps = regions.map((region) => region.spacing);
  if (steps.includes(null)) return "an ultrasound region is not in centimetres";
  if (!steps.every((step) => agree(steps[0], step))) return "the ultrasound regions differ in scale";
  if (stated !== null && !agree(steps[0], stated)) return "Pixel Spacing contradicts the ultrasound regions";
  return "";
}

function agree(one: Spacing | null, other: Spacing | null): boolean {
  if (one === null || other === null) return false;
  return [0, 1].every((i) => Math.abs(one[i] - other[i]) <= AGREEMENT * Math.max(one[i], other[i]));
}
