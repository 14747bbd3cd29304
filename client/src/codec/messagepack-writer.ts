import { ProtocolError } from "../errors.js";
import {
  BINARY_VALUES,
  DATETIME_KEY,
  DTYPE_KEY,
  ErrorCode,
  MAX_DEPTH,
  MAX_VALUES,
  NDARRAY_KEY,
  NDARRAY_VALUES,
  SHAPE_KEY,
  UUID_KEY,
} from "../protocol.js";
import { isoText } from "./exact-date.js";
import { float16FromFloat32Bits } from "./float16.js";
import { mayBeWrapper, Reader } from "./messagepack-reader.js";
import { type DType, findDType, NdArray, type Samples } from "./ndarray.js";
import { type PathStep, pathText, ROOT } from "./path.js";
import { RARE_VALUES } from "./rare-values.js";
import { Uuid } from "./uuid.js";

/**
 * Form in which arrays are sent: nested lists, which every peer reads; or bytes, for peers that announced
 * `ndarray-bin`.
 */
export type NdArrayForm = "list" | "binary";

const SMALLEST_BUFFER = 256;
const ALIGNMENT = 8;
const LARGEST_INT64 = 2n ** 63n;
const LARGEST_UINT64 = 2n ** 64n;

/** Tags of integers, by the number of bytes that follow. */
const UNSIGNED: Readonly<Record<number, number>> = { 1: 0xcc, 2: 0xcd, 4: 0xce, 8: 0xcf };
const SIGNED: Readonly<Record<number, number>> = { 1: 0xd0, 2: 0xd1, 4: 0xd2, 8: 0xd3 };

/**
 * Tags of a type with a length. `fix` contains a length below `fixEnd`; the others precede 8, 16 or 32 bits of length.
 */
interface LengthTags {
  readonly fix: number;
  readonly fixEnd: number;
  readonly tag8: number;
  readonly tag16: number;
  readonly tag32: number;
}
const TEXT: LengthTags = { fix: 0xa0, fixEnd: 32, tag8: 0xd9, tag16: 0xda, tag32: 0xdb };
const BIN: LengthTags = { fix: 0, fixEnd: 0, tag8: 0xc4, tag16: 0xc5, tag32: 0xc6 };
const ARRAY: LengthTags = { fix: 0x90, fixEnd: 16, tag8: 0, tag16: 0xdc, tag32: 0xdd };
const MAP: LengthTags = { fix: 0x80, fixEnd: 16, tag8: 0, tag16: 0xde, tag32: 0xdf };

const utf8 = new TextEncoder();

