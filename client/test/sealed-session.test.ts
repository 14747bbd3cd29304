/** Sessions that open sealed payloads: order, keys, what is refused and what is discarded. */
import { describe, expect, test } from "vitest";
import { type Message, MessageType, ProtocolHandler, Sealer, StoredKeys } from "../src/index.js";
import { Flag } from "../src/protocol.js";
import { bound, entry, KEY_ID, key, OpeningClient, SECRET, sealed, summed } from "./sealed-peer.js";
import {
  alert,
  answer,
  Client,
  control,
  ID,
  packed,
  record,
  STREAM,
  summary,
  template,
  templateFrame,
} from "./v4-peer.js";

const told = template();
const OTHER = Uint8Array.from(SECRET, (byte) => byte ^ 1);
const v3 = new ProtocolHandler({ version: 3, compression: null });

/** A client that has the key, by the answer, and the template. */
async function watching(by: Sealer, more: Record<string, unknown> = {}): Promise<OpeningClient> {
  const client = new OpeningClient();
  const templates = [await sealed(templateFrame(told, 1), by)];
  await client.took(answer({ next: 2, templates, keys: [entry()], ...more }));
  client.sent();
  return client;
}

test("without sealing, a session refuses sealed frames and ignores keys", async () => {
  const client = Client.agreed();
  expect(summary(client.receive(answer({ keys: [entry()] })))).toEqual(["answered"]);
  expect(summary(client.receive(await sealed(packed(1), new Sealer(key()))))).toEqual(["refused 0x202 check 8"]);
});

test("encryption is announced where the session has it", () => {
  const client = new OpeningClient();
  expect(client.session.capabilities.has("encryption")).toBe(true);
});

describe("frames", () => {
  test("are opened with a key of the answer, and records by a sealed template", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const events = await client.took(await sealed(bound(told, 2), by), await sealed(packed(3), by));
    expect(summary(events)).toEqual(["received 2", "received 3"]);
    const { message } = events[0] as { message: Message<Record<string, unknown>> };
    expect(message.data).toMatchObject({ stream: STREAM, sequence: 2, sampling_rate: 500 });
    expect(client.session.sealed).toMatchObject({ opened: 2, plain: 0, repeated: 0, unknownKey: 0 });
  });

  test("are taken in the order of arrival, whatever is opened first", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const plain = packed(1, ID + 1);
    client.receive(answer({ id: ID + 1, epoch: 5 }, "ecg/2"));
    const frames = [await sealed(packed(2), by), plain, await sealed(packed(3), by)];
    expect(summary(client.receive(...frames))).toEqual([]);
    const [first, second] = client.waiting;
    expect(summary(await client.open(second))).toEqual([]);
    expect(summary(await client.open(first))).toEqual(["received 2", "received 1", "received 3"]);
  });

  test("that are urgent overtake, and control messages do not wait, but a PING does", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const urgent = await sealed(alert(3), by);
    const events = client.receive(
      await sealed(packed(2), by),
      urgent,
      control(MessageType.PING, { n: 1 }),
      control(MessageType.ERROR, { code: 0x204, message: "" }),
    );
    expect(summary(events)).toEqual(["error"]);
    expect(client.sent()).toEqual([]);
    expect(summary(await client.open(client.waiting[0]))).toEqual(["received 3"]);
    expect(client.sent()).toEqual([]);
    expect(summary(await client.openAll())).toEqual(["received 2"]);
    expect(client.sent().map(({ type }) => type)).toEqual([MessageType.PONG]);
  });

  test("behind a sealed template in the answer wait for it", async () => {
    const by = new Sealer(key());
    const client = new OpeningClient();
    const templates = [await sealed(templateFrame(told, 1), by)];
    client.receive(answer({ next: 2, templates, keys: [entry()] }), await sealed(bound(told, 2), by));
    const [first, second] = client.waiting;
    expect(summary(await client.open(second))).toEqual([]);
    expect(summary(await client.open(first))).toEqual(["received 2"]);
  });

  test("of version 3 are opened, and their stream is that of the key", async () => {
    const client = new OpeningClient();
    const by = new Sealer(key());
    client.receive(answer({ keys: [entry()] }));
    const frame = (data: unknown) => v3.encode(MessageType.FEATURE_DATA, data, { timestamp: 5n });
    const ours = await sealed(frame({ features: {}, stream: STREAM }), by);
    const others = await sealed(frame({ features: {}, stream: "ecg/2" }), by);
    const nobodys = await sealed(frame({ features: {} }), by);
    const events = await client.took(ours, others, nobodys);
    expect(summary(events)).toEqual(["received -", "refused 0x202 check 8", "refused 0x202 check 8"]);
    expect(reasons(events)).toEqual([null, "stream", "stream"]);
  });

  test("are opened 64 at a time", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const frames = await Promise.all(Array.from({ length: 80 }, (_, i) => sealed(packed(i + 2), by)));
    client.receive(...frames);
    expect(client.waiting).toHaveLength(64);
    const events = await client.openAll();
    expect(summary(events)).toEqual(frames.map((_, i) => `received ${i + 2}`));
  });

  test("that wait are bounded in bytes, and the connection closes beyond", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const large = v4(MessageType.FEATURE_DATA, { features: { x: new Uint8Array(9_000_000) } });
    const frame = await sealed(large, by);
    for (let i = 0; i < 4 && !client.session.closing; i++) client.receive(frame);
    expect(client.session.closing?.code).toBe(1013);
  });
});

