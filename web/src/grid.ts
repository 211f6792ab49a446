// Which points lie where: places in 128 x 128 cells, so that the nearest and those in view are found at once.

const CELLS = 128;

export interface Box { x: number; y: number; width: number; height: number }

export class Grid {
  private readonly starts = new Uint32Array(CELLS * CELLS + 1);
  private readonly order: Uint32Array;

  /** Take places, two numbers each, and the points that count. */
  constructor(private readonly places: Float32Array, points: Uint32Array, readonly box: Box) {
    this.order = new Uint32Array(points.length);
    const cells = new Uint16Array(points.length);
    for (let k = 0; k < points.length; k++) {
      const i = points[k];
      cells[k] = this.row(places[2 * i + 1]) * CELLS + this.column(places[2 * i]);
      this.starts[cells[k] + 1]++;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    for (let k = 0; k < points.length; k++) this.order[next[cells[k]]++] = points[k];
  }

  private column(x: number): number { return clamp(((x - this.box.x) / this.box.width) * CELLS); }
  private row(y: number): number { return clamp(((y - this.box.y) / this.box.height) * CELLS); }

  /** Count the points between two corners, cells that are cut as a whole. */
  count(left: number, low: number, right: number, high: number): number {
    if (right < this.box.x || left > this.box.x + this.box.width) return 0;
    if (high < this.box.y || low > this.box.y + this.box.height) return 0;
    let found = 0;
    const from = this.column(left), to = this.column(right);
    for (let row = this.row(low); row <= this.row(high); row++) {
      found += this.starts[row * CELLS + to + 1] - this.starts[row * CELLS + from];
    }
    return found;
  }

  /** Return the point nearest to a place, within 12 pixels; -1: none. */
  nearest(x: number, y: number, perX: number, perY: number): number {
    let best = -1, least = 144;
    const from = this.column(x - 12 / perX), to = this.column(x + 12 / perX);
    for (let row = this.row(y - 12 / perY); row <= this.row(y + 12 / perY); row++) {
      for (let k = this.starts[row * CELLS + from]; k < this.starts[row * CELLS + to + 1]; k++) {
        const i = this.order[k];
        const far = ((this.places[2 * i] - x) * perX) ** 2 + ((this.places[2 * i + 1] - y) * perY) ** 2;
        if (far < least) [best, least] = [i, far];
      }
    }
    return best;
  }
}

function clamp(cell: number): number { return Math.max(0, Math.min(CELLS - 1, Math.floor(cell))); }

/** Return whether a place lies within a closed line: rays from it cross an odd number of sides. */
export function within(x: number, y: number, around: [number, number][]): boolean {
  let odd = false;
  for (let i = 0, j = around.length - 1; i < around.length; j = i++) {
    const [ax, ay] = around[i], [bx, by] = around[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

/** Return 0 .. count - 1 in an order that is the same every time and follows nothing. */
export function shuffled(count: number): Uint32Array {
  const order = new Uint32Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const at = Math.floor((state / 4294967296) * (i + 1));
    order[i] = order[at];
    order[at] = i;
  }
  return order;
}
