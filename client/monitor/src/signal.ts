/** The signal of one stream: samples, times and beats. */

import { type HeartDetector, type HeartStatus, Rhythm } from "../../src/features/index.js";
import { type Channel, ECG, leadsOf } from "./channels.js";
import type { HeartState } from "./findings.js";
import { rhythmLead } from "./layout.js";
import { Playhead } from "./playhead.js";
import { Timeline } from "./timeline.js";
import { missingIn, TraceBuffer } from "./trace-buffer.js";

/** An ECG_DATA message as the page needs it, with counts per millivolt. */
export interface EcgFrame {
  /** `[leads, samples]` in C order. */
  readonly signal: ArrayLike<number | bigint>;
  readonly samples: number;
  /** In Hz. */
  readonly samplingRate: number;
  readonly leads: readonly string[];
  /** Counts per millivolt or unit, and the count of 0, for each lead. */
  readonly gain: readonly number[];
  readonly baseline: readonly number[];
  readonly sequence: number | null;
  /** Time of the first sample, in Unix seconds; null if the message has none. */
  readonly timestamp: number | null;
  readonly told: ToldBySender;
  /** True if the unit is not a voltage, so that the counts per millivolt are assumed. */
  readonly isGuessed: boolean;
  /** What each lead measures; absent if all are an ECG. */
  readonly channels?: readonly Channel[];
}

export type LeadQuality = "ok" | "off" | "saturated" | "noisy";

/** Optional fields of the sender; null if they are absent. */
export interface ToldBySender {
  readonly filter: string | null;
  readonly pacing: string | null;
  /** Indices of samples in the message at which the device detected pacing spikes. */
  readonly spikes: readonly number[] | null;
  /** The state of each lead; null if the word of the sender is unknown. */
  readonly leads: readonly (LeadQuality | null)[] | null;
}

export const NOTHING_TOLD: ToldBySender = { filter: null, pacing: null, spikes: null, leads: null };

/** The last samples are kept: at most this many seconds of them, and this many bytes. */
const KEPT = 120;
export const KEPT_BYTES = 48 * 1024 * 1024;
/** Number of stretches whose times are kept. */
const STRETCHES_KEPT = 64;
/** The page reports pacing if it detects this many spikes within this time. */
const PACING = { spikes: 3, seconds: 10 };
/** The rate is hidden when no frame arrives for this many seconds plus this many lengths of a frame. */
const SECONDS_WAITED = 1;
const FRAMES_WAITED = 2;
/** Number of R peaks that are kept. */
const PEAKS_KEPT = 64;

/** Consecutive samples without a gap, and the time of one of them. `begin` is the first of them. */
interface Stretch {
  readonly begin: number;
  /** The sample whose time is `timestamp`. */
  sample: number;
  /** Unix seconds; NaN if the stream has no times. */
  timestamp: number;
}

export class EcgSignal {
  readonly buffer: TraceBuffer;
  readonly head = new Playhead();
  /** Number of gaps since the beginning, and of missing samples. */
  gaps = 0;
  missing = 0;
  /** Sample numbers of the latest R peaks, in order. */
  readonly peaks: number[] = [];
  /** Index of the lead of the rhythm strip; calipers are placed in it first. */
  readonly rhythm: number;
  /** Optional fields of the newest message. */
  told = NOTHING_TOLD;
  /** True if the counts per millivolt are assumed. */
  isGuessed = false;
  #status: HeartStatus | null = null;
  /** Indices of the leads that are an ECG. Only in these, heartbeats are looked for. */
  readonly #ecg: readonly number[];
  /** When the newest frame arrived, by a monotonic clock, and how long its signal lasts. */
  #arrived = 0;
  #frameSeconds = 0;
  #timeline = new Timeline();
  /** In order; after each gap, the sender's clock may be another one. */
  readonly #stretches: Stretch[] = [];

