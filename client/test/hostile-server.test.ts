/** Delivery and closing despite failing callbacks and hostile or broken servers. */
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { SendClock } from "../src/codec/send-clock.js";
import { ConnectionLost, Flag, MessageType, ProtocolHandler, type StreamMessage } from "../src/index.js";
import { ClientSession } from "../src/session/client-session.js";
import { DEFAULT_SETTINGS } from "../src/session/settings.js";
import type { Talk } from "./scripted.js";
import { collected, gate, impatient, next, scripted, uncaughtDuring, until } from "./services.js";

const STREAM = "ecg/1";
const SECOND = 1_000_000n;

function joined(...frames: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(frames));
}

function ecgFrame(talk: Talk, timestamp: bigint, flags = 0): Uint8Array {
  const data = { signal: [1], sampling_rate: 250, stream: STREAM };
  return talk.frame(MessageType.ECG_DATA, data, { timestamp, flags });
}

describe("closing", () => {
  test("settles though the server reads nothing of what fills the WebSocket", { timeout: 20_000 }, async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      talk.pause();
      await talk.stay();
    });
    const service = impatient({ compression: null });
    await service.connect(url);
    const filler = new Uint8Array(60_000);
    // More than the kernels on both sides hold, so that a MiB stays in the WebSocket.
    for (let i = 0; i < 400; i++) service.sendMessage(MessageType.ECG_DATA, { filler }).catch(() => {});
    service.on("error", () => {});
    const began = performance.now();
    await service.close();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(service.state).toBe("closed");
  });

  test("settles though onGap throws at the end", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant({ from: 1 });
      const details = { stream: STREAM, from: 2, to: 3, dropped: 1 };
      talk.sendBytes(
        joined(
          ecgFrame(talk, 1n * SECOND),
          talk.frame(MessageType.ERROR, { code: 0x204, message: "x", details }, { timestamp: 4n * SECOND }),
        ),
      );
      await talk.stay();
    });
    const service = impatient();
    const messages: StreamMessage[] = [];
    const errors = await uncaughtDuring(async () => {
      await service.connect(url);
      service.subscribe(STREAM, (message) => messages.push(message), {
        onGap: () => {
          throw new Error("no gaps here");
        },
      });
      await until(() => messages.length === 1);
      await service.close();
    });
    expect(service.state).toBe("closed");
    expect(errors.every((text) => text === "no gaps here")).toBe(true);
  });

  test("settles though the WebSocket throws at everything", async () => {
    const { opened, open } = gate();
    class Broken extends WebSocket {
      override send(...given: unknown[]): void {
        if (broken) throw new Error("broken");
        (super.send as (...all: unknown[]) => void)(...given);
      }
      override close(): void {
        throw new Error("broken");
      }
    }
    let broken = false;
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      open();
      await talk.stay();
    });
    const service = impatient({ WebSocket: Broken as never, reconnect: false });
    await service.connect(url);
    await opened;
    broken = true;
    const lost = next(service, "error", ({ error }) => error instanceof ConnectionLost);
    service.sendMessage(MessageType.ECG_DATA, { signal: [1], sampling_rate: 1 }).catch(() => {});
    await lost;
    await service.close();
    expect(service.state).toBe("closed");
  });
});

