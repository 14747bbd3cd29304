/** ECG_DATA for JavaScript: times in milliseconds, signals as typed arrays. */
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import { fieldOf } from "./fields.js";
import { NdArray } from "./ndarray.js";
import { pathText } from "./path.js";
import type { Message } from "./protocol-handler.js";
import { isFiniteNumber, wrongField } from "./rules.js";
import { Uuid } from "./uuid.js";

/** The fields of an ECG_DATA message. */
export interface EcgData {
  /** `[leads, samples]`, as it was sent: physical values, or ADC counts if `gain` is not null. */
  readonly signal: NdArray;
  /** Samples per second of each lead, in Hz. */
  readonly samplingRate: number;
  /** Time of the first sample, in milliseconds since 1970; null if the message has none. */
  readonly timestampMs: number | null;
  readonly leads: readonly string[] | null;
  /** Unit of the physical values, such as "mV"; null if the message has none. */
  readonly units: string | null;
  /** Unit of each lead, if the sender says that they differ (`lead_units`); null if all are in `units`. */
  readonly leadUnits: readonly string[] | null;
  /** Counts per unit, for each lead; null if the samples are physical values. */
  readonly gain: readonly number[] | null;
  /** The count of physical zero, for each lead. */
  readonly baseline: readonly number[];
  /** The count of a missing sample; null if there is none. In float samples, NaN is missing. */
  readonly missing: number | null;
  readonly stream: string | null;
  readonly sequence: number | null;
  /** Who measured, and on whom; null if the message does not say it as text, an integer or a UUID. */
  readonly deviceId: Id | null;
  readonly patientId: Id | null;
}

/** The name of a device or a patient. */
export type Id = string | number | bigint | Uuid;

/** Largest number of leads of a signal without samples. A shape alone could claim four thousand million. */
const MOST_EMPTY_LEADS = 256;

const FIELDS = [
  "signal sampling_rate samplingRate timestamp leads units gain baseline missing stream sequence",
  "device_id deviceId patient_id patientId lead_units leadUnits",
].flatMap((names) => names.split(" "));

type Fields = Record<string, unknown>;

/**
 * Returns the fields of an ECG_DATA message in one form, whichever the sender chose: a signal of one dimension has one
 * lead, lists become typed arrays, and gain and baseline have a value for each lead.
 *
 * @throws ProtocolError (check 12) signal or sampling rate are missing (0x201), or a field is invalid (0x200)
 */
export function ecgData(message: Pick<Message, "data">): EcgData {
  const { data } = message;
  if (data === null || typeof data !== "object") throw wrongField("ECG_DATA", [], "a map of fields");
  return read(Object.fromEntries(FIELDS.map((name) => [name, fieldOf(data, name)])));
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
  if (leads > MOST_EMPTY_LEADS && signal.size === 0) {
    throw wrongField("ECG_DATA", ["signal"], `of at most ${MOST_EMPTY_LEADS} leads where it has no samples`);
  }
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
    leadUnits: unitsOf(fields.lead_units ?? fields.leadUnits, leads),
    gain: fields.gain == null ? null : oneALead("gain", fields.gain, leads, isGain),
    baseline: fields.baseline == null ? Array<number>(leads).fill(0) : oneALead("baseline", fields.baseline, leads),
    missing: fields.missing == null ? null : Number(checked("missing", fields.missing, isInteger, "an integer")),
    stream: optional("stream", fields.stream, isText, "text"),
    sequence: optional("sequence", fields.sequence, Number.isInteger, "an integer"),
    deviceId: idOf(fields.device_id ?? fields.deviceId),
    patientId: idOf(fields.patient_id ?? fields.patientId),
  };
}

/** Returns the physical values of a lead, `(count - baseline) / gain`; NaN where a sample is missing. */
export function physicalValues(data: EcgData, lead: number): Float32Array {
  const counts = data.signal.row(lead).data;
  const gain = data.gain?.[lead] ?? 1;
  const baseline = data.baseline[lead];
  const values = new Float32Array(counts.length);
  for (let i = 0; i < values.length; i++) {
    const count = Number(counts[i]);
    values[i] = count === data.missing ? Number.NaN : (count - baseline) / gain;
  }
  return values;
}

function signalOf(signal: unknown): NdArray {
  if (signal instanceof NdArray) {
    const { data, shape, dtype } = signal;
    if (dtype === "bool" || shape.length < 1 || shape.length > 2)
      throw wrongField("ECG_DATA", ["signal"], "[samples] or [leads, samples]");
    return shape.length === 2 ? signal : new NdArray(data, [1, ...shape], dtype);
  }
  if (!Array.isArray(signal)) throw wrongField("ECG_DATA", ["signal"], "numbers, [samples] or [leads, samples]");
  return Array.isArray(signal[0]) ? ofRows(signal) : ofRows([signal]);
}

function ofRows(rows: readonly unknown[]): NdArray {
  const width = (rows[0] as unknown[]).length;
  const alike = rows.map((row, lead) => {
    if (!Array.isArray(row) || row.length !== width || !row.every(isNumber)) {
      throw wrongField("ECG_DATA", ["signal", lead], "a list of numbers, as long as the first lead");
    }
    return row as readonly (number | bigint)[];
  });
  const data = new Float64Array(rows.length * width); // allocated after it is known that so many numbers were received
  alike.forEach((row, lead) => {
    for (let i = 0; i < width; i++) data[lead * width + i] = Number(row[i]);
  });
  return new NdArray(data, [rows.length, width]);
}

/** Of another type, it is left out: a signal is worth showing whoever it is of. */
function idOf(value: unknown): Id | null {
  return isText(value) || isInteger(value) || value instanceof Uuid ? (value as Id) : null;
}

/** Where it is not a text for each lead, it is left out: the protocol leaves it to the sender. */
function unitsOf(value: unknown, leads: number): readonly string[] | null {
  return isTexts(value) && (value as readonly string[]).length === leads ? (value as readonly string[]) : null;
}

function millisecondsOf(time: unknown): number | null {
  if (time == null) return null;
  if (time instanceof Date) return time.getTime();
  return 1000 * checked<number>("timestamp", time, isFiniteNumber, "a time");
}

function oneALead(name: string, value: unknown, leads: number, accepts = isFiniteNumber): number[] {
  if (accepts(value)) return Array<number>(leads).fill(Number(value));
  const isRow = value instanceof NdArray && value.size === leads && isListOfNumbers(value);
  const list: unknown = isRow ? [...value.data] : value;
  if (!Array.isArray(list) || list.length !== leads || !list.every(accepts)) {
    throw wrongField("ECG_DATA", [name], `a number${accepts === isGain ? " other than 0" : ""}, or one for each lead`);
  }
  return list.map(Number);
}

function isListOfNumbers({ shape, dtype }: NdArray): boolean {
  return shape.length === 1 && dtype !== "bool";
}

function optional<T>(name: string, value: unknown, accepts: (value: unknown) => boolean, expected: string): T | null {
  return value == null ? null : checked(name, value, accepts, expected);
}

function checked<T>(name: string, value: unknown, accepts: (value: unknown) => boolean, expected: string): T {
  if (!accepts(value)) throw wrongField("ECG_DATA", [name], expected);
  return value as T;
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

function isInteger(value: unknown): boolean {
  return typeof value === "bigint" || Number.isInteger(value);
}

function isGain(value: unknown): boolean {
  return isFiniteNumber(value) && Number(value) !== 0;
}
