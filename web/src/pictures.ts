/** PNG, JPEG, BMP, WebP and TIFF pictures, decoded by the browser where it can, as `monai_lesion/images/pictures.py` gives them. */

import { PictureError } from "./errors";
import type { Picture } from "./operations";
import { decodeDeepPng, decodeRaster } from "./rasters";

export const MAX_PIXELS = 2 ** 26; // 8192 x 8192, as in Python

export type Kind = "png" | "jpeg" | "bmp" | "webp" | "tiff";

/** The type of a picture by its content; a name proves nothing. */
export function kindOf(bytes: Uint8Array): Kind | null {
  const starts = (...values: number[]): boolean => values.every((value, i) => bytes[i] === value);
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return "png";
  if (starts(0xff, 0xd8, 0xff)) return "jpeg";
  if (starts(0x42, 0x4d)) return "bmp";
  if (starts(0x49, 0x49, 42, 0) || starts(0x4d, 0x4d, 0, 42)) return "tiff";
  if (starts(0x52, 0x49, 0x46, 0x46) && String.fromCharCode(...bytes.subarray(8, 12)) === "WEBP") return "webp";
  return null;
}

/** Refuse what claims too many pixels before memory is taken for it. */
function checkClaim(bytes: Uint8Array, kind: Kind): void {
  if (kind === "webp") return; // at most 2^14 pixels each way, counted after decoding
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let rows = 0, columns = 0;
  if (kind === "png" && bytes.length > 33) {
    columns = view.getUint32(16);
    rows = view.getUint32(20);
  } else if (kind === "bmp" && bytes.length > 26) {
    columns = Math.abs(view.getInt32(18, true));
    rows = Math.abs(view.getInt32(22, true));
  } else if (kind === "jpeg") {
    [rows, columns] = jpegFrame(bytes)?.size ?? [0, 0];
  }
  if (rows * columns > MAX_PIXELS) throw new PictureError("tooLarge", `${columns} × ${rows}`);
  if (rows < 1 || columns < 1) throw new PictureError("damaged");
}

export async function decodePicture(bytes: Uint8Array, kind: Kind, turned = true): Promise<Picture> {
  if (kind === "tiff") return decodeRaster(bytes, MAX_PIXELS);
  checkClaim(bytes, kind);
  if (kind === "png" && bytes[24] === 16) return decodeDeepPng(bytes);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes as BlobPart], { type: `image/${kind}` }), {
      colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: turned ? "from-image" : "none",
    } as ImageBitmapOptions);
  } catch {
    throw new PictureError("damaged");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new PictureError("tooLarge", `${width} × ${height}`);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  for (let i = 3; i < rgba.length; i += 4) rgba[i] = 255; // opacity says nothing about tissue
  return { rows: height, columns: width, rgba };
}

export interface JpegFrame {
  /** Rows and columns. */
  size: [number, number];
  components: number;
  /** Whether colours have fewer pixels than brightness. */
  subsampled: boolean;
  /** Where a marker may be inserted: right after the start of the image. */
  names: number[];
  marked: boolean;
  /** 0xc0 baseline, 0xc1 extended, 0xc2 progressive, 0xc3 lossless. */
  process: number;
}

/** The frame header of a JPEG; null where there is none. */
export function jpegFrame(bytes: Uint8Array): JpegFrame | null {
  let place = 2, marked = false;
  while (place + 9 < bytes.length) {
    if (bytes[place] !== 0xff) return null;
    const marker = bytes[place + 1];
    if (marker === 0xff) {
      place++;
      continue;
    }
    const length = (bytes[place + 2] << 8) | bytes[place + 3];
    const text = String.fromCharCode(...bytes.subarray(place + 4, place + 9));
    if ((marker === 0xe0 && text.startsWith("JFIF")) || (marker === 0xee && text === "Adobe")) marked = true;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const components = bytes[place + 9];
      const parts = Array.from({ length: components }, (_, i) => place + 10 + 3 * i);
      const factors = parts.map((part) => bytes[part + 1]);
      return {
        size: [(bytes[place + 5] << 8) | bytes[place + 6], (bytes[place + 7] << 8) | bytes[place + 8]],
        components, subsampled: components === 3 && factors.slice(1).some((factor) => factor !== factors[0]),
        names: parts.map((part) => bytes[part]), marked, process: marker,
      };
    }
    place += 2 + length;
  }
  return null;
}

/** Tell the decoder that three components are RGB, or YBR: an Adobe marker right after the start. */
export function withColours(bytes: Uint8Array, transform: 0 | 1): Uint8Array {
  const marker = [0xff, 0xee, 0, 14, 0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100, 0, 0, 0, 0, transform];
  const result = new Uint8Array(bytes.length + marker.length);
  result.set(bytes.subarray(0, 2));
  result.set(marker, 2);
  result.set(bytes.subarray(2), 2 + marker.length);
  return result;
}
