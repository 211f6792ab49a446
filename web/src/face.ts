// One face: the image with what was read off it, and the face rebuilt in 3D.

import * as api from "./api";
import { Ball } from "./ball";
import { Camera } from "./camera";
import { checkbox, chooser, degrees, el, radians, radios, save, slider } from "./dom";
import { Expression } from "./expression";
import { GazeTurner } from "./gaze";
import { Live } from "./live";
import { Head, MODES, type Mode } from "./head";
import { dropPlace, largest, opened, Overlay, Unusable, type Picture } from "./pictures";

const LIVE = "landmarks,pose,light,gaze";
const NAMES: Record<Mode, string> = { shaded: "Shaded", albedo: "Albedo", depth: "Depth", normals: "Normals" };

export class FaceView {
  readonly panel: HTMLElement;
  private readonly message = el("p", { className: "message", role: "status" });
  private readonly numbers = el("table", { className: "numbers" });
  private readonly overlay = new Overlay((number) => void this.choose(number));
  private readonly choice = chooser("Face", (value) => void this.choose(Number(value)));
  private readonly gaze = chooser("Gaze calibration", () => this.again());
  private readonly given = chooser("Opened with mien view", (value) => void this.openInput(Number(value), 0));
  private readonly frame = slider("Seconds into the video", 0, 29.5, 0.5, 0, " s", () => this.frameSoon());
  private readonly head: Head;
  private readonly turn: Record<"yaw" | "pitch" | "roll", ReturnType<typeof slider>>;
  private readonly ambient = slider("Light from everywhere", 0, 1.5, 0.01, 0.6, "", (value) => {
    this.head.light.ambient = value;
    this.head.draw();
  });
  private readonly diffuse = slider("Light of the ball", 0, 1.5, 0.01, 0.5, "", (value) => {
    this.head.light.diffuse = value;
    this.head.draw();
  });
  private readonly expression = new Expression({
    maps: (found, moving) => this.rebuilt(found, moving), problem: (error) => this.say(this.failed(error), true), given: (file) => void this.donate(file),
  });
  private readonly turner = new GazeTurner({
    aimed: (direction) => this.overlay.aim(direction), problem: (error) => this.say(this.failed(error), true),
  });
  private readonly ball = new Ball(([x, y, z]) => {
    Object.assign(this.head.light, { x, y, z });
    this.head.draw();
  });
  private readonly stage = el("div", { className: "stage" });
  private readonly controls: HTMLElement;
  private picture: Picture | null = null;
  private faces: api.Face[] = [];
  private chosen = 0;
  private inputs: { name: string; kind: string }[] = [];
  private timer = 0;
  private readonly camera = new Camera((gone) => this.say(gone
    ? "The webcam is gone. Plug it in again; this goes on when it is back." : "The webcam is back.", gone));
  private readonly live = new Live(this.camera, {
    faces: (found, frame) => void this.seen(found, frame), problem: (text) => this.say(text, true),
  });
  private readonly webcam = el("button", { type: "button", onclick: () => void this.toggle() }, "Use the webcam");
  private readonly shoot = el("button", { type: "button", className: "main", hidden: true, onclick: () => void this.shot() }, "Take a picture");

