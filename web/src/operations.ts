/**
 * What happens before and after a network: `monai_lesion/pipeline/operations.py`, step by step in float32.
 * tests/page/test_parity.py runs both on the same arrays.
 */

export interface Picture {
  rows: number;
  columns: number;
  /** Red, green, blue and opacity of each pixel, row by row. */
  rgba: Uint8ClampedArray;
}

export interface Mask {
  rows: number;
  columns: number;
  /** 0 and 1, row by row. */
  pixels: Uint8Array;
}

const f = Math.fround;

function neighbours(size: number, target: number): { first: Int32Array; second: Int32Array; share: Float32Array } {
  const first = new Int32Array(target), second = new Int32Array(target), share = new Float32Array(target);
  const scale = f(f(size) / f(target));
  for (let i = 0; i < target; i++) {
    // In double precision, then rounded once, as the fused multiply-add that PyTorch is built with.
    const place = Math.max(f(scale * (i + 0.5) - 0.5), 0);
    first[i] = Math.trunc(place);
    second[i] = Math.min(first[i] + 1, size - 1);
    share[i] = f(place - first[i]);
  }
  return { first, second, share };
}

/** Resize one channel bilinearly, pixel centres aligned, without smoothing. `stride` and `offset` pick the channel. */
export function resize(
  source: ArrayLike<number>, rows: number, columns: number, toRows: number, toColumns: number, stride = 1, offset = 0,
): Float32Array {
  const down = neighbours(rows, toRows), across = neighbours(columns, toColumns);
  const wide = new Map<number, Float32Array>(); // each needed source row, brought to the new width once
  const widened = (row: number): Float32Array => {
    let line = wide.get(row);
    if (line === undefined) {
      line = new Float32Array(toColumns);
      const start = row * columns;
      for (let j = 0; j < toColumns; j++) {
        const left = f(source[(start + across.first[j]) * stride + offset] * f(1 - across.share[j]));
        line[j] = left + f(source[(start + across.second[j]) * stride + offset] * across.share[j]);
      }
      wide.set(row, line);
    }
    return line;
  };
  const result = new Float32Array(toRows * toColumns);
  for (let i = 0; i < toRows; i++) {
    const upper = widened(down.first[i]), lower = widened(down.second[i]);
    const below = down.share[i], above = f(1 - below);
    for (let j = 0; j < toColumns; j++) result[i * toColumns + j] = f(upper[j] * above) + f(lower[j] * below);
    wide.delete(down.first[i] - 1);
  }
  return result;
}

function halfToEven(value: number): number {
  const whole = Math.floor(value), rest = value - whole;
  if (rest !== 0.5) return Math.round(value);
  return whole % 2 === 0 ? whole : whole + 1;
}

/** A picture as the network's input, `(1, 3, rows, columns)` in 0-1. */
export function before(picture: Picture, size: readonly [number, number], order: "rgb" | "bgr" = "rgb"): Float32Array {
  const [rows, columns] = size, plane = rows * columns;
  const input = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const from = order === "rgb" ? channel : 2 - channel;
    const values = resize(picture.rgba, picture.rows, picture.columns, rows, columns, 4, from);
    for (let i = 0; i < plane; i++) {
      input[channel * plane + i] = Math.min(Math.max(halfToEven(values[i]), 0), 255) / 255;
    }
  }
  return input;
}

export interface After {
  threshold: number;
  keep: "largest" | "all";
  order: "resize_first" | "threshold_first";
}

/** Logits of the network's size to mask and probability of the picture's size. */
export function after(
  logits: Float32Array, network: readonly [number, number], rows: number, columns: number, how: After,
): { mask: Mask; probability: Float32Array } {
  const small = logits.map((value) => f(1 / f(1 + f(Math.exp(f(-value))))));
  const probability = resize(small, network[0], network[1], rows, columns);
  const threshold = f(how.threshold);
  if (how.order === "resize_first") {
    return { mask: clean(above(probability, threshold, rows, columns), how.keep), probability };
  }
  // At the network's size MONAI's masks lie upright: row by row.
  const finished = transposed(clean(transposed(above(small, threshold, network[0], network[1])), how.keep));
  const mask = empty(rows, columns);
  const upright = f(f(network[0]) / f(rows)), flat = f(f(network[1]) / f(columns));
  for (let i = 0; i < rows; i++) {
    const row = Math.min(Math.trunc(f(i * upright)), network[0] - 1);
    for (let j = 0; j < columns; j++) {
      const column = Math.min(Math.trunc(f(j * flat)), network[1] - 1);
      mask.pixels[i * columns + j] = finished.pixels[row * network[1] + column];
    }
  }
  return { mask, probability };
}

export function empty(rows: number, columns: number): Mask {
  return { rows, columns, pixels: new Uint8Array(rows * columns) };
}

export function above(values: Float32Array, threshold: number, rows: number, columns: number): Mask {
  const mask = empty(rows, columns);
  for (let i = 0; i < values.length; i++) if (values[i] >= threshold) mask.pixels[i] = 1;
  return mask;
}

