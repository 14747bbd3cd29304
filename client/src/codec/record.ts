/**
 * Writes the records of version 4 and their templates. A record is an ECG_DATA message without its constant fields;
 * `record-reader.ts` describes its payload, and reads it.
 */
import { DEFAULT_MAX_PAYLOAD, MAX_TEMPLATE_ROWS, RECORD_HEADER, TEMPLATE_DTYPES } from "../protocol.js";
import { type Counts, encodeDelta } from "./delta.js";
import { nearestInteger } from "./exact.js";
import { fieldOf } from "./fields.js";
import { Writer } from "./messagepack-writer.js";
import { NdArray } from "./ndarray.js";
import { RARE_VALUES } from "./rare-values.js";
import {
  BOUND,
  DELTA,
  DIGEST_SIZE,
  MICROSECONDS,
  NONE,
  NUMBERED,
  OWN_FIELDS,
  openRecord,
  type RecordDType,
  type RecordFields,
  RecordReader,
  type Scale,
  tooLarge,
} from "./record-reader.js";
import { sha256 } from "./sha256.js";

export {
  type DecodedRecord,
  type RecordDType,
  type RecordFields,
  type Scale,
  templateNumber,
} from "./record-reader.js";

/** The content of a template. */
export interface TemplateContent {
  /** Number of the template, 1 to 65,535. Each record names its template by this number. */
  readonly number: number;
  /** Name of the stream. */
  readonly stream: string;
  readonly dtype: RecordDType;
  /** Number of leads, at most 4,096; 0 if the signal has one dimension. */
  readonly rows: number;
  /** The constant fields: all fields except signal, stream, timestamp and sequence. */
  readonly fields: RecordFields;
  /** For integer dtypes: the count of a missing sample. */
  readonly missing?: number | null;
  /** For integer dtypes: the factor from counts to samples. */
  readonly scale?: Scale | null;
}

/** The content of an ECG_DATA message, divided as in a record and its template. */
export interface Content {
  /** `[samples]` or `[leads, samples]`, of a dtype in `TEMPLATE_DTYPES`. */
  readonly signal: NdArray;
  /** Time of the first sample, in microseconds since 1970. */
  readonly time: bigint;
  /** `sequence` of the message, or null. */
  readonly sequence: number | bigint | null;
  /** All other fields. */
  readonly fields: RecordFields;
}

/** How a record is encoded. */
export interface EncodeRecordOptions {
  /** True if the receiver supports the filter DELTA. It is used if it makes the record shorter. */
  readonly delta?: boolean;
  /** True to bind the record to its template; required if the record is sealed or signed. */
  readonly bound?: boolean;
  /** The receiver's limit for payloads, in bytes. It applies to the signal that the record stands for. */
  readonly maxPayload?: number;
}

const LARGEST_COUNT = 2 ** 32 - 1;

/** The fields that all ECG_DATA messages of some records share. Immutable. */
export class Template extends RecordReader implements TemplateContent {
  /**
   * @param content the content of the template, or the payload of a STREAM_TEMPLATE
   * @throws ProtocolError check 12: 0x201 if a field is missing, 0x200 if one is invalid, 0x102 if there are more than
   *   4,096 bytes or 256 values; check 11 if the payload is not one MessagePack value
   * @throws TypeError | RangeError if a field cannot be encoded
   */
  constructor(content: TemplateContent | Uint8Array) {
    super(content instanceof Uint8Array ? content : packTemplate(content), { rare: RARE_VALUES, sha256 });
  }

  /** Reads a template from the payload of a STREAM_TEMPLATE. Throws as the constructor does. */
  static unpack(payload: Uint8Array): Template {
    return new Template(payload);
  }

  /** Makes the template for the content of a message. Throws as the constructor does. */
  static of(content: Content, number: number, stream: string, more: Pick<TemplateContent, "missing" | "scale"> = {}) {
    const { signal, fields } = content;
    const rows = signal.shape.length === 2 ? signal.shape[0] : 0;
    return new Template({ ...more, number, stream, dtype: signal.dtype as RecordDType, rows, fields });
  }

