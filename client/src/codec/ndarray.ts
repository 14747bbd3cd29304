import { DTYPE_NAMES, MAX_DIMENSION, MAX_NDIM } from "../protocol.js";

/** Elements of an array. A `Float32Array` also holds float16; a `Uint8Array` of 0 and 1 holds bool. */
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

/** A type of elements that the protocol has. */
export interface DType {
  /**
   * Name in NumPy, such as `float64`; for arrays that are big-endian in the memory of the sender, `>` and a code:
   * `>f8`.
   */
  readonly name: string;
  readonly kind: "bool" | "int" | "float";
  /** Size of an element in binary form, in bytes. */
  readonly size: number;
  readonly Samples: SamplesConstructor;
  /** Least value of an integer type; NaN for other types. */
  readonly min: number;
  /** Largest value of an integer type, or that value plus 1 for 64 bits; NaN for other types. */
  readonly max: number;
}

const DTYPES: Readonly<Record<keyof typeof DTYPE_NAMES, DType>> = {
  bool: dtype("bool", "bool", 1, Uint8Array),
  int8: dtype("int8", "int", 1, Int8Array, -(2 ** 7), 2 ** 7 - 1),
  int16: dtype("int16", "int", 2, Int16Array, -(2 ** 15), 2 ** 15 - 1),
  int32: dtype("int32", "int", 4, Int32Array, -(2 ** 31), 2 ** 31 - 1),
  int64: dtype("int64", "int", 8, BigInt64Array, -(2 ** 63), 2 ** 63),
  uint8: dtype("uint8", "int", 1, Uint8Array, 0, 2 ** 8 - 1),
  uint16: dtype("uint16", "int", 2, Uint16Array, 0, 2 ** 16 - 1),
  uint32: dtype("uint32", "int", 4, Uint32Array, 0, 2 ** 32 - 1),
  uint64: dtype("uint64", "int", 8, BigUint64Array, 0, 2 ** 64),
  float16: dtype("float16", "float", 2, Float32Array),
  float32: dtype("float32", "float", 4, Float32Array),
  float64: dtype("float64", "float", 8, Float64Array),
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
  for (const type of Object.values(DTYPES)) {
    const [code, ...others] = DTYPE_NAMES[type.name as keyof typeof DTYPE_NAMES];
    const swapped = type.size > 1 ? { ...type, name: `>${code}` } : type;
    for (const spelling of [type.name, code, ...others]) {
      known.set(spelling, type);
      if (spelling !== code && spelling.length > 1) continue; // only codes have a byte order
      for (const order of ["<", "=", "|"]) known.set(order + spelling, type);
      known.set(`>${spelling}`, swapped);
    }
  }
  return known;
}

/** Returns the type with that name or code; undefined if the protocol does not have it. */
export function findDType(spelling: string): DType | undefined {
  return KNOWN.get(spelling);
}

/** Returns the name of the dtype for the class of a typed array. Bool and float16 have no class of their own. */
function dtypeOf(samples: Samples): string {
  for (const type of Object.values(DTYPES)) {
    if (samples instanceof type.Samples && type.name !== "bool" && type.name !== "float16") return type.name;
  }
  throw new TypeError("the elements of an NdArray must be a typed array");
}

/** Returns the number of elements: the product of the dimensions. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

function isDimension(n: number): boolean {
  return Number.isInteger(n) && n >= 0 && n <= MAX_DIMENSION;
}

/** An array of numbers of any shape, as in NumPy. The elements are in C order: the last index changes first. */
export class NdArray {
  /** The elements. In a received message they may be a view of the frame: copy them before you write to them. */
  readonly data: Samples;
  readonly shape: readonly number[];
  /** Type of the elements, by its name in NumPy: `float64`, `int16`, `bool`, ... */
  readonly dtype: string;

  /**
   * @param data the elements in C order
   * @param shape the size of each dimension; one dimension by default
   * @param dtype by default the dtype for the class of `data`; required for `bool`, `float16` and big-endian types
   *   (`>i2`)
   * @throws TypeError the class of `data` does not match the dtype
   * @throws RangeError the shape does not match the number of elements, or has too many dimensions
   */
  constructor(data: Samples, shape: readonly number[] = [data.length], dtype: string = dtypeOf(data)) {
    const type = findDType(dtype);
    if (!type || !(data instanceof type.Samples)) throw new TypeError(`the elements are not of dtype ${dtype}`);
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

  /** Returns a view of the part with that index in the first dimension, such as one lead of `[leads, samples]`. */
  row(index: number): NdArray {
    const [rows, ...shape] = this.shape;
    if (rows === undefined || !(index >= 0 && index < rows)) throw new RangeError(`there is no row ${index}`);
    const size = sizeOf(shape);
    return new NdArray(this.data.subarray(index * size, (index + 1) * size), shape, this.dtype);
  }
}
