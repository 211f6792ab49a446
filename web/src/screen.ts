// A screen before which somebody sits, the camera above its middle: from places on it to gaze and back.

import type { Direction } from "./api";
import { degrees } from "./dom";

export class Screen {
  /**
   * @param width of the screen, CSS pixels.
   * @param pixel size of one, mm.
   * @param distance from the eyes, straight before the camera, to the screen's plane, mm.
   * @param camera how far above the uppermost pixels it stands, mm.
   */
  constructor(
    private readonly width: number, private readonly pixel: number, private readonly distance: number,
    private readonly camera: number,
  ) {}

  /** Where eyes look that look at a place. Unit vector, camera frame: x right, y down, z away from the camera. */
  direction(x: number, y: number): Direction {
    // Who looks at the screen sees the camera's right to their left.
    const [right, down] = [(this.width / 2 - x) * this.pixel, this.camera + y * this.pixel];
    const length = Math.hypot(right, down, this.distance);
    return { x: right / length, y: down / length, z: -this.distance / length };
  }

  /** The place that a gaze meets, CSS pixels; null: none. */
  place({ x, y, z }: Direction): [number, number] | null {
    if (z > -1e-3) return null;
    const far = -this.distance / z;
    return [this.width / 2 - (x * far) / this.pixel, (y * far - this.camera) / this.pixel];
  }

  /** Distance of two places. Centimetres. */
  apart([ax, ay]: [number, number], [bx, by]: [number, number]): number {
    return (Math.hypot(ax - bx, ay - by) * this.pixel) / 10;
  }
}

/** Angle between two unit vectors. Degrees. */
export function between(one: Direction, other: Direction): number {
  const [x, y, z] = [one.y * other.z - one.z * other.y, one.z * other.x - one.x * other.z, one.x * other.y - one.y * other.x];
  return degrees(Math.atan2(Math.hypot(x, y, z), one.x * other.x + one.y * other.y + one.z * other.z));
}

/** Yaw, + towards image-left, and pitch, + up. Radians. */
export function angles({ x, y, z }: Direction): [number, number] {
  return [Math.atan2(-x, -z), Math.asin(Math.max(-1, Math.min(1, -y)))];
}

export function fromAngles(yaw: number, pitch: number): Direction {
  return { x: -Math.sin(yaw) * Math.cos(pitch), y: -Math.sin(pitch), z: -Math.cos(yaw) * Math.cos(pitch) };
}
