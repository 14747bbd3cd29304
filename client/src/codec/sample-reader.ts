import { roundToFloat16 } from "./float16.js";
import type { DType, Samples } from "./ndarray.js";
import { SampleFault } from "./sample-fault.js";
import { WIDTH } from "./tags.js";

const NOT_A_NUMBER = "not a number where the shape has a sample";
const BOOL_AMONG_NUMBERS = "a bool among numbers";
const NUMBER_AMONG_BOOLS = "neither true, false, 0 nor 1 in a bool array";
const FRACTION = "a fraction, infinity or NaN in an integer array";
const OUT_OF_RANGE = "a number outside the range of the array's dtype";

const FALSE = 0xc2;
const TRUE = 0xc3;
const FLOAT32 = 0xca;
const FLOAT64 = 0xcb;
const UINT8 = 0xcc;
const UINT16 = 0xcd;
const UINT32 = 0xce;
const UINT64 = 0xcf;
const INT8 = 0xd0;
const INT16 = 0xd1;
const INT32 = 0xd2;
const INT64 = 0xd3;

const WORD = 2 ** 32;
const NO_WORDS = /* @__PURE__ */ new Int32Array(0);

/** Fills a typed array with the numbers of a payload, row by row, without creating an object for each number. */
export class SampleReader {
  readonly samples: Samples;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #dtype: DType;
  /**
   * The samples as 32-bit words: they keep the payload of a NaN, and 64-bit integers need no BigInt. Of samples that are
   * not read so, none: a view takes as long to make as tens of samples to read.
   */
  readonly #words: Int32Array;
  readonly #readRow: (at: number, first: number, last: number) => number;
  #done = 0;

  constructor(bytes: Uint8Array, view: DataView, dtype: DType, size: number) {
    this.#bytes = bytes;
    this.#view = view;
    this.#dtype = dtype;
    this.samples = new dtype.Samples(size);
    const hasWords = dtype.kind === "float" || dtype.size === 8;
    this.#words = hasWords ? new Int32Array(this.samples.buffer, 0, this.samples.byteLength >> 2) : NO_WORDS;
    this.#readRow = this.#rowReader(dtype);
  }

  /** Reads the `n` numbers at `at`, and returns the offset of their end. */
  read(at: number, n: number): number {
    const end = this.#readRow(at, this.#done, this.#done + n);
    this.#done += n;
    return end;
  }

