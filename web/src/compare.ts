// Faces side by side: how alike each pair is, and each face drawn anew with what others of them show.

import * as api from "./api";
import { chooser, degrees, el } from "./dom";
import { dropPlace, largest, opened, Overlay, Unusable } from "./pictures";
import { rotation, type Matrix } from "./geometry";
import { nameOf, strip, stripLegend } from "./strips";
import { Redrawn, Swaps, type Source } from "./swap";

const MOST = 6;

interface Entry { own: Source; faces: api.Face[]; overlay: Overlay; redrawn: Redrawn; card: HTMLElement }

export class CompareView {
  readonly panel: HTMLElement;
  private readonly message = el("p", { className: "message", role: "status" });
  private readonly calibration = chooser("Gaze angles by calibration", () => void this.again());
  private readonly row = el("div", { className: "side-by-side" });
  private readonly swaps = new Swaps();
  private readonly legend = el("div", {});
  private readonly results = el("div", { className: "results" });
  private readonly note = el("p", { className: "hint" });
  private readonly known = new Map<string, api.Comparison>();
  private entries: Entry[] = [];
  private showing = 0;

  constructor(private readonly limits: () => Promise<api.Limits>, private readonly failed: (error: unknown) => string) {
    const drop = dropPlace("Add images", true, (files) => void this.take(files));
    this.calibration.row.hidden = true;
    this.panel = el("div", {}, drop.row, this.message, this.calibration.row, this.swaps.block, this.row, this.legend, this.results, this.note);
    this.say("Give two images or more.");
  }

  /** Offer the calibrations that the server has now. */
  async calibrations(chosen = ""): Promise<void> {
    const known = await api.calibrations();
    this.calibration.fill([["", "none: no directions"],
      ...known.map(({ id, samples }): [string, string] => [id, `${samples} samples (${id})`])], chosen || (known[0]?.id ?? ""));
    this.calibration.row.hidden = !known.length;
    if (chosen) await this.again();
  }

  async take(files: File[]): Promise<void> {
    const problems: string[] = [];
    if (!files.length) problems.push("There is no image in this. Give JPEG, PNG or WebP files.");
    for (const file of files) {
      if (this.entries.length >= MOST) {
        problems.push(`Up to ${MOST} faces are compared; take one away first.`);
        break;
      }
      try {
        await this.add(file);
      } catch (error) {
        problems.push(error instanceof Unusable ? error.message : this.failed(error));
        if (error instanceof api.Gone) {
          void api.whenBack().then(() => this.take(files.slice(files.indexOf(file))));
          break;
        }
      }
    }
    await this.show(problems);
  }

  private async add(file: File): Promise<void> {
    const picture = await opened(file, file.name || "The image", await this.limits());
    const { faces } = await api.analyze(file, this.calibration.select.value);
    if (!faces.length) throw new Unusable(`No face is found in ${picture.name}.`);
    this.entries.push(this.entry(picture, faces, largest(faces)));
  }

  private entry(picture: Source["picture"], faces: api.Face[], number: number): Entry {
    const used = this.entries.filter(({ own }) => own.picture.name === picture.name).length;
    const own = { name: used ? `${picture.name} (${used + 1})` : picture.name, picture, number, face: faces[number] };
    const entry: Entry = {
      own, faces, redrawn: new Redrawn(own, () => this.swaps.sync(), this.failed), card: el("figure", {}),
      overlay: new Overlay((other) => this.choose(entry, other)),
    };
    this.fillCard(entry);
    return entry;
  }

  /** Compare another face of an image. */
  private choose(entry: Entry, number: number): void {
    if (number === entry.own.number) return;
    entry.redrawn.stop();
    const { picture } = entry.own;
    const place = this.entries.indexOf(entry);
    this.entries.splice(place, 1);
    this.entries.splice(place, 0, this.entry(picture, entry.faces, number));
    void this.show();
  }

  /** Another calibration: directions of all faces anew. */
  private async again(): Promise<void> {
    try {
      for (const entry of this.entries) {
        const { faces } = await api.analyze(entry.own.picture.file, this.calibration.select.value);
        faces.forEach((face, i) => Object.assign(entry.faces[i] ?? {}, { gaze: face.gaze }));
      }
      await this.show();
    } catch (error) {
      this.say(this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.again());
    }
  }

  private async show(problems: string[] = []): Promise<void> {
    const turn = ++this.showing;
    this.row.replaceChildren(...this.entries.map(({ card }) => card));
    for (const { overlay, own, faces } of this.entries) overlay.show(own.picture, faces, own.number);
    for (const { own, redrawn } of this.entries) redrawn.offer(this.entries.map((other) => other.own).filter((other) => other !== own));
    this.swaps.show(this.entries.map(({ redrawn }) => redrawn));
    const few = this.entries.length === 1 ? "Give another image to compare." : this.entries.length ? "" : "Give two images or more.";
    this.say([...problems, few].filter(Boolean).join(" "), problems.length > 0);
    this.results.replaceChildren();
    this.legend.replaceChildren();
    this.note.textContent = "";
    const pairs = this.entries.flatMap((first, i) => this.entries.slice(i + 1).map((second): [Source, Source] => [first.own, second.own]));
    try {
      for (const [first, second] of pairs) {
        const found = await this.compared(first, second);
        if (turn !== this.showing) return;
        this.results.append(pairCard(first, second, found));
        if (found instanceof api.Refused) continue;
        if (found.codes_measured_on) this.legend.replaceChildren(stripLegend(found.codes_measured_on));
        this.note.textContent = `The threshold's rates were measured on ${found.measured_on}. On other people and images `
          + "all of this differs: a comparison is no proof of who anybody is.";
      }
    } catch (error) {
      if (turn !== this.showing) return;
      this.say(this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.show());
    }
  }

