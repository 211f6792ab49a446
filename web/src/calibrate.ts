// Gaze calibration with the webcam: points on the full screen, points held out, accept or redo, a live dot.

import * as api from "./api";
import { Camera } from "./camera";
import { degrees, el, radios, save, slider } from "./dom";
import { Gatherer, type Seen } from "./gatherer";
import { Live } from "./live";
import { Unusable } from "./pictures";
import { angles, between, fromAngles, Screen } from "./screen";

const THIRDS = [0.06, 0.5, 0.94];
const NINE = THIRDS.flatMap((y) => THIRDS.map((x): [number, number] => [x, y]));
const FOUR: [number, number][] = [[0.28, 0.28], [0.72, 0.28], [0.28, 0.72], [0.72, 0.72]];
/** Where nobody looked for the fit. */
const HELD_OUT: [number, number][] = [[0.5, 0.28], [0.28, 0.5], [0.72, 0.5], [0.5, 0.72]];
const SMOOTHING = 0.35;
const WORDS: Record<Seen, string> = {
  eyes: "One face, eyes open.", "the same frame": "One face, eyes open.", "no face": "No face is seen.",
  "no gaze": "The server's weights have no gaze branch: there is nothing to calibrate.",
  "no open eyes": "A face, but no open eyes are seen. More light from the front helps.",
};

class Left extends Error {}

interface Result { made: api.Calibration; degrees: number; cm: number; points: number; blinks: number }

export class CalibrateView {
  readonly panel: HTMLElement;
  private readonly message = el("p", { className: "message", role: "status" });
  private readonly fault = el("p", { className: "message wrong", role: "alert" });
  private readonly camera = new Camera((gone) => this.cameraGone(gone));
  private readonly live = new Live(this.camera, {
    faces: (found) => this.heard(found), problem: (text) => this.say(text, true),
  });
  private readonly gatherer = new Gatherer();
  private readonly diagonal = number("diagonal", "Screen's diagonal, inches", 14, 5, 120);
  private readonly distance = number("distance", "From your eyes to the screen, cm", 60, 20, 300);
  private readonly above = number("above", "Camera above the screen's upper edge, cm", 1, 0, 30);
  private readonly settle = slider("Time to find a point", 0.3, 3, 0.1, 0.8, " s", () => {});
  private readonly frames = slider("Frames at each point", 2, 20, 1, 6, "", () => {});
  private readonly turnOn = el("button", { type: "button", className: "main", onclick: () => void this.toggle() }, "Turn the webcam on");
  private readonly begin = el("button", { type: "button", onclick: () => void this.run(), disabled: true }, "Start on the full screen");
  private readonly dot = el("div", { className: "dot", hidden: true });
  private readonly gazeDot = el("div", { className: "gaze-dot", hidden: true });
  private readonly words = el("div", { className: "words", role: "status" });
  private readonly buttons = el("div", { className: "row" });
  private readonly stage: HTMLElement;
  private points = 9;
  private going: AbortController | null = null;
  private screen = new Screen(1, 1, 1, 0);
  private result: Result | null = null;
  private drift: [number, number] = [0, 0];
  private smooth: [number, number] | null = null;
  private asking = false;

