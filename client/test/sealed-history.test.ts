/** The history of sealed streams, and what an alert that comes ahead hides: with sessions, and with the real server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  history,
  Key,
  MessageType,
  NdArray,
  publisher,
  Sealer,
  Sealing,
  type ServiceOptions,
  SigningKey,
  StoredKeys,
  type StreamMessage,
} from "../src/index.js";
import { Form } from "../src/protocol.js";
import type { SessionEvent } from "../src/session/client-session.js";
import { Peer } from "./peer/peer.js";
import { entry, key, OpeningClient, SECRET, sealed, signed } from "./sealed-peer.js";
import { collected, impatient, until } from "./services.js";
import { throttled } from "./throttled.js";
import { alert, answer, control, packed, STREAM, summary, template, templateFrame } from "./v4-peer.js";

const PAST = 50;
const OTHER = Uint8Array.from(SECRET, (byte) => byte ^ 1);

/** The same frame with the id of a history and BULK, which the seal does not protect. */
function past(frame: Uint8Array, id = PAST, form: number = Form.BULK): Uint8Array<ArrayBuffer> {
  const copy = frame.slice() as Uint8Array<ArrayBuffer>;
  copy[19] |= form;
  new DataView(copy.buffer).setUint32(20, id);
  return copy;
}

/** Requests a history, and has it answered. */
async function asked(client: OpeningClient, owner: object, request = 1, id = PAST, more: Record<string, unknown> = {}) {
  client.session.askHistory(STREAM, request, 0n, null, owner);
  client.sent();
  return client.took(answer({ history: request, id, next: 1, end: 1000, keys: [entry()], ...more }));
}

const over = (request: number) =>
  control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed", history: request });

async function frames(by: Sealer, first: number, last: number): Promise<Uint8Array<ArrayBuffer>[]> {
  const made: Uint8Array<ArrayBuffer>[] = [];
  for (let n = first; n < last; n++) made.push(await sealed(packed(n), by));
  return made;
}

/** The numbers of the messages that came live, or in a history. */
function had(events: readonly SessionEvent[], request?: number): number[] {
  const numbers: number[] = [];
  for (const event of events)
    if (event.kind === "received" && event.position?.history === request) numbers.push(event.position?.number ?? 0);
  return numbers;
}

