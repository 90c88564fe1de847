/** The engine behind `rsp-onnx serve`: Python computes, this asks. */

import { readFrames, withArrays, type Frame } from "./frames";
import {
  EngineError,
  type Abilities,
  type Answer,
  type Engine,
  type ExplainRequest,
  type ImageFacts,
  type ModelFacts,
  type Preprocess,
  type Progress,
  type Sample,
} from "./types";

const STORED = "rsp-onnx token"; // for this tab alone, so that reloading works without the token in the address
const GONE = "The server does not answer: is rsp-onnx serve still running?";

interface State {
  version: string;
  says: string;
  models: ModelFacts[];
  samples: Sample[];
  abilities: Abilities;
}

/** Ask the server that sent this page. Throws EngineError where it does not know the token. */
export async function openEngine(): Promise<Engine> {
  const ask = asking(tokenOf());
  const state = (await json(await ask("state"))) as State;
  return new ServerEngine(ask, state);
}

function tokenOf(): string {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return sessionStorage.getItem(STORED) ?? "";
  sessionStorage.setItem(STORED, given);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  return given;
}

type Ask = (path: string, options?: RequestInit) => Promise<Response>;

function asking(token: string): Ask {
  return async (path, options = {}) => {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await fetch(`api/${path}`, { ...options, headers }).catch((error: unknown) => {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new EngineError(GONE);
    });
    if (answer.ok) return answer;
    const said = (await answer.json().catch(() => ({}))) as { error?: string };
    throw new EngineError(said.error ?? `The server answered ${answer.status} ${answer.statusText}.`);
  };
}

const json = async (answer: Response): Promise<unknown> => answer.json();

class ServerEngine implements Engine {
  readonly abilities: Abilities;
  readonly says: string;

  constructor(
    private readonly ask: Ask,
    private readonly state: State,
  ) {
    this.abilities = state.abilities;
    this.says = state.says;
  }

  models(): Promise<ModelFacts[]> {
    return Promise.resolve(this.state.models);
  }

  /** The pictures need the token too: small ones are fetched for the list, the chosen one whole. */
  async samples(): Promise<Sample[]> {
    return Promise.all(
      this.state.samples.map(async ({ name, url }) => {
        const small = await (await this.ask(`${url}?size=256`)).blob();
        return { name, url: URL.createObjectURL(small), open: async () => (await this.ask(url)).blob() };
      }),
    );
  }

  async addModel(file: File, labels: File | null, onProgress: (p: Progress) => void): Promise<ModelFacts> {
    onProgress({ says: `sending ${file.name}`, share: null });
    const answer = await this.ask(`models?name=${encodeURIComponent(file.name)}`, {
      method: "POST",
      body: file,
    });
    const { header } = await last(answer, onProgress);
    const facts = header.model as ModelFacts;
    return labels === null ? facts : this.setLabels(facts.id, labels);
  }

  async removeModel(model: string): Promise<void> {
    await this.ask(`models/${model}`, { method: "DELETE" });
  }

  async setLabels(model: string, file: File): Promise<ModelFacts> {
    const path = `models/${model}/labels?name=${encodeURIComponent(file.name)}`;
    return (await json(await this.ask(path, { method: "PUT", body: file }))) as ModelFacts;
  }

  async setPreprocess(model: string, values: Partial<Preprocess> | string): Promise<ModelFacts> {
    const body = JSON.stringify(typeof values === "string" ? { preset: values } : values);
    return (await json(await this.ask(`models/${model}/preprocess`, { method: "PUT", body }))) as ModelFacts;
  }

  async preview(model: string, image: string): Promise<ImageData> {
    const frame = await last(await this.ask(`models/${model}/preview?image=${encodeURIComponent(image)}`));
    const [facts] = frame.header.arrays as { shape: [number, number, number] }[];
    const pixels = frame.arrays.get("pixels");
    if (!facts || !pixels) throw new EngineError("The server sent no preview.");
    return new ImageData(Uint8ClampedArray.from(pixels), facts.shape[1], facts.shape[0]);
  }

  async addImage(blob: Blob, name: string): Promise<ImageFacts> {
    const answer = await this.ask(`images?name=${encodeURIComponent(name)}`, { method: "POST", body: blob });
    return (await json(answer)) as ImageFacts;
  }

  async explain(
    request: ExplainRequest,
    onProgress: (p: Progress) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    const body = JSON.stringify(request);
    const frame = await last(await this.ask("explain", { method: "POST", body, signal }), onProgress);
    return withArrays(frame.header.answer, frame.arrays) as Answer;
  }
}

/** Read frames to the end: progress is told, an error is thrown, the last is what was asked for. */
async function last(answer: Response, onProgress?: (p: Progress) => void): Promise<Frame> {
  let found: Frame | null = null;
  if (!answer.body) throw new EngineError(GONE);
  for await (const frame of readFrames(answer.body)) {
    if (typeof frame.header.error === "string") throw new EngineError(frame.header.error);
    if (frame.header.progress) onProgress?.(frame.header.progress as Progress);
    else found = frame;
  }
  if (found === null) throw new EngineError("The server ended its answer too early.");
  return found;
}
