// Another gaze: the eyes of the image are drawn anew by the model, looking where the sliders say.

import * as api from "./api";
import { degrees, el, radians, slider } from "./dom";
import { evenly, Keyframes } from "./keyframes";
import type { Picture } from "./pictures";

const STEP = 5, SIDEWAYS = 35, UPWARDS = 25, SETTLED_MS = 250, SIDE = 256;

export interface Told {
  /** Where the face is asked to look, radians; null: its own gaze. */
  aimed(direction: { x: number; y: number } | null): void;
  problem(error: unknown): void;
}

export class GazeTurner {
  readonly section: HTMLElement;
  private readonly canvas = el("canvas", { className: "eyes", width: SIDE, height: SIDE, role: "img", "aria-label": "The image with another gaze" });
  private readonly hint = el("p", { className: "hint" });
  private readonly right = slider("Look to the right", -SIDEWAYS, SIDEWAYS, 1, 0, "°", () => this.moved("right"));
  private readonly up = slider("Look up", -UPWARDS, UPWARDS, 1, 0, "°", () => this.moved("up"));
  private readonly works: HTMLElement;
  private image: Blob | null = null;
  private number = 0;
  private face: api.Face | null = null;
  private calibration = "";
  private frames: Keyframes<ImageBitmap> | null = null;
  private running: AbortController | null = null;
  private timer = 0;
  private exact = false;

  constructor(private readonly told: Told) {
    const own = el("button", { type: "button", onclick: () => this.own() }, "Own gaze");
    this.works = el("div", {}, this.canvas, this.right.row, this.up.row, el("div", { className: "row" }, own));
    for (const [name, { input }] of [["right", this.right], ["up", this.up]] as const) {
      for (const kind of ["pointerdown", "focus"]) input.addEventListener(kind, () => void this.ready(name).at(Number(input.value)));
    }
    this.section = el("section", { "aria-label": "Gaze", hidden: true }, el("h2", {}, "Gaze"), this.works, this.hint);
  }

  /** Another face, or another calibration: what can be turned of its gaze. */
  open(picture: Picture, number: number, face: api.Face, calibration: string): void {
    this.close();
    [this.image, this.number, this.face, this.calibration] = [picture.file, number, face, calibration];
    this.section.hidden = !face.gaze;
    this.works.hidden = !face.gaze?.direction;
    if (!face.gaze) return;
    this.hint.textContent = !face.gaze.eyes_found ? "No open eyes are found, so there is no gaze to turn."
      : !calibration ? "To turn the gaze, make a calibration in the view Calibrate, or start mien view with --calibration."
        : "The model draws the eyes anew in the image, for the gaze code that the calibration reads as looking there. "
          + "Only the eyes change; the face in 3D keeps its own. Orange arrow: where they are to look; green: where the face does look.";
    if (face.gaze.direction) this.own();
  }

  close(): void {
    this.forget();
    this.section.hidden = true;
    this.told.aimed(null);
  }

  /** The face as it looks by itself. */
  private own(): void {
    const { yaw_rad, pitch_rad } = this.face!.gaze!.direction!;
    this.forget();
    this.right.set(-Math.round(degrees(yaw_rad)));
    this.up.set(Math.round(degrees(pitch_rad)));
    this.told.aimed(null);
    void this.load(false);
  }

  private forget(): void {
    clearTimeout(this.timer);
    this.running?.abort();
    this.frames?.stop();
    this.frames = null;
  }

  private async made(right: number, up: number, signal: AbortSignal): Promise<ImageBitmap> {
    const direction = { calibration: this.calibration, yaw_rad: -radians(right), pitch_rad: radians(up) };
    return createImageBitmap(await api.withGaze(this.image!, { face: this.number, gaze_direction: direction }, signal));
  }

  private ready(slide: "right" | "up"): Keyframes<ImageBitmap> {
    const still = Number((slide === "right" ? this.up : this.right).input.value), name = `${slide} ${still}`;
    if (this.frames?.name === name) return this.frames;
    this.forget();
    const limit = slide === "right" ? SIDEWAYS : UPWARDS;
    const now = Number((slide === "right" ? this.right : this.up).input.value);
    return (this.frames = new Keyframes(name, evenly(-limit, limit, STEP), now,
      (knot, signal) => (slide === "right" ? this.made(knot, still, signal) : this.made(still, knot, signal)),
      () => { if (!this.exact) this.show(); }, (error) => this.failed(error, true)));
  }

  private moved(slide: "right" | "up"): void {
    const frames = this.ready(slide);
    const yaw = -radians(Number(this.right.input.value)), pitch = radians(Number(this.up.input.value));
    this.told.aimed({ x: -Math.sin(yaw) * Math.cos(pitch), y: -Math.sin(pitch) });
    this.running?.abort();
    this.exact = false;
    this.show();
    clearTimeout(this.timer);
    const value = Number((slide === "right" ? this.right : this.up).input.value);
    if (!frames.exact(value)) this.timer = window.setTimeout(() => void this.load(true), SETTLED_MS);
  }

  private show(): void {
    const moved = this.frames!.name.startsWith("right") ? this.right : this.up;
    const found = this.frames!.at(Number(moved.input.value));
    if (found) this.draw(...found);
  }

  /** Ask for the image as the sliders stand; not turned: with the eyes' own code. */
  private async load(turned: boolean): Promise<void> {
    this.running?.abort();
    const running = (this.running = new AbortController());
    try {
      const own = { face: this.number, gaze_code: this.face!.gaze!.code! };
      const { signal } = running;
      const image = turned ? await this.made(Number(this.right.input.value), Number(this.up.input.value), signal)
        : await createImageBitmap(await api.withGaze(this.image!, own, signal));
      if (signal.aborted) return;
      this.exact = true;
      this.draw(image, image, 0);
    } catch (error) {
      if (running.signal.aborted) return;
      this.failed(error, turned);
    }
  }

  private failed(error: unknown, turned: boolean): void {
    this.told.problem(error);
    const image = this.image;
    if (error instanceof api.Gone) void api.whenBack().then(() => { if (image === this.image) void this.load(turned); });
  }

  private draw(before: ImageBitmap, after: ImageBitmap, part: number): void {
    const context = this.canvas.getContext("2d")!;
    context.globalAlpha = 1;
    context.drawImage(before, 0, 0, SIDE, SIDE);
    context.globalAlpha = part;
    if (part) context.drawImage(after, 0, 0, SIDE, SIDE);
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }
}
