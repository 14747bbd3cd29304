/** A client's session that speaks version 4, with a server's end made of the codec, in virtual time. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32 } from "../src/codec/crc32.js";
import { ecgData, physicalValues } from "../src/codec/ecg-data.js";
import { Flag, MessageType, NdArray, ProtocolHandler, type StreamMessage, Template } from "../src/index.js";
import { type Capability, CloseCode, Form } from "../src/protocol.js";
import type { SessionEvent } from "../src/session/client-session.js";
import { DEFAULT_SETTINGS, supported } from "../src/session/settings.js";
import { StreamBook } from "../src/session/stream-book.js";
import { fromHex, fromJson, RECORDS } from "./rendering.js";
import { image } from "./same.js";
import {
  alert,
  answer,
  broken,
  Client,
  control,
  EPOCH,
  ID,
  joined,
  offer,
  packed,
  record,
  STREAM,
  summary,
  template,
  templateFrame,
  V4,
} from "./v4-peer.js";

type Received = Extract<SessionEvent, { kind: "received" }>;

/** A client that has subscribed: the answer brings template 1. */
function subscribed(more: Record<string, unknown> = {}): Client {
  const client = Client.agreed();
  client.receive(answer({ next: 58, templates: [templateFrame(template(), 1)], ...more }));
  client.sent();
  return client;
}

function messageOf(events: SessionEvent[]) {
  return (events.find(({ kind }) => kind === "received") as Received).message;
}

describe("negotiation", () => {
  test("agrees on version 4 if both sides have it, and then sends only its frames", () => {
    const client = new Client();
    expect(summary(client.receive(offer()))).toEqual(["negotiated"]);
    const [said] = client.sent();
    expect(said.version).toBe(1);
    const capabilities = ["ack", "batch", "compression", "delta", "ndarray-bin", "priority", "templates", "timestamps"];
    expect(said.data).toEqual({ version: 4, capabilities, max_payload: DEFAULT_SETTINGS.maxPayload });
    client.session.subscribe(STREAM, null);
    client.session.ping(0);
    client.session.sending?.send({
      type: MessageType.ECG_DATA,
      flags: 0,
      timestamp: 5n,
      payload: null,
      data: { n: 1 },
      attempts: 1,
    });
    for (const { version, form, streamId, sequence } of client.sent())
      expect([version, form, streamId, sequence]).toEqual([4, 0, 0, 0]);
  });

  test("agrees on version 4 by default, and on 3 if the settings leave 4 out", () => {
    const usual = new Client(undefined, DEFAULT_SETTINGS);
    usual.receive(offer());
    expect(usual.sent()[0].data).toMatchObject({ version: 4, max_payload: DEFAULT_SETTINGS.maxPayload });
    const capabilitiesOf3 = new Set(supported([1, 2, 3]));
    const client = new Client(undefined, { ...DEFAULT_SETTINGS, versions: [1, 2, 3], capabilities: capabilitiesOf3 });
    client.receive(offer());
    const [{ data }] = client.sent();
    const capabilities = ["ack", "batch", "compression", "ndarray-bin", "priority", "timestamps"];
    expect(data).toEqual({ version: 3, capabilities });
  });

  test.each([
    ["before it", () => new Client()],
    ["with a server that speaks version 3", () => Client.agreedOn([1, 2, 3])],
  ])("no frame of version 4 is taken %s", (_, start) => {
    const client = start();
    expect(summary(client.receive(control(MessageType.HEARTBEAT, null)))).toEqual(["refused 0x100 check 2"]);
    expect(client.session.closing?.code).toBe(CloseCode.PROTOCOL_ERROR);
  });

  test("is needed for version 4: a silent server is treated as one of version 1, if that is supported", () => {
    const client = new Client();
    client.session.tick(5);
    expect(client.session.version).toBe(1);
    const strict = new Client(undefined, { versions: [4] });
    strict.session.tick(5);
    expect(strict.session.closing).toMatchObject({ code: CloseCode.PROTOCOL_ERROR });
  });
});

