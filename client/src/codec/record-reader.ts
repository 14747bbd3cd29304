/**
 * Reads the records of version 4. A record is an ECG_DATA message without its constant fields, which the stream's template
 * holds. A page that only receives needs only this module; `record.ts` writes records.
 *
 * The payload of a record, with big-endian integers and little-endian samples:
 *
 * | offset | bytes | field |
 * | --- | --- | --- |
 * | 0 | 2 | template |
 * | 2 | 1 | filter: 0 none, 1 delta |
 * | 3 | 1 | options: bit 0 NUMBERED, bit 1 BOUND |
 * | 4 | 4 | count: number of samples of each lead |
 * | 8 | 8 | time of the first sample, signed microseconds since 1970 |
 * | 16 | 8 | with NUMBERED: `sequence` of the message |
 * | then | 8 | with BOUND: the first bytes of the SHA-256 of the template's payload |
 * | then | | the samples, `[rows, count]`, or the output of the filter |
 */
import { ProtocolError } from "../errors.js";
import { DEFAULT_MAX_PAYLOAD, ErrorCode, RECORD_HEADER, type TEMPLATE_DTYPES } from "../protocol.js";
import { type Counts, decodeDelta, leastBytes } from "./delta.js";
import { fieldOf, isMap } from "./fields.js";
import type { Unpacking } from "./frame-reader.js";
import { exact, isIndex, type Key, mapFor, sparseObject } from "./map-keys.js";
import { type DType, findDType, NdArray, type Samples } from "./ndarray.js";
import { checkTemplate, perLead, readTemplate } from "./template-rules.js";

/** The dtypes of a record's samples. */
export type RecordDType = (typeof TEMPLATE_DTYPES)[number];

/** Fields by their names on the wire; a `Map` if a key is not text. */
export type RecordFields = Readonly<Record<string, unknown>> | ReadonlyMap<Key, unknown>;

/** Scale of exact floats: a sample is `(count * mul) / div`. */
export interface Scale {
  /** From 10^-100 to 10^100. */
  readonly mul: number;
  /** The same. */
  readonly div: number;
}

/** A decoded record. */
export interface DecodedRecord {
  /** The fields of the ECG_DATA message that the record stands for, by their names on the wire. */
  readonly data: Record<string, unknown> | Map<Key, unknown>;
  /** The samples as in the record; the same array as `signal` of the data if they are not converted. */
  readonly counts: NdArray;
  /** Time of the first sample, in microseconds since 1970. */
  readonly time: bigint;
  /** `sequence` of the message, or null. */
  readonly sequence: number | bigint | null;
}

type Fields = Record<string, unknown> | Map<Key, unknown>;

export const NONE = 0;
export const DELTA = 1;
export const NUMBERED = 1;
export const BOUND = 2;
/** Number of bytes of the template's SHA-256 in a bound record. */
export const DIGEST_SIZE = 8;
/** Fields of a message that are in its record, and not in the template. */
export const OWN_FIELDS: readonly string[] = ["stream", "signal", "timestamp", "sequence"];
export const MICROSECONDS = 1_000_000;
const FLOAT64_SIZE = 8;
/** Fields that apply to integer samples only. They are removed if the samples become floats. */
const OF_INTEGERS = ["gain", "baseline", "missing"];

/** Reads the records of one template. Immutable. */
export class RecordReader {
  readonly number: number;
  readonly stream: string;
  readonly dtype: RecordDType;
  readonly rows: number;
  readonly missing: number | null;
  readonly scale: Scale | null;
  /** The template as it travels: the payload of a STREAM_TEMPLATE, at most 4,096 bytes. */
  readonly payload: Uint8Array;
  protected readonly ownFields: RecordFields;
  readonly #type: DType;
  /** The fields with placeholders for those of a record, without and with `sequence`. */
  readonly #rooms: readonly [Fields, Fields];
  /** True if a key in the fields is the text of an integer: an object takes more memory for such keys. */
  readonly #isSparse: boolean;
  readonly #unpacking: Pick<Unpacking, "rare" | "sha256">;
  #digest: Uint8Array | undefined;