  constructor(private readonly failed: (error: unknown) => string, private readonly accepted: (id: string) => void) {
    this.stage = el("div", { className: "calibration", tabindex: -1, role: "group", "aria-label": "Calibration", hidden: true },
      this.dot, this.gazeDot, el("div", { className: "middle" }, this.words, this.buttons));
    this.panel = el("div", { className: "two" },
      el("section", { "aria-label": "Webcam" }, el("div", { className: "preview" }, this.camera.video),
        el("div", { className: "row" }, this.turnOn, this.begin), this.message),
      el("section", { "aria-label": "Before you begin", className: "setup" }, el("h2", {}, "Where you look, in degrees"),
        el("p", {}, "Look at each point until it has gone. Four more points are held out: they tell the error. "
          + "It takes half a minute to a minute; Escape leaves it, and keeps nothing."),
        this.diagonal.row, this.distance.row, this.above.row, radios("Points", [["9", "9"], ["13", "13"]], "9", (value) => { this.points = Number(value); }),
        this.settle.row, this.frames.row, this.fault,
        el("p", { className: "hint" }, "Sit straight before the camera. Sizes that are wrong make angles wrong by as much. "
          + "Frames go to the server on this machine, one by one, and are not stored; codes of your eyes are, in a calibration that you accept.")),
      this.stage);
    this.stage.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) this.leave(); });
    this.say("Turn the webcam on to begin.");
  }

  /** The view is no longer to be seen: the webcam is turned off. */
  left(): void {
    if (this.camera.on) void this.toggle();
  }

  private async toggle(): Promise<void> {
    if (this.camera.on) {
      this.live.stop();
      this.camera.stop();
      this.say("The webcam is off.");
    } else {
      try {
        this.say("Turning the webcam on …");
        await this.camera.start();
        this.live.start("pose,gaze");
      } catch (error) {
        this.say(error instanceof Unusable ? error.message : this.failed(error), true);
      }
    }
    this.turnOn.textContent = this.camera.on ? "Turn the webcam off" : "Turn the webcam on";
    this.begin.disabled = !this.camera.on;
    this.begin.classList.toggle("main", this.camera.on);
    this.turnOn.classList.toggle("main", !this.camera.on);
  }

  private cameraGone(gone: boolean): void {
    this.gatherer.restart();
    this.say(gone ? "The webcam is gone. Plug it in again; this goes on when it is back." : "The webcam is back.", gone);
  }

  private heard(found: api.Faces): void {
    const { seen, sample } = this.gatherer.heard(found);
    const text = found.faces.length > 1 ? `${found.faces.length} faces: the largest is taken.` : WORDS[seen];
    this.say(text, !sample);
    if (sample && !this.gazeDot.hidden) void this.follow(sample);
  }

  private async run(): Promise<void> {
    const missing = [this.diagonal, this.distance, this.above].find(({ input }) => !input.checkValidity());
    if (missing) {
      this.fault.textContent = `${missing.label}: give a number from ${missing.input.min} to ${missing.input.max}.`;
      missing.input.focus();
      return;
    }
    this.fault.textContent = "";
    try {
      this.stage.hidden = false;
      await this.stage.requestFullscreen();
    } catch {
      this.stage.hidden = true;
      this.fault.textContent = "The browser does not let this page use the full screen: allow it, and start again.";
      return;
    }
    this.stage.focus();
    await this.measure();
  }

  /** Show the points, fit, show the points held out; then ask whether to keep it. */
  private async measure(): Promise<void> {
    this.going?.abort(new Left());
    const going = (this.going = new AbortController());
    this.buttons.replaceChildren();
    this.result = null;
    this.gazeDot.hidden = true;
    this.gatherer.fresh();
    try {
      const pixel = (25.4 * Number(this.diagonal.input.value)) / Math.hypot(window.screen.width, window.screen.height);
      this.screen = new Screen(this.stage.clientWidth, pixel, 10 * Number(this.distance.input.value), 10 * Number(this.above.input.value));
      const shown = this.points === 9 ? NINE : [...NINE, ...FOUR];
      const samples: (api.GazeSample & { target: api.Direction })[] = [];
      for (const [i, point] of shown.entries()) {
        this.tell(`Point ${i + 1} of ${shown.length}`, "", true);
        const { target, found } = await this.lookAt(point, going.signal);
        samples.push(...found.map((sample) => ({ ...sample, target })));
      }
      this.dot.hidden = true;
      this.tell("Fitting …");
      const made = await this.patient(() => api.calibrate(samples), going.signal);
      this.result = await this.check(made, going.signal);
      this.ask();
    } catch (error) {
      if (error instanceof Left) return;
      this.dot.hidden = true;
      this.tell(error instanceof api.Refused ? `${error.message}.` : this.failed(error));
      this.offer(["Redo", "r", () => void this.measure()], ["Leave", "Escape", () => this.close()]);
    }
  }

  /** Do what asks the server; when it is gone, again when it is back. */
  private async patient<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof api.Gone)) throw error;
        await api.whenBack();
      }
    }
  }

  private async lookAt([x, y]: [number, number], signal: AbortSignal): Promise<{ place: [number, number]; target: api.Direction; found: api.GazeSample[] }> {
    const place: [number, number] = [x * this.stage.clientWidth, y * this.stage.clientHeight];
    this.put(this.dot, place);
    const found = await this.gatherer.gather(Number(this.frames.input.value), 1000 * Number(this.settle.input.value), signal);
    return { place, target: this.screen.direction(...place), found };
  }

  /** The mean error at points of which the fit knows nothing. */
  private async check(made: api.Calibration, signal: AbortSignal): Promise<Result> {
    let [angle, cm, count] = [0, 0, 0];
    for (const [i, point] of HELD_OUT.entries()) {
      this.tell(`Held out: point ${i + 1} of ${HELD_OUT.length}`, "", true);
      const { place, target, found } = await this.lookAt(point, signal);
      for (const direction of await this.patient(() => api.directions(made.id, found), signal)) {
        angle += between(direction, target);
        cm += this.screen.apart(this.screen.place(direction) ?? place, place);
        count++;
      }
    }
    this.dot.hidden = true;
    return { made, degrees: angle / count, cm: cm / count, points: HELD_OUT.length, blinks: this.gatherer.blinks };
  }

  private ask(): void {
    const { made: { samples, error }, degrees: angle, cm, points, blinks } = this.result!;
    this.asking = true;
    this.tell(`On ${points} held-out points you are off by ${angle.toFixed(1)}°, ${cm.toFixed(1)} cm on the screen.`,
      `${samples} samples; each point in turn held out of the fit: ${error.mean_deg.toFixed(1)}° (95 % interval ${error.low_deg.toFixed(1)} to ${error.high_deg.toFixed(1)}); `
      + `always the mean point: ${error.baseline_deg.toFixed(1)}°. ${blinks} frames without open eyes were left out.`);
    this.offer(["Accept", "Enter", () => this.accept()], ["Redo", "r", () => void this.redo()], ["Leave", "Escape", () => this.close()]);
  }

  private accept(): void {
    const { made } = this.result!;
    this.asking = false;
    this.accepted(made.id);
    [this.drift, this.smooth] = [[0, 0], null];
    this.gazeDot.hidden = false;
    this.tell("The ring shows where you look.", "If it is off: look at the cross in the middle and press D.");
    this.put(this.dot, [this.stage.clientWidth / 2, this.stage.clientHeight / 2]);
    this.offer(["Save the calibration", "s", () => void this.keep(made.id)], ["Correct the drift", "d", () => void this.correct()],
      ["End", "Escape", () => this.close()]);
  }

  private async keep(id: string): Promise<void> {
    try {
      save(await api.fileOf("calibrations", id), "calibration.json");
    } catch (error) {
      this.tell(this.failed(error));
    }
  }

  private async redo(): Promise<void> {
    await this.drop();
    await this.measure();
  }

  /** A calibration that was not accepted is deleted. */
  private async drop(): Promise<void> {
    if (!this.result || !this.asking) return;
    this.asking = false;
    const { id } = this.result.made;
    this.result = null;
    try {
      await api.forget(id);
    } catch (error) {
      this.say(this.failed(error), true);
    }
  }

  private async follow(sample: api.GazeSample): Promise<void> {
    try {
      const [yaw, pitch] = angles((await api.directions(this.result!.made.id, [sample]))[0]);
      const place = this.screen.place(fromAngles(yaw + this.drift[0], pitch + this.drift[1]));
      if (!place) return;
      const before = this.smooth ?? place;
      this.smooth = [0, 1].map((k) => before[k] + SMOOTHING * (place[k] - before[k])) as [number, number];
      this.put(this.gazeDot, [Math.max(0, Math.min(this.stage.clientWidth, this.smooth[0])), Math.max(0, Math.min(this.stage.clientHeight, this.smooth[1]))]);
    } catch (error) {
      this.tell(error instanceof api.Refused ? `${error.message}. Calibrate again.` : this.failed(error));
    }
  }

  /** One point: the dot is moved by how far it is off in the middle. */
  private async correct(): Promise<void> {
    try {
      this.drift = [0, 0];
      this.tell("Look at the cross.");
      const { target, found } = await this.lookAt([0.5, 0.5], this.going!.signal);
      const looks = (await api.directions(this.result!.made.id, found)).map(angles), aim = angles(target);
      this.drift = [0, 1].map((k) => aim[k] - looks.reduce((sum, one) => sum + one[k], 0) / looks.length) as [number, number];
      this.smooth = null;
      const [yaw, pitch] = this.drift.map((part) => degrees(part).toFixed(1));
      this.tell(`Corrected by ${yaw}° sideways and ${pitch}° upwards, here only; the calibration is as it was measured.`);
    } catch (error) {
      if (!(error instanceof Left)) this.tell(this.failed(error));
    }
  }

  private key(event: KeyboardEvent): void {
    const button = [...this.buttons.children].find((one) => (one as HTMLElement).dataset.key === event.key);
    // Enter on a button is that button's own.
    if (!button || (event.key === "Enter" && event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    (button as HTMLButtonElement).click();
  }

  private offer(...actions: [string, string, () => void][]): void {
    this.buttons.replaceChildren(...actions.map(([text, key, work], i) =>
      el("button", { type: "button", className: i ? "" : "main", "data-key": key, onclick: work }, `${text} (${key === "Escape" ? "Esc" : key.length > 1 ? key : key.toUpperCase()})`)));
    (this.buttons.firstElementChild as HTMLElement).focus();
  }

  private put(dot: HTMLElement, [x, y]: [number, number]): void {
    dot.style.transform = `translate(${x}px, ${y}px)`;
    dot.hidden = false;
  }

  /** Words on the full screen. */
  private tell(text: string, more = "", quiet = false): void {
    // Who reads looks away from the point: then only a screen reader hears it.
    this.words.classList.toggle("hidden", quiet);
    this.words.replaceChildren(el("p", {}, text), more && el("p", { className: "hint" }, more));
  }

  private say(text: string, wrong = false): void {
    if (this.message.textContent !== text) this.message.textContent = text;
    this.message.classList.toggle("wrong", wrong);
    this.stage.dataset.wrong = wrong ? text : "";
  }

  private close(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else this.leave();
  }

  private leave(): void {
    if (this.stage.hidden) return;
    this.going?.abort(new Left());
    this.going = null;
    this.stage.hidden = this.dot.hidden = this.gazeDot.hidden = true;
    void this.drop();
    this.begin.focus();
  }
}

function number(id: string, label: string, start: number, min: number, max: number): { row: HTMLElement; input: HTMLInputElement; label: string } {
  const input = el("input", { type: "number", id: `calibrate-${id}`, min, max, step: "any", required: true });
  input.value = String(start);
  return { row: el("div", { className: "number" }, el("label", { htmlFor: input.id }, label), input), input, label };
}
