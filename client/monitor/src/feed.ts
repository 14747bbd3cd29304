/** Conversion of messages to frames in millivolts. */

import { ecgData } from "../../src/codec/ecg-data.js";
import { NdArray } from "../../src/codec/ndarray.js";
import type { Message } from "../../src/index.js";
import { filterInWords, pacingInWords } from "./sender-words.js";
import type { EcgFrame, LeadQuality, ToldBySender } from "./signal.js";

/** Units per millivolt, by the lower-case name of the unit. */
const PER_MILLIVOLT: Readonly<Record<string, number>> = { v: 0.001, mv: 1, uv: 1000, µv: 1000, μv: 1000, nv: 1e6 };
/** Counts per millivolt if the sender states none; a typical value of ADCs. */
export const ASSUMED_GAIN = 200;

/**
 * Convert an ECG_DATA message.
 *
 * @throws ProtocolError fields are missing or invalid
 */
export function ecgFrame(message: Message): EcgFrame {
  const { signal, samplingRate, timestampMs, leads, units, gain, baseline, missing, sequence } = ecgData(message);
  const [rows, samples] = signal.shape;
  const scale = PER_MILLIVOLT[units?.trim().toLowerCase() ?? "mv"] ?? (gain === null ? ASSUMED_GAIN : 1);
  return {
    isGuessed: units !== null && PER_MILLIVOLT[units.trim().toLowerCase()] === undefined,
    signal: missing === null ? signal.data : withoutMissing(signal.data, missing),
    samples,
    samplingRate,
    leads: leads?.length === rows ? leads : Array.from({ length: rows }, (_, lead) => `${lead + 1}`),
    gain: (gain ?? Array<number>(rows).fill(1)).map((counts) => counts * scale),
    baseline,
    sequence,
    timestamp: timestampMs === null ? null : timestampMs / 1000,
    told: toldBySender(message.data, rows),
  };
}

/** Replace the count of missing samples by NaN. */
function withoutMissing(counts: ArrayLike<number | bigint>, missing: number): Float64Array {
  const present = Float64Array.from(counts, Number);
  return present.map((count) => (count === missing ? Number.NaN : count));
}

/** Characters of a text that are shown. */
const LONGEST = 60;
/** The states of a lead, by the lower-case word of the sender. */
const QUALITIES: Readonly<Record<string, LeadQuality>> = {
  ok: "ok",
  on: "ok",
  off: "off",
  saturated: "saturated",
  noisy: "noisy",
};

/**
 * Read the optional fields `filter`, `pacing` and `lead_status`, which the protocol leaves to the sender. docs/monitor.md
 * describes them.
 */
function toldBySender(data: unknown, leads: number): ToldBySender {
  const { filter, pacing: told, lead_status: states } = isRecord(data) ? data : {};
  const pacing = told instanceof NdArray ? Array.from(told.data, Number) : told;
  const short = (words: string): string | null => (words === "" ? null : words.slice(0, LONGEST));
  const isList = Array.isArray(states) && states.length === leads;
  const spikes = Array.isArray(pacing) ? pacing.filter((place) => Number.isInteger(place)).map(Number) : null;
  return {
    filter: short(filterInWords(filter)),
    pacing: short(pacingInWords(pacing)),
    spikes,
    leads: isList ? states.map((state) => QUALITIES[String(state).trim().toLowerCase()] ?? null) : null,
  };
}

/** Convert a time of a payload, a number or a date, to Unix seconds; null if it is neither. */
export function secondsOf(time: unknown): number | null {
  if (time instanceof Date) return time.getTime() / 1000;
  return typeof time === "number" && Number.isFinite(time) ? time : null;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
