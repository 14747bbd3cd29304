/** The small parts, each against a reference. */
import { deflateSync, inflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { inflate } from "../src/codec/compression.js";
import { loadFolding } from "../src/codec/crc32.js";
import { WORTH_FOLDING } from "../src/codec/crc32-fold.js";
import { deflate } from "../src/codec/deflate.js";
import { float16FromFloat32Bits, roundToFloat16 } from "../src/codec/float16.js";
import { float16ToFloat32Bits } from "../src/codec/read-float16.js";
import { SendClock } from "../src/codec/send-clock.js";
import {
  crc32,
  DateTime,
  ecgData,
  MessageType,
  NdArray,
  ProtocolError,
  ProtocolHandler,
  pack,
  physicalValues,
  type Samples,
  Uuid,
  unpack,
  WebSocketBinaryService,
} from "../src/index.js";
import { Backoff, DEFAULT_BACKOFF, isFinal } from "../src/service/backoff.js";
import { Emitter } from "../src/service/emitter.js";
import { microseconds, seconds } from "../src/session/timestamps.js";
import { uncaughtDuring } from "./services.js";

describe("crc32", () => {
  function bitwise(bytes: Uint8Array): number {
    let sum = 0xffffffff;
    for (const byte of bytes) {
      sum ^= byte;
      for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    }
    return ~sum >>> 0;
  }

  test("is zlib's", () => {
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array())).toBe(0);
  });

  test("of any bytes, anywhere in a buffer", () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat({ max: 9 }),
      fc.nat({ max: 9 }),
      (bytes, start, more) => {
        const buffer = new Uint8Array(start + bytes.length + more).fill(0xa5);
        buffer.set(bytes, start);
        expect(crc32(buffer, start, start + bytes.length)).toBe(bitwise(bytes));
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test.each([4096, 9599, 9600, 9601, 9616, 48_063, 322_879, 322_880, 322_881, 332_480, 1_000_001])(
    "of %i bytes",
    async (size) => {
      expect(await loadFolding()).toBe(true);
      const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 2654435761) >>> 24);
      expect(crc32(bytes)).toBe(bitwise(bytes));
      expect(crc32(bytes, 3)).toBe(bitwise(bytes.subarray(3)));
    },
  );

  test("of many bytes before folding is loaded", async () => {
    vi.resetModules();
    const fresh = await import("../src/codec/crc32.js");
    const bytes = Uint8Array.from({ length: 48_000 }, (_, i) => (i * 2654435761) >>> 24);
    expect(fresh.crc32(bytes)).toBe(bitwise(bytes));
    expect(await fresh.loadFolding()).toBe(true);
    expect(fresh.crc32(bytes)).toBe(bitwise(bytes));
    expect(fresh.WORTH_FOLDING).toBe(WORTH_FOLDING);
  });

  test("of many bytes without WebAssembly", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    vi.resetModules();
    const { crc32: byTables, loadFolding: load } = await import("../src/codec/crc32.js");
    expect(await load()).toBe(false);
    vi.unstubAllGlobals();
    const bytes = Uint8Array.from({ length: 48_000 }, (_, i) => (i * 2654435761) >>> 24);
    expect(byTables(bytes)).toBe(crc32(bytes));
  });
});

