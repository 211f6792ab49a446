// Elements without markup in strings: nothing that a file is called can become code.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

/** Make an element; `on...` are listeners, known properties are set, all else are attributes. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value as EventListener);
    else if (name === "className" || name === "textContent" || name === "htmlFor") {
      (made as unknown as Props)[name] = value;
    } else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) made.append(child);
  return made;
}

let numbered = 0;

export interface Slider {
  row: HTMLElement;
  input: HTMLInputElement;
  set(value: number): void;
}

/** A labelled range with its value beside it. */
export function slider(
  label: string, low: number, high: number, step: number, start: number, unit: string,
  changed: (value: number) => void,
): Slider {
  const id = `slider-${numbered++}`;
  const input = el("input", { type: "range", id, min: low, max: high, step });
  const shown = el("output", { for: id });
  const show = () => {
    shown.textContent = `${Number(input.value).toFixed(step < 1 ? 2 : 0)}${unit}`;
  };
  input.value = String(start);
  input.addEventListener("input", () => { show(); changed(Number(input.value)); });
  show();
  const row = el("div", { className: "slider" }, el("label", { htmlFor: id }, label), input, shown);
  return { row, input, set(value) { input.value = String(value); show(); } };
}

/** A labelled list to choose from. */
export function chooser(
  label: string, changed: (value: string) => void,
): { row: HTMLElement; select: HTMLSelectElement; fill(options: [string, string][], chosen?: string): void } {
  const id = `chooser-${numbered++}`;
  const select = el("select", { id, onchange: () => changed(select.value) });
  const row = el("div", { className: "chooser" }, el("label", { htmlFor: id }, label), select);
  return {
    row, select,
    fill(options, chosen) {
      select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
      if (chosen !== undefined) select.value = chosen;
    },
  };
}

export function checkbox(
  label: string, on: boolean, changed: (on: boolean) => void,
): HTMLElement {
  const input = el("input", { type: "checkbox" });
  input.checked = on;
  input.addEventListener("change", () => changed(input.checked));
  return el("label", { className: "check" }, input, label);
}

/** A group of which one is chosen. */
export function radios(
  legend: string, options: [string, string][], chosen: string, changed: (value: string) => void,
): HTMLElement {
  const name = `radio-${numbered++}`;
  const group = el("fieldset", { className: "radios" }, el("legend", {}, legend));
  for (const [value, text] of options) {
    const input = el("input", { type: "radio", name, value });
    input.checked = value === chosen;
    input.addEventListener("change", () => changed(value));
    group.append(el("label", { className: "check" }, input, text));
  }
  return group;
}

/** Offer a file for saving. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Keep a canvas as sharp as the screen; the callback draws in CSS pixels. */
export function sized(canvas: HTMLCanvasElement, draw: (width: number, height: number) => void): void {
  new ResizeObserver(() => {
    const { width, height } = canvas.getBoundingClientRect();
    if (width && height) draw(width, height);
  }).observe(canvas);
}

export const degrees = (radians: number): number => (radians * 180) / Math.PI;
export const radians = (degrees: number): number => (degrees * Math.PI) / 180;