  /** What the server says of two faces; asked for once. For some weights no similarity was measured. */
  private async compared(first: Source, second: Source): Promise<api.Comparison | api.Refused> {
    const key = [first, second].map((one) => `${this.numberOf(one.picture.file)} ${one.number}`).join(" ");
    try {
      const found = this.known.get(key) ?? await api.compare([first.picture.file, first.number], [second.picture.file, second.number]);
      this.known.set(key, found);
      return found;
    } catch (error) {
      if (error instanceof api.Refused && error.code === "no_thresholds") return error;
      throw error;
    }
  }

  private readonly files: Blob[] = [];
  private numberOf(file: Blob): number {
    const known = this.files.indexOf(file);
    return known >= 0 ? known : this.files.push(file) - 1;
  }

  private fillCard(entry: Entry): void {
    const { own, faces } = entry;
    const which = chooser("Face", (value) => this.choose(entry, Number(value)));
    which.fill(faces.map((_, i) => [String(i), `${i + 1} of ${faces.length}, from the left`]), String(own.number));
    which.select.setAttribute("aria-label", `Face of ${own.name}`);
    which.row.hidden = faces.length < 2;
    entry.card.replaceChildren(
      el("div", { className: "frame" }, entry.overlay.canvas),
      el("figcaption", {}, el("span", {}, own.name),
        el("button", { type: "button", "aria-label": `Take away ${own.name}`, onclick: () => {
          entry.redrawn.stop();
          this.entries = this.entries.filter((one) => one !== entry);
          void this.show();
        } }, "Take away")),
      which.row, entry.redrawn.block);
  }

  private say(text: string, wrong = false): void {
    this.message.textContent = text;
    this.message.classList.toggle("wrong", wrong);
  }
}

function cosine(first: number[], second: number[]): number {
  let [product, one, two] = [0, 0, 0];
  first.forEach((value, i) => {
    product += value * second[i];
    one += value * value;
    two += second[i] * second[i];
  });
  return product / (Math.sqrt(one * two) || 1);
}

const angle = (cosine: number): string => `${degrees(Math.acos(Math.min(1, Math.max(-1, cosine)))).toFixed(1)}°`;

/** Degrees between two head poses. */
function turnBetween(first: api.Pose, second: api.Pose): string {
  const [a, b] = [first, second].map((pose): Matrix => rotation(pose.yaw_rad, pose.pitch_rad, pose.roll_rad));
  const trace = a.reduce((sum, row, i) => sum + row.reduce((part, value, j) => part + value * b[i][j], 0), 0);
  return angle((trace - 1) / 2);
}

const between = (first: api.Direction, second: api.Direction): string =>
  angle(cosine([first.x, first.y, first.z], [second.x, second.y, second.z]));

function gazeBetween({ gaze: first }: api.Face, { gaze: second }: api.Face): string {
  if (first?.direction && second?.direction) return between(first.direction, second.direction);
  return first?.eyes_found && second?.eyes_found ? "needs a calibration" : "no open eyes";
}

const percent = (rate: number): string => `${(100 * rate).toLocaleString("en", { maximumSignificantDigits: 2 })} %`;

/** The sentence about the threshold, and a strip of each code. */
function likeness(found: api.Comparison): HTMLElement[] {
  const { threshold } = found, above = found.reaches_threshold ? "reaches" : "stays below";
  const strips = found.codes.map((code) => strip(code, code.code === found.code ? threshold.similarity : undefined));
  const none = el("p", { className: "hint" }, "For these weights it was not measured where other codes' similarities fall among people.");
  return [
    el("p", { className: "verdict" },
      `Similarity ${found.similarity.toFixed(3)} ${above} the threshold ${threshold.similarity.toFixed(3)} of the ${nameOf(found.code).toLowerCase()}, which `
      + `${percent(threshold.false_match_rate)} of pairs of different people reach (false match rate) and `
      + `${percent(threshold.true_match_rate)} of pairs of one person.`),
    ...(strips.length ? strips : [none]),
  ];
}

function pairCard(first: Source, second: Source, found: api.Comparison | api.Refused): HTMLElement {
  const [one, two] = [first.face, second.face];
  const rows: [string, string][] = [
    ["Head pose, degrees between", turnBetween(one.pose, two.pose)], ["Light, degrees between", between(one.light, two.light)],
  ];
  if (one.gaze && two.gaze) rows.push(["Gaze, degrees between", gazeBetween(one, two)]);
  return el("section", { className: "pair" },
    el("h2", {}, `${first.name} and ${second.name}`),
    ...(found instanceof api.Refused ? [el("p", { className: "verdict" }, `${found.message}; angles can be.`)] : likeness(found)),
    el("table", { className: "numbers" },
      ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));
}
