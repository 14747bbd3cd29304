import { isoText } from "../src/codec/exact-date.js";
import { float16FromFloat32Bits } from "../src/codec/float16.js";
import { DateTime, NdArray, Uuid } from "../src/index.js";

/** Returns an image of a value, exact to the last bit of an array: equal images mean equal values. */
export function image(value: unknown): unknown {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : Number.isNaN(value) ? "NaN" : value;
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uuid) return { uuid: String(value) };
  if (value instanceof Date) return dateImage(value instanceof DateTime ? value : new DateTime(isoText(value)));
  if (value instanceof NdArray) return arrayImage(value);
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(image);
  return { map: [...entriesOf(value)].map(([key, item]) => [image(key), image(item)]).sort(byText) };
}

/** Returns the entries of an object or a `Map`, which count as the same map. */
function entriesOf(value: object): Iterable<[unknown, unknown]> {
  return value instanceof Map ? value : Object.entries(value);
}

function byText(a: unknown, b: unknown): number {
  const [one, other] = [JSON.stringify(a), JSON.stringify(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

function dateImage(date: DateTime): unknown {
  return { instant: date.getTime(), us: date.microseconds, aware: date.aware };
}

function arrayImage(array: NdArray): unknown {
  const { data, shape, dtype } = array;
  return { dtype, shape: [...shape], class: data.constructor.name, bytes: [...bytesOf(array)] };
}

/** Returns the elements in binary form. */
export function bytesOf({ data, dtype }: NdArray): Uint8Array {
  if (dtype !== "float16" && dtype !== ">f2") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const words = new Int32Array(data.buffer, data.byteOffset, data.length);
  return new Uint8Array(Uint16Array.from(words, float16FromFloat32Bits).buffer);
}
