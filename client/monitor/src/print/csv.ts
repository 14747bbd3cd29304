/**
 * CSV: a row a sample, a column a lead, all in millivolts; what is missing is an empty cell. Lines of `# name: text`
 * above say the rest.
 *
 * A spreadsheet takes a cell for a formula that begins with one of `= + - @`, or with their wide forms: where text from outside does, an
 * apostrophe stands before it.
 */

import { exactCounts } from "./counts.js";
import { facts } from "./files.js";
import type { Strip } from "./strip.js";
import { clean } from "./text.js";

/** Rows that are made into one piece of text. */
const PIECE = 4096;
const FORMULA = /^\s*[=+\-@＝＋－＠]/;
/** In a line that is no row, a program that splits it all the same must find no formula either. */
const INNER_FORMULA = /([,;\t]\s*)(?=[=+\-@＝＋－＠])/g;

/** The file in pieces. */
export function toCsv(strip: Strip): string[] {
  const { buffer, from, to, origin } = strip;
  const { leads, samplingRate } = buffer;
  const calibration = origin.calibration(from, to);
  const exact = leads.map((_, lead) => exactCounts(strip, calibration, lead));
  const lines: [string, string][] = [
    ...facts(strip),
    ["sampling_rate", String(samplingRate)],
    ["units", "mV"],
    ["resolution", resolution(exact.map((counts) => counts !== null))],
  ];
  if (exact.every((counts) => counts !== null)) {
    lines.push(["adc_gain", exact.map(({ gain }) => gain).join(" ")]);
    lines.push(["adc_baseline", exact.map(({ baseline }) => baseline).join(" ")]);
  }
  const head = lines.map(([name, text]) => comment(name, text)).join("");
  const names = ["time [s]", ...leads.map((name) => cell(`${name} [mV]`))].join(",");
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
  if (isExact.every(Boolean)) return "counts of the converter, each as (count - adc_baseline) / adc_gain";
  return isExact.some(Boolean)
    ? "float32 where the messages had no counts that can be told exactly, else the counts' own"
    : "float32, as the page keeps it: 24 bits of each value";
}

/** Text as a cell of a table. */
export function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${clean(text)}` : clean(text);
  return /[",;\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function comment(name: string, text: string): string {
  return `# ${name}: ${clean(text).replaceAll('"', "'").replace(INNER_FORMULA, "$1'")}\n`;
}

/** A float32 with as many digits as tell it from its neighbours; nothing where it is no number. */
export function shortest(value: number): string {
  if (!Number.isFinite(value)) return "";
  for (let digits = 6; digits < 9; digits += 1) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(Number(value.toPrecision(9)));
}
