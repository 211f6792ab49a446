// What the server makes at some places of a slider, asked for once each; between two of them the
// page blends by itself, so that a slider goes as fast as the page can draw.

const TOLERANCE = 1e-9;

export class Keyframes<T> {
  private readonly known = new Map<number, T>();
  private readonly stopping = new AbortController();
  private value: number;
  private filling = false;

  /**
   * Knots rise; `made` asks the server for one of them; `came` hears that there is one more, `failed`
   * that there was a fault, after which `at` tries again.
   */
  constructor(
    readonly name: string, private readonly knots: number[], start: number,
    private readonly made: (knot: number, signal: AbortSignal) => Promise<T>,
    private readonly came: () => void, private readonly failed: (error: unknown) => void,
  ) {
    this.value = start;
  }

  /** Give the knots on both sides of a value and how far it is between them; null: not there yet. */
  at(value: number): [T, T, number] | null {
    this.value = value;
    void this.fill();
    const [low, high] = this.around(value);
    const [before, after] = [this.known.get(low), this.known.get(high)];
    if (before === undefined || after === undefined) return null;
    return [before, after, high > low ? (value - low) / (high - low) : 0];
  }

  /** Whether a value is a knot, so that no blending comes in. */
  exact(value: number): boolean {
    const [low, high] = this.around(value);
    return low === high;
  }

  stop(): void { this.stopping.abort(); }

  private around(value: number): [number, number] {
    const low = this.knots.filter((knot) => knot <= value + TOLERANCE).pop() ?? this.knots[0];
    const high = this.knots.find((knot) => knot >= value - TOLERANCE) ?? this.knots[this.knots.length - 1];
    return [low, high];
  }

  /** Ask for the knots that are missing, one at a time, always the nearest next. */
  private async fill(): Promise<void> {
    if (this.filling) return;
    this.filling = true;
    const { signal } = this.stopping;
    try {
      for (;;) {
        const missing = this.knots.filter((knot) => !this.known.has(knot));
        if (!missing.length || signal.aborted) return;
        const away = (knot: number) => Math.abs(knot - this.value);
        const next = missing.reduce((best, knot) => (away(knot) < away(best) ? knot : best));
        const found = await this.made(next, signal);
        if (signal.aborted) return;
        this.known.set(next, found);
        this.came();
      }
    } catch (error) {
      if (!signal.aborted) this.failed(error);
    } finally {
      this.filling = false;
    }
  }
}

/** Numbers from low to high, evenly. */
export function evenly(low: number, high: number, step: number): number[] {
  return Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
}

/** Blend numbers into `out`: 0 is the first, 1 the second. */
export function mixed(first: Float32Array, second: Float32Array, part: number, out: Float32Array): Float32Array {
  for (let i = 0; i < out.length; i++) out[i] = first[i] + part * (second[i] - first[i]);
  return out;
}
