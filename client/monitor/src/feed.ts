/** From messages of the protocol to what the page draws: all in millivolts, whatever they came in. */

import { ecgData, type Message } from "../../src/index.js";
import type { EcgFrame, LeadQuality, ToldBySender } from "./signal.js";

/** Of units that are voltages, by their names in small letters, how many go into a millivolt. */
const PER_MILLIVOLT: Readonly<Record<string, number>> = { v: 0.001, mv: 1, uv: 1000, µv: 1000, μv: 1000, nv: 1e6 };
/** Counts that are drawn as a millivolt where nobody says what they are: what many converters give, more or less. */
export const ASSUMED_GAIN = 200;

/**
 * The frame in an ECG_DATA message.
 *
 * @throws ProtocolError its fields are missing, or do not fit one another
 */
export function ecgFrame(message: Message): EcgFrame {
  const { signal, samplingRate, timestampMs, leads, units, gain, baseline, sequence } = ecgData(message);
  const [rows, samples] = signal.shape;
  const scale = PER_MILLIVOLT[units?.trim().toLowerCase() ?? "mv"] ?? (gain === null ? ASSUMED_GAIN : 1);
  return {
    isGuessed: units !== null && PER_MILLIVOLT[units.trim().toLowerCase()] === undefined,
    signal: signal.data,
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

/** Words of which a line has room. */
const LONGEST = 60;
/** What senders call the state of a lead, by small letters. */
const QUALITIES: Readonly<Record<string, LeadQuality>> = {
  ok: "ok",
  on: "ok",
  off: "off",
  saturated: "saturated",
  noisy: "noisy",
};

/** A filter may be text, a list of it, or names with values, as `{ highpass: 0.05 }`. */
function inWords(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inWords).filter(Boolean).join(", ");
  if (!isRecord(value)) return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.map(([name, each]) => `${name} ${each}`).join(", ");
}

/**
 * Fields that the protocol leaves to the sender, and that the page reads where they are there (docs/monitor.md): `filter`,
 * text; `pacing`, text, true or false, or the places of the spikes in this message; `lead_status`, a word for each lead.
 */
function toldBySender(data: unknown, leads: number): ToldBySender {
  const { filter, pacing, lead_status: states } = isRecord(data) ? data : {};
  const text = (value: unknown): string | null =>
    typeof value === "string" && value.trim() !== "" ? value.trim().slice(0, LONGEST) : null;
  const isList = Array.isArray(states) && states.length === leads;
  const spikes = Array.isArray(pacing) ? pacing.filter((place) => Number.isInteger(place)).map(Number) : null;
  return {
    filter: text(inWords(filter)),
    pacing:
      typeof pacing === "boolean" ? (pacing ? "on" : "off") : spikes === null ? text(pacing) : "spikes are marked",
    spikes,
    leads: isList ? states.map((state) => QUALITIES[String(state).trim().toLowerCase()] ?? null) : null,
  };
}

/** A time of the protocol, which is a number of seconds or a date, in Unix seconds. */
export function secondsOf(time: unknown): number | null {
  if (time instanceof Date) return time.getTime() / 1000;
  return typeof time === "number" && Number.isFinite(time) ? time : null;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
