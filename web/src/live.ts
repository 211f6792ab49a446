// Webcam frames to the server, one at a time; goes on by itself when server or webcam are back.

import * as api from "./api";
import type { Camera } from "./camera";

const AGAIN_MS = 2000;
const GONE = "The server does not answer; this goes on when it is back.";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Wait until this tab is to be seen. */
function visible(): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", () => resolve(), { once: true }));
}

export interface Heard {
  faces(found: api.Faces, frame: Blob): void;
  problem(text: string): void;
}

export class Live {
  private turn = 0;
  private socket: WebSocket | null = null;

  constructor(private readonly camera: Camera, private readonly heard: Heard) {}

  /** Send frames until `stop`; fields are those of /v1/analyze. */
  start(fields: string, calibration = ""): void {
    this.stop();
    void this.run(this.turn, fields, calibration);
  }

  stop(): void {
    this.turn++;
    this.socket?.close();
    this.socket = null;
  }

  private async run(turn: number, fields: string, calibration: string): Promise<void> {
    while (this.turn === turn) {
      try {
        await api.limits();  // Where a token is wanting it is asked for.
        if (this.turn !== turn) return;
        const opened = await this.connection(turn, fields, calibration);
        if (opened && this.turn === turn) {
          this.heard.problem(GONE);
          await api.gone();
        } else if (this.turn === turn) {
          if (calibration && !(await api.calibrations()).some(({ id }) => id === calibration)) {
            this.heard.problem("The server no longer has this calibration. Choose another, or calibrate again.");
            this.stop();
            return;
          }
          this.heard.problem("The server has no room for another live view. Close one in another tab; this goes on by itself.");
          await pause(AGAIN_MS);
        }
      } catch (error) {
        if (error instanceof api.Gone) {
          this.heard.problem(GONE);
          await api.whenBack();
        } else await pause(AGAIN_MS);
      }
    }
  }

  /** Send frames over one connection until it ends; false: there was none. */
  private connection(turn: number, fields: string, calibration: string): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = (this.socket = api.liveSocket(fields, calibration));
      let opened = false, frame: Blob | null = null;
      const next = async () => {
        await visible();
        frame = null;
        while (this.turn === turn && socket.readyState === WebSocket.OPEN && !(frame = await this.camera.frame())) await pause(100);
        if (frame && this.turn === turn && socket.readyState === WebSocket.OPEN) socket.send(frame);
      };
      socket.addEventListener("open", () => { opened = true; void next(); });
      socket.addEventListener("message", ({ data }: MessageEvent<string>) => {
        const answer = JSON.parse(data) as api.Faces | { error: { message: string } };
        if (this.turn !== turn) return;
        if ("error" in answer) this.heard.problem(answer.error.message);
        else if (frame && this.camera.there) this.heard.faces(answer, frame);
        void next();
      });
      socket.addEventListener("close", () => resolve(opened));
    });
  }
}
