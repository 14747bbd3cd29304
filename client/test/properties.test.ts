/** Everything that one side encodes, the other decodes: against the Python codec, in both directions. */
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkedControl } from "../src/codec/control-messages.js";
import { findDType } from "../src/codec/ndarray.js";
import { type Message, MessageType, ProtocolError, ProtocolHandler, pack, unpack } from "../src/index.js";
import { DEFAULT_VERSION, TYPE_SINCE } from "../src/protocol.js";
import { Peer } from "./peer/peer.js";
import { FRAMES, fromHex, fromJson, type Rendered, toHex } from "./rendering.js";
import { image } from "./same.js";
import { toJson, values } from "./values.js";

let peer: Peer;
beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.end());

const RUNS = { numRuns: 300 };
const versions = fc.constantFrom(1, 2, 3) as fc.Arbitrary<1 | 2 | 3>;
const forms = fc.constantFrom("list", "binary") as fc.Arbitrary<"list" | "binary">;
const TYPES = Object.values(MessageType).filter((type) => TYPE_SINCE[type] <= DEFAULT_VERSION);
const types = fc.constantFrom(...TYPES);

test("what TypeScript sends, Python reads", async () => {
  const property = fc.asyncProperty(
    versions,
    types,
    forms,
    fc.boolean(),
    values,
    async (version, type, ndarray, compress, data) => {
      const handler = new ProtocolHandler({ version, ndarray, compression: compress ? { threshold: 64 } : null });
      const frame = handler.encode(type, data);
      const read = await peer.do("decode", { frame: toHex(frame) });
      expect(read).toMatchObject({ version, type });
      expect(image(fromJson(read.data))).toEqual(image(data));
    },
  );
  await fc.assert(property, RUNS);
});

test("what Python sends, TypeScript reads", async () => {
  const property = fc.asyncProperty(
    versions,
    types,
    forms,
    fc.boolean(),
    values,
    async (version, type, ndarray, compress, data) => {
      const { frame } = await peer.do("encode", { version, type, ndarray, compress, data: toJson(data) });
      const message = new ProtocolHandler().decode(fromHex(frame as string));
      expect(message).toMatchObject({ version, type });
      expect(image(message.data)).toEqual(image(data));
    },
  );
  await fc.assert(property, RUNS);
});

test("both write the same bytes", async () => {
  const property = fc.asyncProperty(versions, types, forms, values, async (version, type, ndarray, data) => {
    const timestamp = version === 3 ? 1705314645123456n : null;
    const given = { version, type, ndarray, data: toJson(data), timestamp: timestamp && String(timestamp) };
    const { frame } = await peer.do("encode", given);
    const handler = new ProtocolHandler({ version, ndarray, compression: null });
    expect(toHex(handler.encode(type, data, timestamp === null ? {} : { timestamp }))).toBe(frame);
  });
  await fc.assert(property, RUNS);
});

test("a frame with bytes changed gets Python's verdict", async () => {
  const frames = FRAMES.map((vector) => vector.frames).filter((frame) => frame.length < 600);
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 });
  const property = fc.asyncProperty(fc.constantFrom(...frames), edits, fc.boolean(), async (hex, changes, resum) => {
    const frame = fromHex(hex);
    for (const [place, byte] of changes) frame[place % frame.length] = byte;
    const bytes = resum ? resummed(frame) : frame;
    expect(summary(bytes)).toEqual(withoutData(await peer.do("decode", { frame: toHex(bytes) })));
  });
  await fc.assert(property, { numRuns: 1500 });
});

test("any bytes as a payload get Python's verdict", async () => {
  const tags = fc.constantFrom(
    0x80,
    0x81,
    0x82,
    0x83,
    0x90,
    0x91,
    0x92,
    0xa1,
    0xc0,
    0xc1,
    0xc4,
    0xca,
    0xcb,
    0xcf,
    0xd3,
    0xd9,
    0xdc,
    0xdf,
  );
  const bytes = fc.array(fc.oneof(tags, fc.nat({ max: 255 })), { maxLength: 24 }).map((list) => Uint8Array.from(list));
  const property = fc.asyncProperty(bytes, async (payload) => {
    const frame = new ProtocolHandler({ compression: null }).frame(MessageType.PING, payload);
    expect(summary(frame)).toEqual(withoutData(await peer.do("decode", { frame: toHex(frame) })));
  });
  await fc.assert(property, { numRuns: 1000 });
});

