/** What is open besides the view: things that no link can hold. */

import type { ImageFacts } from "../../engine/types";
import type { Source } from "./link";
import type { Picture } from "./picture";

export interface OpenImage {
  facts: ImageFacts;
  /** null where the browser cannot show it. */
  picture: Picture | null;
  source: Source;
  blob: Blob;
}

/** The picture after painting. */
export interface Edited {
  id: string;
  picture: Picture | null;
}

export interface Notice {
  id: number;
  says: string;
  kind: "error" | "note";
}
