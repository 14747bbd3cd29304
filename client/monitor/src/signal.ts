/** One stream as the page holds it: its samples, where they belong in time, its beats. */

import { type Beat, HeartDetector, type HeartStatus } from "../../src/features/index.js";
import { rhythmLead } from "./layout.js";
import { Playhead } from "./playhead.js";
import { Timeline } from "./timeline.js";
import { TraceBuffer } from "./trace-buffer.js";

/** What an ECG_DATA message says, whatever form it said it in. */
export interface EcgFrame {
  /** `[leads, samples]` in C order. */
  readonly signal: ArrayLike<number | bigint>;
  readonly samples: number;
  /** In Hz. */
  readonly samplingRate: number;
  readonly leads: readonly string[];
  /** Counts per millivolt, and the count of 0 mV, one a lead. */
  readonly gain: readonly number[];
  readonly baseline: readonly number[];
  readonly sequence: number | null;
  /** Of the first sample, in Unix seconds. */
  readonly timestamp: number | null;
}

/** Seconds that can be scrolled back, and bytes that they may take at the most. */
const KEPT = 120;
const KEPT_BYTES = 48 * 1024 * 1024;
/** Hz at which beats are found. */
const RATES = { lowest: 100, highest: 10_000 };
/** Stretches of which is known when they were taken. */
const STRETCHES_KEPT = 64;
/** R peaks that are remembered until the screen comes to them. */
const PEAKS_KEPT = 64;

/** Samples without a gap, and when one of them was taken. */
interface Stretch {
  readonly begin: number;
  sample: number;
  /** Unix seconds; NaN where the stream does not say. */
  timestamp: number;
}

export class EcgSignal {
  readonly buffer: TraceBuffer;
  readonly head = new Playhead();
  /** Null where the sampling rate is none that beats can be found at. */
  readonly #detector: HeartDetector | null;
  /** Gaps since the beginning, and the samples missing in them. */
  gaps = 0;
  missing = 0;
  /** Numbers of the samples of the latest R peaks. */
  readonly peaks: number[] = [];
  #timeline = new Timeline();
  /** The newest last: each goes on to the next one, and has a clock of its own. */
  readonly #stretches: Stretch[] = [];

  constructor(frame: EcgFrame) {
    const { leads, samplingRate } = frame;
    const affordable = Math.floor(KEPT_BYTES / (4 * Math.max(1, leads.length)));
    this.buffer = new TraceBuffer(
      leads,
      samplingRate,
      Math.max(1, Math.min(Math.ceil(KEPT * samplingRate), affordable)),
    );
    const isFit = samplingRate >= RATES.lowest && samplingRate <= RATES.highest && leads.length > 0;
    this.#detector = isFit ? new HeartDetector(samplingRate, leads) : null;
  }

  /** Whether a frame goes on with what is here: the same leads at the same rate. */
  fits(frame: EcgFrame): boolean {
    const { leads, samplingRate } = this.buffer;
    return (
      frame.samplingRate === samplingRate &&
      frame.leads.length === leads.length &&
      frame.leads.every((name, lead) => name === leads[lead])
    );
  }

  /** The service tells that messages may be missing before the next frame, and whether the server's clock went back. */
  interrupt(clockWentBack: boolean): void {
    this.#timeline.interrupt(clockWentBack);
  }

  /**
   * Take a frame.
   *
   * @param now when it arrived, in seconds of a clock that never steps back.
   */
  take(frame: EcgFrame, now: number): void {
    const missing = this.#timeline.follow(frame, now);
    if (missing > 0) {
      this.gaps += 1;
      this.missing += missing;
      this.buffer.skip(missing);
      this.#note(this.#detector?.skip(missing) ?? []);
    }
    const first = this.buffer.end;
    this.buffer.append(frame.signal, frame.samples, frame.gain, frame.baseline);
    this.#noteTime(first, frame.timestamp, missing > 0);
    this.head.arrived(this.buffer.end, frame.samples, this.#timeline.rate, now);
    this.#note(this.#detector?.feed(physical(frame)) ?? []);
  }

  /** When a sample was taken, in Unix seconds; NaN where the stream does not say. */
  timeOf(sample: number): number {
    const stretch = this.#stretches.findLast(({ begin }) => begin <= sample) ?? this.#stretches[0];
    return stretch === undefined ? Number.NaN : stretch.timestamp + (sample - stretch.sample) / this.#timeline.rate;
  }

  #noteTime(sample: number, timestamp: number | null, isBehindGap: boolean): void {
    let stretch = this.#stretches.at(-1);
    if (stretch === undefined || isBehindGap) {
      stretch = { begin: sample, sample, timestamp: this.timeOf(sample) };
      this.#stretches.push(stretch);
      if (this.#stretches.length > STRETCHES_KEPT) this.#stretches.shift();
    }
    if (timestamp !== null) Object.assign(stretch, { sample, timestamp });
  }

  /** What the detector tells of the heart and of the leads; null where it cannot follow this signal. */
  get heart(): HeartStatus | null {
    return this.#detector?.status ?? null;
  }

  /** Beats a minute; NaN where none can be told. */
  get rate(): number {
    return this.heart?.rateBpm ?? Number.NaN;
  }

  /** The lead in which beats are counted. */
  get rhythm(): number {
    return this.heart?.lead ?? rhythmLead(this.buffer.leads);
  }

  #note(beats: readonly Beat[]): void {
    for (const { sample } of beats) this.peaks.push(sample);
    this.peaks.splice(0, this.peaks.length - PEAKS_KEPT);
  }
}

/** The samples of a frame in its units, a row for each lead. */
function physical(frame: EcgFrame): Float64Array[] {
  const { signal, samples, gain, baseline, leads } = frame;
  return leads.map((_, lead) => {
    const row = new Float64Array(samples);
    for (let index = 0; index < samples; index += 1)
      row[index] = (Number(signal[lead * samples + index]) - baseline[lead]) / gain[lead];
    return row;
  });
}
