/** A service that only receives: what it leaves out, what it loads later, and what it says of the rest. */

import fc from "fast-check";
import { zlibSync } from "fflate";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { inflate } from "../src/codec/compression.js";
import { packControl } from "../src/codec/control-packer.js";
import { ControlSender } from "../src/codec/control-sender.js";
import { FORM_AT, writeHeader } from "../src/codec/frame-reader.js";
import { RARE_VALUES } from "../src/codec/rare-values.js";
import { SendClock } from "../src/codec/send-clock.js";
import { sha256 } from "../src/codec/sha256.js";
import {
  DateTime,
  ecgData,
  Flag,
  type Message,
  MessageType,
  NdArray,
  ProtocolHandler,
  pack,
  Sealing,
  type StreamMessage,
  Template,
  Uuid,
} from "../src/index.js";
import { Form, HEADER_SIZES } from "../src/protocol.js";
import { LateUnpacking } from "../src/service/late-unpacking.js";
import { RECEIVING_PARTS } from "../src/service/receiving-parts.js";
import { ServiceOfParts, type ServiceOptions } from "../src/service/service-of-parts.js";
import { BASIC_SETTINGS } from "../src/session/basic-settings.js";
import { ClientSession } from "../src/session/client-session.js";
import { Peer } from "./peer/peer.js";
import { gate, until } from "./services.js";
import { offer, V4 } from "./v4-peer.js";

const STREAM = "ecg/bed-7";

describe("packControl", () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -300, max: 70_000 }), fc.double()),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.constantFrom(null, true, false),
      fc.date({ min: new Date("1970-01-01"), max: new Date("2100-01-01"), noInvalidDate: true }),
      fc.array(tie("any"), { maxLength: 20 }),
      fc.dictionary(fc.string({ maxLength: 40 }), tie("any"), { maxKeys: 20, noNullPrototype: true }),
    ),
  })).any;

  test("packs what a receiver sends to the bytes of pack", () => {
    fc.assert(
      fc.property(value, (each) => {
        let expected: Uint8Array;
        try {
          expected = pack(each);
        } catch {
          return; // keys of wrappers, and texts without a UTF-8 form
        }
        expect(packControl(each)).toEqual(new Uint8Array(expected));
      }),
      { numRuns: 1000 },
    );
  });

  test("packs the ends of the ranges of integers alike", () => {
    const ends = [0, 7, 8, 15, 16, 31, 32, 63].flatMap((bits) => [2n ** BigInt(bits), -(2n ** BigInt(bits))]);
    for (const end of ends)
      for (const each of [end - 1n, end, end + 1n])
        if (each >= -(2n ** 63n)) expect(packControl(each)).toEqual(new Uint8Array(pack(each)));
  });

  test("refuses what no receiver sends", () => {
    expect(() => packControl(new Uint8Array(3))).toThrow(TypeError);
    expect(() => packControl(undefined)).toThrow(TypeError);
    expect(() => packControl(2n ** 64n)).toThrow(RangeError);
  });
});

describe("ControlSender", () => {
  test.each([1, 2, 3, 4] as const)("makes the frames of ProtocolHandler in version %i", (version) => {
    const data = { stream: STREAM, epoch: 7, after: 41, since: 1.5 };
    const options = version < 3 ? {} : { timestamp: 1_700_000_000_000_000n };
    const whole = new ProtocolHandler({ version, compression: null });
    const made = new ControlSender({ version, maxPayload: 1 << 20 }).encode(MessageType.SUBSCRIBE, data, options);
    expect(made).toEqual(whole.encode(MessageType.SUBSCRIBE, data, options));
  });

  test("refuses payloads over the limit", () => {
    const sender = new ControlSender({ version: 3, maxPayload: 8 });
    expect(() => sender.encode(MessageType.SUBSCRIBE, { stream: STREAM })).toThrow("the limit is 8");
  });
});

