/** Files that come to the page: dropped, pasted or chosen. */

import { fromJson, blobOf, isSaved } from "./saved";
import { sorted } from "./files";
import type { Store } from "./store";

/** Models with labels, pictures, labels alone, a saved view: each where it belongs. */
export async function addFiles(store: Store, files: File[]): Promise<void> {
  const { models, texts, pictures } = sorted(files);
  for (const file of models) await store.addModel(file, models.length === 1 ? (texts[0] ?? null) : null);
  for (const file of models.length === 1 ? texts.slice(1) : texts) await addText(store, file);
  const [picture] = pictures;
  if (picture) await store.addImage(picture, { kind: "dropped", name: picture.name || "picture" });
  if (picture && pictures.length > 1) {
    store.tell(
      `One picture is shown at a time: this is ${picture.name}, the first of ${pictures.length}.`,
      "note",
    );
  }
}

async function addText(store: Store, file: File): Promise<void> {
  await store.guarded(async () => {
    const text = await file.text();
    if (isSaved(text)) await openSaved(store, text);
    else if (store.model) await store.setLabels(store.model.id, file);
    else store.tell("Labels belong to a model: drop the .onnx file first, or both at once.", "error");
  });
}

async function openSaved(store: Store, text: string): Promise<void> {
  const { restored, saved } = fromJson(text, store.models);
  if (saved.image) {
    await store.addImage(blobOf(saved.image.uri), { kind: "dropped", name: saved.image.name });
  }
  if (restored) await store.restore(restored);
}
