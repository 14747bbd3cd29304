/** Physical values of a message, whatever form its sender chose: the vectors hold for Python as well. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ecgData, physicalValues, Uuid, unpack } from "../src/index.js";

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

describe("whose signal it is", () => {
  const signal = [1, 2];
  const uuid = new Uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  test.each([
    [{ device_id: "cart 3", patient_id: uuid }, "cart 3", uuid],
    [{ deviceId: 7, patientId: 2n ** 60n }, 7, 2n ** 60n],
    [{ device_id: ["cart 3"], patient_id: 1.5 }, null, null],
    [{}, null, null],
  ])("%o", (ids, deviceId, patientId) => {
    expect(ecgData({ data: { signal, sampling_rate: 500, ...ids } })).toMatchObject({ deviceId, patientId });
  });
});
