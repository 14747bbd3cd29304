/** The part of a stream that is printed or saved. */

import type { Gap, TraceBuffer } from "../trace-buffer.js";
import type { PrintedMark } from "./flags.js";
import type { Origin } from "./origin.js";
import { span } from "./text.js";

/** Length of a page in seconds. */
export const PAGE = 10;
/** Age in seconds from which a signal is not live. */
const DELAYED = 2;
/** Share by which the stream's clock may differ from its sampling rate without a note. */
const CLOCKS_DIFFER = 0.02;
/** Text of the badge for a live signal. */
const LIVE = "Live";

export interface Strip {
  readonly stream: string;
  /** A copy, which does not change. */
  readonly buffer: TraceBuffer;
  /** Samples `[from, to)`. */
  readonly from: number;
  readonly to: number;
  /** Number of the sample after the newest one when the strip was taken. */
  readonly newest: number;
  readonly origin: Origin;
  /** Index of the rhythm lead. */
  readonly rhythm: number;
  /** State of the signal when the strip was taken: `live`, `delayed 24 s`. */
  readonly state: string;
  readonly isLive: boolean;
  /** The marks of events in the buffer, in the order of time. */
  readonly marks: readonly PrintedMark[];
  /** The time of a sample, in Unix seconds; NaN if the stream has no times. */
  timeOf(sample: number): number;
}

/** State of the signal when the strip was taken. */
export interface Condition {
  readonly isLost: boolean;
  /** Text of the page's badge. */
  readonly badge: string;
  /** Age of the newest sample in seconds; NaN if the stream has no times. */
  readonly age: number;
}

/** The state as text: that of the badge, unless the signal is live. */
export function stateText({ isLost, badge, age }: Condition): { text: string; isLive: boolean } {
  const old = Number.isNaN(age) ? "age not stated" : `newest sample ${span(Math.max(0, age))} old`;
  if (isLost) return { text: `signal lost (${badge}), ${old}`, isLive: false };
  if (badge !== LIVE) return { text: badge.toLowerCase(), isLive: false };
  if (Number.isNaN(age)) return { text: "age not stated", isLive: false };
  if (age > DELAYED) return { text: `delayed ${span(age)}`, isLive: false };
  if (age < -DELAYED) return { text: `clocks differ: newest sample ${span(-age)} ahead`, isLive: false };
  return { text: "live", isLive: true };
}

/** Length of `[from, to)` in seconds by the stream's clock. */
export function took(strip: Strip, from = strip.from, to = strip.to): number {
  return strip.timeOf(to) - strip.timeOf(from);
}

/** Returns whether that differs from the sampling rate: a recording is played fast, or its rate is wrong. */
export function differs(strip: Strip, from = strip.from, to = strip.to): boolean {
  const seconds = (to - from) / strip.buffer.samplingRate;
  return Math.abs(took(strip, from, to) - seconds) > CLOCKS_DIFFER * seconds;
}

/** The samples of a strip of that many seconds, from the screen's left edge at `first`, or up to the end. */
export function stretchOf(
  buffer: { readonly start: number; readonly end: number; readonly samplingRate: number },
  first: number,
  seconds: number,
): { from: number; to: number } {
  const wanted = Math.round(seconds * buffer.samplingRate);
  const from = Math.max(buffer.start, Math.min(first, buffer.end - wanted));
  return { from, to: Math.min(buffer.end, from + wanted) };
}

/** Copy the times of samples, as a signal forgets those of its oldest stretches. */
export function timesNow(signal: { timeOf(sample: number): number }, buffer: TraceBuffer): (sample: number) => number {
  const marks = [buffer.start, ...buffer.gaps.map(({ to }) => to)].map((sample) => ({
    sample,
    time: signal.timeOf(sample),
  }));
  const probe = Math.max(1, Math.round(buffer.samplingRate));
  const step = (signal.timeOf(buffer.end) - signal.timeOf(buffer.end - probe)) / probe;
  return (sample) => {
    const mark = marks.findLast((each) => each.sample <= sample) ?? marks[0];
    return mark.time + (sample - mark.sample) * step;
  };
}

/** The marks in `[from, to)`. */
export function marksOf(strip: Strip, from = strip.from, to = strip.to): PrintedMark[] {
  return strip.marks.filter(({ sample }) => sample >= from && sample < to);
}

/** The gaps of a lead in `[from, to)`. */
export function missingOf(buffer: TraceBuffer, lead: number, from: number, to: number): Gap[] {
  const found: Gap[] = [];
  let began = -1;
  for (let sample = from; sample < to; sample += 1) {
    if (!Number.isFinite(buffer.at(lead, sample))) {
      if (began < 0) began = sample;
    } else if (began >= 0) {
      found.push({ from: began, to: sample });
      began = -1;
    }
  }
  if (began >= 0) found.push({ from: began, to });
  return found;
}

/** The gaps of all leads, each with its leads. */
export function missingOfAll(strip: Strip, from = strip.from, to = strip.to): { gap: Gap; leads: number[] }[] {
  const found = new Map<string, { gap: Gap; leads: number[] }>();
  for (const lead of strip.buffer.leads.keys()) {
    for (const gap of missingOf(strip.buffer, lead, from, to)) {
      const key = `${gap.from}-${gap.to}`;
      const entry = found.get(key) ?? { gap, leads: [] };
      entry.leads.push(lead);
      found.set(key, entry);
    }
  }
  return [...found.values()].sort((one, other) => one.gap.from - other.gap.from);
}

/** Heart rate in beats per minute: the mean of the intervals in `[from, to)`, without those across a gap; NaN if none. */
export function rateOf(strip: Strip, peaks: readonly number[], from: number, to: number): number {
  const inside = peaks.filter((sample) => sample >= from && sample < to);
  const gaps = missingOf(strip.buffer, strip.rhythm, from, to);
  let [sum, count] = [0, 0];
  for (let index = 1; index < inside.length; index += 1) {
    const [one, other] = [inside[index - 1], inside[index]];
    if (gaps.some((gap) => gap.from < other && gap.to > one)) continue;
    sum += other - one;
    count += 1;
  }
  return count === 0 ? Number.NaN : (60 * strip.buffer.samplingRate * count) / sum;
}
