/** Compressed DICOM frames that no browser decodes: RLE here, the others by kept packages. */

import charls from "@cornerstonejs/codec-charls/decodewasmjs";
import openjpeg from "@cornerstonejs/codec-openjpeg/decodewasmjs";
import { Decoder } from "jpeg-lossless-decoder-js";
import { PictureError } from "./errors";

export interface Decoded {
  data: ArrayLike<number>;
  /** Whether each colour has a plane of its own. */
  planar: boolean;
  ybr: boolean;
  halved?: boolean;
}

type Factory = (options: { wasmBinary: Uint8Array }) => Promise<any>;

/** The decoders' WebAssembly, which the page hands over, for the worker may not fetch. */
export interface CodecBytes {
  openjpeg: Uint8Array;
  charls: Uint8Array;
}

const modules: Record<string, Promise<any> | undefined> = {};
let bytes: CodecBytes | null = null;

export function provideCodecs(given: CodecBytes): void {
  bytes = given;
}

export async function decodeJpeg2000(data: Uint8Array): Promise<Uint8Array> {
  modules.openjpeg ??= (openjpeg as Factory)({ wasmBinary: bytes!.openjpeg });
  return decodeWith(new (await modules.openjpeg).J2KDecoder(), data);
}

export async function decodeJpegLs(data: Uint8Array): Promise<Uint8Array> {
  modules.charls ??= (charls as Factory)({ wasmBinary: bytes!.charls });
  return decodeWith(new (await modules.charls).JpegLSDecoder(), data);
}

function decodeWith(decoder: any, data: Uint8Array): Uint8Array {
  try {
    decoder.getEncodedBuffer(data.length).set(data);
    decoder.decode();
    return Uint8Array.from(decoder.getDecodedBuffer());
  } catch {
    throw new PictureError("damagedDicom");
  } finally {
    decoder.delete();
  }
}

export function decodeLossless(data: Uint8Array): Uint8Array {
  try {
    const bytes = data.slice();
    return new Uint8Array(new Decoder().decompress(bytes.buffer, 0, bytes.length));
  } catch {
    throw new PictureError("damagedDicom");
  }
}

/** RLE of DICOM PS3.5, annex G: one segment for each byte of each sample, the high bytes first. */
export function decodeRle(data: Uint8Array, pixels: number, samples: number, bytes: number): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 64 || view.getUint32(0, true) !== samples * bytes) throw new PictureError("damagedDicom");
  const result = new Uint8Array(pixels * samples * bytes);
  for (let segment = 0; segment < samples * bytes; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < samples * bytes ? view.getUint32(8 + 4 * segment, true) : data.length;
    const sample = Math.floor(segment / bytes), byte = bytes - 1 - (segment % bytes);
    let place = start, count = 0;
    const put = (value: number): void => {
      if (count < pixels) result[(sample * pixels + count++) * bytes + byte] = value;
    };
    while (place < end && count < pixels) {
      const head = view.getInt8(place++);
      if (head >= 0) for (let i = 0; i <= head && place < end; i++) put(data[place++]);
      else if (head > -128) {
        for (let i = 0; i < 1 - head; i++) put(data[place]);
        place++;
      }
    }
    if (count < pixels) throw new PictureError("damagedDicom");
  }
  return result;
}
