/** The heart rate over hours, in steps of a few seconds: from what arrived, and from the server's history. */

import { type Alert, foundAlert, readAlert, type Severity } from "./alert-history.js";
import { ECG, leadsOf } from "./channels.js";
import { Findings } from "./findings.js";
import { heartDetectorFor } from "./heart-detection.js";
import { rhythmLead } from "./layout.js";
import { type EcgFrame, EcgSignal, NOTHING_TOLD } from "./signal.js";

/** Seconds of a step, and number of steps that are kept: a day. */
export const STEP = 5;
const MOST_STEPS = (24 * 60 * 60) / STEP;
/** Number of alerts from the history that are kept. */
const MOST_MARKS = 500;
/** Seconds of samples that are kept while the history is read: what the detector needs is in the detector. */
const KEPT = 1;
/** Seconds after the beginning of a piece of the history in which its detector settles. */
const SETTLING = 6;
/** Leads in which beats of the past are looked for: that of the rhythm, and the first ones. */
const LEADS = 3;

/** The rates of one step, in beats per minute. */
export interface Rates {
  /** Unix seconds of its beginning. */
  readonly from: number;
  least: number;
  most: number;
  sum: number;
  count: number;
}

/** An alert at its place in time. */
export interface Mark {
  /** Unix seconds. */
  readonly at: number;
  readonly severity: Severity;
  readonly kind: string;
}

export class Trend {
  readonly #steps = new Map<number, Rates>();
  /** In the order of time; null if it is to be sorted again. */
  #sorted: Rates[] | null = null;
  #marks: Mark[] = [];
  #newest = Number.NEGATIVE_INFINITY;

  /** Add a rate at a time in Unix seconds. What is no rate, or older than a day, is left out. */
  add(at: number, rate: number): void {
    if (!Number.isFinite(at) || !(rate > 0)) return;
    const step = Math.floor(at / STEP);
    if (step <= this.#newest - MOST_STEPS) return;
    const known = this.#steps.get(step);
    if (known === undefined) {
      this.#steps.set(step, { from: step * STEP, least: rate, most: rate, sum: rate, count: 1 });
      this.#sorted = null;
      this.#forgetBefore(step);
      return;
    }
    known.least = Math.min(known.least, rate);
    known.most = Math.max(known.most, rate);
    known.sum += rate;
    known.count += 1;
  }

  /** Forget what is older than a day before a step, if that is the newest. */
  #forgetBefore(step: number): void {
    const before = this.#newest;
    this.#newest = Math.max(before, step);
    const isFar = !(step - before <= MOST_STEPS);
    const old = isFar
      ? this.#steps.keys()
      : Array.from({ length: Math.max(0, step - before) }, (_, n) => before + n + 1 - MOST_STEPS);
    for (const one of old) if (one <= this.#newest - MOST_STEPS) this.#steps.delete(one);
  }

  /** Add an alert of the history. */
  mark({ at, severity, kind }: Mark): void {
    if (this.#marks.some((one) => one.kind === kind && Math.abs(one.at - at) < 1)) return;
    this.#marks = [...this.#marks, { at, severity, kind }].slice(-MOST_MARKS);
  }

  clear(): void {
    this.#steps.clear();
    this.#sorted = null;
    this.#marks = [];
    this.#newest = Number.NEGATIVE_INFINITY;
  }

  /** The steps with a rate, in the order of time. */
  get steps(): readonly Rates[] {
    this.#sorted ??= [...this.#steps.values()].sort((one, other) => one.from - other.from);
    return this.#sorted;
  }

  get marks(): readonly Mark[] {
    return this.#marks;
  }

  /** The rate at a time; NaN if there is none. */
  rateAt(at: number): number {
    const found = this.#steps.get(Math.floor(at / STEP));
    return found === undefined ? Number.NaN : found.sum / found.count;
  }
}

/** The place of an alert in time, if it names one. */
export function markOf({ start, timestamp, severity, kind }: Alert): Mark | null {
  const at = start ?? timestamp;
  return at === null ? null : { at, severity, kind };
}

/** Finds the rates and the episodes of a piece of the history, frame by frame, without keeping its samples. */
export class PastRates {
  #signal: EcgSignal | null = null;
  #findings = new Findings();
  #began = 0;

  constructor(readonly trend: Trend) {}

  /** Take a frame. The frames come in order; after a gap or with other leads, it begins anew. */
  take(whole: EcgFrame): void {
    if (whole.timestamp === null || whole.samples === 0 || whole.leads.length === 0) return;
    const frame = fewLeads(whole);
    const at = whole.timestamp;
    const end = at + frame.samples / frame.samplingRate;
    if (this.#signal === null || !this.#signal.fits(frame)) {
      this.#signal = new EcgSignal(frame, heartDetectorFor(frame), KEPT);
      this.#findings = new Findings();
      this.#began = at;
    }
    const signal = this.#signal;
    signal.take(frame, at);
    if (end - this.#began < SETTLING) return;
    this.trend.add(end, signal.rate);
    const timeOf = (second: number): number => signal.timeOf(second * signal.buffer.samplingRate);
    for (const finding of this.#findings.update(signal.heart, signal.seconds))
      if (finding.end === null) this.#mark(foundAlert(finding, "", timeOf, end));
  }

  /** Take the data of an alert of the history. */
  alert(data: unknown, sent: number | null): void {
    const mark = markOf(readAlert(data, sent ?? 0));
    if (mark !== null) this.trend.mark(mark);
    else if (sent !== null) this.#mark({ ...readAlert(data, sent), timestamp: sent });
  }

  #mark(alert: Alert): void {
    const mark = markOf(alert);
    if (mark !== null) this.trend.mark(mark);
  }
}

/** Returns a frame with a few of its leads: finding beats in twelve takes four times as long. */
function fewLeads(frame: EcgFrame): EcgFrame {
  const { samples, signal, leads, told } = frame;
  const { channels = leads.map(() => ECG) } = frame;
  const rhythm = rhythmLead(leads, channels);
  const rows = [rhythm, ...leadsOf(channels, true)]
    .filter((row, place, all) => all.indexOf(row) === place)
    .slice(0, LEADS);
  const chosen = new Float64Array(rows.length * samples);
  for (const [index, row] of rows.entries())
    for (let at = 0; at < samples; at += 1) chosen[index * samples + at] = Number(signal[row * samples + at]);
  const pick = <Value>(values: readonly Value[]): Value[] => rows.map((row) => values[row]);
  return {
    ...frame,
    signal: chosen,
    leads: pick(leads),
    gain: pick(frame.gain),
    baseline: pick(frame.baseline),
    ...(frame.channels === undefined ? {} : { channels: pick(frame.channels) }),
    told: { ...NOTHING_TOLD, spikes: told.spikes, leads: told.leads && pick(told.leads) },
  };
}