describe("delivery", () => {
  test("goes on behind an onGap that throws", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant({ from: 5 });
      talk.sendBytes(joined(ecgFrame(talk, 6n * SECOND), ecgFrame(talk, 7n * SECOND)));
      await talk.stay();
    });
    const service = impatient();
    const messages: StreamMessage[] = [];
    const gaps = collected(service, "loss");
    const errors = await uncaughtDuring(async () => {
      await service.connect(url);
      service.subscribe(STREAM, (message) => messages.push(message), {
        since: 1n,
        onGap: (gap) => {
          throw new Error(`gap of ${gap.stream}`);
        },
      });
      await until(() => messages.length === 2);
    });
    expect(errors).toEqual([`gap of ${STREAM}`]);
    expect(gaps.length).toBe(1);
  });

  const notice = { stream: STREAM, from: 2, to: 3, dropped: 1 };
  test.each([
    { from: Number.NaN },
    { to: Number.NaN },
    { from: Number.POSITIVE_INFINITY },
    { from: -1 },
    { to: 1e300 },
    { dropped: -3 },
    { dropped: 1.5 },
    { dropped: 2n ** 64n - 1n },
    { dropped: "1" },
  ])("goes on behind a notice with a wrong number: %o", async (field) => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      const bad = { code: 0x204, message: "x", details: { ...notice, ...field } };
      talk.sendBytes(joined(talk.frame(MessageType.ERROR, bad), ecgFrame(talk, 9n * SECOND)));
      await talk.stay();
    });
    const service = impatient();
    const refused = next(service, "error", ({ frame }) => frame !== undefined);
    await service.connect(url);
    const came = new Promise((resolve) => service.subscribe(STREAM, resolve));
    await came;
    expect((await refused).error).toMatchObject({ code: 0x200, check: 12 });
    expect(service.statistics).toMatchObject({ refused: 1, droppedByServer: 0 });
  });

  test.each([
    [MessageType.PONG, { ack: Number.NaN }],
    [MessageType.PONG, { ping: -1 }],
    [MessageType.PONG, { sent: 1e300 }],
    [MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "subscribed", from: -1 }],
    [MessageType.SUBSCRIPTION_ACK, { stream: STREAM, status: "subscribed", from: 1e15 }],
    [MessageType.PROTOCOL_NEGOTIATION, { versions: [1], heartbeat_interval: 1e300 }],
    [MessageType.PROTOCOL_NEGOTIATION, { versions: [1], max_payload: 2n ** 64n - 1n }],
  ])("of a control message (type %i, %o) with a wrong number is refused, not thrown", (type, data) => {
    const session = new ClientSession(DEFAULT_SETTINGS, new SendClock());
    session.start(0);
    const codec = new ProtocolHandler({ version: 1 });
    const behind = codec.encode(MessageType.HEARTBEAT, null);
    const events = session.receive(joined(codec.encode(type as MessageType, data), behind), 1);
    expect(events[0]).toMatchObject({ kind: "refused", error: { code: 0x200, check: 12 } });
    expect(session.framesReceived).toBe(1); // the one behind
  });

  test("of a message with an integer key goes to its stream", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      talk.say(
        MessageType.FEATURE_DATA,
        new Map<string | number, unknown>([
          ["stream", STREAM],
          [7, "seven"],
        ]),
      );
      await talk.stay();
    });
    const service = impatient();
    await service.connect(url);
    const { data } = await new Promise<StreamMessage>((resolve) => service.subscribe(STREAM, resolve));
    expect(data).toEqual(
      new Map<string | number, unknown>([
        ["stream", STREAM],
        [7, "seven"],
      ]),
    );
  });

  test("of what waits behind 1,200 urgent messages loses nothing", async () => {
    const url = await scripted(async (talk) => {
      await talk.negotiate();
      await talk.grant();
      talk.sendBytes(ecgFrame(talk, 1n));
      const urgent = Array.from({ length: 1200 }, (_, i) => ecgFrame(talk, 5000n + BigInt(i), Flag.PRIORITY));
      talk.sendBytes(joined(...urgent));
      talk.sendBytes(joined(...Array.from({ length: 1300 }, (_, i) => ecgFrame(talk, 2n + BigInt(i)))));
      await talk.stay();
    });
    const service = impatient();
    const gaps = collected(service, "loss");
    const messages: StreamMessage[] = [];
    await service.connect(url);
    const subscription = service.subscribe(STREAM, (message) => messages.push(message));
    await until(() => messages.length >= 2501);
    expect([messages.length, subscription.duplicates, gaps.length]).toEqual([2501, 0, 0]);
  });

  test("goes on over the next connection though the function for a token fails once", async () => {
    let calls = 0;
    const url = await scripted(
      async (talk) => {
        await talk.negotiate();
        await talk.grant();
      },
      async (talk) => {
        await talk.negotiate();
        await talk.grant();
        talk.sendBytes(ecgFrame(talk, 9n * SECOND));
        await talk.stay();
      },
    );
    const service = impatient({
      protocols: () => {
        calls++;
        if (calls === 2) throw new Error("no token");
        return [];
      },
    });
    const errors = collected(service, "error");
    await service.connect(url);
    await new Promise((resolve) => service.subscribe(STREAM, resolve));
    expect(calls).toBe(3);
    expect(errors.map(({ error }) => error.message)).toEqual(["no connection: no URL or credentials: Error: no token"]);
  });
});

describe("queues", () => {
  test("of answers are bounded by bytes", () => {
    const session = new ClientSession({ ...DEFAULT_SETTINGS, maxPayload: 1 << 20 }, new SendClock());
    session.start(0);
    const codec = new ProtocolHandler({ version: 2 });
    const ping = codec.encode(MessageType.PING, { filler: crypto.getRandomValues(new Uint8Array(12_000)) });
    for (let i = 0; i < 4000 && !session.closing; i++) session.receive(ping, 1);
    expect(session.closing).toMatchObject({ code: 1013 });
    let bytes = 0;
    for (let message = session.nextMessage(1); message; message = session.nextMessage(1)) bytes += message.length;
    expect(bytes).toBeLessThan(6 << 20);
  });

  test("of what is not a data message have no room for a large payload", () => {
    const session = new ClientSession(DEFAULT_SETTINGS, new SendClock());
    session.start(0);
    const large = new ProtocolHandler({ version: 2 }).encode(MessageType.PING, "x".repeat(100_000)); // deflated: small
    expect(session.receive(large, 1)).toMatchObject([{ kind: "refused", error: { code: 0x102, check: 10 } }]);
    const data = { signal: "x".repeat(100_000) };
    const sound = new ProtocolHandler({ version: 2 }).encode(MessageType.ECG_DATA, data);
    expect(session.receive(sound, 1).at(-1)).toMatchObject({ kind: "received" });
  });
});