describe("inflating", () => {
  const payloads = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc
      .tuple(fc.uint8Array({ maxLength: 8 }), fc.nat({ max: 900 }))
      .map(([bytes, n]) => Buffer.concat(Array(n).fill(bytes))),
  );

  test("gives back what zlib and we have deflated", () => {
    const property = fc.property(
      payloads,
      fc.integer({ min: 0, max: 9 }),
      fc.nat({ max: 20 }),
      (payload, level, room) => {
        const plain = Buffer.from(payload);
        expect(Buffer.from(inflate(deflateSync(plain, { level }), plain.length, room)).equals(plain)).toBe(true);
        expect(Buffer.from(inflateSync(deflate(payload, Math.max(1, level)))).equals(plain)).toBe(true);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  test("leaves the room in front that it is asked for", () => {
    const inflated = inflate(deflateSync(Buffer.alloc(5000, 7)), 5000, 19);
    expect([inflated.byteOffset, inflated.length]).toEqual([19, 5000]);
  });

  test("takes exactly what fits, and not one byte more", () => {
    const stream = deflateSync(Buffer.alloc(70_000, 7));
    expect(inflate(stream, 70_000).length).toBe(70_000);
    expect(() => inflate(stream, 69_999)).toThrow(expect.objectContaining({ code: 0x102, check: 10 }));
    expect(() => inflate(deflateSync(Buffer.alloc(1)), 0)).toThrow(expect.objectContaining({ code: 0x102 }));
    expect(inflate(deflateSync(Buffer.alloc(0)), 0).length).toBe(0);
  });

  test("takes no other bytes for a stream", () => {
    const damaged = fc.tuple(
      payloads,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom("change", "cut", "add", "double"),
    );
    const property = fc.property(damaged, ([payload, place, byte, how]) => {
      const stream = Uint8Array.from(deflateSync(Buffer.from(payload)));
      const wrong = spoilt(stream, place, byte, how);
      let zlibs: Buffer | null = null;
      try {
        zlibs = inflateSync(wrong);
      } catch {}
      // Node's zlib lets bytes go that lie behind the stream.
      if (zlibs && how === "change") expect(Buffer.from(inflate(wrong, 1 << 20)).equals(zlibs)).toBe(true);
      else expect(() => inflate(wrong, 1 << 20)).toThrow(expect.objectContaining({ code: 0x103, check: 9 }));
    });
    fc.assert(property, { numRuns: 300 });
  });

  function spoilt(stream: Uint8Array, place: number, byte: number, how: string): Uint8Array {
    if (how === "cut") return stream.subarray(0, place % stream.length);
    if (how === "add") return Uint8Array.of(...stream, byte);
    if (how === "double") return Uint8Array.of(...stream, ...stream);
    const changed = stream.slice();
    changed[place % stream.length] ^= byte;
    return changed;
  }
});

describe("float16", () => {
  /** The value of the bits, by the definition. */
  function valueOfHalf(bits: number): number {
    const sign = bits & 0x8000 ? -1 : 1;
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
    return exponent ? sign * (1 + fraction / 1024) * 2 ** (exponent - 15) : sign * fraction * 2 ** -24;
  }

  test("of every value goes through float32 and back, NaNs with their bits", () => {
    const words = new Int32Array(1);
    const float = new Float32Array(words.buffer);
    for (let bits = 0; bits < 0x10000; bits++) {
      words[0] = float16ToFloat32Bits(bits);
      if (!Object.is(float[0], valueOfHalf(bits))) throw new Error(`0x${bits.toString(16)} is ${float[0]}`);
      if (float16FromFloat32Bits(words[0]) !== bits) throw new Error(`0x${bits.toString(16)} does not come back`);
    }
  });

  test("is rounded once, to the nearest and to even", () => {
    const finite = Array.from({ length: 0x7c00 }, (_, bits) => valueOfHalf(bits));
    for (let bits = 0; bits + 1 < finite.length; bits++) {
      const [low, high] = [finite[bits], finite[bits + 1]];
      const middle = (low + high) / 2;
      const even = bits % 2 ? high : low;
      const expected = [low, even, low, high];
      const given = [low, middle, middle - (high - low) / 1e6, middle + (high - low) / 1e6];
      expect(given.map(roundToFloat16)).toEqual(expected);
      expect(given.map((value) => roundToFloat16(-value))).toEqual(expected.map((value) => -value));
    }
    expect([65519.99, 65520, -65520, Infinity, Number.NaN].map(roundToFloat16)).toEqual([
      65504,
      Infinity,
      -Infinity,
      Infinity,
      Number.NaN,
    ]);
  });
});

describe("NdArray", () => {
  test("says what it cannot be", () => {
    expect(() => new NdArray(new Float64Array(3), [2, 2])).toThrow(RangeError);
    expect(() => new NdArray(new Float64Array(2), [-1, -2])).toThrow(RangeError);
    expect(() => new NdArray(new Float64Array(1), Array(33).fill(1))).toThrow(RangeError);
    expect(() => new NdArray(new Float64Array(1), [1], "int8")).toThrow(TypeError);
    expect(() => new NdArray([1] as unknown as Samples)).toThrow(TypeError);
    expect(new NdArray(new BigUint64Array(2)).dtype).toBe("uint64");
  });

  test("has rows that are views of it", () => {
    const array = new NdArray(new Int16Array([1, 2, 3, 4, 5, 6]), [2, 3]);
    expect(array.row(1)).toEqual(new NdArray(new Int16Array([4, 5, 6]), [3]));
    array.row(1).data[0] = 9;
    expect(array.data[3]).toBe(9);
    expect(() => array.row(2)).toThrow(RangeError);
    expect(() => new NdArray(new Int8Array(1), []).row(0)).toThrow(RangeError);
  });
});

describe("payloads", () => {
  test("keep no door open to the prototype", () => {
    const read = unpack(pack(JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'))) as object;
    expect(Object.keys(read)).toEqual(["__proto__", "constructor"]);
    expect((read as { polluted?: boolean }).polluted).toBeUndefined();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("leave out what is undefined", () => {
    expect(unpack(pack({ a: undefined, b: 1 }))).toEqual({ b: 1 });
    expect(() => pack([undefined])).toThrow("data[0]");
  });

  test.each([
    [new Set(), "Set"],
    [() => 1, "function"],
    [Symbol("a"), "symbol"],
    [new DataView(new ArrayBuffer(1)), "DataView"],
    ["\ud800", "UTF-8"],
    [2n ** 64n, "64 bits"],
    [-(2n ** 63n) - 1n, "64 bits"],
    [new Date(Number.NaN), "invalid"],
    [new Map([[1.5, 1]]), "key"],
    [new Map([[null, 1]]), "key"],
  ])("refuse %s", (value, why) => {
    expect(() => pack({ here: [value] })).toThrow(why);
    expect(() => pack({ here: [value] })).toThrow('data["here"][0]');
  });

  test("nest 64 deep, also where they contain themselves", () => {
    const nested = (depth: number): unknown => (depth ? [nested(depth - 1)] : 1);
    expect(unpack(pack(nested(64)))).toEqual(nested(64));
    expect(() => pack(nested(65))).toThrow(RangeError);
    const circle: unknown[] = [];
    circle.push(circle);
    expect(() => pack(circle)).toThrow(RangeError);
    expect(() => pack(new NdArray(new Int8Array(1), Array(32).fill(1)), { ndarray: "list" })).not.toThrow();
  });

  test("have a limit", () => {
    expect(pack("x".repeat(97), { maxPayload: 99 }).length).toBe(99);
    expect(() => pack("x".repeat(98), { maxPayload: 99 })).toThrow(ProtocolError);
    expect(() => pack(new NdArray(new Float64Array(100)), { maxPayload: 99, ndarray: "binary" })).toThrow(
      ProtocolError,
    );
  });

  test("take typed arrays for arrays, and bytes for bytes", () => {
    expect(unpack(pack(new Float32Array([1.5])))).toEqual(new NdArray(new Float32Array([1.5])));
    expect(unpack(pack(new Uint8Array([1])))).toEqual(new Uint8Array([1]));
    expect(unpack(pack(new Uint8Array([1]).buffer))).toEqual(new Uint8Array([1]));
  });

  test("in binary form are views of the received bytes", () => {
    const handler = new ProtocolHandler({ ndarray: "binary", compression: null });
    const frame = handler.encode(MessageType.ECG_DATA, { signal: new Float64Array([1, 2]) });
    const { data } = handler.decode(frame) as { data: { signal: NdArray } };
    expect(data.signal.data.buffer).toBe(frame.buffer);
  });

  test("in binary form stay views where the frame was deflated", () => {
    const handler = new ProtocolHandler({ ndarray: "binary", compression: { threshold: 0 } });
    const frame = handler.encode(MessageType.ECG_DATA, { signal: new Float64Array(500) });
    const { data } = handler.decode(frame) as { data: { signal: NdArray } };
    expect(data.signal.data.byteOffset).toBeGreaterThan(0);
    expect(frame.length).toBeLessThan(500);
  });

  test("of hostile headers cost nothing", () => {
    const nested = Uint8Array.from({ length: 9000 }, (_, i) => (i % 3 ? 0xff : 0xdc));
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 100; i++) expect(() => unpack(nested)).toThrow(ProtocolError);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
  });
});

describe("handler", () => {
  const handler = new ProtocolHandler();

  test.each<[number, object]>([
    [0x13, {}],
    [0x10, { version: 5 }],
    [0x10, { version: 2, flags: 4 }],
    [0x10, { flags: 0x20 }],
    [0x10, { flags: 1 }],
    [0x10, { flags: 2 }],
    [0x10, { version: 2, timestamp: 0n }],
    [0x10, { timestamp: 2n ** 64n }],
  ])("refuses to send 0x%i with %o", (type, options) => {
    expect(() => handler.encode(type as MessageType, null, options)).toThrow(RangeError);
  });

  test("stamps frames, each later than the last", () => {
    const stamps = Array.from(
      { length: 1000 },
      () => handler.decode(handler.encode(MessageType.PING, null)).timestamp ?? 0n,
    );
    expect(stamps.every((stamp, i) => i === 0 || stamp > stamps[i - 1])).toBe(true);
    expect(Math.abs(Number(stamps[0]) / 1000 - Date.now())).toBeLessThan(5000);
  });
});

test("a clock that stands still or steps back does not repeat itself", () => {
  const clock = new SendClock();
  const stamps = Array.from({ length: 100 }, () => clock.next());
  expect(new Set(stamps).size).toBe(100);
});

test("moments", () => {
  expect(microseconds(1705314645.123456)).toBe(1705314645123456n);
  expect(microseconds(new DateTime("2024-01-15T10:30:45.123456"))).toBe(1705314645123456n);
  expect(microseconds(new DateTime("2024-01-15T11:30:45.000001+01:00"))).toBe(1705314645000001n);
  expect([microseconds(-1), microseconds(1e300), microseconds(2n ** 64n)]).toEqual([
    0n,
    2n ** 64n - 1n,
    2n ** 64n - 1n,
  ]);
  expect(seconds(1705314645123456n)).toBe(1705314645.123456);
});

test("UUIDs of any spelling", () => {
  const text = "550e8400-e29b-41d4-a716-446655440000";
  for (const spelling of [text, text.toUpperCase()]) expect(String(new Uuid(spelling))).toBe(text);
  for (const spelling of [text.replaceAll("-", ""), `{${text}}`, `urn:uuid:${text}`, `${text}\n`]) {
    expect(() => new Uuid(spelling)).toThrow(SyntaxError);
  }
  expect(JSON.stringify(new Uuid(text))).toBe(JSON.stringify(text));
});

describe("connecting again", () => {
  const backoff = { ...DEFAULT_BACKOFF, jitter: 0 };

  test("is done at once where a connection broke off, then later and later", () => {
    const delays = new Backoff(backoff);
    expect([1, 2, 3].map(() => delays.pause(0, false))).toEqual([0, 500, 800]);
    expect(Array.from({ length: 20 }, () => delays.pause(0, false)).at(-1)).toBe(15_000);
    expect(delays.pause(10, false)).toBe(0);
  });

  test("a server that closes is given time", () => {
    expect(new Backoff(backoff).pause(60, true)).toBe(500);
  });

  test("is random, so that not all come at once", () => {
    const delays = new Backoff(DEFAULT_BACKOFF, () => 0.5);
    expect(delays.pause(0, true)).toBe(500 * 0.75);
  });

  test("is of no use where the server does not want it", () => {
    const stranger = new ProtocolError(0x100, "");
    expect([isFinal(1008, null), isFinal(1002, stranger), isFinal(1002, null), isFinal(1001, stranger)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe("ECG_DATA", () => {
  const fields = { signal: [0.5, 1], sampling_rate: 250 };

  test("comes in one form, whatever was sent", () => {
    expect(ecgData({ data: fields })).toEqual({
      signal: new NdArray(new Float64Array([0.5, 1]), [1, 2]),
      samplingRate: 250,
      timestampMs: null,
      leads: null,
      units: null,
      leadUnits: null,
      gain: null,
      baseline: [0],
      missing: null,
      stream: null,
      sequence: null,
      deviceId: null,
      patientId: null,
    });
    const nested = {
      signal: [
        [1, 2n],
        [3, 4],
      ],
      samplingRate: 2,
      timestamp: new DateTime("1970-01-01T00:00:01"),
      leads: ["I", "II"],
      gain: new NdArray(new Float64Array([2, 4])),
      baseline: 1,
    };
    const data = ecgData({ data: nested });
    expect(data).toMatchObject({
      samplingRate: 2,
      timestampMs: 1000,
      leads: ["I", "II"],
      gain: [2, 4],
      baseline: [1, 1],
    });
    expect([physicalValues(data, 0), physicalValues(data, 1)]).toEqual([
      Float32Array.of(0, 0.5),
      Float32Array.of(0.5, 0.75),
    ]);
  });

  test("has no sample where the count is that of a missing one", () => {
    const counts = new NdArray(BigInt64Array.of(1n, -(2n ** 63n), 3n), [1, 3]);
    const data = ecgData({ data: { signal: counts, sampling_rate: 250, gain: 2, missing: -(2n ** 63n) } });
    expect(physicalValues(data, 0)).toEqual(Float32Array.of(0.5, Number.NaN, 1.5));
    expect(() => ecgData({ data: { ...fields, missing: 1.5 } })).toThrow(/data\["missing"\] must be an integer/);
  });

  test.each([
    [null, 0x200],
    [{ signal: [1] }, 0x201],
    [{ sampling_rate: 1 }, 0x201],
    [{ ...fields, sampling_rate: 0 }, 0x200],
    [{ ...fields, sampling_rate: "250" }, 0x200],
    [{ ...fields, signal: "1" }, 0x200],
    [{ ...fields, signal: ["1"] }, 0x200],
    [{ ...fields, signal: [[1], [1, 2]] }, 0x200],
    [{ ...fields, signal: new NdArray(new Uint8Array(1), [1], "bool") }, 0x200],
    [{ ...fields, signal: new NdArray(new Int8Array(1), []) }, 0x200],
    [{ ...fields, gain: [1, 2] }, 0x200],
    [{ ...fields, gain: "1" }, 0x200],
    [{ ...fields, leads: [1] }, 0x200],
    [{ ...fields, timestamp: "now" }, 0x200],
    [{ ...fields, sequence: 1.5 }, 0x200],
  ])("is refused: %j", (data, code) => {
    expect(() => ecgData({ data })).toThrow(expect.objectContaining({ name: "ProtocolError", code, check: 12 }));
  });
});

test("a listener that throws is reported, and stops nobody else", async () => {
  const emitter = new Emitter<{ event: number }>();
  const heard: number[] = [];
  emitter.on("event", (number) => {
    throw new Error(`broken by ${number}`);
  });
  const end = emitter.on("event", (number) => heard.push(number));
  const reported = await uncaughtDuring(() => {
    emitter.emit("event", 1);
    end();
    emitter.emit("event", 2);
  });
  expect(heard).toEqual([1]);
  expect(reported).toEqual(["broken by 1", "broken by 2"]);
});

test("options that cannot be are refused", async () => {
  expect(() => new WebSocketBinaryService({ versions: [] })).toThrow(RangeError);
  expect(() => new WebSocketBinaryService({ versions: [5 as 4] })).toThrow(RangeError);
  expect(() => new WebSocketBinaryService({ capabilities: ["encryption"] })).toThrow(RangeError);
  expect(() => new WebSocketBinaryService({ versions: [1, 2, 3], capabilities: ["templates"] })).toThrow(RangeError);
  expect(() => new WebSocketBinaryService({ heartbeatInterval: 0 })).toThrow(RangeError);
  const service = new WebSocketBinaryService({ WebSocket: undefined as never });
  if (!globalThis.WebSocket) await expect(service.connect("ws://127.0.0.1:1")).rejects.toThrow("no global WebSocket");
});
