import { ProtocolError } from "../errors.js";
import {
  BINARY_VALUES,
  DATETIME_KEY,
  DTYPE_KEY,
  ErrorCode,
  MAX_DEPTH,
  MAX_DIMENSION,
  MAX_DTYPE_LETTERS,
  MAX_NDIM,
  MAX_VALUES,
  NDARRAY_KEY,
  NDARRAY_VALUES,
  SHAPE_KEY,
  UUID_KEY,
} from "../protocol.js";
import { DateTime } from "./date-time.js";
import { exact, isIndex, type Key, mapFor, sparseObject } from "./map-keys.js";
import { type DType, findDType, NdArray, type Samples, sizeOf } from "./ndarray.js";
import { type PathStep, pathText, quoted } from "./path.js";
import { SampleFault, SampleReader } from "./sample-reader.js";
import { arrayHeader, isTrue, pastNumbers, WIDTH } from "./tags.js";
import { Uuid } from "./uuid.js";

/** A decoded map: an object if all keys are text, otherwise a `Map`. */
type Entries = Record<string, unknown> | Map<Key, unknown>;

/** Offsets of some bytes of the payload. */
interface Span {
  readonly start: number;
  readonly stop: number;
}

/** Locations of the values of an ndarray wrapper in the payload. */
interface Wrapper {
  readonly samples: Span;
  readonly dtype: Span;
  readonly shape: Span;
}

const MARKERS: ReadonlySet<string> = new Set([NDARRAY_KEY, DTYPE_KEY, SHAPE_KEY, DATETIME_KEY, UUID_KEY]);
const TOO_DEEP = `more than ${MAX_DEPTH} arrays and maps inside one another`;
const SHORT_TEXT = 24;
/** Character codes of a short text; one array for each length, so that decoding it allocates the string only. */
const CODES: readonly number[][] = /* @__PURE__ */ Array.from({ length: SHORT_TEXT + 1 }, (_, length) =>
  new Array<number>(length).fill(0),
);
const MOST_BYTES = 2n ** 63n - 1n;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const latin = new TextDecoder("latin1");

