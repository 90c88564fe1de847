/** Tables and tokens: a bar or a chip per entry. */

import { inkOn, strongCss } from "../../draw/colours";
import { plain, signed } from "../../draw/numbers";
import type { Explained } from "../../engine/types";
import { useStore } from "../state/use-store";

const MOST_BARS = 60;

interface Props {
  explained: Explained;
  limit: number;
  says: string;
}

/** A bar per entry, from zero in the middle; of very many, those that say most. */
export function Bars({ explained, limit, says }: Props) {
  const { view } = useStore();
  const { values } = explained.heatmap;
  const order = Array.from(values.keys());
  const many = values.length > MOST_BARS;
  if (many) order.sort((a, b) => Math.abs(values[b] ?? 0) - Math.abs(values[a] ?? 0));
  return (
    <div class="entries" role="group" aria-label={says}>
      {many && (
        <p class="soft">
          The {MOST_BARS} of {values.length} entries that say most.
        </p>
      )}
      <ol class="bars">
        {order.slice(0, MOST_BARS).map((i) => {
          const share = Math.max(-1, Math.min(1, (values[i] ?? 0) / limit));
          const hidden = Math.abs(share) < view.threshold;
          return (
            <li key={i} class={hidden ? "hidden-entry" : ""}>
              <span class="entry-name">
                {`[${i}]`}
                {explained.input ? ` = ${plain(explained.input.values[i] ?? 0)}` : ""}
              </span>
              <span class="bar-track">
                <span
                  class="bar-fill"
                  style={{
                    left: `${50 + Math.min(0, 50 * share)}%`,
                    width: `${50 * Math.abs(share)}%`,
                    background: strongCss(share, view.palette),
                  }}
                />
              </span>
              <span class="number">{signed(values[i] ?? 0)}</span>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

/** Tokens in their order, coloured by what they say. */
export function Tokens({ explained, limit, says }: Props) {
  const { view } = useStore();
  const { values } = explained.heatmap;
  return (
    <ol class="tokens" aria-label={says}>
      {Array.from(values, (value, i) => {
        const share = Math.max(-1, Math.min(1, value / limit));
        const shown = Math.abs(share) >= view.threshold ? share : 0;
        return (
          <li
            key={i}
            style={{ background: strongCss(shown, view.palette), color: inkOn(shown, view.palette) }}
          >
            <b>{explained.input ? String(explained.input.values[i] ?? "?") : `[${i}]`}</b>
            <span class="number">{signed(value)}</span>
          </li>
        );
      })}
    </ol>
  );
}
