/** What page and worker say to each other. */

import type { Calibration, Region } from "./calibration";
import type { CodecBytes } from "./codecs";
import type { ModelDescription } from "./models";
import type { Mask, Picture } from "./operations";
import type { Verdict } from "./trust";

export type Request =
  | { kind: "start"; wasm: Uint8Array; codecs: CodecBytes }
  | { kind: "model"; description: ModelDescription; onnx: Uint8Array }
  | { kind: "work"; bytes: ArrayBuffer; frame: number; crop: boolean };

/** Milliseconds that each step took: the file to pixels, these to the network's input, the network, its output to a result. */
export interface Times {
  decode: number;
  resize: number;
  network: number;
  after: number;
}

/** What was found in one frame. */
export interface Found {
  picture: Picture;
  mask: Mask;
  meanProbability: number | null;
  /** Null where the model carries no calibration. */
  verdict: Verdict | null;
  calibration: Calibration;
  region: Region | null;
  frames: number;
  dicom: boolean;
  times: Times;
}

export type Answer = { ok: true; found?: Found } | { ok: false; key: string; detail: string };