  /**
   * @param payload of the STREAM_TEMPLATE
   * @param unpacking what reads rare values and hashes templates, once it is loaded
   * @throws ProtocolError check 12: 0x201 if a field is missing, 0x200 if one is invalid, 0x102 if there are more than
   *   4,096 bytes or 256 values; check 11 if the payload is not one MessagePack value
   */
  constructor(payload: Uint8Array, unpacking: Pick<Unpacking, "rare" | "sha256">) {
    this.#unpacking = unpacking;
    const data = readTemplate(payload, checkTemplate, unpacking.rare);
    this.number = fieldOf(data, "template") as number;
    this.stream = fieldOf(data, "stream") as string;
    this.dtype = fieldOf(data, "dtype") as RecordDType;
    this.#type = findDType(this.dtype) as DType;
    this.rows = fieldOf(data, "rows") as number;
    this.ownFields = fieldOf(data, "fields") as RecordFields;
    this.#isSparse = hasIndex(this.ownFields);
    this.#rooms = [roomIn(this.ownFields, OWN_FIELDS.slice(0, -1)), roomIn(this.ownFields, OWN_FIELDS)];
    const scale = fieldOf(data, "scale");
    this.scale =
      scale === undefined ? null : { mul: Number(fieldOf(scale, "mul")), div: Number(fieldOf(scale, "div")) };
    this.missing = (fieldOf(data, "missing") as number | undefined) ?? null;
    this.payload = payload.slice(); // a copy: a view would keep the whole received message in memory
  }

