/**
 * WFDB, the format of PhysioNet: a text header, and interleaved int16 samples (format 16); -32768 is a missing sample.
 */

import type { TraceBuffer } from "../trace-buffer.js";
import { type Counts, exactCounts } from "./counts.js";
import { facts } from "./files.js";
import type { Strip } from "./strip.js";
import { clean } from "./text.js";
import type { Entry } from "./zip.js";

const MISSING = -32768;
const MOST = 32767;
/** The most counts per millivolt for physical values: steps of 10 nV. */
const FINEST = 100_000;
const COARSEST = 1e-6;

/** A lead in format 16. */
export interface Digitised {
  readonly counts: Int16Array;
  readonly gain: number;
  readonly baseline: number;
  /** How the samples were changed; empty if they are the messages' counts. */
  readonly change: string;
}

/** Return the two files of a record. The name may have letters, digits, `-` and `_`. */
export function toWfdb(strip: Strip, name: string): Entry[] {
  const { buffer, from, to, origin } = strip;
  const calibration = origin.calibration(from, to);
  const leads = buffer.leads.map((_, lead) => digitise(strip, exactCounts(strip, calibration, lead), lead));
  const samples = to - from;
  const data = new Uint8Array(2 * samples * leads.length);
  const view = new DataView(data.buffer);
  for (const [lead, { counts }] of leads.entries()) {
    for (let sample = 0; sample < samples; sample += 1)
      view.setInt16(2 * (sample * leads.length + lead), counts[sample], true);
  }
  const header = [
    [name, leads.length, buffer.samplingRate, samples, ...dateOf(strip.timeOf(from))].join(" "),
    ...leads.map((each, lead) => signalLine(`${name}.dat`, each, buffer.leads[lead], unitOf(buffer, lead))),
    ...comments(strip, leads).map((text) => `# ${ascii(text)}`),
  ];
  return [
    { name: `${name}.hea`, bytes: new TextEncoder().encode(`${header.join("\n")}\n`) },
    { name: `${name}.dat`, bytes: data },
  ];
}

/** Convert a lead to 16 bits: its counts if they fit, else the counts minus a constant, else rounded values. */
export function digitise(strip: Strip, exact: Counts | null, lead: number): Digitised {
  if (exact !== null) {
    const { low, high } = range(exact.counts);
    const isInside = low >= -MOST && high <= MOST;
    if (isInside || high - low <= 2 * MOST) {
      const shift = isInside ? 0 : Math.round((low + high) / 2);
      const change = shift === 0 ? "" : `${shift} is subtracted from each count and from the baseline, to fit 16 bits`;
      const { gain, baseline } = exact;
      return { counts: stored(exact.counts, (count) => count - shift), gain, baseline: baseline - shift, change };
    }
  }
  const values = Float64Array.from(strip.buffer.slice(lead, strip.from, strip.to));
  const { low, high } = range(values);
  const middle = (low + high) / 2;
  const gain = gainFor(high - low);
  const baseline = -Math.round(middle * gain);
  const change = `rounded to steps of ${Number((1 / gain).toPrecision(3))} ${unitOf(strip.buffer, lead)}: ${exact === null ? "the messages have no exact counts" : "the counts need more than 16 bits"}`;
  return { counts: stored(values, (value) => Math.round(value * gain) + baseline), gain, baseline, change };
}

function stored(values: Float64Array, convert: (value: number) => number): Int16Array {
  return Int16Array.from(values, (value) => (Number.isFinite(value) ? convert(value) : MISSING));
}

/** The range of the finite values; 0 to 0 if there is none. */
function range(values: Float64Array): { low: number; high: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? { low: 0, high: 0 } : { low, high };
}

/** The most counts per millivolt, 1, 2 or 5 times a power of ten, with which a range fits 16 bits. */
function gainFor(millivolts: number): number {
  const most = Math.min(FINEST, Math.max(COARSEST, (2 * MOST - 2) / millivolts));
  const power = 10 ** Math.floor(Math.log10(most));
  const steps = [5, 2, 1].find((step) => step * power <= most) ?? 1;
  return steps * power;
}

function signalLine(file: string, { counts, gain, baseline }: Digitised, name: string, unit: string): string {
  const sum = (counts.reduce((total, count) => total + count, 0) << 16) >> 16;
  return `${file} 16 ${gain}(${baseline})/${unit} 16 0 ${counts[0] ?? 0} ${sum} 0 ${ascii(clean(name).trim())}`;
}

/** The unit of a lead in a header, which has no blanks in it. */
function unitOf({ channels }: TraceBuffer, lead: number): string {
  return ascii(clean(channels[lead].unit)).replaceAll(/[\s/]+/g, "_") || "unknown";
}

function comments(strip: Strip, leads: readonly Digitised[]): string[] {
  const names = strip.buffer.leads;
  const changed = leads.flatMap(({ change }, lead) => (change === "" ? [] : [`${clean(names[lead])}: ${change}`]));
  return [
    ...facts(strip).map(([name, text]) => `${name}: ${text}`),
    "date and time of the first line are UTC",
    ...(changed.length === 0
      ? ["counts: those of the messages, unchanged"]
      : changed.map((text) => `counts of ${text}`)),
  ];
}

/** Time and date for a header, in UTC; empty if the stream has no times. */
function dateOf(seconds: number): string[] {
  if (!Number.isFinite(seconds)) return [];
  const whole = Math.floor(seconds);
  const date = new Date(whole * 1000).toISOString();
  const micros = String(Math.min(999_999, Math.round((seconds - whole) * 1e6))).padStart(6, "0");
  return [`${date.slice(11, 19)}.${micros}`, `${date.slice(8, 10)}/${date.slice(5, 7)}/${date.slice(0, 4)}`];
}

/** Escape non-ASCII characters of a header, as in `\u00b5`. */
export function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Texts to show before a record is saved: which leads are changed, and how. */
export function wfdbChanges(strip: Strip): string[] {
  const calibration = strip.origin.calibration(strip.from, strip.to);
  const found = new Map<string, string[]>();
  for (const [lead, name] of strip.buffer.leads.entries()) {
    const { change } = digitise(strip, exactCounts(strip, calibration, lead), lead);
    if (change !== "") found.set(change, [...(found.get(change) ?? []), clean(name)]);
  }
  return [...found].map(
    ([change, names]) => `${names.length === strip.buffer.leads.length ? "all leads" : names.join(" ")}: ${change}`,
  );
}
