/** The stretch of a stream that is printed or saved, and all that is to be said of it. */

import type { Gap, TraceBuffer } from "../trace-buffer.js";
import type { Origin } from "./origin.js";
import { span } from "./text.js";

/** Seconds of a page. */
export const PAGE = 10;
/** Seconds of age from which a signal is not live any more. */
const DELAYED = 2;
/** Share by which the clock of the stream may differ from its sampling rate before it is told. */
const CLOCKS_DIFFER = 0.02;
/** What the badge says of a signal with which all is well. */
const LIVE = "Live";

export interface Strip {
  readonly stream: string;
  /** A copy that nothing is added to. */
  readonly buffer: TraceBuffer;
  /** Samples `[from, to)`. */
  readonly from: number;
  readonly to: number;
  /** Number of the sample after the newest, when the strip was taken. */
  readonly newest: number;
  readonly origin: Origin;
  /** The lead of the rhythm. */
  readonly rhythm: number;
  /** What the page said of the signal when the strip was taken: `live`, `delayed 24 s`. */
  readonly state: string;
  readonly isLive: boolean;
  /** When a sample was taken, in Unix seconds; NaN where the stream does not say. */
  timeOf(sample: number): number;
}

/** How the signal was when the strip was taken. */
export interface Condition {
  readonly isLost: boolean;
  /** What the page's badge says. */
  readonly badge: string;
  /** Seconds since the newest sample was taken; NaN where the stream does not say. */
  readonly age: number;
}

/** The condition in words: those of the badge, where it says that something is the matter. */
export function stateText({ isLost, badge, age }: Condition): { text: string; isLive: boolean } {
  const old = Number.isNaN(age) ? "age not stated" : `newest sample ${span(Math.max(0, age))} old`;
  if (isLost) return { text: `signal lost (${badge}), ${old}`, isLive: false };
  if (badge !== LIVE) return { text: badge.toLowerCase(), isLive: false };
  if (Number.isNaN(age)) return { text: "age not stated", isLive: false };
  if (age > DELAYED) return { text: `delayed ${span(age)}`, isLive: false };
  if (age < -DELAYED) return { text: `clocks differ: newest sample ${span(-age)} ahead`, isLive: false };
  return { text: "live", isLive: true };
}

/** Seconds that `[from, to)` took by the clock of the stream. */
export function took(strip: Strip, from = strip.from, to = strip.to): number {
  return strip.timeOf(to) - strip.timeOf(from);
}

/** Whether that is not what the sampling rate says: a recording that is played faster, or a rate that is wrong. */
export function differs(strip: Strip, from = strip.from, to = strip.to): boolean {
  const seconds = (to - from) / strip.buffer.samplingRate;
  return Math.abs(took(strip, from, to) - seconds) > CLOCKS_DIFFER * seconds;
}

/** Which samples a strip of so many seconds has, where the screen's left edge is at `first`: there, or at the end. */
export function stretchOf(
  buffer: { readonly start: number; readonly end: number; readonly samplingRate: number },
  first: number,
  seconds: number,
): { from: number; to: number } {
  const wanted = Math.round(seconds * buffer.samplingRate);
  const from = Math.max(buffer.start, Math.min(first, buffer.end - wanted));
  return { from, to: Math.min(buffer.end, from + wanted) };
}

/** When samples were taken, as it is known now: a stream forgets when its oldest stretches began. */
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

/** The stretches of `[from, to)` in which a lead has no samples. */
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

/** Stretches that are missing, and from which leads: all at once is one entry. */
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

/** Beats a minute: the mean of the intervals in `[from, to)`, those across a gap aside; NaN where there is none. */
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
