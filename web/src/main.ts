import "./style.css";
import { loadFiles, loadModel, loadPresets, loadRuntime, loadServer, unpacked, type Server } from "./assets";
import { calibrationOf, outsideOf, topOf } from "./calibration";
import { Edited } from "./editing";
import { Engine } from "./engine";
import { PictureError } from "./errors";
import { measureCase, type Measurements } from "./measures";
import type { ModelDescription } from "./models";
import type { Found } from "./protocol";
import { download, intervalsShown, maskPng, png, shown, toCsv, toJson, type Result } from "./results";
import { Viewer, type Tool } from "./viewer";
import { explained, words } from "./words";

/** One file, and what was found in it. Pictures are not kept, so that memory does not grow with the folder. */
interface Item {
  name: string;
  file: Blob;
  frame: number;
  result: Result | null;
  edited: Edited | null;
  dicom: boolean;
  error: string;
  paired: boolean;
}

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const items: Item[] = [];
const viewer = new Viewer(element<HTMLCanvasElement>("canvas"));
let engine: Engine;
let model: ModelDescription;
let server: Server | null = null;
let current: Item | null = null;
let found: Found | null = null; // of the current item
let sorting: { column: number; down: boolean } | null = null;

for (const each of document.querySelectorAll<HTMLElement>("[data-text]")) each.textContent = String((words as any)[each.dataset.text!]);
for (const each of document.querySelectorAll<HTMLElement>("[data-label]")) each.setAttribute("aria-label", String((words as any)[each.dataset.label!]));

// ---- files ----

function add(files: Iterable<Blob & { name?: string; webkitRelativePath?: string }>): void {
  const added = [...files].filter((file) => !(file.name ?? "").startsWith(".")).map((file): Item => ({
    name: file.webkitRelativePath || file.name || "picture", file, frame: 0, result: null, edited: null, dicom: false, error: "", paired: false,
  }));
  items.push(...added);
  list();
  const start = performance.now();
  void workThrough(added, () => requestAnimationFrame(() => note("contour", performance.now() - start)));
}

/** Leave a time where the browser's own tools and benchmarks/page.py find it; the last of its name stays. */
function note(name: string, duration: number): void {
  performance.clearMeasures(name);
  performance.measure(name, { start: Math.max(performance.now() - duration, 0), duration });
}

async function workThrough(added: readonly Item[], shown: () => void = () => undefined): Promise<void> {
  const progress = element<HTMLProgressElement>("progress");
  progress.hidden = added.length < 2;
  for (const [done, item] of added.entries()) {
    say(words.working(done, added.length));
    progress.value = done / added.length;
    if (done === 0) {
      await select(item);
      shown();
    } else await work(item, false);
    row(item);
  }
  progress.hidden = true;
  const failed = added.filter((item) => item.error).length;
  say(words.finished(added.length, failed));
}

/** Segment an item's frame; `keep` keeps the picture for the viewer. */
async function work(item: Item, keep: boolean): Promise<void> {
  try {
    const bytes = await item.file.arrayBuffer();
    const result = await engine.work(bytes, item.frame, !element<HTMLInputElement>("whole").checked);
    for (const [name, duration] of Object.entries(result.times)) note(name, duration);
    item.dicom = result.dicom;
    item.error = "";
    if (item.edited === null || !item.edited.edited || item.result?.model !== model) {
      item.edited = new Edited(result.mask);
    }
    const calibration = calibrationOf(result.calibration, result.mask);
    item.result = {
      name: item.name, frame: result.frames > 1 ? item.frame : null, rows: result.picture.rows, columns: result.picture.columns,
      region: result.region, calibration, outside: outsideOf(item.edited.mask, result.calibration.regions), meanProbability: result.meanProbability, verdict: result.verdict, model,
      measurements: item.edited.measurements(calibration.spacing, topOf(result.calibration, result.mask)),
      edited: item.edited.edited,
    };
    if (keep) found = result;
  } catch (error) {
    item.result = null;
    item.error = error instanceof PictureError ? explained(error.key, error.detail) : explained("failed", String(error));
    if (keep) found = null;
  }
}

async function select(item: Item): Promise<void> {
  current = item;
  await work(item, true);
  if (current !== item) return;
  element("lead").hidden = true;
  refresh();
  list();
}

