/** The picture with contour and axes on a canvas: zoom, move, brightness and contrast, and the reader's tools. */

import { Edited, type AxisName } from "./editing";
import { outlineOf, type Measurements, type Point } from "./measures";
import { components, named, type Mask, type Picture } from "./operations";

export type Tool = "look" | "push" | "paint" | "erase" | "axes";

const CONTOUR = "#3ce63c", LONG = "#ffd23f", SHORT = "#5cc8ff";
const REACH = 16; // screen pixels around an axis end that take hold of it; a finger is that wide

export class Viewer {
  tool: Tool = "look";
  radius = 8;
  showContour = true;
  showAxes = true;
  /** Called when the mask or an axis was changed, and when a stroke begins. */
  onchange: () => void = () => undefined;
  onkeyframe: (step: number) => void = () => undefined;

  private picture: Picture | null = null;
  private edited: Edited | null = null;
  private measurements: Measurements | null = null;
  private contours: Point[][] = [];
  private levelled: HTMLCanvasElement = document.createElement("canvas");
  private scale = 1;
  private origin: [number, number] = [0, 0]; // of the picture, in screen pixels
  private window = { centre: 127.5, width: 255 };
  private pointers = new Map<number, PointerEvent>();
  private held: { axis: AxisName; end: 0 | 1 } | null = null;
  private painting = true;
  private last: Point | null = null;
  private cursor: Point | null = null;
  private pending = false;

  constructor(private readonly canvas: HTMLCanvasElement) {
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"] as const) canvas.addEventListener(name, (event) => this.up(event));
    canvas.addEventListener("pointerleave", () => {
      this.cursor = null;
      this.draw();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.tool === "look" && this.fit());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  /** Show a picture; the view stays where the last one had the same size, as the frames of a cine do. */
  show(picture: Picture | null, edited: Edited | null, measurements: Measurements | null): void {
    const same = this.picture !== null && picture !== null && this.picture.rows === picture.rows && this.picture.columns === picture.columns;
    this.picture = picture;
    this.edited = edited;
    if (!same) this.window = { centre: 127.5, width: 255 };
    this.level();
    if (!same) this.fit();
    this.update(measurements);
  }

  /** Show other measurements of the same picture. */
  update(measurements: Measurements | null): void {
    this.measurements = measurements;
    this.contours = this.edited === null ? [] : contoursOf(this.edited.mask);
    this.draw();
  }

  fit(): void {
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * devicePixelRatio));
    if (this.picture !== null) {
      const { rows, columns } = this.picture;
      this.scale = Math.min(clientWidth / columns, clientHeight / rows) * 0.98;
      this.origin = [(clientWidth - columns * this.scale) / 2, (clientHeight - rows * this.scale) / 2];
    }
    this.draw();
  }