test("wrappers of any content get Python's verdict", async () => {
  const numbers = fc.oneof(
    fc.integer({ min: -3, max: 300 }),
    fc.double(),
    fc.boolean(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.constantFrom<unknown>(null, "1", 65504, 65520, 3.4028234663852886e38, 3.4028235677973366e38, 1e39),
  );
  const nested = fc.oneof(
    fc.array(numbers, { maxLength: 4 }),
    fc.array(fc.array(numbers, { maxLength: 3 }), { maxLength: 3 }),
    numbers,
    fc.uint8Array({ maxLength: 16 }),
  );
  const spellings = fc.constantFrom(
    "float64",
    "f4",
    "float16",
    "int8",
    "i2",
    "uint8",
    "<i4",
    ">i8",
    "uint64",
    "bool",
    "O",
    "x",
  );
  const shapes = fc.oneof(fc.array(fc.nat({ max: 4 }), { maxLength: 3 }), fc.array(numbers, { maxLength: 2 }));
  const wrappers = fc.record({ __ndarray__: nested, dtype: spellings, shape: shapes }, { noNullPrototype: true });
  const property = fc.asyncProperty(wrappers, async (wrapper) => {
    const frame = framed(wrapper);
    const read = await peer.do("decode", { frame: toHex(frame) });
    expect(summary(frame)).toEqual(withoutData(read));
    if (!("code" in read)) expect(image(new ProtocolHandler().decode(frame).data)).toEqual(image(fromJson(read.data)));
  });
  await fc.assert(property, { numRuns: 2000 });
});

test("dates of any spelling get Python's verdict", async () => {
  const two = fc.integer({ min: 0, max: 62 }).map((n) => String(n).padStart(2, "0"));
  // Pythons differ about 24:00 and about offsets of more than 59 minutes.
  const hour = two.filter((text) => text !== "24");
  const minute = two.filter((text) => text < "60");
  const date = fc.oneof(
    fc
      .tuple(fc.constantFrom("0001", "1900", "2000", "2020", "2024", "9999"), two, two)
      .map(([y, m, d]) => `${y}-${m}-${d}`),
    fc.tuple(fc.constantFrom("2020", "2024"), two, two).map((parts) => parts.join("")),
    fc
      .tuple(fc.constantFrom("2020", "2021"), two, fc.constantFrom("", "-1", "-7", "-8"))
      .map(([y, w, d]) => `${y}-W${w}${d}`),
  );
  const time = fc.oneof(
    fc.constant(""),
    fc.tuple(hour, two).map((parts) => parts.join(":")),
    fc.tuple(hour, two, two).map((parts) => parts.join(":")),
    fc.tuple(hour, two, two, fc.nat({ max: 9999999 })).map(([h, m, s, f]) => `${h}:${m}:${s}.${f}`),
    fc.tuple(hour, two, two).map((parts) => parts.join("")),
  );
  const offset = fc.oneof(
    fc.constantFrom("", "Z", "+00:00", "-23:59", "+24:00", "+0530", "+05", "+05:30:15", "+05:30:15.25", " CET"),
    fc.tuple(fc.constantFrom("+", "-"), hour, minute).map(([sign, h, m]) => `${sign}${h}:${m}`),
  );
  const spelt = fc.tuple(date, fc.constantFrom("T", " ", "t"), time, offset);
  const texts = spelt.map(([day, separator, clock, zone]) => (clock ? day + separator + clock + zone : day + zone));
  const property = fc.asyncProperty(texts, async (text) => {
    const frame = framed({ __datetime__: text });
    const read = await peer.do("decode", { frame: toHex(frame) });
    expect([text, summary(frame)]).toEqual([text, withoutData(read)]);
    if (!("code" in read)) expect(image(new ProtocolHandler().decode(frame).data)).toEqual(image(fromJson(read.data)));
  });
  await fc.assert(property, { numRuns: 1500 });
});

test("dtypes are what NumPy takes for such", async () => {
  const letters = [..."?bhilqpBHILQPefdgFDGSUVOMmac"];
  const names = [
    "bool",
    "bool_",
    "byte",
    "short",
    "intc",
    "int",
    "int_",
    "long",
    "longlong",
    "intp",
    "half",
    "single",
    "double",
    "float",
    "float_",
    "uint",
    "ulong",
    "ubyte",
    "ushort",
    "uintc",
    "ulonglong",
    "uintp",
    "str",
    "object",
    "complex128",
    "longdouble",
    "float96",
    "float128",
    "datetime64",
  ];
  const sized = ["b", "i", "u", "f", "c"].flatMap((kind) => [1, 2, 3, 4, 8, 16].map((size) => kind + size));
  const bits = ["int", "uint", "float"].flatMap((kind) => [8, 16, 32, 64].map((size) => kind + size));
  const plain = [...letters, ...names, ...sized, ...bits];
  const spellings = ["", "<", ">", "=", "|"].flatMap((order) => plain.map((spelling) => order + spelling));
  const read = await peer.do("dtypes", { spellings });
  expect(spellings.map((spelling) => [spelling, findDType(spelling)?.name ?? null])).toEqual(
    spellings.map((spelling, i) => [spelling, (read.names as Rendered[])[i]]),
  );
});

test("control messages get Python's verdict", async () => {
  const control = TYPES.filter((type) => type >= MessageType.HEARTBEAT);
  const fields = [
    "stream",
    "since",
    "status",
    "code",
    "from",
    "message",
    "details",
    "versions",
    "version",
    "preferred",
    "capabilities",
    "max_payload",
    "heartbeat_interval",
    "compatible",
    "more",
  ];
  const content = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      true,
      "ecg/1",
      "denied",
      3,
      -1,
      1.5,
      Number.NaN,
      [1, 2, 3],
      ["ack", "batch"],
      [1, "a"],
      [],
      new Date(0),
    ),
    values,
  );
  const maps = fc.dictionary(fc.constantFrom(...fields), content, { maxKeys: 8, noNullPrototype: true });
  const property = fc.asyncProperty(fc.constantFrom(...control), fc.oneof(maps, values), async (type, given) => {
    const data = unpack(pack(given)); // as it arrives
    const expected = await peer.do("check_control", { type, data: toJson(data) });
    expect(controlVerdict(type, data)).toEqual("code" in expected ? withoutData(expected) : "accepted");
  });
  await fc.assert(property, { numRuns: 2000 });
});