/** Show the current item anew. */
function refresh(): void {
  viewer.show(found?.picture ?? null, current?.edited ?? null, current?.result?.measurements ?? null);
  const frames = found?.frames ?? 1, slider = element<HTMLInputElement>("frame");
  element("frames").hidden = frames < 2;
  slider.max = String(frames - 1);
  slider.value = String(current?.frame ?? 0);
  element<HTMLOutputElement>("frame-number").value = `${(current?.frame ?? 0) + 1} / ${frames}`;
  element("crop").hidden = !(found?.calibration.regions.length);
  report();
}

viewer.onchange = (): void => {
  if (current?.result && current.edited && found) {
    const { mask } = current.edited;
    current.result.calibration = calibrationOf(found.calibration, mask);
    current.result.outside = outsideOf(mask, found.calibration.regions);
    current.result.measurements = current.edited.measurements(current.result.calibration.spacing, topOf(found.calibration, mask));
    current.result.edited = current.edited.edited;
    viewer.update(current.result.measurements);
    report();
    row(current);
  }
};

// ---- result ----

function report(): void {
  const decision = element("decision"), sizes = element("sizes"), result = current?.result ?? null;
  sizes.replaceChildren();
  element("untrusted").textContent = "";
  decision.className = "";
  if (result === null) {
    decision.textContent = current?.error ?? "";
    decision.className = current?.error ? "bad" : "";
    element("scale").textContent = "";
  } else {
    const { measurements: measured, verdict } = result, intervals = intervalsShown(result);
    const key = measured === null ? "nothing found" : result.edited ? "edited" : (verdict?.decision ?? "undecided");
    const texts: Record<string, string> = {
      "nothing found": words.noLesion, edited: words.edited, lesion: words.lesion, doubtful: words.doubtful, undecided: words.undecided,
    };
    decision.textContent = texts[key];
    decision.className = key === "edited" ? "lesion" : key;
    const notes = [result.outside && words.outside(result.outside), key === "undecided" && words.untrusted];
    element("untrusted").textContent = notes.filter(Boolean).join(" ");
    if (!result.edited && verdict !== null && verdict.trust !== null) {
      line(words.trust, verdict.trust.toFixed(2), verdict.unfamiliar ? words.unfamiliar : undefined);
    }
    if (measured !== null) {
      for (const [name, text] of [["long_axis", words.longAxis], ["short_axis", words.shortAxis], ["area", words.area], ["perimeter", words.perimeter], ["depth", words.depth]] as const) {
        const interval = intervals?.[name];
        line(text, shown(measured[name]), interval && words.interval(100 * interval.level, interval.low, interval.high));
      }
    }
    const volume = current!.paired ? volumeOf(items.filter((item) => item.paired)) : null;
    if (volume !== null) line(words.volumeShort, volume);
    element("scale").textContent = result.calibration.spacing === null ? `${words.inPixels} (${result.calibration.source.replace("none: ", "")})` : `${words.scale}: ${result.calibration.source}`;
    element("canvas").setAttribute("aria-label", `${result.name}: ${decision.textContent}${measured ? `, ${words.longAxis} ${shown(measured.long_axis)}, ${words.shortAxis} ${shown(measured.short_axis)}` : ""}`);
  }
  for (const button of element("exports").querySelectorAll("button")) {
    const needs = button.dataset.needs;
    button.disabled = result === null || (needs === "lesion" && result.measurements === null) || (needs === "dicom" && !current?.dicom);
    if (needs === "dicom") button.hidden = server === null;
  }
  const buttons = element("tools").querySelectorAll("button");
  for (const button of buttons) {
    if (button.dataset.act === "undo" || button.dataset.act === "restore") button.disabled = !current?.edited?.edited;
    if (button.dataset.act === "redo") button.disabled = !current?.edited?.canRedo;
    if (button.dataset.tool) button.setAttribute("aria-pressed", String(button.dataset.tool === viewer.tool));
    if (button.dataset.act === "contour") button.setAttribute("aria-pressed", String(viewer.showContour));
    if (button.dataset.act === "measure") button.setAttribute("aria-pressed", String(viewer.showAxes));
  }
  element("canvas").classList.toggle("draw", viewer.tool !== "look");

  function line(name: string, value: string, note?: string): void {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = name;
    description.textContent = value;
    if (note) description.append(Object.assign(document.createElement("small"), { textContent: note }));
    sizes.append(term, description);
  }
}

