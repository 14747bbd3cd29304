/** Services that watch the sealed streams of the real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  Key,
  MessageType,
  NdArray,
  publisher,
  Sealing,
  type ServiceOptions,
  SigningKey,
  StoredKeys,
  type StreamMessage,
} from "../src/index.js";
import { Peer } from "./peer/peer.js";
import { collected, impatient, until } from "./services.js";

const STREAM = "ecg/1";
const OLD = { id: 9, stream: STREAM, key: `${"00".repeat(31)}01` };
const NEW = { id: 10, stream: STREAM, key: `${"00".repeat(31)}02` };

let peer: Peer;
let url: string;

beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.end());
beforeEach(async () => {
  const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] }, stream_keys: [OLD] });
  url = `ws://127.0.0.1:${port}/ws`;
});

async function watching(options: ServiceOptions = {}) {
  const service = impatient({ versions: [1, 2, 3, 4], sealing: new Sealing(), ...options });
  const seen: unknown[] = [];
  const messages: StreamMessage[] = [];
  const errors = collected(service, "error");
  const take = (message: StreamMessage) => {
    messages.push(message);
    seen.push(message.data.sequence);
  };
  const subscription = service.subscribe(STREAM, take, { onGap: ({ frames }) => seen.push(`lost ${frames}`) });
  await service.connect(url);
  return { service, subscription, seen, messages, errors };
}

async function publish(first: number, last: number): Promise<void> {
  await peer.do("publish_numbers", {
    stream: STREAM,
    first,
    last,
    leads: 2,
    samples: 25,
    timestamp: Date.now() / 1000,
  });
}

describe.each([3, 4])("in version %i", (version) => {
  const versions = version === 3 ? ([1, 2, 3] as const) : ([1, 2, 3, 4] as const);

  test("a sealed stream arrives, over cuts, each message once", async () => {
    const { service, subscription, seen, messages, errors } = await watching({ versions });
    await subscription.granted;
    expect(service.negotiated?.capabilities).toContain("encryption");
    await publish(1, 5);
    await until(() => seen.length === 4);
    await peer.do("cut");
    await publish(5, 8);
    await until(() => seen.length === 7);
    await publish(8, 9);
    await until(() => seen.length === 8);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(messages.every(({ flags, stale }) => (flags & 2) === 2 && stale === undefined)).toBe(true);
    expect(messages[0].data.signal).toMatchObject({ shape: [2, 25], dtype: "int16" });
    expect(service.statistics.sealed).toMatchObject({ plain: 0, unknownKey: 0, tooManySenders: 0 });
    expect(errors).toEqual([]);
  });

  test("a key changes without a gap", async () => {
    const { subscription, seen, errors } = await watching({ versions });
    await subscription.granted;
    await publish(1, 3);
    await until(() => seen.length === 2);
    await peer.do("replace_keys", { stream_keys: [NEW] });
    await publish(3, 6);
    await until(() => seen.length === 5);
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(errors).toEqual([]);
  });

  test("a service that does not open is denied the stream, with the reason", async () => {
    const service = impatient({ versions });
    const subscription = service.subscribe(STREAM, () => {});
    await service.connect(url);
    await expect(subscription.granted).rejects.toMatchObject({
      code: 0x202,
      message: expect.stringContaining("sealed"),
    });
  });
});

test("a stream that a client seals goes through a server without its key, over cuts, each message once", async () => {
  const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] }, takes_sealed: true });
  url = `ws://127.0.0.1:${port}/ws`;
  const keys = new StoredKeys([new Key(7, STREAM, new Uint8Array(32).fill(7))]);
  const { subscription, seen, messages, errors } = await watching({ sealing: new Sealing({ keys }) });
  await subscription.granted;
  const service = impatient({ versions: [1, 2, 3, 4], sealing: new Sealing({ keys }) });
  await service.connect(url);
  const bed = publisher(service, STREAM);
  const send = (sequence: number) => {
    const signal = new NdArray(Int16Array.of(sequence, 1, 2, 3), [2, 2]);
    return bed.send(MessageType.ECG_DATA, { signal, samplingRate: 500, timestamp: Date.now(), sequence });
  };
  for (const sequence of [1, 2, 3]) await send(sequence);
  await until(() => seen.length === 3);
  await peer.do("cut");
  for (const sequence of [4, 5]) await send(sequence);
  await bed.flush();
  await until(() => seen.length === 5);
  expect(seen).toEqual([1, 2, 3, 4, 5]);
  expect(messages[4].data).toMatchObject({ stream: STREAM, sampling_rate: 500 });
  expect(errors).toEqual([]);
});

describe.each([false, true])("a stream that a client signs and seals, with sizes that vary: %s", (compress) => {
  test("is proven to clients in both languages, over cuts", async () => {
    const { port } = await peer.do("serve", { settings: { versions: [1, 2, 3, 4] }, takes_sealed: true });
    url = `ws://127.0.0.1:${port}/ws`;
    const stored = [{ id: 7, stream: STREAM, key: "07".repeat(32) }];
    const keys = new StoredKeys([new Key(7, STREAM, new Uint8Array(32).fill(7))]);
    const signer = await SigningKey.create(new Uint8Array(32).fill(0x20));
    const hex = Buffer.from(signer.public).toString("hex");
    const sealing = new Sealing({ keys, signers: [signer.public] });
    const { service: viewer, subscription, messages, errors } = await watching({ sealing });
    const attested: number[] = [];
    viewer.on("attested", ({ numbers }) => attested.push(...numbers));
    const unattested = collected(viewer, "unattested");
    await subscription.granted;
    await peer.do("view", { stream: STREAM, stream_keys: stored, signers: [hex] });

    const service = impatient({ versions: [1, 2, 3, 4], sealing: new Sealing({ keys }) });
    const failures = collected(service, "error");
    await service.connect(url);
    const bed = publisher(service, STREAM, { signer, compress });
    const send = (n: number) => {
      const signal = new NdArray(
        Int16Array.from({ length: 64 }, (_, i) => (i % 4) + n),
        [2, 32],
      );
      return bed.send(MessageType.ECG_DATA, { signal, samplingRate: 500, timestamp: Date.now() });
    };
    for (const n of [1, 2, 3]) void send(n);
    void bed.send(MessageType.ANOMALY_ALERT, { kind: "asystole", timestamp: Date.now() });
    await bed.send(MessageType.PREDICTION_RESULT, { label: "AF", timestamp: Date.now() });
    await until(() => attested.length === 4); // within about a second: a template and three records
    await peer.do("cut");
    for (const n of [4, 5]) await send(n);
    await bed.send(MessageType.FEATURE_DATA, { features: { hr: 60 }, timestamp: Date.now() });
    await bed.close();
    await until(() => attested.length === 7);
    expect(attested.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 8, 9, 10]);
    expect(messages.filter(({ type }) => type === MessageType.ECG_DATA)).toHaveLength(5);
    const marks = new Map(messages.map(({ type, signature }) => [type, signature]));
    expect(marks.get(MessageType.ANOMALY_ALERT)).toBe("valid");
    expect(marks.get(MessageType.PREDICTION_RESULT)).toBe("valid");
    expect(unattested).toEqual([]);
    expect([...errors, ...failures].filter(({ error }) => error.name !== "ConnectionLost")).toEqual([]);

    type Told = { kind: string; numbers: number[]; unseen: number; missing: number; last: boolean };
    type Seen = { messages: { type: number; signature: string | null }[]; told: Told[] };
    let seen: Seen = { messages: [], told: [] };
    await until(async () => {
      seen = (await peer.do("seen")) as Seen;
      return seen.told.some(({ last }) => last);
    });
    expect(seen.told.map(({ kind, unseen, missing }) => [kind, unseen, missing])).toEqual(
      seen.told.map(() => ["Attested", 0, 0]),
    );
    expect(seen.told.flatMap(({ numbers }) => numbers)).toEqual([1, 2, 3, 4, 8, 9, 10]);
    const signatures = seen.messages.filter(({ signature }) => signature).map(({ type }) => type);
    expect(signatures.sort()).toEqual([MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT].sort());
  });
});

test("a publisher that does not seal does not sign", async () => {
  const signer = await SigningKey.create(new Uint8Array(32));
  const service = impatient({ versions: [1, 2, 3, 4] });
  expect(() => publisher(service, STREAM, { signer })).toThrow("only streams that it seals");
});
