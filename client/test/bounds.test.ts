/** The cost of hostile payloads: time and memory are proportional to the bytes that arrived. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { ecgData, NdArray, type ProtocolError, pack, unpack } from "../src/index.js";

const MIB = 2 ** 20;
const MASK = (1n << 64n) - 1n;

setFlagsFromString("--expose-gc");
const gc: () => void = runInNewContext("gc");

function memory(): number {
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Memory in bytes that a decoded payload takes. */
function kept(payload: Uint8Array): number {
  const before = memory();
  const value = unpack(payload);
  const more = memory() - before;
  expect(value).toBeDefined(); // alive until here
  return more;
}

function timed(work: () => unknown): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

function listOf(count: number, item: Uint8Array): Uint8Array {
  const head = Buffer.from([0xdd, 0, 0, 0, 0]);
  head.writeUInt32BE(count, 1);
  return new Uint8Array(Buffer.concat([head, Buffer.alloc(count * item.length, item)]));
}

function bytes(...parts: (number | string)[]): Uint8Array {
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from([part]))));
}

function mapOf(keys: readonly bigint[]): Uint8Array {
  const payload = Buffer.alloc(5 + 10 * keys.length);
  payload[0] = 0xdf;
  payload.writeUInt32BE(keys.length, 1);
  keys.forEach((key, i) => {
    const at = 5 + 10 * i;
    payload[at] = 0xcf;
    payload.writeBigUInt64BE(key, at + 1);
    payload[at + 9] = i & 0x7f;
  });
  return new Uint8Array(payload);
}

/** Integers whose hashes in a `Map` of V8 are all the same: its hash of 64 bits, backwards. */
function collidingKeys(count: number): bigint[] {
  const inverse = (odd: bigint) => {
    let x = 1n;
    for (let i = 0; i < 6; i++) x = (x * (2n - odd * x)) & MASK;
    return x & MASK;
  };
  const unshifted = (hash: bigint, by: bigint) => {
    let x = hash;
    for (let i = 0n; i < 64n; i += by) x = hash ^ (x >> by);
    return x & MASK;
  };
  const keys: bigint[] = [];
  for (let i = 1n; keys.length < count; i++) {
    let hash = unshifted((i << 32n) | 0x12345n, 22n);
    hash = unshifted((hash * inverse(65n)) & MASK, 11n);
    hash = unshifted((hash * inverse(21n)) & MASK, 31n);
    const key = ((hash + 1n) * inverse((1n << 18n) - 1n)) & MASK;
    if (key > 1n << 53n) keys.push(key);
  }
  return keys;
}

describe("maps with integer keys", () => {
  test("take no longer where the keys are chosen to collide", () => {
    const count = 6000;
    const colliding = collidingKeys(count);
    const sound = new Map<bigint, number>();
    const any = colliding.map((_, i) => (BigInt(i) * 0x9e3779b97f4a7c15n) & MASK);
    // The control: keys that do collide in a Map, or nothing was tested.
    const bad = timed(() => {
      for (const key of colliding) sound.set(key, 1);
    });
    const good = timed(() => new Map(any.map((key, i) => [key, i])));
    expect(bad).toBeGreaterThan(10 * good);
    unpack(mapOf(any)); // compiled by then
    const [usual, hostile] = [mapOf(any), mapOf(colliding)].map((payload) => {
      return Math.min(...[1, 2, 3].map(() => timed(() => unpack(payload))));
    });
    expect(hostile).toBeLessThan(5 * usual + 20);
  });

  test.each([3, 64, 65, 1000])("are Maps of %i keys all the same", (size) => {
    const entries: [string | number | bigint, unknown][] = Array.from({ length: size }, (_, i) => [
      i % 4 === 0 ? `${i}` : i % 4 === 1 ? i : i % 4 === 2 ? -i : 2n ** 63n + BigInt(i),
      i,
    ]);
    const map = unpack(pack(new Map(entries))) as Map<string | number | bigint, unknown>;
    expect(map).toBeInstanceOf(Map);
    expect([...map]).toEqual(entries);
    expect([...map.keys()]).toEqual(entries.map(([key]) => key));
    expect([...map.values()]).toEqual(entries.map(([, value]) => value));
    expect(map.size).toBe(size);
    for (const [key, value] of entries) expect([map.has(key), map.get(key)]).toEqual([true, value]);
    expect([map.has("1"), map.get(4), map.has(2n ** 60n)]).toEqual([false, undefined, false]);
    const seen: unknown[] = [];
    map.forEach((value, key, self) => {
      seen.push([key, value, self === map]);
    });
    expect(seen).toEqual(entries.map(([key, value]) => [key, value, true]));
    expect([map.set(1, "new").get(1), map.delete(1), map.delete(1), map.size]).toEqual(["new", true, false, size - 1]);
    expect([...(unpack(pack(map)) as typeof map)]).toEqual([...map]);
  });

  test.each([2, 80])("refuse a key that comes twice among %i", (size) => {
    const keys = Array.from({ length: size }, (_, i) => BigInt(i));
    keys[size - 1] = 0n;
    expect(() => unpack(mapOf(keys))).toThrow("same key twice");
  });
});