describe("SUBSCRIBE", () => {
  test("names epoch and number, and the time for a server that does not know the epoch", () => {
    const client = Client.agreed();
    client.session.subscribe(STREAM, 1_705_314_645_123_457n, { epoch: EPOCH, after: 61 });
    const [{ type, data }] = client.sent();
    expect(type).toBe(MessageType.SUBSCRIBE);
    expect(data).toEqual({ stream: STREAM, epoch: EPOCH, after: 61, since: 1_705_314_645.123457 });
  });

  test("names only the time before version 4", () => {
    const client = Client.agreedOn([1, 2, 3]);
    client.session.subscribe(STREAM, 1_000_000n, { epoch: EPOCH, after: 61 });
    expect(client.sent()[0].data).toEqual({ stream: STREAM, since: 1 });
  });
});

test("the answer to a PING has at most 4 times its bytes and 1,024 more, header included", () => {
  const peer = new ProtocolHandler({ version: 4, compression: null, ndarray: "binary" });
  const answers = new Set<number>();
  for (let rows = 1200; rows < 1500; rows += 10) {
    const client = new Client(undefined, { capabilities: new Set<Capability>() });
    client.receive(offer());
    client.sent();
    const ping = peer.encode(MessageType.PING, new NdArray(new Int16Array(0), [rows, 0], "int16"));
    client.receive(ping);
    const said = client.session.nextMessage(0) as Uint8Array;
    answers.add(said[1]);
    expect(said.length).toBeLessThanOrEqual(4 * ping.length + 1024);
  }
  expect(answers).toEqual(new Set([MessageType.PONG, MessageType.ERROR]));
});

describe("an answer", () => {
  test("binds the id, and brings the templates of the records after it, also in one message", () => {
    const client = Client.agreed();
    const told = template();
    const events = client.receive(answer({ next: 58, templates: [templateFrame(told, 1)] }), record(told, 58));
    expect(summary(events)).toEqual(["answered", "received 58"]);
    expect(events[0]).toMatchObject({ stream: STREAM, line: { epoch: EPOCH, next: 58 } });
    expect(events[1]).toMatchObject({ position: { stream: STREAM, epoch: EPOCH, number: 58, overtakes: false } });
  });

  test("may come unasked with templates, and does not change the position", () => {
    const client = subscribed();
    const keys = { id: undefined, epoch: undefined, next: undefined, templates: [templateFrame(template(2), 5)] };
    const [event] = client.receive(answer(keys));
    expect(event).toMatchObject({ kind: "answered", line: null });
    expect(summary(client.receive(record(template(2), 58)))).toEqual(["received 58"]);
  });

  test.each([
    ["an id of 0", { id: 0 }, "0x200 check 12"],
    ["an id beyond 32 bits", { id: 2 ** 32 }, "0x200 check 12"],
    ["an epoch of 0", { epoch: 0 }, "0x200 check 12"],
    ["an epoch that is a text", { epoch: "a" }, "0x200 check 12"],
    ["a next of 0", { next: 0 }, "0x200 check 12"],
    ["an id alone", { epoch: undefined, next: undefined }, "0x201 check 12"],
    ["templates that are no bytes", { templates: ["a"] }, "0x200 check 12"],
    ["17 templates", { templates: Array(17).fill(new Uint8Array(1)) }, "0x200 check 12"],
  ])("with %s is refused", (_, fields, verdict) => {
    const client = Client.agreed();
    expect(summary(client.receive(answer(fields)))).toEqual([`refused ${verdict}`]);
  });

  test.each([
    ["the id of another stream", answer({}, "ecg/2")],
    ["its id in another epoch", answer({ epoch: 5 })],
    ["a name of 257 letters", answer({ id: 9 }, "x".repeat(257))],
  ])("with %s is refused", (_, frame) => {
    const client = subscribed();
    client.session.subscribe("x".repeat(257), null);
    expect(summary(client.receive(frame))).toEqual(["refused 0x200 check 12"]);
  });

  test("to no SUBSCRIBE binds nothing: its frames are skipped", () => {
    const client = subscribed();
    for (let id = 8; id < 108; id++) {
      const named = { id, templates: [new Uint8Array(1)] };
      expect(summary(client.receive(answer(named, `${id} ${"x".repeat(240)}`)))).toEqual(["answered"]);
      expect(summary(client.receive(packed(58, id)))).toEqual([]);
    }
    client.session.unsubscribe(STREAM);
    expect(summary(client.receive(answer({ id: 200, epoch: 5 }), packed(1, 200)))).toEqual(["answered"]);
    expect(summary(client.receive(packed(58)))).toEqual(["received 58"]); // sent before UNSUBSCRIBE arrived
  });

  test("loses a template that is invalid, and that alone", () => {
    const told = template();
    for (const [bad, code] of [
      [broken(templateFrame(template(2), 3)), "0x101"],
      [templateFrame(template(2), 3, 8), "0x200"],
      [templateFrame(template(2, "ecg/2"), 3), "0x200"],
      [packed(3), "0x200"],
      [joined(templateFrame(template(2), 3), templateFrame(template(3), 4)), "0x200"],
      [new Uint8Array(0), "0x200"],
    ] as const) {
      const client = Client.agreed();
      const events = client.receive(answer({ templates: [bad, templateFrame(told, 2)] }), record(told, 3));
      expect(summary(events)).toEqual(["answered", `refused ${code} check 12`, "received 3"]);
      expect(client.session.closing).toBeNull();
    }
  });

  test("may bring 16 templates of the largest size, though other control messages are small", () => {
    const told = Array.from({ length: 16 }, (_, i) => wide(i + 1));
    const client = Client.agreed();
    const frame = answer({ templates: told.map((each, i) => templateFrame(each, i + 1)) });
    expect(frame.length).toBeGreaterThan(60_000);
    expect(summary(client.receive(frame, record(told[15], 20)))).toEqual(["answered", "received 20"]);
    const large = control(MessageType.PING, "x".repeat(16_384));
    expect(summary(client.receive(large))).toEqual(["refused 0x102 check 10"]);
  });
});

