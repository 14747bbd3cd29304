/** Records of version 4: the vectors, which every implementation holds itself against, and what the vectors cannot say. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findDType } from "../src/codec/ndarray.js";
import type { TemplateBook } from "../src/codec/protocol-handler.js";
import {
  type Content,
  type RecordDType,
  recordContent,
  Template,
  type TemplateContent,
  templateKey,
  templateNumber,
} from "../src/codec/record.js";
import { sha256 } from "../src/codec/sha256.js";
import { Flag, MessageType, NdArray, ProtocolError, ProtocolHandler, unpack } from "../src/index.js";
import { Form } from "../src/protocol.js";
import { fromHex, fromJson, RECORDS, toHex, V4 } from "./rendering.js";
import { image } from "./same.js";

function refusal(work: () => unknown): { code: string; check: number | null; reason?: string } | "accepted" {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const verdict = { code: `0x${error.code.toString(16)}`, check: error.check };
    return error.reason === null ? verdict : { ...verdict, reason: error.reason };
  }
  return "accepted";
}

describe("accepted", () => {
  test.each(RECORDS.accepted.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const template = Template.unpack(fromHex(vector.template_payload));
    const record = fromHex(vector.record);
    const { data, counts, time } = template.decode(record);
    expect(image(data)).toEqual(image(fromJson(vector.message)));
    expect(templateNumber(record)).toBe(template.number);
    expect(image(counts)).toEqual(image(fromJson(vector.counts)));
    expect(String(time)).toBe(vector.time);
  });

  test.each(RECORDS.accepted.map((vector) => [vector.name, vector] as const))("%s: the same bytes", (_, vector) => {
    const template = Template.unpack(fromHex(vector.template_payload));
    const options = fromHex(vector.record)[3];
    const { counts, time, sequence } = template.decode(fromHex(vector.record));
    const made = template.encode(counts, time, sequence, { bound: (options & 2) !== 0, delta: vector.written });
    if (vector.written || fromHex(vector.record)[2] === 0) expect(toHex(made)).toBe(vector.record);
    expect(image(template.decode(made).data)).toEqual(image(fromJson(vector.message)));
    const plain = template.withoutFilter(made);
    expect(plain[2]).toBe(0);
    expect(image(template.decode(plain))).toEqual(image(template.decode(made)));
  });
});

describe("refused", () => {
  test.each(RECORDS.refused.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const template = Template.unpack(fromHex(vector.template_payload));
    const { code, check, reason } = vector;
    const verdict = refusal(() => template.decode(fromHex(vector.record), vector.max_payload));
    expect(verdict).toEqual(reason === undefined ? { code, check } : { code, check, reason });
  });

  test.each(RECORDS.refused_templates.map((vector) => [vector.name, vector] as const))(
    "%s",
    (_, { payload, code, check, path }) => {
      expect(refusal(() => Template.unpack(fromHex(payload)))).toEqual({ code, check });
      if (check === 12) {
        const place = { check, path: path ?? null };
        expect(() => Template.unpack(fromHex(payload))).toThrow(expect.objectContaining(place));
      }
    },
  );
});

// --- what the vectors cannot say ---

const DTYPES = ["int8", "uint8", "int16", "uint16", "int32"] as const;
const RANGES = { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767], uint16: [0, 65535] } as const;
const RANGE = (dtype: (typeof DTYPES)[number]) =>
  dtype === "int32" ? ([-(2 ** 31), 2 ** 31 - 1] as const) : RANGES[dtype];
const LEADS = ["I", "ii", "III", "AVR", "aVL", "avf", "V1"];

/** Rows that a filter has to do with: noise, edges, slopes, steps, a wave. */
function rowOf(dtype: (typeof DTYPES)[number], count: number): fc.Arbitrary<number[]> {
  const [min, max] = RANGE(dtype);
  const clipped = (value: number) => Math.max(min, Math.min(max, Math.round(value)));
  const size = { minLength: count, maxLength: count };
  return fc.oneof(
    fc.array(fc.integer({ min, max }), size),
    fc.array(fc.constantFrom(min, max, 0, max - 1), size),
    fc.integer({ min, max }).map((value) => Array<number>(count).fill(value)),
    fc
      .tuple(fc.integer({ min, max }), fc.integer({ min: -40, max: 40 }), fc.integer({ min: -3, max: 3 }))
      .map(([start, slope, bend]) =>
        Array.from({ length: count }, (_, i) => clipped(start + slope * i + bend * i * i)),
      ),
    fc
      .tuple(fc.constantFrom(2, 3, 256, 65_535, 65_536), fc.array(fc.integer({ min: -40, max: 40 }), size))
      .map(([step, row]) => row.map((value) => clipped(step * value))),
    fc.array(fc.integer({ min: -60, max: 60 }), size).map((row) => row.map(clipped)),
  );
}

