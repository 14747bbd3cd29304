/** Any value that travels, and its rendering for the Python peer. */
import fc from "fast-check";
import { isoText } from "../src/codec/exact-date.js";
import { findDType } from "../src/codec/ndarray.js";
import { DateTime, NdArray, type Samples, Uuid } from "../src/index.js";
import { type Rendered, toHex } from "./rendering.js";
import { bytesOf } from "./same.js";

const DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"];
const BIG_ENDIAN = [">i2", ">u4", ">i8", ">f4", ">f8"];

const text = fc.string({ unit: "binary", maxLength: 40 });
const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 3 });

/** Arrays of any dtype, shape and bits. */
export const arrays: fc.Arbitrary<NdArray> = fc
  .tuple(fc.constantFrom(...DTYPES, ...BIG_ENDIAN), shape)
  .chain(([dtype, dimensions]) => {
    const size = dimensions.reduce((product, n) => product * n, 1);
    const type = findDType(dtype) as NonNullable<ReturnType<typeof findDType>>;
    return fc.uint8Array({ minLength: size * type.size, maxLength: size * type.size }).map((bytes) => {
      const octets = type.kind === "bool" ? bytes.map((byte) => byte & 1) : bytes;
      return new NdArray(quietened(new type.Samples(octets.slice().buffer, 0, size)), dimensions, dtype);
    });
  });

/** float16 in its own way: any of the 65,536 values. */
export const halves: fc.Arbitrary<NdArray> = fc
  .array(fc.nat({ max: 0xffff }), { maxLength: 8 })
  .map((bits) => new NdArray(Float32Array.from(bits, halfValue), [bits.length], "float16"));

const dates = fc.date({ min: new Date("0001-01-02"), max: new Date("9999-12-30"), noInvalidDate: true });
const dateTimes = dates.map((date) => new DateTime(date.toISOString().replace("Z", "123").slice(0, 26)));
const integers = fc.oneof(
  fc.maxSafeInteger(),
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.constantFrom(
    0,
    -1,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2 ** 32 - 1,
    2 ** 32,
    -32,
    -33,
    -128,
    -129,
    -32769,
    -(2 ** 31) - 1,
  ),
);
const scalars = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  integers,
  fc.double({ noNaN: true }),
  text,
  fc.uint8Array({ maxLength: 40 }),
  dates,
  dateTimes,
  fc.uuid().map((id) => new Uuid(id)),
  arrays,
  halves,
);

const keys = fc.oneof(text, fc.integer());

/** Any value of the specification's types. */
export const values: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small", withCrossShrink: true },
    scalars,
    tie("list"),
    tie("map"),
    tie("other"),
  ),
  list: fc.array(tie("value"), { maxLength: 5 }),
  map: fc.dictionary(text, tie("value"), { maxKeys: 4, noNullPrototype: true }),
  other: fc.array(fc.tuple(keys, tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
})).value;

/** NaN with its quiet bit set: a processor may set it whenever a number passes through it. */
function quietened(samples: Samples): Samples {
  if (samples instanceof Float32Array || samples instanceof Float64Array) {
    samples.forEach((sample, i) => {
      if (Number.isNaN(sample)) samples[i] = Number.NaN;
    });
  }
  return samples;
}

function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** As JSON for the peer; a number that is an integer is one there, too. */
export function toJson(value: unknown): Rendered {
  if (typeof value === "bigint") return { $int: String(value) };
  if (typeof value === "number") return numberToJson(value);
  if (value === null || typeof value !== "object") return value as Rendered;
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Uuid) return { $uuid: String(value) };
  if (value instanceof Date) return { $datetime: isoText(value) };
  if (value instanceof Uint8Array) return { $bytes: toHex(value) };
  if (value instanceof NdArray) return arrayToJson(value);
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return { $map: entries.map(([key, item]) => [toJson(key), toJson(item)]) };
}

function numberToJson(value: number): Rendered {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return value;
  if (Object.is(value, -0)) return { $float: "-0.0" };
  return { $float: Number.isFinite(value) ? String(value) : value > 0 ? "inf" : value < 0 ? "-inf" : "nan" };
}

function arrayToJson(array: NdArray): Rendered {
  return { $ndarray: { dtype: array.dtype, shape: [...array.shape], data: toHex(bytesOf(array)) } };
}
