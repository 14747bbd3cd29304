/** Rates and percentiles of what has happened lately, in rings of a fixed size. */

/** Something that adds up, a second at a time. */
export class Rate {
  #total = 0;
  readonly #marks: { at: number; total: number }[] = [];

  /** @param seconds over which it is taken. */
  constructor(readonly seconds: number) {}

  add(amount: number): void {
    this.#total += amount;
  }

  /** So much a second, to be asked about once a second; NaN the first time. */
  perSecond(now: number): number {
    this.#marks.push({ at: now, total: this.#total });
    while (this.#marks.length > 2 && now - this.#marks[0].at > this.seconds) this.#marks.shift();
    const first = this.#marks[0];
    return now > first.at ? (this.#total - first.total) / (now - first.at) : Number.NaN;
  }
}

/** The last so many values, and their percentiles. */
export class Percentiles {
  readonly #values: Float64Array;
  #count = 0;

  constructor(size: number) {
    this.#values = new Float64Array(size);
  }

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

  /** The values below which these shares of all lie; NaN where there are none. */
  at(...shares: number[]): number[] {
    const sorted = this.#values.slice(0, this.count).sort();
    return shares.map((share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
  }
}
