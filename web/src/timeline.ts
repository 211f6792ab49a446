// A video of the table over time: yaw, gaze and expression of each track, and the frame that was clicked.

import * as api from "./api";
import { entry, PALETTE, range } from "./colours";
import { chooser, el, sized } from "./dom";

const NAMES: Record<string, string> = {
  yaw: "Head's yaw, degrees, + to image-left", gaze: "Gaze's yaw, degrees, + to image-left",
  expression: "Expression: distance from the neutral face",
};
const STRIP = 96, LEFT = 46, TOP = 20, FOOT = 22;

interface Place { track: number; at: number }

export class Timeline {
  readonly panel: HTMLElement;
  private readonly video = chooser("Video", (value) => void this.show(Number(value)));
  private readonly canvas = el("canvas", { className: "strips", tabindex: 0, role: "slider", "aria-label": "Time in the video; left and right go from frame to frame, up and down from track to track" });
  private readonly legend = el("ul", { className: "legend", "aria-label": "Tracks" });
  private readonly scene = el("div", { className: "scene" });
  private readonly note = el("p", { className: "hint" });
  private series: string[] = [];
  private tracks: api.Track[] = [];
  private place: Place | null = null;
  private url = "";
  private running: AbortController | null = null;

  constructor(private readonly taken: (point: number) => void, private readonly guarded: (work: () => Promise<void>, signal?: AbortSignal) => Promise<void>) {
    this.panel = el("section", { "aria-label": "Timeline", hidden: true }, el("h2", {}, "Over time"), this.video.row, this.note,
      el("div", { className: "two" }, el("div", {}, this.canvas, this.legend), this.scene));
    sized(this.canvas, () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.canvas.addEventListener("pointerdown", (event) => this.clicked(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  async start(videos: { name: string; faces: number }[]): Promise<void> {
    this.panel.hidden = !videos.length;
    if (!videos.length) return;
    this.video.fill(videos.map(({ name, faces }, i) => [String(i), `${name} (${faces.toLocaleString("en")} faces)`]), "0");
    await this.show(0);
  }

  private async show(number: number): Promise<void> {
    await this.guarded(async () => {
      ({ series: this.series, tracks: this.tracks } = await api.timeline(number));
      this.place = null;
      this.scene.replaceChildren(el("p", { className: "hint" }, "Click a line to see its frame."));
      this.note.textContent = this.series.includes("gaze") ? "" : "No gaze: the table was made without mien embed --calibration.";
      this.canvas.style.height = `${this.series.length * STRIP + FOOT}px`;
      const last = Math.max(...this.tracks.map(({ points }) => points.length)) - 1;
      for (const [name, value] of [["min", 0], ["max", last], ["now", 0]]) this.canvas.setAttribute(`aria-value${name}`, String(value));
      this.canvas.setAttribute("aria-valuetext", `${this.tracks.length} ${this.tracks.length === 1 ? "track" : "tracks"}, no frame chosen`);
      this.legend.replaceChildren(...this.tracks.map(({ track, points }, i) =>
        entry(PALETTE[i % PALETTE.length], `${track === null ? "no track" : `track ${track}`}: ${points.length} frames`)));
      this.draw();
    });
  }

  private span(): [number, number] {
    const [from, to] = range(this.tracks.flatMap(({ time_s }) => time_s));
    return [from, to > from ? to : from + 1];
  }

  private draw(): void {
    const width = this.canvas.parentElement!.clientWidth, height = this.series.length * STRIP + FOOT;
    if (!width || !this.series.length) return;
    const ratio = Math.min(window.devicePixelRatio, 2);
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const context = this.canvas.getContext("2d")!, style = getComputedStyle(this.canvas);
    const soft = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    this.series.forEach((name, number) => this.strip(context, name, number * STRIP, width, soft, line));
    const [from, to] = this.span();
    context.fillStyle = soft;
    context.textAlign = "left";
    context.fillText(`${from.toFixed(1)} s`, LEFT, height - 6);
    context.textAlign = "right";
    context.fillText(`${to.toFixed(1)} s`, width - 4, height - 6);
    if (this.place) {
      const x = this.across(this.tracks[this.place.track].time_s[this.place.at] ?? from, width);
      context.strokeStyle = style.getPropertyValue("--text");
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x, 4);
      context.lineTo(x, height - FOOT);
      context.stroke();
    }
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  private across(time: number, width: number): number {
    const [from, to] = this.span();
    return LEFT + ((time - from) / (to - from)) * (width - LEFT - 6);
  }

  private strip(context: CanvasRenderingContext2D, name: string, top: number, width: number, soft: string, line: string): void {
    const [low, high] = range(this.tracks.flatMap(({ series }) => series[name])), size = STRIP - TOP - 10;
    const up = (value: number) => top + TOP + size * (1 - (value - low) / (high - low || 1));
    context.fillStyle = soft;
    context.textAlign = "left";
    context.fillText(NAMES[name], LEFT, top + 13);
    context.textAlign = "right";
    context.fillText(high.toPrecision(3), LEFT - 6, top + TOP + 8);
    context.fillText(low.toPrecision(3), LEFT - 6, top + TOP + size);
    context.strokeStyle = line;
    context.lineWidth = 1;
    context.strokeRect(LEFT, top + TOP - 3, width - LEFT - 6, size + 6);
    this.tracks.forEach(({ time_s, series }, i) => {
      context.strokeStyle = context.fillStyle = PALETTE[i % PALETTE.length];
      context.lineWidth = 1.6;
      context.beginPath();
      let drawing = false;
      series[name].forEach((value, k) => {
        const time = time_s[k];
        if (value === null || time === null) { drawing = false; return; }
        const x = this.across(time, width), y = up(value);
        if (drawing) context.lineTo(x, y); else context.moveTo(x, y);
        if (series[name].length < 200) context.rect(x - 1.2, y - 1.2, 2.4, 2.4);
        context.moveTo(x, y);
        drawing = true;
      });
      context.stroke();
      const chosen = this.place?.track === i ? series[name][this.place.at] : null;
      if (chosen !== null) {
        context.beginPath();
        context.arc(this.across(time_s[this.place!.at] ?? 0, width), up(chosen), 4.5, 0, 2 * Math.PI);
        context.fill();
      }
    });
  }

  /** Take the frame nearest in time, of the track nearest in the strip. */
  private clicked(event: PointerEvent): void {
    const width = this.canvas.clientWidth, name = this.series[Math.min(this.series.length - 1, Math.floor(event.offsetY / STRIP))];
    const [low, high] = range(this.tracks.flatMap(({ series }) => series[name]));
    const size = STRIP - TOP - 10, top = this.series.indexOf(name) * STRIP + TOP;
    let best: Place | null = null, least = Infinity;
    this.tracks.forEach(({ time_s, series }, track) => time_s.forEach((time, at) => {
      const value = series[name][at];
      if (time === null) return;
      const y = value === null ? event.offsetY + STRIP : top + size * (1 - (value - low) / (high - low || 1));
      const far = (this.across(time, width) - event.offsetX) ** 2 + ((y - event.offsetY) / 3) ** 2;
      if (far < least) [best, least] = [{ track, at }, far];
    }));
    if (best) this.go(best);
  }

  private key(event: KeyboardEvent): void {
    const now = this.place ?? { track: 0, at: -1 };
    const length = (track: number) => this.tracks[track].points.length - 1;
    const to: Record<string, Place> = {
      ArrowRight: { ...now, at: Math.min(now.at + 1, length(now.track)) }, ArrowLeft: { ...now, at: Math.max(now.at - 1, 0) },
      Home: { ...now, at: 0 }, End: { ...now, at: length(now.track) },
      ArrowUp: this.beside(now, -1), ArrowDown: this.beside(now, 1),
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    this.go(to[event.key]);
  }

  private beside({ track, at }: Place, by: number): Place {
    const other = (track + by + this.tracks.length) % this.tracks.length;
    return { track: other, at: Math.max(0, Math.min(at, this.tracks[other].points.length - 1)) };
  }

  private go(place: Place): void {
    this.place = place;
    const { track, points, time_s, series } = this.tracks[place.track], point = points[place.at];
    const values = this.series.map((name) => `${name} ${series[name][place.at]?.toFixed(1) ?? "not known"}`).join(", ");
    this.canvas.setAttribute("aria-valuenow", String(place.at));
    this.canvas.setAttribute("aria-valuetext", `${time_s[place.at]?.toFixed(2)} s, track ${track ?? "none"}: ${values}`);
    this.draw();
    this.taken(point);
    this.running?.abort();
    const running = (this.running = new AbortController());
    void this.guarded(async () => {
      const image = await api.rowImage(point, running.signal, true);
      URL.revokeObjectURL(this.url);
      this.url = image ? URL.createObjectURL(image) : "";
      this.scene.replaceChildren(image
        ? el("img", { src: this.url, alt: `The frame at ${time_s[place.at]?.toFixed(2)} s` })
        : el("p", { className: "hint" }, "Its video is not there, or the frame cannot be read."));
    }, running.signal);
  }
}
