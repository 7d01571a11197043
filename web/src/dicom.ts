/** DICOM ultrasound files: header, frames and calibration, as `monai_lesion/images/dicom_*.py` reads them. */

import dicomParser, { type DataSet, type Element } from "dicom-parser";
import { calibrationFrom, type Calibration, type Region } from "./calibration";
import { decodeJpegLs, decodeJpeg2000, decodeLossless, decodeRle, type Decoded } from "./codecs";
import { PictureError } from "./errors";
import type { Spacing } from "./measures";
import type { Picture } from "./operations";
import { decodePicture, jpegFrame, MAX_PIXELS, withColours } from "./pictures";

const BIG_ENDIAN = "1.2.840.10008.1.2.2", DEFLATED = "1.2.840.10008.1.2.1.99", RLE = "1.2.840.10008.1.2.5";
const NATIVE = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN];
const JPEG = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];
const LOSSLESS = ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
const JPEG_LS = ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"];
const JPEG_2000 = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"];
const GREY = ["MONOCHROME1", "MONOCHROME2"];
const CLASSES = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(6\.1|3\.1|6|3|7|7\.[1-4])$/;

export interface DicomPicture {
  frames: number;
  calibration: Calibration;
  /** Name of its model, as the header has it. */
  scanner: string;
  frame(index: number): Promise<Picture>;
}

export function isDicom(bytes: Uint8Array): boolean {
  return bytes.length > 132 && String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";
}

/** Read and check the header. Raises PictureError. */
export async function openDicom(bytes: Uint8Array): Promise<DicomPicture> {
  let header: DataSet;
  try {
    header = dicomParser.parseDicom(await inflated(bytes));
  } catch (error) {
    if (error instanceof PictureError) throw error;
    throw new PictureError("damagedDicom");
  }
  const syntax = text(header, "x00020010") || NATIVE[0];
  const rows = header.uint16("x00280010") ?? 0, columns = header.uint16("x00280011") ?? 0;
  const samples = header.uint16("x00280002") ?? 1, bits = header.uint16("x00280100") ?? 0;
  const stored = header.uint16("x00280101") || bits, high = header.uint16("x00280102") ?? stored - 1;
  const signed = header.uint16("x00280103") === 1, planar = header.uint16("x00280006") === 1;
  const photometric = text(header, "x00280004");
  const pixels = header.elements["x7fe00010"];
  if (!CLASSES.test(text(header, "x00080016"))) throw new PictureError("noUltrasound");
  if (!pixels) throw new PictureError("noPixels");
  if (rows < 1 || columns < 1 || rows * columns > MAX_PIXELS) throw new PictureError("tooLarge", `${columns} × ${rows}`);
  if (![1, 3].includes(samples) || ![8, 16].includes(bits)) throw new PictureError("needsServer", `${bits} bits`);
  const halved = ["YBR_FULL_422", "YBR_PARTIAL_422"].includes(photometric) && NATIVE.includes(syntax);
  if (photometric === "YBR_PARTIAL_422") throw new PictureError("needsServer", photometric);
  const frameBytes = (rows * columns * samples * bits) / 8 * (halved ? 2 / 3 : 1);
  const fragments = pixels.encapsulatedPixelData ? framesOf(pixels, header) : [];
  const claimed = Math.max(header.intString("x00280008") ?? 1, 1);
  const frames = fragments.length ? Math.min(claimed, fragments.length) : Math.min(claimed, Math.floor(pixels.length / frameBytes));
  if (frames < 1) throw new PictureError("damagedDicom");

  const coded = (index: number): Uint8Array => join(header, fragments[index]);
  const decode = async (index: number): Promise<Decoded> => {
    if (NATIVE.includes(syntax)) {
      const start = pixels.dataOffset + index * frameBytes;
      const data = header.byteArray.slice(start, start + frameBytes) as Uint8Array;
      return { data: numbers(data, bits, signed, syntax === BIG_ENDIAN), planar: planar && !halved, ybr: photometric.startsWith("YBR"), halved };
    }
    const ybr = photometric === "YBR_FULL" || photometric === "YBR_FULL_422";
    if (syntax === RLE) return { data: numbers(decodeRle(coded(index), rows * columns, samples, bits / 8), bits, signed, false), planar: true, ybr };
    if (LOSSLESS.includes(syntax)) return { data: numbers(decodeLossless(coded(index)), bits, signed, false), planar: false, ybr };
    if (JPEG_LS.includes(syntax)) return { data: numbers(await decodeJpegLs(coded(index)), bits, signed, false), planar: false, ybr };
    if (JPEG_2000.includes(syntax)) return { data: numbers(await decodeJpeg2000(coded(index)), bits, signed, false), planar: false, ybr: false };
    throw new PictureError("needsServer", syntax);
  };

  return {
    frames,
    scanner: text(header, "x00081090"),
    calibration: calibrationFrom(regionsOf(header, rows, columns), pixelSpacing(header)),
    async frame(index: number): Promise<Picture> {
      if (JPEG.includes(syntax) && bits === 8) return lossy(coded(index), photometric, rows, columns, header);
      const decoded = await decode(index);
      if (decoded.data.length < rows * columns * samples * (decoded.halved ? 2 / 3 : 1)) throw new PictureError("damagedDicom");
      if (samples === 1 && photometric === "PALETTE COLOR") return palette(header, decoded.data, rows, columns);
      if (samples === 1) {
        if (!GREY.includes(photometric)) throw new PictureError("needsServer", photometric);
        const shift = high >= stored ? high - stored + 1 : 0;
        return grey(header, decoded.data, rows, columns, stored, signed, shift, photometric === "MONOCHROME1");
      }
      return colour(decoded, rows, columns, stored);
    },
  };
}

