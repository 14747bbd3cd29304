/** Maps with the keys of a wrapper that are not valid wrappers: `pack` refuses what readers would refuse. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NdArray, ProtocolError, pack, unpack } from "../src/index.js";
import { BINARY_VALUES, NDARRAY_VALUES } from "../src/protocol.js";

const KEYS = ["__ndarray__", "dtype", "shape", "__datetime__", "__uuid__", "other", 1];
const PARTS = [
  [1, 2, 3],
  [[1, 2, 3]],
  new Uint8Array(6),
  "int16",
  "f08",
  "x",
  [3],
  [1, 3],
  [-1],
  [2 ** 32, 2 ** 32],
  null,
  2.5,
  "2024-01-15T10:30:45",
  "2024-01-32T10:30:45",
  "12345678-1234-5678-1234-567812345678",
];

function packed(value: unknown): Uint8Array | string {
  try {
    return pack(value);
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return error.message;
    throw error;
  }
}

describe("a map with the keys of a wrapper", () => {
  test.each([
    [{ __datetime__: "no date" }, /^data: no reader takes this for what its keys say it is: /],
    [{ a: [{ __uuid__: 3 }] }, /^data\["a"\]\[0\]: no reader takes this .*: a Uuid that wraps no text$/],
    [{ __ndarray__: [1, 2], dtype: "int16", shape: [3] }, /^data: no reader takes this/],
    [{ shape: [1], dtype: "f08", __ndarray__: [1] }, /^data: no reader takes this/],
    [{ __ndarray__: [1, 2] }, /an ndarray wrapper without dtype and shape$/],
  ])("is refused with its path: %j", (value, text) => {
    expect(() => pack(value)).toThrow(TypeError);
    expect(() => pack(value)).toThrow(text);
  });

  test("is packed if it is a valid wrapper, or has other keys as well", () => {
    expect(unpack(pack({ __ndarray__: [1, 2], dtype: "int16", shape: [2] }))).toBeInstanceOf(NdArray);
    const other = { __ndarray__: 1, dtype: 2, other: 3 };
    expect(unpack(pack(other))).toEqual(other);
  });

  test("is refused by the writer, or accepted by every reader", () => {
    const map = fc
      .array(fc.tuple(fc.constantFrom(...KEYS), fc.constantFrom<unknown>(...PARTS)), { minLength: 1, maxLength: 4 })
      .map((entries) => new Map(entries));
    fc.assert(
      fc.property(map, (value) => {
        const bytes = packed([value]);
        if (typeof bytes !== "string") unpack(bytes);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("the values of a payload", () => {
  test.each([
    ["texts", "ab", 1],
    ["empty lists", [], 1],
    ["empty maps", {}, 1],
    ["binaries", new Uint8Array(0), BINARY_VALUES],
    ["dates", new Date(0), 3],
    ["arrays", new Float32Array(1), NDARRAY_VALUES],
  ])("are counted as a reader counts them: %s", (_, item, each) => {
    const most = Math.floor((2 ** 20 - 1) / each);
    const list = new Array(most).fill(item);
    expect((unpack(pack(list, { maxPayload: 2 ** 27 })) as unknown[]).length).toBe(most);
    list.push(item);
    const tooMany = () => pack(list, { maxPayload: 2 ** 27 });
    expect(tooMany).toThrow(ProtocolError);
    expect(tooMany).toThrow(/: more than 1048576 values in one payload/);
  });
});