  zoom(factor: number, x: number, y: number): void {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 40), real = scale / this.scale;
    this.origin = [x - (x - this.origin[0]) * real, y - (y - this.origin[1]) * real];
    this.scale = scale;
    this.draw();
  }

  /** Draw contour and axes in the picture's own pixels, for a file. */
  drawResult(context: OffscreenCanvasRenderingContext2D): void {
    this.paths(context, (point) => [point[1] + 0.5, point[0] + 0.5], 2);
  }

  private at(event: PointerEvent): Point { // row and column
    return [(event.offsetY - this.origin[1]) / this.scale - 0.5, (event.offsetX - this.origin[0]) / this.scale - 0.5];
  }

  private screen = (point: Point): [number, number] =>
    [(point[1] + 0.5) * this.scale + this.origin[0], (point[0] + 0.5) * this.scale + this.origin[1]];

  private down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size > 1 || this.edited === null || event.button !== 0 || event.shiftKey) return;
    const place = this.at(event), { mask } = this.edited;
    if (this.tool === "axes") this.held = this.endAt(event);
    if (this.held !== null) this.edited.begin();
    if (["push", "paint", "erase"].includes(this.tool)) {
      const [row, column] = place.map(Math.round);
      const inside = row >= 0 && column >= 0 && row < mask.rows && column < mask.columns && mask.pixels[row * mask.columns + column] === 1;
      this.painting = this.tool === "paint" || (this.tool === "push" && inside);
      this.edited.begin();
      this.last = place;
      if (this.tool !== "push") this.brush(place);
    }
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    this.cursor = this.at(event);
    if (before === undefined || this.edited === null) {
      if (["push", "paint", "erase"].includes(this.tool)) this.draw();
      return;
    }
    const [dx, dy] = [event.offsetX - before.offsetX, event.offsetY - before.offsetY];
    if (this.pointers.size === 2) this.pinch(event, before);
    else if (this.held !== null && this.measurements !== null) {
      const ends = [...this.measurements[`${this.held.axis}_ends`]] as [Point, Point];
      ends[this.held.end] = this.at(event);
      this.edited.moveEnd(this.held.axis, ends);
      this.onchange();
    } else if (this.last !== null) this.brush(this.at(event));
    else if (event.shiftKey || event.buttons === 4 || this.tool === "axes") this.shift(dx, dy);
    else if (this.tool === "look") {
      this.window.centre -= dy / 2;
      this.window.width = Math.max(1, this.window.width + dx);
      this.level();
      this.draw();
    }
    this.pointers.set(event.pointerId, event);
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    this.held = null;
    this.last = null;
  }

  private pinch(event: PointerEvent, before: PointerEvent): void {
    const other = [...this.pointers.values()].find((each) => each.pointerId !== event.pointerId)!;
    const apart = (one: PointerEvent): number => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
    this.shift((event.offsetX - before.offsetX) / 2, (event.offsetY - before.offsetY) / 2);
    this.zoom(apart(event) / Math.max(apart(before), 1), (event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2);
  }

  private shift(dx: number, dy: number): void {
    this.origin = [this.origin[0] + dx, this.origin[1] + dy];
    this.draw();
  }

  private brush(place: Point): void {
    this.edited!.stroke(this.last!, place, this.radius, this.painting);
    this.last = place;
    this.onchange();
  }

  private endAt(event: PointerEvent): { axis: AxisName; end: 0 | 1 } | null {
    if (this.measurements === null) return null;
    let best: { axis: AxisName; end: 0 | 1 } | null = null, nearest = REACH;
    for (const axis of ["long_axis", "short_axis"] as const) {
      this.measurements[`${axis}_ends`].forEach((point, end) => {
        const [x, y] = this.screen(point), far = Math.hypot(x - event.offsetX, y - event.offsetY);
        if (far < nearest) [nearest, best] = [far, { axis, end: end as 0 | 1 }];
      });
    }
    return best;
  }

  /** Apply brightness and contrast. */
  private level(): void {
    if (this.picture === null) return;
    const { rows, columns, rgba } = this.picture, { centre, width } = this.window;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, value) => ((value - centre) / width + 0.5) * 255);
    const image = new ImageData(columns, rows);
    for (let i = 0; i < rgba.length; i += 4) {
      image.data[i] = table[rgba[i]];
      image.data[i + 1] = table[rgba[i + 1]];
      image.data[i + 2] = table[rgba[i + 2]];
      image.data[i + 3] = 255;
    }
    this.levelled.width = columns;
    this.levelled.height = rows;
    this.levelled.getContext("2d")!.putImageData(image, 0, 0);
  }

  private draw(): void {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      const context = this.canvas.getContext("2d")!;
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
      if (this.picture === null) return;
      context.imageSmoothingEnabled = this.scale < 3;
      context.drawImage(this.levelled, this.origin[0], this.origin[1], this.picture.columns * this.scale, this.picture.rows * this.scale);
      this.paths(context, this.screen, Math.max(2, Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / 400));
      if (this.cursor !== null && ["push", "paint", "erase"].includes(this.tool)) {
        const [x, y] = this.screen(this.cursor);
        context.strokeStyle = "#ffffff";
        context.lineWidth = 1;
        context.beginPath();
        context.arc(x, y, this.radius * this.scale, 0, 2 * Math.PI);
        context.stroke();
      }
    });
  }

  private paths(
    context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D, place: (point: Point) => [number, number], width: number,
  ): void {
    context.lineJoin = "round";
    if (this.showContour) {
      context.strokeStyle = CONTOUR;
      context.lineWidth = width;
      for (const contour of this.contours) {
        context.beginPath();
        contour.forEach((point, i) => (i ? context.lineTo(...place(point)) : context.moveTo(...place(point))));
        context.closePath();
        context.stroke();
      }
    }
    if (!this.showAxes || this.measurements === null) return;
    for (const [axis, colour] of [["long_axis", LONG], ["short_axis", SHORT]] as const) {
      const [first, second] = this.measurements[`${axis}_ends`].map(place);
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = width / 1.5;
      context.setLineDash([6, 4]);
      context.beginPath();
      context.moveTo(...first);
      context.lineTo(...second);
      context.stroke();
      context.setLineDash([]);
      for (const [x, y] of [first, second]) {
        context.beginPath();
        context.arc(x, y, (this.tool === "axes" ? 2.5 : 1.5) * width, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }
}

function contoursOf(mask: Mask): Point[][] {
  const { names, counts } = components(mask, 8);
  return counts.slice(1).map((_, i) => outlineOf(named(mask, names, i + 1)));
}