describe("LateUnpacking", () => {
  const plain = new ProtocolHandler({ compression: null }).encode(MessageType.HEARTBEAT, null, { version: 3 });
  const large = { type: "note", text: "a".repeat(2000) };
  const compressed = new ProtocolHandler().encode(MessageType.FEATURE_DATA, large, { version: 3 });

  function late(load: () => Promise<void>) {
    const taken: Uint8Array[] = [];
    const failed: string[] = [];
    const unpacking = { inflate: null, rare: null, sha256: null, load };
    const take = (bytes: Uint8Array) => void taken.push(bytes);
    return { taken, failed, late: new LateUnpacking(unpacking, { take, failed: (why) => void failed.push(why) }) };
  }

  test("holds everything from the first compressed frame on, in order", async () => {
    const { opened, open } = gate();
    const { taken, late: held } = late(() => opened);
    expect(held.holds(plain)).toBe(false);
    const batch = Uint8Array.from([...plain, ...compressed]);
    expect([held.holds(batch), held.holds(plain)]).toEqual([true, true]);
    open();
    await until(() => taken.length === 2);
    expect(taken).toEqual([batch, plain]);
    expect(held.holds(plain)).toBe(false);
  });

  test("holds arrays in list form, and no other plain messages", async () => {
    const field = new NdArray(Float32Array.of(1, 2));
    const encode = (ndarray: "list" | "binary") =>
      new ProtocolHandler({ compression: null, ndarray }).encode(MessageType.FEATURE_DATA, [{ field }], { version: 3 });
    const [array, binary] = [encode("list"), encode("binary")];
    const alert = new ProtocolHandler().encode(
      MessageType.ANOMALY_ALERT,
      { text: "ndarray", at: [1, 2, 3] },
      { version: 3 },
    );
    const { opened, open } = gate();
    const { taken, late: held } = late(() => opened);
    expect([alert, binary, array, alert].map((bytes) => held.holds(bytes))).toEqual([false, false, true, true]);
    open();
    await until(() => taken.length === 2);
    expect(taken).toEqual([array, alert]);
  });

  test("holds dates, UUIDs and records that are bound to their template", async () => {
    const codec = new ProtocolHandler({ compression: null });
    const values = [new DateTime("2026-01-01T00:00:00.5Z"), new Uuid("550e8400-e29b-41d4-a716-446655440000")];
    const template = new Template({ number: 1, stream: STREAM, dtype: "int16", rows: 0, fields: {} });
    const recordOf = (bound: boolean) => {
      const payload = template.encode(new NdArray(Int16Array.of(1, 2)), 0n, null, { bound });
      const frame = new Uint8Array(HEADER_SIZES[4] + payload.length);
      frame.set(payload, HEADER_SIZES[4]);
      writeHeader(frame, 4, MessageType.ECG_DATA, 0, 7n);
      frame[FORM_AT] = Form.RECORD;
      return frame;
    };
    for (const value of values) {
      const { late: held } = late(() => new Promise(() => {}));
      const frame = codec.encode(MessageType.FEATURE_DATA, { at: value }, { version: 3 });
      expect([held.holds(recordOf(false)), held.holds(plain), held.holds(frame)]).toEqual([false, false, true]);
    }
    const { late: held } = late(() => new Promise(() => {}));
    expect([held.holds(plain), held.holds(Uint8Array.from([...plain, ...recordOf(true)]))]).toEqual([false, true]);
  });

  test("says why it cannot load, and when too much waits", async () => {
    const broken = late(() => Promise.reject(new TypeError("404")));
    expect(broken.late.holds(compressed)).toBe(true);
    await until(() => broken.failed.length > 0);
    expect(broken.failed).toEqual([
      "cannot load what reads compressed payloads, lists, dates and bound records: TypeError: 404",
    ]);
    const full = late(() => new Promise(() => {}));
    expect(full.late.holds(compressed)).toBe(true);
    full.late.holds(new Uint8Array(16 * 1024 * 1024));
    expect(full.failed).toEqual([`${16 * 1024 * 1024 + compressed.length} bytes wait for what reads them`]);
  });

  test.each([new Uint8Array(), zlibSync(new Uint8Array(40)), compressed.subarray(0, 12), Uint8Array.of(9, 1, 1)])(
    "leaves what is no frame to the session (%#)",
    (bytes) => {
      expect(late(() => Promise.resolve()).late.holds(bytes)).toBe(false);
    },
  );
});

