/** Services that watch sealed streams, with a server that follows a script over a real WebSocket. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  type EncodeOptions,
  Form,
  type Header,
  Key,
  MessageType,
  NdArray,
  Opener,
  type ProtocolError,
  ProtocolHandler,
  type Publisher,
  type PublishOptions,
  publisher,
  Sealer,
  Sealing,
  type ServiceOptions,
  StoredKeys,
  Template,
  unpack,
} from "../src/index.js";
import { withoutKeys } from "../src/service/answered-keys.js";
import type { Talk } from "./scripted.js";
import { bound, entry, KEY_ID, key, SECRET, sealed } from "./sealed-peer.js";
import { collected, gate, impatient, next, scripted, until } from "./services.js";
import { answer, control, EPOCH, OFFER, packed, STREAM, template, templateFrame } from "./v4-peer.js";

const told = template();
const WITH_ENCRYPTION = { capabilities: [...OFFER.capabilities, "encryption"] };
const IN_V4 = { ...WITH_ENCRYPTION, versions: [1, 2, 3, 4], preferred: 4 };

function sealing(options: ServiceOptions = {}): ReturnType<typeof impatient> {
  return impatient({ versions: [1, 2, 3, 4], sealing: new Sealing(), ...options });
}

async function grantSealed(talk: Talk, by: Sealer, more: Record<string, unknown> = {}) {
  const { data } = await talk.hear(MessageType.SUBSCRIBE);
  const templates = [await sealed(templateFrame(told, 1), by)];
  talk.sendBytes(answer({ next: 2, templates, keys: [entry()], ...more }));
  return data;
}

describe("keys of a server that do not go with those of the application", () => {
  class Failing extends StoredKeys {
    override find(): Key | null {
      throw new TypeError("no such key");
    }
  }

  test.each([
    ["an id in use", new StoredKeys([new Key(KEY_ID, "other", SECRET)]), /key id 9 .*"other"; remove the key 9/],
    ["a keyring that fails", new Failing(), /key id 9: find\(\) threw TypeError; it is to return null/],
  ])("end the subscription with an error that names the key: %s", async (_, keys, text) => {
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      await grantSealed(talk, new Sealer(key()));
      expect((await talk.hear(MessageType.UNSUBSCRIBE)).data).toEqual({ stream: STREAM });
      await talk.stay();
    });
    const service = sealing({ sealing: new Sealing({ keys }) });
    const errors = collected(service, "error");
    const subscription = service.subscribe(STREAM, () => expect.fail("a message arrived"));
    await service.connect(url);
    await expect(subscription.granted).rejects.toThrow(text);
    expect(subscription.status).toBe("denied");
    expect(errors.map(({ error }) => error.message)).toEqual([expect.stringMatching(text)]);
    expect(service.subscribe(STREAM, () => {}).status).toBe("asked");
  });
});

describe("a sealed stream of version 4", () => {
  test("arrives, and goes on over a new connection, whose repetitions are discarded", async () => {
    const by = new Sealer(key());
    const frames = await Promise.all([2, 3, 4].map((number) => sealed(bound(told, number), by)));
    const replayed = frames[0].slice();
    replayed[31] = 5; // another number for the same sealed payload
    let asked: unknown;
    const url = await scripted(
      async (talk) => {
        await talk.negotiate(IN_V4);
        expect(await grantSealed(talk, by)).toEqual({ stream: STREAM });
        for (const frame of frames.slice(0, 2)) talk.sendBytes(frame);
        await talk.hear(MessageType.ECG_DATA);
      },
      async (talk) => {
        await talk.negotiate(IN_V4);
        asked = await grantSealed(talk, by, { next: 4 });
        for (const frame of [frames[1], frames[2], replayed, await sealed(bound(told, 6), by)]) talk.sendBytes(frame);
        await talk.stay();
      },
    );
    const service = sealing();
    const seen: unknown[] = [];
    service.subscribe(STREAM, ({ data }) => seen.push(data.sequence), {
      onGap: ({ frames }) => seen.push(`lost ${frames}`),
    });
    await service.connect(url);
    await until(() => seen.length === 2);
    await service.sendMessage(MessageType.ECG_DATA, { signal: [1], samplingRate: 1 }); // the first script ends
    await until(() => seen.length === 5);
    expect(asked).toMatchObject({ epoch: EPOCH, after: 3 });
    expect(seen).toEqual([2, 3, 4, "lost 1", 6]);
    expect(service.statistics.sealed).toEqual({ opened: 4, plain: 0, unknownKey: 0, repeated: 1, tooManySenders: 0 });
  });

  test("asks for a key that it does not know, with its position", async () => {
    const by = new Sealer(key());
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      await grantSealed(talk, by);
      talk.sendBytes(await sealed(bound(told, 2), by));
      const later = new Sealer(new Key(10, STREAM, SECRET));
      talk.sendBytes(await sealed(packed(3), later));
      const { data } = await talk.hear(MessageType.SUBSCRIBE);
      expect(data).toMatchObject({ stream: STREAM, epoch: EPOCH, after: 2 });
      talk.sendBytes(answer({ next: 3, keys: [entry(), entry(10)] }));
      talk.sendBytes(await sealed(packed(3), later)); // from the ring, again
      talk.sendBytes(await sealed(packed(4), later));
      await talk.stay();
    });
    const service = sealing();
    const seen: number[] = [];
    service.subscribe(STREAM, ({ sequence = 0 }) => seen.push(sequence));
    await service.connect(url);
    await until(() => seen.length === 3);
    expect(seen).toEqual([2, 3, 4]);
  });

  test("is refused in plain; five of them end the connection, and the error says why", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      await grantSealed(talk, new Sealer(key()));
      for (let number = 2; number < 7; number++) talk.sendBytes(packed(number));
      expect((await talk.hear(MessageType.ERROR)).data).toMatchObject({ code: 0x202, details: { reason: "plain" } });
      expect(await talk.closed).toBe(4002);
    });
    const service = sealing({ reconnect: false });
    const errors = collected(service, "error");
    service.subscribe(STREAM, () => expect.fail("a plain message arrived"));
    await service.connect(url);
    await next(service, "state", ({ state }) => state === "closed");
    expect(errors.map(({ error }) => (error as ProtocolError).reason).slice(0, 5)).toEqual(Array(5).fill("plain"));
    expect(service.statistics.sealed.plain).toBe(5);
  });

  test("with keys of the application opens nothing else", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      const { data } = await talk.hear(MessageType.SUBSCRIBE);
      expect(data).toEqual({ stream: STREAM, keys: false });
      talk.sendBytes(answer({ keys: [entry(10)] }));
      talk.sendBytes(await sealed(packed(1), new Sealer(new Key(10, STREAM, SECRET))));
      await talk.hear(MessageType.SUBSCRIBE); // it asks for a key that its own are to have
      talk.sendBytes(await sealed(packed(2), new Sealer(key())));
      await talk.stay();
    });
    const service = sealing({ sealing: new Sealing({ keys: new StoredKeys([key()]) }) });
    const received = gate();
    service.subscribe(STREAM, ({ sequence }) => expect(sequence).toBe(2));
    service.on("message", received.open);
    await service.connect(url);
    await until(() => service.statistics.framesReceived > 2);
  });
});

test("a sealed stream of version 3 arrives", async () => {
  const v3 = new ProtocolHandler({ version: 3, compression: null });
  const frame = (n: number, options: EncodeOptions = {}) =>
    v3.encode(MessageType.FEATURE_DATA, { features: { n }, stream: STREAM }, options);
  const url = await scripted(async (talk) => {
    await talk.negotiate(WITH_ENCRYPTION);
    const by = new Sealer(key());
    await talk.grant({ keys: [entry()] });
    for (const n of [1, 2]) talk.sendBytes(await sealed(frame(n, { timestamp: BigInt(n) * 1000n }), by));
    await talk.stay();
  });
  const service = sealing({ versions: [1, 2, 3] });
  const seen: unknown[] = [];
  service.subscribe(STREAM, ({ data }) => seen.push(data.features), { sealed: true });
  await service.connect(url);
  await until(() => seen.length === 2);
  expect(seen).toEqual([{ n: 1 }, { n: 2 }]);
});

describe("a publisher of a stream of which the application has a key", () => {
  const keyring = new StoredKeys([key()]);

  /** Publishes to a server that has those capabilities. Returns what it got, opened. */
  async function published(
    capabilities: readonly string[],
    send: (bed: Publisher) => Promise<unknown>,
    options: Partial<PublishOptions> = {},
    keys = keyring,
    opens = keyring,
  ) {
    const frames: { header: Header; payload: Uint8Array }[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate({ ...IN_V4, capabilities });
      for (;;) {
        const { data, timestamp } = await talk.hear(MessageType.STREAM_TEMPLATE);
        expect(data).toMatchObject({ template: 0, stream: STREAM });
        frames.push(...talk.sealed.splice(0));
        talk.say(MessageType.PONG, { ack: timestamp, type: MessageType.STREAM_TEMPLATE, next: frames.length + 1 });
      }
    });
    const service = sealing({ sealing: new Sealing({ keys }) });
    await service.connect(url);
    const bed = publisher(service, STREAM, options);
    await send(bed);
    await bed.close();
    const opener = new Opener(opens);
    const opened = frames.map(async ({ header, payload }) => {
      const { type, flags, form = 0 } = header;
      const result = await opener.open(payload, { version: 4, type, flags, form, stream: STREAM });
      if (typeof result === "string") throw new Error(result);
      return { header, result, size: payload.length };
    });
    return Promise.all(opened);
  }

  const ecg = (samples: ArrayLike<number>) => ({
    signal: new NdArray(Int16Array.from(samples), [1, samples.length]),
    samplingRate: 500,
    timestamp: Date.now(),
  });

  test("sends records of constant size behind their sealed template, bound to it", async () => {
    const capabilities = [...IN_V4.capabilities];
    const frames = await published(capabilities, async (bed) => {
      void bed.send(MessageType.ECG_DATA, ecg([1, 1, 1, 1]));
      void bed.send(MessageType.ECG_DATA, ecg([1, 900, -900, 7]));
      await bed.send(MessageType.ANOMALY_ALERT, { kind: "asystole", timestamp: Date.now() });
    });
    expect(frames.map(({ header }) => [header.type, header.sequence, header.form])).toEqual([
      [MessageType.STREAM_TEMPLATE, 1, 0],
      [MessageType.ECG_DATA, 2, Form.RECORD],
      [MessageType.ECG_DATA, 3, Form.RECORD],
      [MessageType.ANOMALY_ALERT, 4, 0],
    ]);
    expect(frames[1].size).toBe(frames[2].size);
    const template = Template.unpack(frames[0].result.payload);
    const bytes = frames[2].result.payload;
    expect(bytes[3] & 2).toBe(2);
    expect([...template.decode(bytes).counts.data]).toEqual([1, 900, -900, 7]);
    expect(new Set(frames.map(({ result }) => result.counter)).size).toBe(4);
  });

  test("sends lists of numbers as arrays where the server takes no records", async () => {
    const capabilities = IN_V4.capabilities.filter((name) => name !== "templates" && name !== "delta");
    const frames = await published(capabilities, async (bed) => {
      await bed.send(MessageType.ECG_DATA, { signal: [1, 2, 3], samplingRate: 1, timestamp: 1 });
      await bed.send(MessageType.ECG_DATA, { signal: [1e9, 0.1, -3], samplingRate: 1, timestamp: 2 });
    });
    expect(frames[0].size).toBe(frames[1].size);
    const { signal } = unpack(frames[1].result.payload) as { signal: NdArray };
    expect([signal.dtype, [...signal.data]]).toEqual(["float64", [1e9, 0.1, -3]]);
  });

  test("makes templates anew with another key, which viewers to come have", async () => {
    const keys = new StoredKeys([key()]);
    const capabilities = [...IN_V4.capabilities];
    const later = new Key(10, STREAM, new Uint8Array(32).fill(3));
    const frames = await published(
      capabilities,
      async (bed) => {
        void bed.send(MessageType.ECG_DATA, ecg([1, 2]));
        await bed.send(MessageType.ECG_DATA, ecg([3, 4]));
        keys.replace([later]);
        await bed.send(MessageType.ECG_DATA, ecg([5, 6]));
      },
      {},
      keys,
      new StoredKeys([key(), later]),
    );
    const kinds = frames.map(({ header, result }) => [header.type, result.key.id]);
    expect(kinds).toEqual([
      [MessageType.STREAM_TEMPLATE, KEY_ID],
      [MessageType.ECG_DATA, KEY_ID],
      [MessageType.ECG_DATA, KEY_ID],
      [MessageType.STREAM_TEMPLATE, 10],
      [MessageType.ECG_DATA, 10],
    ]);
    const numbers = [0, 3].map((at) => Template.unpack(frames[at].result.payload).number);
    expect(numbers).toEqual([1, 2]);
  });

  test("compresses where sizes may vary", async () => {
    const samples = Array.from({ length: 400 }, (_, i) => i % 3);
    const send = (bed: Publisher) => bed.send(MessageType.ECG_DATA, ecg(samples));
    const [, constant] = await published(IN_V4.capabilities, send);
    const [, varying] = await published(IN_V4.capabilities, send, { compress: true });
    expect(constant.size).toBe(16 + 8 + 800 + 32);
    expect(varying.size).toBeLessThan(constant.size / 2);
  });

  test("ends at a server that does not take sealed streams", async () => {
    for (const [capabilities, why] of [
      [OFFER.capabilities, "has not agreed on encryption"],
      [["encryption"], "sizes would depend on the samples"],
    ] as const) {
      const url = await scripted(async (talk) => {
        await talk.negotiate({ ...IN_V4, capabilities });
        await talk.stay();
      });
      const service = sealing({ sealing: new Sealing({ keys: keyring }) });
      await service.connect(url);
      const bed = publisher(service, STREAM);
      await expect(bed.send(MessageType.ANOMALY_ALERT, { kind: "x", timestamp: 1 })).rejects.toThrow(why);
      await service.close();
    }
  });

  test("refuses messages without a timestamp, and all while no key is valid", () => {
    const ended = new StoredKeys([new Key(9, STREAM, SECRET, { ends: 1 })]);
    const data = { kind: "x", timestamp: 1 };
    const bed = publisher(sealing({ sealing: new Sealing({ keys: keyring }) }), STREAM);
    expect(() => bed.send(MessageType.ANOMALY_ALERT, { kind: "x" })).toThrow("timestamp");
    const late = publisher(sealing({ sealing: new Sealing({ keys: ended }) }), STREAM);
    expect(() => late.send(MessageType.ANOMALY_ALERT, data)).toThrow("none of the 1 keys");
  });
});

