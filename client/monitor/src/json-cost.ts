/** The size of the messages as JSON, measured on a sample of them, as it costs time. */

import { DateTime, NdArray, Uuid } from "../../src/index.js";

/** One of this many messages is encoded as JSON. */
const SAMPLED = 20;

export class JsonCost {
  #frames = 0;
  #frameBytes = 0;
  #jsonBytes = 0;

  /** Note a message. */
  observe(data: unknown, frameBytes: number): void {
    if (this.#frames % SAMPLED === 0) {
      this.#frameBytes += frameBytes;
      this.#jsonBytes += jsonLength(data);
    }
    this.#frames += 1;
  }

  /** Size of JSON relative to the frames; NaN before the first message. */
  get ratio(): number {
    return this.#jsonBytes / this.#frameBytes;
  }

  clear(): void {
    this.#frames = this.#frameBytes = this.#jsonBytes = 0;
  }
}

/** Bytes of a message as JSON without spaces: arrays as nested lists, dates and UUIDs as text. */
export function jsonLength(data: unknown): number {
  return new TextEncoder().encode(JSON.stringify(data, plain)).length;
}

function plain(_key: string, value: unknown): unknown {
  if (value instanceof NdArray) {
    const numbers = Array.from<number | bigint, number>(value.data, Number);
    return value.shape.slice(1).reduceRight<unknown[]>((values, size) => chunks(values, size), numbers);
  }
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Uint8Array) return btoa(String.fromCharCode(...value));
  return value instanceof DateTime || value instanceof Uuid ? String(value) : value;
}

function chunks(values: unknown[], size: number): unknown[] {
  return Array.from({ length: size === 0 ? 0 : values.length / size }, (_, row) =>
    values.slice(row * size, (row + 1) * size),
  );
}