function controlVerdict(type: MessageType, data: unknown): unknown {
  try {
    checkedControl(type, data, 3);
    return "accepted";
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { code: error.code, check: error.check };
  }
}

/** A frame with a payload that another library packed, which does not ask whether readers take it. */
function framed(value: unknown): Uint8Array {
  const payload = encode(value, { useBigInt64: true });
  return new ProtocolHandler({ compression: null }).frame(MessageType.PING, payload);
}

/** The frame with the checksum that its payload has, so that more than check 7 is tried. */
function resummed(frame: Uint8Array): Uint8Array {
  const size = frame[0] === 3 ? 19 : 11;
  if (frame[0] < 1 || frame[0] > 3 || frame.length < size) return frame;
  try {
    const version = frame[0] as 1 | 2 | 3;
    const made = new ProtocolHandler({ compression: null }).frame(MessageType.PING, frame.subarray(size), { version });
    frame.set(made.subarray(7, 11), 7);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
  return frame;
}

function summary(frame: Uint8Array): unknown {
  try {
    const { version, type, flags, timestamp }: Message = new ProtocolHandler().decode(frame);
    return { version, type, flags, timestamp: timestamp === null ? null : String(timestamp) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { code: error.code, check: error.check };
  }
}

function withoutData({ id: _, data: __, ...rest }: Record<string, Rendered>): unknown {
  return rest;
}
