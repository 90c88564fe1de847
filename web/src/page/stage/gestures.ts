/** Wheel, drag, pinch and keys: what the hand does becomes the next zoom, or a point of the picture. */

import { WHOLE, zoomedAbout, type Zoom } from "../state/view";
import { windowOf } from "./paint-scene";

export interface At {
  x: number;
  y: number;
}

export interface Hands {
  zoom: () => Zoom;
  onZoom: (zoom: Zoom) => void;
  /** A point in shares of the picture; null when the pointer left. */
  onCursor: (at: At | null) => void;
}

const STEP = 0.1; // of what is seen, per arrow key
const FACTOR = 1.25;

/** The zoom after a key; null where the key means nothing here. */
export function keyed(key: string, zoom: Zoom): Zoom | null {
  const by = STEP / zoom.scale;
  const centre = { x: zoom.x, y: zoom.y };
  switch (key) {
    case "ArrowLeft":
      return { ...zoom, x: zoom.x - by };
    case "ArrowRight":
      return { ...zoom, x: zoom.x + by };
    case "ArrowUp":
      return { ...zoom, y: zoom.y - by };
    case "ArrowDown":
      return { ...zoom, y: zoom.y + by };
    case "+":
    case "=":
      return zoomedAbout(zoom, FACTOR, centre);
    case "-":
      return zoomedAbout(zoom, 1 / FACTOR, centre);
    case "0":
      return WHOLE;
    default:
      return null;
  }
}

/** Listen on an element; call what is returned to stop. */
export function attach(element: HTMLElement, hands: Hands): () => void {
  const down = new Map<number, At>();
  const stop = new AbortController();
  const on = (
    kind: "pointerdown" | "pointermove" | "pointerup" | "pointercancel",
    act: (e: PointerEvent) => void,
  ) => element.addEventListener(kind, act, { signal: stop.signal });
  const release = (event: PointerEvent) => down.delete(event.pointerId);
  on("pointerdown", (event) => {
    down.set(event.pointerId, shares(element, event));
    element.setPointerCapture(event.pointerId);
  });
  on("pointermove", (event) => {
    const to = shares(element, event);
    hands.onCursor(toPicture(to, hands.zoom()));
    if (down.has(event.pointerId)) dragged(hands, down, event.pointerId, to);
  });
  on("pointerup", release);
  on("pointercancel", release);
  element.addEventListener("pointerleave", () => hands.onCursor(null), { signal: stop.signal });
  const wheel = { signal: stop.signal, passive: false };
  element.addEventListener("wheel", (event) => wheeled(element, hands, event), wheel);
  return () => stop.abort();
}

function wheeled(element: HTMLElement, hands: Hands, event: WheelEvent): void {
  const zoom = hands.zoom();
  if (event.deltaY > 0 && zoom.scale <= 1) return; // the page scrolls
  event.preventDefault();
  const factor = Math.exp(-Math.max(-50, Math.min(50, event.deltaY)) * 0.006);
  hands.onZoom(zoomedAbout(zoom, factor, toPicture(shares(element, event), zoom)));
}

function dragged(hands: Hands, down: Map<number, At>, id: number, to: At): void {
  const from = down.get(id) ?? to;
  const other = [...down].find(([key]) => key !== id)?.[1];
  const zoom = hands.zoom();
  down.set(id, to);
  if (!other) {
    hands.onZoom({
      ...zoom,
      x: zoom.x - (to.x - from.x) / zoom.scale,
      y: zoom.y - (to.y - from.y) / zoom.scale,
    });
    return;
  }
  const apart = (a: At) => Math.max(0.01, Math.hypot(a.x - other.x, a.y - other.y));
  const middle = { x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 };
  hands.onZoom(zoomedAbout(zoom, apart(to) / apart(from), toPicture(middle, zoom)));
}

function shares(element: HTMLElement, event: MouseEvent): At {
  const box = element.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) / (box.width || 1),
    y: (event.clientY - box.top) / (box.height || 1),
  };
}

/** From a point of the frame to one of the picture. */
export function toPicture(at: At, zoom: Zoom): At {
  const { left, top, share } = windowOf(zoom);
  return { x: left + at.x * share, y: top + at.y * share };
}

/** From a point of the picture to one of the frame. */
export function toFrame(at: At, zoom: Zoom): At {
  const { left, top, share } = windowOf(zoom);
  return { x: (at.x - left) / share, y: (at.y - top) / share };
}
