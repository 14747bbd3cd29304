/** One stream as the page holds it: its samples, where they belong in time, its beats. */

import { rhythmLead } from "./layout.js";
import { Playhead } from "./playhead.js";
import { RPeaks } from "./r-peaks.js";
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
  readonly beats: RPeaks;
  /** Gaps since the beginning, and the samples missing in them. */
  gaps = 0;
  missing = 0;
  /** Numbers of the samples of the latest R peaks. */
  readonly peaks: number[] = [];
  /** The lead of which the beats are counted. */
  readonly rhythm: number;
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
    this.rhythm = rhythmLead(leads);
    this.beats = new RPeaks(samplingRate, (sample) => {
      this.peaks.push(sample);
      if (this.peaks.length > PEAKS_KEPT) this.peaks.shift();
    });
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
      this.beats.reset();
      this.head.interrupted();
    }
    const first = this.buffer.end;
    this.buffer.append(frame.signal, frame.samples, frame.gain, frame.baseline);
    this.#noteTime(first, frame.timestamp, missing > 0);
    this.head.arrived(this.buffer.end, frame.samples, this.#timeline.rate, now);
    this.#countBeats(Math.max(first, this.buffer.start));
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

  /** Beats a minute; NaN where none can be told. */
  get rate(): number {
    const silent = this.beats.silence > SILENT * this.buffer.samplingRate;
    return silent ? Number.NaN : this.beats.rate;
  }

  #countBeats(from: number): void {
    const { buffer } = this;
    const ring = buffer.ring(this.rhythm);
    for (let sample = from; sample < buffer.end; sample += 1) this.beats.push(sample, ring[sample % buffer.capacity]);
  }
}

/** Seconds without a beat after which a rate is no longer told. */
const SILENT = 4;