function transposed(mask: Mask): Mask {
  const result = empty(mask.columns, mask.rows);
  for (let i = 0; i < mask.rows; i++) {
    for (let j = 0; j < mask.columns; j++) result.pixels[j * mask.rows + i] = mask.pixels[i * mask.columns + j];
  }
  return result;
}

/** Keep the largest component of a mask (or all) and fill holes; pixels connect by an edge or a corner. */
export function clean(mask: Mask, keep: "largest" | "all" = "largest"): Mask {
  const box = boxOf(mask.pixels, mask.rows, mask.columns, 1);
  if (box === null) return empty(mask.rows, mask.columns);
  // Column by column, as MONAI's masks lie, which decides between components of one size.
  let part = transposed(cut(mask, box));
  if (keep === "largest") {
    const { names, counts } = components(part, 8);
    let largest = 0;
    for (let name = 1; name < counts.length; name++) if (counts[name] >= (counts[largest] ?? 0) || !largest) largest = name;
    part = largest > 0 ? named(part, names, largest) : part;
  }
  return placed(transposed(filled(part, 8)), box, mask.rows, mask.columns);
}

export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** The smallest box around the pixels of a value; null where there are none. */
export function boxOf(values: ArrayLike<number>, rows: number, columns: number, value: number): Box | null {
  const box = { top: rows, left: columns, bottom: 0, right: 0 };
  for (let row = 0, place = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, place++) {
      if (values[place] !== value) continue;
      if (row < box.top) box.top = row;
      if (column < box.left) box.left = column;
      if (row >= box.bottom) box.bottom = row + 1;
      if (column >= box.right) box.right = column + 1;
    }
  }
  return box.bottom ? box : null;
}

function cut(mask: Mask, box: Box): Mask {
  const part = empty(box.bottom - box.top, box.right - box.left);
  for (let i = 0; i < part.rows; i++) {
    const start = (box.top + i) * mask.columns + box.left;
    part.pixels.set(mask.pixels.subarray(start, start + part.columns), i * part.columns);
  }
  return part;
}

/** A mask in its place in a larger one. */
export function placed(part: Mask, { top, left }: Box, rows: number, columns: number): Mask {
  const whole = empty(rows, columns);
  for (let i = 0; i < part.rows; i++) {
    whole.pixels.set(part.pixels.subarray(i * part.columns, (i + 1) * part.columns), (top + i) * columns + left);
  }
  return whole;
}

/** The component of a name. */
export function named(mask: Mask, names: Int32Array, name: number): Mask {
  const part = empty(mask.rows, mask.columns);
  for (let i = 0; i < names.length; i++) if (names[i] === name) part.pixels[i] = 1;
  return part;
}

/** Fill what is not connected to the outside. */
export function filled(mask: Mask, neighbourhood: 4 | 8): Mask {
  const outside = empty(mask.rows + 2, mask.columns + 2);
  outside.pixels.fill(1);
  for (let i = 0; i < mask.rows; i++) {
    const from = i * mask.columns, to = (i + 1) * outside.columns + 1;
    for (let j = 0; j < mask.columns; j++) outside.pixels[to + j] = 1 - mask.pixels[from + j];
  }
  const { names } = components(outside, neighbourhood); // the first is the outside
  const result = empty(mask.rows, mask.columns);
  for (let i = 0; i < mask.rows; i++) {
    const to = i * mask.columns, from = (i + 1) * outside.columns + 1;
    for (let j = 0; j < mask.columns; j++) result.pixels[to + j] = names[from + j] === 1 ? 0 : 1;
  }
  return result;
}

/** The pixels of a mask with a margin of zeros around them. */
export function padded(mask: Mask, margin: number): Uint8Array {
  const width = mask.columns + 2 * margin, result = new Uint8Array((mask.rows + 2 * margin) * width);
  for (let i = 0; i < mask.rows; i++) {
    result.set(mask.pixels.subarray(i * mask.columns, (i + 1) * mask.columns), (i + margin) * width + margin);
  }
  return result;
}

/**
 * Number the connected parts of a mask from 1, in the order in which their first pixels come.
 *
 * @returns the number of each pixel, and how many pixels have it.
 */
export function components(mask: Mask, neighbourhood: 4 | 8): { names: Int32Array; counts: number[] } {
  const { rows, columns } = mask, width = columns + 2;
  const left = padded(mask, 1); // what has no number yet; its margin spares the loop every check
  const around = neighbourhood === 4
    ? [-width, -1, 1, width] : [-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1];
  const all = new Int32Array(left.length), stack = new Int32Array(rows * columns), counts = [0];
  for (let start = width; start < left.length; start++) {
    if (!left[start]) continue;
    const name = counts.length;
    let depth = 0, count = 0;
    stack[depth++] = start;
    left[start] = 0;
    while (depth) {
      const place = stack[--depth];
      all[place] = name;
      count++;
      for (let k = 0; k < around.length; k++) {
        const next = place + around[k];
        if (left[next]) {
          left[next] = 0;
          stack[depth++] = next;
        }
      }
    }
    counts.push(count);
  }
  const names = new Int32Array(rows * columns);
  for (let i = 0; i < rows; i++) names.set(all.subarray((i + 1) * width + 1, (i + 1) * width + 1 + columns), i * columns);
  return { names, counts };
}
