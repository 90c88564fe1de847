/** Which panels a view has, and what each of them asks of the engine. */

import type { ExplainRequest, ModelFacts } from "../../engine/types";
import { nameOf, sameClass } from "./classes";
import type { View } from "./view";

export interface Panel {
  key: string;
  /** What tells it from its neighbours. */
  title: string;
  request: ExplainRequest;
  model: ModelFacts;
  /** Which of the request's targets it shows. */
  place: number;
  /** Said below it. */
  note: string | null;
}

/** What of the session panels depend on. */
export interface Subject {
  models: ModelFacts[];
  image: string | null;
  /** The picture that was painted on. */
  edited: string | null;
  /** The first model's prediction for the image, once it is known. */
  predicted: number | null;
}

export function panelsOf(view: View, subject: Subject): Panel[] {
  const model = subject.models.find(({ id }) => id === view.model);
  if (!model || subject.image === null) return [];
  switch (view.comparison) {
    case "methods":
      return methodPanels(view, subject, model);
    case "models":
      return modelPanels(view, subject, model);
    case "brush":
      return brushPanels(view, subject, model);
    case "classes":
      return classPanels(view, subject, model);
  }
}

/** One request per distinct question; panels share answers. */
export function requestsOf(panels: Panel[]): ExplainRequest[] {
  const known = new Map(panels.map(({ request }) => [keyOf(request), request]));
  return [...known.values()];
}

export function keyOf(request: ExplainRequest): string {
  return JSON.stringify(request);
}

/** The question about layers: the first panel's, with every layer's sum and the chosen layer's map. */
export function layerRequest(panel: Panel, layer: string | null): ExplainRequest {
  return { ...panel.request, tensors: layer === null ? [] : [layer], ledger: true };
}

/** Rivals go only to methods that know them; tensors and ledger only where they are asked for. */
function ask(view: View, model: ModelFacts, image: string, values: Partial<ExplainRequest> = {}) {
  const method = values.method ?? view.method;
  const compares = model.methods.find(({ name }) => name === method)?.compares ?? false;
  return {
    model: model.id,
    image,
    method,
    targets: view.targets.length > 0 ? view.targets : ("auto" as const),
    tensors: [],
    ledger: false,
    ...values,
    hostile: compares ? (values.hostile ?? view.rivals) : [],
  };
}

function noRivals(view: View, request: ExplainRequest): string | null {
  return view.rivals.length > 0 && request.hostile.length === 0
    ? "This method knows no rivals: the map is of the class alone."
    : null;
}

function classPanels(view: View, { image, predicted }: Subject, model: ModelFacts): Panel[] {
  const request = ask(view, model, image ?? "");
  const places = view.targets.length > 0 ? view.targets : [predicted];
  return places.map((target, place) => ({
    key: `class ${place}`,
    title: target === null ? "the predicted class" : nameOf(model, target),
    request,
    model,
    place,
    note: noRivals(view, request),
  }));
}

function methodPanels(view: View, { image }: Subject, model: ModelFacts): Panel[] {
  const methods = view.methods.length > 0 ? view.methods : [view.method];
  const targets = view.targets.length > 0 ? view.targets.slice(0, 1) : ("auto" as const);
  return methods.map((method) => {
    const request = ask(view, model, image ?? "", { method, targets });
    const facts = model.methods.find(({ name }) => name === method);
    return {
      key: `method ${method}`,
      title: facts?.title ?? method,
      request,
      model,
      place: 0,
      note: noRivals(view, request),
    };
  });
}

function modelPanels(view: View, subject: Subject, model: ModelFacts): Panel[] {
  const targets = view.targets.length > 0 ? view.targets.slice(0, 1) : ("auto" as const);
  const image = subject.image ?? "";
  const first: Panel = {
    key: `model ${model.id}`,
    title: model.name,
    request: ask(view, model, image, { targets }),
    model,
    place: 0,
    note: null,
  };
  const other = subject.models.find(({ id }) => id === view.other);
  const second = other ? otherPanel(view, subject, model, other) : null;
  return second ? [first, second] : [first];
}

/** The same class in the other model, asked for once the first one's class is known. */
function otherPanel(view: View, subject: Subject, model: ModelFacts, other: ModelFacts): Panel | null {
  const target = view.targets[0] ?? subject.predicted;
  if (target === null) return null;
  const same = sameClass(model, other, target);
  const rivals = view.rivals.map((rival) => sameClass(model, other, rival)?.index ?? -1);
  const method = other.methods.some(({ name }) => name === view.method)
    ? view.method
    : other.methods[0]?.name;
  const request = ask(view, other, subject.image ?? "", {
    targets: same ? [same.index] : "auto",
    hostile: rivals.filter((rival) => rival >= 0 && rival !== same?.index),
    method: method ?? view.method,
  });
  return {
    key: `model ${other.id}`,
    title: other.name,
    request,
    model: other,
    place: 0,
    note: likeness(model, other, target, same),
  };
}

function likeness(
  model: ModelFacts,
  other: ModelFacts,
  target: number,
  same: ReturnType<typeof sameClass>,
): string | null {
  if (!same) {
    return `${other.name} has no class ${nameOf(model, target)}: what it predicts is shown instead.`;
  }
  if (same.by === "label") return null;
  return `No label says which class of ${other.name} is ${nameOf(model, target)}: class ${same.index} by number.`;
}

function brushPanels(view: View, subject: Subject, model: ModelFacts): Panel[] {
  // what is predicted may change with the picture: the second is asked about the class of the first
  const target = view.targets[0] ?? subject.predicted;
  const targets = target === null ? ("auto" as const) : [target];
  const panel = (title: string, image: string): Panel => ({
    key: title,
    title,
    request: ask(view, model, image, { targets }),
    model,
    place: 0,
    note: null,
  });
  const before = panel("before", subject.image ?? "");
  return subject.edited === null || target === null
    ? [before]
    : [before, panel("after painting", subject.edited)];
}
