/**
 * R peaks of one lead as its samples come, after Pan and Tompkins (IEEE Trans. Biomed. Eng. 32:230, 1985): a band-pass
 * for the QRS, slope, square, a moving window, and thresholds that follow the signal and the noise. A beat that is
 * missed is sought again with half the threshold; a steep T wave is told by its slope.
 *
 * The filters are Butterworth's of the sampling rate at hand, in place of the integer ones made for 200 Hz.
 */

/** Hz: where the energy of a QRS lies. */
const BAND = { low: 5, high: 15 };
/** Seconds of the moving window: as wide as the widest QRS. */
const WINDOW = 0.15;
/** Seconds after a beat in which there cannot be another. */
const REFRACTORY = 0.2;
/** Seconds after a beat in which a wave of less than half its slope is its T wave. */
const T_WAVE = 0.36;
/** A beat is missed when this many mean intervals are over. */
const MISSED = 1.66;
/** Seconds in which the thresholds are learned. */
const LEARNING = 2;
/** Seconds without a beat after which the thresholds sink, and the share of the first level at which that ends. */
const SILENT = 3;
const FAINTEST = 0.02;
/** Seconds for the filters to settle: what they give before is the jump of the first sample. */
const SETTLING = 0.4;
/** Seconds on either side of the window's peak in which the R peak itself is sought. */
const SOUGHT = 0.1;
/** Seconds by which the window's peak comes after the R peak: half a QRS, and the filters. */
const DELAY = 0.1;
/** Intervals of which the mean is taken. */
const INTERVALS = 8;

interface Candidate {
  readonly sample: number;
  readonly height: number;
  readonly slope: number;
}

export class RPeaks {
  readonly #highPass: Biquad;
  readonly #lowPass: Biquad;
  readonly #slope: Float64Array;
  readonly #window: Float64Array;
  readonly #raw: Float64Array;
  #sum = 0;
  #since = 0;
  #sample = 0;

  #signalLevel = 0;
  #noiseLevel = 0;
  #learned = 0;
  #faintest = 0;
  #lastJudged = 0;

  #previous = 0;
  #steepest = 0;
  #rising: Candidate | null = null;

  #missed: Candidate | null = null;
  #last: Candidate | null = null;
  #lastPeak = Number.NEGATIVE_INFINITY;
  readonly #intervals: number[] = [];

  /**
   * @param samplingRate in Hz.
   * @param found is called with the number of the sample of each R peak, in order.
   */
  constructor(
    readonly samplingRate: number,
    readonly found: (sample: number) => void,
  ) {
    this.#highPass = Biquad.highPass(BAND.low, samplingRate);
    this.#lowPass = Biquad.lowPass(Math.min(BAND.high, 0.4 * samplingRate), samplingRate);
    this.#slope = new Float64Array(5);
    this.#window = new Float64Array(Math.max(1, Math.round(WINDOW * samplingRate)));
    this.#raw = new Float64Array(Math.max(4, Math.ceil(2 * samplingRate)));
  }

