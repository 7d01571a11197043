/** PNG of 16 bits and TIFF, whose numbers no browser gives, brought to 8 bits as `monai_lesion/images/pictures.py` does. */

import { decode as decodePng } from "fast-png";
import { decode as decodeTiff } from "tiff";
import { PictureError } from "./errors";
import type { Picture } from "./operations";

const DEPTHS = [8, 10, 12, 14]; // bits that scanners store greys in
const WHITE_IS_ZERO = 0, PALETTE = 3, WHOLE = 1, REAL = 3;
const f = Math.fround;

type Numbers = Uint8Array | Uint8ClampedArray | Uint16Array | Float32Array | Float64Array;

/** Bring numbers to 0-255; `channels` of each pixel count, opacity in the others does not. */
export function toBytes(values: Numbers, samples: number, channels: number): Uint8ClampedArray {
  const bytes = new Uint8ClampedArray((values.length / samples) * channels);
  let low = Infinity, high = -Infinity, finite = true;
  eachOf(values, samples, channels, (value) => {
    finite &&= Number.isFinite(value);
    low = Math.min(low, value);
    high = Math.max(high, value);
  });
  if (!finite) throw new PictureError("damaged");
  const change = rule(values, low, high);
  eachOf(values, samples, channels, (value, place) => (bytes[place] = change(value)));
  return bytes;
}

/** How one number changes: `to_bytes`. */
function rule(values: Numbers, low: number, high: number): (value: number) => number {
  if (values instanceof Uint8Array || values instanceof Uint8ClampedArray) return (value) => value;
  if (values instanceof Uint16Array) {
    const shift = (DEPTHS.find((depth) => high < 2 ** depth) ?? 16) - 8;
    return (value) => value >> shift;
  }
  const round = values instanceof Float32Array ? f : (value: number): number => value;
  if (low >= 0 && high <= 255) return (value) => Math.trunc(round(round(value * (high <= 1 ? 255 : 1)) + 0.5));
  const scale = 255 / Math.max(high - low, 1e-300);
  return (value) => Math.trunc((value - low) * scale + 0.5);
}

function eachOf(values: Numbers, samples: number, channels: number, use: (value: number, place: number) => void): void {
  let place = 0;
  for (let start = 0; start + samples <= values.length; start += samples) {
    for (let channel = 0; channel < channels; channel++) use(values[start + channel], place++);
  }
}

function pictureOf(bytes: Uint8ClampedArray, channels: number, rows: number, columns: number): Picture {
  const pixels = rows * columns, rgba = new Uint8ClampedArray(4 * pixels);
  if (bytes.length !== pixels * channels) throw new PictureError("damaged");
  for (let i = 0; i < pixels; i++) {
    for (let colour = 0; colour < 3; colour++) rgba[4 * i + colour] = bytes[channels * i + (channels === 1 ? 0 : colour)];
    rgba[4 * i + 3] = 255; // opacity says nothing about tissue
  }
  return { rows, columns, rgba };
}

/** Whether a PNG says, in Exif data, that it shall be turned. */
function isTurned(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let place = 8; place + 12 <= bytes.length; place += 12 + view.getUint32(place)) {
    if (String.fromCharCode(...bytes.subarray(place + 4, place + 8)) === "eXIf") return true;
  }
  return false;
}

/** A PNG of 16 bits. Raises PictureError. */
export function decodeDeepPng(bytes: Uint8Array): Picture {
  if (isTurned(bytes)) throw new PictureError("needsServer", "16 bits, Exif");
  let png: ReturnType<typeof decodePng>;
  try {
    png = decodePng(bytes, { checkCrc: true });
  } catch {
    throw new PictureError("damaged");
  }
  const colours = png.channels > 2 ? 3 : 1;
  return pictureOf(toBytes(png.data, png.channels, colours), colours, png.height, png.width);
}

/** The first page of a TIFF without loss: greys, colours or a palette. Raises PictureError. */
export function decodeRaster(bytes: Uint8Array, most: number): Picture {
  const about = read(bytes, true);
  const { width, height, samplesPerPixel: samples, bitsPerSample: bits, sampleFormat, type } = about;
  if (width * height > most) throw new PictureError("tooLarge", `${width} × ${height}`);
  if (!(width >= 1 && height >= 1)) throw new PictureError("damaged");
  const kinds: Record<number, number[]> = { 8: [WHOLE], 16: [WHOLE], 32: [REAL], 64: [REAL] };
  const plain = kinds[bits]?.includes(sampleFormat);
  const layout = about.tiled ? "tiles" : about.planarConfiguration !== 1 && samples > 1 ? "planes" : "";
  if (!plain || layout || about.fillOrder !== 1) throw new PictureError("needsServer", `TIFF, ${layout || `${bits ?? 1} bits`}`);
  if (type === WHITE_IS_ZERO && bits > 8) throw new PictureError("needsServer", "TIFF, white is 0");
  const { data, palette } = read(bytes, false);
  if (type === PALETTE) {
    if (bits !== 8 || samples !== 1 || !palette) throw new PictureError("needsServer", "TIFF, palette");
    const colours = new Uint8ClampedArray(3 * width * height);
    data.forEach((value, i) => colours.set(palette[value].map((level) => level >> 8), 3 * i));
    return pictureOf(colours, 3, height, width);
  }
  const colours = samples > 2 ? 3 : 1;
  return pictureOf(toBytes(data as Numbers, samples, colours), colours, height, width);
}

function read(bytes: Uint8Array, ignoreImageData: boolean): ReturnType<typeof decodeTiff>[number] {
  try {
    const [page] = decodeTiff(bytes, { ignoreImageData, pages: [0] });
    if (page !== undefined) return page;
  } catch (error) {
    const said = error instanceof Error ? error.message : "";
    if (said.startsWith("Unsupported")) throw new PictureError("needsServer", `TIFF, ${said.slice(12)}`);
  }
  throw new PictureError("damaged");
}
