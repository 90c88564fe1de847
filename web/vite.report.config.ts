import { defineConfig } from "vite";

/** What reports hold inside: one script and one style sheet, without modules, since a report is one file. */
export default defineConfig({
  build: {
    outDir: "../rsp_onnx/reports/built",
    emptyOutDir: true,
    target: "es2022",
    lib: {
      entry: "src/report/main.ts",
      name: "report",
      formats: ["iife"],
      fileName: () => "report.js",
      cssFileName: "report",
    },
  },
});
