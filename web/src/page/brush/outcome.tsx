import { useStore } from "../state/use-store";
import { nameOf } from "../state/classes";
import { readyPanels } from "../stage/stage";
import { mapWords, scoreWords, shareUnder, type Stroke } from "./strokes";

/** What the paint changed, in words. */
export function Outcome({ strokes }: { strokes: Stroke[] }) {
  const store = useStore();
  const ready = readyPanels(store);
  const before = ready.find(({ panel }) => panel.request.image === store.image?.facts.id);
  const after = ready.find(({ panel }) => panel.request.image === store.edited?.id);
  if (!before || !after) return <p role="status">Asking the model about the painted picture …</p>;
  const { answer, explained } = before.shown;
  const under = answer.geometry ? shareUnder(explained.heatmap, answer.geometry, strokes) : 0;
  return (
    <div role="status" class="outcome" data-testid="brush-outcome">
      <p>
        <b>{nameOf(store.model, explained.target)}</b>:{" "}
        {scoreWords(answer, after.shown.answer, explained.target)}
      </p>
      <p>{mapWords(explained.heatmap, after.shown.explained.heatmap, under)}</p>
    </div>
  );
}
