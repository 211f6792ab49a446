// The face in 3D, shaded as the model's renderer does it.
//
// A canonical point p with outward normal n, seen in the head pose R, t (c = (0, 0, 1)):
//
//     p' = R (p - c) + c + t          n' = R n
//     u  = f x' / z' + (S - 1) / 2    f = (S - 1) / 2 / tan(fov / 2), rows alike
//     colour = albedo (ambient + diffuse max(0, n' . l))
//
// with l the unit vector to the light, camera frame (x right, y down, z away). Colours are the
// numbers of the image file: no tone curve comes between.

import {
  BufferAttribute, BufferGeometry, ClampToEdgeWrapping, DataTexture, DoubleSide, GLSL3,
  LinearFilter, LinearSRGBColorSpace, LineSegments, Matrix3, Mesh, OrthographicCamera, RGBAFormat,
  Scene, ShaderMaterial, UnsignedByteType, Vector3, WebGLRenderer,
} from "three";
import type { Light, Maps } from "./api";
import {
  centring, focalLength, gridLines, gridTriangles, rotation, surfaceNormals, unproject,
} from "./geometry";

const VERTEX = /* glsl */ `
  uniform mat3 turn;
  uniform vec3 shift;
  uniform float focal, side, nearer;
  in vec3 outward;
  in vec2 place;
  out vec3 facing;
  out vec2 at;
  out float away;
  void main() {
    const vec3 centre = vec3(0.0, 0.0, 1.0);
    vec3 p = turn * (position - centre) + centre + shift;
    facing = turn * outward;
    at = place;
    away = p.z;
    // Pixel u covers [u - 1/2, u + 1/2] of the S pixels: [-1, 1] from edge to edge.
    float scale = 2.0 * focal / side;
    float low = 0.7, high = 1.3;
    float z = p.z - nearer;
    gl_Position = vec4(scale * p.x, -scale * p.y, p.z * (2.0 * (z - low) / (high - low) - 1.0), p.z);
  }
`;

const FRAGMENT = /* glsl */ `
  precision highp float;
  uniform sampler2D albedo;
  uniform vec3 light;
  uniform float ambient, diffuse;
  uniform vec2 range;
  uniform int mode;       // 0 shaded, 1 albedo, 2 depth, 3 normals
  uniform bool textured;
  in vec3 facing;
  in vec2 at;
  in float away;
  out vec4 colour;
  void main() {
    vec3 n = normalize(facing);
    vec3 own = textured ? texture(albedo, at).rgb : vec3(0.62);
    vec3 shown = own * (ambient + diffuse * max(0.0, dot(n, light)));
    if (mode == 1) shown = own;
    if (mode == 2) shown = vec3(1.0 - clamp((away - range.x) / (range.y - range.x), 0.0, 1.0));
    if (mode == 3) shown = n * vec3(0.5, -0.5, -0.5) + 0.5;  // right red, up green, to us blue
    colour = vec4(clamp(shown, 0.0, 1.0), 1.0);
  }
`;

const LINES = /* glsl */ `
  precision highp float;
  out vec4 colour;
  void main() { colour = vec4(0.1, 0.75, 0.95, 0.75); }
`;

/** Rows and columns from one vertex to the next while the face changes: those of the model's own maps. */
const MOVING = 4;
export const MODES = ["shaded", "albedo", "depth", "normals"] as const;
export type Mode = (typeof MODES)[number];