async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const meta = dicomParser.readPart10Header(bytes);
  if (text(meta, "x00020010") !== DEFLATED) return bytes;
  throw new PictureError("needsServer", "deflated");
}

function text(header: DataSet, tag: string): string {
  return (header.string(tag) ?? "").trim();
}

/** Which fragments make each frame: by their starts where there are more fragments than frames. */
function framesOf(pixels: Element, header: DataSet): { start: number; count: number }[] {
  const fragments = pixels.fragments ?? [];
  const claimed = Math.max(header.intString("x00280008") ?? 1, 1);
  if (fragments.length === claimed) return fragments.map((_, start) => ({ start, count: 1 }));
  if (claimed === 1) return [{ start: 0, count: fragments.length }];
  const starts = (pixels.basicOffsetTable ?? []).map((offset) => fragments.findIndex((each) => each.offset === offset));
  const sound = starts.length === claimed && starts.every((start, i) => start >= 0 && (i === 0 ? start === 0 : start > starts[i - 1]));
  const begins = sound ? starts : fragments.flatMap((each, i) => {
    const [first, second] = header.byteArray.subarray(each.position, each.position + 2);
    return first === 0xff && (second === 0xd8 || second === 0x4f) ? [i] : []; // JPEG, JPEG 2000
  });
  return begins.map((start, i) => ({ start, count: (begins[i + 1] ?? fragments.length) - start }));
}

function join(header: DataSet, frame: { start: number; count: number } | undefined): Uint8Array {
  const pixels = header.elements["x7fe00010"];
  if (frame === undefined) throw new PictureError("damagedDicom");
  const parts = pixels.fragments!.slice(frame.start, frame.start + frame.count)
    .map((each) => header.byteArray.subarray(each.position, each.position + each.length));
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    result.set(part, place);
    place += part.length;
  }
  return result;
}

function numbers(data: Uint8Array, bits: number, signed: boolean, big: boolean): ArrayLike<number> {
  if (bits === 8) return signed ? new Int8Array(data.buffer, data.byteOffset, data.length) : data;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const result = signed ? new Int16Array(data.length >> 1) : new Uint16Array(data.length >> 1);
  for (let i = 0; i < result.length; i++) result[i] = signed ? view.getInt16(2 * i, !big) : view.getUint16(2 * i, !big);
  return result;
}

async function lossy(data: Uint8Array, photometric: string, rows: number, columns: number, header: DataSet): Promise<Picture> {
  const frame = jpegFrame(data);
  if (frame === null) throw new PictureError("damagedDicom");
  let bytes = data;
  if (frame.components === 3 && !frame.marked) bytes = withColours(data, photometric === "RGB" && !frame.subsampled ? 0 : 1);
  const picture = await decodePicture(bytes, "jpeg", false);
  if (picture.rows !== rows || picture.columns !== columns) throw new PictureError("damagedDicom");
  if (frame.components === 1) {
    const values = new Uint8Array(rows * columns);
    for (let i = 0; i < values.length; i++) values[i] = picture.rgba[4 * i];
    return grey(header, values, rows, columns, 8, false, 0, photometric === "MONOCHROME1");
  }
  return picture;
}

function colour(decoded: Decoded, rows: number, columns: number, stored: number): Picture {
  const pixels = rows * columns, rgba = new Uint8ClampedArray(4 * pixels), { data, planar, ybr, halved } = decoded;
  const shift = stored > 8 ? stored - 8 : 0;
  for (let i = 0; i < pixels; i++) {
    let a: number, b: number, c: number;
    if (halved) { // two pixels share their colour: Y Y B R
      const pair = 4 * (i >> 1);
      [a, b, c] = [data[pair + (i & 1)], data[pair + 2], data[pair + 3]];
    } else if (planar) [a, b, c] = [data[i], data[pixels + i], data[2 * pixels + i]];
    else [a, b, c] = [data[3 * i], data[3 * i + 1], data[3 * i + 2]];
    if (shift) [a, b, c] = [a >> shift, b >> shift, c >> shift];
    if (ybr) { // PS3.3 C.7.6.3.1.2, as pydicom rounds
      const blue = b - 128, red = c - 128;
      [a, b, c] = [a + 1.402 * red, a - (0.114 * 1.772 / 0.587) * blue - (0.299 * 1.402 / 0.587) * red, a + 1.772 * blue]
        .map((value) => Math.floor(value + 0.5));
    }
    rgba.set([a, b, c, 255], 4 * i);
  }
  return { rows, columns, rgba };
}