describe("a service that only receives", () => {
  let peer: Peer;
  beforeAll(() => {
    peer = new Peer();
  });
  afterAll(() => peer.end());

  function receiving(options: ServiceOptions): ServiceOfParts {
    const service = new ServiceOfParts({ WebSocket, reconnect: { initialDelay: 2 }, ...options }, RECEIVING_PARTS);
    onTestFinished(() => service.close());
    return service;
  }

  // Version 4 first: once what inflates is loaded, it is used over version 4 too.
  test.each([4, 1, 2, 3] as const)("gets every message over version %i, compressed or not", async (version) => {
    const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] } });
    const service = receiving({ versions: [version] });
    const negotiated = await service.connect(`ws://127.0.0.1:${port}/ws`);
    expect(negotiated.version).toBe(version);
    expect([...negotiated.capabilities].includes("compression")).toBe(version === 2 || version === 3);
    expect([...negotiated.capabilities]).not.toContain("fragments");
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 30, leads: 12, samples: 100 });
    await until(() => messages.length === 30);
    expect(messages.map((message) => Number(ecgData(message).signal.data[0]))).toEqual(
      Array.from({ length: 30 }, (_, number) => number),
    );
    const isCompressed = ({ flags }: Message) => (flags & Flag.COMPRESSED) !== 0;
    expect(messages.some(isCompressed)).toBe(version === 2 || version === 3);
    expect(await service.ping()).toBeGreaterThan(0);
  });

  test("tells that it cannot load a part, and gets every message once it can", async () => {
    const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] } });
    let attempts = 0;
    const unpacking = {
      inflate: null as typeof inflate | null,
      rare: null as typeof RARE_VALUES | null,
      sha256: null as typeof sha256 | null,
      async load() {
        if (++attempts < 3) throw new TypeError("404");
        Object.assign(unpacking, { inflate, rare: RARE_VALUES, sha256 });
      },
    };
    const service = new ServiceOfParts(
      { WebSocket, reconnect: { initialDelay: 2 }, versions: [4] },
      { ...RECEIVING_PARTS, unpacking },
    );
    onTestFinished(() => service.close());
    const errors: string[] = [];
    service.on("error", ({ error }) => void errors.push(error.message));
    await service.connect(`ws://127.0.0.1:${port}/ws`);
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    const dates = [0, 1, 2, 3, 4].map((n) => new DateTime(`2026-01-01T00:00:0${n}+00:00`));
    for (const at of dates)
      await peer.do("publish", {
        stream: STREAM,
        type: MessageType.FEATURE_DATA,
        data: { features: { at: { $datetime: at.text } } },
      });
    await until(() => messages.length === dates.length);
    expect(messages.map(({ data }) => (data.features as { at: unknown }).at)).toEqual(dates);
    expect(attempts).toBe(3);
    const why = "cannot load what reads compressed payloads, lists, dates and bound records: TypeError: 404";
    expect(errors).toEqual([why, why]);
  });

  test("says what it does not do", async () => {
    const service = receiving({});
    expect(() => service.sendMessage(MessageType.FEATURE_DATA, { a: 1 })).toThrow("this service only receives");
    expect(() => new ServiceOfParts({ sealing: new Sealing() }, RECEIVING_PARTS)).toThrow("opens no sealed streams");
    expect(() => receiving({ capabilities: ["fragments"] as never, versions: [4] })).toThrow("fragments");
  });

  test("sends a PING back as it came, however it is packed", () => {
    const session = new ClientSession(
      { ...BASIC_SETTINGS, versions: V4, capabilities: new Set(), parts: RECEIVING_PARTS },
      new SendClock(),
    );
    session.start(0);
    session.receive(offer(), 0);
    const codec = new ProtocolHandler({ version: 4, ndarray: "binary", compression: null });
    const frame = codec.encode(MessageType.PING, { ping: 7, room: new NdArray(Float32Array.of(1, 2.5)) });
    session.receive(frame, 0);
    const sent = [];
    for (let each = session.nextMessage(0); each; each = session.nextMessage(0)) sent.push(...codec.decodeAll(each));
    const pong = sent.filter(({ type }) => type === MessageType.PONG);
    expect(pong.map(({ data }) => data)).toEqual([codec.decode(frame).data]);
  });
});
