/** Galleries that show a page of figures at a time; a link to a figure turns to its page. */

interface Pages {
  figures: HTMLElement[];
  size: number;
  page: number;
  show: (page: number) => void;
}

/** Let galleries with more figures than fit a page be turned. */
export function enhanceGalleries(root: ParentNode): void {
  const turned: Pages[] = [];
  for (const gallery of root.querySelectorAll<HTMLElement>("[data-gallery]")) {
    const figures = [...gallery.children].filter(
      (child): child is HTMLElement => child instanceof HTMLElement,
    );
    const size = Number(gallery.dataset.gallery);
    if (figures.length > size) turned.push(pagesOf(gallery, figures, size));
  }
  const follow = (): void => {
    turnTo(turned, decodeURIComponent(location.hash.slice(1)));
  };
  globalThis.addEventListener("hashchange", follow);
  follow();
}

function pagesOf(gallery: HTMLElement, figures: HTMLElement[], size: number): Pages {
  const last = Math.ceil(figures.length / size) - 1;
  const back = button("previous");
  const on = button("next");
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  const pages: Pages = { figures, size, page: 0, show };
  function show(page: number): void {
    pages.page = Math.min(last, Math.max(0, page));
    const start = pages.page * size;
    figures.forEach((figure, i) => {
      figure.hidden = i < start || i >= start + size;
    });
    said.textContent = `${start + 1} to ${Math.min(start + size, figures.length)} of ${figures.length}`;
    back.disabled = pages.page === 0;
    on.disabled = pages.page === last;
  }
  back.addEventListener("click", () => {
    show(pages.page - 1);
  });
  on.addEventListener("click", () => {
    show(pages.page + 1);
  });
  const bar = document.createElement("nav");
  bar.className = "pages";
  bar.setAttribute("aria-label", "pages of the gallery");
  bar.append(back, on, said);
  gallery.before(bar);
  show(0);
  return pages;
}

function button(text: string): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  return made;
}

function turnTo(turned: Pages[], id: string): void {
  for (const pages of turned) {
    const place = pages.figures.findIndex((figure) => figure.id === id && id !== "");
    if (place < 0) continue;
    pages.show(Math.floor(place / pages.size));
    pages.figures[place]?.scrollIntoView();
  }
}
