// Which faces are shown: conditions on columns, all of which must hold; kept in the address.

import * as api from "./api";
import { chooser, el } from "./dom";

const KEY = "filters", PAUSE_MS = 250;
const count = (number: number): string => number.toLocaleString("en");

interface Condition { column: string; box: HTMLElement; filter(): api.Filter | null }

/** Return what was held in the address, or null where that is no list of filters. */
function restored(text: string): api.Filter[] | null {
  try {
    const found: unknown = JSON.parse(text);
    const fits = Array.isArray(found) && found.every((one) => typeof one?.column === "string" && typeof one?.kind === "string");
    return fits ? (found as api.Filter[]) : null;
  } catch { return null; }
}

export class Filters {
  readonly panel: HTMLElement;
  /** Those that are asked for, and which rows match them; null: all. */
  active: api.Filter[] = [];
  visible: Uint8Array | null = null;
  private readonly status = el("p", { className: "message", role: "status" });
  private readonly column = chooser("Filter by", () => {});
  private readonly list = el("div", { className: "filters" });
  private readonly clear = el("button", { type: "button", hidden: true, onclick: () => this.replace([]) }, "Clear all filters");
  private conditions: Condition[] = [];
  private rows = 0;
  private columns: api.TableAbout["columns"] = [];
  private pause = 0;
  private running: AbortController | null = null;

  constructor(
    private readonly changed: () => void, private readonly guarded: (work: () => Promise<void>, signal?: AbortSignal) => Promise<void>,
  ) {
    const add = el("button", { type: "button", onclick: () => void this.add({ column: this.column.select.value }) }, "Add filter");
    this.panel = el("section", { "aria-label": "Filters" }, el("h2", {}, "Filters"),
      el("div", { className: "row" }, this.column.row, add, this.clear), this.list, this.status);
    addEventListener("hashchange", () => void this.restore());
  }

  async start(rows: number, columns: api.TableAbout["columns"]): Promise<void> {
    this.rows = rows;
    this.offer(columns);
    this.say();
    await this.restore();
  }

  /** Offer columns, of which there may be more than before. */
  offer(columns: api.TableAbout["columns"]): void {
    this.columns = columns;
    const chosen = this.column.select.value || columns.find(({ name }) => name === "yaw_rad")?.name;
    this.column.fill(columns.map(({ name }) => [name, name]), chosen);
  }

  /** Add a condition and go to it. */
  async add(filter: { column: string } & Partial<api.Filter>, focus = true): Promise<void> {
    await this.guarded(async () => {
      const values = await api.values(filter.column);
      const made = this.condition(filter, values);
      this.conditions.push(made);
      this.list.append(made.box);
      this.clear.hidden = false;
      if (focus) [...made.box.querySelectorAll<HTMLElement>("select, input, [tabindex]")].find((one) => one.checkVisibility())?.focus();
      this.later();
    });
  }

  private async restore(): Promise<void> {
    const text = api.held(KEY);
    if (text === null || text === JSON.stringify(this.active)) return;
    const found = restored(text), there = new Set(this.columns.map(({ name }) => name));
    const known = (found ?? []).filter(({ column }) => there.has(column));
    this.remove();
    for (const one of known) await this.add(one, false);
    await this.apply();
    if (!found || known.length < found.length) {
      this.status.append(found ? " Filters of columns that this table does not have were left out." : " The filters in the address could not be read.");
    }
  }

  private remove(): void {
    this.conditions = [];
    this.list.replaceChildren();
    this.clear.hidden = true;
  }

  private replace(filters: api.Filter[]): void {
    this.remove();
    for (const one of filters) void this.add(one);
    void this.apply();
    this.column.select.focus();
  }

