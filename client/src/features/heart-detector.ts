/** The detector of heartbeats. */

import { Conditioner, Conditioning, MEANS_IN_A_HOP } from "./conditioning.js";
import { firstSteep } from "./early-rise.js";
import { Envelope } from "./envelope.js";
import { FibrillationTest } from "./fibrillation.js";
import { HeartRate } from "./heart-rate.js";
import { LeadChoice } from "./lead-choice.js";
import { LeadQuality } from "./lead-quality.js";
import { remember } from "./numbers.js";
import { type Found, KEPT, type PacingSpike, PacingSpikes } from "./pacing-spikes.js";
import { FAINTEST, QrsDetector, type Wave } from "./qrs.js";
import { type Beat, type HeartStatus, Rhythm, SignalQuality } from "./status.js";

/** Seconds without a beat until asystole: less than 4 s, since the detection of a beat takes some time. */
const SILENT = 3.7;
/** Intervals in seconds from which asystole is reported later, after `SILENT_IF_SLOW` seconds. */
const SLOW = 3.3;
const SILENT_IF_SLOW = 5.2;
/** Seconds of a constant value after which a lead is off, if another lead changes or there is no beat for `SILENT`. */
const FLAT = 2;
/** If all leads are constant for this long, in seconds, it is not asystole: no signal from skin is exactly constant. */
const STANDING = 0.3;
/** If all leads are flat, they count as off this many seconds before asystole would be reported. */
const EARLIER = 0.1;
/** A slope of one fourth of that of the last beat may be the beginning of the next beat. */
const STEEP = 4;
/** Consecutive beats that end an asystole, and consecutive intervals that end a fibrillation. */
const RESUMED = 3;
/**
 * A single beat ends an asystole if it has this amplitude in mV, and this envelope relative to that between the beats.
 */
const STRONG = 0.5;
const STRONG_OUT_OF_NOISE = 8;
/** Seconds within which waves in two leads are the same beat. */
const SAME_BEAT = 0.1;
/** Seconds of a gap after which earlier intervals are forgotten. */
const FORGOTTEN = 2;
/** Shortest interval in seconds of beats that end a fibrillation. */
const SHORTEST_AGAIN = 0.28;
/** Seconds after a fibrillation during which an asystole ends only with beats that would end a fibrillation, too. */
const WARY = 10;
/** Longest interval of beats that end a fibrillation, relative to the shortest. */
const ALIKE = 1.3;
/** Hops between two tests for fibrillation. */
const LOOK_EVERY = 4;
/** Consecutive tests after which a fibrillation is reported, and after which it ends. */
const SEEN = 2;
const GONE = 6;
/** Number of hops with gaps, and of beats, that are kept for each lead. */
const GAP_HOPS = 64;
const WAVES = 32;
/** Seconds at the beginning and end of a long gap that are processed. The rest only advances the time. */
const ENDLESS = 12;

/** One lead and its stages of processing. */
interface Lead {
  readonly conditioner: Conditioner;
  readonly envelope: Envelope;
  readonly qrs: QrsDetector;
  readonly quality: LeadQuality;
  readonly fibrillation: FibrillationTest;
  /** The ends of the hops in which samples were lost, in working samples. */
  readonly gaps: number[];
  /** Number of working samples lost since the last beat. */
  lostSince: number;
  readonly waves: Wave[];
  /** Raw samples of a hop that is not complete yet. */
  readonly pending: Float32Array;
  /** Raw samples of the last two hops. */
  readonly latest: Float32Array;
}

/**
 * Detects heartbeats, heart rate, asystole and fibrillation in live ECG.
 *
 * The results do not depend on how the samples are split into calls of `feed`. They are the same as those of
 * `ecgframe.features.HeartDetector` in Python. It is not a medical device.
 */
