/** Runs in a page: what each vector reads as there, as text. */
import { ProtocolError, ProtocolHandler, Template } from "../src/index.js";
import { image } from "./same.js";

export interface Given {
  readonly bytes: string;
  readonly maxPayload: number;
}

/** A record of version 4, or with an empty one its template alone. */
export interface GivenRecord {
  readonly template: string;
  readonly record: string;
  readonly maxPayload: number;
}

/** What each record stands for, and the same written again. */
export function recordReadings(vectors: readonly GivenRecord[]): string[] {
  return vectors.map(({ template, record, maxPayload }) => {
    try {
      const told = Template.unpack(octets(template));
      const { data, counts, time, sequence } = told.decode(octets(record), maxPayload);
      return JSON.stringify([image(data), image(counts), [...told.encode(counts, time, sequence)]]);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return JSON.stringify(verdict(error));
    }
  });
}

function octets(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function readings(vectors: readonly Given[]): string[] {
  return vectors.map(({ bytes, maxPayload }) => {
    const frame = octets(bytes);
    const items = [...new ProtocolHandler({ maxPayload }).decodeEach(frame)];
    return JSON.stringify(items.map((item) => (item instanceof ProtocolError ? verdict(item) : image(item.data))));
  });
}

function verdict({ code, check }: ProtocolError): unknown {
  return { code, check };
}

Object.assign(globalThis, { readings, recordReadings });