function v4(type: MessageType, data: unknown): Uint8Array<ArrayBuffer> {
  return control(type, data, { streamId: ID, sequence: 2 });
}

function reasons(events: readonly { kind: string; error?: { reason: string | null } }[]): (string | null)[] {
  return events.map((event) => event.error?.reason ?? null);
}

describe("refused is", () => {
  test("what is plain on a sealed stream, with whatever header it comes", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const events = await client.took(
      packed(2),
      templateFrame(template(2), 3),
      control(MessageType.FEATURE_DATA, { features: {}, stream: STREAM }),
    );
    expect(summary(events)).toEqual(Array(3).fill("refused 0x202 check 8"));
    expect(reasons(events)).toEqual(Array(3).fill("plain"));
    expect(client.sent()[0].data).toMatchObject({ code: 0x202, details: { reason: "plain" } });
    expect(client.session.sealed.plain).toBe(3);
  });

  test("a plain template in the answer of a sealed stream", async () => {
    const client = new OpeningClient();
    const events = await client.took(answer({ templates: [templateFrame(told, 1)], keys: [entry()] }));
    expect(reasons(events)).toEqual([null, "plain"]);
  });

  test.each(["keyring", "subscription"])("what is plain on a stream that is sealed by the %s", async (way) => {
    const client = new OpeningClient(way === "keyring" ? { keys: new StoredKeys([key()]) } : {});
    client.seals.begin(STREAM, way === "subscription");
    const events = await client.took(answer({ next: 1 }), packed(1));
    expect(reasons(events)).toEqual([null, "plain"]);
  });

  test("a record that is not bound to its template", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const events = await client.took(await sealed(record(told, 2), by));
    expect(summary(events)).toEqual(["refused 0x200 check 11"]);
    expect(reasons(events)).toEqual(["template"]);
  });

  test("a payload whose tag does not verify, without a trace", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const frame = await sealed(packed(2), by);
    const changed = frame.slice();
    changed[changed.length - 1] ^= 1;
    const events = await client.took(summed(changed), frame);
    expect(summary(events)).toEqual(["refused 0x202 check 8", "received 2"]);
    expect(reasons(events)).toEqual(["tag", null]);
  });

  test("a frame with the key of another stream, and one that is too short", async () => {
    const client = await watching(new Sealer(key()));
    client.receive(answer({ id: ID + 1, epoch: 5, keys: [entry(8, OTHER)] }, "ecg/2"));
    const foreign = await sealed(packed(2), new Sealer(key(8, "ecg/2", OTHER)));
    const short = packed(3);
    short[2] |= Flag.ENCRYPTED;
    const events = await client.took(foreign, short);
    expect(summary(events)).toEqual(["refused 0x202 check 8", "refused 0x200 check 8"]);
  });

  test("an answer with another secret for a known id, and keys that are none", async () => {
    const client = await watching(new Sealer(key()));
    const events = client.receive(answer({ keys: [entry(KEY_ID, OTHER)] }));
    expect(summary(events)).toEqual(["keys-refused", "refused 0x202 check 12"]);
    expect(reasons(events)).toEqual(["key", "key"]);
    for (const keys of [[{ id: 1, key: SECRET.slice(1) }], [{ ...entry(), more: 1 }], Array(17).fill(entry()), 7]) {
      const refused = new OpeningClient().receive(answer({ keys }));
      expect(summary(refused)).toEqual(["refused 0x200 check 12"]);
      expect(refused[0].kind === "refused" && refused[0].error.message).not.toMatch(/1, ?2, ?3/);
    }
  });
});

