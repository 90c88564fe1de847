/** Two maps in one place: the second lies over the first, up to a slider's edge. */

let count = 0;

/** Put a slider over the first two panels of each comparison; the difference stays beside them. */
export function enhanceComparisons(root: ParentNode): void {
  for (const panels of root.querySelectorAll<HTMLElement>("[data-comparison]")) {
    const [before, after] = panels.querySelectorAll<HTMLElement>(".panel");
    if (before && after) slide(before, after);
  }
}

function slide(before: HTMLElement, after: HTMLElement): void {
  const images = [before, after].map((panel) => panel.querySelector("img"));
  const names = [before, after].map((panel) => panel.querySelector(".name")?.textContent ?? "");
  if (!images[0] || !images[1]) return;
  const stage = document.createElement("div");
  stage.className = "slide";
  stage.append(images[0], images[1]);
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = `${names[0] ?? ""} | ${names[1] ?? ""}`;
  before.replaceChildren(name, stage, slider(stage, names));
  after.remove();
}

function slider(stage: HTMLElement, names: string[]): HTMLLabelElement {
  const input = document.createElement("input");
  input.type = "range";
  input.min = "0";
  input.max = "100";
  input.value = "50";
  input.id = `slider-${count++}`;
  const label = document.createElement("label");
  label.className = "slider";
  label.htmlFor = input.id;
  label.append(`left ${names[0] ?? ""}, right ${names[1] ?? ""}`, input);
  const move = (): void => {
    stage.style.setProperty("--at", `${input.value}%`);
  };
  input.addEventListener("input", move);
  move();
  return label;
}
