/** Rates and percentiles of recent values. */

/** The rate of an amount, such as bytes, over a sliding window. */
export class Rate {
  #total = 0;
  /** The total at each call of `perSecond()`, within the window. */
  readonly #marks: { at: number; total: number }[] = [];

  /** @param seconds length of the window */
  constructor(readonly seconds: number) {}

  add(amount: number): void {
    this.#total += amount;
  }

  /** Amount per second. To be called about once per second; NaN the first time. */
  perSecond(now: number): number {
    this.#marks.push({ at: now, total: this.#total });
    while (this.#marks.length > 2 && now - this.#marks[0].at > this.seconds) this.#marks.shift();
    const first = this.#marks[0];
    return now > first.at ? (this.#total - first.total) / (now - first.at) : Number.NaN;
  }
}

/** Percentiles of the last values; older ones are overwritten. */
export class Percentiles {
  readonly #values: Float64Array;
  #count = 0;

  /** @param size number of values that are kept */
  constructor(size: number) {
    this.#values = new Float64Array(size);
  }

  /** Number of values that are kept now. */
  get count(): number {
    return Math.min(this.#count, this.#values.length);
  }

  add(value: number): void {
    this.#values[this.#count % this.#values.length] = value;
    this.#count += 1;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Return the quantiles at these shares, from 0 to 1, of the kept values; NaN without values. */
  at(...shares: number[]): number[] {
    const sorted = this.#values.slice(0, this.count).sort();
    return shares.map((share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
  }
}
