/** Galleries that show a page of figures at a time; a link to a figure turns to its page. */

import { makePager } from "./pager";

interface Gallery {
  figures: HTMLElement[];
  turn: (place: number, count: number) => void;
}

/** Let galleries with more figures than fit a page be turned. */
export function enhanceGalleries(root: ParentNode): void {
  const turned: Gallery[] = [];
  for (const gallery of root.querySelectorAll<HTMLElement>("[data-gallery]")) {
    const figures = [...gallery.children].filter(
      (child): child is HTMLElement => child instanceof HTMLElement,
    );
    const size = Number(gallery.dataset.gallery);
    if (figures.length > size) turned.push(turnable(gallery, figures, size));
  }
  const follow = (): void => {
    turnTo(turned, decodeURIComponent(location.hash.slice(1)));
  };
  globalThis.addEventListener("hashchange", follow);
  follow();
}

function turnable(gallery: HTMLElement, figures: HTMLElement[], size: number): Gallery {
  const { bar, turn } = makePager("gallery", size, (start, end) => {
    figures.forEach((figure, i) => {
      figure.hidden = i < start || i >= end;
    });
  });
  gallery.before(bar);
  turn(0, figures.length);
  return { figures, turn };
}

function turnTo(turned: Gallery[], id: string): void {
  for (const { figures, turn } of turned) {
    const place = figures.findIndex((figure) => figure.id === id && id !== "");
    if (place < 0) continue;
    turn(place, figures.length);
    figures[place]?.scrollIntoView();
  }
}
