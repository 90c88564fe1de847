/** A view as a JSON file, which holds a small picture as well. */

import { fromLink, type Restored } from "./link";
import type { ModelFacts } from "../../engine/types";

const KIND = "rsp-onnx view";
export const MOST_BYTES = 3_000_000; // of a picture that is kept in the file

export interface Saved {
  kind: string;
  link: string;
  image: { name: string; uri: string } | null;
}

export function toJson(link: string, image: Saved["image"]): string {
  return JSON.stringify({ kind: KIND, link, image } satisfies Saved, null, 1);
}

/** Whether a text is such a file, and not labels. */
export function isSaved(text: string): boolean {
  return /^\s*\{/.test(text) && text.includes(`"${KIND}"`);
}

/** Read it; what cannot be read is said. */
export function fromJson(text: string, models: ModelFacts[]): { restored: Restored | null; saved: Saved } {
  const saved = readSaved(text);
  if (!saved) throw new Error("The file of a view is broken: it was not written by this page.");
  const restored = fromLink(saved.link, models);
  if (restored && saved.image) {
    restored.says = restored.says.filter((sentence) => !sentence.startsWith("A link holds no picture"));
  }
  return { restored, saved };
}

function readSaved(text: string): Saved | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const { kind, link, image } = value as Partial<Record<keyof Saved, unknown>>;
    if (kind !== KIND || typeof link !== "string") return null;
    return { kind, link, image: imageOf(image) };
  } catch {
    return null;
  }
}

/** Only pictures that the file itself holds: no address is followed. */
function imageOf(value: unknown): Saved["image"] {
  if (typeof value !== "object" || value === null) return null;
  const { name, uri } = value as { name?: unknown; uri?: unknown };
  const isImage = typeof uri === "string" && /^data:(image\/|application\/octet-stream)/.test(uri);
  return typeof name === "string" && isImage ? { name, uri } : null;
}

/** Bytes of a data URI, without asking the network. */
export function blobOf(uri: string): Blob {
  const [head = "", body = ""] = uri.split(",", 2);
  const type = /^data:([^;]*)/.exec(head)?.[1] ?? "";
  const text = head.endsWith(";base64") ? atob(body) : decodeURIComponent(body);
  return new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))], { type });
}

export async function uriOf(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return `data:${blob.type || "application/octet-stream"};base64,${btoa(text)}`;
}
