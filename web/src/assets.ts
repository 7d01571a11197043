/** Files that the page fetches while it loads, and never after. Large ones are stored compressed: no server must do it. */

import type { CodecBytes } from "./codecs";
import { PictureError } from "./errors";
import { checkedDescription, type ModelDescription } from "./models";

export interface Preset {
  name: string;
  default: boolean;
}

async function fetched(path: string): Promise<Response> {
  const response = await fetch(path, { credentials: "same-origin" }).catch(() => null);
  if (response === null || !response.ok) throw new PictureError("network", path);
  return response;
}

export async function unpacked(path: string): Promise<Uint8Array> {
  const body = (await fetched(path)).body!.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(body).arrayBuffer());
}

export async function loadRuntime(): Promise<{ wasm: Uint8Array; codecs: CodecBytes }> {
  const [wasm, openjpeg, charls] = await Promise.all(
    ["ort", "openjpeg", "charls"].map((name) => unpacked(`wasm/${name}.wasm.gz`)),
  );
  return { wasm, codecs: { openjpeg, charls } };
}

export async function loadPresets(): Promise<Preset[]> {
  return (await fetched("presets/index.json")).json();
}

export async function loadModel(name: string): Promise<{ description: ModelDescription; onnx: Uint8Array }> {
  const [description, onnx] = await Promise.all([
    fetched(`presets/${name}/model.json`).then((response) => response.json()),
    unpacked(`presets/${name}/model.onnx.gz`),
  ]);
  return { description: checkedDescription(description), onnx };
}

/** What a server behind the page can do; null where the page is only files. */
export interface Server {
  where: string;
  formats: string[];
}

export async function loadServer(): Promise<Server | null> {
  return (await fetched("server.json")).json();
}

/** Every file of the page, and a version that changes with any of them. */
export async function loadFiles(): Promise<{ version: string; files: string[] }> {
  return (await fetched("files.json")).json();
}
