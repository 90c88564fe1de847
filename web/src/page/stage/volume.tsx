import type { Explained } from "../../engine/types";
import { useStore } from "../state/use-store";
import { backdropOfInput } from "./backdrop";
import type { At } from "./gestures";
import { MapView, Readout } from "./map-view";
import { sceneOf, sliceOf } from "./scene";

interface Props {
  explained: Explained;
  limit: number;
  says: string;
  cursor: At | null;
  onCursor: (at: At | null) => void;
}

/** A volume, one slice at a time; all panels show the same slice. */
export function Volume({ explained, limit, says, cursor, onCursor }: Props) {
  const store = useStore();
  const depth = explained.heatmap.shape.at(-3) ?? 1;
  const slice = Math.min(store.view.slice, depth - 1);
  const scene = sceneOf(sliceOf(explained.heatmap, slice), null);
  const input = explained.input ? sliceOf(explained.input, slice) : null;
  return (
    <>
      <MapView
        scene={scene}
        backdrop={backdropOfInput(input)}
        limit={limit}
        says={`${says}; slice ${slice + 1} of ${depth}`}
        cursor={cursor}
        onCursor={onCursor}
      />
      <Readout scene={scene} cursor={cursor} />
      <label class="slider">
        <span>
          Slice {slice + 1} of {depth}
        </span>
        <input
          type="range"
          min={0}
          max={depth - 1}
          value={slice}
          onInput={(event) =>
            store.dispatch({ type: "set", values: { slice: Number(event.currentTarget.value) } })
          }
        />
      </label>
    </>
  );
}