/** A template of nearly 4,096 bytes. */
function wide(number: number): Template {
  const { stream, dtype, rows, fields } = template();
  return new Template({ number, stream, dtype, rows, fields: { ...fields, note: "x".repeat(3880) } });
}

describe("a record", () => {
  test("arrives as the message that it stands for", () => {
    const events = subscribed().receive(record(template(), 58));
    const message = messageOf(events) as StreamMessage;
    const { signal, ...others } = message.data;
    expect([message.streamId, message.sequence]).toEqual([ID, 58]);
    expect(others).toEqual({ ...template().fields, stream: STREAM, timestamp: 0.464, sequence: 58 });
    expect((signal as NdArray).dtype).toBe("int16");
    const ecg = ecgData(message);
    expect(ecg.leads).toEqual(["I", "II"]);
    expect([...physicalValues(ecg, 1)]).toEqual([62, 63, 64, 65].map((count) => Math.fround(count / 200)));
  });

  test("of an unknown template is refused, and the fifth ends the connection", () => {
    const client = subscribed();
    const frames = [58, 59, 60, 61].map((number) => record(template(2), number));
    const events = client.receive(...frames);
    expect(summary(events)).toEqual(Array(4).fill("refused 0x200 check 11"));
    expect(events[0]).toMatchObject({ error: { reason: "template" }, position: { number: 58 }, isAgain: false });
    expect(client.session.closing).toBeNull();
    expect(client.sent()[0].data).toMatchObject({ code: 0x200, details: { reason: "template" } });
    client.receive(record(template(2), 62));
    expect(client.session.closing?.code).toBe(CloseCode.PROTOCOL_ERROR);
  });

  test("comes after its template, also in one message", () => {
    const client = subscribed();
    const told = template(2);
    const events = client.receive(templateFrame(told, 58), record(told, 59), packed(60));
    expect(summary(events)).toEqual(["explained 58", "received 59", "received 60"]);
  });
});

describe("a message of a stream in MessagePack", () => {
  test("has the stream's name, which the frame has as a number", () => {
    const events = subscribed().receive(packed(58), alert(59));
    expect(events.map((event) => (event as Received).message.data)).toEqual([
      { features: { n: 58 }, stream: STREAM },
      { kind: "asystole", timestamp: 59, stream: STREAM },
    ]);
    expect(events[1]).toMatchObject({ position: { overtakes: true } });
  });

  test("without a stream has no position", () => {
    const [event] = subscribed().receive(control(MessageType.ECG_DATA, { n: 1, stream: STREAM }));
    expect(event).toMatchObject({ kind: "received", position: null });
  });
});

