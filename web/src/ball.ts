// A ball on which the place of the light is dragged; the arrow keys move it too.

import { el } from "./dom";
import type { Vector } from "./geometry";

const SIDE = 120, RADIUS = 52, STEP = 0.08;

export class Ball {
  readonly row: HTMLElement;
  private readonly canvas: HTMLCanvasElement;
  private at: Vector = [0, 0, -1];

  constructor(private readonly moved: (direction: Vector) => void) {
    this.canvas = el("canvas", {
      width: 2 * SIDE, height: 2 * SIDE, tabindex: 0, role: "slider", className: "ball",
      "aria-label": "Light: arrow keys move it left, right, up, down", "aria-valuenow": 0,
      "aria-valuemin": -100, "aria-valuemax": 100,
    });
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.drag(event);
    });
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.drag(event); });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.row = el("div", { className: "light" }, el("span", {}, "Light"), this.canvas);
    this.set(this.at);
  }

  /** Show a light; one from behind is shown at the ball's edge. */
  set([x, y, z]: Vector): void {
    const length = Math.hypot(x, y, z) || 1;
    this.at = [x / length, y / length, z / length];
    this.canvas.setAttribute("aria-valuenow", String(Math.round(100 * this.at[0])));
    this.canvas.setAttribute("aria-valuetext", this.words());
    this.draw();
  }

  private move(x: number, y: number): void {
    const beyond = Math.max(1, Math.hypot(x, y));
    const [u, v] = [x / beyond, y / beyond];
    this.set([u, v, -Math.sqrt(Math.max(0, 1 - u * u - v * v))]);
    this.moved(this.at);
  }

  private drag(event: PointerEvent): void {
    const box = this.canvas.getBoundingClientRect();
    const scale = SIDE / box.width;
    this.move(
      ((event.clientX - box.left) * scale - SIDE / 2) / RADIUS,
      ((event.clientY - box.top) * scale - SIDE / 2) / RADIUS,
    );
    event.preventDefault();
  }

  private key(event: KeyboardEvent): void {
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    this.move(this.at[0] + step[0], this.at[1] + step[1]);
  }

  private words(): string {
    const [x, y] = this.at;
    const across = Math.abs(x) < 0.1 ? "" : x < 0 ? "from the left" : "from the right";
    const down = Math.abs(y) < 0.1 ? "" : y < 0 ? "from above" : "from below";
    return [across, down].filter(Boolean).join(", ") || "from the front";
  }

  private draw(): void {
    const context = this.canvas.getContext("2d")!;
    context.setTransform(2, 0, 0, 2, 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    const middle = SIDE / 2, [x, y] = [middle + RADIUS * this.at[0], middle + RADIUS * this.at[1]];
    const shade = context.createRadialGradient(x, y, 2, x, y, 2 * RADIUS);
    shade.addColorStop(0, "#fff7e0");
    shade.addColorStop(0.4, "#c9a86a");
    shade.addColorStop(1, "#2b2620");
    context.fillStyle = shade;
    context.beginPath();
    context.arc(middle, middle, RADIUS, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = "#fff";
    context.strokeStyle = "#7a4d00";
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 6, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}
