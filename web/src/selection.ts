// What is chosen in a table: exported, labelled, and a probe fitted to the labels, with what to label next.

import * as api from "./api";
import { el, save } from "./dom";

export interface Host {
  /** A byte for each row, and how many are set, how many of them hidden by the filters. */
  chosen(): { mask: Uint8Array; count: number; hidden: number };
  choose(points: number[]): void;
  chooseShown(): void;
  look(point: number): void;
  predicted(name: string): void;
  guarded(work: () => Promise<void>): Promise<void>;
  picture(point: number, alt: string): Promise<HTMLElement>;
}

/** Labels that a probe is fitted to; of more so many, each label's share kept. */
const MOST_LABELS = 5000;
const number = (count: number): string => count.toLocaleString("en");

export class Selection {
  readonly panel: HTMLElement;
  private readonly count = el("p", { className: "message", role: "status" });
  private readonly name = el("input", { id: "label-name", value: "label", maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*" });
  private readonly value = el("input", { id: "label-value", maxlength: 100, autocomplete: "off" });
  private readonly given = el("ul", { className: "legend", "aria-label": "Labels given" });
  private readonly result = el("p", { className: "message", role: "status" });
  private readonly next = el("ol", { className: "near", "aria-label": "To label next" });
  private readonly keep: HTMLButtonElement;
  private readonly nextTitle = el("h3", { hidden: true }, "Label these next: the probe is unsure of them");
  /** Number of each row's label, from 1; 0: none. */
  private marks = new Uint16Array(0);
  private readonly texts: string[] = [];
  private probe: api.Probe | null = null;

  constructor(private readonly host: Host) {
    const button = (text: string, work: () => void) => el("button", { type: "button", onclick: work }, text);
    this.keep = button("Save the probe", () => void this.saveProbe());
    this.keep.hidden = true;
    const form = el("form", { className: "row", onsubmit: (event: Event) => { event.preventDefault(); this.label(); } },
      el("label", { htmlFor: "label-name" }, "Label"), this.name,
      el("label", { htmlFor: "label-value" }, "is"), this.value,
      el("button", { type: "submit" }, "Label the selection"));
    this.panel = el("section", { "aria-label": "Selection" }, el("h2", {}, "Selection and labels"), this.count,
      el("div", { className: "row" }, button("Select all that are shown", () => this.host.chooseShown()),
        button("Clear the selection", () => this.host.choose([])),
        button("Export the selection", () => void this.exportRows())),
      form, this.given,
      el("div", { className: "row" }, button("Fit a probe to the labels", () => void this.fit()), this.keep), this.result,
      this.nextTitle, this.next);
    this.changed();
  }

  /** The selection is another. */
  changed(): void {
    const { count, hidden, mask } = this.host.chosen();
    if (this.marks.length !== mask.length) this.marks = new Uint16Array(mask.length);
    this.count.textContent = count ? `${number(count)} ${count === 1 ? "face is" : "faces are"} selected${hidden ? `, ${number(hidden)} of them hidden by the filters` : ""}.`
      : "No face is selected. Let dragging select points and draw around some, or press the space bar on one.";
  }

  private say(text: string, wrong = false): void {
    this.result.textContent = text;
    this.result.classList.toggle("wrong", wrong);
  }

  private named(): string | null {
    const name = this.name.value.trim();
    if (name && this.name.checkValidity()) return name;
    this.say("Name the label with letters, digits, - and _.", true);
    return null;
  }

  private label(): void {
    const { mask, count } = this.host.chosen(), value = this.value.value.trim();
    if (!count) { this.say("Select faces first.", true); return; }
    if (value && !this.texts.includes(value)) this.texts.push(value);
    const mark = value ? this.texts.indexOf(value) + 1 : 0;
    for (let i = 0; i < mask.length; i++) if (mask[i]) this.marks[i] = mark;
    const counts = this.counts();
    const named = this.texts.map((text, i): [string, number] => [text, counts[i + 1]]).filter(([, rows]) => rows).sort();
    this.given.replaceChildren(...named.map(([text, rows]) => el("li", {}, `${text}: ${number(rows)}`)));
    this.say(value ? `${number(count)} labelled ${value}.` : `The labels of ${number(count)} are taken away.`);
    this.host.choose([]);
  }

  /** Count the rows of each label, first those without. */
  private counts(): Uint32Array {
    const counts = new Uint32Array(this.texts.length + 1);
    for (const mark of this.marks) counts[mark]++;
    return counts;
  }

  /** Return labels to fit a probe to: all, or so many of each that no more than are taken. */
  private labels(): { point: number; value: string }[] {
    const counts = this.counts(), all = this.marks.length - counts[0], part = Math.min(1, MOST_LABELS / (all || 1));
    const seen = new Uint32Array(counts.length), found: { point: number; value: string }[] = [];
    for (let i = 0; i < this.marks.length; i++) {
      const mark = this.marks[i];
      if (!mark) continue;
      const at = seen[mark]++;
      // Evenly chosen: whenever the share of those seen so far reaches another whole one; of each the first.
      if (part === 1 || Math.floor((at + 1) * part) > Math.floor(at * part) || at === 0) found.push({ point: i, value: this.texts[mark - 1] });
    }
    return found.slice(0, MOST_LABELS);
  }

  private async exportRows(): Promise<void> {
    const { mask, count } = this.host.chosen(), labelled = this.marks.some((mark) => mark > 0), name = labelled ? this.named() : null;
    if (!count) { this.say("Select faces first.", true); return; }
    if (labelled && !name) return;
    const given = this.marks.filter((_, i) => mask[i]);
    await this.host.guarded(async () => { save(await api.exported(mask, name, this.texts, given), "selection.csv"); });
  }

  private async fit(): Promise<void> {
    const name = this.named();
    if (!name) return;
    const labels = this.labels(), all = this.marks.length - this.counts()[0];
    if (!labels.length) { this.say("Label some faces first.", true); return; }
    this.say("Fitting …");
    try {
      this.probe = await api.probe(name, labels);
    } catch (error) {
      if (!(error instanceof api.Refused)) {
        this.say("");
        await this.host.guarded(() => Promise.reject(error));
      } else this.say(`${error.message}.`, true);
      return;
    }
    const { classes, samples, score, low, high, baseline, held_out_by: by, column, suggestions } = this.probe;
    const [measure, unit] = classes.length ? ["accuracy", " %"] : ["mean error", ""];
    const shown = (value: number) => (classes.length ? value.toFixed(1) : value.toPrecision(3));
    const usual = classes.length ? "the most frequent class alone has" : "the median label is off by";
    const used = all > labels.length ? ` (of ${number(all)}, evenly chosen)` : "";
    this.say(`${number(samples)} labels${used}: ${measure} on held-out ${by} ${shown(score)}${unit} (95 % interval ${shown(low)} to ${shown(high)}); ${usual} ${shown(baseline)}${unit}.`);
    this.keep.hidden = false;
    this.host.predicted(column);
    this.nextTitle.hidden = !suggestions.length;
    this.next.replaceChildren(...await Promise.all(suggestions.map(async ({ point, value, certainty }) => {
      const guess = `${value}?\u00a0${classes.length ? `${Math.round(100 * certainty)} %` : `± ${certainty.toPrecision(2)}`}`;
      const take = () => { this.host.choose([point]); this.host.look(point); this.value.focus(); };
      return el("li", {}, el("button", { type: "button", onclick: take }, await this.host.picture(point, ""), guess));
    })));
  }

  private async saveProbe(): Promise<void> {
    const { id, label } = this.probe!;
    await this.host.guarded(async () => { save(await api.fileOf("probes", id), `${label}.json`); });
  }
}
