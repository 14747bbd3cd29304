/** The name of a saved file, and the facts that every file states. */

import { differs, marksOf, missingOfAll, type Strip, took } from "./strip.js";
import { clean } from "./text.js";

/** Number of gaps that are listed; of the others, only the number is given. */
const NAMED = 50;

/** A file name such as `ecg-1_20261128T222833Z`, with characters that all file systems and WFDB support. */
export function fileName(strip: Strip, now: number): string {
  const name =
    strip.stream
      .replace(/[^A-Za-z0-9_-]+/g, "-")
      .slice(0, 60)
      .replace(/^-+|-+$/g, "") || "stream";
  const start = strip.timeOf(strip.from);
  const time = new Date(1000 * (Number.isFinite(start) ? start : now)).toISOString();
  return `${name}_${time.slice(0, 19).replace(/[-:]/g, "")}Z`;
}

/** The beginning of the strip in UTC, with microseconds; empty if the stream has no times. */
export function startOf(strip: Strip): string {
  const start = strip.timeOf(strip.from);
  return Number.isFinite(start) ? utc(start) : "";
}

/** A time in UTC, with microseconds. */
function utc(seconds: number): string {
  const whole = Math.floor(seconds);
  const micros = Math.min(999_999, Math.round((seconds - whole) * 1e6));
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
}

/** Pairs of name and text: patient, device, times and gaps. */
export function facts(strip: Strip): [string, string][] {
  const { buffer, from, to, origin, state } = strip;
  const { patient, device, filter, pacing, leads } = origin.said(from, to);
  const guess = origin.guess(from, to);
  return [
    ["stream", clean(strip.stream)],
    ["patient", patient || "not stated"],
    ["device", device || "not stated"],
    ["filter", filter || "not stated"],
    ...(pacing === "" ? [] : [["pacing", pacing] as [string, string]]),
    ...(leads === "" ? [] : [["leads", leads] as [string, string]]),
    ["start", startOf(strip) || "not stated"],
    ["seconds", String((to - from) / buffer.samplingRate)],
    ...(differs(strip) ? [["seconds by the stream's own clock", String(took(strip))] as [string, string]] : []),
    ["signal when taken", clean(state)],
    ["end before the newest sample then, s", String((strip.newest - to) / buffer.samplingRate)],
    ...(guess === "" ? [] : [["amplitude", guess] as [string, string]]),
    ...marksOf(strip).map(({ at, text }): [string, string] => [`mark at ${utc(at)}`, clean(text) || "without a text"]),
    ["missing", missingText(strip)],
  ];
}

/** A text that lists the gaps, in seconds from the beginning of the strip. */
export function missingText(strip: Strip): string {
  const all = missingOfAll(strip);
  if (all.length === 0) return "nothing";
  const { leads, samplingRate } = strip.buffer;
  const named = all.slice(0, NAMED).map(({ gap, leads: missing }) => {
    const at = (sample: number): string => ((sample - strip.from) / samplingRate).toFixed(3);
    const who = missing.length === leads.length ? "all leads" : missing.map((lead) => clean(leads[lead])).join(" ");
    return `${at(gap.from)} to ${at(gap.to)} s (${who})`;
  });
  const others = all.length > NAMED ? [`${all.length - NAMED} more stretches`] : [];
  return [...named, ...others].join("; ");
}
