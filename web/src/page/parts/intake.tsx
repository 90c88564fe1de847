/** Pictures and models come in: by choosing, samples, camera; dropping and pasting work everywhere on the page. */

import { useEffect, useRef, useState } from "preact/hooks";

import { addFiles } from "../state/intake";
import { pasted } from "../state/files";
import { useStore } from "../state/use-store";
import { Camera } from "./camera";

export function Intake() {
  const store = useStore();
  const { image, samples, model } = store;
  const [camera, setCamera] = useState(false);
  return (
    <section class="card intake" aria-labelledby="intake-title">
      <h2 id="intake-title">Picture</h2>
      <p class="soft">
        {image ? (
          <span class="name">{image.source.name}</span>
        ) : (
          "Drop a photo anywhere, paste one, or choose:"
        )}
      </p>
      <div class="buttons">
        <FileButton words={model?.kind === "photo" ? "Open a picture" : "Open an input"} label="picture" />
        {"mediaDevices" in navigator && (
          <button type="button" aria-expanded={camera} onClick={() => setCamera(!camera)}>
            Camera
          </button>
        )}
      </div>
      {camera && <Camera close={() => setCamera(false)} />}
      {samples.length > 0 && (
        <ul class="samples" aria-label="Samples">
          {samples.map((sample) => (
            <li key={sample.name}>
              <button
                type="button"
                aria-pressed={image?.source.kind === "sample" && image.source.name === sample.name}
                onClick={() => void store.takeSample(sample)}
              >
                <img src={sample.url} alt="" loading="lazy" />
                <span>{sample.name}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

interface FileButtonProps {
  words: string;
  label: string;
  accept?: string;
}

/** A button that opens the browser's own dialog. */
export function FileButton({ words, label, accept }: FileButtonProps) {
  const store = useStore();
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" onClick={() => input.current?.click()}>
        {words}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        multiple
        accept={accept}
        aria-label={`Choose files: ${label}`}
        data-testid={`file-${label}`}
        onChange={(event) => {
          const files = Array.from(event.currentTarget.files ?? []);
          event.currentTarget.value = ""; // the same file may be chosen again
          void addFiles(store, files);
        }}
      />
    </>
  );
}

/** Listens for drops and pastes on the whole page, and shows that a drop would be taken. */
export function DropEverywhere() {
  const store = useStore();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const drag = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(event.type === "dragover");
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      void addFiles(store, pasted(event.dataTransfer));
    };
    const paste = (event: ClipboardEvent) => void addFiles(store, pasted(event.clipboardData));
    window.addEventListener("dragover", drag);
    window.addEventListener("dragleave", drag);
    window.addEventListener("drop", drop);
    window.addEventListener("paste", paste);
    return () => {
      window.removeEventListener("dragover", drag);
      window.removeEventListener("dragleave", drag);
      window.removeEventListener("drop", drop);
      window.removeEventListener("paste", paste);
    };
  }, [store]);
  return over ? <div class="drop-here">Drop a picture, a model (.onnx) or labels</div> : null;
}