describe("a template", () => {
  test.each([
    ["of no stream", templateFrame(template(2), 0, 0)],
    ["without a number", templateFrame(template(2), 0)],
    ["of another stream", templateFrame(template(2, "ecg/2"), 58)],
    ["with the number of another", templateFrame(wide(1), 58)],
    [
      "that opens the stream",
      control(MessageType.STREAM_TEMPLATE, { template: 0, stream: STREAM, epoch: 5 }, { streamId: ID, sequence: 58 }),
    ],
  ])("%s is refused", (_, frame) => {
    expect(summary(subscribed().receive(frame))).toEqual(["refused 0x200 check 12"]);
  });

  test("may come again", () => {
    expect(summary(subscribed().receive(templateFrame(template(), 58)))).toEqual(["explained 58"]);
  });
});

describe("an id", () => {
  test("that was never bound: each of its frames is refused", () => {
    const events = subscribed().receive(record(template(), 58, ID + 1));
    expect(summary(events)).toEqual(["refused 0x200 check 11"]);
    expect(events[0]).toMatchObject({ position: null });
  });

  test("that is no longer bound, or lies below the largest, is skipped without an error", () => {
    const client = subscribed();
    client.receive(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }));
    expect(summary(client.receive(record(template(), 58), packed(59, ID - 1), broken(packed(60))))).toEqual([
      "refused 0x101 check 7",
    ]);
    client.receive(answer({ next: 70 }));
    expect(summary(client.receive(packed(70)))).toEqual(["received 70"]);
  });

  test("of the epoch before stays bound until the one after", () => {
    const client = subscribed();
    client.receive(answer({ id: 8, epoch: 5 }));
    const positions = client.receive(packed(60), packed(1, 8)).map((event) => (event as Received).position);
    expect(positions).toMatchObject([
      { epoch: EPOCH, number: 60 },
      { epoch: 5, number: 1 },
    ]);
    client.receive(answer({ id: 9, epoch: 6 }));
    expect(summary(client.receive(packed(61), packed(2, 8), packed(1, 9)))).toEqual(["received 2", "received 1"]);
  });
});

describe("a number that was received before", () => {
  const positions = { wasReceived: ({ number }: { number: number }) => number <= 60, wasRefused: () => false };

  test("is skipped unread, and reported, as it may have to be acknowledged again", () => {
    const client = Client.agreed(positions);
    client.receive(answer());
    const flags = Flag.ACK_REQUIRED;
    const events = client.receive(record(template(9), 60), packed(59, ID, { flags, timestamp: 77n }), packed(61));
    expect(summary(events)).toEqual(["repeated 60", "repeated 59", "received 61"]);
    client.sent();
    for (const event of events) if (event.kind === "repeated") client.session.acknowledge(event.message);
    expect(client.sent().map(({ data }) => data)).toEqual([{ ack: 77, type: MessageType.FEATURE_DATA }]);
  });
});

test("a number that was refused before does not count among the five errors", () => {
  const client = Client.agreed({ wasReceived: () => false, wasRefused: ({ number }) => number < 60 });
  client.receive(answer());
  const events = client.receive(...[50, 51, 52, 53, 54, 55].map((number) => record(template(9), number)));
  expect(events.every((event) => event.kind === "refused" && event.isAgain)).toBe(true);
  client.receive(...[60, 61, 62, 63].map((number) => record(template(9), number)));
  expect(client.session.closing).toBeNull();
  client.receive(record(template(9), 64));
  expect(client.session.closing?.code).toBe(CloseCode.PROTOCOL_ERROR);
});

test("more frames than a message may have are refused, skipped ones included", () => {
  const client = Client.agreed({ wasReceived: () => true, wasRefused: () => false });
  client.receive(answer());
  const events = client.receive(...Array(4097).fill(packed(1)));
  expect(events.length).toBe(4097);
  expect(events.at(-1)).toMatchObject({ kind: "refused", error: { code: 0x102, check: 4 } });
});

