/** Blot out a part of the picture and see what the model makes of the rest. */

import { useEffect, useReducer, useState } from "preact/hooks";

import type { Picture } from "../state/picture";
import { useStore } from "../state/use-store";
import { Choice } from "../parts/controls";
import { BrushCanvas } from "./brush-canvas";
import { Outcome } from "./outcome";
import { paintedCanvas } from "./paint";
import { brushed, type Paint, type Stroke } from "./strokes";

const WAIT = 450; // milliseconds after the last stroke
const PAINTS: [Paint, string][] = [
  ["grey", "Mean colour"],
  ["blur", "Blur"],
  ["noise", "Noise"],
];

export function BrushCard() {
  const store = useStore();
  const [open, setOpen] = useState(false);
  const picture = store.image?.picture;
  if (!picture || store.model?.kind !== "photo") return null;
  return (
    <section class="card brush" aria-labelledby="brush-title">
      <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <h2 id="brush-title">Paint over a part</h2>
        </summary>
        {open && <Brush key={store.image?.facts.id ?? ""} picture={picture} />}
      </details>
    </section>
  );
}

function Brush({ picture }: { picture: Picture }) {
  const store = useStore();
  const [strokes, act] = useReducer(brushed, []);
  const [paint, setPaint] = useState<Paint>("grey");
  const [radius, setRadius] = useState(0.12);
  useSending(picture, strokes);
  return (
    <>
      <p class="soft">
        Does the model really use it? Paint with the pointer, or with the arrow keys and space; what changes
        is said below and shown beside the first map.
      </p>
      <div class="brush-columns">
        <BrushCanvas picture={picture} strokes={strokes} act={act} paint={paint} radius={radius} />
        <div>
          <Choice
            legend="Painted with"
            name="paint"
            options={PAINTS}
            value={paint}
            choose={(value) => setPaint(value)}
          />
          <label class="slider">
            <span>
              Brush size <b class="number">{Math.round(200 * radius)} %</b>
            </span>
            <input
              type="range"
              min={0.02}
              max={0.3}
              step={0.01}
              value={radius}
              onInput={(event) => setRadius(Number(event.currentTarget.value))}
            />
          </label>
          <div class="buttons">
            <button type="button" disabled={strokes.length === 0} onClick={() => act({ type: "undo" })}>
              Undo
            </button>
            <button type="button" disabled={strokes.length === 0} onClick={() => act({ type: "reset" })}>
              Take all paint away
            </button>
          </div>
          {store.edited && <Outcome strokes={strokes} />}
        </div>
      </div>
    </>
  );
}

/** Send the painted picture once the hand rests. */
function useSending(picture: Picture, strokes: Stroke[]): void {
  const store = useStore();
  useEffect(() => {
    if (strokes.length === 0) {
      if (store.edited) store.clearEdited();
      return undefined;
    }
    const timer = setTimeout(() => {
      paintedCanvas(picture, strokes)?.toBlob((blob) => {
        if (blob) void store.addEdited(blob);
      }, "image/png");
    }, WAIT);
    return () => clearTimeout(timer);
  }, [strokes]);
}
