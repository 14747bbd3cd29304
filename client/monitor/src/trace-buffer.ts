/**
 * The last minutes of all leads, in ring buffers of float32, so that nothing is allocated while a signal runs.
 *
 * Samples are numbered from the first that arrived; earlier ones, which a history brings, are below 0. Missing samples are
 * NaN and are numbered too, so that numbers are proportional to time.
 */

import { type Channel, ECG } from "./channels.js";

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

/** The place of a sample in a ring of that length. */
export const placeOf = (sample: number, length: number): number => ((sample % length) + length) % length;

/** Number of gaps that are remembered. */
const GAPS_KEPT = 4096;
/** Number of pacing spikes that are remembered: four per second. */
const SPIKES_KEPT = 512;

export class TraceBuffer {
  /** Number of the next sample. */
  end = 0;
  /** Number of the first sample that there ever was. */
  #first = 0;
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
   * @param channels what each lead measures; by default, all are an ECG.
   */
  constructor(
    readonly leads: readonly string[],
    readonly samplingRate: number,
    readonly capacity: number,
    readonly channels: readonly Channel[] = leads.map(() => ECG),
  ) {
    this.#rows = leads.map(() => new Float32Array(capacity).fill(Number.NaN));
  }

  /** Number of the oldest sample that is kept. */
  get start(): number {
    return Math.max(this.#first, this.end - this.capacity);
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

  /** The ring buffer of a lead, for drawing: sample `n` is at `placeOf(n, capacity)`. Not to be changed. */
  ring(lead: number): Float32Array {
    return this.#rows[lead];
  }

  /** The value of a sample, in millivolts or the unit of its lead; NaN if it is missing or not kept. */
  at(lead: number, sample: number): number {
    return sample < this.start || sample >= this.end ? Number.NaN : this.ring(lead)[placeOf(sample, this.capacity)];
  }

  /** A copy of the samples `[from, to)` of a lead; NaN if one is missing or not kept. */
  slice(lead: number, from: number, to: number): Float32Array {
    const copy = new Float32Array(Math.max(0, to - from)).fill(Number.NaN);
    const row = this.#rows[lead];
    const first = Math.max(from, this.start);
    const last = Math.min(to, this.end);
    if (row === undefined || last <= first) return copy;
    const place = placeOf(first, this.capacity);
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
      let place = placeOf(this.end + skipped, this.capacity);
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
    const missing = hasMissing ? this.#noteMissing(first, this.end) : 0;
    this.#forgetGaps();
    return missing;
  }

  /**
   * Fill in samples that are missing, as `append` takes them; those that are there stay. Samples before the first kept one are
   * added, as far as there is room. Returns the number of samples that were missing.
   *
   * @param first number of the first sample.
   */
  fill(
    first: number,
    signal: ArrayLike<number | bigint>,
    samples: number,
    gain: ArrayLike<number>,
    baseline: ArrayLike<number>,
  ): number {
    const { start } = this;
    const from = Math.max(first, this.end - this.capacity);
    const to = Math.min(first + samples, this.end);
    if (to <= from) return 0;
    this.#first = Math.min(this.#first, from);
    const before = missingIn(this.#gaps, from, to) + Math.max(0, Math.min(start, to) - from);
    for (const [lead, row] of this.#rows.entries())
      for (let sample = from; sample < to; sample += 1) {
        const place = placeOf(sample, this.capacity);
        if (Number.isNaN(row[place]))
          row[place] = (Number(signal[lead * samples + sample - first]) - baseline[lead]) / gain[lead];
      }
    this.#gaps = outside(this.#gaps, from, to);
    this.#leadGaps = outside(this.#leadGaps, from, to);
    if (to < start) this.#gaps.push({ from: to, to: start });
    const missing = this.#noteMissing(from, to);
    this.#gaps = joined(this.#gaps);
    this.#leadGaps = joined(this.#leadGaps);
    this.#forgetGaps();
    return before - missing;
  }

  /** Find the gaps among the samples `[first, end)`. Returns the number of samples that are missing in all leads. */
  #noteMissing(first: number, end: number): number {
    const leads = this.#rows.length;
    let missing = 0;
    for (let sample = first; sample < end; sample += 1) {
      const place = placeOf(sample, this.capacity);
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
    const from = placeOf(this.end + samples - cleared, this.capacity);
    for (const row of this.#rows) {
      row.fill(Number.NaN, from, Math.min(from + cleared, this.capacity));
      row.fill(Number.NaN, 0, Math.max(0, from + cleared - this.capacity));
    }
    this.#gaps.push({ from: this.end, to: this.end + samples });
    this.end += samples;
    this.#forgetGaps();
  }

  /** A copy, for a frozen screen, which may have room for more. */
  snapshot(capacity = this.capacity): TraceBuffer {
    const copy = new TraceBuffer(this.leads, this.samplingRate, capacity, this.channels);
    const place = placeOf(this.start, capacity);
    for (const lead of this.#rows.keys()) {
      const values = this.slice(lead, this.start, this.end);
      copy.ring(lead).set(values.subarray(0, capacity - place), place);
      copy.ring(lead).set(values.subarray(capacity - place));
    }
    copy.#first = this.start;
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

/** The number of missing samples in `[from, to)`. */
export function missingIn(gaps: readonly Gap[], from: number, to: number): number {
  return gaps.reduce((sum, gap) => sum + Math.max(0, Math.min(to, gap.to) - Math.max(from, gap.from)), 0);
}

/** What remains of gaps outside of `[from, to)`. */
function outside<G extends Gap>(gaps: readonly G[], from: number, to: number): G[] {
  return gaps.flatMap((gap) =>
    [
      { ...gap, to: Math.min(gap.to, from) },
      { ...gap, from: Math.max(gap.from, to) },
    ].filter((part) => part.to > part.from),
  );
}

/** Gaps in order, those joined that touch. */
function joined<G extends Gap & { readonly lead?: number }>(gaps: readonly G[]): G[] {
  const found: G[] = [];
  for (const gap of [...gaps].sort((one, other) => one.from - other.from)) extend(found, gap);
  return found;
}

/** Add a gap, or extend the previous one if it ends there. */
function extend<G extends Gap & { readonly lead?: number }>(gaps: G[], gap: G): void {
  const place = gaps.findLastIndex((one) => one.lead === gap.lead);
  const last = gaps[place];
  if (last !== undefined && last.to === gap.from) gaps[place] = { ...last, to: gap.to };
  else gaps.push(gap);
}
