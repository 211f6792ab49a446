// All that leaves this page: requests to the server that it came from, with this run's token.

export interface Pose { yaw_rad: number; pitch_rad: number; roll_rad: number; translation: number[] }
export interface Light { ambient: number; diffuse: number; x: number; y: number; z: number }
export interface Box { x1: number; y1: number; x2: number; y2: number }
export interface Gaze {
  eyes_found: boolean; eye_score: number; code?: number[];
  direction?: { x: number; y: number; z: number; yaw_rad: number; pitch_rad: number; std_rad: number };
}
export interface Face {
  box: Box; score: number; landmarks?: number[][]; pose: Pose; light: Light; gaze?: Gaze;
  identity: number[]; expression: number[]; texture_code: number[]; shape_code: number[];
  face_embedding?: number[];
}
export interface Faces { width: number; height: number; weights_id: string; faces: Face[] }
export interface Maps {
  size: number; fov_deg: number; albedo: Float32Array; depth: Float32Array; pose: Pose; light: Light;
}
interface Threshold { similarity: number; false_match_rate: number; true_match_rate: number }
export interface Pairs { less_alike: number; quantiles: { fraction: number; similarity: number }[] }
export interface CodeSimilarity { code: string; similarity: number; same_person: Pairs; different_people: Pairs }
export interface Comparison {
  similarity: number; threshold: Threshold; reaches_threshold: boolean; measured_on: string; code: string;
  different_people: { at_least: number | null; at_most: number | null };
  same_person: { at_least: number | null; at_most: number | null };
  thresholds: Threshold[]; codes: CodeSimilarity[]; codes_measured_on?: string;
}
export interface Limits { image_bytes: number; image_pixels: number }
export interface Shown { inputs: { name: string; kind: string }[]; table: boolean }

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(readonly code: string, message: string) { super(message); }
}
/** The server does not answer. */
export class Gone extends Error {}

type Watcher = (state: "here" | "gone" | "token") => void;
let watcher: Watcher = () => {};
let waiting: Promise<void> | null = null;

const KEY = "mien-token";

/** Take the token out of the address, where it would be seen and kept in the history. */
export function takeToken(): void {
  const given = held("token");
  if (given === null) return;
  sessionStorage.setItem(KEY, given);
  hold("token", null);
}

/** Read what a reload finds again. */
export const held = (name: string): string | null => new URLSearchParams(location.hash.slice(1)).get(name);

/** Write something behind the # of the address, where a reload finds it; null: take it away. */
export function hold(name: string, value: string | null): void {
  const all = new URLSearchParams(location.hash.slice(1));
  if (value === null) all.delete(name);
  else all.set(name, value);
  history.replaceState(null, "", `${location.pathname}${all.size ? `#${all}` : ""}`);
}

export function setToken(token: string): void { sessionStorage.setItem(KEY, token); }

export function watch(found: Watcher): void { watcher = found; }

/** Wait until the server answers again; asks every two seconds. */
export function whenBack(): Promise<void> {
  waiting ??= new Promise((resolve) => {
    const ask = async () => {
      try {
        if ((await fetch("/v1/health", { cache: "no-store" })).ok) {
          waiting = null;
          watcher("here");
          resolve();
          return;
        }
      } catch { /* not yet */ }
      setTimeout(ask, 2000);
    };
    setTimeout(ask, 500);
  });
  return waiting;
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(KEY);
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    watcher("gone");
    void whenBack();
    throw new Gone("the server does not answer");
  }
  if (answer.ok) return answer;
  let code = "internal", message = `the server answered ${answer.status}`;
  try {
    ({ code, message } = ((await answer.json()) as { error: { code: string; message: string } }).error);
  } catch { /* no JSON: the status must do */ }
  if (code === "unauthorized") watcher("token");
  throw new Refused(code, message);
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await ask(path, { signal })).json()) as T;
}

const JSON_BODY = { "content-type": "application/json" };
const FIELDS = "landmarks,pose,light,gaze,identity,expression,texture_code,shape_code,face_embedding";

/** The server has gone: say so, and wait until it is back. */
export function gone(): Promise<void> {
  watcher("gone");
  return whenBack();
}

/** A connection for live frames; tokens of such go as a subprotocol. */
export function liveSocket(fields: string, calibration: string): WebSocket {
  const token = sessionStorage.getItem(KEY), scheme = location.protocol === "https:" ? "wss" : "ws";
  const extra = calibration ? `&calibration=${calibration}` : "";
  const url = `${scheme}://${location.host}/v1/live?fields=${fields}${extra}`;
  return new WebSocket(url, token === null ? ["mien"] : ["mien", `bearer.${token}`]);
}

export async function limits(): Promise<Limits> {
  return (await get<{ limits: Limits }>("/v1/models")).limits;
}