/** Samples of a shape that a record can have, and leads that suggest predictions. */
const recorded = fc
  .tuple(fc.constantFrom(...DTYPES), fc.nat({ max: 7 }), fc.oneof(fc.nat({ max: 5 }), fc.integer({ min: 30, max: 70 })))
  .chain(([dtype, rows, count]) =>
    fc
      .tuple(fc.tuple(...Array.from({ length: rows || 1 }, () => rowOf(dtype, count))), fc.boolean())
      .map(([all, derived]) => {
        if (derived && rows > 2) for (let i = 0; i < count; i++) all[2][i] = clippedTo(dtype, all[1][i] - all[0][i]);
        const type = findDType(dtype) as NonNullable<ReturnType<typeof findDType>>;
        const data = new type.Samples(all.flat().length);
        all.flat().forEach((sample, i) => {
          data[i] = sample;
        });
        return new NdArray(data, rows ? [rows, count] : [count]);
      }),
  );

function clippedTo(dtype: (typeof DTYPES)[number], value: number): number {
  const [min, max] = RANGE(dtype);
  return Math.max(min, Math.min(max, value));
}

function templateFor(counts: NdArray, more: Partial<TemplateContent> = {}): Template {
  const rows = counts.shape.length === 2 ? counts.shape[0] : 0;
  const dtype = counts.dtype as RecordDType;
  return new Template({ number: 7, stream: "ecg/1", dtype, rows, fields: { leads: LEADS }, ...more });
}