  /** A copy of the constant fields, which the caller may change. */
  get fields(): RecordFields {
    return copyOf(this.ownFields, this.#isSparse) as RecordFields;
  }

  /** The first 8 bytes of the SHA-256 of the payload. A bound record contains them. */
  get digest(): Uint8Array {
    if (this.#digest) return this.#digest;
    const { sha256 } = this.#unpacking;
    if (!sha256) throw new Error("what hashes templates is not loaded");
    this.#digest = sha256(this.payload).slice(0, DIGEST_SIZE);
    return this.#digest;
  }

  /**
   * Reads the payload of a record of this template. The result is the same as if the message had been sent as
   * MessagePack.
   *
   * @param payload the bytes; samples without a filter are a view of them if they are aligned
   * @param maxPayload limit for the bytes of the signal that the record stands for
   * @throws ProtocolError check 11: 0x200, with the reason "template" if the record has another template; 0x102 if the
   *   signal exceeds the limit
   */
  decode(payload: Uint8Array, maxPayload = DEFAULT_MAX_PAYLOAD): DecodedRecord {
    const record = this.#open(payload, maxPayload);
    const shape = this.rows ? [this.rows, record.count] : [record.count];
    const counts = new NdArray(this.#samples(payload, record), shape, this.dtype);
    const data = copyOf(this.#rooms[record.sequence === null ? 0 : 1], this.#isSparse) as Fields;
    const signal = this.#signalOf(counts, data);
    tell(data, this.stream, signal, record.timestamp, record.sequence);
    return { data, counts, time: record.time, sequence: record.sequence };
  }

  /**
   * Returns the payload of the same record without filter, of which signatures are made.
   *
   * @throws ProtocolError as `decode`
   */
  unfiltered(payload: Uint8Array, maxPayload = DEFAULT_MAX_PAYLOAD): Uint8Array {
    const record = this.#open(payload, maxPayload);
    if (record.filter === NONE) return payload;
    const { buffer, byteOffset, byteLength } = this.#samples(payload, record);
    const whole = new Uint8Array(record.start + byteLength);
    whole.set(payload.subarray(0, record.start));
    whole[2] = NONE;
    whole.set(new Uint8Array(buffer, byteOffset, byteLength), record.start);
    return whole;
  }

  // --- of the template ---

  /** Largest number of bytes of a sample after decoding. */
  protected get sampleSize(): number {
    return this.scale || this.missing !== null ? FLOAT64_SIZE : this.#type.size;
  }

  /** Number of rows of samples, 1 if the signal has one dimension. */
  protected get leads(): number {
    return this.rows || 1;
  }

  protected get isInteger(): boolean {
    return this.#type.kind === "int";
  }

  // --- of a record ---

  #open(payload: Uint8Array, limit: number): OpenRecord {
    const record = openRecord(payload);
    if (record.template !== this.number) {
      throw ofOtherTemplate(0, `a record of template ${record.template}, not of ${this.number}`);
    }
    if (record.options & BOUND && !isAt(payload, record.start - DIGEST_SIZE, this.digest)) {
      throw ofOtherTemplate(
        record.start - DIGEST_SIZE,
        `the record is bound to another template of number ${this.number}`,
      );
    }
    const { filter, count, start } = record;
    const leads = this.leads;
    if (filter > DELTA) throw refused(2, `filter ${filter} of a record is unknown`);
    if (filter === DELTA && !this.isInteger) {
      throw refused(2, `filter 1 of a record takes integers, and the template says ${this.dtype}`);
    }
    // Check all sizes before memory is allocated for them.
    const { size } = this.#type;
    const widest = this.sampleSize;
    if (leads * count * widest > limit) {
      const samples = `a record of ${leads} times ${count} samples of ${widest} bytes (byte 4)`;
      throw tooLarge(11, `${samples}; the limit is ${limit} bytes`);
    }
    const there = payload.length - start;
    if (filter === NONE && there !== leads * count * size) {
      const expected = `${leads} times ${count} of ${size} bytes are ${leads * count * size}`;
      throw refused(start, `${there} bytes of samples, where ${expected}`);
    }
    const least = leastBytes(leads, count);
    if (filter === DELTA && there < least) {
      throw refused(start, `${there} filtered bytes, where ${leads} times ${count} samples have ${least} or more`);
    }
    return record;
  }

  #samples(payload: Uint8Array, { filter, count, start }: OpenRecord): Samples {
    const { Samples } = this.#type;
    const size = this.leads * count;
    if (filter === DELTA) {
      const samples = new Samples(size) as Counts;
      decodeDelta(payload, start, samples, this.leads);
      return samples;
    }
    const offset = payload.byteOffset + start;
    if (offset % this.#type.size === 0) return new Samples(payload.buffer, offset, size);
    return new Samples(payload.slice(start).buffer, 0, size);
  }

  /** Returns the counts, or floats made of them. For floats, it removes the fields that apply to integers only. */
  #signalOf(counts: NdArray, fields: Fields): NdArray {
    const { missing, scale } = this;
    const { data, shape } = counts;
    const isMissing = missing !== null && (data as Counts).includes(missing);
    if (!scale && !isMissing) return counts;
    const values = new Float64Array(data as Counts);
    if (scale) {
      const { mul, div } = scale;
      for (let i = 0; i < values.length; i++) values[i] = (values[i] * mul) / div;
    } else {
      const gain = perLead(this.ownFields, "gain", this.leads);
      const baseline = perLead(this.ownFields, "baseline", this.leads);
      const count = values.length / this.leads;
      for (let i = 0, lead = 0; lead < this.leads; lead++) {
        const zero = baseline?.[lead] ?? 0;
        const unit = gain?.[lead] ?? 1;
        for (const end = i + count; i < end; i++) values[i] = (values[i] - zero) / unit;
      }
      for (const name of OF_INTEGERS) remove(fields, name);
    }
    if (isMissing) for (let i = 0; i < values.length; i++) if (data[i] === missing) values[i] = Number.NaN;
    return new NdArray(values, shape);
  }
}

/**
 * Returns the number of a record's template.
 *
 * @throws ProtocolError 0x200 (check 11) the head of the record is cut short, or has undefined options
 */
export function templateNumber(payload: Uint8Array): number {
  return openRecord(payload).template;
}

// --- reading a record ---

export interface OpenRecord {
  readonly template: number;
  readonly filter: number;
  readonly options: number;
  readonly count: number;
  readonly time: bigint;
  /** The time in seconds, rounded once. */
  readonly timestamp: number;
  readonly sequence: number | bigint | null;
  /** Offset of the samples. */
  readonly start: number;
}

export function openRecord(payload: Uint8Array): OpenRecord {
  checkHead(payload, RECORD_HEADER);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const options = payload[3];
  if (options & ~(NUMBERED | BOUND)) {
    throw refused(3, `a record with the options 0x${options.toString(16)}, of which only 0x01 and 0x02 are defined`);
  }
  const start = RECORD_HEADER + (options & NUMBERED ? 8 : 0) + (options & BOUND ? DIGEST_SIZE : 0);
  checkHead(payload, start);
  return {
    template: view.getUint16(0),
    filter: payload[2],
    options,
    count: view.getUint32(4),
    time: view.getBigInt64(8),
    timestamp: secondsAt(view, 8),
    sequence: options & NUMBERED ? exact(view.getBigUint64(16)) : null,
    start,
  };
}

function secondsAt(view: DataView, at: number): number {
  const high = view.getInt32(at);
  if (high >= -(2 ** 21) && high < 2 ** 21) return (high * 2 ** 32 + view.getUint32(at + 4)) / MICROSECONDS;
  // More than 53 bits, from the year 2255 on: a number would be rounded before the division, the text is rounded once.
  return Number(`${view.getBigInt64(at)}e-6`);
}

function checkHead({ length }: Uint8Array, needed: number): void {
  if (length < needed) throw refused(length, `${length} bytes where a record has ${needed} before its samples`);
}

function isAt(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  return expected.every((byte, i) => bytes[at + i] === byte);
}

// --- copies of fields: lists, maps and arrays, which an application may change ---

function copyOf(value: unknown, isSparse: boolean): unknown {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => copyOf(item, isSparse));
  if (value instanceof NdArray) return new NdArray(value.data.slice(), value.shape, value.dtype);
  if (value instanceof Uint8Array) return value.slice();
  if (value instanceof Map) {
    return mapFor(
      value.size,
      [...value].map(([key, item]) => [key, copyOf(item, isSparse)]),
    );
  }
  if (!isMap(value)) return value;
  const copy: Record<string, unknown> = { ...value };
  for (const name of Object.keys(copy)) {
    const item = copy[name];
    if (item !== null && typeof item === "object") put(copy, name, copyOf(item, isSparse));
  }
  return isSparse ? sparseObject(copy) : copy;
}

function hasIndex(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasIndex);
  if (value instanceof Map) return [...value.values()].some(hasIndex);
  return isMap(value) && Object.entries(value as object).some(([name, item]) => isIndex(name) || hasIndex(item));
}

