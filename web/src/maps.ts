// A map of the faces by one factor: principal components at once, UMAP when asked.

import * as api from "./api";
import { chooser, el } from "./dom";

const ASK_MS = 700;
const STAGES: Record<string, string> = {
  reading: "reading the codes", neighbours: "finding neighbours", starting: "starting UMAP (the first time this takes a minute or more)",
  layout: "laying out, epoch", placing: "placing the other faces,",
};
const count = (number: number): string => number.toLocaleString("en");

export class Maps {
  readonly row: HTMLElement;
  private readonly factor = chooser("Map by", () => void this.look());
  private readonly status = el("p", { className: "hint", role: "status" });
  private readonly bar = el("progress", { "aria-label": "UMAP", hidden: true });
  private readonly cancel = el("button", { type: "button", hidden: true, onclick: () => void this.guarded(async () => {
    this.say(await api.cancelUmap(this.running));
  }) }, "Cancel");
  private readonly umap = el("button", { type: "button", onclick: () => void this.start() }, "UMAP");
  private missing = "";
  private running = "";

  /** `show` is given the axes' columns; `more` says that there are new ones. */
  constructor(
    private readonly show: (x: string, y: string) => void, private readonly more: () => Promise<void>,
    private readonly guarded: (work: () => Promise<void>) => Promise<void>,
  ) {
    const principal = el("button", { type: "button", onclick: () => this.go("PC") }, "Principal components");
    this.row = el("div", { role: "group", "aria-label": "Map" },
      el("div", { className: "row" }, this.factor.row, principal, this.umap, this.cancel, this.bar), this.status);
  }

  async begin(factors: string[], chosen: string, missing: string): Promise<void> {
    this.missing = missing;
    this.row.hidden = !factors.length;
    this.factor.fill(factors.map((one) => [one, one]), chosen);
    if (factors.length) await this.look();
  }

  private go(kind: "PC" | "UMAP"): void {
    const factor = this.factor.select.value;
    this.show(`${factor} ${kind}1`, `${factor} ${kind}2`);
  }

  /** Say what is known of the chosen factor, and go on with what is under way. */
  private async look(): Promise<void> {
    if (this.running) return;
    await this.guarded(async () => {
      const found = await api.umap(this.factor.select.value);
      this.say(found);
      if (found.state === "running") await this.follow(found.factor);
    });
  }

  private async start(): Promise<void> {
    if (this.missing) { this.status.textContent = `UMAP cannot be computed: ${this.missing}.`; return; }
    const factor = this.factor.select.value;
    await this.guarded(async () => {
      const found = await api.startUmap(factor);
      this.say(found);
      if (found.state === "done") this.go("UMAP");
      else if (this.running !== factor && await this.follow(factor)) this.show(`${factor} UMAP1`, `${factor} UMAP2`);
    });
  }

  /** Ask until it has ended; return whether there is a map now. */
  private async follow(factor: string): Promise<boolean> {
    this.running = factor;
    try {
      for (;;) {
        const found = await api.umap(factor);
        this.say(found);
        if (found.state !== "running") {
          if (found.state === "done") await this.more();
          return found.state === "done";
        }
        await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      }
    } finally {
      this.running = "";
      this.bar.hidden = this.cancel.hidden = true;
      this.umap.disabled = false;
    }
  }

  private say(found: api.Umap): void {
    const { factor, state, stage, done, total, fitted, placed, message } = found, running = state === "running";
    this.bar.hidden = this.cancel.hidden = !running;
    this.umap.disabled = running;
    if (running && total) [this.bar.max, this.bar.value] = [total, done];
    else this.bar.removeAttribute("value");
    const sample = placed ? `${count(fitted)} of ${count(fitted + placed)} faces, evenly chosen; each other face is placed by its nearest ones among those`
      : `all ${count(fitted)} faces with ${factor}`;
    this.status.textContent = {
      none: "", cancelled: `UMAP of ${factor} was cancelled.`, failed: `UMAP of ${factor} failed: ${message}.`,
      done: `UMAP of ${factor} is fitted to ${sample}.`,
      running: `UMAP of ${factor}: ${STAGES[stage] ?? stage}${total ? ` ${count(done)} of ${count(total)}` : ""} …`,
    }[state];
  }
}
