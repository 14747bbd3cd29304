/** Physical values of a message, whatever form its sender chose: the vectors hold for Python as well. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ecgData, physicalValues, unpack } from "../src/index.js";

interface Vector {
  readonly name: string;
  readonly data: string;
  readonly values?: readonly (readonly (number | string)[])[];
  readonly code?: string;
  readonly path?: string;
}

const file = new URL("../../tests/vectors/physical.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as readonly Vector[];

function read({ data }: Vector) {
  return ecgData({ data: unpack(Uint8Array.from(Buffer.from(data, "hex"))) });
}

function numberOf(value: number | string): number {
  return Math.fround(Number(value === "inf" ? Infinity : value === "-inf" ? -Infinity : value));
}

describe("physical values", () => {
  test.each(vectors.filter(({ values }) => values))("$name", (vector) => {
    const data = read(vector);
    const expected = vector.values ?? [];
    expect(data.signal.shape[0]).toBe(expected.length);
    const leads = expected.map((_, lead) => [...physicalValues(data, lead)]);
    expect(leads).toEqual(expected.map((row) => row.map(numberOf)));
  });

  test.each(vectors.filter(({ code }) => code))("refused: $name", (vector) => {
    const error = { name: "ProtocolError", code: Number(vector.code), check: 12 };
    expect(() => read(vector)).toThrow(expect.objectContaining(vector.path ? { ...error, path: vector.path } : error));
  });
});