function put(fields: Fields, name: string, value: unknown): void {
  if (fields instanceof Map) fields.set(name, value);
  else if (name !== "__proto__") fields[name] = value;
  else Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true });
}

/** Returns the fields with placeholders for others: engines copy an object faster than they add fields to it. */
function roomIn(fields: RecordFields, names: readonly string[]): Fields {
  const others = names.map((name): [Key, unknown] => [name, null]);
  if (fields instanceof Map) return mapFor(fields.size + names.length, [...fields, ...others]);
  return { ...fields, ...Object.fromEntries(others) };
}

/** Puts in what a record says by itself. */
function tell(
  fields: Fields,
  stream: string,
  signal: NdArray,
  timestamp: number,
  sequence: number | bigint | null,
): void {
  if (fields instanceof Map) {
    fields.set("stream", stream).set("signal", signal).set("timestamp", timestamp);
    if (sequence !== null) fields.set("sequence", sequence);
    return;
  }
  fields.stream = stream;
  fields.signal = signal;
  fields.timestamp = timestamp;
  if (sequence !== null) fields.sequence = sequence;
}

function remove(fields: Fields, name: string): void {
  if (fields instanceof Map) fields.delete(name);
  else delete fields[name];
}

// --- errors ---

function refused(offset: number, why: string): ProtocolError {
  const text = `${why} (byte ${offset})`;
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 11, offset });
}

function ofOtherTemplate(offset: number, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, `${why} (byte ${offset})`, {
    check: 11,
    offset,
    reason: "template",
  });
}

export function tooLarge(check: number, why: string): ProtocolError {
  return new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check });
}
