/** A result as files: the same keys as `monai-lesion predict --format json`. */

import type { Calibration, Region } from "./calibration";
import type { Measurements, Point, Quantity } from "./measures";
import type { ModelDescription } from "./models";
import type { Mask, Picture } from "./operations";
import { intervalsOf, type Interval, type Verdict } from "./trust";
import { words } from "./words";

export interface Result {
  name: string;
  frame: number | null;
  rows: number;
  columns: number;
  region: Region | null;
  calibration: Calibration;
  /** Where the lesion lies if that is not the tissue; else empty. */
  outside: string;
  meanProbability: number | null;
  measurements: Measurements | null;
  verdict: Verdict | null;
  model: ModelDescription;
  edited: boolean;
}

const POWERS: Record<string, string> = { mm2: "mm²", px2: "px²", mm3: "mm³" };

export function shown(quantity: Quantity): string {
  return `${quantity.value.toFixed(quantity.unit === "ml" ? 2 : 1)} ${POWERS[quantity.unit] ?? quantity.unit}`;
}

/** The intervals of a result; a reader's own outline has none. */
export function intervalsShown(result: Result): Record<string, Interval> | null {
  const { calibration } = result.model;
  if (result.edited || !calibration || result.verdict === null) return null;
  return intervalsOf(calibration, result.verdict, result.measurements);
}

function rounded(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

function point([row, column]: Point): number[] {
  return [rounded(row), rounded(column)];
}

export function toJson(result: Result): Record<string, unknown> {
  const found = result.measurements;
  const { region } = result, verdict = result.edited ? null : result.verdict, intervals = intervalsShown(result);
  const quantity = ({ value, unit }: Quantity): Record<string, unknown> => ({ value: rounded(value), unit });
  return {
    image: result.name,
    frame: result.frame,
    rows: result.rows,
    columns: result.columns,
    region: region && { top: region.top, left: region.left, bottom: region.bottom, right: region.right },
    spacing_mm: result.calibration.spacing,
    calibration: result.calibration.source,
    remarks: result.outside ? [`The lesion lies ${result.outside}`] : [],
    found: found !== null,
    mean_probability: result.meanProbability === null || found === null || result.edited ? null : rounded(result.meanProbability, 4),
    measurements: found && {
      long_axis: { ...quantity(found.long_axis), ends_px: found.long_axis_ends.map(point) },
      short_axis: { ...quantity(found.short_axis), ends_px: found.short_axis_ends.map(point) },
      width: quantity(found.width),
      height: quantity(found.height),
      area: quantity(found.area),
      perimeter: quantity(found.perimeter),
      equivalent_diameter: quantity(found.equivalent_diameter),
      depth: quantity(found.depth),
      centroid_px: point(found.centroid),
      spacing_mm: found.spacing,
      components: found.components,
      at_border: found.at_border,
    },
    decision: verdict?.decision ?? null,
    trust: verdict?.trust == null ? null : rounded(verdict.trust, 4),
    intervals: intervals && Object.fromEntries(Object.entries(intervals).map(
      ([name, { low, high, unit, level }]) => [name, { low: rounded(low), high: rounded(high), unit, level }],
    )),
    model: result.model.name,
    network: result.model.network,
    weights_id: result.model.weights_id,
    runtime: "onnxruntime-web",
    input_size: result.model.input_size,
    views: 1,
    edited: result.edited ? words.edited : null,
    software: `${result.model.software} page`,
    notice: words.notice,
  };
}

const COLUMNS = ["image", "frame", "found", "decision", "trust", "long_axis", "short_axis", "area", "unit", "calibration", "model", "weights_id", "edited"];

/** One line a result, for a spreadsheet; the same columns whatever was found. */
export function toCsv(results: readonly Result[]): string {
  const lines = results.map((result) => {
    const found = result.measurements, json = toJson(result);
    const size = (quantity: Quantity | undefined): string => (quantity ? quantity.value.toFixed(3) : "");
    return [
      result.name, result.frame ?? "", json.found, json.decision ?? "", json.trust ?? "", size(found?.long_axis),
      size(found?.short_axis), size(found?.area), found?.long_axis.unit ?? "", result.calibration.source,
      result.model.name, result.model.weights_id, result.edited,
    ].map(cell).join(",");
  });
  return [COLUMNS.join(","), ...lines].join("\r\n") + "\r\n";
}

function cell(value: unknown): string {
  let text = String(value);
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`; // no formula from a file's name
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export async function maskPng(mask: Mask): Promise<Blob> {
  const rgba = new Uint8ClampedArray(4 * mask.pixels.length);
  mask.pixels.forEach((inside, i) => rgba.set(inside ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * i));
  return png({ rows: mask.rows, columns: mask.columns, rgba }, () => undefined);
}

export async function png(picture: Picture, draw: (context: OffscreenCanvasRenderingContext2D) => void): Promise<Blob> {
  const canvas = new OffscreenCanvas(picture.columns, picture.rows);
  const context = canvas.getContext("2d")!;
  context.putImageData(new ImageData(picture.rgba as Uint8ClampedArray<ArrayBuffer>, picture.columns, picture.rows), 0, 0);
  draw(context);
  return canvas.convertToBlob({ type: "image/png" });
}

export function download(content: Blob | string, name: string): void {
  const link = document.createElement("a");
  const url = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type: "text/plain" }) : content);
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
