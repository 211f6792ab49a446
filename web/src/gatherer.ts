// Gaze samples from live frames: of somebody who looks at a place, without blinks.

import type { Face, Faces, GazeSample } from "./api";

/** What came of a frame. */
export type Seen = "eyes" | "no face" | "no open eyes" | "no gaze" | "the same frame";

export class Gatherer {
  /** Frames that were left out because no open eyes were seen. */
  blinks = 0;
  private taking: { from: number; left: number; found: GazeSample[]; done: (found: GazeSample[]) => void } | null = null;
  private readonly codes = new Set<string>();

  /** Wait, then gather samples; rejects with the signal's reason when that says stop. */
  gather(count: number, afterMs: number, signal: AbortSignal): Promise<GazeSample[]> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) { reject(signal.reason); return; }
      const stop = () => { this.taking = null; reject(signal.reason); };
      signal.addEventListener("abort", stop, { once: true });
      const done = (found: GazeSample[]) => { signal.removeEventListener("abort", stop); resolve(found); };
      this.taking = { from: performance.now() + afterMs, left: count, found: [], done };
    });
  }

  /** Forget all that was gathered: another calibration begins. */
  fresh(): void {
    this.codes.clear();
    this.blinks = 0;
  }

  /** Look again from the beginning: what was gathered for this place may be of somebody who looked away. */
  restart(): void {
    if (this.taking) Object.assign(this.taking, { left: this.taking.left + this.taking.found.length, found: [], from: performance.now() + 500 });
  }

  /** Take what a frame showed. */
  heard({ faces }: Faces): { seen: Seen; sample: GazeSample | null } {
    const area = ({ box }: Face) => (box.x2 - box.x1) * (box.y2 - box.y1);
    const face = faces.length ? faces.reduce((best, one) => (area(one) > area(best) ? one : best)) : null;
    const waits = this.taking && performance.now() >= this.taking.from ? this.taking : null;
    const sample = face ? sampleOf(face) : null;
    if (!sample) {
      if (waits && face) this.blinks++;
      return { seen: !face ? "no face" : face.gaze ? "no open eyes" : "no gaze", sample };
    }
    // A webcam may give a frame twice; no sample may be there twice.
    const code = JSON.stringify(sample);
    if (waits && this.codes.has(code)) return { seen: "the same frame", sample };
    if (waits) {
      this.codes.add(code);
      waits.found.push(sample);
      if (!--waits.left) {
        this.taking = null;
        waits.done(waits.found);
      }
    }
    return { seen: "eyes", sample };
  }
}

function sampleOf({ gaze, pose }: Face): GazeSample | null {
  if (!gaze?.eyes_found || !gaze.code) return null;
  const { yaw_rad, pitch_rad, roll_rad } = pose;
  return { gaze_code: gaze.code, head_pose: { yaw_rad, pitch_rad, roll_rad } };
}