// ---- table ----

const COLUMNS: [string, (item: Item) => string | number][] = [
  [words.file, (item) => item.name],
  [words.decision, (item) => item.error || (item.result === null ? "" : item.result.measurements === null ? words.noLesion : item.result.edited ? words.edited : (item.result.verdict?.decision ?? "–"))],
  [words.longAxis, (item) => item.result?.measurements?.long_axis.value ?? -1],
  [words.area, (item) => item.result?.measurements?.area.value ?? -1],
];

function list(): void {
  const header = element("columns");
  header.replaceChildren(...COLUMNS.map(([name], column) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col";
    cell.className = column > 1 ? "number" : "";
    cell.ariaSort = sorting?.column === column ? (sorting.down ? "descending" : "ascending") : "none";
    button.textContent = name + (sorting?.column === column ? (sorting.down ? " ↓" : " ↑") : "");
    button.onclick = () => {
      sorting = { column, down: sorting?.column === column ? !sorting.down : column > 1 };
      list();
    };
    cell.append(button);
    return cell;
  }), Object.assign(document.createElement("th"), { textContent: words.viewShort, scope: "col" }));
  const sorted = [...items];
  if (sorting !== null) {
    const { column, down } = sorting, value = COLUMNS[column][1];
    sorted.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return (typeof x === "number" ? x - (y as number) : x.localeCompare(String(y))) * (down ? -1 : 1);
    });
  }
  element("rows").replaceChildren(...sorted.map((item) => cells(item, document.createElement("tr"))));
}

const rowsOf = new WeakMap<Item, HTMLTableRowElement>();

function row(item: Item): void {
  const line = rowsOf.get(item);
  if (line) cells(item, line);
  pair();
}

function cells(item: Item, line: HTMLTableRowElement): HTMLTableRowElement {
  rowsOf.set(item, line);
  line.ariaSelected = String(item === current);
  line.onclick = () => item !== current && void select(item);
  const measured = item.result?.measurements ?? null;
  const texts = [item.name, String(COLUMNS[1][1](item)), measured ? shown(measured.long_axis) : "", measured ? shown(measured.area) : ""];
  const made = texts.map((text, column) => {
    const cell = document.createElement("td");
    cell.className = column > 1 ? "number" : column === 1 && item.error ? "bad" : "";
    if (column === 0) {
      const button = document.createElement("button");
      button.className = "name";
      button.textContent = text;
      cell.append(button);
    } else cell.textContent = text;
    return cell;
  });
  const box = document.createElement("input"), cell = document.createElement("td");
  box.type = "checkbox";
  box.checked = item.paired;
  box.setAttribute("aria-label", `${words.view}: ${item.name}`);
  box.onclick = (event) => event.stopPropagation();
  box.onchange = () => {
    item.paired = box.checked;
    pair();
  };
  cell.append(box);
  line.replaceChildren(...made, cell);
  return line;
}

/** The volume of two marked views: beneath the table, and among the sizes of each of them. */
function pair(): void {
  const views = items.filter((item) => item.paired), volume = volumeOf(views);
  const text = element("pair");
  if (views.length !== 2) text.textContent = items.length > 1 ? words.pair : "";
  else text.textContent = volume === null ? words.noVolume : `${words.volume}: ${volume}`;
  report();
}

/** The volume of two views in words; null where there is none. */
function volumeOf(views: readonly Item[]): string | null {
  if (views.length !== 2) return null;
  const [one, other] = views.map((item): Measurements | null => item.result?.measurements ?? null);
  const { volume } = measureCase(one, other);
  return volume === null ? null : shown({ value: volume.value / 1000, unit: "ml" });
}

function say(text: string): void {
  element("status").textContent = text;
}

// ---- tools ----

const TOOLS: Tool[] = ["look", "push", "paint", "erase", "axes"];
const KEYS: Record<string, () => void> = {
  " ": () => next(1), c: () => act("contour"), m: () => act("measure"), z: () => act("undo"), Z: () => act("redo"), "0": () => viewer.fit(),
  l: () => take("look"), p: () => take("push"), b: () => take("paint"), e: () => take("erase"), a: () => take("axes"),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), "[": () => brush(-2), "]": () => brush(2),
};

