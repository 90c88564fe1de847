import { shareOf } from "../stage/stage";
import { useStore } from "../state/use-store";

/** What went wrong or must be known, and what takes long. */
export function Notices() {
  const store = useStore();
  return (
    <div class="notices">
      {store.busy && (
        <div class="notice" role="status">
          <span>{store.busy.says} …</span>
          <progress aria-label={store.busy.says} {...shareOf(store.busy.share)} />
        </div>
      )}
      {store.notices.map((notice) => (
        <div
          key={notice.id}
          class={`notice ${notice.kind}`}
          role={notice.kind === "error" ? "alert" : "status"}
        >
          <span>{notice.says}</span>
          <button type="button" aria-label="Dismiss" onClick={() => store.dismiss(notice.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
