// Up to a million points in one draw call; wheel and drag move them, a line around some selects them.

import {
  BufferAttribute, BufferGeometry, DynamicDrawUsage, GLSL3, LinearSRGBColorSpace, OrthographicCamera, Points, Scene,
  ShaderMaterial, Vector2, Vector3, WebGLRenderer,
} from "three";

import { el } from "./dom";
import { type Box, Grid, shuffled, within } from "./grid";

const VERTEX = /* glsl */ `
  uniform vec2 middle, scale;
  uniform float size;
  in vec2 place;
  in vec4 tint;
  in float chosen;
  out vec3 own;
  out float strong;
  void main() {
    own = tint.rgb;
    strong = chosen;
    gl_Position = vec4((place - middle) * scale, 0.0, 1.0);
    gl_PointSize = size;
  }
`;
const FRAGMENT = /* glsl */ `
  precision highp float;
  uniform float size, some, solid;
  in vec3 own;
  in float strong;
  out vec4 colour;
  void main() {
    float far = length(gl_PointCoord - 0.5);
    // The smallest points are squares: a circle of two pixels is none.
    if (size > 3.0 && far > 0.5) discard;
    vec3 paint = own * (size > 7.0 && far > 0.36 ? 0.55 : 1.0);
    float alpha = some > 0.5 ? (strong > 0.5 ? max(solid, 0.75) : 0.15 * solid) : solid;
    colour = vec4(paint, alpha);
  }
`;
const MARK = /* glsl */ `
  precision highp float;
  uniform vec3 ring;
  in vec3 own;
  in float strong;
  out vec4 colour;
  void main() {
    float far = length(gl_PointCoord - 0.5);
    if (far > 0.5) discard;
    colour = vec4(far > 0.4 ? 1.0 - ring : far > 0.26 ? ring : own, 1.0);
  }
`;
/** So many points are drawn while they move; all of them when they rest. */
const MOVING = 150_000;
const REST_MS = 250;

type Place = [number, number];

export class Scatter {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new OrthographicCamera();
  private readonly uniforms = {
    middle: { value: new Vector2() }, scale: { value: new Vector2(1, 1) }, size: { value: 6 }, some: { value: 0 },
    solid: { value: 0.9 },
  };
  private readonly ring = { ...this.uniforms, size: { value: 14 }, ring: { value: new Vector3() } };
  private readonly points = new BufferGeometry();
  private readonly marked = new BufferGeometry();
  private readonly drawn: Uint32Array;
  private readonly order: Uint32Array;
  private readonly places: Float32Array;
  private readonly tints: Uint8Array;
  private readonly chosen: Uint8Array;
  private placed = false;
  private tinted = false;
  private visible: Uint8Array | null = null;
  private grid: Grid;
  private count = 0;
  private point = -1;
  private asked = 0;
  private resting = 0;
  private readonly loop = el("canvas", { className: "loop", "aria-hidden": "true" });
  /** Whether dragging draws around points, in place of moving them. */
  lasso = false;

  constructor(
    readonly canvas: HTMLCanvasElement, readonly size: number, private readonly near: (point: number) => void,
    taken: (point: number) => void, private readonly drawnAround: (points: Uint8Array, add: boolean) => void,
  ) {
    canvas.after(this.loop);
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.renderer.setClearColor(0, 0);
    this.drawn = new Uint32Array(size);
    this.order = shuffled(size);
    // Filled anew each time: what the graphics card holds of them grows with no change.
    [this.places, this.tints, this.chosen] = [new Float32Array(2 * size), new Uint8Array(4 * size), new Uint8Array(size)];
    this.grid = new Grid(this.places, new Uint32Array(0), { x: 0, y: 0, width: 1, height: 1 });
    this.points.setIndex(new BufferAttribute(this.drawn, 1).setUsage(DynamicDrawUsage));
    for (const [geometry, places, tints, chosen] of [[this.points, this.places, this.tints, this.chosen], [this.marked, new Float32Array(2), new Uint8Array(4), new Uint8Array(1)]] as const) {
      geometry.setAttribute("place", new BufferAttribute(places, 2));
      geometry.setAttribute("tint", new BufferAttribute(tints, 4, true));
      geometry.setAttribute("chosen", new BufferAttribute(chosen, 1));
      geometry.setDrawRange(0, 0);
    }
    for (const [geometry, uniforms, fragmentShader] of [[this.points, this.uniforms, FRAGMENT], [this.marked, this.ring, MARK]] as const) {
      const drawn = new Points(geometry, new ShaderMaterial({
        glslVersion: GLSL3, uniforms, vertexShader: VERTEX, fragmentShader, transparent: true, depthTest: false,
      }));
      drawn.frustumCulled = false;
      drawn.renderOrder = geometry === this.marked ? 1 : 0;
      this.scene.add(drawn);
    }
    this.listens(taken);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement ?? canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement ?? this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.draw();
  }

