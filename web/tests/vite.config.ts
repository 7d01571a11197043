import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  build: { lib: { entry: "core.ts", formats: ["es"], fileName: "core" }, minify: false, target: "node20", emptyOutDir: true },
});
