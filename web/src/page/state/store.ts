/** All that the page knows, and what can be done; components only show it and call it. */

import type {
  Answer,
  Engine,
  ExplainRequest,
  ModelFacts,
  Preprocess,
  Progress,
  Sample,
} from "../../engine/types";
import { Answers } from "./answers";
import { predictedOf } from "./classes";
import { fromLink, toLink, type Restored, type Source } from "./link";
import { layerRequest, panelsOf, requestsOf, type Panel } from "./panels";
import type { Edited, Notice, OpenImage } from "./open";
import type { Picture } from "./picture";
import { blobOf } from "./saved";
import { reduce, START, type Action, type View } from "./view";

async function fetched({ name, url, open }: Sample): Promise<Blob> {
  if (open) return open();
  if (url.startsWith("data:")) return blobOf(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The sample ${name} cannot be loaded (status ${response.status}).`);
  return response.blob();
}

type Decode = (blob: Blob) => Promise<Picture | null>;

export class Store {
  view: View = START;
  models: ModelFacts[] = [];
  samples: Sample[] = [];
  image: OpenImage | null = null;
  edited: Edited | null = null;
  notices: Notice[] = [];
  busy: Progress | null = null;
  /** Layers are asked about only while their section is open. */
  layersOpen = false;
  /** Counts the changes. */
  version = 0;
  readonly answers: Answers;
  readonly engine: Engine;
  private readonly decode: Decode;
  private readonly listeners = new Set<() => void>();
  private said = 0;
  private imageTurn = 0;

  constructor(engine: Engine, decode: Decode) {
    this.engine = engine;
    this.decode = decode;
    this.answers = new Answers(engine, () => this.changed());
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Load what the engine has; then what the link asks for, else the first model. */
  async start(hash: string): Promise<void> {
    await this.guarded(async () => {
      this.models = await this.engine.models();
      this.samples = await this.engine.samples();
      const restored = fromLink(hash, this.models);
      if (restored) await this.restore(restored);
      if (this.view.model === null) this.openFirst();
    });
  }

  async restore({ view, source, says }: Restored): Promise<void> {
    this.dispatch({ type: "restore", view });
    for (const sentence of says) this.tell(sentence, "note");
    if (source?.kind !== "sample") return;
    const sample = this.samples.find(({ name }) => name === source.name);
    if (sample) await this.takeSample(sample);
    else this.tell(`There is no sample ${source.name} here: drop a picture.`, "note");
  }

  dispatch(action: Action): void {
    this.view = reduce(this.view, action);
    this.changed();
  }

  get model(): ModelFacts | undefined {
    return this.models.find(({ id }) => id === this.view.model);
  }

  get panels(): Panel[] {
    const image = this.image?.facts.id ?? null;
    return panelsOf(this.view, {
      models: this.models,
      image,
      edited: this.edited?.id ?? null,
      predicted: this.predicted,
    });
  }

  /** The class with the highest score; null as long as it is not known. */
  get predicted(): number | null {
    return this.mainAnswer ? predictedOf(this.mainAnswer) : null;
  }

  /** What the class list shows: scores of the first model for the image. */
  get mainAnswer(): Answer | null {
    if (this.view.model === null || !this.image) return null;
    return this.answers.about(this.view.model, this.image.facts.id);
  }

  get layerRequest(): ExplainRequest | null {
    const first = this.panels[0];
    const wanted = this.layersOpen || this.view.layer !== null;
    return first && wanted && this.engine.abilities.allLayers ? layerRequest(first, this.view.layer) : null;
  }

  get link(): string {
    return toLink(this.view, this.models, this.image?.source ?? null);
  }

  openLayers(open: boolean): void {
    this.layersOpen = open;
    this.changed();
  }

  async addModel(file: File, labels: File | null): Promise<void> {
    if (!this.engine.abilities.dropModel) {
      this.tell("This page holds its models itself and takes no other.", "error");
      return;
    }
    await this.guarded(async () => {
      const facts = await this.engine.addModel(file, labels, (progress) => this.progress(progress));
      this.models = [...this.models.filter(({ id }) => id !== facts.id), facts];
      this.openModel(facts.id);
    }, `Reading ${file.name}`);
  }

  openModel(id: string | null): void {
    const methods = this.models.find((model) => model.id === id)?.methods.map(({ name }) => name) ?? [];
    this.edited = null;
    this.dispatch({ type: "model", id, methods });
  }

  async removeModel(id: string): Promise<void> {
    await this.guarded(async () => {
      await this.engine.removeModel(id);
      this.models = this.models.filter((model) => model.id !== id);
      if (this.view.other === id) this.dispatch({ type: "other", id: null });
      if (this.view.model === id) this.openFirst();
    });
  }

  async setPreprocess(id: string, values: Partial<Preprocess> | string): Promise<void> {
    await this.guarded(async () => this.replace(await this.engine.setPreprocess(id, values)));
  }

  async takeSample(sample: Sample): Promise<void> {
    await this.guarded(async () => {
      const blob = await fetched(sample);
      await this.addImage(blob, { kind: "sample", name: sample.name });
    }, `Opening ${sample.name}`);
  }

  /** Show another picture. The zoom goes back to the whole; class and rivals stay, so that they can be compared. */
  async addImage(blob: Blob, source: Source): Promise<void> {
    const turn = (this.imageTurn += 1);
    await this.guarded(async () => {
      const [facts, picture] = await Promise.all([
        this.engine.addImage(blob, source.name),
        this.decode(blob),
      ]);
      if (turn !== this.imageTurn) return; // another picture came meanwhile
      this.image = { facts, picture, source, blob };
      this.edited = null;
      if (this.view.comparison === "brush") this.dispatch({ type: "set", values: { comparison: "classes" } });
      for (const sentence of facts.warnings) this.tell(sentence, "note");
      this.dispatch({ type: "zoom", zoom: START.zoom });
    }, `Opening ${source.name}`);
  }

  /** The picture after painting, beside the one before. */
  async addEdited(blob: Blob): Promise<void> {
    const of = this.image;
    await this.guarded(async () => {
      const name = `painted ${of?.source.name ?? "picture"}.png`;
      const [facts, picture] = await Promise.all([this.engine.addImage(blob, name), this.decode(blob)]);
      if (this.image !== of) return;
      this.edited = { id: facts.id, picture };
      this.dispatch({ type: "set", values: { comparison: "brush" } });
    });
  }

  clearEdited(): void {
    this.edited = null;
    this.dispatch({ type: "set", values: { comparison: "classes" } });
  }

  /** Show a sentence, once. */
  tell(says: string, kind: Notice["kind"]): void {
    this.notices = [
      ...this.notices.filter((notice) => notice.says !== says),
      { id: (this.said += 1), says, kind },
    ];
    this.changed();
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
    this.changed();
  }

  async setLabels(id: string, file: File): Promise<void> {
    await this.guarded(async () => this.replace(await this.engine.setLabels(id, file)));
  }

  private openFirst(): void {
    this.openModel(this.models[0]?.id ?? null);
  }

  private replace(facts: ModelFacts): void {
    this.models = this.models.map((model) => (model.id === facts.id ? facts : model));
    this.answers.forget(facts.id);
    this.changed();
  }

  private progress(progress: Progress | null): void {
    this.busy = progress;
    this.changed();
  }

  /** Errors become notices: the engine's sentence as it is. */
  async guarded(work: () => Promise<void>, says?: string): Promise<void> {
    if (says !== undefined) this.progress({ says, share: null });
    try {
      await work();
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error), "error");
    }
    if (says !== undefined) this.progress(null);
  }

  private changed(): void {
    this.version += 1;
    const layers = this.layerRequest;
    this.answers.want([...requestsOf(this.panels), ...(layers ? [layers] : [])]);
    for (const listener of this.listeners) listener();
  }
}
