/** ECG_DATA at the edge to JavaScript: times in milliseconds, signals as typed arrays. */
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import { NdArray } from "./messagepack-utils.js";
import { pathText } from "./path.js";
import type { Message } from "./protocol-handler.js";

/** What an ECG_DATA message holds. */
export interface EcgData {
  /** `[leads, samples]`, as it was sent: physical values, or counts of the converter where `gain` is there. */
  readonly signal: NdArray;
  /** Samples a second of each lead, Hz. */
  readonly samplingRate: number;
  /** When the first sample was taken, milliseconds since 1970; null where the message does not say. */
  readonly timestampMs: number | null;
  readonly leads: readonly string[] | null;
  /** Of the physical value, such as "mV". */
  readonly units: string | null;
  /** Counts per unit, one for each lead; null where the samples are physical values. */
  readonly gain: readonly number[] | null;
  /** The count of physical zero, one for each lead. */
  readonly baseline: readonly number[];
  readonly stream: string | null;
  readonly sequence: number | null;
}

type Fields = Record<string, unknown>;

/**
 * The fields of an ECG_DATA message, in one form whatever the sender chose: a signal of one dimension has one lead,
 * lists are typed arrays, gain and baseline are one a lead.
 *
 * @throws ProtocolError check 12: 0x201 where signal or sampling rate are missing, 0x200 where a field is not what it
 *   should be
 */
export function ecgData(message: Pick<Message, "data">): EcgData {
  const fields = message.data;
  if (fields === null || typeof fields !== "object") throw wrong([], "a map of fields");
  return read(fields as Fields);
}

function read(fields: Fields): EcgData {
  const rate = fields.sampling_rate ?? fields.samplingRate;
  const missing = [...(fields.signal == null ? ["signal"] : []), ...(rate == null ? ["sampling_rate"] : [])];
  if (missing.length) {
    const text = `ECG_DATA lacks ${missing.join(" and ")}`;
    throw new ProtocolError(ErrorCode.MISSING_REQUIRED_FIELDS, text, { check: 12, path: pathText([]) });
  }
  const signal = signalOf(fields.signal);
  const [leads] = signal.shape;
  return {
    signal,
    samplingRate: checked(
      "sampling_rate",
      rate,
      (value) => isFiniteNumber(value) && (value as number) > 0,
      "above 0, in Hz",
    ),
    timestampMs: millisecondsOf(fields.timestamp),
    leads: optional("leads", fields.leads, isTexts, "a list of names"),
    units: optional("units", fields.units, isText, "text"),
    gain: fields.gain == null ? null : oneALead("gain", fields.gain, leads),
    baseline: fields.baseline == null ? Array<number>(leads).fill(0) : oneALead("baseline", fields.baseline, leads),
    stream: optional("stream", fields.stream, isText, "text"),
    sequence: optional("sequence", fields.sequence, Number.isInteger, "an integer"),
  };
}

/** The physical values of a lead, `(count - baseline) / gain`. */
export function physicalValues(data: EcgData, lead: number): Float32Array {
  const counts = data.signal.row(lead).data;
  const gain = data.gain?.[lead] ?? 1;
  const baseline = data.baseline[lead];
  const values = new Float32Array(counts.length);
  for (let i = 0; i < values.length; i++) values[i] = (Number(counts[i]) - baseline) / gain;
  return values;
}

function signalOf(signal: unknown): NdArray {
  if (signal instanceof NdArray) {
    const { data, shape, dtype } = signal;
    if (dtype === "bool" || shape.length < 1 || shape.length > 2)
      throw wrong(["signal"], "[samples] or [leads, samples]");
    return shape.length === 2 ? signal : new NdArray(data, [1, ...shape], dtype);
  }
  if (!Array.isArray(signal)) throw wrong(["signal"], "numbers, [samples] or [leads, samples]");
  return Array.isArray(signal[0]) ? ofRows(signal) : ofRows([signal]);
}

function ofRows(rows: readonly unknown[]): NdArray {
  const width = (rows[0] as unknown[]).length;
  const data = new Float64Array(rows.length * width);
  rows.forEach((row, lead) => {
    if (!Array.isArray(row) || row.length !== width || !row.every(isNumber)) {
      throw wrong(["signal", lead], "a list of numbers, as long as the first lead");
    }
    data.set(row.map(Number), lead * width);
  });
  return new NdArray(data, [rows.length, width]);
}

function millisecondsOf(time: unknown): number | null {
  if (time == null) return null;
  if (time instanceof Date) return time.getTime();
  return 1000 * checked<number>("timestamp", time, isFiniteNumber, "a time");
}

function oneALead(name: string, value: unknown, leads: number): number[] {
  if (isFiniteNumber(value)) return Array<number>(leads).fill(Number(value));
  const list: unknown = value instanceof NdArray ? [...value.data] : value;
  if (!Array.isArray(list) || list.length !== leads || !list.every(isFiniteNumber)) {
    throw wrong([name], "a number, or one for each lead");
  }
  return list.map(Number);
}

function optional<T>(name: string, value: unknown, accepts: (value: unknown) => boolean, expected: string): T | null {
  return value == null ? null : checked(name, value, accepts, expected);
}

function checked<T>(name: string, value: unknown, accepts: (value: unknown) => boolean, expected: string): T {
  if (!accepts(value)) throw wrong([name], expected);
  return value as T;
}

function wrong(where: readonly (string | number)[], expected: string): ProtocolError {
  const path = pathText(where);
  const text = `ECG_DATA: ${path} must be ${expected}`;
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 12, path });
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isNumber(value: unknown): boolean {
  return typeof value === "number" || typeof value === "bigint";
}

function isFiniteNumber(value: unknown): boolean {
  return typeof value === "bigint" || Number.isFinite(value);
}

// --- on the way out ---

const NAMES: Readonly<Record<string, string>> = {
  samplingRate: "sampling_rate",
  deviceId: "device_id",
  patientId: "patient_id",
};
const TIMES: ReadonlySet<string> = new Set(["timestamp", "start", "end"]);

/** The fields of a data message by their names on the wire, and numbers that are times in seconds. */
export function wireFields(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    fields[NAMES[name] ?? name] = TIMES.has(name) && typeof value === "number" ? value / 1000 : value;
  }
  return fields;
}
