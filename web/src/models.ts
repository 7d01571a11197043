/** `model.json` of a model folder, as far as the page needs it. */

import type { After } from "./operations";
import type { TrustCalibration } from "./trust";

export interface ModelDescription extends After {
  name: string;
  /** The network in words. */
  network: string;
  weights_id: string;
  input_size: [number, number];
  channel_order: "rgb" | "bgr";
  licence: string;
  software: string;
  calibration: TrustCalibration | null;
}

/** Check what decides a mask; a threshold of NaN would segment nothing without a word. */
export function checkedDescription(value: any): ModelDescription {
  const size = value?.input_size, threshold = value?.threshold;
  const sound =
    Array.isArray(size) && size.length === 2 && size.every((side: unknown) => Number.isInteger(side) && (side as number) >= 16) &&
    typeof threshold === "number" && threshold > 0 && threshold < 1 &&
    ["largest", "all"].includes(value.keep) && ["resize_first", "threshold_first"].includes(value.order) &&
    ["rgb", "bgr"].includes(value.channel_order) && typeof value.weights_id === "string" && value.format === "onnx" &&
    value.end_to_end === false;
  if (!sound) throw new Error("model.json is not one that this page can run");
  return value as ModelDescription;
}