  /** Place points; those without a place (NaN) are left out. */
  place(x: Float32Array, y: Float32Array): void {
    const { places } = this;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.size; i++) {
      const u = x[i], v = y[i];
      places[2 * i] = u;
      places[2 * i + 1] = v;
      if (u !== u || v !== v) { places[2 * i] = places[2 * i + 1] = NaN; continue; }
      if (u < left) left = u;
      if (u > right) right = u;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    const box = left > right ? { x: 0, y: 0, width: 1, height: 1 } : { x: left, y: low, width: right - left || 1, height: high - low || 1 };
    this.points.getAttribute("place").needsUpdate = this.placed = true;
    this.arrange(box);
    this.home();
    this.mark(this.point);
  }

  /** Show these points only; null: all. */
  show(visible: Uint8Array | null): void {
    this.visible = visible;
    if (this.placed) this.arrange(this.grid.box);
  }

  /** How many points are shown and have a place. */
  get shown(): number { return this.count; }

  /** Colour points: `paint` writes red, green, blue and a fourth number of each, 0 to 255. */
  colour(paint: (tints: Uint8Array) => void): void {
    paint(this.tints);
    this.points.getAttribute("tint").needsUpdate = this.tinted = true;
    this.mark(this.point);
  }

  /** Show which points are chosen: all others fade and lie below. */
  choose(chosen: Uint8Array, some: boolean): void {
    this.chosen.set(chosen);
    this.points.getAttribute("chosen").needsUpdate = true;
    this.uniforms.some.value = Number(some);
    if (this.placed) this.arrange(this.grid.box);
  }

  /** Mark a point; -1: none. */
  mark(point: number): void {
    this.point = point;
    const there = point >= 0 && this.placed && !Number.isNaN(this.places[2 * point]);
    this.marked.setDrawRange(0, Number(there));
    if (there) {
      for (const [name, values, each] of [["place", this.places, 2], ["tint", this.tints, 4]] as const) {
        const attribute = this.marked.getAttribute(name);
        attribute.array.set(values.subarray(each * point, each * (point + 1)));
        attribute.needsUpdate = true;
      }
    }
    this.draw();
  }

  /** Show all points. */
  home(): void {
    const { x, y, width, height } = this.grid.box;
    this.uniforms.middle.value.set(x + width / 2, y + height / 2);
    this.uniforms.scale.value.set(1.9 / width, 1.9 / height);
    this.draw();
  }

  zoom(factor: number, atX = 0, atY = 0): void {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const kept = [middle.x + atX / scale.x, middle.y + atY / scale.y];
    scale.multiplyScalar(factor);
    middle.set(kept[0] - atX / scale.x, kept[1] - atY / scale.y);
    this.moved();
  }

  /** Say which points are drawn, in no order that means anything, the chosen ones last. */
  private arrange(box: Box): void {
    let count = 0;
    for (const chosen of [0, 1]) {
      for (let k = 0; k < this.size; k++) {
        const i = this.order[k];
        if (this.chosen[i] === chosen && !Number.isNaN(this.places[2 * i]) && (!this.visible || this.visible[i])) this.drawn[count++] = i;
      }
    }
    this.count = count;
    this.points.index!.needsUpdate = true;
    this.grid = new Grid(this.places, this.drawn.subarray(0, count), box);
    this.canvas.dataset.shown = String(count);
    this.draw();
  }

