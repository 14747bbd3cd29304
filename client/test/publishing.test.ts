/** Publishers of this client and the real server: each message once, or in a loss that both ends count alike. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SendClock } from "../src/codec/send-clock.js";
import {
  Capability,
  ConnectionLost,
  ErrorCode,
  Flag,
  Form,
  type Lost,
  MessageType,
  NdArray,
  ProtocolHandler,
  publisher as publisherOf,
  type StreamMessage,
} from "../src/index.js";
import { DEFAULT_SETTINGS, supported } from "../src/session/settings.js";
import { StreamWriter } from "../src/session/stream-writer.js";
import { Peer } from "./peer/peer.js";
import { impatient, next, until } from "./services.js";

const STREAM = "ecg/bed-7";
const VERSIONS = [1, 2, 3, 4] as const;
const SETTINGS = { ...DEFAULT_SETTINGS, versions: VERSIONS, capabilities: new Set(supported(VERSIONS)) };

let peer: Peer;
let url: string;

beforeAll(async () => {
  peer = new Peer();
  const { port } = await peer.do("serve", { settings: { versions: VERSIONS } });
  url = `ws://127.0.0.1:${port}/ws`;
});
afterAll(() => peer.end());

function ecg(sequence: number, gain = 200) {
  const data = Int16Array.from({ length: 50 }, (_, i) => sequence + i);
  const signal = new NdArray(data, [2, 25], "int16");
  return {
    signal,
    samplingRate: 500,
    timestamp: 1_705_314_645_000 + 50 * sequence,
    leads: ["I", "II"],
    gain,
    sequence,
  };
}

function alert(sequence: number) {
  return { kind: "pause", timestamp: 1_705_314_645_000, sequence };
}

async function viewer(stream: string, versions: readonly (1 | 2 | 3 | 4)[]) {
  const service = impatient({ versions });
  const messages: StreamMessage[] = [];
  const gaps: (number | null)[] = [];
  await service.connect(url);
  const watching = service.subscribe(stream, (message) => messages.push(message), {
    onGap: ({ frames }) => gaps.push(frames),
  });
  await watching.granted;
  return { service, messages, gaps };
}

function sequences(messages: readonly StreamMessage[]): number[] {
  return messages.map(({ data }) => (data as { sequence: number }).sequence);
}

async function publishing(stream: string, options = {}) {
  const service = impatient({ versions: VERSIONS });
  await service.connect(url);
  return { service, publisher: publisherOf(service, stream, options) };
}

test("a message reaches viewers of every version in its own form", async () => {
  const [numbered, old] = [await viewer("ecg/1", VERSIONS), await viewer("ecg/1", [1, 2, 3])];
  const { publisher } = await publishing("ecg/1");
  for (let n = 0; n < 8; n++) await publisher.send(MessageType.ECG_DATA, ecg(n, 200 + Math.floor(n / 4)));
  await publisher.send(MessageType.ANOMALY_ALERT, alert(8), { acknowledged: true });
  await publisher.close();
  await until(() => numbered.messages.length === 9 && old.messages.length === 9);
  for (const { messages, gaps } of [numbered, old]) {
    expect(sequences(messages).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(gaps).toEqual([]);
  }
  const records = numbered.messages.filter(({ form }) => form === 4);
  expect(records.map(({ sequence }) => sequence)).toEqual([2, 3, 4, 5, 7, 8, 9, 10]); // 1 and 6 are templates
  expect(publisher.statistics).toMatchObject({ written: 11, confirmed: 11, lost: 0 });
  expect(publisher.status).toBe("over");
});

test("after cuts, the client sends what the server lacks", async () => {
  const seen = await viewer("ecg/2", VERSIONS);
  const { publisher } = await publishing("ecg/2");
  for (let n = 0; n < 60; n++) {
    const [type, data] = n % 9 === 5 ? [MessageType.ANOMALY_ALERT, alert(n)] : [MessageType.ECG_DATA, ecg(n)];
    await publisher.send(type as MessageType, data);
    if (n % 13 === 7) await peer.do("cut");
  }
  await publisher.flush();
  await until(() => seen.messages.length === 60);
  expect(sequences(seen.messages).sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, n) => n));
  expect([seen.gaps, publisher.statistics.lost]).toEqual([[], 0]);
});

test("what is no longer in memory is a loss that both ends count alike", async () => {
  const lost: Lost[] = [];
  const seen = await viewer("ecg/3", VERSIONS);
  const { service, publisher } = await publishing("ecg/3", {
    memory: { messages: 10 },
    onLost: (one: Lost) => lost.push(one),
  });
  await publisher.send(MessageType.ECG_DATA, ecg(0), { acknowledged: true });
  const isBack = next(service, "negotiated");
  service.reconnect();
  for (let n = 1; n <= 30; n++) await publisher.send(MessageType.ECG_DATA, ecg(n));
  await isBack;
  await publisher.flush();
  await until(() => seen.messages.length === 11);
  expect(sequences(seen.messages)).toEqual([0, ...Array.from({ length: 10 }, (_, i) => 21 + i)]);
  expect(seen.gaps).toEqual([20]);
  expect(lost.map(({ stream, messages }) => [stream, messages])).toEqual([["ecg/3", 20]]);
});

test("another publisher ends the first, which does not open the stream again", async () => {
  const { publisher: first } = await publishing(STREAM);
  await first.send(MessageType.ECG_DATA, ecg(0), { acknowledged: true });
  const { publisher: second } = await publishing(STREAM);
  await second.send(MessageType.ECG_DATA, ecg(1), { acknowledged: true });
  const denied = { code: ErrorCode.PERMISSION_DENIED };
  await expect(first.send(MessageType.ECG_DATA, ecg(2), { acknowledged: true })).rejects.toMatchObject(denied);
  await expect(first.flush()).rejects.toMatchObject(denied);
  await second.close();
  await expect(second.send(MessageType.ECG_DATA, ecg(3))).rejects.toThrow(ConnectionLost);
});

test("floats that are counts arrive bit for bit, as a record", async () => {
  const seen = await viewer("ecg/4", VERSIONS);
  const { publisher } = await publishing("ecg/4", { samples: "exact" });
  const floats = Float64Array.from([100, 104, -3, 7], (count) => (count * 4.88) / 1000);
  const signal = new NdArray(floats, [2, 2], "float64");
  await publisher.send(MessageType.ECG_DATA, { ...ecg(0), signal });
  await until(() => seen.messages.length === 1);
  const [message] = seen.messages;
  expect([...(message.data as { signal: NdArray }).signal.data]).toEqual([...floats]);
  expect(message.form).toBe(4);
});

test("what belongs to no stream, or to another, is refused at once", async () => {
  const { service, publisher } = await publishing("ecg/5");
  expect(() => publisher.send(MessageType.PING, {})).toThrow(RangeError);
  expect(() => publisher.send(MessageType.ECG_DATA, { ...ecg(0), stream: "ecg/6" })).toThrow(RangeError);
  expect(() => publisherOf(service, "ecg/5")).toThrow("already");
  expect(() => publisherOf(service, "")).toThrow(RangeError);
});

describe("a writer", () => {
  const steps = fc.array(fc.constantFrom("write", "alert", "fields", "pass", "lose"), { maxLength: 60 });
  test("counts as lost what no connection has carried and memory does not hold", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 8 }), (taken, messages) => {
        const memory = { messages, bytes: 1e9 };
        const writer = new StreamWriter(STREAM, 1, SETTINGS, new SendClock(), memory, 4738);
        const had = new Set<number>();
        let line = 0;
        let lost = 0;
        let gain = 1;
        const giveUpBefore = (first: number) => {
          for (let n = line + 1; n < first; n++) if (!had.has(n)) lost++;
          line = Math.max(line, first - 1);
          while (had.has(line + 1)) line++;
        };
        const pass = (arrives: boolean) => {
          for (let frames = writer.take(); frames.length; frames = writer.take()) {
            for (const { frame, type } of frames) {
              const number = Number(new DataView(frame.buffer, frame.byteOffset).getBigUint64(24));
              if (!arrives || number <= line || had.has(number)) continue;
              had.add(number);
              if (type !== MessageType.ANOMALY_ALERT) giveUpBefore(number);
              while (had.has(line + 1)) line++;
            }
          }
          const { data } = new ProtocolHandler().decode(writer.opening().frame);
          if (arrives) giveUpBefore((data as { first?: number }).first ?? 1);
        };
        writer.opened(1, 0);
        for (const step of [...taken, "lose", "pass", "lose"]) {
          if (step === "fields") gain++;
          if (step === "alert") writer.write(MessageType.ANOMALY_ALERT, { kind: "pause" }, 0, 0);
          else if (step === "pass") pass(true);
          else if (step === "lose") {
            pass(false);
            writer.disconnected();
            writer.opened(line + 1, lost);
          } else writer.write(MessageType.ECG_DATA, { ...ecg(0, gain), timestamp: 1.5 }, 0, 0);
        }
        expect(line).toBe(writer.next - 1);
        expect([writer.lost, lost]).toEqual([writer.next - 1 - had.size, lost]);
        expect(writer.kept).toBeLessThanOrEqual(messages);
      }),
    );
  });

  test("sends MessagePack to a server without templates", () => {
    const writer = new StreamWriter(STREAM, 1, SETTINGS, new SendClock(), { messages: 9, bytes: 1e9 });
    writer.speak(SETTINGS, new Set([Capability.PRIORITY]), 1e6);
    writer.opened(1, 0);
    writer.write(MessageType.ECG_DATA, { ...ecg(0), timestamp: 1.5 }, 0, 0);
    expect(writer.take().map(({ frame }) => frame[19])).toEqual([0]);
  });
});

test("messages of a stream in bulk have the bit, urgent ones and the opening have not", () => {
  const memory = { messages: 99, bytes: 1e9 };
  const writer = new StreamWriter(STREAM, 1, SETTINGS, new SendClock(), memory, 4738, true);
  const formOf = ({ frame }: { frame: Uint8Array }) => frame[19] & Form.BULK;
  expect(formOf(writer.opening())).toBe(0);
  writer.opened(1, 0);
  writer.write(MessageType.FEATURE_DATA, { features: {} }, 0, 0);
  writer.write(MessageType.ANOMALY_ALERT, { kind: "pause", timestamp: 1 }, Flag.PRIORITY, 0);
  writer.write(MessageType.PREDICTION_RESULT, { label: "n" }, Flag.PRIORITY, 0);
  const frames = [writer.take(), writer.take(), writer.take()].flat();
  const forms = new Map(frames.map((outgoing) => [outgoing.type, formOf(outgoing)]));
  expect(forms.get(MessageType.FEATURE_DATA)).toBe(Form.BULK);
  expect(forms.get(MessageType.ANOMALY_ALERT)).toBe(0);
  expect(forms.get(MessageType.PREDICTION_RESULT)).toBe(0);
});
