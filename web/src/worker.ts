/** The worker that holds the picture. Its response forbids every connection: model and WebAssembly are handed in. */

import * as ort from "onnxruntime-web/wasm";
import { outsideOf, regionOfInterest, UNKNOWN, type Calibration } from "./calibration";
import { provideCodecs } from "./codecs";
import { isDicom, openDicom } from "./dicom";
import { PictureError } from "./errors";
import type { ModelDescription } from "./models";
import type { Picture } from "./operations";
import { decodePicture, kindOf } from "./pictures";
import type { Answer, Found, Request } from "./protocol";
import { segment, type Output } from "./segment";

let session: ort.InferenceSession | null = null;
let model: ModelDescription | null = null;

self.onmessage = async (event: MessageEvent<Request>): Promise<void> => {
  let answer: Answer;
  try {
    answer = await work(event.data);
  } catch (error) {
    if (error instanceof PictureError) answer = { ok: false, key: error.key, detail: error.detail };
    else answer = { ok: false, key: "failed", detail: error instanceof Error ? error.message : String(error) };
  }
  const moved = answer.ok && answer.found ? [answer.found.picture.rgba.buffer, answer.found.mask.pixels.buffer] : [];
  self.postMessage(answer, { transfer: moved as Transferable[] });
};

async function work(request: Request): Promise<Answer> {
  switch (request.kind) {
    case "start":
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = request.wasm;
      provideCodecs(request.codecs);
      return { ok: true };
    case "model":
      await session?.release();
      session = await ort.InferenceSession.create(request.onnx, { executionProviders: ["wasm"] });
      model = request.description;
      return { ok: true };
    case "work":
      return { ok: true, found: await find(new Uint8Array(request.bytes), request.frame, request.crop) };
  }
}

async function find(bytes: Uint8Array, frame: number, crop: boolean): Promise<Found> {
  const times = { decode: 0, resize: 0, network: 0, after: 0 }, start = performance.now();
  const { picture, calibration, frames, dicom, scanner } = await read(bytes, frame);
  times.decode = performance.now() - start;
  const chosen = crop ? regionOfInterest(calibration.regions) : null;
  const whole = chosen !== null && chosen.bottom - chosen.top === picture.rows && chosen.right - chosen.left === picture.columns;
  const region = whole ? null : chosen;
  const found = await segment(picture, region, model!, run, scanner, times);
  // A lesion that does not lie in the tissue is doubtful, however sure the network is.
  if (found.verdict?.decision === "lesion" && outsideOf(found.mask, calibration.regions)) found.verdict.decision = "doubtful";
  return {
    picture, calibration, frames, dicom, region, mask: found.mask, meanProbability: found.meanProbability,
    verdict: found.verdict, times: { ...times, after: performance.now() - start - times.decode - times.resize - times.network },
  };
}

async function read(
  bytes: Uint8Array, frame: number,
): Promise<{ picture: Picture; calibration: Calibration; frames: number; dicom: boolean; scanner: string }> {
  if (isDicom(bytes)) {
    const file = await openDicom(bytes);
    const picture = await file.frame(Math.min(frame, file.frames - 1));
    return { picture, calibration: file.calibration, frames: file.frames, dicom: true, scanner: file.scanner };
  }
  const kind = kindOf(bytes);
  if (kind === null) throw new PictureError("unknownFormat");
  return { picture: await decodePicture(bytes, kind), calibration: UNKNOWN, frames: 1, dicom: false, scanner: "" };
}

async function run(input: Float32Array, size: readonly [number, number]): Promise<Output> {
  const image = new ort.Tensor("float32", input, [1, 3, ...size]);
  const outputs = await session!.run({ image });
  const scores = outputs.scores ? (outputs.scores.data as Float32Array) : null;
  return { logits: outputs.logits.data as Float32Array, scores };
}