function take(tool: Tool): void {
  viewer.tool = tool;
  report();
  viewer.update(current?.result?.measurements ?? null);
}

function act(name: string): void {
  if (name === "undo") current?.edited?.undo();
  if (name === "redo") current?.edited?.redo();
  if (name === "restore") current?.edited?.restore();
  if (name === "contour") viewer.showContour = !viewer.showContour;
  if (name === "measure") viewer.showAxes = !viewer.showAxes;
  if (name === "fit") viewer.fit();
  viewer.onchange();
  report();
}

function brush(change: number): void {
  viewer.radius = Math.min(Math.max(viewer.radius + change, 1), 60);
  element<HTMLInputElement>("brush").value = String(viewer.radius);
}

function next(by: number): void {
  if (items.length) void select(items[(items.indexOf(current!) + by + items.length) % items.length]);
}

function step(by: number): void {
  const frames = found?.frames ?? 1;
  if (current === null || frames < 2) return;
  const frame = Math.min(Math.max(current.frame + by, 0), frames - 1);
  if (frame !== current.frame) {
    current.frame = frame;
    current.edited = null;
    void select(current);
  }
}

function buildTools(): void {
  const bar = element("tools");
  const button = (text: string, run: () => void, data: Record<string, string>): HTMLButtonElement => {
    const made = document.createElement("button");
    made.textContent = text;
    Object.assign(made.dataset, data);
    made.onclick = run;
    return made;
  };
  const names: Record<Tool, string> = { look: words.look, push: words.push, paint: words.paint, erase: words.erase, axes: words.axes };
  bar.append(...TOOLS.map((tool) => button(names[tool], () => take(tool), { tool })));
  const size = document.createElement("label");
  size.innerHTML = `<span></span><input id="brush" type="range" min="1" max="60" />`;
  size.querySelector("span")!.textContent = words.brush;
  const slider = size.querySelector("input")!;
  slider.value = String(viewer.radius);
  slider.oninput = () => (viewer.radius = Number(slider.value));
  bar.append(size);
  for (const [name, text] of [["undo", words.undo], ["redo", words.redo], ["restore", words.restore], ["contour", words.contour], ["measure", words.measure], ["fit", words.fit]]) {
    bar.append(button(text, () => act(name), { act: name }));
  }
}

// ---- take away ----