  constructor(private readonly limits: () => Promise<api.Limits>, private readonly failed: (error: unknown) => string) {
    const canvas = el("canvas", {
      className: "head", tabindex: 0, role: "img",
      "aria-label": "The face in 3D; arrow keys turn it, Q and E roll it",
    });
    this.stage.append(canvas);
    this.head = new Head(canvas);
    new ResizeObserver(() => this.head.resize(this.stage.clientWidth)).observe(this.stage);
    this.turn = {
      yaw: slider("Turn to the right", -75, 75, 1, 0, "°", (v) => this.turned("yaw", -v)),
      pitch: slider("Tilt up", -60, 60, 1, 0, "°", (v) => this.turned("pitch", v)),
      roll: slider("Lean clockwise", -90, 90, 1, 0, "°", (v) => this.turned("roll", v)),
    };
    this.drags(canvas);
    this.controls = this.makeControls();
    const drop = dropPlace("Choose an image", false, (files) => void this.take(files));
    for (const one of [this.choice, this.gaze, this.given, this.frame]) one.row.hidden = true;
    const left = el("section", { "aria-label": "Image" },
      drop.row, el("div", { className: "row" }, this.webcam, this.shoot), this.given.row, this.frame.row, this.message, el("div", { className: "frame" }, this.overlay.canvas),
      this.choice.row, this.gaze.row, this.turner.section, this.numbers);
    const right = el("section", { "aria-label": "Face in 3D", className: "three" }, this.stage, this.controls);
    this.panel = el("div", { className: "two" }, left, right);
    this.controls.hidden = true;
    this.say("Give an image that shows a face.");
  }

  /** Offer what the command was given, and what calibrations the server has. */
  async start(inputs: { name: string; kind: string }[]): Promise<void> {
    this.inputs = inputs;
    await this.calibrations();
    this.given.fill(inputs.map(({ name }, number) => [String(number), name]));
    this.given.row.hidden = inputs.length < 2;
    if (inputs.length) await this.openInput(0, 0);
  }

  async take(files: File[]): Promise<void> {
    if (!files.length) {
      this.say("There is no image in this. Give a JPEG, PNG or WebP file.", true);
      return;
    }
    if (this.camera.on) this.webcamOff("");
    await this.open(files[0], files[0].name || "The image");
  }

  /** Offer the calibrations that the server has now. */
  async calibrations(chosen = ""): Promise<void> {
    const known = await api.calibrations();
    this.gaze.fill([
      ["", "none: no directions"], ...known.map(({ id, samples }): [string, string] => [id, `${samples} samples (${id})`]),
    ], chosen || (known[0]?.id ?? ""));
    this.gaze.row.hidden = !known.length;
  }

  /** The view is no longer to be seen: the webcam is turned off. */
  left(): void {
    if (this.camera.on) this.webcamOff("The webcam is off.");
  }

  private async toggle(): Promise<void> {
    if (this.camera.on) {
      this.webcamOff("The webcam is off.");
      return;
    }
    try {
      this.say("Turning the webcam on …");
      await this.camera.start();
      this.webcam.textContent = "Turn the webcam off";
      this.shoot.hidden = false;
      this.live.start(LIVE, this.gaze.select.value);
    } catch (error) {
      this.say(error instanceof Unusable ? error.message : this.failed(error), true);
    }
  }

  private webcamOff(text: string): void {
    this.live.stop();
    this.camera.stop();
    this.webcam.textContent = "Use the webcam";
    this.shoot.hidden = true;
    this.say(text);
  }

  /** Show a live frame with what was read off it. */
  private async seen(found: api.Faces, frame: Blob): Promise<void> {
    const shown = await createImageBitmap(frame);
    if (!this.camera.on) return;
    this.chosen = largest(found.faces);
    this.faces = found.faces;
    this.turner.close();
    this.picture?.shown?.close();
    this.picture = { name: "Webcam", file: frame, shown };
    this.choice.row.hidden = true;
    this.overlay.show(this.picture, this.faces, this.chosen);
    if (this.faces.length) this.fillNumbers();
    const count = this.faces.length;
    this.say(count ? `Webcam: ${count === 1 ? "one face" : `${count} faces`}. Frames are not stored.` : "Webcam: no face is seen.");
  }

  private async shot(): Promise<void> {
    const frame = await this.camera.frame();
    if (!frame) return;
    this.webcamOff("");
    await this.open(frame, "webcam.jpg");
  }

  private frameSoon(): void {
    clearTimeout(this.timer);
    const at = Math.round(2 * Number(this.frame.input.value));
    this.timer = window.setTimeout(() => void this.openInput(Number(this.given.select.value || 0), at), 250);
  }

