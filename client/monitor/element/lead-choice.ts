/** The leads of a stream that are shown. */

import { plainName } from "../src/layout.js";
import type { EcgFrame } from "../src/signal.js";

/** The names of an attribute: separated by commas, or by spaces if it has none. */
export function leadNames(text: string | null): readonly string[] {
  const parts = (text ?? "").split((text ?? "").includes(",") ? "," : /\s+/);
  return parts.map((name) => name.trim()).filter((name) => name !== "");
}

/** Returns the frame with these leads only, in this order, and the names that it does not have. */
export function chosenLeads(frame: EcgFrame, names: readonly string[]): { frame: EcgFrame; absent: readonly string[] } {
  if (names.length === 0) return { frame, absent: [] };
  const there = frame.leads.map(plainName);
  const places = names.map((name) => there.indexOf(plainName(name)));
  const rows = places.filter((place) => place >= 0);
  const absent = names.filter((_, index) => places[index] < 0);
  const { samples, signal } = frame;
  const pick = <Value>(values: readonly Value[]): Value[] => rows.map((row) => values[row]);
  const chosen = new Float64Array(rows.length * samples);
  for (const [index, row] of rows.entries())
    for (let at = 0; at < samples; at += 1) chosen[index * samples + at] = Number(signal[row * samples + at]);
  return {
    frame: {
      ...frame,
      signal: chosen,
      leads: pick(frame.leads),
      gain: pick(frame.gain),
      baseline: pick(frame.baseline),
      ...(frame.channels === undefined ? {} : { channels: pick(frame.channels) }),
      told: { ...frame.told, leads: frame.told.leads && pick(frame.told.leads) },
    },
    absent,
  };
}
