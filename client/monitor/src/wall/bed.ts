/** One bed: its signal, the age of that, and the episodes that this page finds in it. */

import type { Message } from "../../../src/index.js";
import { Age, type ServerClock } from "../age.js";
import { type Alert, foundAlert } from "../alert-history.js";
import type { OtherKind } from "../channels.js";
import { ecgFrame } from "../feed.js";
import { type Finding, Findings } from "../findings.js";
import { heartDetectorFor } from "../heart-detection.js";
import { type Labels, labelsOf, NO_LABELS } from "../labels.js";
import { type Numeric, Numerics } from "../numerics.js";
import { EcgSignal } from "../signal.js";
import { type Condition, conditionOf } from "./condition.js";

/** Seconds of a signal that are kept: more than a tile is wide. */
const KEPT = 40;
/** Seconds for which a tile tells a gap. */
const TOLD = 10;
/** Seconds without a frame of the display after which the page counts as hidden. */
const HIDDEN = 0.25;

/** What a tile shows of a bed. */
export interface BedReport {
  readonly name: string;
  readonly condition: Condition;
  /** What the sender says in its last message. */
  readonly labels: Labels;
  /** In beats per minute; null if there is none. */
  readonly rate: number | null;
  /** Oxygen saturation and other numbers of the sender; NaN if they are too old. */
  readonly numerics: readonly Numeric[];
  /** Names of the leads that are shown, and of those that are off. */
  readonly shown: readonly string[];
  readonly off: readonly string[];
  /** Seconds without a beat in asystole, as the detector counts; 0 otherwise. */
  readonly silent: number;
  /** True if no lead is usable, so that nothing is known of the heart. */
  readonly isBlind: boolean;
  /** A gap of the last seconds, in words; empty without one. */
  readonly gap: string;
  /** Gaps and missing samples since the beginning, messages, and samples of each lead. */
  readonly gaps: number;
  readonly missing: number;
  readonly messages: number;
  readonly samples: number;
}

/** The time, by the clocks that a bed needs. */
export interface Moment {
  /** Seconds of a monotonic clock. */
  readonly steady: number;
  /** Unix seconds of the local clock. */
  readonly unix: number;
  readonly server: ServerClock | null;
}

export class Bed {
  signal: EcgSignal | null = null;
  /** Why the server denies the stream; empty if it does not. */
  refusal = "";
  /** What is wrong with the last message; empty if nothing is. */
  fault = "";
  /** Indices of the leads that are shown. */
  leads: readonly number[] = [];
  readonly #age = new Age();
  #findings = new Findings();
  #asked: number;
  #last = Number.NaN;
  #frame = 0;
  #displayed = Number.NEGATIVE_INFINITY;
  #messages = 0;
  #gap = { seconds: 0, at: Number.NEGATIVE_INFINITY };
  #timestamp: bigint | null = null;
  #labels = NO_LABELS;
  readonly #numerics = new Numerics();

  /** @param now in seconds of a monotonic clock. */
  constructor(
    readonly name: string,
    now: number,
  ) {
    this.#asked = now;
  }

  /**
   * Take an ECG_DATA message. Returns the alerts of episodes that begin or end with it.
   *
   * @throws ProtocolError fields are missing or invalid
   */
  take(message: Message, { steady, unix }: Moment): Alert[] {
    if (message.timestamp !== null && message.timestamp === this.#timestamp) return []; // the last one comes again
    this.#timestamp = message.timestamp;
    const frame = ecgFrame(message);
    if (frame.samples === 0 || frame.leads.length === 0) return [];
    const found: Alert[] = [];
    if (this.signal === null || !this.signal.fits(frame)) {
      found.push(
        ...this.#alerts(this.#findings.end("the leads or the sampling rate changed", this.signal?.seconds ?? 0), unix),
      );
      this.signal = new EcgSignal(frame, heartDetectorFor(frame), KEPT);
      this.#findings = new Findings();
      this.#age.clear();
    }
    this.#labels = labelsOf(message.data);
    const { signal } = this;
    const missing = signal.missing;
    signal.take(frame, steady);
    this.#messages += 1;
    if (signal.missing > missing) this.#noteGap((signal.missing - missing) / signal.buffer.samplingRate, steady);
    found.push(...this.#alerts(this.#findings.update(signal.heart, signal.seconds), unix));
    const { end } = signal.buffer;
    const sent = message.timestamp === null ? null : Number(message.timestamp) / 1e6;
    const place = { first: end - frame.samples, end, rate: signal.head.rate };
    this.#age.arrived({ ...place, taken: frame.timestamp, sent, at: unix }, steady);
    this.#last = steady;
    this.#frame = frame.samples / frame.samplingRate;
    this.refusal = this.fault = "";
    return found;
  }

  /** Take a FEATURE_DATA message. */
  takeNumbers(message: Message, moment: Moment): void {
    this.#numerics.take(message, serverTime(moment));
  }

  /** Returns whether a lead that is shown is of that kind. */
  has(kind: OtherKind): boolean {
    return this.leads.some((lead) => this.signal?.buffer.channels[lead]?.kind === kind);
  }

  /** Note that messages may be missing before the next one. */
  interrupt(clockWentBack: boolean): void {
    this.signal?.interrupt(clockWentBack);
  }

  /** Note that the head was drawn. */
  displayed(now: number): void {
    this.#displayed = now;
  }

  report(moment: Moment, link: { readonly isOpen: boolean; readonly wasCut: boolean }): BedReport {
    const { signal } = this;
    const { steady } = moment;
    if (signal !== null && steady - this.#displayed > HIDDEN) signal.head.advanceUnseen(steady);
    const seen = signal === null ? null : this.#age.at(signal.buffer.end, moment.unix, steady, moment.server);
    const since = Number.isNaN(this.#last) ? null : steady - this.#last;
    const condition = conditionOf({
      ...link,
      refusal: this.refusal,
      fault: this.fault,
      since,
      asked: steady - this.#asked,
      frame: this.#frame,
      seen,
    });
    const rate = Math.round(signal?.rateAt(steady) ?? Number.NaN);
    const heart = signal?.heart;
    return {
      name: this.name,
      condition,
      labels: this.#labels,
      rate: Number.isNaN(rate) ? null : rate,
      numerics: this.#numerics.at(link.isOpen ? serverTime(moment) : Number.POSITIVE_INFINITY),
      shown: this.leads.map((lead) => signal?.buffer.leads[lead] ?? ""),
      off: heart?.off ?? [],
      silent: heart?.rhythm === "asystole" ? heart.silentSeconds : 0,
      isBlind: signal !== null && !signal.ecgQuality.includes("ok"),
      gap: steady - this.#gap.at < TOLD ? `Gap of ${this.#gap.seconds.toFixed(1)} s` : "",
      gaps: signal?.gaps ?? 0,
      missing: signal?.missing ?? 0,
      messages: this.#messages,
      samples: signal?.buffer.end ?? 0,
    };
  }

  #noteGap(seconds: number, now: number): void {
    const isSame = now - this.#gap.at < TOLD;
    this.#gap = { seconds: seconds + (isSame ? this.#gap.seconds : 0), at: now };
  }

  #alerts(found: readonly Finding[], now: number): Alert[] {
    const { signal } = this;
    const timeOf = (second: number): number => signal?.timeOf(second * signal.buffer.samplingRate) ?? Number.NaN;
    return found.map((finding) => foundAlert(finding, this.name, timeOf, now));
  }
}

/** Unix seconds by the server's clock, as far as it is known. */
function serverTime({ unix, server }: Moment): number {
  return unix + (server?.offset ?? 0);
}