  private async openInput(number: number, frame: number): Promise<void> {
    const { name, kind } = this.inputs[number];
    const last = name.replace(/^.*[\\/]/, "");
    this.frame.row.hidden = kind !== "video";
    if (!frame) this.frame.set(0);
    try {
      await this.open(await api.input(number, frame), last);
    } catch (error) {
      this.say(this.failed(error), true);
    }
  }

  private again(): void {
    if (this.camera.on) this.live.start(LIVE, this.gaze.select.value);
    else if (this.picture) void this.open(this.picture.file, this.picture.name);
  }

  private async open(file: Blob, name: string): Promise<void> {
    this.say("Looking for faces …");
    try {
      const picture = await opened(file, name, await this.limits());
      const found = await api.analyze(file, this.gaze.select.value);
      this.picture = picture;
      this.faces = found.faces;
      const first = largest(this.faces);
      this.choice.fill(this.faces.map((_, i) => [String(i), `${i + 1} of ${this.faces.length}, from the left`]), String(first));
      this.choice.row.hidden = this.faces.length < 2;
      if (!this.faces.length) this.none();
      else {
        const many = this.faces.length > 1;
        this.say(many ? `${this.faces.length} faces. Choose one: click it, or take it from the list.` : `${name}: one face.`);
        await this.choose(first);
      }
    } catch (error) {
      this.say(error instanceof Unusable ? error.message : this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.open(file, name));
    }
  }

  private none(): void {
    this.overlay.show(this.picture!, [], 0);
    this.numbers.replaceChildren();
    this.controls.hidden = true;
    this.turner.close();
    this.stage.classList.remove("full");
    this.say(`No face is found in ${this.picture!.name}. Give an image in which one is larger, sharper or from the front.`, true);
  }

  private async choose(number: number): Promise<void> {
    if (this.camera.on) return;
    this.chosen = number;
    this.choice.select.value = String(number);
    this.overlay.show(this.picture!, this.faces, number);
    this.fillNumbers();
    this.asInImage();
    this.turner.open(this.picture!, number, this.faces[number], this.gaze.select.value);
    await this.expression.open(this.picture!, this.faces, number);
  }

  private rebuilt(found: api.Maps, moving: boolean): void {
    this.controls.hidden = false;
    this.stage.classList.add("full");
    this.head.show(found, moving);
  }

  /** Let another image's largest face give its expression. */
  private async donate(file: File): Promise<void> {
    try {
      const picture = await opened(file, file.name || "The image", await this.limits());
      const { faces } = await api.analyze(file, "");
      if (!faces.length) throw new Unusable(`No face is found in ${picture.name}, so it gives no expression. Give another image.`);
      const many = faces.length > 1 ? ` The largest of its ${faces.length} faces is taken; the list has the others.` : "";
      this.say(`${picture.name} gives its expression.${many}`);
      this.expression.add(picture, faces, largest(faces));
    } catch (error) {
      this.say(error instanceof Unusable ? error.message : this.failed(error), true);
      if (error instanceof api.Gone) void api.whenBack().then(() => this.donate(file));
    }
  }

  private asInImage(): void {
    const { pose, light } = this.faces[this.chosen];
    this.pose(pose.yaw_rad, pose.pitch_rad, pose.roll_rad);
    Object.assign(this.head.light, light);
    this.ball.set([light.x, light.y, light.z]);
    this.ambient.set(light.ambient);
    this.diffuse.set(light.diffuse);
    this.head.draw();
  }

  private pose(yaw: number, pitch: number, roll: number): void {
    Object.assign(this.head.angles, { yaw, pitch, roll });
    this.turn.yaw.set(-Math.round(degrees(yaw)));
    this.turn.pitch.set(Math.round(degrees(pitch)));
    this.turn.roll.set(Math.round(degrees(roll)));
    this.head.draw();
  }

  private turned(angle: "yaw" | "pitch" | "roll", value: number): void {
    this.head.angles[angle] = radians(value);
    this.head.draw();
  }

