import { useState } from "preact/hooks";

import { ofLayer } from "../../draw/lay";
import { colourLimit } from "../../draw/limit";
import { shapeWords } from "../../draw/numbers";
import type { Answer, Explained, RelevanceMap } from "../../engine/types";
import { backdropOf } from "../stage/backdrop";
import { Bars } from "../stage/entries";
import type { At } from "../stage/gestures";
import { MapView, Readout } from "../stage/map-view";
import { ScaleBar } from "../stage/scale-bar";
import { sceneOf } from "../stage/scene";
import { endsOf, nameOf, namesOf } from "../state/classes";
import { useStore } from "../state/use-store";

/** The chosen layer's map, in its own resolution and on its own scale: sums of another layer are other numbers. */
export function LayerMap({ answer }: { answer: Answer | null }) {
  const store = useStore();
  const { layer } = store.view;
  const explained = answer?.explained[0];
  const map = layer === null ? undefined : explained?.layers[layer];
  if (layer === null) return <p class="soft layer-map">No layer is chosen.</p>;
  if (!answer || !explained) return <p class="soft layer-map">Asking about {layer} …</p>;
  if (!map) return <p class="soft layer-map">Relevance has no map at {layer}.</p>;
  const method = store.model?.methods.find(({ name }) => name === answer.method);
  return (
    <figure class="panel layer-map">
      <figcaption>
        <strong>{layer}</strong>
        <span class="soft">{shapeWords(map.shape)}, summed over channels, own scale</span>
      </figcaption>
      <Drawn map={map} answer={answer} explained={explained} says={`Relevance at layer ${layer}`} />
      <ScaleBar
        limit={colourLimit(map.values)}
        ends={endsOf(method, nameOf(store.model, explained.target), namesOf(store.model, explained.hostile))}
      />
    </figure>
  );
}

interface DrawnProps {
  map: RelevanceMap;
  answer: Answer;
  explained: Explained;
  says: string;
}

function Drawn({ map, answer, explained, says }: DrawnProps) {
  const store = useStore();
  const [cursor, setCursor] = useState<At | null>(null);
  const limit = colourLimit(map.values);
  if (map.shape.length !== 2) {
    return <Bars explained={{ ...explained, heatmap: map, input: null }} limit={limit} says={says} />;
  }
  const scene = sceneOf(map, answer.geometry ? ofLayer(answer.geometry, map.shape) : null);
  const backdrop = answer.geometry ? backdropOf(store.image?.picture ?? null) : null;
  return (
    <>
      <MapView {...{ scene, backdrop, limit, says, cursor }} onCursor={setCursor} />
      <Readout scene={scene} cursor={cursor} />
    </>
  );
}