async function post(path: string, content: object): Promise<Response> {
  return ask(path, { method: "POST", headers: JSON_BODY, body: JSON.stringify(content) });
}

export interface GazeSample { gaze_code: number[]; head_pose: { yaw_rad: number; pitch_rad: number; roll_rad: number } }
export interface Direction { x: number; y: number; z: number }
export interface Calibration {
  id: string; samples: number;
  error: { mean_deg: number; low_deg: number; high_deg: number; baseline_deg: number; held_out_by: string };
}

export async function calibrations(): Promise<Calibration[]> {
  return (await get<{ calibrations: Calibration[] }>("/v1/calibrations")).calibrations;
}

export async function calibrate(samples: (GazeSample & { target: Direction })[]): Promise<Calibration> {
  return (await post("/v1/calibrations", { samples })).json();
}

export async function directions(calibration: string, samples: GazeSample[]): Promise<Direction[]> {
  const answer = await post(`/v1/calibrations/${calibration}/apply`, { samples });
  return ((await answer.json()) as { gazes: Direction[] }).gazes;
}

export async function forget(calibration: string): Promise<void> {
  await ask(`/v1/calibrations/${calibration}`, { method: "DELETE" });
}

/** A calibration or probe as `mien embed` takes it. */
export async function fileOf(kind: "calibrations" | "probes", id: string): Promise<Blob> {
  return (await ask(`/v1/${kind}/${id}/file`)).blob();
}

export async function analyze(image: Blob, calibration: string): Promise<Faces> {
  const extra = calibration ? `&calibration=${calibration}` : "";
  const headers = { "content-type": bodyType(image) };
  const answer = await ask(`/v1/analyze?fields=${FIELDS}${extra}`, { method: "POST", headers, body: image });
  return (await answer.json()) as Faces;
}

function bodyType(image: Blob): string {
  return ["image/jpeg", "image/png", "image/webp"].includes(image.type) ? image.type : "application/octet-stream";
}

/** Compare two faces, each given by its image and its number there. */
export async function compare(first: [Blob, number], second: [Blob, number]): Promise<Comparison> {
  const body = new FormData();
  body.set("first", first[0]);
  body.set("second", second[0]);
  const query = `first_face=${first[1]}&second_face=${second[1]}`;
  return (await (await ask(`/v1/compare?${query}`, { method: "POST", body })).json()) as Comparison;
}

function factorsOf(face: Face): object {
  const { identity, expression, pose, light } = face;
  return { identity, expression, pose, light };
}

/** Give the maps of a face, with another expression where one is given. */
export async function maps(face: Face, expression?: number[], signal?: AbortSignal): Promise<Maps> {
  const body = JSON.stringify({ factors: factorsOf(face), fine: true, encoding: "float32", expression });
  const answer = await ask("/v1/maps", { method: "POST", headers: JSON_BODY, body, signal });
  const found = (await answer.json()) as Omit<Maps, "albedo" | "depth"> & { albedo: string; depth: string };
  return { ...found, albedo: floats(found.albedo), depth: floats(found.depth) };
}

/** What of a face is another's; what is undefined stays its own. */
export interface Change { expression?: number[]; pose?: Omit<Pose, "translation">; light?: Light }

/** Give the face as an image, as a mesh, or as a film of the head turning to both sides. */
export async function rendered(face: Face, change: Change, output: "png" | "glb" | "mp4", signal?: AbortSignal): Promise<Blob> {
  const body = JSON.stringify({ factors: factorsOf(face), output, ...change });
  return (await ask("/v1/render", { method: "POST", headers: JSON_BODY, body, signal })).blob();
}

interface Looking {
  face: number; gaze_code?: number[];
  gaze_direction?: { calibration: string; yaw_rad: number; pitch_rad: number };
}

/** Give a face of an image with its eyes drawn anew. */
export async function withGaze(image: Blob, edit: Looking, signal?: AbortSignal): Promise<Blob> {
  const body = new FormData();
  body.set("image", image);
  body.set("edit", JSON.stringify(edit));
  return (await ask("/v1/render", { method: "POST", body, signal })).blob();
}