  /** Build the controls of a condition; `given` is what it starts with. */
  private condition(given: { column: string } & Partial<api.Filter>, values: api.Values): Condition {
    const { column } = given, later = () => this.later();
    const mode = chooser("Rows", later), parts = el("div", { className: "row" });
    const missing = el("input", { type: "checkbox", onchange: later });
    missing.checked = given.missing ?? false;
    const without = el("label", { className: "check" }, missing, `also the ${count(values.missing)} without a value`);
    const bodies: Record<string, { title: string; body: HTMLElement; filter(): api.Filter | null }> = {};
    if (values.kind === "number") bodies.range = { title: "from … to …", ...range(given, values, later) };
    else {
      bodies.among = { title: "one of", ...among(given, values, later) };
      if (values.kind === "text") bodies.contains = { title: "containing", ...contains(given, later) };
    }
    if (values.missing) {
      bodies.missing = { title: "without a value", body: el("span"), filter: () => ({ column, kind: "missing" }) };
    }
    const show = () => {
      const chosen = mode.select.value;
      parts.replaceChildren(bodies[chosen].body, ...(values.missing && chosen !== "missing" ? [without] : []));
    };
    mode.select.addEventListener("change", show);
    mode.fill(Object.entries(bodies).map(([name, { title }]) => [name, title]), given.kind && given.kind in bodies ? given.kind : undefined);
    show();
    mode.row.hidden = Object.keys(bodies).length === 1;
    const box = el("fieldset", { className: "filter" }, el("legend", {}, column), mode.row, parts,
      el("button", { type: "button", "aria-label": `Remove the filter of ${column}`, onclick: () => {
        this.conditions = this.conditions.filter((one) => one.box !== box);
        box.remove();
        this.clear.hidden = !this.conditions.length;
        void this.apply();
        this.column.select.focus();
      } }, "Remove"));
    return { column, box, filter() {
      const found = bodies[mode.select.value].filter();
      return found && found.kind !== "missing" && missing.checked && values.missing ? { ...found, missing: true } : found;
    } };
  }

  private later(): void {
    clearTimeout(this.pause);
    this.pause = window.setTimeout(() => void this.apply(), PAUSE_MS);
  }

  private async apply(): Promise<void> {
    clearTimeout(this.pause);
    this.running?.abort();
    const running = (this.running = new AbortController());
    const filters = this.conditions.map((one) => one.filter()).filter((one) => one !== null);
    await this.guarded(async () => {
      const found = filters.length ? await api.matching(filters, this.rows, running.signal) : null;
      this.active = filters;
      this.visible = found?.visible ?? null;
      api.hold(KEY, filters.length ? JSON.stringify(filters) : null);
      this.say(found?.rows);
      this.changed();
    }, running.signal);
  }

  private say(matching?: number): void {
    this.status.textContent = matching === undefined ? `All ${count(this.rows)} faces are shown.`
      : matching === this.rows ? `All ${count(matching)} faces match.`
      : matching ? `${count(matching)} of ${count(this.rows)} faces match; the others are hidden.`
      : `None of the ${count(this.rows)} faces matches: change a filter, or clear them.`;
  }
}

let numbered = 0;

type Body = { body: HTMLElement; filter(): api.Filter | null };
type Given = { column: string } & Partial<api.Filter>;

function range(given: Given, values: api.Values, later: () => void): Body {
  const { column } = given, start = given.kind === "range" ? given : { low: null, high: null };
  const [low, high] = (["low", "high"] as const).map((end) => {
    const id = `filter-${numbered++}`;
    const input = el("input", { id, type: "number", step: "any", placeholder: values[end]?.toPrecision(4), oninput: later });
    input.value = start[end] == null ? "" : String(start[end]);
    return { input, row: el("span", { className: "end" }, el("label", { htmlFor: id }, end === "low" ? "from" : "to"), input) };
  });
  const limit = ({ input }: typeof low) => (Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : null);
  return { body: el("span", { className: "row" }, low.row, high.row), filter: () => ({ column, kind: "range", low: limit(low), high: limit(high) }) };
}

function among(given: Given, values: api.Values, later: () => void): Body {
  const { column } = given, chosen = new Set(given.kind === "among" ? given.values : []);
  // What the address asks for is offered though it be rare, or not there any more.
  const listed = new Map(values.values.map(({ value, rows }) => [value, rows]));
  const rest = [...chosen].filter((value) => !listed.has(value));
  const choices = [...rest, ...listed.keys()].map((value) => {
    const input = el("input", { type: "checkbox", onchange: () => {
      if (input.checked) chosen.add(value); else chosen.delete(value);
      later();
    } });
    input.checked = chosen.has(value);
    const rows = listed.get(value);
    return el("label", { className: "check" }, input, rows === undefined ? value : `${value} (${count(rows)})`);
  });
  const more = values.others ? [el("p", { className: "hint" }, `and ${count(values.others)} rarer values: seek them with “containing”`)] : [];
  const body = el("div", { className: "choices", role: "group", "aria-label": `Values of ${column}`, tabindex: 0 }, ...choices, ...more);
  return { body, filter: () => (chosen.size ? { column, kind: "among", values: [...chosen] } : null) };
}

function contains(given: Given, later: () => void): Body {
  const { column } = given, id = `filter-${numbered++}`;
  const input = el("input", { id, maxlength: 300, oninput: later, autocomplete: "off" });
  input.value = (given.kind === "contains" && given.text) || "";
  return {
    body: el("span", { className: "end" }, el("label", { htmlFor: id }, "text"), input),
    filter: () => (input.value ? { column, kind: "contains", text: input.value } : null),
  };
}
