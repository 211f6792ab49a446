// Colours of columns and tracks.

import type { Column } from "./api";
import { el } from "./dom";

export const PALETTE = ["#3d7dd8", "#e07b28", "#3f9c55", "#c63d43", "#8a63c9", "#92664f", "#d86fb0", "#2f8580", "#b3a92f", "#35b1c4"];
const RAMP = ["#3b1f6b", "#33598e", "#23898d", "#3fb36c", "#a8d42f", "#fbe425"];
const NONE: Tint = [0.62, 0.62, 0.62];
const OTHER: Tint = [0.46, 0.5, 0.55];

export type Tint = [number, number, number];

export function parse(colour: string): Tint {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255) as Tint;
}

export function range(values: Iterable<number | null>): [number, number] {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** Write the colour of each value of a column: red, green, blue, 255. */
export function paint(column: Column | null, tints: Uint8Array): void {
  const steps = column?.kind === "numbers" ? ramp() : PALETTE.map(parse);
  const table = new Uint8Array(4 * 257).fill(255);
  for (let at = 0; at < 257; at++) {
    // The last one stands for rows without a value; of classes all beyond those with a name are "other".
    const named = column?.kind !== "classes" || at < column.classes.length;
    const tint = at === 256 ? NONE : column?.kind === "numbers" ? steps[at] : named ? steps[column ? at % steps.length : 0] : at === 255 ? NONE : OTHER;
    for (let k = 0; k < 3; k++) table[4 * at + k] = Math.round(255 * tint[k]);
  }
  const count = tints.length / 4, words = new Uint32Array(tints.buffer, tints.byteOffset, count), entries = new Uint32Array(table.buffer);
  if (!column) words.fill(entries[0]);
  else if (column.kind === "classes") for (let i = 0; i < count; i++) words[i] = entries[column.values[i]];
  else {
    const [low, high] = ends(column), per = 255 / (high - low || 1), { values } = column;
    for (let i = 0; i < count; i++) {
      const value = values[i];
      words[i] = entries[value !== value ? 256 : Math.max(0, Math.min(255, Math.round((value - low) * per)))];
    }
  }
}

function ramp(): Tint[] {
  const stops = RAMP.map(parse);
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1), before = Math.min(Math.floor(at), stops.length - 2), part = at - before;
    return stops[before].map((from, k) => from + part * (stops[before + 1][k] - from)) as Tint;
  });
}

const known = new WeakMap<Float32Array, [number, number]>();

/** Return the values at the ramp's ends: those of 1 and 99 % of the rows, so that few far ones do not decide. */
function ends({ values }: { values: Float32Array }): [number, number] {
  let found = known.get(values);
  if (!found) {
    const step = Math.ceil(values.length / 50_000);
    const some = values.filter((value, i) => i % step === 0 && value === value).sort();
    const cut = some.length > 200 ? 0.01 : 0;
    found = [some[Math.floor(cut * (some.length - 1))], some[Math.ceil((1 - cut) * (some.length - 1))]];
    known.set(values, found);
  }
  return found;
}

/** A dot of a colour and what it stands for. */
export function entry(colour: string, text: string): HTMLElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of [["cx", "50%"], ["cy", "50%"], ["r", "50%"], ["fill", colour]]) dot.setAttribute(name, value);
  svg.setAttribute("aria-hidden", "true");
  svg.append(dot);
  const item = el("li", {}, text);
  item.prepend(svg);
  return item;
}

export function legendOf(column: Column): HTMLElement[] {
  const none = column.missing ? [entry(hex(NONE), `no value (${number(column.missing)})`)] : [];
  if (column.kind === "classes") {
    const shown = column.classes.map((name, i) => entry(PALETTE[i % PALETTE.length], `${name} (${number(column.counts[i])})`));
    const other = column.others ? [entry(hex(OTHER), `${number(column.others)} others (${number(column.other_rows)})`)] : [];
    return [...shown, ...other, ...none];
  }
  if (column.missing === column.values.length) return [el("li", {}, "no row has a value")];
  const [low, high] = ends(column), last = RAMP.length - 1;
  const cut = column.values.length > 200;
  return [...RAMP.map((colour, i) => entry(colour, `${cut && i === 0 ? "\u2264 " : cut && i === last ? "\u2265 " : ""}${(low + ((high - low) * i) / last).toPrecision(3)}`)), ...none];
}

const number = (count: number): string => count.toLocaleString("en");
const hex = (tint: Tint): string => `#${tint.map((part) => Math.round(255 * part).toString(16).padStart(2, "0")).join("")}`;