describe("a session", () => {
  async function watching(by: Sealer) {
    const client = new OpeningClient();
    await client.took(answer({ next: 1, keys: [entry()] }));
    client.sent();
    return { client, sent: await frames(by, 1, 7) };
  }

  test("takes what was live in a history, once, and what a history had where it is live", async () => {
    const { client, sent } = await watching(new Sealer(key()));
    const events = await client.took(...sent.slice(0, 3));
    events.push(...(await asked(client, {})));
    events.push(...(await client.took(...sent.map((frame) => past(frame)), ...sent.map((frame) => past(frame)))));
    const again = sent.slice(0, 3).map((frame, i) => {
      const replayed = frame.slice();
      new DataView(replayed.buffer).setUint32(28, 100 + i); // under another number
      return replayed;
    });
    events.push(...(await client.took(...again)), ...(await client.took(...sent.slice(3))));
    expect(had(events)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(had(events, 1)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(client.session.sealed).toMatchObject({ opened: 12, repeated: 9, plain: 0, unknownKey: 0 });
  });

  test("knows what a history had over its requests, and nothing of another one", async () => {
    const { client, sent } = await watching(new Sealer(key()));
    const owner = {};
    const events = await asked(client, owner);
    events.push(...(await client.took(...sent.slice(0, 4).map((frame) => past(frame)), over(1))));
    events.push(...(await asked(client, owner, 2, PAST + 1)));
    events.push(...(await client.took(...sent.map((frame) => past(frame, PAST + 1)))));
    events.push(...(await asked(client, {}, 3, PAST + 2)));
    events.push(...(await client.took(...sent.map((frame) => past(frame, PAST + 2)))));
    expect([had(events, 1), had(events, 2), had(events, 3)]).toEqual([
      [1, 2, 3, 4],
      [5, 6],
      [1, 2, 3, 4, 5, 6],
    ]);
  });

  test("ends a history once its messages are opened", async () => {
    const { client, sent } = await watching(new Sealer(key()));
    await asked(client, {});
    expect(summary(client.receive(...sent.map((frame) => past(frame)), over(1)))).toEqual([]);
    const events = await client.openAll();
    expect(summary(events)).toEqual([1, 2, 3, 4, 5, 6].map((n) => `received ${n}`).concat("answered"));
  });

  test("tells of an unknown key in a history, and holds up nothing", async () => {
    const { client, sent } = await watching(new Sealer(key()));
    await asked(client, {});
    const unknown = await sealed(packed(1), new Sealer(key(10, STREAM, OTHER)));
    const events = await client.took(past(unknown), past(sent[1]), sent[0]);
    expect(summary(events)).toEqual(["unopened", "received 2", "received 1"]);
    expect(client.session.sealed.unknownKey).toBe(1);
  });

  test("takes templates and keys of a history without a subscription, and keys of a rotation", async () => {
    const client = new OpeningClient();
    client.session.unsubscribe(STREAM);
    client.seals.end(STREAM);
    const by = new Sealer(key());
    const templates = [past(await sealed(templateFrame(template(), 1), by), PAST, 0)];
    await asked(client, {}, 1, PAST, { templates });
    const rotation = { stream: STREAM, status: "subscribed", rotation: true, keys: [entry(10, OTHER)] };
    const next = await sealed(packed(3), new Sealer(key(10, STREAM, OTHER)));
    const [first] = await frames(by, 2, 3);
    const events = await client.took(past(first), control(MessageType.SUBSCRIPTION_ACK, rotation), past(next));
    expect(had(events, 1)).toEqual([2, 3]);
  });

  test("asks for no keys where the application has some, and refuses what is plain", async () => {
    const client = new OpeningClient({ keys: new StoredKeys([key()]) });
    client.session.askHistory(STREAM, 1, 0n, null);
    expect(client.sent().at(-1)?.data).toMatchObject({ history: 1, keys: false });
    await client.took(answer({ history: 1, id: PAST, next: 1, end: 10 }));
    expect(summary(await client.took(past(packed(1))))).toEqual(["refused 0x202 check 8"]);
  });

  test("takes an alert of a history once, and does not mark what is old", async () => {
    const by = new Sealer(key());
    const { client } = await watching(by);
    const frame = await sealed(alert(7), by);
    const events = await client.took(frame);
    events.push(...(await asked(client, {})), ...(await client.took(past(frame, PAST, 0), past(frame, PAST, 0))));
    expect([had(events), had(events, 1)]).toEqual([[7], [7]]);
    const marks = events.flatMap((event) => (event.kind === "received" ? [event.message.stale ?? false] : []));
    expect(marks).toEqual([true, false]);
  });

  test("takes a signed alert that was live in a history too, once, however often it is sealed", async () => {
    const signer = await SigningKey.create(new Uint8Array(32).fill(0x20));
    const client = new OpeningClient({ signers: [signer.public] });
    await client.took(answer({ next: 1, keys: [entry()] }));
    const by = new Sealer(key());
    const frame = await signed(alert(7), signer);
    const events = await client.took(await sealed(frame, by), await sealed(frame, by));
    events.push(...(await asked(client, {})));
    events.push(...(await client.took(past(await sealed(frame, by), PAST, 0), past(await sealed(frame, by), PAST, 0))));
    expect([had(events), had(events, 1)]).toEqual([[7], [7]]);
    expect(client.session.signatures.valid).toBe(2);
  });
});

let peer: Peer;
beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.end());

const settings = { versions: [1, 2, 3, 4] };
const limits = { ring_seconds: 600 };
const KEYS = [key(9), key(10, STREAM, OTHER)];
const OLD = { id: 9, stream: STREAM, key: Buffer.from(SECRET).toString("hex") };
const NEW = { id: 10, stream: STREAM, key: Buffer.from(OTHER).toString("hex") };

async function publish(first: number, last: number): Promise<void> {
  const timestamp = Date.now() / 1000;
  await peer.do("publish_numbers", { stream: STREAM, first, last, leads: 2, samples: 25, timestamp });
}

async function connected(url: string, options: ServiceOptions = {}) {
  const service = impatient({ versions: [1, 2, 3, 4], ...options });
  const errors = collected(service, "error");
  await service.connect(url);
  return { service, errors };
}

const count = (first: number, last: number) => Array.from({ length: last - first }, (_, i) => first + i);

describe("the history of a sealed stream", () => {
  test("of the server comes beside what is live, over a rotation and a cut", async () => {
    const { port } = await peer.do("serve", { settings, limits, stream_keys: [OLD] });
    const way = await throttled(`ws://127.0.0.1:${port}/ws`, 100_000);
    const { service, errors } = await connected(way.url, { sealing: new Sealing() });
    const live: unknown[] = [];
    await service.subscribe(STREAM, ({ data }) => live.push(data.sequence)).granted;
    await publish(0, 300);
    await peer.do("publish", { stream: STREAM, type: 2, data: { kind: "pause", timestamp: Date.now() / 1000 } });
    await peer.do("replace_keys", { stream_keys: [NEW] });
    await publish(300, 600);
    await until(() => live.length === 601);
    const found: StreamMessage[] = [];
    const asked = history(service, STREAM, (message) => found.push(message), { start: 0n });
    await until(() => found.length > 100);
    way.cut();
    await asked.finished;
    const ecg = found.filter(({ type }) => type === MessageType.ECG_DATA);
    expect(ecg.map(({ data }) => data.sequence)).toEqual(count(0, 600));
    expect(found.length).toBe(601);
    expect(found.every(({ flags, stale }) => (flags & 2) === 2 && stale === undefined)).toBe(true);
    expect([asked.lost, asked.unopened, service.statistics.reconnections]).toEqual([0, 0, 1]);
    await publish(600, 610);
    await until(() => live.length === 611);
    expect(service.statistics.sealed).toMatchObject({ plain: 0, tooManySenders: 0 });
    expect(errors).toEqual([]);
  }, 20_000);

  test("of a publisher comes to who has the keys, and is told to who lacks one", async () => {
    const { port } = await peer.do("serve", { settings, limits, takes_sealed: true });
    const url = `ws://127.0.0.1:${port}/ws`;
    const keys = new StoredKeys([KEYS[0]]);
    const { service: source } = await connected(url, { sealing: new Sealing({ keys }) });
    const bed = publisher(source, STREAM);
    const send = async (first: number, last: number) => {
      for (const sequence of count(first, last)) {
        const signal = new NdArray(Int16Array.of(sequence, 1, 2, 3), [2, 2]);
        await bed.send(MessageType.ECG_DATA, { signal, samplingRate: 500, timestamp: Date.now(), sequence });
      }
      await bed.flush();
    };
    await send(0, 30);
    keys.add(new Key(10, STREAM, OTHER, { begins: 1 }));
    await send(30, 70);
    const { service, errors } = await connected(url, { sealing: new Sealing({ keys: new StoredKeys(KEYS) }) });
    const all: unknown[] = [];
    const whole = history(service, STREAM, ({ data }) => all.push(data.sequence), { start: 0n });
    await whole.finished;
    expect(all).toEqual(count(0, 70));
    expect([whole.lost, whole.unopened]).toEqual([0, 0]);
    const late = await connected(url, { sealing: new Sealing({ keys: new StoredKeys([KEYS[1]]) }) });
    const some: unknown[] = [];
    const part = history(late.service, STREAM, ({ data }) => some.push(data.sequence), { start: 0n });
    await part.finished;
    expect(some).toEqual(count(30, 70));
    expect([part.lost, part.unopened]).toEqual([31, 31]); // and their template
    expect([...errors, ...late.errors]).toEqual([]);
  });

  test("is denied with the reason of a subscription", async () => {
    const { port } = await peer.do("serve", { settings, stream_keys: [OLD], streams_denied: ["secret"] });
    const url = `ws://127.0.0.1:${port}/ws`;
    const { service } = await connected(url);
    const plain = history(service, STREAM, () => {}, { start: 0n });
    await expect(plain.finished).rejects.toMatchObject({ code: 0x202, message: expect.stringContaining("sealed") });
    const opening = await connected(url, { sealing: new Sealing() });
    const denied = history(opening.service, "secret", () => {}, { start: 0n });
    await expect(denied.finished).rejects.toMatchObject({ code: 0x203 });
  });
});

test("an alert that comes ahead hides nothing after a reconnection", async () => {
  const { port } = await peer.do("serve", { settings, limits });
  const way = await throttled(`ws://127.0.0.1:${port}/ws`, 50_000);
  await publish(0, 400);
  await peer.do("publish", { stream: STREAM, type: 2, data: { kind: "pause", timestamp: Date.now() / 1000 } });
  await publish(400, 800);
  const { service, errors } = await connected(way.url);
  const found: StreamMessage[] = [];
  const alerts = () => found.filter(({ type }) => type === MessageType.ANOMALY_ALERT).length;
  const take = (message: StreamMessage) => {
    found.push(message);
    if (message.type !== MessageType.ANOMALY_ALERT || alerts() > 1) return;
    expect(found.length).toBeLessThan(401); // it came ahead of messages in line
    way.cut();
  };
  const asked = history(service, STREAM, take, { start: 0n });
  await asked.finished;
  const ecg = found.filter(({ type }) => type === MessageType.ECG_DATA);
  expect(ecg.map(({ data }) => data.sequence)).toEqual(count(0, 800));
  expect([alerts(), asked.lost, service.statistics.reconnections]).toEqual([1, 0, 1]);
  expect(errors).toEqual([]);
}, 20_000);