  /** The key of the template, as `templateKey` returns it. Interchangeable templates have equal keys. */
  get key(): string {
    return keyOf(this.dtype, this.rows, this.ownFields, this.missing, this.scale);
  }

  /**
   * Writes the payload of a record.
   *
   * @param signal samples of the template's dtype, `[leads, samples]`, or `[samples]` for 0 rows
   * @param time time of the first sample, in microseconds since 1970
   * @param sequence `sequence` of the message, below 2^64, or null
   * @throws TypeError | RangeError if the signal does not have the dtype and shape of the template, or a number exceeds
   *   64 bits
   * @throws ProtocolError 0x102 if the signal exceeds `maxPayload`, so that a receiver would refuse the record
   */
  encode(
    signal: NdArray,
    time: bigint,
    sequence: number | bigint | null = null,
    { delta = true, bound = false, maxPayload = DEFAULT_MAX_PAYLOAD }: EncodeRecordOptions = {},
  ): Uint8Array<ArrayBuffer> {
    const { data, shape, dtype } = signal;
    if (dtype !== this.dtype) throw new TypeError(`a signal of ${dtype}; the template has ${this.dtype}`);
    if (shape.length !== (this.rows ? 2 : 1) || (this.rows && shape[0] !== this.rows)) {
      const has = this.rows ? `${this.rows} leads` : "one dimension";
      throw new RangeError(`a signal of shape [${shape.join(", ")}]; the template has ${has}`);
    }
    if (data.length * this.sampleSize > maxPayload) {
      const samples = `a record of ${data.length} samples of ${this.sampleSize} bytes`;
      throw tooLarge(11, `${samples}; the limit is ${maxPayload} bytes`);
    }
    const filtered = delta && this.isInteger ? encodeDelta(data as Counts, this.leads, this.#names) : undefined;
    const samples = filtered ?? new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const start = RECORD_HEADER + (sequence === null ? 0 : 8) + (bound ? DIGEST_SIZE : 0);
    const payload = new Uint8Array(start + samples.length);
    const view = new DataView(payload.buffer);
    view.setUint16(0, this.number);
    payload[2] = filtered ? DELTA : NONE;
    payload[3] = (sequence === null ? 0 : NUMBERED) | (bound ? BOUND : 0);
    view.setUint32(4, shape[shape.length - 1]);
    view.setBigInt64(8, within(time, -(2n ** 63n), 2n ** 63n - 1n, "time"));
    if (sequence !== null) view.setBigUint64(16, within(BigInt(sequence), 0n, 2n ** 64n - 1n, "sequence"));
    if (bound) payload.set(this.digest, start - DIGEST_SIZE);
    payload.set(samples, start);
    return payload;
  }

  /** Writes a record again without a filter, for receivers that do not support DELTA. Throws as `decode` does. */
  withoutFilter(payload: Uint8Array, maxPayload = DEFAULT_MAX_PAYLOAD): Uint8Array {
    const { filter, options } = openRecord(payload);
    if (filter === NONE) return payload;
    const { counts, time, sequence } = this.decode(payload, maxPayload);
    return this.encode(counts, time, sequence, { delta: false, bound: (options & BOUND) !== 0, maxPayload });
  }

  /** The names of the rows, from which the filter chooses its predictions. */
  get #names(): readonly string[] {
    const leads = fieldOf(this.ownFields, "leads");
    const areNames = this.rows > 0 && Array.isArray(leads) && leads.every((name) => typeof name === "string");
    return areNames ? (leads as string[]) : [];
  }
}

/**
 * Divides an ECG_DATA message for a record of a stream.
 *
 * @param data its fields by their names on the wire
 * @param stream name of the stream; `stream` of the message has to be the same, or absent
 * @returns undefined if the message has to be sent as MessagePack: the signal is not an array of a dtype and shape that
 *   records allow, the timestamp is not a number of seconds whose microseconds have 64 bits, the sequence is not an
 *   integer from 0 to 2^64 - 1, or a key is not text
 */
