import preact from "@preact/preset-vite";
import { defineConfig } from "vitest/config";

/** The page: relative addresses only, so that it can lie in any folder of a web space. */
export default defineConfig({
  base: "./",
  plugins: [preact()],
  build: {
    outDir: "../rsp_onnx/web/built",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    license: { fileName: "licenses.md" }, // of what the page holds: it goes where the page goes
  },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
