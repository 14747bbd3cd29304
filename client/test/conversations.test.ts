/** Scripted servers: old, hostile and silent ones, and drop notices in a certain order. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { deflateSync } from "node:zlib";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import {
  Capability,
  DateTime,
  Flag,
  MessageType,
  NdArray,
  type ProtocolError,
  ProtocolHandler,
  pack,
  type StreamMessage,
} from "../src/index.js";
import { fromHex, REFUSED } from "./rendering.js";
import type { Talk } from "./scripted.js";
import { collected, gate, impatient, next, scripted, uncaughtDuring, until } from "./services.js";

const SECOND = 1_000_000n;

function numberOf(message: StreamMessage): number {
  return (message.data.signal as number[])[0];
}

describe("agreeing", () => {
  test.each([
    [[1], [], 1],
    [[1, 2], ["compression", "ack", "ndarray-bin"], 2],
    [[1, 2, 3], ["ack", "priority", "unheard-of"], 3],
    [[3, 4], ["batch"], 4],
    [[3, 5], ["batch"], 3],
  ])("on the highest version of %j, and what both have of %j", async (versions, capabilities, version) => {
    const answers: unknown[] = [];
    const url = await scripted(async (talk) => {
      answers.push((await talk.negotiate({ versions, capabilities })).data);
      await talk.stay();
    });
    const service = impatient();
    const negotiated = await service.connect(url);
    expect(negotiated.version).toBe(version);
    const names: string[] = Object.values(Capability);
    const common = capabilities.filter((name) => names.includes(name)).sort();
    await until(() => answers.length === 1);
    const limit = version === 4 ? { max_payload: 16 * 1024 * 1024 } : {};
    expect(answers).toEqual([{ version, capabilities: common, ...limit }]);
    expect([...negotiated.capabilities].every((name) => common.includes(name))).toBe(true);
    expect(negotiated.capabilities.has("ack")).toBe(version >= 3 && common.includes("ack"));
  });

  test("on nothing is the end", async () => {
    const heard: unknown[] = [];
    const url = await scripted(async (talk) => {
      talk.say(MessageType.PROTOCOL_NEGOTIATION, { versions: [5] });
      heard.push((await talk.hear(MessageType.ERROR)).data.code, await talk.closed);
    });
    const service = impatient();
    await expect(service.connect(url)).rejects.toMatchObject({ name: "ConnectionLost", error: { code: 0x100 } });
    await until(() => heard.length === 2);
    expect(heard).toEqual([0x100, 4002]);
    expect(service.state).toBe("closed");
  });

  test("again is refused, and changes nothing", async () => {
    const service = impatient();
    const errors = collected(service, "error");
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      talk.say(MessageType.PROTOCOL_NEGOTIATION, { versions: [1] });
      expect((await talk.hear(MessageType.ERROR)).data.code).toBe(0x200);
      await talk.stay();
    });
    await service.connect(url);
    await until(() => errors.length === 1);
    expect(service.negotiated?.version).toBe(3);
  });

  test("a server that says nothing is taken for one of version 1", async () => {
    const url = await scripted(async (talk) => {
      const { data, version } = await talk.hear(MessageType.SUBSCRIBE);
      expect([data, version]).toEqual([{ stream: "ecg/1" }, 1]);
      talk.say(MessageType.ECG_DATA, { signal: [1], sampling_rate: 1 });
      await talk.stay();
    });
    const service = impatient({ negotiationTimeout: 20 });
    const numbers: number[] = [];
    service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
    expect(await service.connect(url)).toMatchObject({ version: 1, negotiated: false });
    await until(() => numbers.length === 1); // it does not name the stream, and it can be no other
  });

  test("a server that just talks is served in its version", async () => {
    const url = await scripted(async (talk) => {
      talk.version = 2;
      talk.ecg(1);
      const { version, flags, data } = await talk.hear(MessageType.ECG_DATA);
      expect([version, flags & ~Flag.COMPRESSED, data.signal]).toEqual([2, 0, Array(1100).fill(7)]);
      expect(flags).toBe(Flag.COMPRESSED);
      await talk.negotiate(); // an old server may do so later, once
      await talk.stay();
    });
    const service = impatient();
    const agreed = collected(service, "negotiated");
    expect(await service.connect(url)).toMatchObject({ version: 2, negotiated: false });
    void service.sendMessage(
      MessageType.ECG_DATA,
      { signal: Array(1100).fill(7), samplingRate: 1 },
      { priority: true },
    );
    await until(() => agreed.length === 2);
    expect(agreed[1]).toMatchObject({ version: 3, negotiated: true });
  });

  test("a server that lets nobody in says so, and is not asked again", async () => {
    const url = await scripted(async (talk) => {
      talk.say(MessageType.ERROR, { code: 0x202, message: "who are you?" });
      talk.close(1008);
      await talk.stay();
    });
    const service = impatient();
    const connecting = service.connect(url);
    await expect(connecting).rejects.toMatchObject({ code: 1008, error: { code: 0x202, message: "who are you?" } });
  });
});

describe("errors", () => {
  test("of checks 1 to 6 close, those of 7 to 11 cost the frame, each told with its code", async () => {
    const samples = REFUSED.filter(({ frame, max_payload }) => frame.length < 200 && !max_payload);
    const byCheck = new Map(samples.map((vector) => [vector.check, vector]));
    const limits = [4, 10].map((check) => REFUSED.find((vector) => vector.check === check && !vector.max_payload));
    const found = [...byCheck.values(), ...limits.filter((vector) => vector !== undefined)];
    // A server of an unknown version is not asked again, so that one comes last.
    const vectors = found.sort((a, b) => Number(a.check === 2) - Number(b.check === 2));
    const told: unknown[] = [];
    const url = await scripted(
      ...vectors.map(({ frame, check }) => async (talk: Talk) => {
        await talk.negotiate();
        talk.sendBytes(fromHex(frame));
        const { data } = await talk.hear(MessageType.ERROR);
        if (check > 6) {
          talk.say(MessageType.PING, "still there?");
          expect((await talk.hear(MessageType.PONG)).data).toBe("still there?");
        }
        told.push([check, data.code, check > 6 ? "goes on" : await talk.closed]);
      }),
    );
    const service = impatient();
    const errors = collected(service, "error");
    await service.connect(url);
    await until(() => told.length === vectors.length && service.state === "closed");
    const expected = vectors.map(({ check, code }) => {
      const fatal = Number(code) === 0x102 ? 4009 : 4002;
      return [check, Number(code), check > 6 ? "goes on" : fatal];
    });
    expect(told).toEqual(expected);
    const refused = errors.filter(({ frame }) => frame !== undefined);
    expect(refused.map(({ error }) => (error as ProtocolError).check)).toEqual(vectors.map(({ check }) => check));
    expect(errors.at(-1)?.error).toMatchObject({ name: "ConnectionLost", error: { code: 0x100 } });
    expect(service.statistics.refused).toBe(vectors.length);
  });

  test("five within ten seconds are too many", async () => {
    const closed: number[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        for (let i = 0; i < 5; i++) talk.sendText("hello");
        for (let i = 0; i < 5; i++) expect((await talk.hear(MessageType.ERROR)).data.code).toBe(0x200);
        closed.push(await talk.closed);
      },
      (talk) => talk.stay(),
    );
    await impatient().connect(url);
    await until(() => closed.length === 1);
    expect(closed).toEqual([4002]);
  });

  test("control messages are checked, and what only servers are asked is refused", async () => {
    const codes: unknown[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      talk.say(MessageType.SUBSCRIPTION_ACK, { stream: "ecg/1" });
      talk.say(MessageType.ERROR, { code: "no", message: "" });
      talk.say(MessageType.SUBSCRIBE, { stream: "ecg/1" });
      for (let i = 0; i < 3; i++) codes.push((await talk.hear(MessageType.ERROR)).data.code);
      await talk.stay();
    });
    await impatient().connect(url);
    await until(() => codes.length === 3);
    expect(codes).toEqual([0x201, 0x200, 0x203]);
  });

  test("a batch may have so many frames and so many bytes", async () => {
    const told = gate();
    const numbers: number[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        await talk.grant();
        const large = { signal: [1], sampling_rate: 1, stream: "ecg/1", more: new Uint8Array(3 << 20) };
        const deflated = new ProtocolHandler();
        const batch = [talk.frame(1, { ...large, signal: [0] }), deflated.encode(1, large), deflated.encode(1, large)];
        talk.sendBytes(Buffer.concat([...batch, talk.frame(1, { ...large, signal: [3], more: null })]));
        expect((await talk.hear(MessageType.ERROR)).data.code).toBe(0x102);
        talk.sendBytes(Buffer.concat(Array(4096).fill(talk.frame(MessageType.HEARTBEAT, null))));
        talk.sendBytes(Buffer.concat(Array(4097).fill(talk.frame(MessageType.HEARTBEAT, null))));
        expect((await talk.hear(MessageType.ERROR)).data.code).toBe(0x102);
        expect(await talk.closed).toBe(4009);
        told.open();
      },
      (talk) => talk.stay(),
    );
    const service = impatient();
    service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
    await service.connect(url);
    await told.opened;
    expect(numbers).toEqual([0, 1, 3]);
  });

  test("a bomb is stopped at the limit", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      const bomb = deflateSync(pack(new Uint8Array(1 << 20)), { level: 9 });
      const frame = new ProtocolHandler({ compression: null }).frame(MessageType.PING, bomb, {});
      frame[2] |= Flag.COMPRESSED;
      talk.sendBytes(frame);
      expect((await talk.hear(MessageType.ERROR)).data.code).toBe(0x102);
      await talk.stay();
    });
    const service = impatient({ maxPayload: 100_000 });
    await service.connect(url);
    expect(await next(service, "error")).toMatchObject({ error: { check: 10 } });
  });
});

describe("signs of life", () => {
  test("heartbeats go out, in the interval that the server announces", async () => {
    const heard = gate();
    const url = await scripted(async (talk) => {
      await talk.negotiate({ heartbeat_interval: 0.05 });
      const heartbeats = setInterval(() => talk.say(MessageType.HEARTBEAT, null), 40);
      for (let i = 0; i < 3; i++) await talk.hear(MessageType.HEARTBEAT);
      clearInterval(heartbeats);
      heard.open();
      await talk.stay();
    });
    await impatient().connect(url);
    await heard.opened;
  });

  test("a server that falls silent is asked, then taken for dead, and replaced", async () => {
    const silent = gate();
    const url = await scripted(
      async (talk) => {
        await talk.negotiate({ heartbeat_interval: 0.05 });
        silent.open();
        await talk.stay(); // without a PONG
      },
      async (talk) => {
        await talk.negotiate();
        await talk.stay();
      },
    );
    const service = impatient();
    await service.connect(url);
    await silent.opened;
    const pings = collected(service, "frame");
    await next(service, "state", ({ state }) => state === "reconnecting");
    expect(pings.some(({ direction, bytes }) => direction === "out" && bytes[1] === MessageType.PING)).toBe(true);
    await next(service, "state", ({ state }) => state === "open");
  });

  test("a PING is answered with its payload, unless that would be too much", async () => {
    const answers: unknown[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate({ capabilities: [] });
      talk.say(MessageType.PING, { ping: [1, { two: 2n ** 60n }] });
      answers.push((await talk.hear(MessageType.PONG)).data);
      const wide = new NdArray(new Uint8Array(0), [200_000, 0]);
      talk.sendBytes(new ProtocolHandler({ ndarray: "binary" }).encode(MessageType.PING, wide));
      answers.push((await talk.hear(MessageType.ERROR)).data.code);
      await talk.stay();
    });
    await impatient().connect(url);
    await until(() => answers.length === 2);
    expect(answers).toEqual([{ ping: [1, { two: 2n ** 60n }] }, 0x102]);
  });

  test("a VERSION_CHECK is answered", async () => {
    const answers: unknown[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      talk.say(MessageType.VERSION_CHECK, { version: 9, compatible: false, versions: [1] }); // an answer
      for (const version of [3, 5]) {
        talk.say(MessageType.VERSION_CHECK, { version });
        answers.push((await talk.hear(MessageType.VERSION_CHECK)).data);
      }
      await talk.stay();
    });
    await impatient().connect(url);
    await until(() => answers.length === 2);
    expect(answers).toEqual([
      { version: 3, compatible: true, versions: [1, 2, 3, 4] },
      { version: 5, compatible: false, versions: [1, 2, 3, 4] },
    ]);
  });

  test("a connection that does not open in time is none", async () => {
    const { createServer } = await import("node:net");
    const mute = createServer().listen(0, "127.0.0.1"); // it takes connections, and never speaks HTTP
    await new Promise((resolve) => mute.once("listening", resolve));
    const { port } = mute.address() as { port: number };
    const service = impatient({ connectTimeout: 30 });
    await expect(service.connect(`ws://127.0.0.1:${port}`)).rejects.toThrow("in time");
    mute.close();
  });
});

describe("where a stream goes on", () => {
  test("is behind the last message in line; what came ahead is not handed over twice", async () => {
    const asked: unknown[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        asked.push(await talk.grant());
        talk.ecg(1, { timestamp: 10n * SECOND });
        talk.say(
          MessageType.ANOMALY_ALERT,
          { kind: "x", timestamp: 1, signal: [9], stream: "ecg/1" },
          { timestamp: 30n * SECOND, flags: Flag.PRIORITY },
        );
        talk.ecg(2, { timestamp: 20n * SECOND });
        await until(() => numbers.length === 3);
      },
      async (talk) => {
        await talk.negotiate();
        asked.push(await talk.grant());
        talk.ecg(2, { timestamp: 20n * SECOND });
        talk.ecg(3, { timestamp: 25n * SECOND });
        talk.say(
          MessageType.ANOMALY_ALERT,
          { kind: "x", timestamp: 1, signal: [9], stream: "ecg/1" },
          { timestamp: 30n * SECOND, flags: Flag.PRIORITY },
        );
        talk.ecg(4, { timestamp: 35n * SECOND });
        await talk.stay();
      },
    );
    const service = impatient();
    const numbers: number[] = [];
    const subscription = service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
    await service.connect(url);
    await until(() => numbers.length === 5);
    expect(numbers).toEqual([1, 9, 2, 3, 4]);
    expect(asked).toEqual([{ stream: "ecg/1" }, { stream: "ecg/1", since: 20 }]);
    expect(subscription.duplicates).toBe(2);
  });

  test("a notice of dropped frames is told at its place", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      talk.ecg(1, { timestamp: 10n * SECOND });
      const details = { stream: "ecg/1", from: 11.5, to: 13, dropped: 2 };
      talk.say(MessageType.ERROR, { code: 0x204, message: "2 frames were dropped", details });
      talk.ecg(2, { timestamp: 12n * SECOND });
      talk.ecg(4, { timestamp: 14n * SECOND });
      await talk.stay();
    });
    const service = impatient();
    const course: unknown[] = [];
    service.subscribe("ecg/1", (message) => void course.push(numberOf(message)));
    service.on("loss", ({ from, to, frames }) => course.push([from, to, frames]));
    const errors = collected(service, "error");
    await service.connect(url);
    await until(() => course.length === 4);
    expect(course).toEqual([1, 2, [11_500_000n, 13_000_000n, 2], 4]);
    expect(service.statistics.droppedByServer).toBe(2);
    expect(errors).toEqual([]);
  });

  test("is where the server says that a new viewer begins, and nothing is lost there", async () => {
    const asked: unknown[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        asked.push(await talk.grant({ from: 1_700_000_000.000001 }));
        await until(() => subscription.status === "subscribed");
      },
      async (talk) => {
        await talk.negotiate();
        asked.push(await talk.grant());
        talk.ecg(1, { timestamp: 1_700_000_000n * SECOND + 1n });
        await talk.stay();
      },
    );
    const service = impatient();
    const numbers: number[] = [];
    const [granted, losses] = [collected(service, "subscribed"), collected(service, "loss")];
    const subscription = service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
    await service.connect(url);
    await until(() => numbers.length === 1);
    expect(asked).toEqual([{ stream: "ecg/1" }, { stream: "ecg/1", since: 1_700_000_000 }]);
    expect(granted.map(({ from }) => from)).toEqual([1_700_000_000n * SECOND + 1n, null]);
    expect(losses).toEqual([]);
  });

  test.each([
    ["that names a message", 1_700_000_000_000_007n, 1_700_000_000.000007],
    ["that is a moment", new DateTime("2023-11-14T22:13:20.000007Z"), "2023-11-14T22:13:20.000007+00:00"],
    ["that is a moment in milliseconds", new Date(1_700_000_000_250), "2023-11-14T22:13:20.250000+00:00"],
  ])("is asked for by a since %s", async (_, since, expected) => {
    const asked: unknown[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      const wanted = (await talk.grant()).since;
      asked.push(wanted instanceof DateTime ? wanted.text : wanted);
      await talk.stay();
    });
    const service = impatient();
    const subscription = service.subscribe("ecg/1", () => {}, { since });
    await service.connect(url);
    await subscription.granted;
    expect(asked).toEqual([expected]);
  });

  test("is where the server says, when it is back with its clock set back", async () => {
    const asked: unknown[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        await talk.grant({ from: 9000 });
        talk.ecg(1, { timestamp: 10_000n * SECOND });
        talk.ecg(2, { timestamp: 10_001n * SECOND });
        await until(() => course.length === 2);
      },
      async (talk) => {
        await talk.negotiate();
        asked.push((await talk.grant({ from: 6400 })).since);
        talk.ecg(3, { timestamp: 6400n * SECOND });
        talk.ecg(4, { timestamp: 6401n * SECOND });
        talk.ecg(4, { timestamp: 6401n * SECOND });
        await until(() => course.length === 5);
      },
      async (talk) => {
        await talk.negotiate();
        asked.push((await talk.grant()).since);
        talk.ecg(4, { timestamp: 6401n * SECOND });
        talk.ecg(5, { timestamp: 6402n * SECOND });
        await talk.stay();
      },
    );
    const service = impatient();
    const course: unknown[] = [];
    const losses = collected(service, "loss");
    const subscription = service.subscribe("ecg/1", (message) => void course.push(numberOf(message)), {
      onGap: ({ from, to, frames }) => void course.push([from / SECOND, to / SECOND, frames]),
    });
    await service.connect(url);
    await until(() => course.length === 6);
    expect(course).toEqual([1, 2, [10_001n, 6400n, null], 3, 4, 5]);
    expect(asked).toEqual([10_001, 6401]);
    expect(subscription).toMatchObject({ received: 5, duplicates: 2 });
    expect(losses).toMatchObject([{ from: 10_001n * SECOND, to: 6400n * SECOND }]);
  });

  test("goes back with the server's clock, also while the connection stands", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant({ from: 1 });
      for (const [number, at] of [10, 20, 5, 6].entries()) talk.ecg(number, { timestamp: BigInt(at) * SECOND });
      await talk.stay();
    });
    const service = impatient();
    const course: unknown[] = [];
    const subscription = service.subscribe("ecg/1", (message) => void course.push(numberOf(message)));
    service.on("loss", ({ from, to }) => course.push([from, to]));
    await service.connect(url);
    await until(() => course.length === 5);
    expect(course).toEqual([0, 1, [20n * SECOND, 5n * SECOND], 2, 3]);
    expect(subscription.duplicates).toBe(0);
  });

  test.each([1, 2] as const)(
    "over version %i it is known by the server's clock, whatever ours does",
    async (version) => {
      const asked: Record<string, unknown>[] = [];
      let clock = Date.now();
      const steady = performance.now();
      const url = await scripted(
        async (talk) => {
          await talk.negotiate({ versions: [version] });
          asked.push(await talk.grant({ from: 1_000_000 }));
          await until(() => service.negotiated !== null && subscription.status === "subscribed");
          clock += 3_600_000; // ours is set
          talk.ecg(1);
          await until(() => numbers.length === 1);
        },
        async (talk) => {
          await talk.negotiate({ versions: [version] });
          asked.push(await talk.grant());
          talk.ecg(2);
          await talk.stay();
        },
      );
      vi.spyOn(Date, "now").mockImplementation(() => clock);
      onTestFinished(() => void vi.restoreAllMocks());
      const service = impatient();
      const numbers: number[] = [];
      const subscription = service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
      await service.connect(url);
      await until(() => numbers.length === 2);
      expect(asked[0]).toEqual({ stream: "ecg/1" });
      const since = (asked[1].since as DateTime).getTime() / 1000 + 1;
      expect(since).toBeGreaterThanOrEqual(1_000_000);
      expect(since).toBeLessThan(1_000_000.001 + (performance.now() - steady) / 1000);
    },
  );

  test("over version 1, from a server that does not say where it is, it is known by our clock", async () => {
    const asked: Record<string, unknown>[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate({ versions: [1] });
        asked.push(await talk.grant());
        await until(() => subscription.status === "subscribed");
      },
      async (talk) => {
        await talk.negotiate({ versions: [1] });
        asked.push(await talk.grant());
        await talk.stay();
      },
    );
    const service = impatient();
    const subscription = service.subscribe("ecg/1", () => {});
    await service.connect(url);
    await until(() => asked.length === 2);
    const since = (asked[1].since as DateTime).getTime();
    expect(Math.abs(Date.now() - 1000 - since)).toBeLessThan(5000);
  });

  test("a server that has granted a stream and is in trouble is asked again", async () => {
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        await talk.grant();
      },
      async (talk) => {
        await talk.negotiate();
        await talk.grant({ status: "denied" });
        await talk.grant({ status: "denied" });
        await talk.grant();
        talk.ecg(1);
        await talk.stay();
      },
    );
    const service = impatient();
    const numbers: number[] = [];
    const subscription = service.subscribe("ecg/1", (message) => void numbers.push(numberOf(message)));
    await service.connect(url);
    await until(() => numbers.length === 1);
    expect(subscription.status).toBe("subscribed");
  });
});

describe("acknowledgements", () => {
  test("a message that nobody acknowledges is sent again, over the next connection too, and then given up", async () => {
    const heard: bigint[] = [];
    const take = async (talk: Talk) => {
      await talk.negotiate();
      for (let i = 0; i < 2; i++) heard.push((await talk.hear(MessageType.ECG_DATA)).timestamp ?? 0n);
    };
    const url = await scripted(take, async (talk) => {
      await take(talk);
      await talk.stay();
    });
    const service = impatient({ acknowledgementTimeout: 10, acknowledgementAttempts: 4 });
    await service.connect(url);
    const sending = service.sendMessage(MessageType.ECG_DATA, { signal: [1] }, { acknowledged: true });
    await expect(sending).rejects.toMatchObject({ name: "NotAcknowledged", attempts: 4 });
    expect(new Set(heard).size).toBe(1);
  });

  test("what is sent again over the next connection goes before what still waited", async () => {
    const count = 30; // megabytes, which no connection takes at once
    const numbers: unknown[] = [];
    const paused = gate();
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        talk.pause();
        await paused.opened;
      },
      async (talk) => {
        await talk.negotiate();
        for (let i = 0; i < count; i++) {
          const { data, timestamp } = await talk.hear(MessageType.ECG_DATA);
          numbers.push(data.number);
          talk.say(MessageType.PONG, { ack: Number(timestamp), type: 1 }); // as a float, where a packer writes one
        }
        await talk.stay();
      },
    );
    const service = impatient({ acknowledgementTimeout: 60_000, outbox: { bytes: 1 << 26 }, compression: null });
    await service.connect(url);
    const signal = new Uint8Array((1 << 20) - 1000);
    const sending = Array.from({ length: count }, (_, number) =>
      service.sendMessage(MessageType.ECG_DATA, { number, signal }, { acknowledged: true }),
    );
    paused.open();
    await Promise.all(sending);
    expect(numbers).toEqual(Array.from({ length: count }, (_, number) => number));
  });

  test.each([
    ["an alert", MessageType.ANOMALY_ALERT, {}],
    ["an alert to be acknowledged", MessageType.ANOMALY_ALERT, { acknowledged: true }],
    ["a message with priority", MessageType.FEATURE_DATA, { priority: true }],
  ])("%s overtakes what waits for a server that does not read", async (_, type, options) => {
    const paused = gate();
    const count = 60;
    let later = 0;
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      talk.pause();
      await paused.opened;
      talk.resume();
      const { timestamp } = await talk.hear(type);
      talk.say(MessageType.PONG, { ack: Number(timestamp), type });
      for (;;) {
        const { data } = await talk.hear(MessageType.ECG_DATA);
        later++;
        if (data.number === count - 1) break;
      }
      await talk.stay();
    });
    const service = impatient({ outbox: { bytes: 1 << 26 }, compression: null, acknowledgementTimeout: 60_000 });
    await service.connect(url);
    const signal = new Uint8Array(1 << 19);
    const sending = Array.from({ length: count }, (_, number) =>
      service.sendMessage(MessageType.ECG_DATA, { number, signal, samplingRate: 1 }),
    );
    const data = type === MessageType.ANOMALY_ALERT ? { kind: "x", timestamp: 1 } : { features: { x: 1 } };
    const alerting = service.sendMessage(type, data, options);
    paused.open();
    await Promise.all([...sending, alerting]);
    await until(() => later > 0);
    expect(later).toBeGreaterThan(count / 2); // before it came what the sockets had taken, no more
  });

  test("an alert leaves first over the next connection, and has room where there is none for data", async () => {
    const heard: unknown[] = [];
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
      },
      async (talk) => {
        await talk.negotiate();
        heard.push((await talk.hearAny([MessageType.ANOMALY_ALERT, MessageType.ECG_DATA])).type);
        await talk.stay();
      },
    );
    const service = impatient({ outbox: { messages: 3 } });
    const data = { signal: [1], samplingRate: 1 };
    const sending: Promise<unknown>[] = [];
    service.on("state", ({ state }) => {
      if (state !== "reconnecting" || sending.length > 0) return;
      for (let i = 0; i < 4; i++) sending.push(service.sendMessage(MessageType.ECG_DATA, data));
      sending.push(service.sendMessage(MessageType.ANOMALY_ALERT, { kind: "x", timestamp: 1 }));
    });
    await service.connect(url);
    await until(() => heard.length === 1);
    const outcomes = await Promise.allSettled(sending);
    expect(outcomes.map(({ status }) => status)).toEqual([...Array(3).fill("fulfilled"), "rejected", "fulfilled"]);
    expect(heard).toEqual([MessageType.ANOMALY_ALERT]);
  });

  test("a callback that fails has not got the message, and is reported", async () => {
    const frames: Uint8Array[] = [];
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      for (let i = 0; i < 2; i++) talk.ecg(i, { flags: Flag.ACK_REQUIRED });
      talk.say(MessageType.PING, "behind");
      await talk.stay();
    });
    const service = impatient();
    let count = 0;
    service.subscribe("ecg/1", () => {
      if (count++) throw new Error("at once");
      return Promise.reject(new Error("later"));
    });
    service.on("frame", ({ direction, bytes }) => {
      if (direction === "out" && bytes[1] === MessageType.PONG) frames.push(bytes);
    });
    const reported = await uncaughtDuring(async () => {
      await service.connect(url);
      await until(() => frames.length === 1);
    });
    expect(reported).toEqual(["at once", "later"]);
    expect(new ProtocolHandler().decode(frames[0]).data).toBe("behind");
  });

  test("what a callback returns that is no promise means nothing: it has the message", async () => {
    const frames: Uint8Array[] = [];
    const results = [1, "text", null, {}, [1], Symbol("s"), () => {}];
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      for (let i = 0; i < results.length; i++) talk.ecg(i, { flags: Flag.ACK_REQUIRED });
      await talk.stay();
    });
    const service = impatient();
    let count = 0;
    service.subscribe("ecg/1", () => results[count++]);
    service.on("frame", ({ direction, bytes }) => {
      if (direction === "out" && bytes[1] === MessageType.PONG) frames.push(bytes);
    });
    const reported = await uncaughtDuring(async () => {
      await service.connect(url);
      await until(() => frames.length === results.length);
    });
    expect(reported).toEqual([]);
    expect(count).toBe(results.length);
  });

  test("a server without them says so", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate({ capabilities: [] });
      await talk.stay();
    });
    const service = impatient();
    await service.connect(url);
    const sending = service.sendMessage(MessageType.ECG_DATA, { signal: [1] }, { acknowledged: true });
    await expect(sending).rejects.toThrow("no acknowledgements");
  });
});

describe("subprotocols", () => {
  test("are offered anew with each connection", async () => {
    const offers: string[][] = [];
    const server = new WebSocketServer({
      port: 0,
      host: "127.0.0.1",
      handleProtocols: (names) => {
        offers.push([...names]);
        return "ecgframe";
      },
    });
    onTestFinished(() => void server.close());
    server.on("connection", (socket) => socket.terminate());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    let token = 0;
    const service = impatient({ protocols: () => ["ecgframe", `bearer.${token++}`] });
    for (let i = 0; i < 2; i++) await expect(service.connect(`ws://127.0.0.1:${port}`)).rejects.toThrow("broke off");
    expect(offers).toEqual([
      ["ecgframe", "bearer.0"],
      ["ecgframe", "bearer.1"],
    ]);
  });

  test("that cannot be are told as an error", async () => {
    const service = impatient({ protocols: ["no token, this"] });
    await expect(service.connect("ws://127.0.0.1:9")).rejects.toThrow(/subprotocol/i);
  });
});

describe("connecting again", () => {
  const talker = async (talk: Talk) => {
    await talk.negotiate();
    await talk.stay();
  };
  const patient = { reconnect: { initialDelay: 600_000, maxDelay: 600_000 } };

  test("by hand, in place of a connection that stands", async () => {
    const service = impatient(patient);
    await service.connect(await scripted(talker, talker));
    service.reconnect();
    expect(service.state).toBe("reconnecting");
    await next(service, "negotiated");
    expect(service.statistics.reconnections).toBe(1);
  });

  test("by hand, or when the browser is online again, in place of waiting", async () => {
    const browser = new EventTarget();
    vi.stubGlobal("addEventListener", browser.addEventListener.bind(browser));
    vi.stubGlobal("removeEventListener", browser.removeEventListener.bind(browser));
    const closer = async (talk: Talk) => {
      await talk.negotiate();
      talk.close(1001);
      await talk.stay();
    };
    const service = impatient(patient);
    await service.connect(await scripted(closer, closer, talker));
    await until(() => service.state === "reconnecting");
    service.reconnect();
    await next(service, "negotiated");
    await until(() => service.state === "reconnecting");
    browser.dispatchEvent(new Event("online"));
    await next(service, "negotiated");
    await service.close();
    browser.dispatchEvent(new Event("online"));
    expect(service.state).toBe("closed");
    vi.unstubAllGlobals();
  });

  test("is given up by close", async () => {
    const service = impatient(patient);
    const subscription = service.subscribe("ecg/1", () => {});
    await service.connect(
      await scripted(async (talk) => {
        await talk.negotiate();
        talk.close(1001);
        await talk.stay();
      }),
    );
    await until(() => service.state === "reconnecting");
    const waiting = service.sendMessage(MessageType.ECG_DATA, { signal: [1] });
    await service.close();
    await expect(waiting).rejects.toMatchObject({ name: "ConnectionLost" });
    await expect(subscription.granted).rejects.toThrow();
    expect([service.state, subscription.status]).toEqual(["closed", "closed"]);
    await expect(service.ping()).rejects.toThrow("no connection");
  });

  test("is not done where it is not wanted", async () => {
    const service = impatient({ reconnect: false });
    await service.connect(
      await scripted(async (talk) => {
        await talk.negotiate();
      }),
    );
    expect(await next(service, "error")).toMatchObject({ error: { name: "ConnectionLost", code: null } });
    expect(service.state).toBe("closed");
  });

  test("in the middle of a batch, whose rest comes again", async () => {
    const batch = async (talk: Talk) => {
      await talk.negotiate();
      const { since } = await talk.grant();
      const numbers = [1, 2, 3].filter((number) => number > Number(since ?? 0));
      const data = { sampling_rate: 1, stream: "ecg/1" };
      const frames = numbers.map((number) =>
        talk.frame(MessageType.ECG_DATA, { ...data, signal: [number] }, { timestamp: BigInt(number) * SECOND }),
      );
      if (frames.length) talk.sendBytes(Buffer.concat(frames));
      await talk.stay();
    };
    const service = impatient();
    const numbers: number[] = [];
    service.subscribe("ecg/1", (message) => {
      numbers.push(numberOf(message));
      service.reconnect();
    });
    await service.connect(await scripted(batch, batch, batch, batch));
    await until(() => numbers.length === 3);
    expect(numbers).toEqual([1, 2, 3]);
  });

  test("is not begun where the service is closed while it connects", async () => {
    const service = impatient();
    const connecting = service.connect(await scripted(async (talk) => talk.stay()));
    void service.close();
    await expect(connecting).rejects.toThrow("closed");
    expect(service.state).toBe("closed");
  });

  test("a ping that is under way is told", async () => {
    const service = impatient(patient);
    const deaf = async (talk: Talk) => {
      await talk.negotiate();
      await talk.stay();
    };
    await service.connect(await scripted(deaf));
    const pong = service.ping();
    service.reconnect();
    await expect(pong).rejects.toThrow("connection ended before");
  });
});

test("frames that wait are batched, but for those that are deflated", async () => {
  const messages: Uint8Array[] = [];
  const ready = gate();
  const url = await scripted(
    async (talk) => talk.close(1001),
    async (talk) => {
      await ready.opened;
      await talk.negotiate();
      await talk.stay();
    },
  );
  const service = impatient({ reconnect: { initialDelay: 1 } });
  service.on("frame", ({ direction, bytes }) => {
    if (direction === "out" && dataIn(bytes)) messages.push(bytes);
  });
  await service.connect(url).catch(() => {});
  const connecting = service.connect(url);
  const sending = [[1], [2], Array(2000).fill(3), [4], [5]].map((signal) =>
    service.sendMessage(MessageType.ECG_DATA, { signal }),
  );
  ready.open();
  await connecting;
  await Promise.all(sending);
  await until(() => messages.length === 3);
  expect(messages.map(dataIn)).toEqual([2, 1, 2]);
});

function dataIn(bytes: Uint8Array): number {
  return [...new ProtocolHandler().decodeAll(bytes)].filter(({ type }) => type === MessageType.ECG_DATA).length;
}
