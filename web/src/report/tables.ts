/** Tables that sort by a heading, filter and turn pages where they are long, and say on a phone what a value is. */

import { makePager } from "./pager";

const LONG = 8; // rows from which a filter helps
const PAGE = 100; // rows shown at a time

/** Let the tables of a page sort and filter. */
export function enhanceTables(root: ParentNode): void {
  for (const table of root.querySelectorAll<HTMLTableElement>("table[data-sortable]"))
    new Sortable(table).enhance();
}

class Sortable {
  private readonly heads: HTMLTableCellElement[];
  private readonly body: HTMLElement | null;
  private rows: HTMLTableRowElement[];
  private words: string[] = [];
  private turn: (place: number, count: number) => void = () => undefined;

  constructor(private readonly table: HTMLTableElement) {
    this.heads = [...table.querySelectorAll<HTMLTableCellElement>("thead th")];
    this.body = table.querySelector("tbody");
    this.rows = [...table.querySelectorAll<HTMLTableRowElement>("tbody tr")];
  }

  enhance(): void {
    this.label();
    this.addSorting();
    if (this.rows.length >= LONG) this.addFilter();
    if (this.rows.length > PAGE) this.addPages();
  }

  /** Write the heading into each cell, where the style sheet reads it when a row becomes a card. */
  private label(): void {
    const names = this.heads.map((head) => head.textContent.trim());
    for (const row of this.rows) {
      [...row.cells].forEach((cell, column) => {
        cell.dataset.label = names[column] ?? "";
      });
    }
  }

  private addSorting(): void {
    this.heads.forEach((head, column) => {
      if (head.textContent.trim() === "") return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        this.sortBy(head, column);
      });
    });
  }

  private sortBy(head: HTMLTableCellElement, column: number): void {
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of this.heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = new Map(this.rows.map((row) => [row, keyOf(row.cells[column])]));
    this.rows.sort((a, b) => compare(keys.get(a) ?? "", keys.get(b) ?? "", down));
    this.body?.append(...this.rows);
    this.show();
  }

  private addFilter(): void {
    const name = this.table.parentElement?.getAttribute("aria-label") ?? "table";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter";
    input.setAttribute("aria-label", `filter: ${name}`);
    const count = document.createElement("span");
    count.className = "soft";
    count.setAttribute("role", "status");
    const bar = document.createElement("div");
    bar.className = "filter";
    bar.append(input, count);
    this.table.parentElement?.before(bar);
    input.addEventListener("input", () => {
      this.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = this.show();
      count.textContent = this.words.length > 0 ? `${kept} of ${this.rows.length}` : "";
    });
  }

  private addPages(): void {
    const { bar, turn } = makePager("table", PAGE, (start, end) => {
      this.kept().forEach((row, i) => {
        row.hidden = i < start || i >= end;
      });
    });
    this.table.parentElement?.after(bar);
    this.turn = turn;
    this.show();
  }

  /** The rows that hold every word of the filter. */
  private kept(): HTMLTableRowElement[] {
    if (this.words.length === 0) return this.rows;
    return this.rows.filter((row) => {
      const said = row.textContent.toLowerCase();
      return this.words.every((word) => said.includes(word));
    });
  }

  /** Show what is kept, from its first page on; return how many those are. */
  private show(): number {
    const kept = new Set(this.kept());
    for (const row of this.rows) row.hidden = !kept.has(row);
    this.turn(0, kept.size);
    return kept.size;
  }
}

function keyOf(cell: HTMLTableCellElement | undefined): string {
  return cell?.dataset.sort ?? cell?.textContent.trim() ?? "";
}

/** Numbers before words, what is empty last, whichever way. */
export function compare(a: string, b: string, down: boolean): number {
  if (isEmpty(a) || isEmpty(b)) return Number(isEmpty(a)) - Number(isEmpty(b));
  const [x, y] = [numberOf(a), numberOf(b)];
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return (down ? -1 : 1) * (Number.isNaN(x) ? a.localeCompare(b) : x - y);
}

const isEmpty = (text: string): boolean => text === "" || text === "–";

/** What a cell holds as a number: "12.5 %" and "−3" too. */
const numberOf = (text: string): number => Number(text.replace("−", "-").replace(/\s*%$/, ""));
