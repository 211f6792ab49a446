// How alike one code of two faces is, and where that falls among pairs of people, as a strip.

import type { CodeSimilarity, Pairs } from "./api";
import { el } from "./dom";

const NAMES: Record<string, string> = {
  face_embedding: "Face embedding", identity: "Identity", expression: "Expression",
  texture_code: "Texture code", shape_code: "Shape code",
};
const WIDTH = 400, EDGE = 8;

export const nameOf = (code: string): string => NAMES[code] ?? code;

const make = (tag: string, attributes: Record<string, string | number>): SVGElement => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
};

const x = (similarity: number): number => EDGE + ((WIDTH - 2 * EDGE) / 2) * (similarity + 1);

function quantile({ quantiles }: Pairs, fraction: number): number {
  return quantiles.find((one) => Math.abs(one.fraction - fraction) < 1e-6)!.similarity;
}

/** Say a fraction of pairs as people count: in hundreds, near both ends in thousands; never too much. */
export function ofPairs(fraction: number): string {
  if (fraction <= 0) return "none of the";
  if (fraction >= 1) return "all measured";
  const of = fraction > 0.99 || fraction < 0.01 ? 1000 : 100;
  return `${Math.floor(of * fraction + 1e-6)} of ${of === 1000 ? "1,000" : "100"}`;
}

export function words({ same_person, different_people }: CodeSimilarity): string {
  return `More alike than ${ofPairs(different_people.less_alike)} pairs of different people, `
    + `and than ${ofPairs(same_person.less_alike)} pairs of one person.`;
}

/** A row of pairs: all but 1 % at each end as a line, 90 % as a band, the middle half darker, the median. */
function band(pairs: Pairs, y: number, name: string): SVGElement[] {
  const at = (fraction: number) => x(quantile(pairs, fraction));
  const box = (low: number, high: number, kind: string) =>
    make("rect", { x: at(low), width: Math.max(1, at(high) - at(low)), y: y - 5, height: 10, class: `${name} ${kind}` });
  return [
    make("line", { x1: at(0.01), x2: at(0.99), y1: y, y2: y, class: `${name} whisker` }),
    box(0.05, 0.95, "most"), box(0.25, 0.75, "half"),
    make("line", { x1: at(0.5), x2: at(0.5), y1: y - 5, y2: y + 5, class: "median" }),
  ];
}

/** A code's name, its similarity, the strip and the same in words; with a limit, that of a threshold. */
export function strip(found: CodeSimilarity, limit?: number): HTMLElement {
  const name = nameOf(found.code), said = words(found), place = x(found.similarity);
  const svg = make("svg", {
    viewBox: `0 0 ${WIDTH} 48`, class: "strip", role: "img", "data-code": found.code,
    "aria-label": `${name}: similarity ${found.similarity.toFixed(2)}. ${said}`,
  });
  svg.append(make("line", { x1: EDGE, x2: WIDTH - EDGE, y1: 43, y2: 43, class: "track" }),
    ...[-1, -0.5, 0, 0.5, 1].map((tick) => make("line", { x1: x(tick), x2: x(tick), y1: 40, y2: 46, class: "track" })),
    ...band(found.same_person, 12, "one"), ...band(found.different_people, 29, "other"));
  if (limit !== undefined) svg.append(make("line", { x1: x(limit), x2: x(limit), y1: 2, y2: 43, class: "limit" }));
  svg.append(make("line", { x1: place, x2: place, y1: 4, y2: 43, class: "here" }),
    make("path", { d: `M${place - 6} 0H${place + 6}L${place} 8Z`, class: "mark" }));
  const head = el("div", { className: "strip-head" }, el("span", {}, name), el("span", {}, found.similarity.toFixed(3)));
  const block = el("div", { className: "code" }, head);
  block.append(svg, el("p", { className: "hint" }, said));
  return block;
}

/** What the strips show, once for all. */
export function stripLegend(measuredOn: string): HTMLElement {
  const key = (name: string, text: string) => {
    const svg = make("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" });
    svg.append(make("rect", { x: 0, y: 0, width: 24, height: 10, class: `${name} most` }), make("rect", { x: 6, y: 0, width: 12, height: 10, class: `${name} half` }));
    const item = el("li", {}, text);
    item.prepend(svg);
    return item;
  };
  return el("div", { className: "measured" },
    el("ul", { className: "legend" }, key("one", "pairs of one person"), key("other", "pairs of different people")),
    el("p", { className: "hint" }, "Each strip goes from −1 to 1: the middle half of the pairs is dark, nine in ten are within the band, "
      + `a tick is the median, the triangle is these two faces, the dashed line the threshold. Measured on ${measuredOn}.`));
}
