/** How the map is shown: view, opacity, threshold, colours, scale, zoom. */

import type { Palette } from "../../draw/colours";
import { plain } from "../../draw/numbers";
import { drawingOf } from "../stage/scene";
import { limitOfAll, readyPanels } from "../stage/stage";
import type { Store } from "../state/store";
import { useStore } from "../state/use-store";
import { WHOLE, zoomedAbout, type Mode } from "../state/view";

const MODES: [Mode, string][] = [
  ["overlay", "Overlay"],
  ["map", "Map"],
  ["contours", "Contours"],
  ["photo", "Photo"],
];

const PALETTES: [Palette, string][] = [
  ["red-blue", "Red and blue"],
  ["blue-orange", "Orange and blue"],
];

export function Controls() {
  const store = useStore();
  const { view } = store;
  const set = (values: Partial<typeof view>) => store.dispatch({ type: "set", values });
  const isPicture = showsPictures(store);
  return (
    <section class="card controls" aria-labelledby="controls-title">
      <h2 id="controls-title">View</h2>
      <div class="beside">
        {isPicture && (
          <Choice
            legend="Shown as"
            name="mode"
            options={MODES}
            value={view.mode}
            choose={(mode) => set({ mode })}
          />
        )}
        <Choice
          legend="Colours"
          name="palette"
          options={PALETTES}
          value={view.palette}
          choose={(palette) => set({ palette })}
        />
        {isPicture && <ZoomButtons />}
      </div>
      <div class="sliders">
        {isPicture && (
          <Slider
            label="Opacity"
            value={view.opacity}
            disabled={view.mode === "map" || view.mode === "photo"}
            choose={(opacity) => set({ opacity })}
          />
        )}
        <Slider
          label="Threshold, share of the limit"
          value={view.threshold}
          disabled={isPicture && view.mode === "photo"}
          choose={(threshold) => set({ threshold })}
        />
      </div>
      <Scale />
    </section>
  );
}

/** Lines, bars and tokens have neither opacity nor zoom. */
function showsPictures(store: Store): boolean {
  const ready = readyPanels(store);
  const drawings = ready.map(({ panel, shown }) => drawingOf(panel.model.kind, shown.explained));
  return drawings.length === 0 || drawings.some((drawing) => drawing === "picture" || drawing === "volume");
}

/** Lock the scale, so that other classes, pictures and models are drawn on it. */
function Scale() {
  const store = useStore();
  const { locked } = store.view;
  const limit = limitOfAll(store, readyPanels(store));
  const set = (value: number | null) => store.dispatch({ type: "set", values: { locked: value } });
  return (
    <div class="line">
      <label class="check">
        <input
          type="checkbox"
          checked={locked !== null}
          onChange={(event) => set(event.currentTarget.checked ? limit : null)}
        />
        <span>Lock the scale at ±{plain(limit)} for all classes, pictures and models</span>
      </label>
    </div>
  );
}

function ZoomButtons() {
  const store = useStore();
  const { zoom } = store.view;
  const to = (factor: number) =>
    store.dispatch({ type: "zoom", zoom: zoomedAbout(zoom, factor, { x: zoom.x, y: zoom.y }) });
  return (
    <fieldset class="choice">
      <legend>Zoom</legend>
      <div class="zoom">
        <button type="button" aria-label="Zoom out" onClick={() => to(1 / 1.5)}>
          −
        </button>
        <span class="number" aria-live="polite">
          {Math.round(100 * zoom.scale)} %
        </span>
        <button type="button" aria-label="Zoom in" onClick={() => to(1.5)}>
          +
        </button>
        <button
          type="button"
          disabled={zoom.scale === 1}
          onClick={() => store.dispatch({ type: "zoom", zoom: WHOLE })}
        >
          Whole picture
        </button>
      </div>
    </fieldset>
  );
}

interface ChoiceProps<T extends string> {
  legend: string;
  name: string;
  options: [T, string][];
  value: T;
  choose: (value: T) => void;
}

/** One of a few, as radio buttons that look like a switch. */
export function Choice<T extends string>({ legend, name, options, value, choose }: ChoiceProps<T>) {
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class="segments">
        {options.map(([key, words]) => (
          <label key={key} class={key === value ? "chosen-segment" : ""}>
            <input type="radio" name={name} checked={key === value} onChange={() => choose(key)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface SliderProps {
  label: string;
  value: number;
  disabled?: boolean;
  choose: (value: number) => void;
}

export function Slider({ label, value, disabled = false, choose }: SliderProps) {
  return (
    <label class="slider">
      <span>
        {label} <b class="number">{Math.round(100 * value)} %</b>
      </span>
      <input
        type="range"
        min={0}
        max={1}
        step={0.01}
        value={value}
        disabled={disabled}
        onInput={(event) => choose(Number(event.currentTarget.value))}
      />
    </label>
  );
}