  private moved(): void {
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => { this.resting = 0; this.draw(); }, REST_MS);
    this.draw();
  }

  private draw(): void {
    if (this.asked || !this.tinted || !this.placed) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.weigh();
      this.ring.ring.value.setScalar(matchMedia("(prefers-color-scheme: dark)").matches ? 1 : 0);
      this.renderer.render(this.scene, this.camera);
      this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
    });
  }

  /** Choose size and opacity by how many points there are in view: dense clouds keep their structure. */
  private weigh(): void {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const whole = this.resting ? Math.min(this.count, MOVING) : this.count;
    // While points move, those that are first in an order that means nothing are left out.
    this.points.setDrawRange(this.count - whole, whole);
    const inView = (this.grid.count(middle.x - 1 / scale.x, middle.y - 1 / scale.y, middle.x + 1 / scale.x, middle.y + 1 / scale.y) * whole) / (this.count || 1);
    const size = Math.max(1.6, Math.min(8, 8 * (1500 / Math.max(inView, 1)) ** 0.25));
    const layers = (inView * size * size * 0.8) / (0.3 * width * height || 1);
    this.uniforms.size.value = size * this.renderer.getPixelRatio();
    this.ring.size.value = 16 * this.renderer.getPixelRatio();
    this.uniforms.solid.value = Math.max(0.12, Math.min(0.9, 2.5 / (layers || 1)));
  }

  private find(atX: number, atY: number): number {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const perX = (scale.x * width) / 2, perY = (scale.y * height) / 2;  // pixels per unit
    return this.grid.nearest(middle.x + (atX - width / 2) / perX, middle.y - (atY - height / 2) / perY, perX, perY);
  }

  /** Draw the line around points that is being made. */
  private outline(around: Place[]): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    [this.loop.width, this.loop.height] = [width, height];
    this.loop.hidden = !around.length;
    const context = this.loop.getContext("2d")!;
    context.strokeStyle = getComputedStyle(this.canvas).getPropertyValue("--key");
    context.lineWidth = 2;
    context.setLineDash([5, 4]);
    context.beginPath();
    around.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.stroke();
  }

  /** Return which of the points that are shown lie within a line on the canvas. */
  private inside(around: Place[]): Uint8Array {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const { clientWidth: width, clientHeight: height } = this.canvas, found = new Uint8Array(this.size);
    const corners = around.map(([x, y]): Place => [
      middle.x + ((2 * x) / width - 1) / scale.x, middle.y + (1 - (2 * y) / height) / scale.y,
    ]);
    const [left, right] = [0, 1].map((end) => Math[end ? "max" : "min"](...corners.map(([x]) => x)));
    const [low, high] = [0, 1].map((end) => Math[end ? "max" : "min"](...corners.map(([, y]) => y)));
    for (let k = 0; k < this.count; k++) {
      const i = this.drawn[k], x = this.places[2 * i], y = this.places[2 * i + 1];
      if (x >= left && x <= right && y >= low && y <= high && within(x, y, corners)) found[i] = 1;
    }
    return found;
  }

  private listens(taken: (point: number) => void): void {
    let moved = 0, around: Place[] = [];
    this.canvas.addEventListener("pointerdown", (event) => {
      moved = 0;
      around = this.lasso ? [[event.offsetX, event.offsetY]] : [];
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) { this.near(this.find(event.offsetX, event.offsetY)); return; }
      moved += Math.abs(event.movementX) + Math.abs(event.movementY);
      if (around.length) {
        around.push([event.offsetX, event.offsetY]);
        this.outline(around);
        return;
      }
      const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
      middle.x -= (2 * event.movementX) / (scale.x * this.canvas.clientWidth);
      middle.y += (2 * event.movementY) / (scale.y * this.canvas.clientHeight);
      this.moved();
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (moved < 5) taken(this.find(event.offsetX, event.offsetY));
      else if (around.length > 2) this.drawnAround(this.inside(around), event.shiftKey);
      around = [];
      this.outline(around);
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const x = (2 * event.offsetX) / this.canvas.clientWidth - 1, y = 1 - (2 * event.offsetY) / this.canvas.clientHeight;
      this.zoom(Math.exp(-event.deltaY / 500), x, y);
    }, { passive: false });
  }
}
