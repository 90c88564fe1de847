/** Tables that sort by a heading, filter where they are long, and know on a phone what each value is called. */

const LONG = 8; // rows from which a filter helps

/** Let the tables of a page sort and filter. */
export function enhanceTables(root: ParentNode): void {
  for (const table of root.querySelectorAll<HTMLTableElement>("table[data-sortable]")) {
    label(table);
    addSorting(table);
    if (rowsOf(table).length >= LONG) addFilter(table);
  }
}

const rowsOf = (table: HTMLTableElement): HTMLTableRowElement[] => [
  ...table.querySelectorAll<HTMLTableRowElement>("tbody tr"),
];

const headsOf = (table: HTMLTableElement): HTMLTableCellElement[] => [
  ...table.querySelectorAll<HTMLTableCellElement>("thead th"),
];

/** Write the heading into each cell, where the style sheet reads it when a row becomes a card. */
function label(table: HTMLTableElement): void {
  const names = headsOf(table).map((head) => head.textContent.trim());
  for (const row of rowsOf(table)) {
    [...row.cells].forEach((cell, column) => {
      cell.dataset.label = names[column] ?? "";
    });
  }
}

function addSorting(table: HTMLTableElement): void {
  headsOf(table).forEach((head, column) => {
    if (head.textContent.trim() === "") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      sortBy(table, column);
    });
  });
}

function sortBy(table: HTMLTableElement, column: number): void {
  const heads = headsOf(table);
  const down = heads[column]?.getAttribute("aria-sort") !== "descending";
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column]?.setAttribute("aria-sort", down ? "descending" : "ascending");
  const sorted = rowsOf(table)
    .map((row) => ({ row, key: keyOf(row.cells[column]) }))
    .sort((a, b) => compare(a.key, b.key, down));
  table.querySelector("tbody")?.append(...sorted.map(({ row }) => row));
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

function addFilter(table: HTMLTableElement): void {
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "filter";
  const name = table.parentElement?.getAttribute("aria-label") ?? "table";
  input.setAttribute("aria-label", `filter: ${name}`);
  const count = document.createElement("span");
  count.className = "soft";
  count.setAttribute("role", "status");
  const bar = document.createElement("div");
  bar.className = "filter";
  bar.append(input, count);
  table.parentElement?.before(bar);
  input.addEventListener("input", () => {
    count.textContent = filter(table, input.value);
  });
}

/** Show the rows that hold every word; say how many they are. */
function filter(table: HTMLTableElement, text: string): string {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = rowsOf(table);
  let shown = 0;
  for (const row of rows) {
    const said = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => said.includes(word));
    shown += Number(!row.hidden);
  }
  return words.length > 0 ? `${shown} of ${rows.length}` : "";
}
