/** A signal: a line per channel, coloured by the relevance of its samples. */

import { css, strongCss } from "../../draw/colours";
import type { Palette } from "../../draw/colours";
import type { Explained } from "../../engine/types";
import { useStore } from "../state/use-store";
import { linesOf } from "./scene";

const WIDTH = 600;
const HEIGHT = 120;
const MOST_PIECES = 400; // of a line: a screen shows no more

export interface Piece {
  /** In shares of length and height. */
  points: [number, number][];
  /** Share of the limit, the strongest within. */
  share: number;
}

/** Cut one channel into pieces of one colour each. */
export function piecesOf(signal: Float32Array, relevance: Float32Array, limit: number): Piece[] {
  const low = signal.reduce((a, b) => Math.min(a, b), Infinity);
  const range = signal.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const last = Math.max(1, signal.length - 1);
  const point = (i: number): [number, number] => [i / last, 1 - ((signal[i] ?? 0) - low) / range];
  const step = Math.max(1, Math.ceil(signal.length / MOST_PIECES));
  const pieces: Piece[] = [];
  for (let start = 0; start < last; start += step) {
    const end = Math.min(last, start + step);
    const within = relevance.subarray(start, end);
    const strongest = within.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const points = Array.from({ length: end - start + 1 }, (_, k) => point(start + k));
    pieces.push({ points, share: Math.max(-1, Math.min(1, strongest / limit)) });
  }
  return pieces;
}

export function Lines({ explained, limit, says }: { explained: Explained; limit: number; says: string }) {
  const { view } = useStore();
  const relevance = linesOf(explained) ?? explained.heatmap;
  const [channels = 1, length = relevance.values.length] = relevance.shape;
  const own = explained.input?.values;
  const signal = own?.length === relevance.values.length ? own : relevance.values;
  return (
    <svg class="lines" role="img" aria-label={says} viewBox={`0 0 ${WIDTH} ${HEIGHT * channels}`}>
      {Array.from({ length: channels }, (_, c) => (
        <g key={c} transform={`translate(0 ${c * HEIGHT})`}>
          {piecesOf(
            signal.subarray(c * length, (c + 1) * length),
            relevance.values.subarray(c * length, (c + 1) * length),
            limit,
          ).map((piece, i) => (
            <LinePiece key={i} piece={piece} palette={view.palette} threshold={view.threshold} />
          ))}
        </g>
      ))}
    </svg>
  );
}

function LinePiece({ piece, palette, threshold }: { piece: Piece; palette: Palette; threshold: number }) {
  const shown = Math.abs(piece.share) >= threshold ? piece.share : 0;
  const at = ([x, y]: [number, number]) => `${(x * WIDTH).toFixed(1)},${(8 + y * (HEIGHT - 16)).toFixed(1)}`;
  const first = (piece.points[0]?.[0] ?? 0) * WIDTH;
  const width = (piece.points.at(-1)?.[0] ?? 0) * WIDTH - first;
  return (
    <g>
      <rect x={first} y={0} width={width + 0.3} height={HEIGHT} fill={css(shown / 2, palette)} />
      <polyline
        points={piece.points.map(at).join(" ")}
        fill="none"
        stroke={Math.abs(shown) < 0.08 ? "#595959" : strongCss(Math.sign(shown) * 0.5 + shown / 2, palette)}
        stroke-width={1.8}
      />
    </g>
  );
}