  /** Beats a minute by the last intervals, or NaN where there are not enough of them. */
  get rate(): number {
    if (this.#intervals.length < 2) return Number.NaN;
    return (60 * this.samplingRate) / median(this.#intervals);
  }

  /** Samples since the last beat. */
  get silence(): number {
    return this.#sample - this.#lastPeak;
  }

  /** Take the sample of this number. After a gap, or at a missing sample (NaN), all begins anew. */
  push(sample: number, value: number): void {
    if (Number.isNaN(value)) {
      if (this.#since > 0) this.reset();
      return;
    }
    if (this.#since === 0) this.#lowPass.settle(this.#highPass.settle(value));
    this.#sample = sample;
    this.#raw[sample % this.#raw.length] = value;
    const slope = this.#derivative(this.#lowPass.step(this.#highPass.step(value)));
    this.#steepest = Math.max(this.#steepest, Math.abs(slope));
    const energy = this.#integral(slope * slope);
    this.#since += 1;
    if (this.#since > SETTLING * this.samplingRate) this.#follow(energy);
    else this.#steepest = 0;
  }

  /** Begin anew: the signal was interrupted. */
  reset(): void {
    this.#slope.fill(0);
    this.#window.fill(0);
    this.#sum = this.#since = this.#learned = this.#previous = this.#steepest = 0;
    this.#rising = this.#missed = this.#last = null;
    this.#lastPeak = Number.NEGATIVE_INFINITY;
    this.#intervals.length = 0;
  }

  /** Five points, as in the paper, per second. */
  #derivative(value: number): number {
    const points = this.#slope;
    points.copyWithin(0, 1);
    points[4] = value;
    const at = (index: number): number => points[index];
    return ((2 * (value - at(0)) + at(3) - at(1)) * this.samplingRate) / 8;
  }

  #integral(value: number): number {
    const place = this.#since % this.#window.length;
    this.#sum += value - this.#window[place];
    this.#window[place] = value;
    return Math.max(0, this.#sum / this.#window.length);
  }

  /** Find the peaks of the moving window: a rise that has fallen to half. */
  #follow(energy: number): void {
    if (this.#learned < LEARNING * this.samplingRate) {
      this.#learn(energy);
      return;
    }
    if (energy > (this.#rising?.height ?? 0) && energy > this.#previous) {
      this.#rising = { sample: this.#sample, height: energy, slope: this.#steepest };
    } else if (this.#rising !== null && energy < this.#rising.height / 2) {
      this.#judge(this.#rising);
      this.#rising = null;
      this.#steepest = 0;
    }
    this.#previous = energy;
    this.#lookBack();
    this.#listenCloser();
  }

  #learn(energy: number): void {
    this.#learned += 1;
    this.#signalLevel = Math.max(this.#learned === 1 ? 0 : this.#signalLevel, energy);
    this.#noiseLevel += (energy / 2 - this.#noiseLevel) / this.#learned;
    this.#faintest = FAINTEST * this.#signalLevel;
    this.#lastJudged = this.#sample;
  }

  /** After seconds without a beat, take smaller ones for beats: an artefact had set the thresholds, or a lead has slipped. */
  #listenCloser(): void {
    if (this.#sample - this.#lastJudged < SILENT * this.samplingRate) return;
    this.#signalLevel = Math.max(this.#faintest, this.#signalLevel * (1 - 1 / this.samplingRate));
    this.#noiseLevel = Math.min(this.#noiseLevel, this.#signalLevel / 4);
  }

  get #threshold(): number {
    return this.#noiseLevel + 0.25 * (this.#signalLevel - this.#noiseLevel);
  }

  #judge(candidate: Candidate): void {
    const sinceBeat = this.#last === null ? Number.POSITIVE_INFINITY : candidate.sample - this.#last.sample;
    if (sinceBeat < REFRACTORY * this.samplingRate) return;
    const isTWave =
      this.#last !== null && sinceBeat < T_WAVE * this.samplingRate && candidate.slope < this.#last.slope / 2;
    if (candidate.height > this.#threshold && !isTWave) {
      this.#signalLevel += (candidate.height - this.#signalLevel) / 8;
      this.#accept(candidate);
      return;
    }
    this.#noiseLevel += (candidate.height - this.#noiseLevel) / 8;
    if (!isTWave && candidate.height > (this.#missed?.height ?? 0)) this.#missed = candidate;
  }

  /** Where a beat is overdue, take the highest of those that were let go, if it is half as high as it should be. */
  #lookBack(): void {
    const missed = this.#missed;
    if (missed === null || this.#last === null || this.#intervals.length < 2) return;
    const mean = this.#intervals.reduce((sum, interval) => sum + interval, 0) / this.#intervals.length;
    if (this.#sample - this.#last.sample < MISSED * mean || missed.height < this.#threshold / 2) return;
    this.#signalLevel += (missed.height - this.#signalLevel) / 4;
    this.#accept(missed);
  }

  #accept(candidate: Candidate): void {
    this.#last = candidate;
    this.#lastJudged = this.#sample;
    this.#faintest = FAINTEST * this.#signalLevel;
    this.#missed = null;
    const peak = this.#peakBefore(candidate.sample);
    if (peak <= this.#lastPeak) return;
    if (this.#lastPeak >= 0) this.#intervals.push(peak - this.#lastPeak);
    if (this.#intervals.length > INTERVALS) this.#intervals.shift();
    this.#lastPeak = peak;
    this.found(peak);
  }

  /** The sample farthest from the baseline around the QRS whose energy peaked at `sample`. */
  #peakBefore(sample: number): number {
    const centre = sample - Math.round(DELAY * this.samplingRate);
    const reach = Math.round(SOUGHT * this.samplingRate);
    const first = Math.max(centre - reach, sample - this.#raw.length + 1, sample - this.#since, 0);
    const last = Math.min(centre + reach, this.#sample);
    const at = (index: number): number => this.#raw[index % this.#raw.length];
    const level = median(Array.from({ length: last - first + 1 }, (_, index) => at(first + index)));
    let best = first;
    for (let index = first; index <= last; index += 1) {
      if (Math.abs(at(index) - level) > Math.abs(at(best) - level)) best = index;
    }
    return best;
  }
}

/** A filter of second order, Butterworth's, by the bilinear transform. */
class Biquad {
  #x1 = 0;
  #x2 = 0;
  #y1 = 0;
  #y2 = 0;

  private constructor(
    readonly b0: number,
    readonly b1: number,
    readonly b2: number,
    readonly a1: number,
    readonly a2: number,
  ) {}

  static lowPass(frequency: number, rate: number): Biquad {
    const { k, norm } = warped(frequency, rate);
    return new Biquad(
      k * k * norm,
      2 * k * k * norm,
      k * k * norm,
      2 * (k * k - 1) * norm,
      (1 - Math.SQRT2 * k + k * k) * norm,
    );
  }

  static highPass(frequency: number, rate: number): Biquad {
    const { k, norm } = warped(frequency, rate);
    return new Biquad(norm, -2 * norm, norm, 2 * (k * k - 1) * norm, (1 - Math.SQRT2 * k + k * k) * norm);
  }

  step(x: number): number {
    const y = this.b0 * x + this.b1 * this.#x1 + this.b2 * this.#x2 - this.a1 * this.#y1 - this.a2 * this.#y2;
    this.#x2 = this.#x1;
    this.#x1 = x;
    this.#y2 = this.#y1;
    this.#y1 = y;
    return y;
  }

  /** Become as if this value had been fed for ever; gives the output of that. */
  settle(x: number): number {
    const y = (x * (this.b0 + this.b1 + this.b2)) / (1 + this.a1 + this.a2);
    this.#x1 = this.#x2 = x;
    this.#y1 = this.#y2 = y;
    return y;
  }
}

function warped(frequency: number, rate: number): { k: number; norm: number } {
  const k = Math.tan((Math.PI * frequency) / rate);
  return { k, norm: 1 / (1 + Math.SQRT2 * k + k * k) };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  return sorted.length % 2 === 1 ? upper : (upper + sorted[middle - 1]) / 2;
}
