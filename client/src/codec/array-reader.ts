/**
 * Reads the arrays in a payload.
 *
 * The samples often precede the dtype, which must be read first.
 */
import type { ProtocolError } from "../errors.js";
import {
  DTYPE_KEY,
  ErrorCode,
  MAX_DEPTH,
  MAX_DIMENSION,
  MAX_DTYPE_LETTERS,
  MAX_NDIM,
  NDARRAY_KEY,
  NDARRAY_VALUES,
  SHAPE_KEY,
} from "../protocol.js";
import { arrayHeader, pastNumbers } from "./array-extent.js";
import { type DType, findDType, NdArray, type Samples, sizeOf } from "./ndarray.js";
import { type PathStep, pathText, quoted } from "./path.js";
import type { RareValues } from "./rare-values.js";
import { halves } from "./read-float16.js";
import { SampleFault } from "./sample-fault.js";
import type { SampleReader } from "./sample-reader.js";
import { asciiAt, isBinTag, type Span, sizedAt, TOO_DEEP, textAt, WIDTH } from "./tags.js";

/** Locations of the values of an ndarray wrapper in the payload. */
interface Wrapper {
  readonly samples: Span;
  readonly dtype: Span;
  readonly shape: Span;
  /** Where the wrapper ends. */
  readonly stop: number;
}

/** The reader of the payload that holds the arrays. */
export interface ArraySource {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly rare: RareValues;
  /** One step for each open array or map. */
  readonly path: readonly PathStep[];
  /** Counts values as MAX_VALUES defines it. @throws ProtocolError 0x102, check 11 */
  count(start: number, values: number): void;
  /** Throws an error of 0x200, check 11. */
  refuse(offset: number, why: string): never;
  error(code: ErrorCode, offset: number, why: string, path?: string): ProtocolError;
  /** Continues to read at that offset. */
  goTo(at: number): void;
  /** Reads the number at that offset. */
  numberAt(at: number): unknown;
}

const MOST_BYTES = 2n ** 63n - 1n;

const latin = new TextDecoder("latin1");

/** Reads the ndarray wrappers of one payload. */
export class ArrayReader {
  readonly #source: ArraySource;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(source: ArraySource) {
    this.#source = source;
    this.#bytes = source.bytes;
    this.#view = source.view;
  }

  /** Reads the map of three entries whose first key is at `at`; undefined if it is not a complete wrapper. */
  read(at: number): NdArray | undefined {
    const wrapper = this.#locate(at);
    if (!wrapper) return undefined;
    this.#source.goTo(wrapper.stop);
    return this.#ndarray(wrapper);
  }

  /** Refuses a map whose keys are those of a wrapper, and that is none. */
  refuseWrapper(start: number, entries: Readonly<Record<string, unknown>>): void {
    const keys = Object.keys(entries);
    if (!Object.hasOwn(entries, NDARRAY_KEY) || !keys.every(isWrapperKey)) return;
    const missing = [DTYPE_KEY, SHAPE_KEY].filter((key) => !keys.includes(key));
    if (missing.length) this.#refuse(start, `an ndarray wrapper without ${missing.join(" and ")}`);
    if (typeof entries[DTYPE_KEY] !== "string") this.#refuse(start, "an ndarray wrapper whose dtype is no text");
    this.#refuse(start, `an ndarray wrapper whose "${NDARRAY_KEY}" holds other than numbers, or whose shape does`);
  }

  #refuse(offset: number, why: string): never {
    return this.#source.refuse(offset, why);
  }

  #locate(first: number): Wrapper | undefined {
    const found: Record<string, Span> = {};
    let at = first;
    for (let i = 0; i < 3; i++) {
      const key = textAt(this.#bytes, this.#view, at);
      if (!key || key.stop === this.#bytes.length) return undefined;
      const name = asciiAt(this.#bytes, key);
      const value = this.#wrappedAt(name, key.stop);
      if (!value || Object.hasOwn(found, name)) return undefined;
      found[name] = value;
      at = value.stop;
    }
    return { samples: found[NDARRAY_KEY], dtype: found[DTYPE_KEY], shape: found[SHAPE_KEY], stop: at };
  }

  #wrappedAt(key: string, at: number): Span | undefined {
    if (key === DTYPE_KEY) return textAt(this.#bytes, this.#view, at);
    if (key !== NDARRAY_KEY && key !== SHAPE_KEY) return undefined;
    if (key === NDARRAY_KEY && isBinTag(this.#bytes[at])) {
      const data = sizedAt(this.#bytes, this.#view, at, 0xc4);
      return data && { start: at, stop: data.stop };
    }
    const stop = pastNumbers(this.#bytes, this.#view, at, key === SHAPE_KEY ? 1 : MAX_NDIM);
    return stop < 0 ? undefined : { start: at, stop };
  }

  #ndarray({ samples, dtype: dtypeSpan, shape: shapeSpan }: Wrapper): NdArray {
    this.#source.count(samples.start, NDARRAY_VALUES);
    if (this.#source.path.length + 2 > MAX_DEPTH) this.#refuse(samples.start, TOO_DEEP);
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
    const size = this.#source.numberAt(at);
    return typeof size === "number" && size >= 0 && size <= MAX_DIMENSION ? size : undefined;
  }

  /** Returns the samples as a view of the payload; as a copy if they are unaligned or JavaScript lacks their type. */
  #viewSamples(samples: Span, dtype: DType, shape: readonly number[]): Samples {
    const { start, stop } = sizedAt(this.#bytes, this.#view, samples.start, 0xc4) as Span; // found before, by #locate
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
    if (this.#source.path.length + 1 + lists > MAX_DEPTH) this.#refuse(start, TOO_DEEP);
    const { rare } = this.#source;
    if (!rare) throw new Error("what reads arrays in list form is not loaded");
    const reader = new rare.SampleReader(this.#bytes, this.#view, dtype, size);
    try {
      if (this.#fill(reader, start, shape, size) !== stop) this.#refuseShape(start, shape);
    } catch (error) {
      if (!(error instanceof SampleFault)) throw error;
      const place = [...this.#source.path, NDARRAY_KEY, ...indicesOf(error.index, shape)];
      throw this.#source.error(ErrorCode.INVALID_DATA_FORMAT, start, error.message, pathText(place));
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
    const first = header.start < this.#bytes.length ? this.#bytes[header.start] : 0;
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

/** Returns the size of the samples in bytes, without dimensions of 0. */
function bytesOf(shape: readonly number[], dtype: DType): bigint {
  return shape.reduce((bytes, size) => (size ? bytes * BigInt(size) : bytes), BigInt(dtype.size));
}

function isWrapperKey(key: string): boolean {
  return key === NDARRAY_KEY || key === DTYPE_KEY || key === SHAPE_KEY;
}

function viewOf(bytes: Uint8Array, start: number, dtype: DType, size: number): Samples {
  if (dtype.name.endsWith("f2") || dtype.name === "float16") return halves(bytes, start, size);
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
