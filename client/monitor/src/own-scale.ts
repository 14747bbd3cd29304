/** The scales of signals that are no ECG: a round range of their values, in their own unit, over the height of their row. */

import { type Channel, leadsOf, type OtherKind } from "./channels.js";
import type { Layout, Trace } from "./layout.js";
import { pixelsPerMillivolt, type Scale } from "./scale.js";
import type { TraceBuffer } from "./trace-buffer.js";

export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The scale of one trace. Lengths are CSS pixels. */
export interface OwnScale {
  readonly kind: OtherKind;
  readonly unit: string;
  /** The values at the bottom and at the top; null before there is a sample. */
  readonly range: Range | null;
  readonly top: number;
  readonly bottom: number;
  readonly zero: number;
  readonly perUnit: number;
}

/** Seconds of the signal whose values a range is made of. */
const WINDOW = 30;
/** Share of a range below which it is made smaller. */
const SMALL = 0.4;
/** Share of the values by which a range is larger. */
const ROOM = 0.08;
/** Least number of steps in a range. */
const STEPS = 4;
/** Share of a row above and below the scale. */
const ABOVE = 0.2;
const BELOW = 0.08;

/** A round range that holds the values, with some room; that of pressures includes 0. */
export function rangeFor({ low, high }: Range, { kind }: Channel): Range {
  const from = kind === "pressure" ? Math.min(0, low) : low;
  const to = kind === "pressure" ? Math.max(0, high) : high;
  const least = Math.max(0.02 * Math.max(Math.abs(from), Math.abs(to)), 1e-9); // noise of a flat signal stays small
  const wide = Math.max(to - from, least);
  const middle = (from + to) / 2;
  const step = roundStep(wide / STEPS);
  const half = wide / 2 + ROOM * wide;
  const bottom = kind === "pressure" && low >= 0 ? 0 : Math.floor((middle - half) / step) * step;
  return { low: rounded(bottom), high: rounded(Math.ceil((middle + half) / step) * step) };
}

/** The largest 1, 2 or 5 times a power of ten that is at most `most`. */
function roundStep(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1) * power;
}

/** Without the error of the last digits. */
const rounded = (value: number): number => Number(value.toPrecision(12)) + 0;

/** The ranges of the signals of one buffer that are no ECG. */
export class OwnRanges {
  readonly #leads: readonly number[];
  readonly #ranges = new Map<number, Range>();
  /** The sample up to which the values are known, and when ranges were last made smaller. */
  #known = Number.NEGATIVE_INFINITY;
  #checked = Number.NEGATIVE_INFINITY;

  constructor(readonly channels: readonly Channel[]) {
    this.#leads = leadsOf(channels, false);
  }

  /** The range of a lead; null before it has a sample. */
  of(lead: number): Range | null {
    return this.#ranges.get(lead) ?? null;
  }

  /** Follow a live signal. Returns whether a range has changed, so that all is drawn again. */
  follow(buffer: TraceBuffer): boolean {
    const { end } = buffer;
    if (this.#leads.length === 0 || end === this.#known) return false;
    const window = WINDOW * buffer.samplingRate;
    const isDue = end - this.#checked >= window;
    let hasChanged = false;
    for (const lead of this.#leads) {
      const fresh = extremes(buffer, lead, Math.max(buffer.start, this.#known), end);
      const range = this.of(lead);
      if (!isDue && (fresh === null || (range !== null && holds(range, fresh)))) continue;
      const recent = extremes(buffer, lead, Math.max(buffer.start, end - window), end);
      if (recent === null) continue;
      const wanted = rangeFor(recent, this.channels[lead]);
      const isSmall = range !== null && wanted.high - wanted.low < SMALL * (range.high - range.low);
      if (range !== null && holds(range, recent) && !isSmall) continue;
      this.#ranges.set(lead, wanted);
      hasChanged = true;
    }
    if (isDue) this.#checked = end;
    this.#known = end;
    return hasChanged;
  }

  /** Make room for the samples `[from, to)` of a frozen screen. */
  include(buffer: TraceBuffer, from: number, to: number): void {
    for (const lead of this.#leads) {
      const shown = extremes(buffer, lead, Math.max(buffer.start, from), Math.min(buffer.end, to));
      const range = this.of(lead);
      if (shown === null || (range !== null && holds(range, shown))) continue;
      const low = Math.min(shown.low, range?.low ?? shown.low);
      const high = Math.max(shown.high, range?.high ?? shown.high);
      this.#ranges.set(lead, rangeFor({ low, high }, this.channels[lead]));
    }
  }
}

function holds(range: Range, values: Range): boolean {
  return values.low >= range.low && values.high <= range.high;
}

/** The least and the largest value of the samples `[from, to)`; null if all are missing. */
export function extremes(buffer: TraceBuffer, lead: number, from: number, to: number): Range | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let sample = from; sample < to; sample += 1) {
    const value = buffer.at(lead, sample);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return Number.isFinite(low) && Number.isFinite(high) ? { low, high } : null;
}

/** The scale of a signal in a row. Lengths are CSS pixels, or those of the row. */
export function ownScale(channel: Channel, range: Range | null, top: number, height: number): OwnScale {
  const [upper, lower] = [top + ABOVE * height, top + (1 - BELOW) * height];
  const perUnit = range === null ? 0 : (lower - upper) / (range.high - range.low);
  const zero = range === null ? lower : lower + range.low * perUnit;
  return { kind: channel.kind as OtherKind, unit: channel.unit, range, top: upper, bottom: lower, zero, perUnit };
}

/** Give the traces of a layout that are no ECG their scales. */
export function withOwnScales(layout: Layout, ranges: OwnRanges): Layout {
  const { channels } = ranges;
  const scaled = (trace: Trace): Trace => {
    const channel = channels[trace.lead];
    if (channel === undefined || channel.kind === "ecg") return trace;
    const own = ownScale(channel, ranges.of(trace.lead), trace.top, trace.height);
    return { ...trace, own, baseline: Math.round((own.top + own.bottom) / 2) };
  };
  if (channels.every(({ kind }) => kind === "ecg")) return layout;
  return { ...layout, panels: layout.panels.map((panel) => ({ ...panel, traces: panel.traces.map(scaled) })) };
}

/** Height of the value 0 of a trace, and CSS pixels of a unit, upwards. */
export function courseOf({ own, baseline }: Trace, scale: Scale): { baseline: number; millivolt: number } {
  if (own !== undefined) return { baseline: own.zero, millivolt: own.perUnit };
  return { baseline, millivolt: pixelsPerMillivolt(scale) };
}

/** A value at an end of a scale, as text. */
export function scaleText(value: number): string {
  return String(Number(value.toPrecision(6))).replace("-", "−");
}
