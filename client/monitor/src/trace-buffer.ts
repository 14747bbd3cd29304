/**
 * The last minutes of all leads, in ring buffers of float32, so that nothing is allocated while a signal runs.
 *
 * Samples are numbered from the first that arrived. Missing samples are NaN and are numbered too, so that numbers are
 * proportional to time.
 */

/** Missing samples `[from, to)`. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** Missing samples of one lead, while others have samples. */
export interface LeadGap extends Gap {
  readonly lead: number;
}

/** A pacing spike: its sample, and whether it was detected in the signal (`seen`) or marked by the device. */
export interface SpikeMark {
  readonly sample: number;
  readonly seen: boolean;
}

/** Number of gaps that are remembered. */
const GAPS_KEPT = 4096;
/** Number of pacing spikes that are remembered: four per second. */
const SPIKES_KEPT = 512;

export class TraceBuffer {
  /** Number of the next sample. */
  end = 0;
  readonly #rows: Float32Array[];
  #gaps: Gap[] = [];
  #leadGaps: LeadGap[] = [];
  #spikes: SpikeMark[] = [];
  /** Number of pacing spikes that were forgotten. */
  spikesForgotten = 0;

  /**
   * @param leads their names, in order.
   * @param samplingRate in Hz.
   * @param capacity number of samples that are kept of each lead.
   */
  constructor(
    readonly leads: readonly string[],
    readonly samplingRate: number,
    readonly capacity: number,
  ) {
    this.#rows = leads.map(() => new Float32Array(capacity).fill(Number.NaN));
  }

  /** Number of the oldest sample that is kept. */
  get start(): number {
    return Math.max(0, this.end - this.capacity);
  }

  /** The gaps among the kept samples, oldest first. */
  get gaps(): readonly Gap[] {
    return this.#gaps;
  }

  /** The gaps of single leads among the kept samples. */
  get leadGaps(): readonly LeadGap[] {
    return this.#leadGaps;
  }

  /** The pacing spikes among the kept samples, in the order in which they were added. */
  get spikes(): readonly SpikeMark[] {
    return this.#spikes;
  }

  /** Add a pacing spike. */
  markSpike(spike: SpikeMark): void {
    this.#spikes.push(spike);
    while (this.#spikes.length > SPIKES_KEPT || (this.#spikes[0]?.sample ?? this.end) < this.start) {
      this.#spikes.shift();
      this.spikesForgotten += 1;
    }
  }

  /** The ring buffer of a lead, for drawing: sample `n` is at `n % capacity`. Not to be changed. */
  ring(lead: number): Float32Array {
    return this.#rows[lead];
  }

  /** The value of a sample in millivolts; NaN if it is missing or not kept. */
  at(lead: number, sample: number): number {
    return sample < this.start || sample >= this.end ? Number.NaN : this.ring(lead)[sample % this.capacity];
  }

  /** A copy of the samples `[from, to)` of a lead; NaN if one is missing or not kept. */
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
   * Append samples; NaN is a missing sample. Returns the number of samples that are missing in all leads.
   *
   * @param signal `[leads, samples]` in C order.
   * @param samples of each lead.
   * @param gain counts per unit, for each lead.
   * @param baseline the count of physical zero, for each lead.
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

  /** Find the gaps from sample `first` on. */
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

  /** Append missing samples. */
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

  /** A copy, for a frozen screen. */
  snapshot(): TraceBuffer {
    const copy = new TraceBuffer(this.leads, this.samplingRate, this.capacity);
    for (const [lead, row] of this.#rows.entries()) copy.ring(lead).set(row);
    copy.end = this.end;
    copy.#gaps = [...this.#gaps];
    copy.#leadGaps = [...this.#leadGaps];
    copy.#spikes = [...this.#spikes];
    copy.spikesForgotten = this.spikesForgotten;
    return copy;
  }

  #forgetGaps(): void {
    for (const gaps of [this.#gaps, this.#leadGaps]) {
      while (gaps.length > GAPS_KEPT || (gaps[0]?.to ?? Number.POSITIVE_INFINITY) <= this.start) gaps.shift();
    }
  }
}

/** Add a gap, or extend the previous one if it ends there. */
function extend<G extends Gap & { readonly lead?: number }>(gaps: G[], gap: G): void {
  const place = gaps.findLastIndex((one) => one.lead === gap.lead);
  const last = gaps[place];
  if (last !== undefined && last.to === gap.from) gaps[place] = { ...last, to: gap.to };
  else gaps.push(gap);
}
