import { beforeEach, describe, expect, it } from "vitest";

import { enhanceComparisons } from "../src/report/comparisons";
import { enhanceGalleries } from "../src/report/galleries";
import { compare, enhanceTables } from "../src/report/tables";

const one = (selector: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`there is no ${selector}`);
  return found;
};
const input = (selector: string): HTMLInputElement => one(selector) as HTMLInputElement;
const texts = (selector: string): string[] =>
  [...document.querySelectorAll(selector)].map((e) => e.textContent);

describe("a table", () => {
  beforeEach(() => {
    const rows = [3, 10, 2, 7, 5, 9, 1, 8].map(
      (n) => `<tr><td>item ${n}</td><td data-sort="${n}">${n} of them</td></tr>`,
    );
    document.body.innerHTML = `<div aria-label="things"><table data-sortable><thead><tr><th>name</th><th>count</th></tr></thead>
      <tbody>${rows.join("")}<tr><td>item –</td><td>–</td></tr></tbody></table></div>`;
    enhanceTables(document);
  });

  it("sorts by the value a cell carries, down first, what is empty last both ways", () => {
    const button = one("th:nth-child(2) button");
    button.click();
    expect(texts("tbody td:nth-child(1)").map((t) => t.slice(5))).toEqual([
      "10",
      "9",
      "8",
      "7",
      "5",
      "3",
      "2",
      "1",
      "–",
    ]);
    expect(one("th:nth-child(2)").getAttribute("aria-sort")).toBe("descending");
    button.click();
    expect(texts("tbody td:nth-child(1)").map((t) => t.slice(5))).toEqual([
      "1",
      "2",
      "3",
      "5",
      "7",
      "8",
      "9",
      "10",
      "–",
    ]);
  });

  it("filters by words and says how many rows are left", () => {
    const filter = input("input[type=search]");
    filter.value = "ITEM 1";
    filter.dispatchEvent(new Event("input"));
    expect(texts("tbody tr:not([hidden]) td:nth-child(1)")).toEqual(["item 10", "item 1"]);
    expect(one("[role=status]").textContent).toBe("2 of 9");
  });

  it("knows what each value is called", () => {
    expect(one("tbody td:nth-child(2)").dataset.label).toBe("count");
  });
});

it("compares numbers as numbers, with percent and minus signs, and words as words", () => {
  expect(compare("9 %", "10 %", false)).toBeLessThan(0);
  expect(compare("−2", "1", false)).toBeLessThan(0);
  expect(compare("b", "a", false)).toBeGreaterThan(0);
  expect(compare("7", "word", true)).toBeLessThan(0);
});

describe("a gallery", () => {
  beforeEach(() => {
    location.hash = "";
    const figures = Array.from({ length: 5 }, (_, i) => `<figure id="f${i}">${i}</figure>`).join("");
    document.body.innerHTML = `<div data-gallery="2">${figures}</div>`;
  });

  it("shows a page at a time", () => {
    enhanceGalleries(document);
    expect(texts("figure:not([hidden])")).toEqual(["0", "1"]);
    const [back, next] = document.querySelectorAll("button");
    expect(back?.disabled).toBe(true);
    next?.click();
    next?.click();
    expect(texts("figure:not([hidden])")).toEqual(["4"]);
    expect(one("[role=status]").textContent).toBe("5 to 5 of 5");
    expect(next?.disabled).toBe(true);
  });

  it("turns to the figure a link names", () => {
    location.hash = "#f3";
    enhanceGalleries(document);
    expect(texts("figure:not([hidden])")).toEqual(["2", "3"]);
  });

  it("is left alone where all fits a page", () => {
    one("[data-gallery]").dataset.gallery = "5";
    enhanceGalleries(document);
    expect(document.querySelector("nav")).toBeNull();
  });
});

it("a comparison lays the second map over the first, up to the slider", () => {
  document.body.innerHTML = `<div data-comparison><div class="panel"><span class="name">recorded</span><img alt="a"></div>
    <div class="panel"><span class="name">now</span><img alt="b"></div><div class="panel"><img alt="c"></div></div>`;
  enhanceComparisons(document);
  expect(texts(".slide img").length).toBe(2);
  expect(document.querySelectorAll(".panel").length).toBe(2);
  const slider = input("input[type=range]");
  slider.value = "80";
  slider.dispatchEvent(new Event("input"));
  expect(one(".slide").style.getPropertyValue("--at")).toBe("80%");
  expect(one("label").textContent).toBe("left recorded, right now");
});

it("a long table turns pages, of what the filter keeps, in the order it is sorted", () => {
  const rows = Array.from(
    { length: 250 },
    (_, i) => `<tr><td>${i % 2 ? "odd" : "even"}</td><td>${i}</td></tr>`,
  );
  document.body.innerHTML = `<div aria-label="long"><table data-sortable><thead><tr><th>kind</th><th>number</th></tr></thead>
    <tbody>${rows.join("")}</tbody></table></div>`;
  enhanceTables(document);
  const shown = (): string[] => texts("tbody tr:not([hidden]) td:nth-child(2)");
  expect([shown().length, shown()[0], shown().at(-1)]).toEqual([100, "0", "99"]);
  one("th:nth-child(2) button").click();
  one("nav button:nth-child(2)").click();
  expect([shown().length, shown()[0]]).toEqual([100, "149"]);
  const filter = input("input[type=search]");
  filter.value = "odd";
  filter.dispatchEvent(new Event("input"));
  expect([shown().length, shown()[0], one("nav [role=status]").textContent]).toEqual([
    100,
    "249",
    "1 to 100 of 125",
  ]);
});
