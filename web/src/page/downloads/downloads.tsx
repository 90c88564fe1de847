import { useState } from "preact/hooks";

import { shareable } from "../state/link";
import { useStore } from "../state/use-store";
import { readyPanels } from "../stage/stage";
import { drawFigure, svgOf } from "./render";
import { figureOfPage, fileName, jsonOfPage, npzOfPage } from "./save";

/** Take away what is shown. */
export function Downloads() {
  const store = useStore();
  const [says, setSays] = useState("");
  const nothing = readyPanels(store).length === 0;
  const save = (end: string, blob: Blob | null) => {
    if (blob) offer(blob, fileName(store, end));
    setSays(blob ? `${fileName(store, end)} is made.` : "This browser cannot make the file.");
  };
  const png = () => drawFigure(figureOfPage(store))?.toBlob((blob) => save("png", blob), "image/png");
  const svg = () => save("svg", new Blob([svgOf(figureOfPage(store))], { type: "image/svg+xml" }));
  const json = async () => {
    const { blob, hasImage } = await jsonOfPage(store);
    save("json", blob);
    if (!hasImage) setSays("The picture is too large for the file: it names it, and asks to drop it again.");
  };
  const link = async () => {
    try {
      await navigator.clipboard.writeText(shareable(location.href, store.link));
      setSays("The link is in the clipboard. It holds the view, not the picture.");
    } catch {
      setSays("The browser does not let this page copy: take the address from its address bar.");
    }
  };
  return (
    <section class="card downloads" aria-labelledby="downloads-title">
      <h2 id="downloads-title">Keep</h2>
      <div class="buttons">
        <button type="button" disabled={nothing} onClick={png}>
          PNG
        </button>
        <button type="button" disabled={nothing} onClick={svg}>
          SVG
        </button>
        <button type="button" disabled={nothing} onClick={() => save("npz", npzOfPage(store))}>
          Arrays (.npz)
        </button>
        <button type="button" disabled={nothing} onClick={() => void json()}>
          View (.json)
        </button>
        <button type="button" onClick={() => void link()}>
          Copy link
        </button>
      </div>
      <p class="soft" role="status">
        {says}
      </p>
    </section>
  );
}

function offer(blob: Blob, name: string): void {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}
