// A table of faces as a cloud of points: axes, colours, the image under the pointer, neighbours.

import * as api from "./api";
import { legendOf, paint } from "./colours";
import { checkbox, chooser, el, radios } from "./dom";
import { Filters } from "./filters";
import { Maps } from "./maps";
import { Scatter } from "./scatter";
import { Selection } from "./selection";
import { Timeline } from "./timeline";

const IMAGE_THERE = "(image is there)";
const count = (number: number): string => number.toLocaleString("en");

export class ExploreView {
  readonly panel: HTMLElement;
  private readonly message = el("p", { className: "message", role: "status" });
  private readonly xAxis = chooser("Across", () => void this.places());
  private readonly yAxis = chooser("Up", () => void this.places());
  private readonly colours = chooser("Colour", () => void this.colour());
  private readonly factor = chooser("Neighbours by", () => void this.neighbours());
  private readonly legend = el("ul", { className: "legend", "aria-label": "Colours" });
  private readonly image = el("div", { className: "crop-place" });
  private readonly cells = el("div", { className: "cells", tabindex: 0, role: "group", "aria-label": "Row" });
  private readonly near = el("ol", { className: "near", "aria-label": "Most alike" });
  private readonly body: HTMLElement;
  private readonly canvas = el("canvas", {
    tabindex: 0, role: "img", "aria-label": "Faces as points; the arrow keys go from row to row, Enter finds neighbours, the space bar selects, + and - zoom",
  });
  private scatter: Scatter | null = null;
  private about: api.TableAbout | null = null;
  private readonly known = new Map<string, api.Column>();
  private point = -1;
  private running: AbortController | null = null;
  private urls: string[] = [];
  private chosen: Uint8Array = new Uint8Array(0);
  private everywhere = false;
  private readonly gone = el("p", { className: "message", role: "status", hidden: true });
  private readonly filters = new Filters(() => this.filtered(), (work, signal) => this.guarded(work, signal));
  private readonly maps = new Maps((x, y) => this.go(x, y), () => this.more(), (work) => this.guarded(work));
  private readonly timeline = new Timeline((point) => this.hover(point), (work, signal) => this.guarded(work, signal));
  private readonly selection: Selection;

