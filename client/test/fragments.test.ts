/** Fragments: the vectors, sessions that put them together and cut, and the real server on the other end. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Message, MessageType, ProtocolError, ProtocolHandler, Sealer, type StreamMessage } from "../src/index.js";
import { DEFAULT_MAX_PAYLOAD, Flag, FRAGMENT_HEADER, FRAGMENT_SIZE } from "../src/protocol.js";
import { fragmentAt } from "../src/session/fragmenting.js";
import { Reassembly } from "../src/session/reassembly.js";
import { Peer } from "./peer/peer.js";
import { entry, key, OpeningClient, sealed } from "./sealed-peer.js";
import { collected, impatient, until } from "./services.js";
import { alert, answer, Client, control, ID, OFFER, offer, packed, STREAM, summary } from "./v4-peer.js";

interface Vector {
  readonly name: string;
  readonly max_payload?: number;
  readonly least?: number;
  readonly frames: readonly string[];
  readonly results: readonly (null | { whole: string } | { code: string; check: number })[];
}

const VECTORS: Vector[] = JSON.parse(
  readFileSync(new URL("../../tests/vectors/v4-fragments.json", import.meta.url), "utf8"),
);
const handler = new ProtocolHandler({ versions: [4] });
const octets = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function resultOf(reassembly: Reassembly, frame: Uint8Array): unknown {
  try {
    const whole = reassembly.add(handler.readHeader(frame), frame.subarray(0, 32), frame.subarray(32), 0);
    if (whole.lost) return { code: "0x200", check: 13, ...(whole.frame && { whole: hex(whole.frame) }) };
    return whole.frame && { whole: hex(whole.frame) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    expect(error.reason).toBe("fragment");
    return { code: `0x${error.code.toString(16)}`, check: error.check };
  }
}

test("there are 41 vectors", () => expect(VECTORS).toHaveLength(41));

test.each(VECTORS.map((vector) => [vector.name, vector] as const))("vector: %s", (_, vector) => {
  const limit = vector.max_payload ?? DEFAULT_MAX_PAYLOAD;
  const reassembly = new Reassembly(limit, vector.least);
  const results = vector.frames.map((frame) => resultOf(reassembly, octets(frame)));
  expect(results).toEqual(vector.results);
  expect(reassembly.bytes).toBeLessThanOrEqual(limit);
});

test("what is cut is put together again", () => {
  const sizes = fc.integer({ min: 1024, max: 9000 });
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20_000 }), sizes, (bytes, size) => {
      const frame = control(MessageType.FEATURE_DATA, { features: { bytes } }, { streamId: ID, sequence: 2 });
      const reassembly = new Reassembly(DEFAULT_MAX_PAYLOAD);
      let whole: unknown = null;
      for (let offset = 0; offset < frame.length - 32; offset += size)
        whole = resultOf(reassembly, fragmentAt(frame, offset, size));
      expect(whole).toEqual({ whole: hex(frame) });
    }),
    { numRuns: 25 },
  );
});

const WITH_FRAGMENTS = { capabilities: [...OFFER.capabilities, "fragments"] };

/** A client that has agreed on fragments and watches the stream. */
function watching(client = new Client()): Client {
  client.receive(offer(WITH_FRAGMENTS));
  client.session.subscribe(STREAM, null);
  client.receive(answer());
  client.sent();
  return client;
}

function large(sequence: number, size = 40_000): Uint8Array<ArrayBuffer> {
  const data = { features: { bytes: new Uint8Array(size).fill(sequence) } };
  return control(MessageType.FEATURE_DATA, data, { streamId: ID, sequence, flags: Flag.ACK_REQUIRED });
}

function cut(frame: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const count = Math.ceil((frame.length - 32) / FRAGMENT_SIZE);
  return Array.from({ length: count }, (_, i) => fragmentAt(frame, i * FRAGMENT_SIZE));
}

