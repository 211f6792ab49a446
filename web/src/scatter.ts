// Up to 100,000 points in one draw call; wheel and drag move them, the nearest is found by a grid.

import {
  BufferAttribute, BufferGeometry, GLSL3, LinearSRGBColorSpace, OrthographicCamera, Points, Scene, ShaderMaterial,
  Vector2, Vector4, WebGLRenderer,
} from "three";

import { el } from "./dom";

const VERTEX = /* glsl */ `
  uniform vec2 middle, scale;
  uniform float size, marked;
  in vec3 tint;
  in float chosen;
  out vec3 own;
  out float strong;
  void main() {
    own = tint;
    strong = chosen;
    gl_Position = vec4((position.xy - middle) * scale, 0.0, 1.0);
    gl_PointSize = (float(gl_VertexID) == marked ? 2.6 : 1.0) * size;
  }
`;
const FRAGMENT = /* glsl */ `
  precision highp float;
  uniform vec4 paint;
  uniform float some;
  in vec3 own;
  in float strong;
  out vec4 colour;
  void main() {
    float far = length(gl_PointCoord - 0.5);
    if (far > 0.5) discard;
    colour = vec4(own * (far > 0.36 ? paint.rgb : vec3(1.0)), some > 0.5 && strong < 0.5 ? 0.18 * paint.a : paint.a);
  }
`;
const CELLS = 128;

type Place = [number, number];