describe("keys", () => {
  test("of the application have precedence, and the server is not asked for any", async () => {
    const client = new OpeningClient({ keys: new StoredKeys([key()]) });
    client.session.subscribe(STREAM, null);
    expect(client.sent()[0].data).toEqual({ stream: STREAM, keys: false });
    await client.took(answer({ keys: [entry(10, OTHER)] }));
    const injected = await sealed(packed(1), new Sealer(key(10, STREAM, OTHER)));
    expect(summary(await client.took(injected))).toEqual(["key-missing"]);
    expect(summary(await client.took(await sealed(packed(1), new Sealer(key()))))).toEqual([]);
  });

  test("are in no event", async () => {
    const client = new OpeningClient();
    const events = client.receive(answer({ keys: [entry()] }));
    expect(events).toHaveLength(1);
    expect(JSON.stringify(events, (_, value) => (typeof value === "bigint" ? `${value}` : value))).not.toContain("key");
  });

  test("of a rotation come without another event, and open what is sealed with them", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const rotation = { stream: STREAM, status: "subscribed", rotation: true, keys: [entry(10, OTHER)] };
    expect(client.receive(control(MessageType.SUBSCRIPTION_ACK, rotation))).toEqual([]);
    const next = new Sealer(key(10, STREAM, OTHER));
    expect(summary(await client.took(await sealed(packed(2), next)))).toEqual(["received 2"]);
  });

  test("that are not known are asked for once, and their frames are held in order", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const next = new Sealer(key(10, STREAM, OTHER));
    const frames = [await sealed(packed(2), next), await sealed(packed(3), by), await sealed(packed(4), next)];
    expect(summary(await client.took(...frames))).toEqual(["key-missing"]);
    expect(summary(await client.took(await sealed(alert(5), by)))).toEqual(["received 5"]);
    const rotation = { stream: STREAM, status: "subscribed", rotation: true, keys: [entry(10, OTHER)] };
    const events = await client.took(control(MessageType.SUBSCRIPTION_ACK, rotation));
    expect(summary(events)).toEqual(["received 2", "received 3", "received 4"]);
  });

  test("that do not come in ten seconds: their frames are discarded, and those after them are accepted", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const next = new Sealer(key(10, STREAM, OTHER));
    await client.took(await sealed(packed(2), next), await sealed(packed(3), by));
    expect(client.session.deadline()).toBeLessThanOrEqual(10);
    client.now = 10;
    expect(summary(client.tick())).toEqual(["received 3"]);
    expect(client.session.sealed.unknownKey).toBe(1);
  });

  test("that are not known hold 64 frames, and no more", async () => {
    const client = await watching(new Sealer(key()));
    const next = new Sealer(key(10, STREAM, OTHER));
    const frames = await Promise.all(Array.from({ length: 70 }, (_, i) => sealed(packed(i + 2), next)));
    await client.took(...frames);
    expect(client.session.sealed.unknownKey).toBe(6);
    const rotation = { stream: STREAM, status: "subscribed", rotation: true, keys: [entry(10, OTHER)] };
    expect(await client.took(control(MessageType.SUBSCRIPTION_ACK, rotation))).toHaveLength(64);
  });

  test("do not stop a stream when more frames follow than are held", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const unknown = await sealed(packed(2), new Sealer(key(10, STREAM, OTHER)));
    const frames = await Promise.all(Array.from({ length: 70 }, (_, i) => sealed(packed(i + 3), by)));
    const events = await client.took(unknown, ...frames);
    expect(summary(events)).toEqual(["key-missing", ...frames.map((_, i) => `received ${i + 3}`)]);
    expect(client.session.sealed.unknownKey).toBe(1);
  });
});

describe("a repetition", () => {
  test("is discarded, under its number and under another", async () => {
    const by = new Sealer(key());
    const client = await watching(by);
    const frame = await sealed(packed(2), by);
    const renumbered = frame.slice();
    renumbered[31] = 3; // the last byte of the sequence, which is not protected
    const events = await client.took(frame, renumbered);
    expect(summary(events)).toEqual(["received 2"]);
    expect(client.session.sealed.repeated).toBe(1);
  });

  test("of a template in another answer is none", async () => {
    const by = new Sealer(key());
    const client = new OpeningClient();
    const templates = [await sealed(templateFrame(told, 1), by)];
    const events = await client.took(answer({ keys: [entry()] }), ...templates, answer({ next: 2, templates }));
    expect(summary(events)).toEqual(["answered", "answered", "explained 1"]);
    expect(client.session.sealed.repeated).toBe(0);
  });

  test("in version 3 is acknowledged again once the application has the message", async () => {
    const client = new OpeningClient();
    client.receive(answer({ keys: [entry()] }));
    const data = { features: {}, stream: STREAM };
    const options = { timestamp: 5n, flags: Flag.ACK_REQUIRED };
    const frame = await sealed(v3.encode(MessageType.FEATURE_DATA, data, options), new Sealer(key()));
    const [event] = await client.took(frame);
    client.sent();
    expect(await client.took(frame)).toEqual([]);
    expect(client.sent()).toEqual([]);
    client.session.acknowledge((event as { message: Message }).message);
    client.sent();
    await client.took(frame);
    expect(client.sent().map(({ data }) => data)).toEqual([{ ack: 5, type: MessageType.FEATURE_DATA }]);
    expect(client.session.sealed.repeated).toBe(2);
  });
});

test("an old message is marked as stale", async () => {
  const by = new Sealer(key());
  const client = await watching(by);
  const feature = (sequence: number, timestamp: number) =>
    control(MessageType.FEATURE_DATA, { features: {}, timestamp }, { streamId: ID, sequence });
  const now = Date.now() / 1000;
  const events = await client.took(
    await sealed(feature(2, now - 100), by),
    await sealed(feature(3, now - 80), by),
    await sealed(packed(4), by),
  );
  expect(events.map((event) => (event as { message: Message }).message.stale)).toEqual([true, undefined, undefined]);
});

test("after unsubscribing, frames that wait are discarded", async () => {
  const by = new Sealer(key());
  const client = await watching(by);
  client.receive(await sealed(packed(2), by));
  client.session.unsubscribe(STREAM);
  client.receive(control(MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "unsubscribed" }));
  expect(await client.openAll()).toEqual([]);
});