describe("a session", () => {
  test("puts a message together, with an alert between its pieces, and counts it once", () => {
    const client = watching();
    const before = client.session.framesReceived;
    const [first, second, third] = cut(large(2));
    const events = [first, second, alert(3), third].flatMap((one) => client.receive(one));
    expect(summary(events)).toEqual(["received 3", "received 2"]);
    expect(client.session.framesReceived).toBe(before + 2);
  });

  test("refuses a fragment in a batch, and before version 4 was agreed on", () => {
    const client = watching();
    const [first] = cut(large(2));
    expect(summary(client.receive(packed(1), first))).toEqual(["received 1", "refused 0x200 check 13"]);
    expect(summary(client.receive(first, packed(3)))).toEqual(["refused 0x200 check 13", "received 3"]);
    expect(summary(new Client().receive(first))).toEqual(["refused 0x100 check 2"]);
  });

  test("answers a bad piece by one ERROR, and goes on", () => {
    const client = watching();
    const [first, second, third] = cut(large(2));
    const events = [first, third, second, third].flatMap((one) => client.receive(one));
    expect(summary(events)).toEqual(["refused 0x200 check 13"]);
    const errors = client.sent().filter(({ type }) => type === MessageType.ERROR);
    expect(errors.map(({ data }) => data.details)).toEqual([{ reason: "fragment" }]);
    expect(summary([first, second, third].flatMap((one) => client.receive(one)))).toEqual(["received 2"]);
  });

  test("drops a message whose checksum is wrong in a piece, of an id that is not bound any more, or that was never", () => {
    const client = watching();
    const [first, second, third] = cut(large(2));
    const damaged = second.slice();
    damaged[100] ^= 1;
    expect(summary([first, damaged, third].flatMap((one) => client.receive(one)))).toEqual(["refused 0x101 check 7"]);
    client.receive(first);
    client.receive(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }));
    expect(summary([second, third].flatMap((one) => client.receive(one)))).toEqual([]);
    client.now = 44;
    client.receive(control(MessageType.HEARTBEAT, null));
    expect(client.session.tick(45)).toEqual([]); // nothing is left that could be told as lost
    const never = fragmentAt(packed(1, 99), 0);
    expect(summary(client.receive(never))).toEqual(["refused 0x200 check 11"]);
  });

  test("drops what does not go on for three heartbeat intervals", () => {
    const client = watching();
    const [first, second, third] = cut(large(2));
    client.receive(first);
    client.now = 44;
    client.receive(control(MessageType.HEARTBEAT, null));
    expect(summary(client.session.tick(44))).toEqual([]);
    expect(client.session.deadline()).toBeLessThanOrEqual(45);
    client.now = 45;
    expect(summary(client.session.tick(45))).toEqual(["refused 0x200 check 13"]);
    expect(summary([second, third].flatMap((one) => client.receive(one)))).toEqual([]);
  });

  test("forgets what is unfinished when it subscribes again", () => {
    const client = watching();
    const [first, second, third] = cut(large(2));
    client.receive(first);
    client.session.subscribe(STREAM, null, { epoch: 5, after: 1 });
    expect([second, third].flatMap((one) => client.receive(one))).toEqual([]);
    expect(summary([first, second, third].flatMap((one) => client.receive(one)))).toEqual(["received 2"]);
  });

  test("opens a sealed message that was cut", async () => {
    const client = watching(new OpeningClient()) as OpeningClient;
    client.receive(answer({ keys: [entry()] }));
    const pieces = cut(await sealed(large(2), new Sealer(key())));
    expect(pieces.flatMap((one) => client.receive(one))).toEqual([]);
    expect(summary(await client.openAll())).toEqual(["received 2"]);
  });
});

