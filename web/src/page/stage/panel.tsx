/** One explanation with its title, its scale and what must be said of it. */

import { signed } from "../../draw/numbers";
import type { Answer, Explained, MethodFacts } from "../../engine/types";
import { endsOf, nameOf, namesOf, notPredicted, rankOf, valueWords } from "../state/classes";
import type { Panel } from "../state/panels";
import { useStore } from "../state/use-store";
import { backdropOf, backdropOfInput } from "./backdrop";
import { Bars, Tokens } from "./entries";
import type { At } from "./gestures";
import { Lines } from "./lines";
import { MapView, Readout } from "./map-view";
import { ScaleBar } from "./scale-bar";
import { drawingOf, sceneOf, type Scene } from "./scene";
import { Volume } from "./volume";

export interface Shown {
  answer: Answer;
  explained: Explained;
}

interface Props {
  panel: Panel;
  shown: Shown;
  limit: number;
  cursor: At | null;
  onCursor: (at: At | null) => void;
}

export function sumOf(values: Float32Array): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The map in words: class, score, rank, and how much speaks for and against. */
export function inWords(panel: Panel, { answer, explained }: Shown, method?: MethodFacts): string {
  const { values } = explained.heatmap;
  const positive = sumOf(values.map((v) => Math.max(v, 0)));
  const negative = sumOf(values.map((v) => Math.min(v, 0)));
  const rivals = explained.hostile.length > 0 ? ` against ${namesOf(panel.model, explained.hostile)}` : "";
  const sums =
    method?.signed === false
      ? `influence ${signed(positive)}`
      : `for ${signed(positive)}, against ${signed(negative)}`;
  return (
    `${nameOf(panel.model, explained.target)}${rivals}, ${valueWords(answer, explained.target)}, ` +
    `rank ${rankOf(answer.scores, explained.target)} of ${answer.scores.length}: ${sums}, ` +
    `in sum ${signed(sumOf(values))}`
  );
}

export function PanelView({ panel, shown, limit, cursor, onCursor }: Props) {
  const { answer, explained } = shown;
  const method = panel.model.methods.find(({ name }) => name === panel.request.method);
  const target = nameOf(panel.model, explained.target);
  const ends = endsOf(method, target, namesOf(panel.model, explained.hostile));
  const says = inWords(panel, shown, method);
  const isPicture = drawingOf(panel.model.kind, explained) === "picture";
  const scene = isPicture ? sceneOf(explained.heatmap, answer.geometry) : null;
  const titled = panel.title === target || panel.title === "the predicted class";
  return (
    <figure class="panel">
      <figcaption>
        <strong>{titled ? target : panel.title}</strong>
        <span class="soft">
          {titled ? "" : `${target}, `}
          {valueWords(answer, explained.target)}, rank {rankOf(answer.scores, explained.target)} of{" "}
          {answer.scores.length}
        </span>
      </figcaption>
      <Drawn {...{ panel, shown, limit, cursor, onCursor, says, scene }} />
      {scene && panel.model.kind === "image" && <Axes scene={scene} />}
      {scene && <Readout scene={scene} cursor={cursor} />}
      <ScaleBar limit={limit} ends={ends} />
      <Remarks panel={panel} shown={shown} method={method} />
    </figure>
  );
}

/** A picture that is no photo, such as a spectrogram, has axes that can be read. */
function Axes({ scene }: { scene: Scene }) {
  const [rows, columns] = scene.geometry.original;
  return (
    <div class="axes number">
      <span>column 0</span>
      <span>rows 0 to {rows - 1}, downward</span>
      <span>{columns - 1}</span>
    </div>
  );
}

function Drawn(props: Props & { says: string; scene: Scene | null }) {
  const { panel, shown, limit, cursor, onCursor, says, scene } = props;
  const store = useStore();
  const { explained } = shown;
  if (scene) {
    const isEdited = store.edited?.id === panel.request.image;
    const picture = isEdited ? store.edited?.picture : store.image?.picture;
    const backdrop = explained.input ? backdropOfInput(explained.input) : backdropOf(picture ?? null);
    return <MapView {...{ scene, backdrop, limit, says, cursor, onCursor }} />;
  }
  switch (drawingOf(panel.model.kind, explained)) {
    case "tokens":
      return <Tokens {...{ explained, limit, says }} />;
    case "lines":
      return <Lines {...{ explained, limit, says }} />;
    case "volume":
      return <Volume {...{ explained, limit, says, cursor, onCursor }} />;
    default:
      return <Bars {...{ explained, limit, says }} />;
  }
}

function Remarks({ panel, shown, method }: { panel: Panel; shown: Shown; method: MethodFacts | undefined }) {
  const unlike = notPredicted(panel.model, shown.answer, shown.explained.target);
  const says = [
    unlike,
    panel.note,
    method?.signed === false ? "The sign of this method says nothing: strong colours mean influence." : null,
    method?.note ?? null,
    ...shown.explained.warnings,
  ].filter((one): one is string => one !== null && one !== "");
  if (says.length === 0) return null;
  return (
    <ul class="remarks">
      {says.map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </ul>
  );
}