/** One face on a canvas; drawn when something of it has changed. */
export class Head {
  readonly canvas: HTMLCanvasElement;
  readonly angles = { yaw: 0, pitch: 0, roll: 0 };
  readonly light: Light = { ambient: 0.6, diffuse: 0.5, x: 0, y: 0, z: -1 };
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  // The shaders project by themselves.
  private readonly camera = new OrthographicCamera();
  private readonly uniforms = {
    turn: { value: new Matrix3() }, shift: { value: new Vector3() }, focal: { value: 1 },
    side: { value: 1 }, nearer: { value: 0 }, albedo: { value: null as DataTexture | null },
    light: { value: new Vector3(0, 0, -1) }, ambient: { value: 0.6 }, diffuse: { value: 0.5 },
    range: { value: [0.9, 1.1] }, mode: { value: 0 }, textured: { value: true },
  };
  private readonly surface: Mesh;
  private readonly wires: LineSegments;
  private points: Float32Array = new Float32Array(0);
  private fine: BufferAttribute | null = null;
  private coarse: BufferAttribute | null = null;
  private size = 0;
  private asked = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.canvas = canvas;
    // What is drawn stays, so that it can be saved as an image.
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.renderer.setClearColor(0, 0);
    const shared = { glslVersion: GLSL3, uniforms: this.uniforms, vertexShader: VERTEX };
    this.surface = new Mesh(new BufferGeometry(), new ShaderMaterial({
      ...shared, fragmentShader: FRAGMENT, side: DoubleSide,
    }));
    const wires = new ShaderMaterial({
      ...shared, fragmentShader: LINES, transparent: true,
      uniforms: { ...this.uniforms, nearer: { value: 0.0006 } },
    });
    this.wires = new LineSegments(new BufferGeometry(), wires);
    for (const one of [this.surface, this.wires]) {
      one.frustumCulled = false;
      this.scene.add(one);
    }
    this.surface.visible = this.wires.visible = false;
  }

  /** Show other maps; pose and light stay. While they move, with a sixteenth of the triangles. */
  show(maps: Maps, moving = false): void {
    const { size, fov_deg: fov, depth } = maps;
    this.points = unproject(depth, size, fov);
    const outward = surfaceNormals(this.points, size);
    if (size === this.size) {
      // The same buffers again: sliders come here many times a second.
      for (const [name, values] of [["position", this.points], ["outward", outward]] as const) {
        const attribute = this.surface.geometry.getAttribute(name) as BufferAttribute;
        attribute.array.set(values);
        attribute.needsUpdate = true;
      }
    } else {
      this.grid(size);
      const [position, facing] = [new BufferAttribute(this.points.slice(), 3), new BufferAttribute(outward, 3)];
      for (const { geometry } of [this.surface, this.wires]) {
        geometry.setAttribute("position", position);
        geometry.setAttribute("outward", facing);
      }
      this.uniforms.albedo.value?.dispose();
      this.uniforms.albedo.value = albedoTexture(size);
    }
    this.surface.geometry.setIndex(moving ? this.coarse : this.fine);
    const texture = this.uniforms.albedo.value!;
    paint(texture.image.data as Uint8Array, maps.albedo);
    texture.needsUpdate = true;
    this.uniforms.focal.value = focalLength(size, fov);
    this.uniforms.side.value = size;
    this.uniforms.range.value = depthRange(depth, size);
    this.surface.visible = true;
    this.draw();
  }

  set mode(mode: Mode) { this.uniforms.mode.value = MODES.indexOf(mode); this.draw(); }
  set textured(on: boolean) { this.uniforms.textured.value = on; this.draw(); }
  set mesh(on: boolean) { this.wires.visible = on; this.draw(); }

  /** Draw within the next frame of the screen, however often it is asked for. */
  draw(): void {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.drawNow(); });
  }

  drawNow(): void {
    if (!this.surface.visible) return;
    const { yaw, pitch, roll } = this.angles;
    const turn = rotation(yaw, pitch, roll);
    this.uniforms.turn.value.set(...turn[0], ...turn[1], ...turn[2]);
    this.uniforms.shift.value.set(...centring(this.points, this.size, turn));
    const { ambient, diffuse, x, y, z } = this.light;
    this.uniforms.light.value.set(x, y, z).normalize();
    this.uniforms.ambient.value = ambient;
    this.uniforms.diffuse.value = diffuse;
    this.renderer.render(this.scene, this.camera);
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  resize(side: number): void {
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(side, side, false);
    this.draw();
  }

  png(): Promise<Blob | null> {
    this.drawNow();
    return new Promise((done) => this.canvas.toBlob(done, "image/png"));
  }

  private grid(size: number): void {
    this.size = size;
    const place = new Float32Array(2 * size * size);
    for (let i = 0; i < size * size; i++) {
      place.set([((i % size) + 0.5) / size, (Math.floor(i / size) + 0.5) / size], 2 * i);
    }
    [this.fine, this.coarse] = [1, MOVING].map((step) => new BufferAttribute(gridTriangles(size, step), 1));
    this.wires.geometry.setIndex(new BufferAttribute(gridLines(size, Math.max(1, size >> 6)), 1));
    for (const { geometry } of [this.surface, this.wires]) {
      geometry.setAttribute("place", new BufferAttribute(place, 2));
    }
  }
}

function paint(bytes: Uint8Array, albedo: Float32Array): void {
  for (let from = 0, to = 0; from < albedo.length; from += 3, to += 4) {
    bytes[to] = Math.round(255 * albedo[from]);
    bytes[to + 1] = Math.round(255 * albedo[from + 1]);
    bytes[to + 2] = Math.round(255 * albedo[from + 2]);
    bytes[to + 3] = 255;
  }
}

function albedoTexture(size: number): DataTexture {
  const texture = new DataTexture(new Uint8Array(4 * size * size), size, size, RGBAFormat, UnsignedByteType);
  texture.minFilter = texture.magFilter = LinearFilter;
  texture.wrapS = texture.wrapT = ClampToEdgeWrapping;
  return texture;
}

/** Nearest and farthest depth within the head, for shades of grey. */
function depthRange(depth: Float32Array, size: number): [number, number] {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < depth.length; i++) {
    const x = (2 * (i % size)) / (size - 1) - 1, y = (2 * Math.floor(i / size)) / (size - 1) - 1;
    if (x * x + y * y > 0.7) continue;
    low = Math.min(low, depth[i]);
    high = Math.max(high, depth[i]);
  }
  return [low - 0.15 * (high - low), high];
}
