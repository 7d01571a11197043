/** One picture through the network: the walk of `monai_lesion/segmentation`. */

import type { Region } from "./calibration";
import type { ModelDescription } from "./models";
import { after, before, empty, placed, type Mask, type Picture } from "./operations";
import { describePicture, judge, signalsOf, signalsOfViews, type Verdict } from "./trust";

export interface Output {
  logits: Float32Array;
  scores: Float32Array | null;
}

export type Run = (input: Float32Array, size: readonly [number, number]) => Promise<Output>;

export interface Segmented {
  mask: Mask;
  meanProbability: number | null;
  verdict: Verdict | null;
}

/** Segment a picture, or the region of it that shows tissue. */
export async function segment(
  picture: Picture, region: Region | null, model: ModelDescription, run: Run, scanner = "", times = { resize: 0, network: 0 },
): Promise<Segmented> {
  const shown = region === null ? picture : cut(picture, region);
  const once = async (view: Picture): Promise<{ output: Output; mask: Mask; probability: Float32Array }> => {
    const start = performance.now(), input = before(view, model.input_size, model.channel_order), ready = performance.now();
    const output = await run(input, model.input_size);
    times.resize += ready - start;
    times.network += performance.now() - ready;
    if (!output.logits.every(Number.isFinite)) throw new Error("the network's output is not finite");
    return { output, ...after(output.logits, model.input_size, view.rows, view.columns, model) };
  };
  const { output, mask, probability } = await once(shown);
  const verdict = await judged();
  let sum = 0, count = 0;
  for (let i = 0; i < mask.pixels.length; i++) {
    if (!mask.pixels[i]) continue;
    sum += probability[i];
    count++;
  }
  const drawn = verdict?.decision === "nothing found" ? empty(mask.rows, mask.columns) : mask;
  const whole = region === null ? drawn : placed(drawn, region, picture.rows, picture.columns);
  return { mask: whole, meanProbability: count ? sum / count : null, verdict };

  async function judged(): Promise<Verdict | null> {
    const { calibration } = model;
    if (!calibration) return null;
    const views = calibration.signal === "views";
    const features = calibration.familiarity === null ? null : describePicture(shown);
    const signals = views
      ? await signalsOfViews(mask, shown, async (view) => (await once(view)).mask, features)
      : signalsOf(output.scores!, features);
    return judge(calibration, signals, mask.pixels.includes(1), scanner);
  }
}

function cut(picture: Picture, region: Region): Picture {
  const rows = region.bottom - region.top, columns = region.right - region.left;
  const rgba = new Uint8ClampedArray(4 * rows * columns);
  for (let i = 0; i < rows; i++) {
    const start = 4 * ((region.top + i) * picture.columns + region.left);
    rgba.set(picture.rgba.subarray(start, start + 4 * columns), 4 * i * columns);
  }
  return { rows, columns, rgba };
}
