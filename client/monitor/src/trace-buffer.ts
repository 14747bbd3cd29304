/**
 * The last minutes of all leads, in rings of Float32Array: nothing is allocated while a signal runs.
 *
 * Samples are numbered from the first that came, on and on; a sample that is missing is NaN and has its number all the
 * same, so that numbers stay proportional to time.
 */

/** A stretch of samples that are missing, `[from, to)`, by their numbers. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** How many gaps are remembered: more than fit on any screen. */
const GAPS_KEPT = 64;

export class TraceBuffer {
  /** Number of the sample that comes next. */
  end = 0;
  readonly #rows: Float32Array[];
  #gaps: Gap[] = [];

  /**
   * @param leads their names, in order.
   * @param samplingRate in Hz.
   * @param capacity samples kept of each lead.
   */
  constructor(
    readonly leads: readonly string[],
    readonly samplingRate: number,
    readonly capacity: number,
  ) {
    this.#rows = leads.map(() => new Float32Array(capacity).fill(Number.NaN));
  }

  /** Number of the oldest sample that is still there. */
  get start(): number {
    return Math.max(0, this.end - this.capacity);
  }

  /** The gaps that are still there, oldest first. */
  get gaps(): readonly Gap[] {
    return this.#gaps;
  }

  /** The ring of one lead: sample `n` stands at `n % capacity`. For drawing; not to be kept or changed. */
  ring(lead: number): Float32Array {
    return this.#rows[lead];
  }

  /** The value of a sample in the signal's units; NaN where it is missing, not here yet or no longer. */
  at(lead: number, sample: number): number {
    return sample < this.start || sample >= this.end ? Number.NaN : this.ring(lead)[sample % this.capacity];
  }

  /** A copy of the samples `[from, to)` of a lead. */
  slice(lead: number, from: number, to: number): Float32Array {
    return Float32Array.from({ length: Math.max(0, to - from) }, (_, index) => this.at(lead, from + index));
  }

  /**
   * Append samples.
   *
   * @param signal one number after the other, `[leads, samples]` in C order.
   * @param samples of each lead.
   * @param gain counts per unit, one a lead.
   * @param baseline the count of physical zero, one a lead.
   */
  append(
    signal: ArrayLike<number | bigint>,
    samples: number,
    gain: ArrayLike<number>,
    baseline: ArrayLike<number>,
  ): void {
    const skipped = Math.max(0, samples - this.capacity);
    for (const [lead, row] of this.#rows.entries()) {
      const scale = gain[lead];
      const zero = baseline[lead];
      let place = (this.end + skipped) % this.capacity;
      const last = (lead + 1) * samples;
      for (let index = lead * samples + skipped; index < last; index += 1) {
        row[place] = (Number(signal[index]) - zero) / scale;
        place = place + 1 === this.capacity ? 0 : place + 1;
      }
    }
    this.end += samples;
    this.#forgetGaps();
  }

  /** Append samples that are missing. */
  skip(samples: number): void {
    if (samples <= 0) return;
    const cleared = Math.min(samples, this.capacity);
    const from = (this.end + samples - cleared) % this.capacity;
    for (const row of this.#rows) {
      row.fill(Number.NaN, from, Math.min(from + cleared, this.capacity));
      row.fill(Number.NaN, 0, Math.max(0, from + cleared - this.capacity));
    }
    this.#gaps.push({ from: this.end, to: this.end + samples });
    this.end += samples;
    this.#forgetGaps();
  }

  /** The same as it is now, unmoved by what comes later: what a frozen screen looks at. */
  snapshot(): TraceBuffer {
    const copy = new TraceBuffer(this.leads, this.samplingRate, this.capacity);
    for (const [lead, row] of this.#rows.entries()) copy.ring(lead).set(row);
    copy.end = this.end;
    copy.#gaps = [...this.#gaps];
    return copy;
  }

  #forgetGaps(): void {
    while (this.#gaps.length > GAPS_KEPT || (this.#gaps[0]?.to ?? Number.POSITIVE_INFINITY) <= this.start) {
      this.#gaps.shift();
    }
  }
}