export class HeartDetector {
  readonly #conditioning: Conditioning;
  readonly #leads: readonly Lead[];
  readonly #choice: LeadChoice;
  readonly #heartRate = new HeartRate();
  readonly #working: Float64Array;
  #waiting = 0;
  /** Raw samples to replace because of a marked pacing spike, counted from the first pending sample. */
  #marks: number[] = [];
  #samples = 0;
  /** Number of working samples so far. */
  #now = 0;
  #last: Wave | null = null;
  #unconfirmed: Wave[] = [];
  #rhythm: Rhythm = Rhythm.UNKNOWN;
  #looks = 0;
  /** Working sample up to which waves belong to a fibrillation. */
  #ignoredUntil = -1;
  /** Working sample up to which the chosen lead looked like noise. */
  #noiseEnd = 0;
  /** Working sample up to which the chosen lead was noisy: beats may have been missed. */
  #noisyUntil = 0;
  /** Working sample up to which all leads were constant for `FLAT` seconds: no beat would have been seen. */
  #flatUntil = 0;
  #usableSince: number | null = null;
  #rising: number | null = null;
  readonly #pacing: PacingSpikes;
  #spikes: PacingSpike[] = [];

  /**
   * @param samplingRate in Hz, 100 to 10,000.
   * @param leads names of the leads, in the order of the rows of the signal. Lead II (or MLII) is preferred, otherwise
   *   the first.
   * @throws RangeError there is no lead, or the sampling rate is out of range.
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
    this.#pacing = new PacingSpikes(samplingRate);
    this.#leads = leads.map((_, lead) => ({
      conditioner: new Conditioner(conditioning, lead),
      envelope: new Envelope(rate, mean),
      qrs: new QrsDetector(rate),
      quality: new LeadQuality(hop / rate),
      fibrillation: new FibrillationTest(rate / mean, mean),
      gaps: [],
      lostSince: 0,
      waves: [],
      pending: new Float32Array(hop * conditioning.factor),
      latest: new Float32Array(2 * hop * conditioning.factor),
    }));
  }

  /**
   * Processes the next samples.
   *
   * @param signal in mV, a row for each lead, all of the same length; NaN is a missing sample. It is converted to
   *   float32, so that float64 and float32 give the same beats.
   * @param pacing indices within a row of pacing spikes that the device marked. Spikes of up to 3 ms are detected
   *   without marks; marks help if a filter of the device has made them wider.
   * @returns the new beats, in order.
   * @throws RangeError the signal has another number of leads, or rows of different lengths.
   */
  feed(signal: readonly ArrayLike<number>[], pacing: readonly number[] | null = null): Beat[] {
    const samples = signal[0]?.length ?? 0;
    if (signal.length !== this.leads.length || signal.some((row) => row.length !== samples))
      throw new RangeError(
        `a signal of ${signal.length} rows does not have ${this.leads.length} leads of the same length`,
      );
    for (const mark of pacing ?? [])
      for (let shift = 0; shift < this.#conditioning.blanked; shift += 1)
        this.#marks.push(this.#waiting + mark + shift);
    return this.#feed(samples, (lead, from, count, into, at) => {
      const row = signal[lead];
      for (let index = 0; index < count; index += 1) into[at + index] = row[from + index];
    });
  }

  /**
   * Skips lost samples: the time advances, and the interval across the gap does not count. This is equivalent to
   * feeding as many NaN.
   *
   * @returns the new beats, in order.
   * @throws RangeError the number is negative or not an integer.
   */
  skip(samples: number): Beat[] {
    if (!Number.isInteger(samples) || samples < 0) throw new RangeError(`${samples} samples cannot be lost`);
    const { factor, hop } = this.#conditioning;
    const rawHop = hop * factor;
    const endless = Math.floor(Math.floor(ENDLESS * this.samplingRate) / rawHop) * rawHop + rawHop;
    const further = Math.floor(Math.max(0, samples - 2 * endless) / rawHop) * rawHop;
    const fill = (_lead: number, _from: number, count: number, into: Float32Array, at: number): void => {
      into.fill(Number.NaN, at, at + count);
    };
    const first = Math.min(samples, endless);
    const beats = this.#feed(first, fill);
    this.#samples += further;
    this.#now += further / factor;
    for (const { conditioner } of this.#leads) conditioner.pass(further);
    return [...beats, ...this.#feed(samples - further - first, fill)];
  }

  /** The state after the newest sample. It is computed quickly, and may be read as often as needed. */
  get status(): HeartStatus {
    const last = this.#last;
    return {
      rateBpm: this.#rateBpm(),
      secondsSinceBeat: last === null ? null : (this.#samples - this.#rawSample(last)) / this.samplingRate,
      rhythm: this.#rhythm,
      lead: this.#choice.lead,
      signalQuality: this.#leads.map(({ quality }) => quality.quality),
      silentSeconds: this.#silentSeconds(),
    };
  }

  get #chosen(): Lead {
    return this.#leads[this.#choice.lead];
  }

  /** Fills hops by `copy`, and processes each as soon as it is complete. */
  #feed(
    samples: number,
    copy: (lead: number, from: number, count: number, into: Float32Array, at: number) => void,
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

  /**
   * Returns the pacing spikes of up to 3 ms that were detected since the last call, in order.
   *
   * A spike is reported after 0.1 s, and the 256 newest are kept. A glitch of the electronics looks the same. Spikes
   * that the device marks are not included. Below 200 Hz, none are detected.
   */
  takePacingSpikes(): PacingSpike[] {
    const spikes = this.#spikes;
    this.#spikes = [];
    return spikes;
  }

  // --- one hop ---

  #follow(blanked: ReadonlySet<number> | null, beats: Beat[]): void {
    const { hop } = this.#conditioning;
    this.#now += hop;
    const found: Found[] = [];
    for (const lead of this.#leads) {
      lead.conditioner.work(lead.pending, 0, blanked, this.#working, found);
      lead.latest.copyWithin(0, lead.pending.length);
      lead.latest.set(lead.pending, lead.pending.length);
      lead.envelope.take(this.#working);
      lead.fibrillation.take(this.#working);
    }
    this.#judgeLeads();
    for (const spike of this.#pacing.merge(found))
      if (this.#leads[spike.lead].quality.quality === SignalQuality.OK) remember(this.#spikes, spike, KEPT);
    for (const { qrs, envelope, waves } of this.#leads) {
      for (const place of envelope.peaks(hop)) note(waves, qrs.judge(envelope, place, this.#now));
      note(waves, qrs.lookBack(this.#now - envelope.apart));
    }
    this.#chooseLead();
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
    // A simulated ECG may be flat between two beats: if all leads are flat, they are off only if a beat is overdue.
    const silence = this.#silence() - this.#chosen.lostSince;
    const isOverdue = silence >= this.#longestSilence() - EARLIER * rate;
    const flatAfter = isMoving || isOverdue ? FLAT : Number.POSITIVE_INFINITY;
    for (const lead of this.#leads) {
      const { qrs, envelope, conditioner } = lead;
      qrs.noteQuiet(lowestOf(envelope.height, hop));
      const { heightScale } = envelope;
      const judged = lead.quality.judge(qrs.quiet / heightScale, qrs.recentQuiet / heightScale, flatAfter);
      qrs.isNoisy = judged === SignalQuality.NOISY;
      qrs.noteDoubt(lead.quality.isDoubtful, lead.quality.isCalm);
      if (conditioner.lost > 0 || lead.quality.quality === SignalQuality.SATURATED)
        remember(lead.gaps, this.#now, GAP_HOPS);
      lead.lostSince += Math.floor(conditioner.lost / factor);
    }
  }

  #chooseLead(): void {
    if (this.#chosen.quality.isDoubtful) {
      // The beats of this lead may be noise: do not count its intervals.
      this.#heartRate.clear();
      this.#noiseEnd = this.#now;
    }
    this.#choice.choose(
      this.#now,
      this.#leads.map(({ quality }) => (quality.isDoubtful ? SignalQuality.NOISY : quality.quality)),
      this.#leads.map(({ waves }) => waves),
    );
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

  /** Returns true if the new beats count. After asystole or fibrillation, several beats may be necessary. */
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
      if (interval <= SILENT_IF_SLOW && this.#last.sample >= this.#noiseEnd) this.#heartRate.add(working);
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
    if (quality === SignalQuality.NOISY) {
      this.#noisyUntil = this.#now;
      for (const lead of this.#leads) lead.lostSince = 0;
      this.#rhythm = this.#rhythm === Rhythm.ASYSTOLE ? Rhythm.ASYSTOLE : Rhythm.UNKNOWN;
    }
    if (this.#leads.every(({ quality }) => quality.flat >= FLAT)) this.#flatUntil = this.#now;
    const gap = this.#chosen.lostSince;
    if (gap > FORGOTTEN * this.#conditioning.rate) this.#heartRate.clear();
    const longest = this.#longestSilence();
    if (this.#silence() - gap < longest) return;
    const newest = this.#heartRate.last.at(-1) ?? 0;
    const isSlow = newest >= SLOW * this.#conditioning.rate;
    if (!isSlow || this.#silence() - gap > SILENT_IF_SLOW * this.#conditioning.rate) this.#heartRate.clear();
    const isFlat = this.#leads.every((lead) => lead.quality.isStanding(STANDING));
    if (this.#rhythm !== Rhythm.ASYSTOLE && isFlat) this.#rhythm = Rhythm.UNKNOWN;
    else if (this.#now - this.#flatUntil >= longest) this.#rhythm = Rhythm.ASYSTOLE;
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

  /** Returns the number of working samples of usable signal since the last beat. */
  #silence(): number {
    return this.#now - Math.max(this.#usableFrom(), this.#last?.sample ?? 0);
  }

  /** Returns the working sample from which on beats would have been found. */
  #usableFrom(): number {
    return Math.max(this.#usableSince ?? 0, this.#noisyUntil);
  }

  #silentSeconds(): number {
    if (this.#usableSince === null) return 0;
    const { factor } = this.#conditioning;
    const usable = Math.max(this.#usableFrom(), this.#flatUntil);
    const last = this.#last;
    const begin = last === null || last.sample < usable ? usable * factor : this.#rawSample(last);
    return Math.max(0, this.#samples - begin - factor * this.#chosen.lostSince) / this.samplingRate;
  }

  #longestSilence(): number {
    const { rate } = this.#conditioning;
    const intervals = this.#heartRate.last.slice(-2);
    const isSlow = intervals.length === 2 && Math.min(...intervals) >= SLOW * rate;
    return (isSlow ? SILENT_IF_SLOW : SILENT) * rate;
  }

  /** Returns the working sample at which a wave began that may become a beat; null if there is none. */
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
    const { interval } = this.#heartRate;
    const last = this.#last;
    if (interval === null || last === null || this.#rhythm !== Rhythm.BEATING) return null;
    const { rate, delay, factor } = this.#conditioning;
    const stretch = (this.#samples + delay) / factor - last.sample > interval ? this.#longestStretch(last) : 0;
    return (60 * rate) / Math.max(interval, stretch);
  }

  /** Returns the length, in working samples, of the longest stretch without beats and gaps since the last beat. */
  #longestStretch(last: Wave): number {
    const until = this.#silentUntil(last);
    let longest = 0;
    let begin = last.sample;
    for (const end of this.#chosen.gaps) {
      if (end < last.sample) continue;
      longest = Math.max(longest, Math.min(until, end - this.#conditioning.hop) - begin);
      begin = Math.max(last.decided, end);
    }
    return Math.max(longest, until - begin);
  }

  /**
   * Returns the working sample up to which there is no beat: the newest, or the beginning of a wave that may be one.
   */
  #silentUntil(last: Wave): number {
    if (this.#rising !== null) return this.#rising - (last.decided - last.sample);
    const { delay, factor } = this.#conditioning;
    return ((this.#earlyRise(last) ?? this.#samples) + delay) / factor;
  }

  /** Returns the raw sample at which the signal became steep, before the envelope shows it; null if it did not. */
  #earlyRise(last: Wave): number | null {
    const { hop, factor } = this.#conditioning;
    const mean = (hop * factor) / MEANS_IN_A_HOP;
    const { latest, pending } = this.#chosen;
    const recent = new Float32Array(hop * factor + 2 * mean + this.#waiting);
    recent.set(latest.subarray(hop * factor - 2 * mean));
    recent.set(pending.subarray(0, this.#waiting), hop * factor + 2 * mean);
    const steep = firstSteep(recent, mean, (last.slope * factor) / STEEP);
    return steep === null ? null : this.#samples - recent.length + steep;
  }
}

function note(waves: Wave[], wave: Wave | null): void {
  if (wave !== null) remember(waves, wave, WAVES);
}

/** Returns the number of sign changes in the last `count` samples. */
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
