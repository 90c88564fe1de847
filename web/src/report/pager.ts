/** Buttons that turn the pages of a gallery or a table. */

export interface Pager {
  bar: HTMLElement;
  /** Turn to the page that holds a place, of so many in all. */
  turn: (place: number, count: number) => void;
}

/** Make a pager; `show` is called with the first place shown and the one behind the last. */
export function makePager(name: string, size: number, show: (start: number, end: number) => void): Pager {
  const back = button("previous");
  const on = button("next");
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  const bar = document.createElement("nav");
  bar.className = "pages";
  bar.setAttribute("aria-label", `pages: ${name}`);
  bar.append(back, on, said);
  let [start, count] = [0, 0];
  const turn = (place: number, of: number): void => {
    count = of;
    start = Math.max(0, Math.floor(Math.min(place, count - 1) / size) * size);
    const end = Math.min(start + size, count);
    said.textContent = count === 0 ? "none" : `${start + 1} to ${end} of ${count}`;
    bar.hidden = count <= size;
    back.disabled = start === 0;
    on.disabled = end >= count;
    show(start, end);
  };
  back.addEventListener("click", () => {
    turn(start - size, count);
  });
  on.addEventListener("click", () => {
    turn(start + size, count);
  });
  return { bar, turn };
}

function button(text: string): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  return made;
}
