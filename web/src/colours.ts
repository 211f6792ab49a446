// Colours of columns and tracks.

import type { Column } from "./api";
import { el } from "./dom";

export const PALETTE = ["#3d7dd8", "#e07b28", "#3f9c55", "#c63d43", "#8a63c9", "#92664f", "#d86fb0", "#7a8894", "#b3a92f", "#35b1c4"];
const RAMP = ["#3b1f6b", "#33598e", "#23898d", "#3fb36c", "#a8d42f", "#fbe425"];
const NONE: Tint = [0.6, 0.6, 0.6];

export type Tint = [number, number, number];

export function parse(colour: string): Tint {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255) as Tint;
}

export function range(values: Iterable<number | null>): [number, number] {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** Return what gives a value its colour. */
export function painter(column: Column): (value: number | null) => Tint {
  if (column.kind === "classes") {
    const colours = PALETTE.map(parse);
    return (value) => colours[value! % colours.length];
  }
  const [low, high] = range(column.values), stops = RAMP.map(parse);
  return (value) => {
    if (value === null) return NONE;
    const at = ((value - low) / (high - low || 1)) * (stops.length - 1);
    const before = Math.min(Math.floor(at), stops.length - 2), part = at - before;
    return stops[before].map((from, k) => from + part * (stops[before + 1][k] - from)) as Tint;
  };
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
  if (column.kind === "classes") {
    const shown = column.classes.slice(0, PALETTE.length).map((name, i) => entry(PALETTE[i], name));
    const more = column.classes.length - shown.length;
    return more > 0 ? [...shown, el("li", {}, `and ${more} more; colours repeat`)] : shown;
  }
  const [low, high] = range(column.values);
  if (low > high) return [el("li", {}, "no row has a value")];
  return RAMP.map((colour, i) => entry(colour, (low + ((high - low) * i) / (RAMP.length - 1)).toPrecision(3)));
}
