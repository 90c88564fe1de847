/** Layer by layer: the network as a picture, the relevance sum of every layer, and the map of the chosen one. */

import { useMemo, useRef, useState } from "preact/hooks";

import { strongCss } from "../../draw/colours";
import { shapeWords, signed } from "../../draw/numbers";
import type { Answer } from "../../engine/types";
import { useStore } from "../state/use-store";
import { LayerMap } from "./layer-map";
import { BOX, edgePath, networkOf, stepped, type Box, type Network } from "./layout";

export function LayerView() {
  const store = useStore();
  const { model, layerRequest } = store;
  const network = useMemo(() => networkOf(model?.layers ?? []), [model?.layers]);
  if (!model || model.layers.length === 0 || !store.engine.abilities.allLayers) return null;
  const open = store.layersOpen || store.view.layer !== null;
  const answer = layerRequest ? store.answers.answer(layerRequest) : null;
  const state = layerRequest ? store.answers.get(layerRequest) : null;
  return (
    <section class="card layers" aria-labelledby="layers-title">
      <details open={open} onToggle={(event) => store.openLayers(event.currentTarget.open)}>
        <summary>
          <h2 id="layers-title">Layer by layer</h2>
        </summary>
        <p class="soft">
          Bars: the sum of relevance at each layer, of {store.panels[0]?.title ?? "the first panel"}. Where a
          map can be shown, a click shows it.
        </p>
        {state?.state === "failed" && <p role="alert">{state.says}</p>}
        <div class="layer-columns">
          <Picture network={network} answer={answer} />
          <LayerMap answer={answer} />
        </div>
      </details>
    </section>
  );
}

function Picture({ network, answer }: { network: Network; answer: Answer | null }) {
  const store = useStore();
  const [at, setAt] = useState(0);
  const place = useRef<HTMLDivElement>(null);
  const sums = new Map(answer?.explained[0]?.ledger.map(({ tensor, sum }) => [tensor, sum]));
  const most = Math.max(0, ...Array.from(sums.values(), Math.abs));
  const onKeyDown = (event: KeyboardEvent) => {
    const next = stepped(network.boxes, at, event.key);
    if (next === null) return;
    event.preventDefault();
    setAt(next);
    place.current?.querySelectorAll("button")[next]?.focus();
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions -- arrow keys go from button to button
    <div class="network" ref={place} onKeyDown={onKeyDown}>
      <div class="network-paper" style={{ width: network.width, height: network.height }}>
        <svg width={network.width} height={network.height} aria-hidden="true">
          {network.boxes.flatMap((box, i) =>
            box.reads.map((read) => {
              const from = network.boxes[read];
              return from ? <path key={`${read}-${i}`} d={edgePath(from, box)} /> : null;
            }),
          )}
        </svg>
        {network.boxes.map((box, i) => (
          <Node
            key={box.tensor}
            box={box}
            sum={sums.get(box.tensor)}
            most={most}
            tab={i === at}
            chosen={store.view.layer === box.tensor}
            choose={() => {
              setAt(i);
              const layer = store.view.layer === box.tensor ? null : box.tensor;
              store.dispatch({ type: "set", values: { layer } });
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface NodeProps {
  box: Box;
  sum: number | undefined;
  most: number;
  tab: boolean;
  chosen: boolean;
  choose: () => void;
}

function Node({ box, sum, most, tab, chosen, choose }: NodeProps) {
  const { view } = useStore();
  const share = sum === undefined || most === 0 ? 0 : sum / most;
  const more = `${sum === undefined ? "" : `, sum ${signed(sum, 3)}`}${box.hasMap ? "" : ", no map"}`;
  return (
    <button
      type="button"
      class={`node ${box.family}`}
      style={{ left: box.x, top: box.y, width: BOX.width, height: BOX.height }}
      tabIndex={tab ? 0 : -1}
      aria-pressed={chosen}
      aria-disabled={!box.hasMap}
      title={`${box.tensor}${more}`}
      onClick={() => {
        if (box.hasMap) choose();
      }}
    >
      <span class="unseen">Layer {box.tensor}: </span>
      <span class="node-title">{box.title}</span>
      <span class="unseen">, </span>
      <span class="node-shape">{shapeWords(box.shape)}</span>
      <span class="unseen">{more}</span>
      <span
        class="node-bar"
        style={{ width: `${100 * Math.abs(share)}%`, background: strongCss(share, view.palette) }}
      />
    </button>
  );
}
