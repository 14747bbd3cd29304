/** The detector: samples in, beats and the state of the heart out. */

import { Conditioner, Conditioning } from "./conditioning.js";
import { Envelope } from "./envelope.js";
import { FibrillationTest } from "./fibrillation.js";
import { HeartRate } from "./heart-rate.js";
import { LeadChoice } from "./lead-choice.js";
import { LeadQuality } from "./lead-quality.js";
import { remember } from "./numbers.js";
import { FAINTEST, QrsDetector, type Wave } from "./qrs.js";
import { type Beat, type HeartStatus, Rhythm, SignalQuality } from "./status.js";

/** Seconds of signal without a beat that are an asystole: with the time it takes to see a beat, less than 4 s. */
const SILENT = 3.7;
/** Where the last intervals are this long, an asystole takes longer. */
const SLOW = 3.3;
const SILENT_IF_SLOW = 5.2;
/** Seconds of one value after which a lead is off, while another lead moves. */
const FLAT_AMONG_OTHERS = 2;
/** Seconds before an asystole would be told, after which leads that are all flat are off. */
const EARLIER = 0.1;
/** Beats in a row that end an asystole; and intervals that end a fibrillation. */
const RESUMED = 3;
/** One beat of so many mV, and so many times the envelope between the beats, ends an asystole too. */
const STRONG = 0.5;
const STRONG_OUT_OF_NOISE = 8;
/** Seconds within which waves in two leads are one beat. */
const SAME_BEAT = 0.1;
/** Seconds of a gap after which the intervals before it tell nothing any more. */
const FORGOTTEN = 2;
/** Seconds between the beats that end a fibrillation, at the least. */
const SHORTEST_AGAIN = 0.28;
/** Seconds after a fibrillation in which only such beats end an asystole too. */
const WARY = 10;
/** Times the shortest of the intervals that end a fibrillation, that the longest may be. */
const ALIKE = 1.3;
/** Hops from one look for fibrillation to the next. */
const LOOK_EVERY = 4;
/** Looks in a row that make a fibrillation, and that end it. */
const SEEN = 2;
const GONE = 6;
/** Hops with a gap that are remembered, and beats of each lead. */
const GAP_HOPS = 64;
const WAVES = 32;
/** Seconds of a gap after which more of it changes nothing but the clock. */
const ENDLESS = 12;

/** One lead with all that follows it. */
interface Lead {
  readonly conditioner: Conditioner;
  readonly envelope: Envelope;
  readonly qrs: QrsDetector;
  readonly quality: LeadQuality;
  readonly fibrillation: FibrillationTest;
  /** The ends of the hops in which samples were lost, in working samples. */
  readonly gaps: number[];
  /** Working samples lost since the last beat. */
  lostSince: number;
  readonly waves: Wave[];
  /** Raw samples that wait for the rest of their hop. */
  readonly pending: Float64Array;
}

/**
 * Finds heartbeats in one stream of ECG as it comes, counts them, and tells asystole and fibrillation.
 *
 * It gives the same however the samples are cut into calls of `feed`, since it looks every 60 ms of signal; and the same as
 * `ecgframe.features.HeartDetector` in Python. Not a medical device.
 */
export class HeartDetector {
  readonly #conditioning: Conditioning;
  readonly #leads: readonly Lead[];
  readonly #choice: LeadChoice;
  readonly #heartRate = new HeartRate();
  readonly #working: Float64Array;
  #waiting = 0;
  /** Raw samples, counted from the first pending one, that are bridged for a marked pacing spike. */
  #marks: number[] = [];
  #samples = 0;
  /** Working samples so far. */
  #now = 0;
  #last: Wave | null = null;
  #unconfirmed: Wave[] = [];
  #rhythm: Rhythm = Rhythm.UNKNOWN;
  #looks = 0;
  /** Working sample up to which waves were those of a fibrillation. */
  #ignoredUntil = -1;
  #usableSince: number | null = null;
  #rising: number | null = null;

