// What is chosen in a table: exported, labelled, and a probe fitted to the labels, with what to label next.

import * as api from "./api";
import { el, save } from "./dom";

export interface Host {
  chosen(): number[];
  choose(points: number[]): void;
  look(point: number): void;
  predicted(name: string, column: api.Column): void;
  guarded(work: () => Promise<void>): Promise<void>;
  picture(point: number, alt: string): Promise<HTMLElement>;
}

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
  private readonly labels = new Map<number, string>();
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
      el("div", { className: "row" }, button("Clear the selection", () => this.host.choose([])),
        button("Export the selection", () => void this.exportRows())),
      form, this.given,
      el("div", { className: "row" }, button("Fit a probe to the labels", () => void this.fit()), this.keep), this.result,
      this.nextTitle, this.next);
    this.changed();
  }

  /** The selection is another. */
  changed(): void {
    const count = this.host.chosen().length;
    this.count.textContent = count ? `${count.toLocaleString("en")} ${count === 1 ? "face is" : "faces are"} selected.`
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
    const chosen = this.host.chosen(), value = this.value.value.trim();
    if (!chosen.length) { this.say("Select faces first.", true); return; }
    for (const point of chosen) if (value) this.labels.set(point, value); else this.labels.delete(point);
    const counts = new Map<string, number>();
    for (const one of this.labels.values()) counts.set(one, (counts.get(one) ?? 0) + 1);
    this.given.replaceChildren(...[...counts].sort().map(([text, count]) => el("li", {}, `${text}: ${count}`)));
    this.say(value ? `${chosen.length} labelled ${value}.` : `The labels of ${chosen.length} are taken away.`);
    this.host.choose([]);
  }

  private async exportRows(): Promise<void> {
    const points = this.host.chosen(), name = this.labels.size ? this.named() : null;
    if (!points.length) { this.say("Select faces first.", true); return; }
    const values = Object.fromEntries(points.filter((one) => this.labels.has(one)).map((one) => [one, this.labels.get(one)!]));
    await this.host.guarded(async () => { save(await api.exported(points, name, values), "selection.csv"); });
  }

  private async fit(): Promise<void> {
    const name = this.named();
    if (!name) return;
    if (!this.labels.size) { this.say("Label some faces first.", true); return; }
    this.say("Fitting …");
    try {
      this.probe = await api.probe(name, [...this.labels].map(([point, value]) => ({ point, value })));
    } catch (error) {
      if (!(error instanceof api.Refused)) {
        this.say("");
        await this.host.guarded(() => Promise.reject(error));
      } else this.say(`${error.message}.`, true);
      return;
    }
    const { classes, samples, score, low, high, baseline, held_out_by: by, predictions, suggestions } = this.probe;
    const [measure, unit] = classes.length ? ["accuracy", " %"] : ["mean error", ""];
    const shown = (value: number) => (classes.length ? value.toFixed(1) : value.toPrecision(3));
    const usual = classes.length ? "the most frequent class alone has" : "the median label is off by";
    this.say(`${samples} labels: ${measure} on held-out ${by} ${shown(score)}${unit} (95 % interval ${shown(low)} to ${shown(high)}); ${usual} ${shown(baseline)}${unit}.`);
    this.keep.hidden = false;
    this.host.predicted(`predicted ${name}`, predictions);
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
