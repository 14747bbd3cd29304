/**
 * CSV: a row for each sample, a column for each lead, in millivolts or its own unit; a missing sample is an empty cell. Lines of
 * `# name: text` at the top have everything else.
 *
 * A spreadsheet takes a cell that begins with one of `= + - @`, or with their wide forms, for a formula: if text of the
 * sender does, an apostrophe is put before it.
 */

import { exactCounts } from "./counts.js";
import { facts } from "./files.js";
import type { Strip } from "./strip.js";
import { clean } from "./text.js";

/** Rows per piece of text. */
const PIECE = 4096;
const FORMULA = /^\s*[=+\-@＝＋－＠]/;
/** A program that splits a comment into cells must not find a formula either. */
const INNER_FORMULA = /([,;\t]\s*)(?=[=+\-@＝＋－＠])/g;

/** Return the file in pieces. */
export function toCsv(strip: Strip): string[] {
  const { buffer, from, to, origin } = strip;
  const { leads, samplingRate } = buffer;
  const calibration = origin.calibration(from, to);
  const units = buffer.channels.map(({ unit }) => unit || "unknown");
  const exact = leads.map((_, lead) => exactCounts(strip, calibration, lead));
  const lines: [string, string][] = [
    ...facts(strip),
    ["sampling_rate", String(samplingRate)],
    ["units", [...new Set(units)].join(", ")],
    ["resolution", resolution(exact.map((counts) => counts !== null))],
  ];
  if (exact.every((counts) => counts !== null)) {
    lines.push(["adc_gain", exact.map(({ gain }) => gain).join(" ")]);
    lines.push(["adc_baseline", exact.map(({ baseline }) => baseline).join(" ")]);
  }
  const head = lines.map(([name, text]) => comment(name, text)).join("");
  const names = ["time [s]", ...leads.map((name, lead) => cell(`${name} [${units[lead]}]`))].join(",");
  const pieces = [`${head}${names}\n`];
  for (let begin = from; begin < to; begin += PIECE) {
    const rows: string[] = [];
    for (let sample = begin; sample < Math.min(to, begin + PIECE); sample += 1) {
      const index = sample - from;
      const values = exact.map((counts, lead) => {
        if (counts === null) return shortest(buffer.at(lead, sample));
        const count = counts.counts[index];
        return Number.isNaN(count) ? "" : String((count - counts.baseline) / counts.gain);
      });
      rows.push(`${index / samplingRate},${values.join(",")}\n`);
    }
    pieces.push(rows.join(""));
  }
  return pieces;
}

function resolution(isExact: readonly boolean[]): string {
  if (isExact.every(Boolean)) return "ADC counts, each as (count - adc_baseline) / adc_gain";
  return isExact.some(Boolean)
    ? "float32 where the messages have no exact counts, else (count - adc_baseline) / adc_gain"
    : "float32: 24 bits of each value";
}

/** Quote text for a cell. */
export function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${clean(text)}` : clean(text);
  return /[",;\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function comment(name: string, text: string): string {
  return `# ${name}: ${clean(text).replaceAll('"', "'").replace(INNER_FORMULA, "$1'")}\n`;
}

/** Format a float32 with the fewest digits that identify it; empty if it is NaN or infinite. */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return "";
  for (let digits = 6; digits < 9; digits += 1) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(Number(value.toPrecision(9)));
}
