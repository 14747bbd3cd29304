/** Verdicts and values of both languages in one form. */
import { NdArray, ProtocolError } from "../src/index.js";

export function refusal(work: () => unknown): [number, number | null] | null {
  try {
    work();
  } catch (error) {
    if (error instanceof ProtocolError) return [error.code, error.check];
    throw error;
  }
  return null;
}

/** A value with quiet NaNs alone: rounding quiets a signalling one, and Python's cores round some and move others. */
export function quieted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(quieted);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, quieted(item)]));
  if (value instanceof NdArray) {
    const data = value.data.slice();
    const words = new Int32Array(data.buffer, 0, data.byteLength >> 2);
    const [step, quiet] = data instanceof Float32Array ? [1, 1 << 22] : [2, 1 << 19];
    if (data instanceof Float32Array || data instanceof Float64Array) {
      data.forEach((sample, i) => {
        if (Number.isNaN(sample)) words[step * i + step - 1] |= quiet;
      });
    }
    return new NdArray(data, value.shape, value.dtype);
  }
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, quieted(item)]));
}
