import { MAX_DIMENSION, MAX_NDIM } from "../protocol.js";

/** The elements of an array: float16 in a `Float32Array`, bool in a `Uint8Array` of 0 and 1. */
export type Samples =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

interface SamplesConstructor {
  new (length: number): Samples;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Samples;
}

/** A type of elements that travels. */
export interface DType {
  /** NumPy's name: `float64`; with `>` and the code, `>f8`, where the array's memory was big-endian over there. */
  readonly name: string;
  readonly kind: "bool" | "int" | "float";
  /** Bytes of an element in binary form. */
  readonly size: number;
  readonly Samples: SamplesConstructor;
  /** The range of an integer type; NaN for others, and not used for those of 64 bits. */
  readonly min: number;
  readonly max: number;
}

const CODES: Record<string, DType> = {
  b1: dtype("bool", "bool", 1, Uint8Array),
  i1: dtype("int8", "int", 1, Int8Array, -(2 ** 7), 2 ** 7 - 1),
  i2: dtype("int16", "int", 2, Int16Array, -(2 ** 15), 2 ** 15 - 1),
  i4: dtype("int32", "int", 4, Int32Array, -(2 ** 31), 2 ** 31 - 1),
  i8: dtype("int64", "int", 8, BigInt64Array, -(2 ** 63), 2 ** 63),
  u1: dtype("uint8", "int", 1, Uint8Array, 0, 2 ** 8 - 1),
  u2: dtype("uint16", "int", 2, Uint16Array, 0, 2 ** 16 - 1),
  u4: dtype("uint32", "int", 4, Uint32Array, 0, 2 ** 32 - 1),
  u8: dtype("uint64", "int", 8, BigUint64Array, 0, 2 ** 64),
  f2: dtype("float16", "float", 2, Float32Array),
  f4: dtype("float32", "float", 4, Float32Array),
  f8: dtype("float64", "float", 8, Float64Array),
};

/** What NumPy reads as one of these types, besides the code itself and the name. */
const SPELLINGS: Record<string, string> = {
  b1: "? bool_",
  i1: "b byte",
  i2: "h short",
  i4: "i intc",
  i8: "l q p int int_ long longlong intp",
  u1: "B ubyte",
  u2: "H ushort",
  u4: "I uintc",
  u8: "L Q P uint ulong ulonglong uintp",
  f2: "e half",
  f4: "f single",
  f8: "d double float",
};

const KNOWN: ReadonlyMap<string, DType> = /* @__PURE__ */ makeKnown();

function dtype(
  name: string,
  kind: DType["kind"],
  size: number,
  Samples: SamplesConstructor,
  min = Number.NaN,
  max = Number.NaN,
): DType {
  return { name, kind, size, Samples, min, max };
}

function makeKnown(): Map<string, DType> {
  const known = new Map<string, DType>();
  for (const [code, type] of Object.entries(CODES)) {
    const swapped = type.size > 1 ? { ...type, name: `>${code}` } : type;
    for (const spelling of [code, type.name, ...SPELLINGS[code].split(" ")]) {
      known.set(spelling, type);
      if (!isCode(spelling)) continue;
      for (const order of ["<", "=", "|"]) known.set(order + spelling, type);
      known.set(`>${spelling}`, swapped);
    }
  }
  return known;
}

/** Of codes, the byte order may be said; not of names. */
function isCode(spelling: string): boolean {
  return /^.\d?$/.test(spelling);
}

/** The type that a text names, by any spelling that NumPy reads; undefined where it is none that travels. */
export function findDType(spelling: string): DType | undefined {
  return KNOWN.get(spelling);
}

/** What an array of that class holds, unless its dtype says otherwise. */
function dtypeOf(samples: Samples): string {
  for (const type of Object.values(CODES)) {
    if (samples instanceof type.Samples && type.name !== "bool" && type.name !== "float16") return type.name;
  }
  throw new TypeError("the elements of an NdArray are a typed array");
}

/** The product of the dimensions. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

function isDimension(n: number): boolean {
  return Number.isInteger(n) && n >= 0 && n <= MAX_DIMENSION;
}

/** An array of numbers of any shape, as NumPy has them, in C order: the last dimension is the innermost. */
export class NdArray {
  /** The elements. Of a message in binary form, a view of the received bytes: copy it before you write to it. */
  readonly data: Samples;
  readonly shape: readonly number[];
  /** NumPy's name of the type of the elements: `float64`, `int16`, `bool`, ... */
  readonly dtype: string;

  /**
   * @param data the elements in C order
   * @param shape the size of each dimension; one dimension if it is not given
   * @param dtype where the class of `data` does not say it: `bool`, `float16`, or big-endian memory, as in `>i2`
   * @throws TypeError where the elements are not of that dtype
   * @throws RangeError where shape and number of elements disagree
   */
  constructor(data: Samples, shape: readonly number[] = [data.length], dtype: string = dtypeOf(data)) {
    const type = findDType(dtype);
    if (!type || !(data instanceof type.Samples)) throw new TypeError(`the elements are no ${dtype}`);
    if (shape.length > MAX_NDIM) throw new RangeError(`${shape.length} dimensions; ${MAX_NDIM} is the most`);
    if (!shape.every(isDimension) || sizeOf(shape) !== data.length) {
      throw new RangeError(`${data.length} elements do not have the shape [${shape.join(", ")}]`);
    }
    this.data = data;
    this.shape = shape;
    this.dtype = type.name;
  }

  /** The number of elements. */
  get size(): number {
    return this.data.length;
  }

  /** The part with that index along the first dimension, such as one lead of `[leads, samples]`; a view. */
  row(index: number): NdArray {
    const [rows, ...shape] = this.shape;
    if (rows === undefined || !(index >= 0 && index < rows)) throw new RangeError(`there is no row ${index}`);
    const size = sizeOf(shape);
    return new NdArray(this.data.subarray(index * size, (index + 1) * size), shape, this.dtype);
  }
}
