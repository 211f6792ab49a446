// A table of faces as a cloud of points: axes, colours, the image under the pointer, neighbours.

import * as api from "./api";
import { legendOf, painter, PALETTE, parse } from "./colours";
import { chooser, el, radios } from "./dom";
import { Scatter } from "./scatter";
import { Selection } from "./selection";
import { Timeline } from "./timeline";

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
  private readonly chosen = new Set<number>();
  private readonly timeline = new Timeline((point) => this.hover(point), (work, signal) => this.guarded(work, signal));
  private readonly selection: Selection;

  constructor(private readonly failed: (error: unknown) => string) {
    const fit = el("button", { type: "button", onclick: () => this.scatter?.home() }, "Show all");
    const drag = radios("Dragging", [["move", "moves the points"], ["select", "selects points"]], "move", (value) => {
      if (this.scatter) this.scatter.lasso = value === "select";
    });
    this.selection = new Selection({
      chosen: () => [...this.chosen], choose: (points) => this.choose(points), look: (point) => this.hover(point),
      predicted: (name, column) => void this.predicted(name, column), guarded: (work) => this.guarded(work),
      picture: (point, alt) => this.small(point, alt),
    });
    this.body = el("div", { hidden: true },
      el("div", { className: "explore" },
        el("section", { "aria-label": "Points" },
          el("div", { className: "row" }, this.xAxis.row, this.yAxis.row, this.colours.row, fit), drag,
          el("div", { className: "plot" }, this.canvas), this.legend),
        el("section", { "aria-label": "Face" }, this.image, this.cells, this.factor.row, this.near)),
      this.timeline.panel, this.selection.panel);
    this.panel = el("div", {}, this.message, this.body);
    this.say("Start mien view with a table to look at it: mien view faces.parquet");
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  async start(): Promise<void> {
    this.about = await api.table();
    const { name, faces, shown, limit, numbers, classes, factors, missing_images: missing } = this.about;
    const some = shown < faces ? `; ${shown.toLocaleString("en")} of them are shown, evenly chosen (up to ${limit.toLocaleString("en")})` : "";
    const gone = missing ? ` The images of ${missing.toLocaleString("en")} rows are not at their places: name their folder with --images.` : "";
    this.say(`${name}: ${faces.toLocaleString("en")} faces${some}.${gone}`, missing > 0);
    const options = numbers.map((one): [string, string] => [one, one]);
    const [x, y] = numbers.some((one) => one.startsWith("face_embedding")) ? ["face_embedding PC1", "face_embedding PC2"] : [numbers[0], numbers[1]];
    this.xAxis.fill(options, x);
    this.yAxis.fill(options, y);
    this.colours.fill([["", "none"], ...classes.map((one): [string, string] => [one, one]), ...options],
      numbers.includes("yaw_rad") ? "yaw_rad" : "");
    this.factor.fill(factors.map((one) => [one, one]), factors.includes("face_embedding") ? "face_embedding" : factors[0]);
    this.body.hidden = false;
    this.scatter = new Scatter(this.canvas, (point) => { if (point >= 0) this.hover(point); }, (point) => {
      if (point >= 0) void this.take(point);
    }, (points, add) => this.choose(add ? [...this.chosen, ...points] : points));
    await this.places();
    await this.colour();
    await this.timeline.start(this.about.videos);
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
      const shown = this.scatter!.place(x.values, y.values);
      this.canvas.setAttribute("aria-description", `${shown} points`);
    });
  }

  private async colour(): Promise<void> {
    await this.guarded(async () => {
      const name = this.colours.select.value, count = this.about!.shown;
      const found = name ? await this.column(name) : null;
      const tints = new Float32Array(3 * count);
      const paint = found ? painter(found) : () => parse(PALETTE[0]);
      for (let i = 0; i < count; i++) tints.set(paint(found ? found.values[i] : 0), 3 * i);
      this.scatter!.colour(tints);
      this.legend.replaceChildren(...(found ? legendOf(found) : []));
    });
  }

  private choose(points: number[]): void {
    this.chosen.clear();
    points.forEach((point) => this.chosen.add(point));
    this.scatter?.choose(this.chosen);
    this.selection.changed();
  }

  /** Colour by what a probe predicts. */
  private async predicted(name: string, column: api.Column): Promise<void> {
    this.known.set(name, column);
    if (![...this.colours.select.options].some(({ value }) => value === name)) {
      this.colours.select.append(el("option", { value: name }, name));
    }
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
      const { neighbours } = await api.neighbours(this.point, this.factor.select.value);
      const items = await Promise.all(neighbours.map(async ({ point, similarity }) => {
        const shown = await this.small(point, "");
        return el("li", {}, el("button", { type: "button", onclick: () => void this.take(point) }, shown, similarity.toFixed(2)));
      }));
      this.near.replaceChildren(...items);
    });
  }

  private key(event: KeyboardEvent): void {
    const count = this.about?.shown ?? 0;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) this.hover((Math.max(this.point, by > 0 ? -1 : 0) + by + count) % count);
    else if (event.key === "Enter") void this.neighbours();
    else if (event.key === " " && this.point >= 0) {
      const others = [...this.chosen].filter((one) => one !== this.point);
      this.choose(this.chosen.has(this.point) ? others : [...others, this.point]);
    }
    else if (event.key === "+") this.scatter?.zoom(1.25);
    else if (event.key === "-") this.scatter?.zoom(0.8);
    else return;
    event.preventDefault();
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