test("what is written is read", () => {
  const property = fc.property(
    recorded,
    fc.boolean(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    (counts, bound, time) => {
      const template = templateFor(counts);
      for (const delta of [true, false]) {
        const record = template.encode(counts, time, 2n ** 64n - 1n, { bound, delta });
        expect(record.length).toBeLessThanOrEqual(24 + (bound ? 8 : 0) + counts.data.byteLength);
        const read = template.decode(record);
        expect([read.time, read.sequence]).toEqual([time, 2n ** 64n - 1n]);
        expect(image(read.counts)).toEqual(image(counts));
        expect(read.data).toMatchObject({
          stream: "ecg/1",
          timestamp: Number(`${time}e-6`), // rounded once
          sequence: 2n ** 64n - 1n,
        });
      }
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("a record with bytes changed is read or refused, and nothing else", () => {
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
  const verdicts = new Set<string>();
  const property = fc.property(recorded, edits, fc.nat({ max: 3 }), (counts, changes, cut) => {
    const template = templateFor(counts, { missing: 0, scale: { mul: 5, div: 1000 } });
    const record = template.encode(counts, 0n);
    for (const [place, byte] of changes) record[place % record.length] = byte;
    const verdict = refusal(() => template.decode(record.subarray(0, record.length - cut)));
    verdicts.add(JSON.stringify(verdict));
  });
  fc.assert(property, { numRuns: 1500 });
  expect([...verdicts].sort()).toEqual([
    '"accepted"',
    '{"code":"0x102","check":11}',
    '{"code":"0x200","check":11,"reason":"template"}',
    '{"code":"0x200","check":11}',
  ]);
});

test("any bytes behind a record's head are read or refused", () => {
  const property = fc.property(
    fc.constantFrom(...DTYPES),
    fc.nat({ max: 3 }),
    fc.nat({ max: 70 }),
    fc.uint8Array({ maxLength: 60 }),
    (dtype, rows, count, bytes) => {
      const template = new Template({ number: 7, stream: "a", dtype, rows, fields: {} });
      const head = Uint8Array.of(0, 7, 1, 0, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0, 0);
      const verdict = refusal(() => template.decode(Uint8Array.of(...head, ...bytes)));
      expect(["accepted", "0x200"]).toContain(typeof verdict === "string" ? verdict : verdict.code);
    },
  );
  fc.assert(property, { numRuns: 1500 });
});

describe("extremes", () => {
  test("order 3 between the edges of int16", () => {
    const counts = new NdArray(Int16Array.from({ length: 96 }, (_, i) => (i % 2 ? 32767 : -32768)));
    // Residuals of order 3 of these have 19 bits: none that a writer chooses, any reader takes.
    const row = deltaRow(counts.data, 3, 1);
    const record = recordOf(96, row);
    expect(image(templateFor(counts).decode(record).counts)).toEqual(image(counts));
  });

  test("steps of 65,535 lift residuals beyond 32 bits, and are exact", () => {
    const step = 65_535;
    const samples = Int32Array.from({ length: 40 }, (_, i) => (i % 2 ? 1 : -1) * 32_767 * step);
    const record = recordOf(40, deltaRow(samples, 3, step));
    const counts = new NdArray(samples);
    expect(image(templateFor(counts).decode(record).counts)).toEqual(image(counts));
  });

  test("predictions of ±2^32 are exact", () => {
    const [low, high] = [-(2 ** 31), 2 ** 31 - 1];
    for (const [a, b, rule] of [
      [low, low, 4 + 8 * 4],
      [high, high, 4 + 8 * 4 + 64],
      [low, high, 0 + 8 * 4],
      [high, low, 4 + 8 * 0 + 64],
    ]) {
      const [na, nb, c] = [(rule & 7) - 2, ((rule >> 3) & 7) - 2, rule >> 6];
      const predicted = Math.floor((na * a + nb * b + c) / 2);
      // Order 1 takes the first sample as it is, and so nothing of more than 24 bits is left to say.
      const first = (value: number) => [...new Uint8Array(Int32Array.of(value).buffer)];
      const third = Math.max(low, Math.min(high, predicted));
      const bytes = [0x20, ...first(a), 0x20, ...first(b), 0xa0, 2, 0, 1, rule, ...first(third)];
      const counts = new NdArray(Int32Array.of(a, a, b, b, third, third), [3, 2]);
      expect(image(templateFor(counts).decode(recordOf(2, bytes)).counts)).toEqual(image(counts));
    }
  });
});

test.each(DTYPES.filter((dtype) => !dtype.startsWith("u")))("halves of %s are predicted downwards", (dtype) => {
  const { Samples } = findDType(dtype) as NonNullable<ReturnType<typeof findDType>>;
  const counts = new NdArray(new Samples(12), [3, 4]);
  counts.data.set([-3, 3, -1, 1, 0, 0, 0, 0, -2, 1, -1, 0] as never);
  const size = counts.data.BYTES_PER_ELEMENT;
  const rows = [deltaRow(counts.row(0).data, 0, 1), deltaRow(counts.row(1).data, 0, 1)];
  const half = 3 + 8 * 2; // the first row by 2
  for (const order of [0, 1]) {
    const first = new Uint8Array(counts.row(2).data.slice(0, order).buffer);
    const bytes = [...rows.flat(), 0x80 | (order << 5), 2, 0, 1, half, ...first];
    expect(first.length).toBe(order * size);
    expect(image(templateFor(counts).decode(recordOf(4, bytes)).counts)).toEqual(image(counts));
  }
});

describe("what a record may cost", () => {
  const template = new Template({ number: 7, stream: "a", dtype: "int32", rows: 4096, fields: {} });

  test("is known before anything is allocated", () => {
    const before = process.memoryUsage().arrayBuffers;
    const began = performance.now();
    for (const count of [2 ** 32 - 1, 2 ** 20, 1025]) {
      expect(refusal(() => template.decode(recordOf(count, new Uint8Array(100))))).toMatchObject({ code: "0x102" });
    }
    for (const count of [1, 3, 1024]) {
      expect(refusal(() => template.decode(recordOf(count, new Uint8Array(100))))).toMatchObject({ code: "0x200" });
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
    expect(performance.now() - began).toBeLessThan(200);
  });

  test("is 32 samples a byte at most", () => {
    for (const count of [3, 4, 35, 36, 67, 68, 1024]) {
      const blocks = Math.max(0, Math.ceil((count - 3) / 32) - 1);
      const one = new Template({ number: 7, stream: "a", dtype: "int32", rows: 0, fields: {} });
      expect(refusal(() => one.decode(recordOf(count, new Uint8Array(blocks))))).toEqual({ code: "0x200", check: 11 });
      // With all of order 3, which is the densest.
      const bytes = Uint8Array.of(0x60, ...new Uint8Array(12), ...new Uint8Array(blocks));
      expect(refusal(() => one.decode(recordOf(count, bytes)))).toBe("accepted");
    }
  });
});

test("what a receiver refuses for its size is not written", () => {
  const counts = new NdArray(new Int16Array(20), [2, 10]);
  for (const [more, size] of [
    [{}, 40],
    [{ missing: 0 }, 160],
    [{ scale: { mul: 1, div: 2 } }, 160],
  ] as const) {
    const template = templateFor(counts, more);
    const record = template.encode(counts, 0n, null, { maxPayload: size });
    expect(template.decode(record, size).counts.size).toBe(20);
    const tooLarge = { code: 0x102, check: 11 };
    expect(() => template.encode(counts, 0n, null, { maxPayload: size - 1 })).toThrow(
      expect.objectContaining(tooLarge),
    );
    expect(() => template.decode(record, size - 1)).toThrow(expect.objectContaining(tooLarge));
  }
});

test("fields are the reader's own each time", () => {
  const fields = {
    leads: ["I", "II"],
    place: { bed: [7], 499: 1 },
    gain: new NdArray(new Float64Array([2, 4])),
    id: Uint8Array.of(1),
  };
  const counts = new NdArray(Int16Array.of(1, 2, 3, 4), [2, 2]);
  const template = templateFor(counts, { fields });
  const record = template.encode(counts, 0n);
  const expected = image(template.decode(record));
  const read = template.decode(record).data as typeof fields;
  read.leads.push("III");
  read.place.bed[0] = 8;
  read.gain.data[0] = 9;
  read.id[0] = 9;
  expect(image(template.decode(record))).toEqual(expected);
});

test("a template keeps what it was told, whatever becomes of the bytes", () => {
  const { payload } = new Template({ number: 7, stream: "a", dtype: "int8", rows: 0, fields: {} });
  const received = payload.slice();
  const template = Template.unpack(received);
  received.fill(0);
  const record = template.encode(new NdArray(Int8Array.of(1)), 0n, null, { bound: true });
  expect(toHex(record.subarray(16, 24))).toBe(toHex(sha256(payload).subarray(0, 8)));
});

test("a template is packed as Python packs it", () => {
  const scale = { mul: 1, div: 1000 };
  const { payload } = new Template({
    number: 1,
    stream: "ecg/1",
    dtype: "int16",
    rows: 2,
    fields: {},
    missing: -32768,
    scale,
  });
  const vector = RECORDS.accepted.find(({ name }) => name === "scale 1.0 / 200.0");
  const expected = toHex(payload).replace("cb408f400000000000", "cb4069000000000000");
  const fields = "82ad73616d706c696e675f72617465ccfaa5756e697473a26d56";
  expect(expected.replace("a66669656c647380", `a66669656c6473${fields}`)).toBe(vector?.template_payload);
});

test.each([
  ["of another dtype", new NdArray(Int8Array.of(1, 2), [2, 1]), 0n, null],
  ["of one dimension", new NdArray(Int16Array.of(1, 2)), 0n, null],
  ["of another number of rows", new NdArray(Int16Array.of(1, 2), [1, 2]), 0n, null],
  ["of a time beyond 64 bits", new NdArray(Int16Array.of(1, 2), [2, 1]), 2n ** 63n, null],
  ["of a sequence below 0", new NdArray(Int16Array.of(1, 2), [2, 1]), 0n, -1],
])("a record %s is not written", (_, counts, time, sequence) => {
  const template = templateFor(new NdArray(Int16Array.of(1, 2), [2, 1]));
  expect(() => template.encode(counts, time, sequence)).toThrow(/a signal of|does not fit/);
});

describe("what a record can say of a message", () => {
  const signal = new NdArray(Int16Array.of(1, 2, 3, 4), [2, 2]);
  const message = { signal, timestamp: 1705314645.25, stream: "a", sequence: 5, gain: 800, leads: ["I", "II"] };

  test("is taken apart and put together again", () => {
    const content = recordContent(message, "a") as Content;
    expect(content).toEqual({
      signal,
      time: 1705314645250000n,
      sequence: 5,
      fields: { gain: 800, leads: ["I", "II"] },
    });
    const template = Template.of(content, 3, "a");
    expect(template.key).toBe(templateKey(content));
    expect(template.key).not.toBe(templateKey(content, { missing: 0 }));
    const { time, sequence } = content;
    expect(image(template.decode(template.encode(signal, time, sequence)).data)).toEqual(image(message));
  });

  test.each([
    [1705314645.2500005, 1705314645250000n], // halves go to the even one, as far as a double tells them
    [-1.5, -1500000n],
    [0, 0n],
    [1705314645n, 1705314645000000n],
    [9223372036854, 9223372036854000000n],
  ])("a time of %s s", (timestamp, time) => {
    expect(recordContent({ signal, timestamp }, "a")?.time).toBe(time);
  });

  test.each([
    ["of another stream", { ...message, stream: "b" }],
    ["without a timestamp", { ...message, timestamp: undefined }],
    ["of a date", { ...message, timestamp: new Date() }],
    ["of an infinite time", { ...message, timestamp: Number.POSITIVE_INFINITY }],
    ["of a time beyond 64 bits", { ...message, timestamp: 9223372036855 }],
    ["of a sequence below 0", { ...message, sequence: -1 }],
    ["of a sequence of 64 bits and more", { ...message, sequence: 2n ** 64n }],
    ["of a nil for sequence", { ...message, sequence: null }],
    ["of a fraction for sequence", { ...message, sequence: 1.5 }],
    ["of a list", { ...message, signal: [1, 2] }],
    ["of int64", { ...message, signal: new NdArray(new BigInt64Array(2)) }],
    ["of bools", { ...message, signal: new NdArray(new Uint8Array(2), [2], "bool") }],
    ["big-endian over there", { ...message, signal: new NdArray(new Int16Array(2), [2], ">i2") }],
    ["of no dimension", { ...message, signal: new NdArray(new Int16Array(1), []) }],
    ["of no leads", { ...message, signal: new NdArray(new Int16Array(0), [0, 5]) }],
    ["of 4,097 leads", { ...message, signal: new NdArray(new Int16Array(4097), [4097, 1]) }],
    ["of three dimensions", { ...message, signal: new NdArray(new Int16Array(1), [1, 1, 1]) }],
  ])("is nothing where it is one %s", (_, data) => {
    expect(recordContent(data, "a")).toBeUndefined();
  });

  test("is nothing where a key is no text, and a map's own keys do not matter", () => {
    expect(recordContent(new Map<string | number, unknown>([...Object.entries(message), [7, 1]]), "a")).toBeUndefined();
    const data = new Map<string, unknown>([...Object.entries(message), ["within", new Map([[7, "seven"]])]]);
    const content = recordContent(data, "a") as Content;
    const template = Template.of(content, 3, "a");
    const read = template.decode(template.encode(signal, content.time, 5)).data;
    expect(image(read)).toEqual(image(Object.fromEntries(data)));
  });
});

test("sha256 is Node's", () => {
  const property = fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    expect(toHex(sha256(bytes))).toBe(createHash("sha256").update(bytes).digest("hex"));
  });
  fc.assert(property);
  for (const size of [0, 55, 56, 63, 64, 119, 120, 4096]) {
    expect(toHex(sha256(new Uint8Array(size)))).toBe(createHash("sha256").update(new Uint8Array(size)).digest("hex"));
  }
});

describe("in frames", () => {
  const handler = new ProtocolHandler({ version: 4 });
  const counts = new NdArray(Int16Array.of(100, 104, 110, 118, -3, -3, -2, 0), [2, 4]);
  const template = templateFor(counts, { number: 1 });
  const book: TemplateBook = { get: (stream, number) => (stream === 7 && number === 1 ? template : undefined) };
  const options = { timestamp: 1705314660000018n, form: Form.RECORD, streamId: 7, sequence: 57 };
  const record = template.encode(counts, 1705314645250000n);
  const frame = handler.encode(MessageType.ECG_DATA, record, options);

  test("the worked bytes", () => {
    const head = "04 01 00 00000018 bbb58552 00060ef9828a2112 04 00000007 0000000000000039";
    expect(toHex(frame)).toBe(`${head.replaceAll(" ", "")}000101000000000400060ef981a90fd008c8d0dcec03ed00`);
    const message = handler.decode(frame, book);
    expect(message).toMatchObject({ form: 4, streamId: 7, sequence: 57, payloadBytes: 24 });
    expect(image(message.data)).toEqual(
      image({ leads: LEADS, stream: "ecg/1", signal: counts, timestamp: 1705314645.25 }),
    );
  });

  test("samples without a filter are a view of the frame", () => {
    const floats = new NdArray(new Float64Array(20), [2, 10]);
    const raw = templateFor(floats, { number: 1 });
    const sent = handler.encode(MessageType.ECG_DATA, raw.encode(floats, 0n), options);
    const { signal } = handler.decode(sent, { get: () => raw }).data as { signal: NdArray };
    expect(signal.data.buffer).toBe(sent.buffer);
  });

  test("one without a filter is deflated as a payload is, and read again", () => {
    const zeros = new NdArray(new Float64Array(400), [2, 200]);
    const raw = templateFor(zeros, { number: 1 });
    const sent = handler.encode(MessageType.ECG_DATA, raw.encode(zeros, 0n), options);
    expect([sent[2], sent[19], sent.length < 200]).toEqual([1, 4, true]);
    expect(image((handler.decode(sent, { get: () => raw }).data as { signal: NdArray }).signal)).toEqual(image(zeros));
  });

  test("without its template a record is refused alone, and a template that comes in between is found", () => {
    const templates = new Map<number, Template>();
    const found: TemplateBook = { get: (_, number) => templates.get(number) };
    const unknown = { code: 0x200, check: 11, reason: "template" };
    expect(() => handler.decode(frame)).toThrow(expect.objectContaining(unknown));
    const told = handler.frame(MessageType.STREAM_TEMPLATE, template.payload, { streamId: 7, sequence: 58 });
    const items = handler.decodeEach(Uint8Array.of(...frame, ...told, ...frame), undefined, found);
    expect(items.next().value).toMatchObject(unknown);
    const { value } = items.next() as { value: { data: { template: number } } };
    templates.set(value.data.template, template);
    expect(items.next().value).toMatchObject({ sequence: 57, data: { stream: "ecg/1" } });
  });

  test.each([
    ["no payload", null, options],
    ["a payload of 15 bytes", new Uint8Array(15), options],
    ["of no stream", record, { ...options, streamId: 0, sequence: 0 }],
    ["with priority", record, { ...options, flags: Flag.PRIORITY }],
    ["in version 3", record, { version: 3 as const, form: Form.RECORD }],
    ["without a sequence", record, { ...options, sequence: 0 }],
    ["of a stream beyond 32 bits", record, { ...options, streamId: 2 ** 32 }],
    ["of a sequence beyond 53 bits", record, { ...options, sequence: 2 ** 53 }],
    ["with a reserved bit", record, { ...options, form: 0x24 }],
  ])("%s is not sent", (_, data, given) => {
    expect(() => handler.encode(MessageType.ECG_DATA, data, given)).toThrow(/record|RECORD|V3|sequence|stream|form/);
  });
});

// --- templates as messages ---

describe("a template is accepted as a message where it is accepted alone", () => {
  const handler = new ProtocolHandler({ version: 4 });
  const payloads = [
    ...RECORDS.refused_templates.map(({ name, payload }) => [name, payload] as const),
    ...RECORDS.accepted.map(({ name, template_payload }) => [name, template_payload] as const),
    ...V4.refused.filter(({ check }) => check === 12).map(({ name, frame }) => [name, frame.slice(64)] as const),
  ];
  test.each(payloads)("%s", (_, hex) => {
    const payload = fromHex(hex);
    const place = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        const { code, check, path } = error as ProtocolError;
        return [code, check, check === 12 ? path : null];
      }
      return "accepted";
    };
    const frame = handler.frame(MessageType.STREAM_TEMPLATE, payload, { streamId: 7, sequence: 1 });
    const alone = place(() => Template.unpack(payload));
    let data: unknown;
    try {
      data = unpack(payload);
    } catch {}
    // An opening is no template: only one place takes it.
    const isOpening = data !== null && typeof data === "object" && (data as { template?: unknown }).template === 0;
    if (isOpening) expect(alone).not.toBe("accepted");
    else expect(place(() => handler.decode(frame))).toEqual(alone);
  });

  test("what its receiver finds too large is not sent", () => {
    const told = { template: 1, stream: "ecg/1", dtype: "int16", rows: 0, fields: {} };
    const options = { streamId: 7, sequence: 1 };
    for (const note of ["x".repeat(4096), Array(256).fill("I"), Array(256).fill({})]) {
      const work = () => handler.encode(MessageType.STREAM_TEMPLATE, { ...told, note }, options);
      expect(work).toThrow(expect.objectContaining({ code: 0x102, check: 12 }));
    }
    expect(handler.encode(MessageType.STREAM_TEMPLATE, told, options)[0]).toBe(4);
  });
});

// --- records end to end: a byte of one becomes 32 samples ---

describe("a record in a batch", () => {
  const handler = new ProtocolHandler({ version: 4, compression: null });
  const MOST = 4 * 1024 * 1024;
  const ping = handler.encode(MessageType.PING, 5);
  const options = { form: Form.RECORD, streamId: 7, sequence: 1 };

  function batchOf(counts: readonly number[], rows: number): [Uint8Array, TemplateBook] {
    const empty = new NdArray(new Int8Array(0), rows ? [rows, 0] : [0]);
    const template = templateFor(empty, { number: 1, fields: {} });
    const frames = counts.map((count) => {
      const zeros = new NdArray(new Int8Array((rows || 1) * count), rows ? [rows, count] : [count]);
      return handler.encode(MessageType.ECG_DATA, template.encode(zeros, 0n), options);
    });
    return [Uint8Array.of(...frames.flatMap((frame) => [...frame])), { get: () => template }];
  }

  test.each([0, 1, 4])("counts by the samples that it stands for: %i rows", (rows) => {
    const half = MOST / 8 / 2 / (rows || 1);
    // The first is not counted. Six samples of each lead are one too many, and what is refused takes no room.
    const [bytes, book] = batchOf([half, half, half - 5, 6, 5], rows);
    const items = [...handler.decodeEach(bytes, undefined, book)];
    expect(items.map((item) => (item instanceof ProtocolError ? [item.code, item.check] : null))).toEqual([
      ...[null, null, null],
      [0x102, 11],
      null,
    ]);
  });

  test("is known from its head: the template is not even asked", () => {
    const [bytes, book] = batchOf([MOST / 8 + 1], 0);
    const unasked: TemplateBook = {
      get: () => ({
        rows: 0,
        decode: () => {
          throw new Error("nothing is made of it");
        },
      }),
    };
    const items = [...handler.decodeEach(Uint8Array.of(...ping, ...bytes, ...ping), undefined, unasked)];
    expect(items[1]).toMatchObject({ code: 0x102, check: 11 });
    expect(items[2]).toMatchObject({ data: 5 });
    const [first] = handler.decodeEach(Uint8Array.of(...bytes, ...ping), undefined, book);
    expect(first).toMatchObject({ sequence: 1 }); // the first may be as large as any
    expect([...handler.decodeAll(Uint8Array.of(...ping, ...bytes), book)].length).toBe(2);
  });
});

/** The payload of a record of template 7 with filter 1. */
function recordOf(count: number, bytes: Iterable<number>): Uint8Array<ArrayBuffer> {
  const head = Buffer.from([0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(count, 4);
  return Uint8Array.of(...head, ...bytes);
}

/** One row of that order and step, its residuals in blocks of 24 bits each: no writer's choice. */
function deltaRow(samples: NdArray["data"], order: number, step: number): number[] {
  let differences = Array.from(samples, Number);
  for (let i = 0; i < order; i++) differences = differences.slice(1).map((value, at) => value - differences[at]);
  const first = new Uint8Array(samples.slice(0, order).buffer);
  const head = [24 | (order << 5) | (step > 1 ? 0x80 : 0), ...(step > 1 ? [1, step & 255, step >> 8] : []), ...first];
  const bytes = differences.flatMap((difference, i) => {
    const residual = difference / step;
    const zigzag = residual < 0 ? -2 * residual - 1 : 2 * residual;
    return [...(i > 0 && i % 32 === 0 ? [24] : []), zigzag & 255, (zigzag >> 8) & 255, zigzag >> 16];
  });
  return [...head, ...bytes];
}