describe("the book", () => {
  const book = () =>
    new StreamBook({ wasReceived: () => false, wasRefused: () => false }, { rare: null, sha256: null });
  const learn = (of: StreamBook, id: number, told: Template) =>
    of.learn(id, { template: told.number, stream: told.stream }, told.payload);

  test("keeps the 64 templates of an id that were told last", () => {
    const kept = book();
    kept.bind(1, STREAM, EPOCH);
    for (let number = 1; number <= 65; number++) learn(kept, 1, template(number));
    expect(kept.get(1, 1)).toBeUndefined();
    expect([2, 65].map((number) => kept.get(1, number)?.rows)).toEqual([2, 2]);
  });

  test("keeps 4 MiB of templates in all, without the oldest of the stream that has most", () => {
    const kept = book();
    const told = Array.from({ length: 64 }, (_, i) => wide(i + 1));
    const learnWide = (id: number, { number, payload }: Template) =>
      kept.learn(id, { template: number, stream: `ecg/${id}` }, payload);
    for (let id = 1; id <= 18; id++) kept.bind(id, `ecg/${id}`, EPOCH);
    for (let id = 1; id <= 16; id++) for (const each of told) learnWide(id, each);
    learnWide(17, told[0]);
    const fit = Math.floor((4 * 1024 * 1024) / told[9].payload.length);
    const countKept = () =>
      Array.from({ length: 17 }, (_, i) => told.filter(({ number }) => kept.get(i + 1, number)).length);
    expect(countKept().reduce((sum, count) => sum + count)).toBe(Math.min(fit, 16 * 64 + 1));
    for (const each of told) learnWide(18, each);
    expect(countKept().at(-1)).toBe(1);
    expect(kept.get(18, 64)).toBeDefined();
    expect(kept.get(1, 1)).toBeUndefined();
    expect(kept.get(1, 64)).toBeDefined();
  });

  test("binds 4,096 ids", () => {
    const kept = book();
    for (let id = 1; id <= 4096; id++) kept.bind(id, `ecg/${id}`, EPOCH);
    expect(() => kept.bind(5000, "ecg/x", EPOCH)).toThrow("4096 stream ids");
    kept.unbind("ecg/9");
    kept.bind(5000, "ecg/x", EPOCH);
    expect(kept.size).toBe(4096);
  });
});

test("frames of version 3 are read as before, with numbers in an answer ignored", () => {
  const old = new ProtocolHandler({ version: 3 });
  const client = Client.agreed();
  const data = { stream: STREAM, status: "subscribed", id: "x", epoch: -1 };
  const [event] = client.receive(old.encode(MessageType.SUBSCRIPTION_ACK, data));
  expect(event).toMatchObject({ kind: "answered", line: null });
  expect(V4.includes(3)).toBe(true);
});

// --- frames of the Python codec, and random ones ---

describe("a record and a template that Python wrote arrive as the message that it read", () => {
  const codec = new ProtocolHandler({ version: 4, compression: null });

  test.each(RECORDS.accepted.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const streamId = ID;
    const told = codec.frame(MessageType.STREAM_TEMPLATE, fromHex(vector.template_payload), { streamId, sequence: 1 });
    const written = fromHex(vector.record);
    const frame = codec.frame(MessageType.ECG_DATA, written, { form: Form.RECORD, streamId, sequence: 2 });
    const events = Client.agreed().receive(answer({ next: 2, templates: [told] }), frame);
    expect(summary(events)).toEqual(["answered", "received 2"]);
    expect(image(messageOf(events).data)).toEqual(image(fromJson(vector.message)));
  });
});

test("anything that arrives is accepted, refused or skipped, without an exception", () => {
  const told = template();
  const pool = [
    answer({ next: 58, templates: [templateFrame(told, 1)] }),
    answer({ id: 8, epoch: 5, next: 1 }),
    control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }),
    templateFrame(told, 57),
    templateFrame(template(2), 58),
    record(told, 59),
    record(told, 60, 8),
    packed(61),
    alert(62),
    control(MessageType.PING, 5),
  ];
  const mutation = fc.record({
    frame: fc.nat(pool.length - 1),
    at: fc.nat(120),
    bits: fc.integer({ min: 0, max: 255 }),
  });
  const property = fc.property(fc.array(mutation, { maxLength: 30 }), fc.boolean(), (mutations, sums) => {
    const client = Client.agreed();
    for (const { frame, at, bits } of mutations) {
      const bytes = pool[frame].slice();
      bytes[at % bytes.length] ^= bits;
      if (sums) new DataView(bytes.buffer).setUint32(7, crc32(bytes.subarray(32)));
      for (const event of client.receive(bytes)) {
        if (event.kind === "refused") expect(event.error.message).not.toContain("cannot process");
      }
      client.now += 5; // so that errors do not end the connection soon
    }
    client.sent();
  });
  fc.assert(property, { numRuns: 500 });
});