/**
 * Reads one payload. Checks each length against the remaining bytes before it allocates memory.
 *
 * The known libraries are not sufficient: they convert lists of numbers to JavaScript arrays, accept duplicate keys and
 * invalid UTF-8, and do not limit the number of values.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  #at = 0;
  /** Values that the open arrays and maps still need. Each has at least one byte. */
  #outstanding = 0;
  /** Values read so far, counted as for MAX_VALUES. */
  #values = 0;
  /** One step for each open array or map. */
  readonly #path: PathStep[] = [];
  readonly #floats: Set<Key> | undefined;

  /**
   * @param floats receives the keys of the outermost map whose values are floats, as JavaScript cannot tell 1.0 from 1
   */
  constructor(bytes: Uint8Array, floats?: Set<Key>) {
    this.#floats = floats;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  /** Reads the only value of the payload; null if the payload is empty. */
  onlyValue(): unknown {
    if (this.#end === 0) return null;
    const value = this.#value();
    if (this.#at !== this.#end) this.#refuse(this.#at, `${this.#end - this.#at} bytes left over behind the value`);
    return value;
  }

  /** Number of values read so far, counted as for MAX_VALUES. */
  get values(): number {
    return this.#values;
  }

  // --- errors ---

  #refuse(offset: number, why: string): never {
    throw this.#error(ErrorCode.INVALID_DATA_FORMAT, offset, why);
  }

  #error(code: ErrorCode, offset: number, why: string, path = pathText(this.#path)): ProtocolError {
    return new ProtocolError(code, `${path}: ${why} (payload byte ${offset})`, { check: 11, path, offset });
  }

  /** Counts a value as MAX_VALUES defines it, before it is allocated. `start` is its offset. */
  #count(start: number, values: number): void {
    this.#values += values;
    if (this.#values > MAX_VALUES) {
      throw this.#error(ErrorCode.MESSAGE_TOO_LARGE, start, `more than ${MAX_VALUES} values in one payload`);
    }
  }

  #need(bytes: number): void {
    const missing = bytes - (this.#end - this.#at);
    if (missing > 0) this.#refuse(this.#at, `the payload ends ${missing} bytes early`);
  }

  // --- values ---

  #value(): unknown {
    this.#need(1);
    const start = this.#at;
    const tag = this.#bytes[start];
    if (tag < 0x80 || tag >= 0xe0) {
      this.#at++;
      return tag < 0x80 ? tag : tag - 0x100;
    }
    if (WIDTH[tag]) return this.#wideNumber(tag);
    if (tag <= 0xc0) {
      this.#at++;
      if (tag < 0x90) return this.#map(start, tag & 0x0f);
      if (tag < 0xa0) return this.#array(start, tag & 0x0f);
      return tag < 0xc0 ? this.#text(start, tag & 0x1f) : null;
    }
    switch (tag) {
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#octets(start, this.#length(1 << (tag - 0xc4)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(start, this.#length(1 << (tag - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(start, this.#length(2 << (tag - 0xdc)));
      case 0xde:
      case 0xdf:
        return this.#map(start, this.#length(2 << (tag - 0xde)));
      default:
        return this.#refuse(start, `MessagePack tag 0x${tag.toString(16)} is none of the specification's types`);
    }
  }

  #wideNumber(tag: number): number | bigint | boolean {
    const at = this.#at + 1;
    if (WIDTH[tag] > this.#end - this.#at) this.#refuse(this.#at, "the payload ends within this number");
    this.#at += WIDTH[tag];
    switch (tag) {
      case 0xca:
        return this.#view.getFloat32(at);
      case 0xcb:
        return this.#view.getFloat64(at);
      case 0xcc:
        return this.#bytes[at];
      case 0xcd:
        return this.#view.getUint16(at);
      case 0xce:
        return this.#view.getUint32(at);
      case 0xcf:
        return exact(this.#view.getBigUint64(at));
      case 0xd0:
        return this.#view.getInt8(at);
      case 0xd1:
        return this.#view.getInt16(at);
      case 0xd2:
        return this.#view.getInt32(at);
      case 0xd3:
        return exact(this.#view.getBigInt64(at));
      default:
        return isTrue(tag);
    }
  }

  /** Reads a tag and the length after it, which has `width` bytes. Returns the length. */
  #length(width: number): number {
    this.#need(1 + width);
    const at = this.#at + 1;
    this.#at = at + width;
    return width === 1 ? this.#bytes[at] : width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #text(start: number, length: number): string {
    this.#need(length);
    this.#count(start, 1);
    const from = this.#at;
    this.#at += length;
    return (length <= SHORT_TEXT ? this.#ascii(from, length) : undefined) ?? this.#utf8(start, from);
  }

  /** Decodes at most SHORT_TEXT bytes if they are ASCII, as most are: faster than `TextDecoder`. */
  #ascii(from: number, length: number): string | undefined {
    const codes = CODES[length];
    for (let i = 0; i < length; i++) {
      const byte = this.#bytes[from + i];
      if (byte >= 0x80) return undefined;
      codes[i] = byte;
    }
    return String.fromCharCode.apply(null, codes);
  }

  #utf8(start: number, from: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(from, this.#at));
    } catch {
      return this.#refuse(start, "text that is not UTF-8");
    }
  }

  #octets(start: number, length: number): Uint8Array {
    this.#need(length);
    this.#count(start, BINARY_VALUES);
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  // --- containers ---

  /** Enters an array or map of so many values. Rejects it at once if the payload is too short for them. */
  #enter(start: number, values: number): void {
    const left = this.#end - this.#at;
    if (values + this.#outstanding > left)
      this.#refuse(start, `${values} values announced, and ${left} bytes are left`);
    if (this.#path.length === MAX_DEPTH) this.#refuse(start, TOO_DEEP);
    this.#count(start, 1);
    this.#outstanding += values;
  }

  #array(start: number, length: number): unknown[] {
    this.#enter(start, length);
    const items: unknown[] = [];
    const depth = this.#path.push(0) - 1;
    for (let i = 0; i < length; i++) {
      this.#path[depth] = i;
      this.#outstanding--;
      items.push(this.#value());
    }
    this.#path.pop();
    return items;
  }

  #map(start: number, length: number): unknown {
    if (length > 0 && mayBeWrapper(length, this.#keyAt(this.#at))) return this.#markedMap(start, length);
    return this.#entries(start, length);
  }

  #entries(start: number, length: number): Entries {
    this.#enter(start, 2 * length);
    let entries: Entries = {};
    let isSparse = false;
    for (let i = 0; i < length; i++) {
      this.#outstanding--;
      const key = this.#key(); // an error in the key has the path of the map
      this.#path.push(key);
      this.#outstanding--;
      if (this.#floats && this.#path.length === 1 && isFloatTag(this.#bytes[this.#at])) this.#floats.add(key);
      const value = this.#value();
      this.#path.pop();
      if (typeof key !== "string" && !(entries instanceof Map)) entries = mapFor(length, Object.entries(entries));
      else if (!(entries instanceof Map) && isIndex(key as string) && !isSparse) {
        entries = sparseObject(entries);
        isSparse = true;
      }
      if (!put(entries, key, value)) this.#refuse(start, "a map names the same key twice");
    }
    return entries;
  }

  #key(): Key {
    this.#need(1);
    const start = this.#at;
    const tag = this.#bytes[start];
    if (!isKeyTag(tag)) {
      this.#refuse(start, `a map key that is neither text nor an integer (MessagePack tag 0x${tag.toString(16)})`);
    }
    if (WIDTH[tag]) this.#count(start, 1); // text is counted when it is read
    return this.#value() as Key;
  }

  // --- wrappers ---

  /** Reads a map whose first key is a key of a wrapper. Returns the wrapped value, or the map if it is no wrapper. */
  #markedMap(start: number, length: number): unknown {
    const wrapper = length === 3 ? this.#locate() : undefined;
    if (wrapper) return this.#ndarray(wrapper);
    const entries = this.#entries(start, length);
    if (entries instanceof Map) return entries;
    const keys = Object.keys(entries);
    if (Object.hasOwn(entries, NDARRAY_KEY) && keys.every(isWrapperKey)) this.#refuseWrapper(start, entries, keys);
    if (length === 1 && keys[0] === DATETIME_KEY) return this.#wrapped(start, DateTime, entries[DATETIME_KEY]);
    if (length === 1 && keys[0] === UUID_KEY) return this.#wrapped(start, Uuid, entries[UUID_KEY]);
    return entries;
  }

  #wrapped<T>(start: number, Wrapped: new (text: string) => T, text: unknown): T {
    if (typeof text !== "string") this.#refuse(start, `a ${Wrapped.name} that wraps no text`);
    try {
      return new Wrapped(text);
    } catch (error) {
      return this.#refuse(start, `${(error as Error).message}: ${quoted(text)}`);
    }
  }

  #refuseWrapper(start: number, entries: Record<string, unknown>, keys: string[]): never {
    const missing = [DTYPE_KEY, SHAPE_KEY].filter((key) => !keys.includes(key));
    if (missing.length) this.#refuse(start, `an ndarray wrapper without ${missing.join(" and ")}`);
    if (typeof entries[DTYPE_KEY] !== "string") this.#refuse(start, "an ndarray wrapper whose dtype is no text");
    this.#refuse(start, `an ndarray wrapper whose "${NDARRAY_KEY}" holds other than numbers, or whose shape does`);
  }

  // --- ndarray wrappers: the samples often precede the dtype, which must be read first ---

  /** Finds the three values of a wrapper, whose first key is next; undefined if it is not a complete wrapper. */
  #locate(): Wrapper | undefined {
    const found: Record<string, Span> = {};
    let at = this.#at;
    for (let i = 0; i < 3; i++) {
      const key = this.#textAt(at);
      if (!key || key.stop === this.#end) return undefined;
      const name = this.#shortAt(key);
      const value = this.#wrappedAt(name, key.stop);
      if (!value || Object.hasOwn(found, name)) return undefined;
      found[name] = value;
      at = value.stop;
    }
    const wrapper = { samples: found[NDARRAY_KEY], dtype: found[DTYPE_KEY], shape: found[SHAPE_KEY] };
    this.#at = at;
    return wrapper;
  }

  #wrappedAt(key: string, at: number): Span | undefined {
    if (key === DTYPE_KEY) return this.#textAt(at);
    if (key !== NDARRAY_KEY && key !== SHAPE_KEY) return undefined;
    if (key === NDARRAY_KEY && isBinTag(this.#bytes[at])) {
      const data = this.#sizedAt(at, 0xc4);
      return data && { start: at, stop: data.stop };
    }
    const stop = pastNumbers(this.#bytes, this.#view, at, key === SHAPE_KEY ? 1 : MAX_NDIM);
    return stop < 0 ? undefined : { start: at, stop };
  }

  #keyAt(at: number): string {
    const span = this.#textAt(at);
    return span ? this.#shortAt(span) : "";
  }

  /** Returns the text if it is short and ASCII; otherwise an empty string. */
  #shortAt({ start, stop }: Span): string {
    return stop - start <= SHORT_TEXT ? (this.#ascii(start, stop - start) ?? "") : "";
  }

  /** Returns where the bytes of the text at `at` are; undefined if there is no complete text. */
  #textAt(at: number): Span | undefined {
    const tag = at < this.#end ? this.#bytes[at] : 0;
    if ((tag & 0xe0) !== 0xa0) return this.#sizedAt(at, 0xd9);
    const stop = at + 1 + (tag & 0x1f);
    return stop <= this.#end ? { start: at + 1, stop } : undefined;
  }

  /** Returns where the bytes after the tag at `at` and a length of 8, 16 or 32 bits are; undefined if incomplete. */
  #sizedAt(at: number, tag8: number): Span | undefined {
    const kind = at < this.#end ? this.#bytes[at] - tag8 : -1;
    if (kind < 0 || kind > 2) return undefined;
    const width = 1 << kind;
    const start = at + 1 + width;
    if (start > this.#end) return undefined;
    const length =
      kind === 0 ? this.#bytes[at + 1] : kind === 1 ? this.#view.getUint16(at + 1) : this.#view.getUint32(at + 1);
    return start + length <= this.#end ? { start, stop: start + length } : undefined;
  }

  #ndarray({ samples, dtype: dtypeSpan, shape: shapeSpan }: Wrapper): NdArray {
    this.#count(samples.start, NDARRAY_VALUES);
    if (this.#path.length + 2 > MAX_DEPTH) this.#refuse(samples.start, TOO_DEEP);
    const dtype = this.#dtype(dtypeSpan);
    const shape = this.#shape(shapeSpan, dtype);
    const binary = isBinTag(this.#bytes[samples.start]);
    const data = binary ? this.#viewSamples(samples, dtype, shape) : this.#copySamples(samples, dtype, shape);
    return new NdArray(data, shape, dtype.name);
  }

  #dtype({ start, stop }: Span): DType {
    if (stop - start > MAX_DTYPE_LETTERS) this.#refuse(start, `a dtype of ${stop - start} letters`);
    const text = latin.decode(this.#bytes.subarray(start, stop));
    const found = findDType(text);
    return found ?? this.#refuse(start, `dtype ${quoted(text)} is no bool, integer or float of at most 8 bytes`);
  }

  #shape({ start, stop }: Span, dtype: DType): number[] {
    const header = arrayHeader(this.#view, start);
    if (!header) return this.#refuse(start, "an ndarray's shape is an array of dimensions");
    if (header.length > MAX_NDIM) {
      this.#refuse(start, `an ndarray of ${header.length} dimensions; ${MAX_NDIM} is the most`);
    }
    const shape: number[] = [];
    let bytes = dtype.size;
    for (let at = header.start; at < stop; at += WIDTH[this.#bytes[at]]) {
      const size = this.#dimensionAt(at);
      if (size === undefined) {
        return this.#refuse(start, `dimension ${shape.length} of an ndarray's shape is no integer from 0 to 2**32 - 1`);
      }
      shape.push(size);
      if (size) bytes *= size;
    }
    if (bytes > Number.MAX_SAFE_INTEGER && bytesOf(shape, dtype) > MOST_BYTES) {
      this.#refuse(start, "the shape has more samples than memory has addresses");
    }
    return shape;
  }

  #dimensionAt(at: number): number | undefined {
    const tag = this.#bytes[at];
    if (tag === 0xc2 || tag === 0xc3 || tag === 0xca || tag === 0xcb) return undefined;
    const here = this.#at;
    this.#at = at;
    const size = this.#value();
    this.#at = here;
    return typeof size === "number" && size >= 0 && size <= MAX_DIMENSION ? size : undefined;
  }

  /** Returns the samples as a view of the payload; as a copy if they are unaligned or JavaScript lacks their type. */
  #viewSamples(samples: Span, dtype: DType, shape: readonly number[]): Samples {
    const { start, stop } = this.#sizedAt(samples.start, 0xc4) as Span; // found before, by #locate
    const size = sizeOf(shape);
    if (stop - start !== size * dtype.size) {
      const expected = `shape [${shape}] of ${dtype.name} has ${size * dtype.size}`;
      this.#refuse(samples.start, `${stop - start} bytes of samples, where ${expected}`);
    }
    if (dtype.kind === "bool") this.#checkBools(start, stop);
    return viewOf(this.#bytes, start, dtype, size);
  }

  #checkBools(start: number, stop: number): void {
    for (let at = start; at < stop; at++) {
      if (this.#bytes[at] > 1) this.#refuse(at, `a bool sample of value ${this.#bytes[at]}`);
    }
  }

  #copySamples({ start, stop }: Span, dtype: DType, shape: readonly number[]): Samples {
    const size = sizeOf(shape);
    if (size > stop - start) this.#refuseShape(start, shape); // before anything is allocated
    const lists = this.#isFlat(start, shape) ? 1 : shape.length;
    if (this.#path.length + 1 + lists > MAX_DEPTH) this.#refuse(start, TOO_DEEP);
    const reader = new SampleReader(this.#bytes, this.#view, dtype, size);
    try {
      if (this.#fill(reader, start, shape, size) !== stop) this.#refuseShape(start, shape);
    } catch (error) {
      if (!(error instanceof SampleFault)) throw error;
      const place = [...this.#path, NDARRAY_KEY, ...indicesOf(error.index, shape)];
      throw this.#error(ErrorCode.INVALID_DATA_FORMAT, start, error.message, pathText(place));
    }
    return reader.samples;
  }

  /** Returns true if the samples are one flat list in C order, false if they are nested lists. */
  #isFlat(start: number, shape: readonly number[]): boolean {
    const header = arrayHeader(this.#view, start);
    if (!header) return false;
    return shape.length < 2 || header.length === 0 || !arrayHeader(this.#view, header.start);
  }

  /** Reads the samples, flat or nested as the shape says, and returns their end; -1 if they are neither. */
  #fill(reader: SampleReader, start: number, shape: readonly number[], size: number): number {
    const header = arrayHeader(this.#view, start);
    if (!header) return shape.length === 0 ? reader.read(start, 1) : -1;
    const first = header.start < this.#end ? this.#bytes[header.start] : 0;
    const isFlat = header.length === size && (size === 0 || WIDTH[first] > 0);
    return isFlat ? reader.read(header.start, size) : this.#fillNested(reader, start, shape, 0);
  }

  #fillNested(reader: SampleReader, start: number, shape: readonly number[], dimension: number): number {
    const header = arrayHeader(this.#view, start);
    if (!header || header.length !== shape[dimension]) return -1;
    if (dimension === shape.length - 1) return reader.read(header.start, header.length);
    let at = header.start;
    for (let i = 0; i < header.length && at >= 0; i++) at = this.#fillNested(reader, at, shape, dimension + 1);
    return at;
  }

  #refuseShape(at: number, shape: readonly number[]): never {
    this.#refuse(at, `the samples are neither nested as shape [${shape}] says nor that many in one flat list`);
  }
}

/** Adds an entry; returns false if the key exists already. */
function put(entries: Entries, key: Key, value: unknown): boolean {
  if (entries instanceof Map) {
    if (entries.has(key)) return false;
    entries.set(key, value);
    return true;
  }
  const name = key as string;
  if (Object.hasOwn(entries, name)) return false;
  if (name === "__proto__") {
    Object.defineProperty(entries, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    entries[name] = value;
  }
  return true;
}

/** Returns the size of the samples in bytes, without dimensions of 0. */
function bytesOf(shape: readonly number[], dtype: DType): bigint {
  return shape.reduce((bytes, size) => (size ? bytes * BigInt(size) : bytes), BigInt(dtype.size));
}

function isKeyTag(tag: number): boolean {
  const isInteger = tag < 0x80 || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3);
  return isInteger || (tag & 0xe0) === 0xa0 || (tag >= 0xd9 && tag <= 0xdb);
}

function isFloatTag(tag: number): boolean {
  return tag === 0xca || tag === 0xcb;
}

function isBinTag(tag: number): boolean {
  return tag >= 0xc4 && tag <= 0xc6;
}

/** Returns true if a map of so many entries, with this first key, may be a wrapper. */
export function mayBeWrapper(length: number, firstKey: unknown): boolean {
  return length <= 3 && MARKERS.has(firstKey as string);
}

function isWrapperKey(key: string): boolean {
  return key === NDARRAY_KEY || key === DTYPE_KEY || key === SHAPE_KEY;
}

function viewOf(bytes: Uint8Array, start: number, dtype: DType, size: number): Samples {
  if (dtype.name.endsWith("f2") || dtype.name === "float16") return SampleReader.halves(bytes, start, size);
  const offset = bytes.byteOffset + start;
  if (offset % dtype.size === 0) return new dtype.Samples(bytes.buffer, offset, size);
  const copy = bytes.slice(start, start + size * dtype.size);
  return new dtype.Samples(copy.buffer, 0, size);
}

/** Converts an index in C order to one index for each dimension. */
function indicesOf(index: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  let rest = index;
  for (const n of [...shape].reverse()) {
    place.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  return place;
}
