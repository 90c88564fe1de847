import { scaleStops } from "../../draw/colours";
import { plain } from "../../draw/numbers";
import type { Ends } from "../state/classes";
import { useStore } from "../state/use-store";

/** The colours with their numbers, and what both ends say; zero is always in the middle. */
export function ScaleBar({ limit, ends }: { limit: number; ends: Ends }) {
  const { view } = useStore();
  const stops = scaleStops(view.palette).map(({ offset, colour }) => `${colour} ${100 * offset}%`);
  const end = plain(limit, 2);
  return (
    <div class="scale">
      <div class="ramp" style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} />
      <div class="numbers">
        <span>−{end}</span>
        <span>0</span>
        <span>+{end}</span>
      </div>
      <div class="ends">
        <span title={ends.negative}>{ends.negative}</span>
        <span title={ends.positive}>{ends.positive}</span>
      </div>
    </div>
  );
}