describe("memory", () => {
  // Of a sixteenth of what is read, times sixteen: sixty bytes for what counts 1, with its place in the list.
  test.each([
    ["bins of a byte", 2 ** 18, bytes(0xc4, 1, 7)],
    ["empty bins", 2 ** 18, bytes(0xc4, 0)],
    ["empty maps", 2 ** 20, bytes(0x80)],
    ["empty arrays", 2 ** 20, bytes(0x90)],
    ["short texts", 2 ** 20, bytes(0xa2, "ab")],
    ["texts of 24 letters", 2 ** 19, bytes(0xb8, "q".repeat(24))],
    ["maps of an integer", 2 ** 19, bytes(0x81, 5, 5)],
    ["maps of a far index", 2 ** 18, bytes(0x81, 0xa3, "499", 5)],
    ["ndarrays", 2 ** 17, bytes(0x83, 0xab, "__ndarray__", 0x90, 0xa5, "dtype", 0xa2, "u1", 0xa5, "shape", 0x91, 0)],
    ["dates", 2 ** 18, bytes(0x81, 0xac, "__datetime__", 0xaa, "2024-01-15")],
  ])("of as many %s as are read is bounded", (_, most, item) => {
    expect((16 * kept(listOf(most / 16, item))) / MIB).toBeLessThan(128);
  });

  test.each([
    ["bins", listOf(1e6, bytes(0xc4, 0))],
    ["texts", listOf(2e6, bytes(0xa2, "ab"))],
    ["maps", listOf(2 ** 20, bytes(0x80))],
    ["ndarrays", listOf(2e5, bytes(0x83, 0xab, "__ndarray__", 1, 0xa5, "dtype", 0xa2, "u1", 0xa5, "shape", 0x90))],
  ])("of more %s is not taken", (_, payload) => {
    const before = memory();
    expect(() => unpack(payload)).toThrow(expect.objectContaining({ code: 0x102, check: 11 }) as ProtocolError);
    expect((memory() - before) / MIB).toBeLessThan(16);
  });

  test("of a text of 24 letters is that of one of 25", () => {
    const [short, long] = [24, 25].map((size) =>
      kept(listOf(5e4, Buffer.concat([text(size), Buffer.alloc(size, "q")]))),
    );
    expect(short).toBeLessThan(1.3 * long);
  });

  test("of a map does not hang on its key's being a number", () => {
    const [name, index] = ["abc", "499"].map((key) => kept(listOf(1e4, bytes(0x81, 0xa3, key, 0xc0))));
    expect(index).toBeLessThan(6 * name);
    expect(unpack(bytes(0x82, 0xa3, "499", 5, 0xa1, "0", 6))).toEqual({ 499: 5, 0: 6 });
  });

  test("of a signal is not sized by what its shape says alone", () => {
    for (const shape of [
      [2 ** 32 - 1, 0],
      [2 ** 32 - 1, 2 ** 10, 0],
      [257, 0],
    ]) {
      const data = unpack(
        pack({ signal: new NdArray(new Float64Array(0), shape), sampling_rate: 500, gain: 2 }, { ndarray: "binary" }),
      );
      expect(() => ecgData({ data })).toThrow(expect.objectContaining({ code: 0x200, check: 12 }) as ProtocolError);
    }
    const none = new NdArray(new Float64Array(0), [12, 0]);
    expect(ecgData({ data: { signal: none, sampling_rate: 500 } }).baseline).toEqual(Array(12).fill(0));
  });

  test("of a signal of ragged lists is not taken before they are known to be", () => {
    const signal = [Array(1e5).fill(1), ...Array.from({ length: 1e5 }, () => [])]; // 80 GB, if it were square
    expect(() => ecgData({ data: { signal, sampling_rate: 500 } })).toThrow('data["signal"][1]');
  });
});

function text(size: number): Uint8Array {
  return bytes(0xa0 + size);
}

test("a signal is found in a map with integer keys", () => {
  const data = unpack(
    pack(
      new Map<string | number, unknown>([
        ["signal", [1, 2]],
        [7, 7],
        ["sampling_rate", 250],
      ]),
    ),
  );
  expect(ecgData({ data }).samplingRate).toBe(250);
});
