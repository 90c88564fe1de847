/** One map on its photo: zoom and pan in step with all others, and the value under the cursor. */

import { useEffect, useRef, useState } from "preact/hooks";

import { valueAt } from "../../draw/lookup";
import { signed } from "../../draw/numbers";
import { useStore } from "../state/use-store";
import type { Zoom } from "../state/view";
import type { Backdrop } from "./backdrop";
import { attach, keyed, toFrame, type At } from "./gestures";
import { drawScene } from "./paint-scene";
import type { Scene } from "./scene";

interface Props {
  scene: Scene;
  backdrop: Backdrop | null;
  limit: number;
  /** What the picture says, in words. */
  says: string;
  /** The point looked at, in shares of the picture, shared by all panels. */
  cursor: At | null;
  onCursor: (at: At | null) => void;
}

export function MapView({ scene, backdrop, limit, says, cursor, onCursor }: Props) {
  const store = useStore();
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(frame);
  const [rows, columns] = scene.geometry.original;
  const { view } = store;
  const onZoom = (zoom: Zoom) => store.dispatch({ type: "zoom", zoom });
  useEffect(() => {
    if (!frame.current) return undefined;
    return attach(frame.current, { zoom: () => store.view.zoom, onZoom, onCursor });
  }, [store, onCursor]);
  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (!canvas.current || !pen || width === 0) return;
    const across = Math.round(width * Math.min(2, window.devicePixelRatio || 1));
    canvas.current.width = across;
    canvas.current.height = Math.max(1, Math.round((across * rows) / columns));
    drawScene(pen, scene, backdrop, view, limit);
    // not on every move of the cursor
  }, [scene, backdrop, limit, width, view.mode, view.opacity, view.threshold, view.palette, view.zoom]);
  const onKeyDown = (event: KeyboardEvent) => {
    const zoom = keyed(event.key, view.zoom);
    if (!zoom || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    onZoom(zoom);
    onCursor({ x: store.view.zoom.x, y: store.view.zoom.y });
  };
  const mark = cursor && toFrame(cursor, view.zoom);
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- "application" is what takes keys
    <div
      ref={frame}
      class={view.zoom.scale > 1 ? "map zoomed" : "map"}
      style={{ aspectRatio: `${columns} / ${rows}`, "--shape": columns / rows }}
      // a picture that is moved with the keys: the role that ARIA has for it
      role="application"
      aria-roledescription="relevance map"
      aria-label={says}
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the keys need a place to arrive
      tabIndex={0}
      onKeyDown={onKeyDown}
      onBlur={() => onCursor(null)}
    >
      <canvas ref={canvas} />
      {mark && mark.x >= 0 && mark.x <= 1 && mark.y >= 0 && mark.y <= 1 && (
        <span class="cross" style={{ left: `${100 * mark.x}%`, top: `${100 * mark.y}%` }} />
      )}
    </div>
  );
}

/** "row 12, column 40: +0.0031", where the model saw something. */
export function Readout({ scene, cursor }: { scene: Scene; cursor: At | null }) {
  const [rows, columns] = scene.geometry.original;
  if (!cursor) return <output class="readout" aria-live="polite" />;
  const point = { x: cursor.x * columns, y: cursor.y * rows };
  const value = valueAt(scene.map, scene.geometry, point);
  const where = `row ${Math.floor(point.y)}, column ${Math.floor(point.x)}`;
  return (
    <output class="readout" aria-live="polite">
      {where}: <b>{value === null ? "not seen by the model" : signed(value, 3)}</b>
    </output>
  );
}

/** Width of an element in CSS pixels, kept up to date. */
function useWidth(element: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watched = element.current;
    if (!watched || typeof ResizeObserver === "undefined") return undefined;
    const observer = new ResizeObserver(() => setWidth(watched.clientWidth));
    observer.observe(watched);
    setWidth(watched.clientWidth);
    return () => observer.disconnect();
  }, []);
  return width;
}
