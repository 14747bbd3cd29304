/** The service and the real server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { ecgData, Flag, MessageType, NdArray, physicalValues, type StreamMessage, VERSIONS } from "../src/index.js";
import { ConnectionLost } from "../src/service/backoff.js";
import { Peer } from "./peer/peer.js";
import type { Rendered } from "./rendering.js";
import { collected, impatient, next, until } from "./services.js";

const STREAM = "ecg/bed-7";

let peer: Peer;
let url: string;

beforeAll(() => {
  peer = new Peer();
});
afterAll(() => peer.end());

async function serve(options: Record<string, unknown> = {}): Promise<string> {
  const { port } = await peer.do("serve", options);
  url = `ws://127.0.0.1:${port}/ws`;
  return url;
}

async function received(): Promise<{ type: number; timestamp: string; data: Record<string, Rendered> }[]> {
  return (await peer.do("state")).received as never;
}

function numberOf(message: StreamMessage): number {
  return Number(ecgData(message).signal.data[0]);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first }, (_, i) => first + i);
}

test("the specification's example runs as written", async () => {
  await serve();
  Object.assign(globalThis, { WebSocket }); // which a browser has
  const { WebSocketBinaryService, MessageType } = await import("../src/service/websocket-binary.service.js");

  // Create service
  const wsService = new WebSocketBinaryService();

  // Connect and send data
  await wsService.connect(url);
  wsService.sendMessage(MessageType.ECG_DATA, {
    signal: [0.1, 0.2, 0.3],
    timestamp: Date.now(),
    samplingRate: 250,
  });

  await until(async () => (await received()).length === 1);
  const [{ data }] = await received();
  expect(data).toMatchObject({ signal: [{ $float: "0.1" }, { $float: "0.2" }, { $float: "0.3" }], sampling_rate: 250 });
  const { $float: seconds } = data.timestamp as { $float: string };
  expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(10);
  await wsService.close();
});

describe("streams", () => {
  test("signals arrive as typed arrays, alerts ahead", async () => {
    const service = impatient();
    await service.connect(await serve());
    expect(service.negotiated).toMatchObject({ version: 4, negotiated: true });
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    const signal = { $ndarray: { dtype: "int16", shape: [2, 3], data: "010002000300fffffefffdff" } };
    const data = { signal, sampling_rate: 250, timestamp: { $float: "1.5" }, gain: [100, 200], units: "mV" };
    await peer.do("publish", { stream: STREAM, data });
    await peer.do("publish", { stream: STREAM, type: 2, data: { kind: "asystole", timestamp: 1 } });
    await until(() => messages.length === 2);
    const ecg = ecgData(messages[0]);
    expect(ecg.signal).toEqual(new NdArray(new Int16Array([1, 2, 3, -1, -2, -3]), [2, 3]));
    expect(ecg).toMatchObject({
      samplingRate: 250,
      timestampMs: 1500,
      gain: [100, 200],
      baseline: [0, 0],
      stream: STREAM,
    });
    expect([...physicalValues(ecg, 1)]).toEqual([...Float32Array.of(-1 / 200, -2 / 200, -3 / 200)]);
    expect(messages[1]).toMatchObject({ type: MessageType.ANOMALY_ALERT, data: { kind: "asystole" } });
    expect(messages[1].flags & Flag.PRIORITY).toBeTruthy();
  });

  test("may be asked for before there is a connection", async () => {
    const service = impatient();
    const messages: StreamMessage[] = [];
    const subscription = service.subscribe(STREAM, (message) => void messages.push(message));
    expect(subscription.status).toBe("asked");
    await service.connect(await serve());
    await subscription.granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 3 });
    await until(() => messages.length === 3);
    expect(() => service.subscribe(STREAM, () => {})).toThrow("unsubscribe first");
    expect(() => service.subscribe("", () => {})).toThrow(RangeError);
    await subscription.unsubscribe();
    await peer.do("publish_numbers", { stream: STREAM, first: 3, last: 6 });
    await service.ping();
    expect(messages.map(numberOf)).toEqual([0, 1, 2]);
    expect(subscription).toMatchObject({ status: "unsubscribed", received: 3, duplicates: 0 });
  });

  test("left and asked for again at once", async () => {
    const service = impatient();
    await service.connect(await serve());
    const messages: StreamMessage[] = [];
    for (let i = 0; i < 5; i++) {
      const subscription = service.subscribe(STREAM, () => expect.unreachable());
      void subscription.unsubscribe();
    }
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 3 });
    await until(() => messages.length === 3);
    expect(messages.map(numberOf)).toEqual([0, 1, 2]);
  });

  test("that are forbidden are denied", async () => {
    const service = impatient();
    const errors = collected(service, "error");
    await service.connect(await serve({ streams_denied: [STREAM] }));
    const subscription = service.subscribe(STREAM, () => {});
    await expect(subscription.granted).rejects.toMatchObject({ name: "ProtocolError", code: 0x203 });
    expect(subscription.status).toBe("denied");
    expect(errors).toMatchObject([{ error: { code: 0x203 } }]);
  });

  test.each([1, 2, 3] as const)("over version %i", async (version) => {
    const service = impatient({ versions: [version] });
    await service.connect(await serve());
    expect(service.negotiated).toMatchObject({ version, negotiated: true });
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 30, leads: 12, samples: 100 });
    await until(() => messages.length === 30);
    expect(messages.map(numberOf)).toEqual(range(0, 30));
    expect(new Set(messages.map((message) => message.version))).toEqual(new Set([version]));
    expect(messages.some((message) => message.flags & Flag.COMPRESSED)).toBe(version > 1);
  });

  test("without any capability", async () => {
    const service = impatient({ capabilities: [] });
    const { capabilities } = await service.connect(await serve());
    expect(capabilities.size).toBe(0);
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 5, leads: 12, samples: 100 });
    await until(() => messages.length === 5);
    expect(messages.map((message) => message.flags)).toEqual([0, 0, 0, 0, 0]);
    expect(messages.map(numberOf)).toEqual(range(0, 5));
  });
});

describe("over broken connections", () => {
  test("15 leads at 1,000 Hz come once and in order, through restarts and cuts", async () => {
    const service = impatient();
    await service.connect(await serve());
    const seen: number[] = [];
    const subscription = service.subscribe(STREAM, (message) => {
      const { signal } = ecgData(message);
      expect(signal.shape).toEqual([15, 50]);
      expect(signal.data.every((sample) => sample === signal.data[0])).toBe(true);
      seen.push(Number(signal.data[0]));
    });
    await subscription.granted;
    const gaps = collected(service, "loss");
    let count = 0;
    for (let round = 0; round < 12; round++) {
      // What is published while a connection breaks, what while there is none, and what while it is made anew.
      const publishing = [0, 1, 2].map(() => {
        const more = { stream: STREAM, first: count, last: count + 20, leads: 15, samples: 50 };
        count += 20;
        return more;
      });
      const first = peer.do("publish_numbers", publishing[0]);
      if (round % 3 === 0) {
        await peer.do("go_away");
        await peer.do("publish_numbers", publishing[1]);
        await peer.do("listen");
      } else {
        await peer.do("cut");
        await peer.do("publish_numbers", publishing[1]);
      }
      await first;
      await peer.do("publish_numbers", publishing[2]);
      if (round % 2) await until(() => service.state === "open");
    }
    await until(() => seen.length >= count);
    expect(seen).toEqual(range(0, count));
    expect(gaps).toEqual([]);
    expect(service.statistics.reconnections).toBeGreaterThan(5);
    expect(subscription.received).toBe(count);
  });

  test.each([3, 4])("what the server's memory has lost is a gap, at its place, over version %i", async (highest) => {
    const service = impatient({ versions: VERSIONS.slice(0, highest) });
    await service.connect(await serve({ limits: { ring_bytes: 3000 } }));
    const course: unknown[] = [];
    const onGap = () => void course.push("gap");
    await service.subscribe(STREAM, (message) => void course.push(numberOf(message)), { onGap }).granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 3 });
    await until(() => course.length === 3);
    const loss = next(service, "loss");
    await peer.do("go_away");
    await peer.do("publish_numbers", { stream: STREAM, first: 3, last: 100 });
    await peer.do("listen");
    await until(() => course.at(-1) === 99);
    expect(course.slice(0, 4)).toEqual([0, 1, 2, "gap"]);
    const rest = course.slice(4);
    expect(rest).toEqual(range(100 - rest.length, 100));
    expect(rest.length).toBeLessThan(97);
    const { from, to, frames } = await loss;
    expect(to).toBeGreaterThan(from);
    expect(frames).toBe(highest === 4 ? 97 - rest.length : null);
  });

  test.each([
    [3, 1], // the server sends it again
    [4, 0],
  ])("an alert that came already does not come again, over version %i", async (highest, duplicates) => {
    const service = impatient({ versions: VERSIONS.slice(0, highest) });
    await service.connect(await serve());
    const course: unknown[] = [];
    const subscription = service.subscribe(
      STREAM,
      ({ type, data }) => void course.push(type === 2 ? data.kind : "ecg"),
    );
    await subscription.granted;
    await peer.do("publish_numbers", { stream: STREAM, first: 0, last: 1 });
    await peer.do("publish", { stream: STREAM, type: 2, data: { kind: "asystole", timestamp: 1 } });
    await until(() => course.length === 2);
    await peer.do("cut");
    await next(service, "subscribed");
    await peer.do("publish_numbers", { stream: STREAM, first: 1, last: 2 });
    await until(() => course.length === 3);
    expect(course).toEqual(["ecg", "asystole", "ecg"]);
    expect(subscription.duplicates).toBe(duplicates);
  });

  test("a viewer names what it has already", async () => {
    const service = impatient();
    await service.connect(await serve());
    const { timestamp } = await peer.do("publish", { stream: STREAM, data: { signal: [1], sampling_rate: 1 } });
    await service.subscribe("another", () => {}).granted;
    const seen: number[] = [];
    const since = BigInt(timestamp as string) - 1n;
    await service.subscribe(STREAM, (message) => void seen.push(numberOf(message)), { since }).granted;
    await until(() => seen.length === 1);
  });

  test("the server goes, and the state says so until it is back", async () => {
    const service = impatient();
    const states = collected(service, "state");
    await service.connect(await serve());
    await peer.do("go_away");
    await until(() => service.state === "reconnecting");
    await peer.do("listen");
    await until(() => service.state === "open");
    await service.close();
    expect(states.map(({ state }) => state)).toEqual(["connecting", "open", "reconnecting", "open", "closed"]);
  });
});

describe("acknowledgements", () => {
  test("what asks for it is acknowledged once it is handed over, and only then", async () => {
    const service = impatient();
    await service.connect(await serve({ settings: { acknowledgement_timeout: 0.05, acknowledgement_attempts: 3 } }));
    const messages: StreamMessage[] = [];
    await service.subscribe(STREAM, (message) => void messages.push(message)).granted;
    const flags = Flag.ACK_REQUIRED;
    await peer.do("publish", { stream: STREAM, data: { signal: [1], sampling_rate: 1 }, flags });
    await until(() => messages.length === 1);
    // Nobody takes this one, since it belongs to no stream.
    const { timestamps } = await peer.do("send", { type: 1, data: { signal: [2], sampling_rate: 1 }, flags });
    await until(async () => ((await peer.do("state")).undelivered as string[]).length > 0);
    expect((await peer.do("state")).undelivered).toEqual(timestamps);
    expect(messages.length).toBe(1);
  });

  test("a callback that takes its time has the message when its promise is fulfilled", async () => {
    const service = impatient();
    await service.connect(await serve({ settings: { acknowledgement_timeout: 0.03, acknowledgement_attempts: 1000 } }));
    let take = () => {};
    let count = 0;
    await service.subscribe(STREAM, () => {
      count++;
      return new Promise<void>((resolve) => {
        take = resolve;
      });
    }).granted;
    await peer.do("publish", { stream: STREAM, data: { signal: [1], sampling_rate: 1 }, flags: Flag.ACK_REQUIRED });
    const frames = collected(service, "frame");
    await until(() => frames.filter(({ direction, bytes }) => direction === "in" && bytes[1] === 1).length > 2);
    expect(count).toBe(1);
    expect(frames.some(({ direction, bytes }) => direction === "out" && bytes[1] === MessageType.PONG)).toBe(false);
    take();
    await until(() => frames.some(({ direction, bytes }) => direction === "out" && bytes[1] === MessageType.PONG));
    expect((await peer.do("state")).undelivered).toEqual([]);
  });

  test("acknowledged means that the server's application has it", async () => {
    const service = impatient();
    await service.connect(await serve());
    await peer.do("hold_messages");
    let isDone = false;
    const sending = service.sendMessage(MessageType.ECG_DATA, { signal: [1], samplingRate: 1 }, { acknowledged: true });
    void sending.then(() => {
      isDone = true;
    });
    await service.ping();
    expect(isDone).toBe(false);
    await peer.do("take_messages");
    const timestamp = await sending;
    expect(await received()).toMatchObject([{ timestamp: String(timestamp) }]);
  });

  test("acknowledged messages arrive through restarts, with the same timestamps", async () => {
    const service = impatient({ acknowledgementAttempts: 1000 });
    await service.connect(await serve());
    const sending: Promise<bigint>[] = [];
    for (let i = 0; i < 60; i++) {
      sending.push(service.sendMessage(MessageType.ECG_DATA, { signal: [i], samplingRate: 1 }, { acknowledged: true }));
      if (i % 20 === 7) await peer.do("cut");
      if (i % 20 === 14) {
        await peer.do("go_away");
        await peer.do("listen");
      }
    }
    const timestamps = (await Promise.all(sending)).map(String);
    const came = await received();
    expect(new Set(came.map(({ timestamp }) => timestamp))).toEqual(new Set(timestamps));
  });
});

describe("sending", () => {
  test("what cannot be sent is refused at once, with its place", async () => {
    const service = impatient();
    expect(() => service.sendMessage(MessageType.PING, {})).toThrow(RangeError);
    const impossible = { signal: new NdArray(new Float64Array(2)), more: { list: [1, new Set()] } };
    expect(() => service.sendMessage(MessageType.ECG_DATA, impossible)).toThrow('data["more"]["list"][1]');
    await service.connect(await serve());
    expect(() => service.sendMessage(MessageType.ECG_DATA, impossible)).toThrow('data["more"]["list"][1]');
  });

  test("without a connection, messages wait for the next one", async () => {
    const service = impatient();
    await service.connect(await serve());
    await peer.do("go_away");
    await until(() => service.state === "reconnecting");
    const sending = range(0, 5).map((i) => service.sendMessage(MessageType.ECG_DATA, { signal: [i], samplingRate: 1 }));
    await peer.do("listen");
    await Promise.all(sending);
    await until(async () => (await received()).length === 5);
    expect((await received()).map(({ data }) => data.signal)).toEqual(range(0, 5).map((i) => [i]));
  });

  test("not more may wait than is allowed", async () => {
    const service = impatient({ outbox: { messages: 2 } });
    const errors = collected(service, "error");
    const data = { signal: [1], samplingRate: 1 };
    const sending = range(0, 3).map(() => service.sendMessage(MessageType.ECG_DATA, data));
    await expect(sending[2]).rejects.toThrow(RangeError);
    await service.close();
    await expect(sending[0]).rejects.toThrow(ConnectionLost);
    expect(errors.length).toBeGreaterThan(0);
  });

  test("the server's limit holds", async () => {
    const service = impatient();
    await service.connect(await serve({ settings: { max_payload: 1000 } }));
    const data = { signal: new Float64Array(200), samplingRate: 1 };
    expect(() => service.sendMessage(MessageType.ECG_DATA, data)).toThrow("limit");
    const acknowledged = service.sendMessage(MessageType.ECG_DATA, data, { acknowledged: true });
    await expect(acknowledged).rejects.toMatchObject({ code: 0x102 });
  });

  test("arrays travel in binary form where both can", async () => {
    const service = impatient();
    await service.connect(await serve());
    const frames = collected(service, "frame");
    await service.sendMessage(MessageType.ECG_DATA, { signal: new Float32Array([0.5, -2]), samplingRate: 2 });
    await until(async () => (await received()).length === 1);
    const [{ data }] = await received();
    expect(data.signal).toEqual({ $ndarray: { dtype: "float32", shape: [2], data: "0000003f000000c0" } });
    expect(frames[0].direction).toBe("out");
    const text = Buffer.from(frames[0].bytes).toString("latin1");
    expect(text.indexOf("\x00\x00\x00\x3f") % 8).toBe(0);
  });
});

describe("connecting", () => {
  test("to nobody fails", async () => {
    const service = impatient();
    await expect(service.connect("ws://127.0.0.1:9/ws")).rejects.toThrow(ConnectionLost);
    expect(service.state).toBe("closed");
    await expect(service.connect("not a url")).rejects.toThrow(ConnectionLost);
  });

  test("again, after it was closed", async () => {
    const service = impatient();
    await service.connect(await serve());
    await expect(service.connect(url)).rejects.toThrow("open");
    await service.close();
    await service.connect(url);
    expect(service.state).toBe("open");
  });

  test("measures the way to the server", async () => {
    const service = impatient();
    await service.connect(await serve());
    expect(await service.ping()).toBeLessThan(1);
    const { roundTrip, clockOffset } = service.statistics;
    expect(roundTrip).toBeGreaterThan(0);
    expect(Math.abs(clockOffset ?? 99)).toBeLessThan(0.5);
  });

  test("counts what passes", async () => {
    const service = impatient();
    const frames = collected(service, "frame");
    await service.connect(await serve());
    await service.ping();
    const { bytesReceived, bytesSent, framesReceived, framesSent, lastHeard } = service.statistics;
    const sizes = (way: string) =>
      frames.filter(({ direction }) => direction === way).reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect([bytesReceived, bytesSent]).toEqual([sizes("in"), sizes("out")]);
    expect(framesReceived).toBeGreaterThanOrEqual(2);
    expect(framesSent).toBeGreaterThanOrEqual(2);
    expect(Date.now() - (lastHeard ?? 0)).toBeLessThan(5000);
  });
});