  /**
   * @param frame the first of the signal.
   * @param detector finds the heartbeats; null for none.
   * @param kept seconds of the signal that are kept.
   */
  constructor(
    frame: EcgFrame,
    readonly detector: HeartDetector | null,
    kept = KEPT,
  ) {
    const { leads, samplingRate, channels = leads.map(() => ECG) } = frame;
    this.#ecg = leadsOf(channels, true);
    const affordable = Math.floor(KEPT_BYTES / (4 * Math.max(1, leads.length)));
    this.buffer = new TraceBuffer(
      leads,
      samplingRate,
      Math.max(1, Math.min(Math.ceil(kept * samplingRate), affordable)),
      channels,
    );
    this.rhythm = rhythmLead(leads, channels);
  }

  /** Returns whether a frame has the same leads, units and sampling rate. */
  fits(frame: EcgFrame): boolean {
    const { leads, samplingRate, channels } = this.buffer;
    return (
      frame.samplingRate === samplingRate &&
      frame.leads.length === leads.length &&
      frame.leads.every((name, lead) => {
        const { kind, unit } = frame.channels?.[lead] ?? ECG;
        return name === leads[lead] && kind === channels[lead].kind && unit === channels[lead].unit;
      })
    );
  }

  /** Note that messages may be missing before the next frame, and whether the server's clock went back. */
  interrupt(clockWentBack: boolean): void {
    this.#timeline.interrupt(clockWentBack);
  }

