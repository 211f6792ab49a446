// Faces drawn anew with what others of them show: expression, pose, light, gaze.

import * as api from "./api";
import { checkbox, el } from "./dom";
import type { Picture } from "./pictures";

export interface Source { name: string; picture: Picture; number: number; face: api.Face }

const FACTORS = ["expression", "pose", "light", "gaze"] as const;
type Factor = (typeof FACTORS)[number];
const TITLES: Record<Factor, string> = { expression: "Expression", pose: "Pose", light: "Light", gaze: "Gaze" };

let numbered = 0;

/** One face, and whose expression, pose, light and gaze it is drawn with. */
export class Redrawn {
  readonly block: HTMLElement;
  private readonly face = el("canvas", { className: "redrawn", width: 256, height: 256, role: "img" });
  private readonly eyes = el("canvas", { className: "redrawn", width: 256, height: 256, role: "img", hidden: true });
  private readonly fault = el("p", { className: "message wrong", role: "status", hidden: true });
  private readonly takes = el("div", { className: "takes" });
  private readonly chosen: Partial<Record<Factor, Source>> = {};
  private readonly selects = new Map<Factor, HTMLSelectElement>();
  private others: Source[] = [];
  private readonly stopping = new AbortController();
  private drawing = false;
  private stale = false;

  constructor(
    readonly own: Source, private readonly changed: () => void, private readonly failed: (error: unknown) => string,
  ) {
    this.block = el("div", { className: "swap", hidden: true }, this.face, this.eyes, this.fault, this.takes);
  }

  /** Offer other faces; who is no longer there gives nothing. */
  offer(others: Source[]): void {
    const gone = FACTORS.filter((factor) => this.chosen[factor] && !others.includes(this.chosen[factor]));
    for (const factor of gone) delete this.chosen[factor];
    this.others = others;
    this.block.hidden = !others.length;
    this.takes.replaceChildren(...FACTORS.filter((factor) => factor !== "gaze" || this.own.face.gaze).flatMap((factor) => this.chooser(factor)));
    if (others.length && (gone.length || !this.face.dataset.drawn)) void this.draw();
  }

  /** Take one factor of another face; null: its own again. */
  take(factor: Factor, from: Source | null): void {
    if (factor === "gaze" && (!eyesOf(this.own) || (from && !eyesOf(from)))) from = null;
    if (from) this.chosen[factor] = from;
    else delete this.chosen[factor];
    const select = this.selects.get(factor);
    if (select) select.value = from ? String(this.others.indexOf(from)) : "";
    this.changed();
    void this.draw();
  }

  /** Whose a factor is; undefined: its own. */
  from(factor: Factor): Source | undefined { return this.chosen[factor]; }

  private chooser(factor: Factor): HTMLElement[] {
    const id = `takes-${numbered++}`;
    const closed = factor === "gaze" && !eyesOf(this.own);
    const select = el("select", { id, disabled: closed, "aria-label": `${TITLES[factor]} of ${this.own.name}`, onchange: () => this.take(factor, this.others[Number(select.value)] ?? null) },
      el("option", { value: "" }, closed ? "no open eyes" : "own"),
      ...this.others.map((other, i) => {
        const shut = factor === "gaze" && !eyesOf(other);
        return el("option", { value: i, disabled: shut }, shut ? `${other.name}: no open eyes` : other.name);
      }));
    const from = this.chosen[factor];
    this.selects.set(factor, select);
    select.value = from ? String(this.others.indexOf(from)) : "";
    return [el("label", { htmlFor: id }, TITLES[factor]), select];
  }

  /** Draw, and once more where something was chosen meanwhile: the server draws one at a time. */
  private async draw(): Promise<void> {
    this.stale = true;
    if (this.drawing) return;
    this.drawing = true;
    // What is chosen in one go is drawn in one go.
    await Promise.resolve();
    while (this.stale && !this.stopping.signal.aborted) {
      this.stale = false;
      await this.drawOnce();
    }
    this.drawing = false;
  }

  private async drawOnce(): Promise<void> {
    const { signal } = this.stopping;
    const { expression, pose, light, gaze } = this.chosen;
    try {
      const change: api.Change = { expression: expression?.face.expression, light: light?.face.light };
      if (pose) {
        const { yaw_rad, pitch_rad, roll_rad } = pose.face.pose;
        change.pose = { yaw_rad, pitch_rad, roll_rad };
      }
      const taken = FACTORS.filter((factor) => factor !== "gaze" && this.chosen[factor]);
      const with_ = taken.map((factor) => `${factor} of ${this.chosen[factor]!.name}`).join(", ");
      await shown(this.face, await api.rendered(this.own.face, change, "png", signal), signal,
        `${this.own.name} rebuilt${with_ && ` with ${with_}`}`);
      if (gaze) {
        const edit = { face: this.own.number, gaze_code: gaze.face.gaze!.code! };
        await shown(this.eyes, await api.withGaze(this.own.picture.file, edit, signal), signal, `${this.own.name} with the gaze of ${gaze.name}`);
      }
      if (!signal.aborted) [this.eyes.hidden, this.fault.hidden] = [!gaze, true];
    } catch (error) {
      if (signal.aborted) return;
      this.fault.textContent = this.failed(error);
      this.fault.hidden = false;
      if (error instanceof api.Gone) void api.whenBack().then(() => { if (!signal.aborted) void this.draw(); });
    }
  }

  stop(): void { this.stopping.abort(); }
}

const eyesOf = ({ face }: Source): boolean => Boolean(face.gaze?.eyes_found && face.gaze.code);

async function shown(canvas: HTMLCanvasElement, image: Blob, signal: AbortSignal, label: string): Promise<void> {
  const bitmap = await createImageBitmap(image);
  if (signal.aborted) return;
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  canvas.setAttribute("aria-label", label);
  canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
}

/** Boxes that make every face take a factor of the next one; of two faces it is a swap. */
export class Swaps {
  readonly block = el("div", { hidden: true });
  private readonly boxes = new Map<Factor, HTMLInputElement>();
  private faces: Redrawn[] = [];

  show(faces: Redrawn[]): void {
    this.faces = faces;
    this.block.hidden = faces.length < 2;
    this.boxes.clear();
    const shown = FACTORS.filter((factor) => factor !== "gaze" || faces.some(({ own }) => own.face.gaze)).map((factor) => {
      const box = checkbox(TITLES[factor], false, (on) => this.faces.forEach((one, i) => one.take(factor, on ? this.next(i) : null)));
      this.boxes.set(factor, box.querySelector("input")!);
      return box;
    });
    this.block.replaceChildren(
      el("fieldset", { className: "radios" }, el("legend", {}, faces.length === 2 ? "Swap" : "Each takes from the next"), ...shown),
      el("p", { className: "hint" }, "Below each image: its face as the model rebuilds it, with what it takes of others. "
        + "Another's gaze is drawn into the image itself, in a picture of its own: only the eyes change there."));
    this.sync();
  }

  /** A box is ticked while every face that can takes that factor of the next. */
  sync(): void {
    for (const [factor, box] of this.boxes) {
      const taking = this.faces.map((one, i) => one.from(factor) === this.next(i));
      const able = this.faces.map((one, i) => factor !== "gaze" || (eyesOf(one.own) && eyesOf(this.next(i))));
      box.disabled = !able.includes(true);
      box.checked = able.includes(true) && taking.every((takes, i) => takes || !able[i]);
    }
  }

  private next(i: number): Source { return this.faces[(i + 1) % this.faces.length].own; }
}