  /**
   * @param samplingRate in Hz, 100 to 10,000.
   * @param leads their names, in the order of the rows of the signal. Lead II (or MLII) is preferred, else the first.
   * @throws RangeError where there is no lead, or the sampling rate is out of range.
   */
  constructor(
    readonly samplingRate: number,
    readonly leads: readonly string[],
  ) {
    if (leads.length === 0) throw new RangeError("at least one lead is needed");
    if (!(samplingRate >= 100 && samplingRate <= 10_000))
      throw new RangeError(`a sampling rate of ${samplingRate} Hz is not from 100 to 10,000 Hz`);
    const conditioning = new Conditioning(samplingRate);
    const { rate, mean, hop } = conditioning;
    this.#conditioning = conditioning;
    this.#working = new Float64Array(hop);
    this.#choice = new LeadChoice(leads, rate);
    this.#leads = leads.map(() => ({
      conditioner: new Conditioner(conditioning),
      envelope: new Envelope(rate, mean),
      qrs: new QrsDetector(rate),
      quality: new LeadQuality(hop / rate),
      fibrillation: new FibrillationTest(rate / mean, mean),
      gaps: [],
      lostSince: 0,
      waves: [],
      pending: new Float64Array(hop * conditioning.factor),
    }));
  }

  /**
   * Take the next samples, and tell the beats that are certain now, in order.
   *
   * @param signal in mV, one row a lead, all of the same length; NaN where a sample is missing.
   * @param pacing indices within a row of pacing spikes that the device has marked. Spikes of up to 3 ms are found without;
   *   the mark helps where a filter of the device has made them wider.
   * @throws RangeError where the signal has another number of leads, or rows of different lengths.
   */
  feed(signal: readonly ArrayLike<number>[], pacing: readonly number[] | null = null): Beat[] {
    const samples = signal[0]?.length ?? 0;
    if (signal.length !== this.leads.length || signal.some((row) => row.length !== samples))
      throw new RangeError(`a signal of ${signal.length} rows does not have ${this.leads.length} leads of one length`);
    for (const mark of pacing ?? [])
      for (let shift = 0; shift < this.#conditioning.blanked; shift += 1)
        this.#marks.push(this.#waiting + mark + shift);
    return this.#feed(samples, (lead, from, count, into, at) => {
      const row = signal[lead];
      for (let index = 0; index < count; index += 1) into[at + index] = row[from + index];
    });
  }

  /**
   * Samples are lost here: the clock goes on, and the interval across the gap is not counted. It is the same as to feed as
   * many NaN.
   *
   * @returns the beats that are certain now, as `feed` does.
   * @throws RangeError where the number is not a whole one, or is negative.
   */
  skip(samples: number): Beat[] {
    if (!Number.isInteger(samples) || samples < 0) throw new RangeError(`${samples} samples cannot be lost`);
    const { factor, hop } = this.#conditioning;
    const rawHop = hop * factor;
    const endless = Math.floor(Math.floor(ENDLESS * this.samplingRate) / rawHop) * rawHop + rawHop;
    const further = Math.floor(Math.max(0, samples - 2 * endless) / rawHop) * rawHop;
    const fill = (_lead: number, _from: number, count: number, into: Float64Array, at: number): void => {
      into.fill(Number.NaN, at, at + count);
    };
    const first = Math.min(samples, endless);
    const beats = this.#feed(first, fill);
    this.#samples += further;
    this.#now += further / factor;
    return [...beats, ...this.#feed(samples - further - first, fill)];
  }

  /** The state after the newest sample; cheap, to be asked as often as one likes. */
  get status(): HeartStatus {
    const last = this.#last;
    return {
      rateBpm: this.#rateBpm(),
      secondsSinceBeat: last === null ? null : (this.#samples - this.#rawSample(last)) / this.samplingRate,
      rhythm: this.#rhythm,
      lead: this.#choice.lead,
      signalQuality: this.#leads.map(({ quality }) => quality.quality),
    };
  }

  get #chosen(): Lead {
    return this.#leads[this.#choice.lead];
  }

  /** Fill hops by `copy`, and follow each as soon as it is full. */
  #feed(
    samples: number,
    copy: (lead: number, from: number, count: number, into: Float64Array, at: number) => void,
  ): Beat[] {
    const beats: Beat[] = [];
    const rawHop = this.#conditioning.hop * this.#conditioning.factor;
    this.#samples += samples;
    for (let from = 0; from < samples; ) {
      const count = Math.min(rawHop - this.#waiting, samples - from);
      for (const [index, { pending }] of this.#leads.entries()) copy(index, from, count, pending, this.#waiting);
      from += count;
      this.#waiting += count;
      if (this.#waiting < rawHop) break;
      this.#waiting = 0;
      const blanked = this.#marks.length > 0 ? new Set(this.#marks.filter((mark) => mark < rawHop)) : null;
      this.#marks = this.#marks.filter((mark) => mark >= rawHop).map((mark) => mark - rawHop);
      this.#follow(blanked, beats);
    }
    return beats;
  }

  // --- one hop ---

  #follow(blanked: ReadonlySet<number> | null, beats: Beat[]): void {
    const { hop } = this.#conditioning;
    this.#now += hop;
    for (const lead of this.#leads) {
      lead.conditioner.work(lead.pending, 0, blanked, this.#working);
      lead.envelope.take(this.#working);
      lead.fibrillation.take(this.#working);
    }
    this.#judgeLeads();
    for (const { qrs, envelope, waves } of this.#leads) {
      for (const place of envelope.peaks(hop)) note(waves, qrs.judge(envelope, place, this.#now));
      note(waves, qrs.lookBack(this.#now - envelope.apart));
    }
    this.#choice.choose(
      this.#now,
      this.#leads.map(({ quality }) => quality.quality),
      this.#leads.map(({ waves }) => waves),
    );
    this.#rising = this.#firstRise();
    this.#lookForFibrillation();
    this.#takeNewBeats(beats);
    this.#judgeRhythm();
  }

  #judgeLeads(): void {
    const { hop, rate, factor } = this.#conditioning;
    for (const { quality, conditioner, envelope } of this.#leads)
      quality.follow(conditioner.lowest, conditioner.highest, changesOfSign(envelope.slope, hop));
    const isMoving = this.#leads.some(({ quality }) => quality.isMoving);
    const flatAfter = isMoving ? FLAT_AMONG_OTHERS : this.#longestSilence() / rate - EARLIER;
    for (const lead of this.#leads) {
      const { qrs, envelope, conditioner } = lead;
      qrs.noteQuiet(lowestOf(envelope.height, hop));
      qrs.isNoisy = lead.quality.judge(qrs.quiet / envelope.heightScale, flatAfter) === SignalQuality.NOISY;
      if (conditioner.lost > 0 || lead.quality.quality === SignalQuality.SATURATED)
        remember(lead.gaps, this.#now, GAP_HOPS);
      lead.lostSince += Math.floor(conditioner.lost / factor);
    }
  }

  // --- beats of the chosen lead ---

  #takeNewBeats(beats: Beat[]): void {
    if (this.#rhythm === Rhythm.FIBRILLATION && this.#looks > 0) {
      this.#unconfirmed = [];
      return;
    }
    const earliest = this.#unconfirmed.at(-1) ?? this.#last;
    const after = earliest === null ? -1 : earliest.decided + Math.floor(SAME_BEAT * this.#conditioning.rate);
    const fresh = this.#chosen.waves.filter((wave) => wave.decided > after && wave.sample > this.#ignoredUntil);
    if (fresh.length === 0) return;
    this.#unconfirmed.push(...fresh.sort((one, other) => one.decided - other.decided));
    if (!this.#isConfirmed()) return;
    for (const wave of this.#unconfirmed) beats.push(this.#count(wave));
    this.#unconfirmed = [];
  }

  /** Whether the beats that came are to be counted: at once, but after a silence or a fibrillation. */
  #isConfirmed(): boolean {
    const waves = this.#unconfirmed;
    const { rate } = this.#conditioning;
    if (this.#rhythm === Rhythm.BEATING || this.#rhythm === Rhythm.UNKNOWN) return true;
    const newest = waves[waves.length - 1];
    while (waves.length > 1 && newest.sample - waves[0].sample > RESUMED * SILENT * rate) waves.shift();
    const isWary = this.#ignoredUntil >= 0 && this.#now - this.#ignoredUntil < WARY * rate;
    if (this.#rhythm === Rhythm.ASYSTOLE && !isWary) {
      const isStrong = newest.amplitude >= STRONG && newest.standsOut >= STRONG_OUT_OF_NOISE;
      return isStrong || waves.length >= RESUMED;
    }
    const intervals = waves
      .slice(1)
      .map((wave, index) => wave.sample - waves[index].sample)
      .slice(-RESUMED);
    const shortest = Math.min(...intervals);
    return (
      intervals.length === RESUMED && shortest >= SHORTEST_AGAIN * rate && Math.max(...intervals) <= ALIKE * shortest
    );
  }

  #count(wave: Wave): Beat {
    const { rate } = this.#conditioning;
    let interval: number | null = null;
    if (this.#last !== null && !this.#wasLostBetween(this.#last, wave)) {
      const working = wave.sample - this.#last.sample;
      interval = working / rate;
      if (interval <= SILENT_IF_SLOW) this.#heartRate.add(working);
    }
    this.#last = wave;
    for (const lead of this.#leads) lead.lostSince = 0;
    this.#rhythm = Rhythm.BEATING;
    return { sample: this.#rawSample(wave), lead: this.#choice.lead, amplitude: wave.amplitude, interval };
  }

  #wasLostBetween(wave: Wave, later: Wave): boolean {
    const { hop } = this.#conditioning;
    return this.#chosen.gaps.some((end) => wave.sample < end && end - hop < later.sample);
  }

  #rawSample(wave: Wave): number {
    const { factor, delay } = this.#conditioning;
    return Math.max(0, wave.sample * factor + Math.floor((factor - 1) / 2) - delay);
  }

  // --- rhythm and rate ---

  #lookForFibrillation(): void {
    if ((this.#now / this.#conditioning.hop) % LOOK_EVERY !== 0) return;
    const { quality, qrs, fibrillation } = this.#chosen;
    const isUsable = quality.quality === SignalQuality.OK || quality.quality === SignalQuality.NOISY;
    this.#looks =
      isUsable && fibrillation.looksSo(qrs.isIrregular) ? Math.max(this.#looks, 0) + 1 : Math.min(this.#looks, 0) - 1;
    if (this.#looks < SEEN) return;
    if (this.#rhythm !== Rhythm.FIBRILLATION) this.#heartRate.clear();
    this.#rhythm = Rhythm.FIBRILLATION;
    this.#ignoredUntil = this.#now;
  }

  #judgeRhythm(): void {
    const { quality } = this.#chosen.quality;
    if (quality === SignalQuality.OFF || quality === SignalQuality.SATURATED) {
      this.#becomeUnknown();
      return;
    }
    this.#usableSince ??= this.#now;
    if (this.#rhythm === Rhythm.FIBRILLATION && this.#looks > -GONE) return;
    const gap = this.#chosen.lostSince;
    if (gap > FORGOTTEN * this.#conditioning.rate) this.#heartRate.clear();
    if (this.#silence() - gap < this.#longestSilence()) return;
    const newest = this.#heartRate.last.at(-1) ?? 0;
    const isSlow = newest >= SLOW * this.#conditioning.rate;
    if (!isSlow || this.#silence() - gap > SILENT_IF_SLOW * this.#conditioning.rate) this.#heartRate.clear();
    if (quality === SignalQuality.NOISY && this.#rhythm !== Rhythm.ASYSTOLE) this.#rhythm = Rhythm.UNKNOWN;
    else if (quality === SignalQuality.OK) this.#rhythm = Rhythm.ASYSTOLE;
  }

  #becomeUnknown(): void {
    this.#usableSince = null;
    this.#rhythm = Rhythm.UNKNOWN;
    this.#unconfirmed = [];
    for (const lead of this.#leads) lead.lostSince = 0;
    const isForgotten = this.#chosen.quality.lost >= FORGOTTEN;
    if (this.#last === null || isForgotten || this.#now - this.#last.sample > SILENT_IF_SLOW * this.#conditioning.rate)
      this.#heartRate.clear();
  }

  /** Working samples of usable signal since the last beat. */
  #silence(): number {
    return this.#now - Math.max(this.#usableSince ?? 0, this.#last?.sample ?? 0);
  }

  #longestSilence(): number {
    const { rate } = this.#conditioning;
    const intervals = this.#heartRate.last.slice(-2);
    const isSlow = intervals.length === 2 && Math.min(...intervals) >= SLOW * rate;
    return (isSlow ? SILENT_IF_SLOW : SILENT) * rate;
  }

  /** The working sample at which a wave began that may yet be a beat. */
  #firstRise(): number | null {
    const { qrs, envelope } = this.#chosen;
    const { height } = envelope;
    const since = qrs.last === null ? null : this.#now - qrs.last.decided;
    const begin = Math.min(2 * envelope.apart, (since ?? Number.POSITIVE_INFINITY) - envelope.apart);
    if (begin <= 0) return null;
    const threshold = Math.max(qrs.threshold(since), FAINTEST * envelope.heightScale);
    for (let index = height.length - begin; index < height.length; index += 1)
      if (height[index] >= threshold) return this.#now - (height.length - index);
    return null;
  }

  #rateBpm(): number | null {
    let { interval } = this.#heartRate;
    const last = this.#last;
    if (interval === null || last === null || this.#rhythm !== Rhythm.BEATING) return null;
    const { rate, factor, delay } = this.#conditioning;
    const gapEnd = this.#chosen.gaps.at(-1) ?? 0;
    const begin = gapEnd < last.sample ? last.decided : Math.max(last.decided, gapEnd);
    const until = this.#rising ?? this.#now;
    if (until - begin > interval) {
      const waiting = this.#rising === null ? this.#samples / factor - this.#now : 0;
      const from = begin > last.decided ? begin : last.sample;
      interval = Math.max(interval, until + waiting + delay / factor - from);
    }
    return (60 * rate) / interval;
  }
}

function note(waves: Wave[], wave: Wave | null): void {
  if (wave !== null) remember(waves, wave, WAVES);
}

/** Of the last `count` samples. */
function changesOfSign(slope: Float64Array, count: number): number {
  let changes = 0;
  for (let index = slope.length - count; index < slope.length; index += 1)
    if (slope[index] > 0 !== slope[index - 1] > 0) changes += 1;
  return changes;
}

function lowestOf(values: Float64Array, count: number): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (let index = values.length - count; index < values.length; index += 1)
    if (values[index] < lowest) lowest = values[index];
  return lowest;
}