/** Rescale and window as the file says, then its full range to 0-255. */
function grey(
  header: DataSet, data: ArrayLike<number>, rows: number, columns: number, stored: number, signed: boolean, shift: number,
  inverted: boolean,
): Picture {
  if (header.elements["x00283000"] || header.elements["x00283010"]) throw new PictureError("needsServer", "lookup table");
  const slope = header.floatString("x00281053"), intercept = header.floatString("x00281052");
  const rescale = slope !== undefined && intercept !== undefined;
  let [low, high] = signed ? [-(2 ** (stored - 1)), 2 ** (stored - 1) - 1] : [0, 2 ** stored - 1];
  if (rescale) [low, high] = [low * slope + intercept, high * slope + intercept].sort((a, b) => a - b);
  const centre = header.floatString("x00281050"), width = header.floatString("x00281051");
  const exact = text(header, "x00281056") === "LINEAR_EXACT", sigmoid = text(header, "x00281056") === "SIGMOID";
  if (sigmoid) throw new PictureError("needsServer", "SIGMOID");
  const windowed = centre !== undefined && width !== undefined && (exact ? width > 0 : width >= 1);
  const mask = 2 ** stored - 1;
  const rgba = new Uint8ClampedArray(4 * rows * columns);
  for (let i = 0; i < rows * columns; i++) {
    let value = shift ? data[i] >> shift : signed ? data[i] : data[i] & mask;
    if (rescale) value = value * slope + intercept;
    if (windowed) {
      const c = exact ? centre : centre - 0.5, w = exact ? width : width - 1;
      if (value <= c - w / 2) value = low;
      else if (value > c + w / 2) value = high;
      else value = ((value - c) / w + 0.5) * (high - low) + low;
    }
    let level = Math.floor(Math.min(Math.max((value - low) / (high - low), 0), 1) * 255 + 0.5);
    if (inverted) level = 255 - level;
    rgba.set([level, level, level, 255], 4 * i);
  }
  return { rows, columns, rgba };
}

function palette(header: DataSet, data: ArrayLike<number>, rows: number, columns: number): Picture {
  const tables = ["x00281201", "x00281202", "x00281203"].map((tag, i) => {
    const element = header.elements[tag], descriptor = `x0028110${i + 1}`;
    if (!element || header.elements["x00281221"]) throw new PictureError("needsServer", "PALETTE COLOR");
    const entries = header.uint16(descriptor, 0) || 65536, first = header.uint16(descriptor, 1) ?? 0;
    const bits = header.uint16(descriptor, 2) ?? 16;
    const wide = element.length >= 2 * entries;
    const values = Array.from({ length: entries }, (_, n) => (wide ? header.uint16(tag, n)! : header.byteArray[element.dataOffset + n]));
    return { first, values, bits: wide ? bits : 8 };
  });
  // A table of 16 bits whose values need only 8 is scaled as pydicom and to_bytes do.
  const largest = Math.max(...tables.flatMap((table) => table.values));
  const rgba = new Uint8ClampedArray(4 * rows * columns);
  for (let i = 0; i < rows * columns; i++) {
    tables.forEach(({ first, values }, channel) => {
      const value = values[Math.min(Math.max(data[i] - first, 0), values.length - 1)];
      rgba[4 * i + channel] = largest > 255 ? value >> 8 : value;
    });
    rgba[4 * i + 3] = 255;
  }
  return { rows, columns, rgba };
}

function regionsOf(header: DataSet, rows: number, columns: number): Region[] {
  const regions: Region[] = [];
  for (const item of header.elements["x00186011"]?.items ?? []) {
    const part = item.dataSet;
    if (!part || part.uint16("x00186012") !== 1 || part.uint16("x00186014") !== 1) continue; // 2-D, tissue
    const at = (tag: string): number => part.uint32(tag) ?? 0;
    const left = at("x00186018"), top = at("x0018601a"), right = at("x0018601c"), bottom = at("x0018601e");
    const inside = left <= right && right <= columns && top <= bottom && bottom <= rows;
    const step = (tag: string): number => Math.abs(part.double(tag) ?? 0);
    const row = step("x0018602e"), column = step("x0018602c");
    const centimetres = part.uint16("x00186024") === 3 && part.uint16("x00186026") === 3;
    const mm = (value: number): number => Number((value * 10).toFixed(9));
    regions.push({
      top, left, bottom: Math.min(bottom + 1, rows), right: Math.min(right + 1, columns),
      spacing: centimetres && isScale(mm(row)) && isScale(mm(column)) ? [mm(row), mm(column)] : null, inside,
    });
  }
  return regions;
}

function pixelSpacing(header: DataSet): Spacing | null {
  const row = header.floatString("x00280030", 0), column = header.floatString("x00280030", 1);
  return row !== undefined && column !== undefined && isScale(row) && isScale(column) ? [row, column] : null;
}

/** Whether a picture of the body may have pixels of so many millimetres, as SCALES of monai_lesion/images/regions.py says. */
function isScale(step: number): boolean {
  return step >= 1e-5 && step <= 100;
}
