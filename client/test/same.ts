import { DateTime, NdArray, Uuid } from "../src/index.js";

/** What tells a value from another, to the last bit of an array: values of the same image are the same. */
export function image(value: unknown): unknown {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : Number.isNaN(value) ? "NaN" : value;
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uuid) return { uuid: String(value) };
  if (value instanceof DateTime) return { instant: value.getTime(), us: value.microseconds, aware: value.aware };
  if (value instanceof NdArray) return arrayImage(value);
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(image);
  if (value instanceof Map) return { map: [...value].map(([key, item]) => [image(key), image(item)]) };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, image(item)]));
}

function arrayImage({ data, shape, dtype }: NdArray): unknown {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype, shape: [...shape], class: data.constructor.name, bytes: [...bytes] };
}
