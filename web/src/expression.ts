// The expression of the face in 3D: stronger or weaker, and towards another face's.

import * as api from "./api";
import { chooser, el, slider, type Slider } from "./dom";
import { evenly, Keyframes, mixed } from "./keyframes";
import { portrait, type Picture } from "./pictures";

const KNOTS = evenly(-1, 2, 0.5);
const SETTLED_MS = 200;

interface Donor { name: string; picture: Picture; face: api.Face }

export interface Told {
  /** Maps to be shown; while they move they come again and again, in the same arrays. */
  maps(found: api.Maps, moving: boolean): void;
  problem(error: unknown): void;
  /** An image whose faces may give their expression. */
  given(file: File): void;
}

export class Expression {
  readonly row: HTMLElement;
  private readonly strength: Slider;
  private readonly towards: Slider;
  private readonly donors = chooser("Towards the expression of", (value) => this.take(value));
  private readonly seen = el("canvas", { className: "donor", width: 96, height: 96, role: "img", hidden: true });
  private readonly hint = el("p", { className: "hint" });
  private face: api.Face | null = null;
  private here: Donor[] = [];
  private others: Donor[] = [];
  private donor: Donor | null = null;
  private frames: Keyframes<api.Maps> | null = null;
  private running: AbortController | null = null;
  private blend: api.Maps | null = null;
  private timer = 0;
  private exact = false;

  constructor(private readonly told: Told) {
    this.strength = slider("Expression", -1, 2, 0.05, 1, "", () => this.moved("strength"));
    this.towards = slider("Towards the other's", -1, 2, 0.05, 0, "", () => this.moved("towards"));
    const input = el("input", { type: "file", accept: "image/*", className: "hidden", tabindex: -1, "aria-hidden": "true" });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = "";
      if (file) told.given(file);
    });
    for (const [name, { input: range }] of [["strength", this.strength], ["towards", this.towards]] as const) {
      for (const kind of ["pointerdown", "focus"]) range.addEventListener(kind, () => void this.ready(name)?.at(Number(range.value)));
    }
    const more = el("button", { type: "button", onclick: () => input.click() }, "Expression of another image");
    this.row = el("div", {}, this.strength.row,
      el("div", { className: "row" }, this.donors.row, this.seen, more, input), this.towards.row, this.hint);
    this.choose("");
  }

  /** Another face is shown, the others of its image may give their expression. */
  async open(picture: Picture, faces: api.Face[], chosen: number): Promise<void> {
    this.face = faces[chosen];
    this.here = faces.map((face, i) => ({ name: `face ${i + 1} of ${faces.length}`, picture, face })).filter((_, i) => i !== chosen);
    this.donor = null;
    this.strength.set(1);
    this.fill();
    this.choose("");
    await this.load();
  }

  /** Another image's faces may give their expression from now on; the largest does. */
  add(picture: Picture, faces: api.Face[], largest: number): void {
    const many = faces.length > 1;
    const found = faces.map((face, i): Donor => ({ name: many ? `${picture.name}, face ${i + 1}` : picture.name, picture, face }));
    this.others = [...this.others.filter((one) => one.picture.name !== picture.name), ...found];
    this.fill();
    this.take(String(this.here.length + this.others.indexOf(found[largest])));
    this.towards.input.focus();
  }

  /** Choose whose expression it goes to, and go there. */
  private take(value: string): void {
    this.choose(value);
    if (!this.donor) return;
    this.towards.set(1);
    this.moved("towards");
  }

  /** The code that is shown; undefined where it is the face's own. */
  code(strength = Number(this.strength.input.value), towards = Number(this.towards.input.value)): number[] | undefined {
    const own = this.face!.expression, other = this.donor?.face.expression;
    if (strength === 1 && (!other || towards === 0)) return undefined;
    return own.map((part, i) => strength * (other ? part + towards * (other[i] - part) : part));
  }

  /** Ask for the maps as the sliders stand. */
  async load(): Promise<void> {
    clearTimeout(this.timer);
    this.running?.abort();
    const running = (this.running = new AbortController());
    try {
      const found = await api.maps(this.face!, this.code(), running.signal);
      if (running.signal.aborted) return;
      this.exact = true;
      this.told.maps(found, false);
    } catch (error) {
      if (!running.signal.aborted) this.failed(error);
    }
  }

  private failed(error: unknown): void {
    this.told.problem(error);
    if (error instanceof api.Gone) void api.whenBack().then(() => this.load());
  }

  private fill(): void {
    const all = [...this.here, ...this.others];
    this.donors.fill([["", "nobody else"], ...all.map(({ name }, i): [string, string] => [String(i), name])]);
    this.donors.row.hidden = !all.length;
  }

  private choose(value: string): void {
    this.donor = value === "" ? null : [...this.here, ...this.others][Number(value)];
    this.donors.select.value = value;
    const before = Number(this.towards.input.value);
    this.towards.set(0);
    this.towards.row.hidden = this.seen.hidden = !this.donor;
    this.hint.textContent = this.donor ? "Expression: 0 at rest, 1 as it is. Towards the other's: 0 this face's own, 1 the other's."
      : "0 is the face at rest, 1 as in the image.";
    if (this.donor) portrait(this.seen, this.donor.picture, this.donor.face, `Expression of ${this.donor.name}`);
    this.forget();
    if (before && this.face) void this.load();
  }

  private forget(): void {
    this.frames?.stop();
    this.frames = null;
  }

  /** The knots of the slider that is moved; the other stands still. */
  private ready(slide: "strength" | "towards"): Keyframes<api.Maps> | null {
    const face = this.face;
    if (!face) return null;
    const still = Number((slide === "strength" ? this.towards : this.strength).input.value);
    const name = `${slide} ${still}`;
    if (this.frames?.name === name) return this.frames;
    this.forget();
    const now = Number((slide === "strength" ? this.strength : this.towards).input.value);
    return (this.frames = new Keyframes(name, KNOTS, now,
      (knot, signal) => api.maps(face, slide === "strength" ? this.code(knot, still) : this.code(still, knot), signal),
      () => { if (!this.exact) this.show(false); }, (error) => this.failed(error)));
  }

  private moved(slide: "strength" | "towards"): void {
    const frames = this.ready(slide);
    if (!frames) return;
    this.running?.abort();
    this.exact = false;
    this.show(true);
    clearTimeout(this.timer);
    const value = Number((slide === "strength" ? this.strength : this.towards).input.value);
    this.timer = window.setTimeout(() => { if (frames.exact(value)) this.show(false); else void this.load(); }, SETTLED_MS);
  }

  private show(moving: boolean): void {
    const moved = this.frames!.name.startsWith("strength") ? this.strength : this.towards;
    const found = this.frames!.at(Number(moved.input.value));
    if (!found) return;
    const [before, after, part] = found;
    if (part === 0) {
      this.told.maps(before, moving);
      return;
    }
    if (this.blend?.size !== before.size) {
      this.blend = { ...before, albedo: new Float32Array(before.albedo.length), depth: new Float32Array(before.depth.length) };
    }
    mixed(before.albedo, after.albedo, part, this.blend.albedo);
    mixed(before.depth, after.depth, part, this.blend.depth);
    this.told.maps(this.blend, moving);
  }
}