describe("a session that sends", () => {
  function sending(capabilities = WITH_FRAGMENTS): Client {
    const client = new Client();
    client.receive(offer(capabilities));
    client.sent();
    return client;
  }

  function send(client: Client, type: MessageType, bytes: number, flags = 0, timestamp = 1n): void {
    const data = { bytes: new Uint8Array(bytes) };
    client.session.sending?.send({ type, flags, timestamp, payload: null, data, attempts: 2 });
  }

  const next = (client: Client) => client.session.nextMessage(client.now) as Uint8Array;
  const isPiece = (bytes: Uint8Array) => (bytes[2] & Flag.FRAGMENT) !== 0;

  test("cuts a large message, and lets an alert between its pieces; what follows waits", () => {
    const client = sending();
    const random = Uint8Array.from({ length: 40_000 }, (_, i) => ((i * 7919) % 251) ^ (i >> 8));
    const data = { bytes: crypto.getRandomValues(random) };
    client.session.sending?.send({
      type: MessageType.FEATURE_DATA,
      flags: 0,
      timestamp: 1n,
      payload: null,
      data,
      attempts: 1,
    });
    send(client, MessageType.FEATURE_DATA, 10, 0, 2n);
    const first = next(client);
    send(client, MessageType.ANOMALY_ALERT, 30, 0, 3n);
    const pieces = [first];
    const between = next(client);
    for (let one = next(client); isPiece(one); one = next(client)) pieces.push(one);
    expect(between[1]).toBe(MessageType.ANOMALY_ALERT);
    expect(pieces.map(({ length }) => length - 32 - FRAGMENT_HEADER)).toEqual([16384, 16384, expect.any(Number)]);
    const server = new Reassembly(DEFAULT_MAX_PAYLOAD);
    const wholes = pieces.map((one) => server.add(handler.readHeader(one), one.slice(0, 32), one.slice(32), 0).frame);
    const message = handler.decode(wholes.at(-1) as Uint8Array) as Message<typeof data>;
    expect(message.data.bytes).toEqual(data.bytes);
    expect(client.session.nextMessage(0)).toBeUndefined();
  });

  test("sends it whole where the server does not take fragments, and what is urgent", () => {
    const old = sending({ capabilities: OFFER.capabilities.filter((name) => name !== "compression") });
    send(old, MessageType.FEATURE_DATA, 40_000);
    expect(isPiece(next(old))).toBe(false);
    const client = sending({ capabilities: WITH_FRAGMENTS.capabilities.filter((name) => name !== "compression") });
    send(client, MessageType.ANOMALY_ALERT, 40_000);
    expect(isPiece(next(client))).toBe(false);
  });

  test("waits for the acknowledgement from the last piece on", () => {
    const client = sending({ capabilities: WITH_FRAGMENTS.capabilities.filter((name) => name !== "compression") });
    send(client, MessageType.FEATURE_DATA, 40_000, Flag.ACK_REQUIRED);
    next(client);
    client.now = 10;
    expect(client.session.deadline()).toBeGreaterThan(10);
    next(client);
    next(client);
    expect(client.session.deadline()).toBe(12);
  });
});

describe("with the real server", () => {
  let peer: Peer;
  let url: string;
  beforeAll(async () => {
    peer = new Peer();
    const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] } });
    url = `ws://127.0.0.1:${port}/ws`;
  });
  afterAll(() => peer.end());

  test("large messages go both ways in pieces", async () => {
    const service = impatient({ versions: [1, 2, 3, 4], compression: null });
    const frames = collected(service, "frame");
    const messages: StreamMessage[] = [];
    const subscription = service.subscribe(STREAM, (message) => messages.push(message));
    await service.connect(url);
    await subscription.granted;
    expect(service.negotiated?.capabilities).toContain("fragments");
    const text = Array.from({ length: 60_000 }, (_, i) => String.fromCharCode(33 + ((i * i) % 89))).join("");
    const noise = Array.from({ length: 60_000 }, () => String.fromCharCode(33 + Math.floor(Math.random() * 89))).join(
      "",
    );
    await peer.do("publish", { stream: STREAM, type: MessageType.FEATURE_DATA, data: { features: { noise } } });
    await until(() => messages.length === 1);
    expect(messages[0].data.features).toEqual({ noise });
    await service.sendMessage(MessageType.FEATURE_DATA, { features: { text } }, { acknowledged: true });
    const isPiece = ({ bytes }: { bytes: Uint8Array }) => bytes[0] === 4 && (bytes[2] & Flag.FRAGMENT) !== 0;
    const pieces = frames.filter(isPiece);
    expect(pieces.filter(({ direction }) => direction === "in").length).toBeGreaterThan(2);
    expect(pieces.filter(({ direction }) => direction === "out").length).toBe(4);
    expect(service.statistics.refused).toBe(0);
  });
});
