import { useEffect, useRef, useState } from "preact/hooks";

import { canvasOf } from "../state/picture";
import { useStore } from "../state/use-store";

/** The camera's picture, and a button that takes it; the stream ends with the component. */
export function Camera({ close }: { close: () => void }) {
  const store = useStore();
  const video = useRef<HTMLVideoElement>(null);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let stream: MediaStream | null = null;
    let gone = false;
    const open = async () => {
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        if (gone) stop(stream);
        else if (video.current) {
          video.current.srcObject = stream;
          await video.current.play();
          setReady(true);
        }
      } catch {
        store.tell("No camera can be used here: allow it in the browser, or drop a picture.", "error");
        close();
      }
    };
    void open();
    return () => {
      gone = true;
      stop(stream);
    };
  }, []);
  return (
    <div class="camera">
      <video ref={video} muted playsInline aria-label="Camera" />
      <button
        type="button"
        disabled={!ready}
        onClick={() => {
          if (video.current) void take(video.current, store.addImage.bind(store)).then(close);
        }}
      >
        Take the picture
      </button>
    </div>
  );
}

function stop(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

type Add = (blob: Blob, source: { kind: "dropped"; name: string }) => Promise<void>;

async function take(video: HTMLVideoElement, add: Add): Promise<void> {
  const made = canvasOf(video.videoWidth, video.videoHeight);
  if (!made) return;
  const [canvas, pen] = made;
  pen.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob) await add(blob, { kind: "dropped", name: "camera.png" });
}