describe("a subscription that has to be sealed", () => {
  test.each(["keyring", "option"])("by the %s is denied where the server does not agree on encryption", async (way) => {
    const url = await scripted(async (talk) => {
      await talk.negotiate({ versions: [1, 2, 3, 4], preferred: 4, capabilities: OFFER.capabilities });
      await talk.stay();
    });
    const keyring = new StoredKeys(way === "keyring" ? [key()] : []);
    const service = sealing({ sealing: new Sealing({ keys: keyring }) });
    const subscription = service.subscribe(STREAM, () => {}, { sealed: way === "option" });
    await service.connect(url);
    await expect(subscription.granted).rejects.toMatchObject({ code: 0x202, reason: "plain" });
    expect(subscription.status).toBe("denied");
  });

  test("needs a service that opens", () => {
    const service = impatient();
    expect(() => service.subscribe(STREAM, () => {}, { sealed: true })).toThrow("sealing");
  });

  test("tells why the server has denied it", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      const { data } = await talk.hear(MessageType.SUBSCRIBE);
      const denied = { stream: data.stream, status: "denied", code: 0x202, reason: "keys need TLS" };
      talk.sendBytes(control(MessageType.SUBSCRIPTION_ACK, denied));
      await talk.stay();
    });
    const service = sealing();
    const subscription = service.subscribe(STREAM, () => {});
    await service.connect(url);
    await expect(subscription.granted).rejects.toThrow(`the server denied the stream "${STREAM}": keys need TLS`);
  });
});