function floats(text: string): Float32Array {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

export const shown = (): Promise<Shown> => get<Shown>("/v1/view");

export async function input(number: number, frame: number): Promise<Blob> {
  return (await ask(`/v1/view/inputs/${number}?frame=${frame}`)).blob();
}

export type Kind = "number" | "boolean" | "text";
export interface TableAbout {
  name: string; faces: number; without_face: number; shown: number; limit: number; columns: { name: string; kind: Kind }[];
  factors: string[]; videos: { name: string; faces: number }[]; umap_missing: string;
}
export interface Track { track: number | null; points: number[]; time_s: (number | null)[]; series: Record<string, (number | null)[]> }
export interface Probe {
  id: string; label: string; classes: string[]; samples: number; score: number; low: number; high: number;
  baseline: number; held_out_by: string; column: string;
  suggestions: { point: number; value: string; certainty: number }[];
}
/** NaN: no value; of classes: its number, those without a name of their own one more, 255: no value. */
export type Column =
  | { kind: "numbers"; values: Float32Array; missing: number }
  | { kind: "classes"; values: Uint8Array; classes: string[]; counts: number[]; others: number; other_rows: number; missing: number };
export type Filter = { column: string; missing?: boolean } & (
  | { kind: "range"; low: number | null; high: number | null } | { kind: "among"; values: string[] }
  | { kind: "contains"; text: string } | { kind: "missing" });
/** What a filter of a column may be. */
export interface Values {
  kind: Kind; low: number | null; high: number | null; values: { value: string; rows: number }[]; others: number; missing: number;
}
export interface Umap {
  factor: string; state: "none" | "running" | "done" | "failed" | "cancelled"; stage: string; done: number; total: number;
  fitted: number; placed: number; message: string;
}
export type Cell = string | number | boolean | null;

export const table = (): Promise<TableAbout> => get("/v1/view/table");
export const missingImages = async (): Promise<number> => (await get<{ missing: number }>("/v1/view/table/images")).missing;

/** Read a line of JSON and the numbers behind it. */
async function packed<T>(answer: Response): Promise<{ about: T; buffer: ArrayBuffer; at: number }> {
  const buffer = await answer.arrayBuffer(), at = 4 + new DataView(buffer).getUint32(0, true);
  return { about: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, at - 4))) as T, buffer, at };
}

export async function column(name: string): Promise<Column> {
  const answer = await ask(`/v1/view/table/column?name=${encodeURIComponent(name)}`);
  const { about, buffer, at } = await packed<Omit<Column, "values">>(answer);
  return { ...about, values: about.kind === "numbers" ? new Float32Array(buffer, at) : new Uint8Array(buffer, at) } as Column;
}
export const values = (name: string): Promise<Values> => get(`/v1/view/table/values?name=${encodeURIComponent(name)}`);

/** Ask which rows match: a byte each, and how many. */
export async function matching(filters: Filter[], count: number, signal: AbortSignal): Promise<{ rows: number; visible: Uint8Array }> {
  const body = JSON.stringify({ filters });
  const { about, buffer, at } = await packed<{ rows: number }>(await ask("/v1/view/table/filter", { method: "POST", headers: JSON_BODY, body, signal }));
  const bits = new Uint8Array(buffer, at), visible = new Uint8Array(count);
  for (let i = 0; i < count; i++) visible[i] = (bits[i >> 3] >> (i & 7)) & 1;
  return { rows: about.rows, visible };
}

export const umap = (factor: string): Promise<Umap> => get(`/v1/view/table/umap?factor=${factor}`);
export const startUmap = async (factor: string): Promise<Umap> => (await post("/v1/view/table/umap", { factor })).json();
export const cancelUmap = async (factor: string): Promise<Umap> =>
  (await ask(`/v1/view/table/umap?factor=${factor}`, { method: "DELETE" })).json();
export const row = (number: number, signal?: AbortSignal): Promise<{ row: number; cells: Record<string, Cell> }> =>
  get(`/v1/view/table/rows/${number}`, signal);
export async function neighbours(number: number, by: string, filters: Filter[]): Promise<{ neighbours: { point: number; similarity: number }[] }> {
  return (await post(`/v1/view/table/rows/${number}/neighbours`, { by, filters })).json();
}
/** The face of a row, or its whole image with the face's box; null where that is not there. */
export async function rowImage(number: number, signal?: AbortSignal, whole = false): Promise<Blob | null> {
  const answer = await ask(`/v1/view/table/rows/${number}/image${whole ? "?whole=true" : ""}`, { signal });
  return answer.status === 204 ? null : answer.blob();
}
export const timeline = (video: number): Promise<{ series: string[]; tracks: Track[] }> => get(`/v1/view/table/videos/${video}`);
function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  return btoa(text);
}

/** Give rows as CSV, those whose byte in `chosen` is set; `given` numbers the label of each of them, from 1. */
export async function exported(chosen: Uint8Array, label: string | null, texts: string[], given: Uint16Array): Promise<Blob> {
  const bits = new Uint8Array(Math.ceil(chosen.length / 8));
  for (let i = 0; i < chosen.length; i++) bits[i >> 3] |= chosen[i] << (i & 7);
  const labels = label === null ? {} : { label, texts, given: base64(new Uint8Array(given.buffer)) };
  return (await post("/v1/view/table/export", { bits: base64(bits), ...labels })).blob();
}
export async function probe(label: string, labels: { point: number; value: string }[]): Promise<Probe> {
  return (await post("/v1/view/table/probe", { label, labels })).json();
}