function buildExports(): void {
  const stem = (): string => current!.name.replace(/^.*\//, "").replace(/\.(png|jpe?g|bmp|tiff?|webp|dcm)$/i, "");
  const list: [string, string, () => void | Promise<void>][] = [
    [words.saveOverlay, "", async () => download(await png(found!.picture, (context) => viewer.drawResult(context)), `${stem()}_overlay.png`)],
    [words.saveMask, "", async () => download(await maskPng(current!.edited!.mask), `${stem()}_mask.png`)],
    [words.saveJson, "", () => download(JSON.stringify(toJson(current!.result!), null, 2) + "\n", `${stem()}.json`)],
    [words.saveCsv, "", () => download(toCsv(items.flatMap((item) => (item.result ? [item.result] : []))), "results.csv")],
    [words.saveSeg, "dicom", () => send("dicom-seg", `${stem()}.seg.dcm`)],
    [words.saveSr, "dicom", () => send("dicom-sr", `${stem()}.sr.dcm`)],
  ];
  element("exports").append(...list.map(([text, needs, run]) => {
    const made = document.createElement("button");
    made.textContent = text;
    made.dataset.needs = needs;
    made.onclick = () => void run();
    return made;
  }));
}

/** Ask the server for a DICOM object of the mask as it stands. */
async function send(format: string, name: string): Promise<void> {
  const form = new FormData();
  form.append("file", current!.file, "picture.dcm");
  form.append("mask", await maskPng(current!.edited!.mask), "mask.png");
  form.append("format", format);
  form.append("frame", String(current!.frame));
  form.append("edited", String(current!.edited!.edited));
  form.append("model", model.name);
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  const response = await fetch("segment", { method: "POST", body: form, headers: token ? { Authorization: `Bearer ${token}` } : {} }).catch(() => null);
  if (response?.ok) download(await response.blob(), name);
  else say(explained("server", response === null ? "" : ((await response.json().catch(() => ({}))) as any).detail ?? response.statusText));
}

// ---- start ----

async function chooseModel(name: string): Promise<void> {
  const loaded = await loadModel(name);
  await engine.use(loaded.description, loaded.onnx);
  model = loaded.description;
  element<HTMLAnchorElement>("card").href = `presets/${name}/card.txt`;
  element("weights").textContent = words.modelNote(model.name, model.weights_id);
}

async function example(number: number): Promise<void> {
  const names = ["front.dcm", "side.dcm"];
  const bytes = await unpacked(`examples/${names[number]}.gz`);
  add([new File([bytes as BlobPart], `example ${number + 1} (${names[number]})`)]);
}

function listen(): void {
  const stage = element("stage");
  const pick = (button: string, input: string): void => {
    element(button).onclick = () => element(input).click();
    element<HTMLInputElement>(input).onchange = (event) => {
      const chosen = event.target as HTMLInputElement;
      add(chosen.files ?? []);
      chosen.value = "";
    };
  };
  pick("open", "files");
  pick("open-folder", "folder");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  document.addEventListener("dragleave", () => stage.classList.remove("over"));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    add(await dropped(event.dataTransfer!));
  });
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName)) return;
    if (event.key === " " && ["BUTTON", "A", "SUMMARY"].includes(target.tagName)) return;
    const run = KEYS[event.key];
    if (run) {
      event.preventDefault();
      run();
    }
  });
  element<HTMLInputElement>("frame").oninput = (event) => step(Number((event.target as HTMLInputElement).value) - (current?.frame ?? 0));
  element<HTMLInputElement>("whole").onchange = () => {
    if (current) {
      current.edited = null;
      void select(current);
    }
  };
  element<HTMLSelectElement>("model").onchange = async (event) => {
    say(words.loading);
    await chooseModel((event.target as HTMLSelectElement).value);
    for (const item of items) item.edited = item.edited?.edited ? item.edited : null;
    say(words.ready);
    void workThrough([...(current ? [current] : []), ...items.filter((item) => item !== current)]);
  };
  for (const button of document.querySelectorAll<HTMLElement>("[data-example]")) button.onclick = () => void example(Number(button.dataset.example));
}

/** Every file that was dropped, those in folders too. */
async function dropped(transfer: DataTransfer): Promise<File[]> {
  const entries = [...transfer.items].map((each) => each.webkitGetAsEntry()).filter((each) => each !== null);
  const files: File[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      files.push(Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.replace(/^\//, "") }));
    } else {
      const reader = (entry as FileSystemDirectoryEntry).createReader();
      for (;;) {
        const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
        if (part.length === 0) break;
        for (const each of part.sort((a, b) => a.name.localeCompare(b.name))) await walk(each);
      }
    }
  };
  for (const entry of entries) await walk(entry);
  return files;
}

async function start(): Promise<void> {
  buildTools();
  buildExports();
  list();
  report();
  say(words.loading);
  try {
    const [runtime, presets, behind] = await Promise.all([loadRuntime(), loadPresets(), loadServer()]);
    server = behind;
    engine = new Engine(runtime.wasm, runtime.codecs);
    const select = element<HTMLSelectElement>("model");
    select.replaceChildren(...presets.map(({ name }) => Object.assign(document.createElement("option"), { value: name, textContent: name })));
    const first = presets.find((each) => each.default) ?? presets[0];
    select.value = first.name;
    await chooseModel(first.name);
  } catch (error) {
    say(explained(error instanceof PictureError ? error.key : "failed", error instanceof PictureError ? error.detail : String(error)));
    return;
  }
  if (server !== null) element("privacy").textContent = `${words.here} SEG, SR: ${words.toServer(server.where)}`;
  listen();
  say(words.ready);
  document.body.dataset.ready = "true";
  if (!location.hash.includes("empty")) await example(0);
  if ("serviceWorker" in navigator) {
    const { version } = await loadFiles();
    await navigator.serviceWorker.register(`sw.js?v=${version}`).catch(() => undefined);
    await navigator.serviceWorker.ready;
    element("offline").hidden = false;
    document.body.dataset.offline = "true";
  }
}

void start();