describe("keys", () => {
  const answers = { "version 4": answer({ keys: [entry()] }), compressed: compressedAnswer() };

  test.each(Object.entries(answers))("of an answer are not in the bytes that an application sees: %s", (_, frame) => {
    const message = new Uint8Array([...packed(1), ...frame, ...packed(2)]);
    const shown = withoutKeys(message);
    const [before, acknowledged, after] = [...new ProtocolHandler().decodeAll(shown)] as unknown as { data: unknown }[];
    expect(acknowledged.data).toMatchObject({ stream: STREAM, keys: [{ id: KEY_ID, key: new Uint8Array(32) }] });
    expect([before, after].map(({ data }) => data)).toEqual([{ features: { n: 1 } }, { features: { n: 2 } }]);
    expect(contains(shown, SECRET)).toBe(false);
    expect(contains(message, SECRET)).toBe(frame === answers["version 4"]);
  });

  test("leave all other bytes as they are", () => {
    for (const frame of [packed(1), answer(), Uint8Array.of(9, 9), Uint8Array.of(4, 0x22)])
      expect(withoutKeys(frame)).toBe(frame);
  });

  test("are in no `frame` event", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate(IN_V4);
      await grantSealed(talk, new Sealer(key()));
      await talk.stay();
    });
    const service = sealing();
    const frames = collected(service, "frame");
    const subscription = service.subscribe(STREAM, () => {});
    await service.connect(url);
    await subscription.granted;
    expect(frames.some(({ bytes }) => contains(bytes, SECRET))).toBe(false);
  });
});

