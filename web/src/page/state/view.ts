/** What the page shows, as one value that never changes in place, and the one function that makes the next. */

import type { Palette } from "../../draw/colours";

export type Mode = "overlay" | "map" | "contours" | "photo";
/** What stands beside each other. */
export type Comparison = "classes" | "methods" | "models" | "brush";

/** The part of a picture that is seen: its centre in shares of the picture, and how much it is enlarged. */
export interface Zoom {
  scale: number;
  x: number;
  y: number;
}

export interface View {
  /** Engine's name of the model; null while there is none. */
  model: string | null;
  /** The model beside it. */
  other: string | null;
  method: string;
  /** Methods beside each other, the first of which is `method`. */
  methods: string[];
  /** Class indices; empty: the class that the model predicts. */
  targets: number[];
  rivals: number[];
  comparison: Comparison;
  mode: Mode;
  opacity: number;
  threshold: number;
  palette: Palette;
  /** The locked colour limit. */
  locked: number | null;
  zoom: Zoom;
  /** Tensor of the layer whose map is shown; null: the input's. */
  layer: string | null;
  /** Slice of a volume. */
  slice: number;
}

export const MOST_PANELS = 4;
export const MOST_ZOOM = 32;
export const WHOLE: Zoom = { scale: 1, x: 0.5, y: 0.5 };

export const START: View = {
  model: null,
  other: null,
  method: "rsp",
  methods: [],
  targets: [],
  rivals: [],
  comparison: "classes",
  mode: "overlay",
  opacity: 0.8,
  threshold: 0,
  palette: "red-blue",
  locked: null,
  zoom: WHOLE,
  layer: null,
  slice: 0,
};

/** Settings that are set as they are. */
export type Settings = Pick<
  View,
  "mode" | "opacity" | "threshold" | "palette" | "locked" | "layer" | "slice" | "comparison"
>;

/** Which classes are explained, and against whom; an empty list of targets stands for the predicted one. */
type ClassAction =
  | { type: "target"; index: number }
  | { type: "beside"; index: number; predicted: number }
  | { type: "predicted" }
  | { type: "rival"; index: number; predicted: number }
  | { type: "swap"; predicted: number };

export type Action =
  | { type: "model"; id: string | null; methods: string[] }
  | { type: "other"; id: string | null }
  | { type: "method"; name: string }
  | { type: "toggle-method"; name: string }
  | ClassAction
  | { type: "zoom"; zoom: Zoom }
  | { type: "set"; values: Partial<Settings> }
  | { type: "restore"; view: View };

export function reduce(view: View, action: Action): View {
  switch (action.type) {
    case "model":
      return withModel(view, action.id, action.methods);
    case "other":
      return { ...view, other: action.id, comparison: action.id ? "models" : "classes" };
    case "method":
      return { ...view, method: action.name, methods: headed(view.methods, action.name) };
    case "toggle-method":
      return toggledMethod(view, action.name);
    case "zoom":
      return { ...view, zoom: clamped(action.zoom) };
    case "set":
      return { ...view, ...action.values };
    case "restore":
      return action.view;
    default:
      return withClasses(view, action);
  }
}

function withClasses(view: View, action: ClassAction): View {
  switch (action.type) {
    case "target":
      return { ...view, targets: [action.index], rivals: view.rivals.filter((r) => r !== action.index) };
    case "beside":
      return toggledTarget(view, action.index, action.predicted);
    case "predicted":
      return { ...view, targets: [] };
    case "rival":
      return toggledRival(view, action.index, action.predicted);
    case "swap":
      return swapped(view, action.predicted);
  }
}
/** Other classes and layers stand behind the same numbers of another model, so these are forgotten. */
function withModel(view: View, id: string | null, methods: string[]): View {
  const method = methods.includes(view.method) ? view.method : (methods[0] ?? START.method);
  const same = view.model === id;
  return {
    ...view,
    model: id,
    method,
    methods: view.methods.filter((name) => methods.includes(name)),
    other: view.other === id ? null : view.other,
    comparison: view.other === id || view.comparison === "brush" ? "classes" : view.comparison,
    targets: same ? view.targets : [],
    rivals: same ? view.rivals : [],
    layer: same ? view.layer : null,
  };
}

function headed(methods: string[], first: string): string[] {
  if (methods.length === 0 || methods.includes(first)) return methods;
  return [first, ...methods.slice(1)];
}

function toggledMethod(view: View, name: string): View {
  const chosen = view.methods.length > 0 ? view.methods : [view.method];
  const methods = toggled(chosen, name).slice(0, MOST_PANELS);
  if (methods.length === 0) return view;
  const method = methods.includes(view.method) ? view.method : (methods[0] ?? view.method);
  return { ...view, method, methods };
}

function toggledTarget(view: View, index: number, predicted: number): View {
  const targets = toggled(targetsOf(view, predicted), index);
  if (targets.length > MOST_PANELS) return view;
  return { ...view, targets, rivals: view.rivals.filter((r) => r !== index), comparison: "classes" };
}

/** A class is no rival of itself. */
function toggledRival(view: View, index: number, predicted: number): View {
  const targets = targetsOf(view, predicted);
  if (targets.includes(index)) return view;
  return { ...view, targets, rivals: toggled(view.rivals, index) };
}

function swapped(view: View, predicted: number): View {
  const [first, ...others] = view.rivals;
  if (first === undefined) return view;
  const [target = predicted, ...beside] = targetsOf(view, predicted);
  return { ...view, targets: [first, ...beside], rivals: [target, ...others] };
}

/** The classes asked for; where none is, the predicted one. */
export function targetsOf(view: View, predicted: number): number[] {
  return view.targets.length > 0 ? view.targets : [predicted];
}

function toggled<T>(list: T[], item: T): T[] {
  return list.includes(item) ? list.filter((one) => one !== item) : [...list, item];
}

/** Never smaller than the frame, never beyond its edges. */
function clamped({ scale, x, y }: Zoom): Zoom {
  const bounded = Math.min(MOST_ZOOM, Math.max(1, scale));
  const margin = 0.5 / bounded;
  const inside = (centre: number) => Math.min(1 - margin, Math.max(margin, centre));
  return { scale: bounded, x: inside(x), y: inside(y) };
}

/** Enlarge about a point that stays where it is; `at` in shares of the picture. */
export function zoomedAbout(zoom: Zoom, factor: number, at: { x: number; y: number }): Zoom {
  const scale = Math.min(MOST_ZOOM, Math.max(1, zoom.scale * factor));
  const kept = zoom.scale / scale;
  return clamped({ scale, x: at.x + (zoom.x - at.x) * kept, y: at.y + (zoom.y - at.y) * kept });
}
