import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const WASM: Record<string, string> = {
  ort: "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
  openjpeg: "node_modules/@cornerstonejs/codec-openjpeg/dist/openjpegwasm_decode.wasm",
  charls: "node_modules/@cornerstonejs/codec-charls/dist/charlswasm_decode.wasm",
};

/** WebAssembly beside the page, compressed: the page unpacks it itself, whatever server it comes from. */
function packedWasm(): Plugin {
  return {
    name: "packed-wasm",
    generateBundle(_, bundle) {
      for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name]; // the copies of the packages
      for (const [name, file] of Object.entries(WASM)) {
        this.emitFile({ type: "asset", fileName: `wasm/${name}.wasm.gz`, source: gzipSync(readFileSync(file), { level: 9 }) });
      }
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [packedWasm()],
  worker: { format: "es", rollupOptions: { output: { entryFileNames: "worker.js" } } },
  build: {
    outDir: "../monai_lesion/page/static",
    emptyOutDir: true,
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      output: { entryFileNames: "[name].js", assetFileNames: "[name][extname]", chunkFileNames: "[name].js" },
    },
  },
});