  constructor(private readonly failed: (error: unknown) => string) {
    const fit = el("button", { type: "button", onclick: () => this.scatter?.home() }, "Show all");
    const drag = radios("Dragging", [["move", "moves the points"], ["select", "selects points"]], "move", (value) => {
      if (this.scatter) this.scatter.lasso = value === "select";
    });
    this.selection = new Selection({
      chosen: () => this.counted(), choose: (points) => this.choose(this.mask(points)), look: (point) => this.hover(point),
      chooseShown: () => this.choose(this.filters.visible?.slice() ?? new Uint8Array(this.chosen.length).fill(1)),
      predicted: (name) => void this.predicted(name), guarded: (work) => this.guarded(work),
      picture: (point, alt) => this.small(point, alt),
    });
    const among = checkbox("also among hidden faces", false, (on) => {
      this.everywhere = on;
      void this.neighbours();
    });
    this.body = el("div", { hidden: true },
      this.filters.panel,
      el("div", { className: "explore" },
        el("section", { "aria-label": "Points" }, this.maps.row,
          el("div", { className: "row" }, this.xAxis.row, this.yAxis.row, this.colours.row, fit), drag,
          el("div", { className: "plot" }, this.canvas), this.legend),
        el("section", { "aria-label": "Face" }, this.image, this.cells, this.factor.row, among, this.near)),
      this.timeline.panel, this.selection.panel);
    this.panel = el("div", {}, this.message, this.gone, this.body);
    this.say("Start mien view with a table to look at it: mien view faces.parquet");
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  async start(): Promise<void> {
    this.about = await api.table();
    const { name, faces, without_face: without, shown, limit, factors, umap_missing: missing } = this.about;
    const some = shown < faces ? `; ${count(shown)} of them are shown, evenly chosen (up to ${count(limit)})` : "";
    const faceless = without ? ` ${count(without)} rows without a face are not shown.` : "";
    this.say(`${name}: ${count(faces)} faces${some}.${faceless}`);
    this.chosen = new Uint8Array(shown);
    const factor = factors.includes("face_embedding") ? "face_embedding" : factors[0] ?? "", numbers = this.offer();
    const [x, y] = factor ? [`${factor} PC1`, `${factor} PC2`] : [numbers[0], numbers[1] ?? numbers[0]];
    this.xAxis.select.value = x;
    this.yAxis.select.value = y;
    this.colours.select.value = numbers.includes("yaw_rad") ? "yaw_rad" : "";
    this.factor.fill(factors.map((one) => [one, one]), factor);
    this.body.hidden = false;
    this.scatter = new Scatter(this.canvas, shown, (point) => { if (point >= 0) this.hover(point); }, (point) => {
      if (point >= 0) void this.take(point);
    }, (points, add) => {
      if (add) for (let i = 0; i < points.length; i++) points[i] |= this.chosen[i];
      this.choose(points);
    });
    this.selection.changed();
    await this.filters.start(shown, this.about.columns);
    await this.places();
    await this.colour();
    await this.timeline.start(this.about.videos);
    void this.images();
    await this.maps.begin(factors, factor, missing);
  }

  /** Offer the columns that there are, the choices kept; return those of numbers. */
  private offer(): string[] {
    const { columns } = this.about!, numbers = columns.filter(({ kind }) => kind === "number").map(({ name }) => name);
    const options = numbers.map((one): [string, string] => [one, one]), [x, y, colour] = [this.xAxis, this.yAxis, this.colours].map(({ select }) => select.value);
    this.xAxis.fill(options, x || numbers[0]);
    this.yAxis.fill(options, y || numbers[0]);
    const classes = columns.filter(({ kind }) => kind !== "number").map(({ name }): [string, string] => [name, name]);
    this.colours.fill([["", "none"], ...classes, ...options], colour);
    return numbers;
  }

  /** There are new columns. */
  private async more(): Promise<void> {
    this.about = await api.table();
    this.offer();
    this.filters.offer(this.about.columns);
  }

  /** Say of how many rows the image is missing, which takes a while to find out. */
  private async images(): Promise<void> {
    await this.guarded(async () => {
      const missing = await api.missingImages();
      await this.more();
      this.gone.hidden = !missing;
      this.gone.replaceChildren(`The images of ${count(missing)} rows are not at their places and cannot be shown: name their folder with --images. `,
        el("button", { type: "button", onclick: () => void this.filters.add({ column: IMAGE_THERE, kind: "among", values: ["no"] }) }, "Show only these"));
    });
  }

  /** The view has become visible. */
  shown(): void { this.scatter?.resize(); }

  private async column(name: string): Promise<api.Column> {
    let found = this.known.get(name);
    if (!found) {
      found = await api.column(name);
      this.known.set(name, found);
    }
    return found;
  }

  private async places(): Promise<void> {
    await this.guarded(async () => {
      const [x, y] = await Promise.all([this.column(this.xAxis.select.value), this.column(this.yAxis.select.value)]);
      this.scatter!.place(numbers(x), numbers(y));
      this.describe();
    });
  }

  private describe(): void { this.canvas.setAttribute("aria-description", `${count(this.scatter!.shown)} points`); }

  private go(x: string, y: string): void {
    [this.xAxis.select.value, this.yAxis.select.value] = [x, y];
    // UMAP may have been computed anew.
    for (const one of [x, y]) if (one.includes(" UMAP")) this.known.delete(one);
    void this.places();
  }

  private filtered(): void {
    this.scatter?.show(this.filters.visible);
    if (this.scatter) this.describe();
    this.selection.changed();
    void this.neighbours();
  }

  private async colour(): Promise<void> {
    await this.guarded(async () => {
      const name = this.colours.select.value;
      const found = name ? await this.column(name) : null;
      this.scatter!.colour((tints) => paint(found, tints));
      this.legend.replaceChildren(...(found ? legendOf(found) : []));
    });
  }

  private mask(points: number[]): Uint8Array {
    const mask = new Uint8Array(this.chosen.length);
    for (const point of points) mask[point] = 1;
    return mask;
  }

  private counted(): { mask: Uint8Array; count: number; hidden: number } {
    const { visible } = this.filters, mask = this.chosen;
    let all = 0, hidden = 0;
    for (let i = 0; i < mask.length; i++) if (mask[i]) { all++; if (visible && !visible[i]) hidden++; }
    return { mask, count: all, hidden };
  }

  private choose(points: Uint8Array): void {
    this.chosen = points;
    this.scatter?.choose(points, points.includes(1));
    this.selection.changed();
  }

  /** Colour by what a probe predicts. */
  private async predicted(name: string): Promise<void> {
    this.known.delete(name);
    await this.guarded(() => this.more());
    this.colours.select.value = name;
    await this.colour();
  }

  private hover(point: number): void {
    if (point === this.point) return;
    this.point = point;
    this.scatter!.mark(point);
    this.running?.abort();
    const running = (this.running = new AbortController());
    void this.guarded(async () => {
      const [row, image] = await Promise.all([api.row(point, running.signal), api.rowImage(point, running.signal)]);
      this.urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
      this.image.replaceChildren(this.picture(image, String(row.cells.path ?? ""), this.urls));
      this.cells.replaceChildren(el("table", { className: "numbers" }, el("caption", {}, `Row ${row.row + 1}`),
        ...Object.entries(row.cells).filter(([, value]) => value !== null).map(([name, value]) =>
          el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, String(value))))));
    }, running.signal);
  }

  private picture(image: Blob | null, alt: string, urls: string[]): HTMLElement {
    if (!image) return el("div", { className: "crop gone" }, "Its image is not there.");
    const url = URL.createObjectURL(image);
    urls.push(url);
    return el("img", { src: url, alt, className: "crop" });
  }

  private async small(point: number, alt: string): Promise<HTMLElement> {
    const image = await api.rowImage(point), urls: string[] = [];
    const shown = this.picture(image, alt, urls);
    shown.addEventListener("load", () => urls.forEach((url) => URL.revokeObjectURL(url)));
    return shown;
  }

  private async take(point: number): Promise<void> {
    this.hover(point);
    await this.neighbours();
  }

  private async neighbours(): Promise<void> {
    if (this.point < 0) return;
    await this.guarded(async () => {
      const { neighbours } = await api.neighbours(this.point, this.factor.select.value, this.everywhere ? [] : this.filters.active);
      const items = await Promise.all(neighbours.map(async ({ point, similarity }) => {
        const shown = await this.small(point, "");
        return el("li", {}, el("button", { type: "button", onclick: () => void this.take(point) }, shown, similarity.toFixed(2)));
      }));
      this.near.replaceChildren(...items);
    });
  }

  private key(event: KeyboardEvent): void {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) this.step(by);
    else if (event.key === "Enter") void this.neighbours();
    else if (event.key === " " && this.point >= 0) {
      const mask = this.chosen.slice();
      mask[this.point] = 1 - mask[this.point];
      this.choose(mask);
    }
    else if (event.key === "+") this.scatter?.zoom(1.25);
    else if (event.key === "-") this.scatter?.zoom(0.8);
    else return;
    event.preventDefault();
  }

  /** Go to the next row, or the one before, that the filters show. */
  private step(by: number): void {
    const all = this.about?.shown ?? 0, { visible } = this.filters;
    let point = this.point < 0 ? (by > 0 ? -1 : 0) : this.point;
    for (let tried = 0; tried < all; tried++) {
      point = (point + by + all) % all;
      if (!visible || visible[point]) { this.hover(point); return; }
    }
  }

  private async guarded(work: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (signal?.aborted) return;
      this.say(this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.guarded(work));
    }
  }

  private say(text: string, wrong = false): void {
    this.message.textContent = text;
    this.message.classList.toggle("wrong", wrong);
  }
}

function numbers(column: api.Column): Float32Array {
  return column.kind === "numbers" ? column.values : Float32Array.from(column.values);
}