function compressedAnswer(): Uint8Array<ArrayBuffer> {
  const data = { stream: STREAM, status: "subscribed", keys: [entry()], padding: "x".repeat(4000) };
  return new ProtocolHandler({ version: 4, compression: { threshold: 0 } }).encode(MessageType.SUBSCRIPTION_ACK, data);
}

function contains(bytes: Uint8Array, part: Uint8Array): boolean {
  return Buffer.from(bytes).includes(Buffer.from(part));
}

test("encryption is not announced without the option, and cannot be without it", async () => {
  const url = await scripted(async (talk) => {
    const { data } = await talk.negotiate(IN_V4);
    expect(data.capabilities).not.toContain("encryption");
    await talk.stay();
  });
  await impatient({ versions: [1, 2, 3, 4] }).connect(url);
  expect(() => impatient({ capabilities: ["encryption"] })).toThrow("does not have the capability");
});

test("without WebCrypto, as on pages without TLS, the service does without sealing", async () => {
  vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
  const url = await scripted(async (talk) => {
    const { data } = await talk.negotiate(IN_V4);
    expect(data.capabilities).not.toContain("encryption");
    await talk.stay();
  });
  const service = sealing();
  await service.connect(url);
  expect(() => service.subscribe(STREAM, () => {}, { sealed: true })).toThrow("over https");
});
