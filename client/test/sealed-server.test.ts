/** Services that watch the sealed streams of the real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  Key,
  MessageType,
  NdArray,
  publisher,
  Sealing,
  type ServiceOptions,
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
