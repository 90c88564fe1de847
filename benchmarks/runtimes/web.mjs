// Runs a model in onnxruntime-web (WASM): node web.mjs FOLDER, with model.onnx, feeds.json and NAME.bin in it.
// FOLDER's parents, or NODE_PATH's first entry, hold node_modules/onnxruntime-web. Writes what it returns there.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/index.js`);
const ort = await import(pathToFileURL(require.resolve("onnxruntime-web")).href);
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";
const arrays = { float32: Float32Array, int64: BigInt64Array, uint8: Uint8Array, float16: Uint16Array };
const told = JSON.parse(readFileSync(`${folder}/feeds.json`, "utf8"));
const options = { executionProviders: ["wasm"], logSeverityLevel: 4 };
const session = await ort.InferenceSession.create(readFileSync(`${folder}/model.onnx`), options);
const feeds = {};
for (const [index, { name, type, shape }] of told.inputs.entries()) {
  const bytes = readFileSync(`${folder}/input_${index}.bin`);
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  feeds[name] = new ort.Tensor(type, new arrays[type](copy), shape);
}
const results = await session.run(feeds);
const outputs = Object.entries(results).map(([name, tensor], index) => {
  writeFileSync(`${folder}/output_${index}.bin`, Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
  return { name, type: tensor.type, shape: tensor.dims };
});
writeFileSync(`${folder}/results.json`, JSON.stringify({ version: ort.env.versions.common, outputs }));
