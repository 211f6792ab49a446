// The webcam: frames as JPEG, and what happens when it is refused, taken away or plugged in again.

import { el } from "./dom";
import { Unusable } from "./pictures";

const WIDEST = 640;
const REASONS: Record<string, string> = {
  NotAllowedError: "The browser does not let this page use the webcam: allow it beside the address.",
  NotFoundError: "There is no webcam. Plug one in.",
  NotReadableError: "The webcam is in use by another program or tab. Close that one.",
};

export class Camera {
  readonly video = el("video", { playsinline: true, className: "mirrored", "aria-label": "Your webcam, mirrored" });
  private readonly canvas = el("canvas");
  private stream: MediaStream | null = null;
  private wanted = false;

  /** @param lost is told that the webcam is gone, and again when it is back. */
  constructor(private readonly lost: (gone: boolean) => void) {
    this.video.muted = true;
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.again());
  }

  get on(): boolean { return this.wanted; }
  /** Whether it gives frames: it may be on and lost. */
  get there(): boolean { return this.stream !== null; }

  /** Turn it on; throws Unusable, with the reason for a person. */
  async start(): Promise<void> {
    this.wanted = true;
    try {
      await this.open();
    } catch (error) {
      this.stop();
      const name = error instanceof DOMException ? error.name : "";
      if (name in REASONS) throw new Unusable(REASONS[name]);
      throw new Unusable(window.isSecureContext ? "The webcam cannot be turned on."
        : "Browsers give the webcam only to pages of this machine or over HTTPS.");
    }
  }

  stop(): void {
    this.wanted = false;
    this.close();
  }

  /** What it shows now, not mirrored. JPEG; null while it is not there. */
  async frame(): Promise<Blob | null> {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!this.stream || !width || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    const scale = Math.min(1, WIDEST / width);
    [this.canvas.width, this.canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    this.canvas.getContext("2d")!.drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", 0.92));
  }

  private async open(): Promise<void> {
    if (!navigator.mediaDevices) throw new Unusable("no webcam");
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" }, audio: false });
    if (!this.wanted) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    this.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (this.stream !== stream) return;
      this.close();
      this.lost(true);
      setTimeout(() => void this.again(), 1000);
    });
    this.video.srcObject = stream;
    await this.video.play();
  }

  private async again(): Promise<void> {
    if (!this.wanted || this.stream) return;
    try {
      await this.open();
      this.lost(false);
    } catch {
      setTimeout(() => void this.again(), 2000);
    }
  }

  private close(): void {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }
}