/**
 * Writes one payload, after free bytes for the header of its frame. Arrays are aligned within the frame.
 *
 * Throws `TypeError` or `RangeError`, with the path, for a value that cannot be packed.
 */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(SMALLEST_BUFFER);
  #view = new DataView(this.#bytes.buffer);
  #at: number;
  readonly #limit: number;
  readonly #binary: boolean;
  readonly #path: PathStep[] = [];
  /** Values written so far, counted as for MAX_VALUES. */
  #counted = 0;

  /**
   * @param headerSize bytes to leave free before the payload
   * @param maxPayload largest size of the payload, in bytes
   */
  constructor(headerSize: number, maxPayload: number, form: NdArrayForm) {
    this.#at = headerSize;
    this.#limit = headerSize + maxPayload;
    this.#binary = form === "binary";
  }

  /** Returns the free bytes and the payload after them. */
  frameOf(value: unknown): Uint8Array<ArrayBuffer> {
    this.#value(value ?? null);
    return this.#bytes.subarray(0, this.#at);
  }

  // --- buffer, limits and path ---

  #where(): string {
    return pathText(this.#path);
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed > this.#limit) {
      const path = this.#where();
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, `the payload exceeds its limit at ${path}`, { path });
    }
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  /** Counts values as a receiver does, which accepts at most MAX_VALUES. */
  #count(values: number): void {
    this.#counted += values;
    if (this.#counted <= MAX_VALUES) return;
    const path = this.#where();
    const message = `${path}: more than ${MAX_VALUES} values in one payload`;
    throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, message, { path });
  }

  #checkDepth(levels: number): void {
    if (this.#path.length + levels > MAX_DEPTH) {
      throw new RangeError(`${this.#where()}: more than ${MAX_DEPTH} arrays and maps inside one another`);
    }
  }

  // --- values ---

  #value(value: unknown): void {
    if (typeof value === "string") this.#countedText(value);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "bigint") this.#bigint(value);
    else if (value === null) this.#byte(0xc0);
    else if (typeof value === "object") this.#object(value);
    else
      throw new TypeError(`${this.#where()}: cannot pack ${value === undefined ? "undefined" : `a ${typeof value}`}`);
  }

  #object(value: object): void {
    if (Array.isArray(value)) this.#array(value);
    else if (value instanceof NdArray) this.#ndarray(value);
    else if (value instanceof Uint8Array) this.#countedOctets(value);
    else if (value instanceof ArrayBuffer) this.#countedOctets(new Uint8Array(value));
    else if (value instanceof Date) this.#wrapped(DATETIME_KEY, this.#dateText(value));
    else if (value instanceof Uuid) this.#wrapped(UUID_KEY, String(value));
    else if (value instanceof Map) this.#map([...value]);
    else if (ArrayBuffer.isView(value)) this.#typedArray(value);
    else this.#plainObject(value);
  }

  #plainObject(value: object): void {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      throw new TypeError(`${this.#where()}: cannot pack a ${value.constructor?.name ?? "value"}`);
    }
    // As in JSON, properties that are undefined are left out.
    this.#map(Object.entries(value).filter(([, item]) => item !== undefined));
  }

  #dateText(date: Date): string {
    if (Number.isNaN(date.getTime())) throw new RangeError(`${this.#where()}: an invalid Date`);
    return isoText(date);
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = byte;
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value);
    else this.#double(value);
  }

  #double(value: number): void {
    const at = this.#tagged(0xcb, 8);
    this.#view.setFloat64(at, value);
  }

  /** Writes an integer in the shortest form. */
  #integer(value: number): void {
    if (value >= -32 && value < 128) this.#byte(value & 0xff);
    else if (value >= 0) this.#unsigned(value);
    else this.#signed(value);
  }

  #unsigned(value: number): void {
    const width = value < 2 ** 8 ? 1 : value < 2 ** 16 ? 2 : value < 2 ** 32 ? 4 : 8;
    const at = this.#tagged(UNSIGNED[width], width);
    if (width === 1) this.#bytes[at] = value;
    else if (width === 2) this.#view.setUint16(at, value);
    else if (width === 4) this.#view.setUint32(at, value);
    else this.#view.setBigUint64(at, BigInt(value));
  }

  #signed(value: number): void {
    const width = value >= -(2 ** 7) ? 1 : value >= -(2 ** 15) ? 2 : value >= -(2 ** 31) ? 4 : 8;
    const at = this.#tagged(SIGNED[width], width);
    if (width === 1) this.#view.setInt8(at, value);
    else if (width === 2) this.#view.setInt16(at, value);
    else if (width === 4) this.#view.setInt32(at, value);
    else this.#view.setBigInt64(at, BigInt(value));
  }

  /** Writes a tag, reserves `width` bytes after it and returns their offset. */
  #tagged(tag: number, width: number): number {
    this.#reserve(1 + width);
    this.#bytes[this.#at] = tag;
    this.#at += 1 + width;
    return this.#at - width;
  }

  #bigint(value: bigint): void {
    const nearest = Number(value);
    if (Number.isSafeInteger(nearest)) this.#integer(nearest);
    else this.#wideInteger(value);
  }

  #wideInteger(value: bigint): void {
    if (value < -LARGEST_INT64 || value >= LARGEST_UINT64) {
      throw new RangeError(`${this.#where()}: the integer does not fit in 64 bits`);
    }
    const at = this.#tagged(value < 0n ? SIGNED[8] : UNSIGNED[8], 8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, value));
  }

  #countedText(text: string): void {
    this.#count(1);
    this.#text(text);
  }

  #text(text: string): void {
    if (this.#shortAscii(text)) return;
    if (!text.isWellFormed()) throw new TypeError(`${this.#where()}: the text has no UTF-8 form`);
    const bytes = utf8.encode(text);
    this.#length(bytes.length, TEXT);
    this.#raw(bytes);
  }

  /**
   * Writes a short ASCII text, as most keys and names are: faster than `TextEncoder`. Returns false for other texts.
   */
  #shortAscii(text: string): boolean {
    const size = text.length;
    if (size >= 32) return false;
    this.#reserve(1 + size);
    for (let i = 0; i < size; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      this.#bytes[this.#at + 1 + i] = unit;
    }
    this.#bytes[this.#at] = 0xa0 | size;
    this.#at += 1 + size;
    return true;
  }

  #countedOctets(bytes: Uint8Array): void {
    this.#count(BINARY_VALUES);
    this.#octets(bytes);
  }

  #octets(bytes: Uint8Array): void {
    this.#length(bytes.length, BIN);
    this.#raw(bytes);
  }

  /** Writes a length in the shortest form: in the tag, or in 8 (if the type has it), 16 or 32 bits after it. */
  #length(length: number, tags: LengthTags): void {
    if (length < tags.fixEnd) {
      this.#byte(tags.fix | length);
    } else if (length < 2 ** 8 && tags.tag8) {
      const at = this.#tagged(tags.tag8, 1);
      this.#bytes[at] = length;
    } else if (length < 2 ** 16) {
      const at = this.#tagged(tags.tag16, 2);
      this.#view.setUint16(at, length);
    } else {
      const at = this.#tagged(tags.tag32, 4);
      this.#view.setUint32(at, length);
    }
  }

  #raw(bytes: ArrayLike<number>): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  // --- containers ---

  #array(items: readonly unknown[]): void {
    this.#checkDepth(1);
    this.#count(1);
    this.#length(items.length, ARRAY);
    const depth = this.#path.push(0) - 1;
    for (let i = 0; i < items.length; i++) {
      this.#path[depth] = i;
      this.#value(items[i]);
    }
    this.#path.pop();
  }

  #map(entries: readonly (readonly [unknown, unknown])[]): void {
    const start = this.#at;
    const counted = this.#counted;
    this.#checkDepth(1);
    this.#count(1);
    this.#length(entries.length, MAP);
    for (const [key, item] of entries) {
      if (!isKey(key)) {
        throw new TypeError(`${this.#where()}: a map key that is neither text nor an integer`);
      }
      this.#path.push(key);
      if (typeof key !== "string") this.#count(1);
      this.#value(key);
      this.#value(item);
      this.#path.pop();
    }
    const isWrapper = mayBeWrapper(entries.length, entries[0]?.[0]);
    if (isWrapper && this.#readBack(start) instanceof NdArray) this.#counted = counted + NDARRAY_VALUES;
  }

  /** Returns what a receiver decodes from the bytes since `start`. Throws TypeError if it would reject them. */
  #readBack(start: number): unknown {
    try {
      return new Reader(this.#bytes.subarray(start, this.#at), RARE_VALUES).onlyValue();
    } catch (error) {
      const { message, path: within } = error as ProtocolError & { path: string };
      const why = message.slice(`${within}: `.length).replace(/ \(payload byte \d+\)$/, "");
      const path = this.#where() + within.slice(ROOT.length);
      throw new TypeError(`${path}: no reader takes this for what its keys say it is: ${why}`, { cause: error });
    }
  }

  #wrapped(key: string, text: string): void {
    this.#checkDepth(1);
    this.#count(3); // the map, its key and the text
    this.#length(1, MAP);
    this.#text(key);
    this.#text(text);
  }

  // --- arrays ---

  #typedArray(view: ArrayBufferView): void {
    if (view instanceof DataView || view instanceof Uint8ClampedArray) {
      throw new TypeError(`${this.#where()}: cannot pack a ${view.constructor.name}`);
    }
    this.#ndarray(new NdArray(view as Samples));
  }

  #ndarray(array: NdArray): void {
    this.#checkDepth(1 + Math.max(1, this.#binary ? 1 : array.shape.length));
    this.#count(NDARRAY_VALUES);
    const dtype = findDType(array.dtype) as DType;
    if (this.#binary) this.#binaryForm(array, dtype);
    else this.#listForm(array, dtype);
    this.#text(SHAPE_KEY);
    this.#length(array.shape.length, ARRAY);
    for (const size of array.shape) this.#integer(size);
  }

  #listForm(array: NdArray, dtype: DType): void {
    this.#length(3, MAP);
    this.#text(NDARRAY_KEY);
    this.#reserve(array.size);
    this.#nested(array, dtype, 0, 0);
    this.#text(DTYPE_KEY);
    this.#text(array.dtype);
  }

  /** Writes the lists of a dimension and of those within it. Returns the index of the next element. */
  #nested(array: NdArray, dtype: DType, dimension: number, first: number): number {
    const { shape, data } = array;
    if (shape.length === 0) return this.#samples(data, dtype, 0, 1);
    this.#length(shape[dimension], ARRAY);
    if (dimension === shape.length - 1) return this.#samples(data, dtype, first, first + shape[dimension]);
    let next = first;
    for (let i = 0; i < shape[dimension]; i++) next = this.#nested(array, dtype, dimension + 1, next);
    return next;
  }

  #samples(data: Samples, dtype: DType, first: number, last: number): number {
    if (dtype.kind === "bool") for (let i = first; i < last; i++) this.#byte(data[i] ? 0xc3 : 0xc2);
    else if (dtype.kind === "float" && dtype.size === 8) this.#doubles(data, first, last);
    else if (dtype.kind === "float") this.#singles(data, first, last);
    else if (dtype.size === 8) for (let i = first; i < last; i++) this.#bigint(data[i] as bigint);
    else for (let i = first; i < last; i++) this.#integer(data[i] as number);
    return last;
  }

  /** Writes float64 samples as 32-bit words, which keeps the payload of a NaN. */
  #doubles(data: Samples, first: number, last: number): void {
    const words = new Int32Array(data.buffer, data.byteOffset, 2 * data.length);
    this.#reserve(9 * (last - first));
    for (let i = first; i < last; i++, this.#at += 9) {
      this.#bytes[this.#at] = 0xcb;
      this.#view.setInt32(this.#at + 1, words[2 * i + 1]);
      this.#view.setInt32(this.#at + 5, words[2 * i]);
    }
  }

  #singles(data: Samples, first: number, last: number): void {
    const words = new Int32Array(data.buffer, data.byteOffset, data.length);
    this.#reserve(5 * (last - first));
    for (let i = first; i < last; i++, this.#at += 5) {
      this.#bytes[this.#at] = 0xca;
      this.#view.setInt32(this.#at + 1, words[i]);
    }
  }

  /**
   * Writes `dtype` and `__ndarray__`, the bytes, little-endian and in C order. The shape follows.
   *
   * The bytes start at a multiple of 8 from the first byte of the frame. Longer MessagePack headers than necessary
   * provide the 0 to 7 bytes of padding: one can be longer by 1 byte, another by 2, a third by 4.
   */
  #binaryForm(array: NdArray, dtype: DType): void {
    const size = array.size * dtype.size;
    const binHeader = size < 2 ** 8 ? 2 : size < 2 ** 16 ? 3 : 5;
    const narrow = 1 + textSize(DTYPE_KEY) + textSize(array.dtype) + textSize(NDARRAY_KEY) + binHeader;
    const padding = -(this.#at + narrow) & (ALIGNMENT - 1);
    this.#reserve(narrow + padding + size);
    this.#raw(padding & 4 ? [0xdf, 0, 0, 0, 3] : [0x83]);
    this.#raw(padding & 1 ? [0xd9, DTYPE_KEY.length] : [0xa0 | DTYPE_KEY.length]);
    this.#raw(utf8.encode(DTYPE_KEY));
    this.#text(array.dtype);
    this.#raw(padding & 2 ? [0xda, 0, NDARRAY_KEY.length] : [0xa0 | NDARRAY_KEY.length]);
    this.#raw(utf8.encode(NDARRAY_KEY));
    this.#octets(littleEndian(array.data, dtype));
  }
}

function isKey(key: unknown): key is PathStep {
  return typeof key === "string" || typeof key === "bigint" || Number.isSafeInteger(key);
}

function textSize(short: string): number {
  return 1 + short.length;
}

function littleEndian(data: Samples, dtype: DType): Uint8Array {
  if (dtype.kind !== "float" || dtype.size !== 2) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const words = new Int32Array(data.buffer, data.byteOffset, data.length);
  const bytes = new Uint8Array(2 * words.length);
  words.forEach((word, i) => {
    const half = float16FromFloat32Bits(word);
    bytes[2 * i] = half;
    bytes[2 * i + 1] = half >>> 8;
  });
  return bytes;
}