  #rowReader(dtype: DType): (at: number, first: number, last: number) => number {
    if (dtype.kind === "bool") return this.#bools;
    if (dtype.kind === "int") return dtype.size === 8 ? this.#wideIntegers : this.#integers;
    if (dtype.size === 8) return this.#doubles;
    return dtype.size === 4 ? this.#singles : this.#halves;
  }

  #bools(start: number, first: number, last: number): number {
    let at = start;
    for (let i = first; i < last; i++, at++) {
      const tag = this.#bytes[at];
      if (tag === TRUE || tag === 1) this.samples[i] = 1;
      else if (tag !== FALSE && tag !== 0) at += this.#bool(at, i) - 1;
    }
    return at;
  }

  /** Reads a 0 or 1 that is encoded in more bytes than necessary. Returns its size in bytes. */
  #bool(at: number, i: number): number {
    const tag = this.#bytes[at];
    const width = this.#width(at, i);
    const isFloat = tag === FLOAT32 || tag === FLOAT64;
    const value = isFloat ? Number.NaN : this.#number(at);
    if (value !== 0 && value !== 1) throw new SampleFault(NUMBER_AMONG_BOOLS, i);
    this.samples[i] = value;
    return width;
  }

  #integers(start: number, first: number, last: number): number {
    const bytes = this.#bytes;
    const samples = this.samples as Int32Array;
    const { min, max } = this.#dtype;
    let at = start;
    for (let i = first; i < last; i++) {
      const tag = bytes[at];
      let value: number;
      if (tag < 0x80) {
        value = tag;
        at += 1;
      } else if (tag >= 0xe0) {
        value = tag - 0x100;
        at += 1;
      } else if (tag === INT8) {
        value = (bytes[at + 1] << 24) >> 24;
        at += 2;
      } else if (tag === INT16) {
        value = ((bytes[at + 1] << 24) >> 16) | bytes[at + 2];
        at += 3;
      } else if (tag === UINT8) {
        value = bytes[at + 1];
        at += 2;
      } else if (tag === UINT16) {
        value = (bytes[at + 1] << 8) | bytes[at + 2];
        at += 3;
      } else {
        const width = this.#width(at, i);
        value = this.#integer(at, i);
        at += width;
      }
      if (value < min || value > max) throw new SampleFault(OUT_OF_RANGE, i);
      samples[i] = value;
    }
    return at;
  }

  /** Reads integers of 64 bits, as two words each. */
  #wideIntegers(start: number, first: number, last: number): number {
    const words = this.#words;
    const signed = this.#dtype.min < 0;
    let at = start;
    for (let i = first; i < last; i++) {
      const tag = this.#bytes[at];
      const width = this.#width(at, i);
      if (tag === UINT64 || tag === INT64) {
        words[2 * i] = this.#view.getInt32(at + 5);
        words[2 * i + 1] = this.#view.getInt32(at + 1);
        // If only one of the number and the array is signed, the highest bit decides whether the value fits.
        if (words[2 * i + 1] < 0 && signed !== (tag === INT64)) throw new SampleFault(OUT_OF_RANGE, i);
      } else {
        this.#putWide(this.#integer(at, i), i);
      }
      at += width;
    }
    return at;
  }

  #putWide(value: number, i: number): void {
    if (value < this.#dtype.min || value >= this.#dtype.max) throw new SampleFault(OUT_OF_RANGE, i);
    const high = Math.floor(value / WORD);
    this.#words[2 * i] = value - high * WORD;
    this.#words[2 * i + 1] = high;
  }

  #doubles(start: number, first: number, last: number): number {
    const view = this.#view;
    const bytes = this.#bytes;
    const words = this.#words;
    let at = start;
    for (let i = first; i < last; i++) {
      if (bytes[at] === FLOAT64) {
        words[2 * i] = view.getInt32(at + 5);
        words[2 * i + 1] = view.getInt32(at + 1);
        at += 9;
      } else {
        const width = this.#width(at, i);
        this.samples[i] = this.#float(at, i);
        at += width;
      }
    }
    return at;
  }

  #singles(start: number, first: number, last: number): number {
    const view = this.#view;
    const bytes = this.#bytes;
    const words = this.#words;
    let at = start;
    for (let i = first; i < last; i++) {
      if (bytes[at] === FLOAT32) {
        words[i] = view.getInt32(at + 1);
        at += 5;
      } else {
        const width = this.#width(at, i);
        this.#putRounded(this.#roundableToSingle(at, i), i);
        at += width;
      }
    }
    return at;
  }

  #halves(start: number, first: number, last: number): number {
    let at = start;
    for (let i = first; i < last; i++) {
      const width = this.#width(at, i);
      const value = this.#float(at, i);
      if (Number.isNaN(value) && this.#bytes[at] === FLOAT32) {
        this.#words[i] = halfNaN(this.#view.getInt32(at + 1));
      } else {
        this.#putRounded(roundToFloat16(value), i, value);
      }
      at += width;
    }
    return at;
  }

  #putRounded(rounded: number, i: number, value = rounded): void {
    const single = Math.fround(rounded);
    if (!Number.isFinite(single) && Number.isFinite(value)) throw new SampleFault(OUT_OF_RANGE, i);
    this.samples[i] = single;
  }

  // --- single numbers ---

  /** Returns the size of the number at `at`, in bytes. */
  #width(at: number, i: number): number {
    const width = WIDTH[this.#bytes[at]];
    if (!width || at + width > this.#bytes.length) throw new SampleFault(NOT_A_NUMBER, i);
    return width;
  }

  /** Reads a number as a float64, rounded once. */
  #float(at: number, i: number): number {
    const tag = this.#bytes[at];
    if (tag === FALSE || tag === TRUE) throw new SampleFault(BOOL_AMONG_NUMBERS, i);
    return this.#number(at);
  }

  /** Reads a number as a float64 that rounds to the same float32 as the number itself. */
  #roundableToSingle(at: number, i: number): number {
    const tag = this.#bytes[at];
    if (tag !== UINT64 && tag !== INT64) return this.#float(at, i);
    const integer = tag === UINT64 ? this.#view.getBigUint64(at + 1) : this.#view.getBigInt64(at + 1);
    const nearest = Number(integer);
    if (Number.isSafeInteger(nearest)) return nearest;
    // The last eleven bits of so large an integer matter only for ties: combine them to one bit.
    const sticky = integer & 0x7ffn ? 0x800n : 0n;
    return Number((integer & ~0x7ffn) | sticky);
  }

  /** Reads an integer, or a float with an integral value; exact below 2^53. */
  #integer(at: number, i: number): number {
    const tag = this.#bytes[at];
    if (tag === FALSE || tag === TRUE) throw new SampleFault(BOOL_AMONG_NUMBERS, i);
    const value = this.#number(at);
    if (!Number.isInteger(value)) throw new SampleFault(FRACTION, i);
    return value;
  }

  #number(at: number): number {
    const tag = this.#bytes[at];
    const view = this.#view;
    switch (tag) {
      case FLOAT32:
        return view.getFloat32(at + 1);
      case FLOAT64:
        return view.getFloat64(at + 1);
      case UINT8:
        return view.getUint8(at + 1);
      case UINT16:
        return view.getUint16(at + 1);
      case UINT32:
        return view.getUint32(at + 1);
      case UINT64:
        return Number(view.getBigUint64(at + 1));
      case INT8:
        return view.getInt8(at + 1);
      case INT16:
        return view.getInt16(at + 1);
      case INT32:
        return view.getInt32(at + 1);
      case INT64:
        return Number(view.getBigInt64(at + 1));
      default:
        return tag < 0x80 ? tag : tag >= 0xe0 ? tag - 0x100 : tag - FALSE;
    }
  }
}

/** Returns the bits of a NaN whose payload fits a float16. It becomes quiet, as when a processor converts it. */
function halfNaN(bits: number): number {
  return (bits & ~0x1fff) | 0x400000;
}
