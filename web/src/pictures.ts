// Images before they are sent: taken from drop, file or clipboard, checked, shown.

import type { Face, Limits } from "./api";
import { el, sized } from "./dom";
import { rotation, times, type Vector } from "./geometry";

/** Something is wrong with what was given; the message is for a person. */
export class Unusable extends Error {}

export interface Picture { name: string; file: Blob; shown: ImageBitmap | null }

/** Check size and form before anything is sent. */
export async function opened(file: Blob, name: string, limits: Limits): Promise<Picture> {
  if (!file.size) throw new Unusable(`${name} is empty.`);
  if (file.type && !file.type.startsWith("image/")) {
    throw new Unusable(`${name} is no image. Give a JPEG, PNG or WebP.`);
  }
  if (file.size > limits.image_bytes) {
    const [has, may] = [file.size, limits.image_bytes].map((bytes) => (bytes / 2 ** 20).toFixed(1));
    throw new Unusable(`${name} is too large: ${has} MiB; up to ${may} are taken. Give a smaller one.`);
  }
  let shown: ImageBitmap | null = null;
  try {
    shown = await createImageBitmap(file);
  } catch { /* the server may know the form; it says so if not */ }
  if (shown && shown.width * shown.height > limits.image_pixels) {
    const size = `${shown.width} x ${shown.height} pixels`;
    shown.close();
    const may = Math.round(limits.image_pixels / 1e6);
    throw new Unusable(`${name} is too large: ${size}; up to ${may} million are taken. Give a smaller one.`);
  }
  return { name, file, shown };
}

/** A place where images are dropped, chosen or pasted. */
export function dropPlace(
  label: string, several: boolean, taken: (files: File[]) => void,
): { row: HTMLElement; button: HTMLElement } {
  const input = el("input", {
    type: "file", accept: "image/*", multiple: several, className: "hidden", tabindex: -1, "aria-hidden": "true",
  });
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length) taken(files);
  });
  const button = el("button", { type: "button", className: "main", onclick: () => input.click() }, label);
  const row = el("div", { className: "drop" }, button, el("span", {}, " or drop it here, or paste one."), input);
  row.addEventListener("dragover", (event) => { event.preventDefault(); row.classList.add("over"); });
  row.addEventListener("dragleave", () => row.classList.remove("over"));
  row.addEventListener("drop", (event) => {
    event.preventDefault();
    row.classList.remove("over");
    taken([...(event.dataTransfer?.files ?? [])]);
  });
  return { row, button };
}

/** Files in what is pasted or dropped. */
export function filesOf(transfer: DataTransfer | null): File[] {
  return [...(transfer?.files ?? [])];
}

/** The number of the largest face; 0 where there is none. */
export function largest(faces: Face[]): number {
  const areas = faces.map(({ box }) => (box.x2 - box.x1) * (box.y2 - box.y1));
  return Math.max(0, areas.indexOf(Math.max(...areas)));
}

/** Draw the square around one face of an image. */
export function portrait(canvas: HTMLCanvasElement, { shown }: Picture, { box }: Face, label: string): void {
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d")!, side = Math.max(box.x2 - box.x1, box.y2 - box.y1);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!shown?.width) return;  // it was closed: a webcam's frame came in its place
  const [x, y] = [(box.x1 + box.x2 - side) / 2, (box.y1 + box.y2 - side) / 2];
  context.drawImage(shown, x, y, side, side, 0, 0, canvas.width, canvas.height);
}

const AXES: [Vector, string][] = [[[1, 0, 0], "#ff5a4f"], [[0, 1, 0], "#43d17c"], [[0, 0, -1], "#5aa2ff"]];

/** An image with the boxes of its faces, and of the one chosen pose axes and gaze. */
export class Overlay {
  readonly canvas = el("canvas", { className: "photo", role: "img", "aria-label": "No image yet" });
  private picture: Picture | null = null;
  private faces: Face[] = [];
  private chosen = 0;
  private scale = 1;
  private target: { x: number; y: number } | null = null;

