/** What every saved file says of its strip, and the name that it has. */

import { differs, missingOfAll, type Strip, took } from "./strip.js";
import { clean } from "./text.js";

/** Stretches that are named one by one; the others are counted. */
const NAMED = 50;

/** `ecg-1_20261128T222833Z`: of letters that every file system takes, and WFDB. */
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

/** When the strip begins, in UTC with microseconds; empty where the stream does not say. */
export function startOf(strip: Strip): string {
  const start = strip.timeOf(strip.from);
  if (!Number.isFinite(start)) return "";
  const whole = Math.floor(start);
  const micros = Math.min(999_999, Math.round((start - whole) * 1e6));
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
}

/** Lines of `[name, text]`: whose signal it is, and what is missing of it. */
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
    ["missing", missingText(strip)],
  ];
}

/** Which samples are missing, in seconds from the strip's beginning. */
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