  /**
   * Add a frame.
   *
   * @param now when it arrived, in seconds of a monotonic clock.
   */
  take(frame: EcgFrame, now: number): void {
    const missing = this.#timeline.follow(frame, now);
    if (missing > 0) {
      this.gaps += 1;
      this.missing += missing;
      this.buffer.skip(missing);
      this.#addPeaks(this.detector?.skip(missing));
      this.head.interrupted();
    }
    const first = this.buffer.end;
    const gapsBefore = this.buffer.gaps.length;
    this.missing += this.buffer.append(frame.signal, frame.samples, frame.gain, frame.baseline);
    this.gaps += Math.max(0, this.buffer.gaps.length - gapsBefore);
    this.#noteTime(first, frame.timestamp, missing > 0);
    this.head.arrived(this.buffer.end, frame.samples, this.#timeline.rate, now);
    this.#arrived = now;
    this.#frameSeconds = frame.samples / this.#timeline.rate;
    this.told = frame.told;
    for (const index of frame.told.spikes ?? [])
      if (index >= 0 && index < frame.samples) this.buffer.markSpike({ sample: first + index, seen: false });
    this.isGuessed = frame.isGuessed;
    this.#detectBeats(frame);
  }

  /**
   * Fill in a frame of the past, where samples are missing. Returns how many were, and the sample after the frame; NaN if it has
   * no place: without a time, or with other leads.
   *
   * @param kept the samples of this signal, or a copy of them.
   * @param expected the sample after the last frame that was filled in: times may be a little off.
   */
  restore(frame: EcgFrame, kept: TraceBuffer, expected: number): { readonly end: number; readonly restored: number } {
    const place = this.sampleAt(frame.timestamp ?? Number.NaN);
    const first = Math.abs(place - expected) <= frame.samples / 2 ? expected : place;
    if (Number.isNaN(first) || !this.fits(frame)) return { end: Number.NaN, restored: 0 };
    const gaps = (): number => kept.gaps.filter(({ to }) => to > 0).length;
    const before = { gaps: gaps(), missing: missingIn(kept.gaps, 0, kept.end) };
    const restored = kept.fill(first, frame.signal, frame.samples, frame.gain, frame.baseline);
    if (kept === this.buffer) {
      this.gaps += gaps() - before.gaps;
      this.missing += missingIn(kept.gaps, 0, kept.end) - before.missing;
    }
    return { end: first + frame.samples, restored };
  }

  /** The sample with a time in Unix seconds; NaN if the stream has no times. */
  sampleAt(time: number): number {
    const { rate } = this.#timeline;
    const begin = ({ begin, sample, timestamp }: Stretch): number => timestamp + (begin - sample - 0.5) / rate;
    const stretch = this.#stretches.findLast((one) => begin(one) <= time) ?? this.#stretches[0];
    return stretch === undefined ? Number.NaN : Math.round(stretch.sample + (time - stretch.timestamp) * rate);
  }

  /** The time of a sample, in Unix seconds; NaN if the stream has no times. */
  timeOf(sample: number): number {
    const stretch = this.#stretches.findLast(({ begin }) => begin <= sample) ?? this.#stretches[0];
    return stretch === undefined ? Number.NaN : stretch.timestamp + (sample - stretch.sample) / this.#timeline.rate;
  }

  #noteTime(sample: number, timestamp: number | null, isAfterGap: boolean): void {
    let stretch = this.#stretches.at(-1);
    if (stretch === undefined || isAfterGap) {
      stretch = { begin: sample, sample, timestamp: this.timeOf(sample) }; // extrapolated, if the frame has no time
      this.#stretches.push(stretch);
      if (this.#stretches.length > STRETCHES_KEPT) this.#stretches.shift();
    }
    if (timestamp !== null) Object.assign(stretch, { sample, timestamp });
  }

  /** Heart rate in beats per minute after the newest sample; NaN if there is none. */
  get rate(): number {
    return this.#status?.rateBpm ?? Number.NaN;
  }

  /** The heart rate to show at that time; NaN if no frame has arrived for about a second. */
  rateAt(now: number): number {
    const waited = now - this.#arrived - FRAMES_WAITED * this.#frameSeconds;
    return waited > SECONDS_WAITED ? Number.NaN : this.rate;
  }

  /** Length of the signal in seconds, including gaps. */
  get seconds(): number {
    return this.buffer.end / this.buffer.samplingRate;
  }

  /** The state of the heart after the newest sample. */
  get heart(): HeartState {
    const { leads } = this.buffer;
    const { quality } = this;
    const rhythm = this.#status?.rhythm ?? Rhythm.UNKNOWN;
    const lead = this.#ecg[this.#status?.lead ?? -1] ?? -1;
    const isUsable = quality[lead] === "ok";
    return {
      rhythm,
      silentSeconds: this.#status?.silentSeconds ?? 0,
      lead: isUsable ? leads[lead] : "",
      off: this.#ecg.filter((index) => quality[index] === "off").map((index) => leads[index]),
    };
  }

  /** The quality of each lead: the sender's statement, or else the detector's. */
  get quality(): readonly LeadQuality[] {
    const seen = (lead: number): LeadQuality => this.#status?.signalQuality[this.#ecg.indexOf(lead)] ?? "ok";
    return this.buffer.leads.map((_, lead) => this.told.leads?.[lead] ?? seen(lead));
  }

  /** The quality of each lead that is an ECG. */
  get ecgQuality(): readonly LeadQuality[] {
    const { quality } = this;
    return this.#ecg.map((lead) => quality[lead]);
  }

  /** True if the detector found several pacing spikes in the last ten seconds, beside those that the sender marks. */
  get showsPacing(): boolean {
    const since = this.buffer.end - PACING.seconds * this.buffer.samplingRate;
    const recent = this.buffer.spikes.filter(({ seen, sample }) => seen && sample >= since);
    return recent.length >= PACING.spikes;
  }

  /** Why this signal cannot have a heart rate; otherwise empty. */
  get refusal(): string {
    if (this.detector !== null) return "";
    return this.#ecg.length === 0 ? "No ECG lead" : `no heart rate at ${this.buffer.samplingRate} Hz`;
  }

  #detectBeats(frame: EcgFrame): void {
    if (this.detector === null) return;
    const { told } = this;
    this.#addPeaks(this.detector.feed(inMillivolts(frame, this.#ecg), told.spikes));
    this.#status = this.detector.status;
    for (const { sample } of this.detector.takePacingSpikes()) this.buffer.markSpike({ sample, seen: true });
  }

  #addPeaks(beats: readonly { readonly sample: number }[] = []): void {
    this.peaks.push(...beats.map(({ sample }) => sample));
    this.peaks.splice(0, this.peaks.length - PEAKS_KEPT);
  }
}

/** The samples of these leads in mV, a row for each; NaN for leads that the sender states as off. */
function inMillivolts({ signal, samples, gain, baseline, told }: EcgFrame, leads: readonly number[]): Float64Array[] {
  return leads.map((lead) => {
    const row = new Float64Array(samples);
    if (told.leads?.[lead] === "off") return row.fill(Number.NaN);
    for (let index = 0; index < samples; index += 1)
      row[index] = (Number(signal[lead * samples + index]) - baseline[lead]) / gain[lead];
    return row;
  });
}
