/** Class names from a file: a text with one per line, a JSON list, or a JSON object by index. */

import { EngineError } from "./types";

/** Read labels; throws EngineError where the file holds none, or not as many as there are classes. */
export function readLabels(text: string, name: string, classes: number): string[] {
  const labels = name.toLowerCase().endsWith(".json") ? fromJson(text, name) : fromLines(text);
  if (labels.length !== classes) {
    throw new EngineError(`${name} has ${labels.length} labels, but the model has ${classes} classes.`);
  }
  return labels;
}

function fromLines(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  while (lines.at(-1)?.trim() === "") lines.pop();
  return lines.map((line) => line.trim());
}

function fromJson(text: string, name: string): string[] {
  const found = parsed(text, name);
  if (Array.isArray(found) && found.every((one) => typeof one === "string")) return found;
  const entries = found !== null && typeof found === "object" ? Object.entries(found) : [];
  const labels = entries.every(([index, label]) => /^\d+$/.test(index) && typeof label === "string")
    ? entries.sort(([a], [b]) => Number(a) - Number(b)).map(([, label]) => String(label))
    : [];
  if (labels.length === 0) throw new EngineError(`${name} is no list of labels, nor labels by class index.`);
  return labels;
}

function parsed(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new EngineError(`${name} is not valid JSON.`);
  }
}
