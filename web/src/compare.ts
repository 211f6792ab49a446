// Faces side by side: the service's comparison of each pair, and how alike single factors are.

import * as api from "./api";
import { degrees, el } from "./dom";
import { dropPlace, opened, Overlay, Unusable, type Picture } from "./pictures";
import { rotation, type Matrix } from "./geometry";

const MOST = 6;

interface Entry { picture: Picture; face: api.Face; others: number; overlay: Overlay }

export class CompareView {
  readonly panel: HTMLElement;
  private readonly message = el("p", { className: "message", role: "status" });
  private readonly row = el("div", { className: "side-by-side" });
  private readonly results = el("div", { className: "results" });
  private readonly note = el("p", { className: "hint" });
  private entries: Entry[] = [];

  constructor(private readonly limits: () => Promise<api.Limits>, private readonly failed: (error: unknown) => string) {
    const drop = dropPlace("Add images", true, (files) => void this.take(files));
    this.panel = el("div", {}, drop.row, this.message, this.row, this.results, this.note);
    this.say("Give two images or more; of each the largest face is compared.");
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
      }
    }
    await this.show(problems);
  }

  private async add(file: File): Promise<void> {
    const picture = await opened(file, file.name || "The image", await this.limits());
    const { faces } = await api.analyze(file, "");
    if (!faces.length) throw new Unusable(`No face is found in ${picture.name}.`);
    const area = ({ box }: api.Face) => (box.x2 - box.x1) * (box.y2 - box.y1);
    const face = faces.reduce((best, one) => (area(one) > area(best) ? one : best));
    this.entries.push({ picture, face, others: faces.length - 1, overlay: new Overlay(() => {}) });
  }

  private async show(problems: string[] = []): Promise<void> {
    this.row.replaceChildren(...this.entries.map((entry) => this.card(entry)));
    for (const { overlay, picture, face } of this.entries) overlay.show(picture, [face], 0);
    const few = this.entries.length < 2 ? "Give another image to compare." : "";
    this.say([...problems, few].filter(Boolean).join(" "), problems.length > 0);
    this.results.replaceChildren();
    let measuredOn = "";
    const pairs = this.entries.flatMap((first, i) => this.entries.slice(i + 1).map((second): [Entry, Entry] => [first, second]));
    try {
      for (const [first, second] of pairs) {
        const found = await api.compare(first.picture.file, second.picture.file);
        this.results.append(pairTable(first, second, found));
        measuredOn = found.measured_on;
      }
      this.note.textContent = measuredOn && `Rates were measured on ${measuredOn}. On other people and images they `
        + "differ: a comparison is no proof of who anybody is.";
    } catch (error) {
      this.say(this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.show());
    }
  }

  private card(entry: Entry): HTMLElement {
    const name = entry.picture.name;
    const note = entry.others ? `${entry.others + 1} faces; the largest is taken.` : "";
    return el("figure", {},
      el("div", { className: "frame" }, entry.overlay.canvas),
      el("figcaption", {}, name, note && el("small", {}, note),
        el("button", { type: "button", "aria-label": `Take away ${name}`, onclick: () => {
          this.entries = this.entries.filter((one) => one !== entry);
          void this.show();
        } }, "Take away")));
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

/** Degrees between two head poses. */
function turnBetween(first: api.Pose, second: api.Pose): number {
  const [a, b] = [first, second].map((pose): Matrix => rotation(pose.yaw_rad, pose.pitch_rad, pose.roll_rad));
  const trace = a.reduce((sum, row, i) => sum + row.reduce((part, value, j) => part + value * b[i][j], 0), 0);
  return degrees(Math.acos(Math.min(1, Math.max(-1, (trace - 1) / 2))));
}

function lightBetween(first: api.Light, second: api.Light): number {
  const product = cosine([first.x, first.y, first.z], [second.x, second.y, second.z]);
  return degrees(Math.acos(Math.min(1, Math.max(-1, product))));
}

const percent = (rate: number): string => `${(100 * rate).toLocaleString("en", { maximumSignificantDigits: 2 })} %`;

function between({ at_least, at_most }: { at_least: number | null; at_most: number | null }): string {
  if (at_most === null) return `more than ${percent(at_least ?? 0)}`;
  if (at_least === null) return `less than ${percent(at_most)}`;
  return `${percent(at_least)} to ${percent(at_most)}`;
}

function pairTable(first: Entry, second: Entry, found: api.Comparison): HTMLElement {
  const [one, two] = [first.face, second.face];
  const { threshold } = found;
  const above = found.reaches_threshold ? "reaches" : "stays below";
  const codes: [string, number[] | undefined, number[] | undefined][] = [
    ["Face embedding, cosine", one.face_embedding, two.face_embedding], ["Identity, cosine", one.identity, two.identity],
    ["Expression, cosine", one.expression, two.expression], ["Texture code, cosine", one.texture_code, two.texture_code],
    ["Shape code, cosine", one.shape_code, two.shape_code],
  ];
  const rows: [string, string][] = [
    ["Of pairs of different people, as alike or more", between(found.different_people)],
    ["Of pairs of one person, as alike or more", between(found.same_person)],
    ...codes.flatMap(([name, a, b]): [string, string][] => (a && b ? [[name, cosine(a, b).toFixed(3)]] : [])),
    ["Head pose, degrees between", `${turnBetween(one.pose, two.pose).toFixed(1)}°`],
    ["Light, degrees between", `${lightBetween(one.light, two.light).toFixed(1)}°`],
  ];
  return el("section", { className: "pair" },
    el("h2", {}, `${first.picture.name} and ${second.picture.name}`),
    scale(found),
    el("p", { className: "verdict" },
      `Similarity ${found.similarity.toFixed(3)} ${above} the threshold ${threshold.similarity.toFixed(3)}, which `
      + `${percent(threshold.false_match_rate)} of pairs of different people reach (false match rate) and `
      + `${percent(threshold.true_match_rate)} of pairs of one person.`),
    el("table", { className: "numbers" },
      ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)))));
}

/** A line from -1 to 1 with the similarity and the threshold on it. */
function scale(found: api.Comparison): SVGSVGElement {
  const make = (tag: string, attributes: Record<string, string | number>) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    return made;
  };
  const x = (similarity: number) => 10 + 190 * (similarity + 1);
  const svg = make("svg", {
    viewBox: "0 0 400 30", class: "scale", role: "img",
    "aria-label": `similarity ${found.similarity.toFixed(2)}, threshold ${found.threshold.similarity.toFixed(2)}`,
  }) as SVGSVGElement;
  svg.append(
    make("line", { x1: 10, x2: 390, y1: 15, y2: 15, class: "track" }),
    make("line", { x1: x(found.threshold.similarity), x2: x(found.threshold.similarity), y1: 3, y2: 27, class: "limit" }),
    make("circle", { cx: x(found.similarity), cy: 15, r: 7, class: found.reaches_threshold ? "match" : "other" }));
  return svg;
}
