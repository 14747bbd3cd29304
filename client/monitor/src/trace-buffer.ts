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

/** A stretch of which one lead is missing, and not all of them. */
export interface LeadGap extends Gap {
  readonly lead: number;
}

/** How many gaps are remembered: more than fit on any screen. */
const GAPS_KEPT = 4096;

export class TraceBuffer {
  /** Number of the sample that comes next. */
  end = 0;
  readonly #rows: Float32Array[];
  #gaps: Gap[] = [];
  #leadGaps: LeadGap[] = [];

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

  /** Likewise, what is missing of single leads. */
  get leadGaps(): readonly LeadGap[] {
    return this.#leadGaps;
  }

  /** The ring of one lead: sample `n` stands at `n % capacity`. For drawing; not to be kept or changed. */
  ring(lead: number): Float32Array {
    return this.#rows[lead];
  }

  /** The value of a sample in the signal's units; NaN where it is missing, not here yet or no longer. */
  at(lead: number, sample: number): number {
    return sample < this.start || sample >= this.end ? Number.NaN : this.ring(lead)[sample % this.capacity];
  }

  /** A copy of the samples `[from, to)` of a lead; NaN where one is not there. */
  slice(lead: number, from: number, to: number): Float32Array {
    const copy = new Float32Array(Math.max(0, to - from)).fill(Number.NaN);
    const row = this.#rows[lead];
    const first = Math.max(from, this.start);
    const last = Math.min(to, this.end);
    if (row === undefined || last <= first) return copy;
    const place = first % this.capacity;
    const head = Math.min(last - first, this.capacity - place);
    copy.set(row.subarray(place, place + head), first - from);
    copy.set(row.subarray(0, last - first - head), first - from + head);
    return copy;
  }

  /**
   * Append samples; those that are NaN are missing. Returns how many are missing of all leads.
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
  ): number {
    const skipped = Math.max(0, samples - this.capacity);
    let hasMissing = false;
    for (const [lead, row] of this.#rows.entries()) {
      const scale = gain[lead];
      const zero = baseline[lead];
      let place = (this.end + skipped) % this.capacity;
      const last = (lead + 1) * samples;
      for (let index = lead * samples + skipped; index < last; index += 1) {
        const value = (Number(signal[index]) - zero) / scale;
        row[place] = value;
        hasMissing ||= Number.isNaN(value);
        place = place + 1 === this.capacity ? 0 : place + 1;
      }
    }
    const first = this.end + skipped;
    this.end += samples;
    const missing = hasMissing ? this.#noteMissing(first) : 0;
    this.#forgetGaps();
    return missing;
  }

  /** Find what is missing of the samples from `first` on. */
  #noteMissing(first: number): number {
    const leads = this.#rows.length;
    let missing = 0;
    for (let sample = first; sample < this.end; sample += 1) {
      const place = sample % this.capacity;
      const without = this.#rows.flatMap((row, lead) => (Number.isNaN(row[place]) ? [lead] : []));
      if (without.length < leads)
        for (const lead of without) extend(this.#leadGaps, { from: sample, to: sample + 1, lead });
      else {
        missing += 1;
        extend(this.#gaps, { from: sample, to: sample + 1 });
      }
    }
    return missing;
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
    copy.#leadGaps = [...this.#leadGaps];
    return copy;
  }

  #forgetGaps(): void {
    for (const gaps of [this.#gaps, this.#leadGaps]) {
      while (gaps.length > GAPS_KEPT || (gaps[0]?.to ?? Number.POSITIVE_INFINITY) <= this.start) gaps.shift();
    }
  }
}

/** Add a gap that begins where another one ends to that, or else at the end of the list. */
function extend<G extends Gap & { readonly lead?: number }>(gaps: G[], gap: G): void {
  const place = gaps.findLastIndex((one) => one.lead === gap.lead);
  const last = gaps[place];
  if (last !== undefined && last.to === gap.from) gaps[place] = { ...last, to: gap.to };
  else gaps.push(gap);
}