  constructor(choose: (number: number) => void) {
    sized(this.canvas, () => this.draw());
    this.canvas.addEventListener("click", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top].map((v) => v / this.scale);
      const hit = this.faces.findIndex(({ box: b }) => x >= b.x1 && x <= b.x2 && y >= b.y1 && y <= b.y2);
      if (hit >= 0) choose(hit);
    });
  }

  /** Show where the chosen face is asked to look: x and y of the direction; null: nowhere. */
  aim(target: { x: number; y: number } | null): void {
    if (target === this.target) return;
    this.target = target;
    this.draw();
  }

  show(picture: Picture, faces: Face[], chosen: number): void {
    [this.picture, this.faces, this.chosen, this.target] = [picture, faces, chosen, null];
    this.canvas.setAttribute("aria-label", `${picture.name}: ${faces.length} ${faces.length === 1 ? "face" : "faces"}`);
    this.draw();
  }

  private draw(): void {
    const image = this.picture?.shown;
    if (!image) return;
    const width = this.canvas.parentElement!.clientWidth || 400;
    const scale = Math.min(width / image.width, 460 / image.height);
    const ratio = Math.min(window.devicePixelRatio, 2);
    const [w, h] = [Math.round(image.width * scale), Math.round(image.height * scale)];
    if (this.canvas.width !== w * ratio || this.canvas.height !== h * ratio) {
      [this.canvas.width, this.canvas.height] = [w * ratio, h * ratio];
      this.canvas.style.width = `${w}px`;
    }
    this.scale = scale;
    const context = this.canvas.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.drawImage(image, 0, 0, w, h);
    this.faces.forEach((face, number) => this.box(context, face, number === this.chosen));
    const face = this.faces[this.chosen];
    if (face) {
      this.axes(context, face);
      this.gaze(context, face);
    }
  }

  private box(context: CanvasRenderingContext2D, { box }: Face, chosen: boolean): void {
    const s = this.scale;
    for (const [colour, width] of [["#000a", chosen ? 5 : 3], [chosen ? "#ffd23f" : "#fff", chosen ? 2.5 : 1.2]] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(box.x1 * s, box.y1 * s, (box.x2 - box.x1) * s, (box.y2 - box.y1) * s);
    }
  }

  private axes(context: CanvasRenderingContext2D, { box, pose }: Face): void {
    const s = this.scale, turn = rotation(pose.yaw_rad, pose.pitch_rad, pose.roll_rad);
    const [x, y] = [((box.x1 + box.x2) / 2) * s, ((box.y1 + box.y2) / 2) * s];
    const length = 0.45 * (box.x2 - box.x1) * s;
    for (const [axis, colour] of AXES) {
      const [dx, dy] = times(turn, axis);
      arrow(context, x, y, x + length * dx, y + length * dy, colour);
    }
  }

  private gaze(context: CanvasRenderingContext2D, { box, gaze, landmarks }: Face): void {
    const s = this.scale, length = 0.6 * (box.x2 - box.x1) * s;
    const middle = [(box.x1 + box.x2) / 2, box.y1 + 0.4 * (box.y2 - box.y1)];
    for (const [direction, colour] of [[gaze?.direction, "#3cff96"], [this.target, "#ff9d2e"]] as const) {
      if (!direction) continue;
      for (const eye of landmarks ? landmarks.slice(0, 2) : [middle]) {
        const [x, y] = [eye[0] * s, eye[1] * s];
        arrow(context, x, y, x + length * direction.x, y + length * direction.y, colour);
      }
    }
  }
}

function arrow(
  context: CanvasRenderingContext2D, x: number, y: number, toX: number, toY: number, colour: string,
): void {
  const angle = Math.atan2(toY - y, toX - x), head = Math.min(9, 0.5 * Math.hypot(toX - x, toY - y));
  for (const [stroke, width] of [["#0009", 5], [colour, 2.5]] as const) {
    context.strokeStyle = context.fillStyle = stroke;
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(toX, toY);
    for (const side of [-0.5, 0.5]) {
      context.moveTo(toX, toY);
      context.lineTo(toX - head * Math.cos(angle + side), toY - head * Math.sin(angle + side));
    }
    context.stroke();
    context.beginPath();
    context.arc(x, y, width / 1.6, 0, 2 * Math.PI);
    context.fill();
  }
}
