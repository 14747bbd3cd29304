/** Conversion of messages to frames in millivolts, and in the units of leads that are no ECG. */

import { ecgData } from "../../src/codec/ecg-data.js";
import { NdArray } from "../../src/codec/ndarray.js";
import type { Message } from "../../src/index.js";
import { type Channel, channelOf, perMillivolt } from "./channels.js";
import { filterInWords, pacingInWords } from "./sender-words.js";
import type { EcgFrame, LeadQuality, ToldBySender } from "./signal.js";

/** Counts per millivolt if the sender states none; a typical value of ADCs. */
export const ASSUMED_GAIN = 200;

/**
 * Convert an ECG_DATA message.
 *
 * @throws ProtocolError fields are missing or invalid
 */
export function ecgFrame(message: Message): EcgFrame {
  const found = ecgData(message);
  const { signal, samplingRate, timestampMs, leads, gain, baseline, missing, sequence } = found;
  const [rows, samples] = signal.shape;
  const names = leads?.length === rows ? leads : Array.from({ length: rows }, (_, lead) => `${lead + 1}`);
  const units = names.map((_, lead) => found.leadUnits?.[lead] ?? found.units);
  const channels = names.map((name, lead) => channelOf(name, units[lead]));
  /** What the counts of a lead per unit are multiplied with. */
  const scaleOf = ({ kind }: Channel, lead: number): number =>
    kind === "ecg" ? (perMillivolt(units[lead] ?? "mV") ?? (gain === null ? ASSUMED_GAIN : 1)) : 1;
  return {
    isGuessed: channels.some(({ kind }, lead) => kind === "ecg" && perMillivolt(units[lead] ?? "mV") === null),
    signal: missing === null ? signal.data : withoutMissing(signal.data, missing),
    samples,
    samplingRate,
    leads: names,
    gain: channels.map((channel, lead) => (gain?.[lead] ?? 1) * scaleOf(channel, lead)),
    baseline,
    sequence,
    timestamp: timestampMs === null ? null : timestampMs / 1000,
    told: toldBySender(message.data, rows),
    ...(channels.every(({ kind }) => kind === "ecg") ? {} : { channels }),
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