/** Return whether a place lies within a closed line: rays from it cross an odd number of sides. */
function within(x: number, y: number, around: Place[]): boolean {
  let odd = false;
  for (let i = 0, j = around.length - 1; i < around.length; j = i++) {
    const [ax, ay] = around[i], [bx, by] = around[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

export class Scatter {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new OrthographicCamera();
  private readonly uniforms = {
    middle: { value: new Vector2() }, scale: { value: new Vector2(1, 1) }, size: { value: 6 }, marked: { value: -1 },
    paint: { value: new Vector4(0.55, 0.55, 0.55, 0.9) }, some: { value: 0 },
  };
  private readonly points: Points;
  private places = new Float32Array(0);
  private cells: Map<number, number[]> = new Map();
  private box = { x: 0, y: 0, width: 1, height: 1 };
  private asked = 0;
  private readonly loop = el("canvas", { className: "loop", "aria-hidden": "true" });
  /** Whether dragging draws around points, in place of moving them. */
  lasso = false;

  constructor(
    readonly canvas: HTMLCanvasElement, private readonly near: (point: number) => void, taken: (point: number) => void,
    private readonly drawnAround: (points: number[], add: boolean) => void,
  ) {
    canvas.after(this.loop);
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.renderer.setClearColor(0, 0);
    const material = new ShaderMaterial({
      glslVersion: GLSL3, uniforms: this.uniforms, vertexShader: VERTEX, fragmentShader: FRAGMENT,
      transparent: true, depthTest: false,
    });
    this.points = new Points(new BufferGeometry(), material);
    this.points.frustumCulled = false;
    this.scene.add(this.points);
    this.listens(taken);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement ?? canvas);
  }

  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement ?? this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.draw();
  }

  /** Place points; those without a place (NaN) are left out. */
  place(x: (number | null)[], y: (number | null)[]): number {
    const count = x.length, places = new Float32Array(3 * count);
    let [left, right, low, high, shown] = [Infinity, -Infinity, Infinity, -Infinity, 0];
    for (let i = 0; i < count; i++) {
      const [u, v] = [x[i], y[i]];
      if (u === null || v === null) { places[3 * i] = places[3 * i + 1] = NaN; continue; }
      places[3 * i] = u;
      places[3 * i + 1] = v;
      [left, right, low, high] = [Math.min(left, u), Math.max(right, u), Math.min(low, v), Math.max(high, v)];
      shown++;
    }
    this.places = places;
    if (!this.points.geometry.getAttribute("chosen")) this.choose([]);
    this.box = { x: left, y: low, width: right - left || 1, height: high - low || 1 };
    this.fillCells();
    // A point that has no place must not be drawn somewhere else.
    const drawn = places.map((value) => (Number.isNaN(value) ? 1e30 : value));
    this.points.geometry.setAttribute("position", new BufferAttribute(drawn, 3));
    this.uniforms.size.value = shown > 20_000 ? 3 : shown > 3000 ? 5 : 8;
    this.home();
    return shown;
  }

  colour(tints: Float32Array): void {
    this.points.geometry.setAttribute("tint", new BufferAttribute(tints, 3));
    this.draw();
  }

  /** Show which points are chosen: all others fade. */
  choose(points: Iterable<number>): void {
    const chosen = new Float32Array(this.places.length / 3);
    let some = 0;
    for (const point of points) chosen[point] = some = 1;
    this.points.geometry.setAttribute("chosen", new BufferAttribute(chosen, 1));
    this.uniforms.some.value = some;
    this.draw();
  }

  mark(point: number): void {
    this.uniforms.marked.value = point;
    this.draw();
  }

  /** Show all points. */
  home(): void {
    const { x, y, width, height } = this.box;
    this.uniforms.middle.value.set(x + width / 2, y + height / 2);
    this.uniforms.scale.value.set(1.9 / width, 1.9 / height);
    this.draw();
  }

  zoom(factor: number, atX = 0, atY = 0): void {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const kept = [middle.x + atX / scale.x, middle.y + atY / scale.y];
    scale.multiplyScalar(factor);
    middle.set(kept[0] - atX / scale.x, kept[1] - atY / scale.y);
    this.draw();
  }

  private draw(): void {
    if (this.asked || !this.points.geometry.getAttribute("tint")) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.renderer.render(this.scene, this.camera);
      this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
    });
  }

  private cellOf(x: number, y: number): [number, number] {
    const { x: left, y: low, width, height } = this.box;
    return [Math.floor(((x - left) / width) * (CELLS - 1)), Math.floor(((y - low) / height) * (CELLS - 1))];
  }

  private fillCells(): void {
    this.cells = new Map();
    for (let i = 0; i < this.places.length / 3; i++) {
      if (Number.isNaN(this.places[3 * i])) continue;
      const [column, row] = this.cellOf(this.places[3 * i], this.places[3 * i + 1]);
      const key = row * CELLS + column, cell = this.cells.get(key);
      if (cell) cell.push(i);
      else this.cells.set(key, [i]);
    }
  }

  /** Return the point nearest to a place on the canvas, within 12 pixels; -1: none. */
  private find(atX: number, atY: number): number {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const perX = (scale.x * width) / 2, perY = (scale.y * height) / 2;  // pixels per unit
    const x = middle.x + (atX - width / 2) / perX, y = middle.y - (atY - height / 2) / perY;
    const [fromC, fromR] = this.cellOf(x - 12 / perX, y - 12 / perY), [toC, toR] = this.cellOf(x + 12 / perX, y + 12 / perY);
    let best = -1, least = 144;
    for (let row = Math.max(0, fromR); row <= Math.min(CELLS - 1, toR); row++) {
      for (let column = Math.max(0, fromC); column <= Math.min(CELLS - 1, toC); column++) {
        for (const i of this.cells.get(row * CELLS + column) ?? []) {
          const far = ((this.places[3 * i] - x) * perX) ** 2 + ((this.places[3 * i + 1] - y) * perY) ** 2;
          if (far < least) [best, least] = [i, far];
        }
      }
    }
    return best;
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

  /** Return the points within a line on the canvas. */
  private inside(around: Place[]): number[] {
    const { middle: { value: middle }, scale: { value: scale } } = this.uniforms;
    const { clientWidth: width, clientHeight: height } = this.canvas, found: number[] = [];
    for (let i = 0; i < this.places.length / 3; i++) {
      const x = ((this.places[3 * i] - middle.x) * scale.x + 1) * (width / 2);
      const y = (1 - (this.places[3 * i + 1] - middle.y) * scale.y) * (height / 2);
      if (!Number.isNaN(x) && within(x, y, around)) found.push(i);
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
      this.draw();
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
