/** One stream as the page holds it: its samples, where they belong in time, its beats. */

import { HeartDetector, type HeartStatus, Rhythm } from "../../src/features/index.js";
import type { HeartState } from "./findings.js";
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
  readonly told: ToldBySender;
  /** Whether the units are no voltage, so that nobody knows what a millivolt is. */
  readonly isGuessed: boolean;
}

export type LeadQuality = "ok" | "off" | "saturated" | "noisy";

/** What a message may say beyond the protocol's own fields; null where it does not. */
export interface ToldBySender {
  readonly filter: string | null;
  readonly pacing: string | null;
  /** Samples of the message in which the device has seen pacing spikes. */
  readonly spikes: readonly number[] | null;
  /** One a lead; null where the sender's word for it is not known. */
  readonly leads: readonly (LeadQuality | null)[] | null;
}

export const NOTHING_TOLD: ToldBySender = { filter: null, pacing: null, spikes: null, leads: null };

/** Seconds that can be scrolled back, and bytes that they may take at the most. */
const KEPT = 120;
const KEPT_BYTES = 48 * 1024 * 1024;
/** Stretches of which is known when they were taken. */
const STRETCHES_KEPT = 64;
/** The latest R peaks. */
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
  /** Gaps since the beginning, and the samples missing in them. */
  gaps = 0;
  missing = 0;
  /** Numbers of the samples of the latest R peaks, in order. */
  readonly peaks: number[] = [];
  /** The lead that shows the rhythm best by its name: that of a sheet's strip, and where calipers begin. */
  readonly rhythm: number;
  /** What the newest message says beyond the protocol's own fields. */
  told = NOTHING_TOLD;
  /** Whether its millivolts are a guess. */
  isGuessed = false;
  /** Null where the sampling rate is out of the detector's range. */
  readonly #detector: HeartDetector | null;
  #status: HeartStatus | null = null;
  #arrived = 0;
  #frameSeconds = 0;
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
    this.#detector = detectorFor(samplingRate, leads);
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
      this.#note(this.#detector?.skip(missing));
      this.head.interrupted();
    }
    const first = this.buffer.end;
    const without = this.buffer.gaps.length;
    this.missing += this.buffer.append(frame.signal, frame.samples, frame.gain, frame.baseline);
    this.gaps += Math.max(0, this.buffer.gaps.length - without);
    this.#noteTime(first, frame.timestamp, missing > 0);
    this.head.arrived(this.buffer.end, frame.samples, this.#timeline.rate, now);
    this.#arrived = now;
    this.#frameSeconds = frame.samples / this.#timeline.rate;
    this.told = frame.told;
    this.isGuessed = frame.isGuessed;
    this.#countBeats(frame);
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

  /** Beats a minute after the newest sample; NaN where none can be told. */
  get rate(): number {
    return this.#status?.rateBpm ?? Number.NaN;
  }

  /** Beats a minute as they are known at that time: where nothing comes, nothing is known of the heart, after a moment. */
  rateAt(now: number): number {
    const waited = now - this.#arrived - FRAMES_WAITED * this.#frameSeconds;
    return waited > SECONDS_WAITED ? Number.NaN : this.rate;
  }

  /** Seconds of signal so far, missing ones among them. */
  get seconds(): number {
    return this.buffer.end / this.buffer.samplingRate;
  }

  /** What the heart does after the newest sample. */
  get heart(): HeartState {
    const { leads } = this.buffer;
    const { quality } = this;
    const rhythm = this.#status?.rhythm ?? Rhythm.UNKNOWN;
    const lead = this.#status?.lead ?? -1;
    const isUsable = quality[lead] === "ok";
    return {
      rhythm,
      secondsSinceBeat: this.#status?.secondsSinceBeat ?? null,
      lead: isUsable ? leads[lead] : "",
      off: leads.filter((_, index) => quality[index] === "off"),
    };
  }

  /** What each lead is good for: as the message says, or else as the signal shows. */
  get quality(): readonly LeadQuality[] {
    return this.buffer.leads.map((_, lead) => this.told.leads?.[lead] ?? this.#status?.signalQuality[lead] ?? "ok");
  }

  /** Why there can be no rate of this signal at all; empty where there can. */
  get refusal(): string {
    return this.#detector === null ? `no heart rate at ${this.buffer.samplingRate} Hz` : "";
  }

  #countBeats(frame: EcgFrame): void {
    if (this.#detector === null) return;
    const { told } = this;
    this.#note(this.#detector.feed(physical(frame), told.spikes));
    this.#status = this.#detector.status;
  }

  #note(beats: readonly { readonly sample: number }[] = []): void {
    this.peaks.push(...beats.map(({ sample }) => sample));
    this.peaks.splice(0, this.peaks.length - PEAKS_KEPT);
  }
}

/** Seconds, and frames besides, that may be on their way before a rate is an old one. */
const SECONDS_WAITED = 1;
const FRAMES_WAITED = 2;

/** The samples of a frame in mV, a row for each lead; none of a lead that the device calls off, whatever it sends of it. */
function physical({ signal, samples, gain, baseline, leads, told }: EcgFrame): Float64Array[] {
  return leads.map((_, lead) => {
    const row = new Float64Array(samples);
    if (told.leads?.[lead] === "off") return row.fill(Number.NaN);
    for (let index = 0; index < samples; index += 1)
      row[index] = (Number(signal[lead * samples + index]) - baseline[lead]) / gain[lead];
    return row;
  });
}

function detectorFor(samplingRate: number, leads: readonly string[]): HeartDetector | null {
  try {
    return new HeartDetector(samplingRate, leads);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