export function recordContent(data: RecordFields, stream: string): Content | undefined {
  const entries: [unknown, unknown][] = data instanceof Map ? [...data] : Object.entries(data);
  const given = new Map(entries.filter(([, value]) => value !== undefined));
  if ([...given.keys()].some((key) => typeof key !== "string")) return undefined;
  if ((given.get("stream") ?? stream) !== stream) return undefined;
  const signal = given.get("signal");
  const time = wholeMicroseconds(given.get("timestamp"));
  const sequence = given.get("sequence") ?? null;
  const isNumbered = given.has("sequence");
  if (!isOfRecords(signal) || time === undefined || (isNumbered && !isSequence(sequence))) return undefined;
  const others = [...given].filter(([name]) => !OWN_FIELDS.includes(name as string));
  return { signal, time, sequence: sequence as Content["sequence"], fields: Object.fromEntries(others) };
}

/** Returns a key that interchangeable templates have in common. Throws as `pack` does. */
export function templateKey(content: Content, more: Pick<TemplateContent, "missing" | "scale"> = {}): string {
  const { signal, fields } = content;
  const rows = signal.shape.length === 2 ? signal.shape[0] : 0;
  return keyOf(signal.dtype, rows, fields, more.missing ?? null, more.scale ?? null);
}

function keyOf(dtype: string, rows: number, fields: RecordFields, missing: number | null, scale: Scale | null): string {
  const parts = packed([dtype, rows, missing, scale && [scale.mul, scale.div], fields]);
  return Array.from(parts, (byte) => String.fromCharCode(byte)).join("");
}

function isOfRecords(signal: unknown): signal is NdArray {
  if (!(signal instanceof NdArray) || !isRecordDType(signal.dtype)) return false;
  const [rows, count = rows] = signal.shape;
  const isLead = signal.shape.length === 1 || (signal.shape.length === 2 && rows >= 1 && rows <= MAX_TEMPLATE_ROWS);
  return isLead && count <= LARGEST_COUNT;
}

function isRecordDType(dtype: unknown): dtype is RecordDType {
  return (TEMPLATE_DTYPES as readonly unknown[]).includes(dtype);
}

function isSequence(sequence: unknown): boolean {
  const isInteger = typeof sequence === "bigint" || Number.isInteger(sequence);
  return isInteger && (sequence as number) >= 0 && (sequence as number) < 2 ** 64;
}

/** Rounds to microseconds; undefined if the value is not a number, or the result exceeds 64 bits. */
function wholeMicroseconds(seconds: unknown): bigint | undefined {
  if (typeof seconds !== "bigint" && !Number.isFinite(seconds)) return undefined;
  // The whole seconds apart from the fraction: their product would be rounded twice.
  const whole = typeof seconds === "bigint" ? seconds : BigInt(Math.trunc(seconds as number));
  const fraction = typeof seconds === "bigint" ? 0 : (seconds as number) - Math.trunc(seconds as number);
  const time = whole * BigInt(MICROSECONDS) + BigInt(nearestInteger(fraction * MICROSECONDS));
  return time >= -(2n ** 63n) && time < 2n ** 63n ? time : undefined;
}

/** Packs the payload of a STREAM_TEMPLATE. */
function packTemplate(content: TemplateContent): Uint8Array<ArrayBuffer> {
  const { number: template, stream, dtype, rows, fields, missing = null, scale = null } = content;
  const entries: [string, Uint8Array][] = Object.entries({ template, stream, dtype, rows, fields }).map(
    ([name, value]) => [name, packed(value)],
  );
  if (missing !== null) entries.push(["missing", packed(missing)]);
  if (scale) {
    const halves = [packed("mul"), float64(scale.mul), packed("div"), float64(scale.div)];
    entries.push(["scale", joined([Uint8Array.of(0x82), ...halves])]);
  }
  return joined([Uint8Array.of(0x80 | entries.length), ...entries.flatMap(([name, value]) => [packed(name), value])]);
}

function within(value: bigint, min: bigint, max: bigint, name: string): bigint {
  if (value < min || value > max) throw new RangeError(`${name} ${value} does not fit a record`);
  return value;
}

function packed(value: unknown): Uint8Array {
  return new Writer(0, DEFAULT_MAX_PAYLOAD, "list").frameOf(value);
}

/** Packs a number as a float; the writer would send a whole number as an integer. */
function float64(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xcb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
