import { useEffect, useRef, useState } from "preact/hooks";

import type { Picture } from "../state/picture";
import { paintStroke } from "./paint";
import type { BrushAction, Paint, Stroke } from "./strokes";

interface Props {
  picture: Picture;
  strokes: Stroke[];
  act: (action: BrushAction) => void;
  paint: Paint;
  radius: number;
}

const STEP = 0.03; // of the picture, per arrow key

/** The photo that is painted on, with a ring where the brush is. */
export function BrushCanvas({ picture, strokes, act, paint, radius }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef(false);
  const [at, setAt] = useState({ x: 0.5, y: 0.5 });
  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (!pen) return;
    pen.drawImage(picture.source, 0, 0);
    for (const stroke of strokes) paintStroke(pen, picture, stroke);
  }, [picture, strokes]);
  const begin = (point: { x: number; y: number }) =>
    act({ type: "begin", stroke: { paint, radius, points: [point] } });
  const onKeyDown = (event: KeyboardEvent) => {
    const to = moved(at, event.key);
    if (event.key === " ") begin(at);
    else if (to) setAt(to);
    else return;
    event.preventDefault();
  };
  const ring = (2 * radius * Math.min(picture.width, picture.height)) / picture.width;
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- "application" is what takes keys
    <div
      class="brush-frame"
      role="application"
      aria-roledescription="painting"
      aria-label={`Paint on the picture: arrow keys move the brush, space paints. The brush is at ${percentOf(at.x)} across, ${percentOf(at.y)} down.`}
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the keys need a place to arrive
      tabIndex={0}
      style={{ aspectRatio: `${picture.width} / ${picture.height}` }}
      onKeyDown={onKeyDown}
      onPointerDown={(event) => {
        drawing.current = true;
        event.currentTarget.setPointerCapture(event.pointerId);
        begin(placeOf(event));
      }}
      onPointerMove={(event) => {
        const point = placeOf(event);
        setAt(point);
        if (drawing.current) act({ type: "go", ...point });
      }}
      onPointerUp={() => (drawing.current = false)}
      onPointerCancel={() => (drawing.current = false)}
    >
      <canvas ref={canvas} width={picture.width} height={picture.height} />
      <span class="ring" style={{ left: `${100 * at.x}%`, top: `${100 * at.y}%`, width: `${100 * ring}%` }} />
    </div>
  );
}

function percentOf(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function moved(at: { x: number; y: number }, key: string): { x: number; y: number } | null {
  const [dx, dy] = STEPS[key] ?? [];
  if (dx === undefined || dy === undefined) return null;
  const inside = (share: number) => Math.min(1, Math.max(0, share));
  return { x: inside(at.x + dx * STEP), y: inside(at.y + dy * STEP) };
}

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function placeOf(event: PointerEvent & { currentTarget: HTMLElement }): { x: number; y: number } {
  const box = event.currentTarget.getBoundingClientRect();
  return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
}
