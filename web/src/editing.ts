/** A mask that a reader corrects, with undo and redo; axis ends may be moved by hand. */

import { measure, type Measurements, type Point, type Spacing } from "./measures";
import type { Mask } from "./operations";

export type AxisName = "long_axis" | "short_axis";
type Ends = readonly [Point, Point];

interface State {
  mask: Mask;
  axes: Partial<Record<AxisName, Ends>>;
}

const DEPTH = 50;

export class Edited {
  private states: State[];
  private at = 0;

  constructor(mask: Mask) {
    this.states = [{ mask, axes: {} }];
  }

  get mask(): Mask {
    return this.states[this.at].mask;
  }

  get edited(): boolean {
    return this.at > 0;
  }

  get canRedo(): boolean {
    return this.at + 1 < this.states.length;
  }

  undo(): void {
    this.at = Math.max(this.at - 1, 0);
  }

  redo(): void {
    this.at = Math.min(this.at + 1, this.states.length - 1);
  }

  restore(): void {
    if (this.edited) this.push({ mask: this.states[0].mask, axes: {} });
  }

  /** Begin a stroke: what follows until the next one is undone together. */
  begin(): void {
    const { mask, axes } = this.states[this.at];
    this.push({ mask: { ...mask, pixels: mask.pixels.slice() }, axes });
  }

  /** Paint or erase a disc along a line, both in pixels. */
  stroke(from: Point, to: Point, radius: number, inside: boolean): void {
    const state = this.states[this.at], { mask } = state;
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / Math.max(radius / 3, 0.5)));
    for (let step = 0; step <= steps; step++) {
      const share = step / steps;
      disc(mask, [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])], radius, inside ? 1 : 0);
    }
    state.axes = {}; // measured anew
  }

  /** Move one end of an axis. */
  moveEnd(axis: AxisName, ends: Ends): void {
    this.states[this.at].axes = { ...this.states[this.at].axes, [axis]: ends };
  }

  /** Sizes of the mask, with the axes that were moved by hand. */
  measurements(spacing: Spacing | null, top: number): Measurements | null {
    const found = measure(this.mask, spacing, top);
    if (found === null) return null;
    const steps = spacing ?? [1, 1];
    for (const [name, ends] of Object.entries(this.states[this.at].axes) as [AxisName, Ends][]) {
      const value = Math.hypot((ends[0][0] - ends[1][0]) * steps[0], (ends[0][1] - ends[1][1]) * steps[1]);
      found[name] = { value, unit: found[name].unit };
      found[`${name}_ends`] = ends;
    }
    return found;
  }

  private push(state: State): void {
    this.states = [...this.states.slice(0, this.at + 1), state];
    if (this.states.length > DEPTH) this.states.splice(1, 1); // the network's outline stays
    this.at = this.states.length - 1;
  }
}

function disc(mask: Mask, [row, column]: Point, radius: number, value: 0 | 1): void {
  const first = Math.max(0, Math.ceil(row - radius)), last = Math.min(mask.rows - 1, Math.floor(row + radius));
  for (let i = first; i <= last; i++) {
    const half = Math.sqrt(Math.max(radius * radius - (i - row) ** 2, 0));
    const left = Math.max(0, Math.ceil(column - half)), right = Math.min(mask.columns - 1, Math.floor(column + half));
    if (left <= right) mask.pixels.fill(value, i * mask.columns + left, i * mask.columns + right + 1);
  }
}