  private drags(canvas: HTMLCanvasElement): void {
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const by = radians(140) / canvas.clientWidth;
      if (event.shiftKey) this.move(0, 0, by * event.movementX);
      else this.move(-by * event.movementX, -by * event.movementY, 0);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = radians(3);
      const keys: Record<string, [number, number, number]> = {
        ArrowLeft: [step, 0, 0], ArrowRight: [-step, 0, 0], ArrowUp: [0, step, 0], ArrowDown: [0, -step, 0],
        q: [0, 0, -step], e: [0, 0, step],
      };
      const by = keys[event.key];
      if (!by || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.move(...by);
    });
  }

  private move(yaw: number, pitch: number, roll: number): void {
    const within = (value: number, limit: number) => Math.min(radians(limit), Math.max(-radians(limit), value));
    const now = this.head.angles;
    this.pose(within(now.yaw + yaw, 75), within(now.pitch + pitch, 60), within(now.roll + roll, 90));
  }

  private makeControls(): HTMLElement {
    const name = () => (this.picture?.name ?? "face").replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
    const button = (text: string, work: () => void) => el("button", { type: "button", onclick: work }, text);
    return el("div", { className: "controls" },
      el("p", { className: "hint" }, "Drag the face to turn it; with Shift to roll it."),
      radios("Show", MODES.map((mode): [string, string] => [mode, NAMES[mode]]), "shaded", (mode) => { this.head.mode = mode as Mode; }),
      el("div", { className: "row" },
        checkbox("Texture", true, (on) => { this.head.textured = on; }),
        checkbox("Mesh", false, (on) => { this.head.mesh = on; })),
      this.turn.yaw.row, this.turn.pitch.row, this.turn.roll.row,
      el("div", { className: "row" }, this.ball.row, el("div", { className: "grow" }, this.ambient.row, this.diffuse.row)),
      this.expression.row,
      el("div", { className: "row" },
        button("Frontal", () => this.pose(0, 0, 0)),
        button("As in the image", () => this.asInImage()),
        button("Save PNG", () => void this.head.png().then((blob) => blob && save(blob, `${name()}.png`))),
        button("Save GLB", () => void this.saveAs(name(), "glb")),
        button("Save MP4", () => void this.saveAs(name(), "mp4"))));
  }

  private async saveAs(name: string, output: "glb" | "mp4"): Promise<void> {
    try {
      save(await api.rendered(this.faces[this.chosen], { expression: this.expression.code() }, output), `${name}.${output}`);
    } catch (error) {
      this.say(this.failed(error), true);
    }
  }

  private fillNumbers(): void {
    const { pose, light, gaze, score } = this.faces[this.chosen];
    const angle = (value: number) => `${degrees(value).toFixed(1)}°`;
    const rows: [string, string][] = [
      ["Yaw, + towards image-left", angle(pose.yaw_rad)], ["Pitch, + up", angle(pose.pitch_rad)],
      ["Roll, + clockwise", angle(pose.roll_rad)],
      ["Light, ambient and diffuse", `${light.ambient.toFixed(2)}, ${light.diffuse.toFixed(2)}`],
      ["Light comes from (right, down, away)", [light.x, light.y, light.z].map((part) => part.toFixed(2)).join(", ")],
      ["Detector's score", score.toFixed(2)],
    ];
    if (gaze) rows.push(["Eyes", gaze.eyes_found ? "open" : "none open found"]);
    if (gaze?.direction) {
      const { yaw_rad, pitch_rad, std_rad } = gaze.direction;
      rows.push(["Gaze yaw, pitch", `${angle(yaw_rad)}, ${angle(pitch_rad)} (± ${angle(std_rad)})`]);
    }
    this.numbers.replaceChildren(
      el("caption", {}, "Read off this face"),
      ...rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value))));
  }

  private say(text: string, wrong = false): void {
    if (this.message.textContent !== text) this.message.textContent = text;
    this.message.classList.toggle("wrong", wrong);
  }
}
