import { describe, expect, it } from "vitest";
import { Flag, Form, MessageType, ProtocolHandler } from "../../src/index.js";
import { FrameLog } from "../src/frame-log.js";

const HANDLER = new ProtocolHandler();

describe("the log of frames", () => {
  it("reads the header of each, the newest first, and what short ones say", () => {
    const log = new FrameLog();
    const frame = HANDLER.encode(MessageType.SUBSCRIBE, { stream: "ecg/1" }, { timestamp: 7n });
    const alert = HANDLER.encode(MessageType.ANOMALY_ALERT, { kind: "asystole" }, { flags: Flag.PRIORITY });
    log.add("out", frame, 1.5);
    log.add("in", alert, 2.5);
    const [newest, oldest] = log.latest(10);
    expect(newest).toMatchObject({
      number: 2,
      direction: "in",
      type: "ANOMALY_ALERT",
      flags: "PRIORITY",
      isError: false,
    });
    expect(oldest).toMatchObject({ type: "SUBSCRIBE", version: "V3", flags: "–", length: "14", timestamp: "7" });
    expect(oldest.note).toBe('{"stream":"ecg/1"}');
    expect(oldest.checksum).toMatch(/^0x[0-9a-f]{8}$/);
    expect(log.latest(1)).toHaveLength(1);
  });

  it("marks what was wrong, and errors that are told", () => {
    const log = new FrameLog();
    log.add("in", HANDLER.encode(MessageType.HEARTBEAT, null), 1);
    log.add("out", HANDLER.encode(MessageType.PING, null), 1);
    log.blame("the sum is wrong");
    log.add("in", HANDLER.encode(MessageType.ERROR, { code: 0x203, message: "no" }), 2);
    log.add("in", Uint8Array.of(9, 9, 9), 3);
    const frames = log.latest(4);
    expect(frames.map(({ isError }) => isError)).toEqual([true, true, false, true]);
    expect(frames[0].type).toBe("09 09 09");
    expect(frames[3].note).toBe("the sum is wrong");
  });

  it("says what it does not know of, and shows no samples", () => {
    const log = new FrameLog();
    const frame = HANDLER.encode(MessageType.ECG_DATA, { signal: [1, 2], sampling_rate: 250 });
    frame[2] = 0x60;
    log.add("in", frame, 1);
    const two = new Uint8Array(frame.length * 2);
    two.set(frame);
    two.set(frame, frame.length);
    log.add("in", two, 1);
    expect(log.latest(2).map(({ flags, note }) => [flags, note])).toEqual([
      ["0x60", "batch"],
      ["0x60", ""],
    ]);
  });

  it("reads frames of version 4: records without their template, and answers with templates", () => {
    const log = new FrameLog();
    const options = { version: 4, form: Form.RECORD, streamId: 7, sequence: 58 } as const;
    const answer = { stream: "ecg/1", status: "subscribed", id: 7, templates: [new Uint8Array(188)] };
    log.add("in", HANDLER.encode(MessageType.SUBSCRIPTION_ACK, answer, { version: 4 }), 1);
    log.add("in", HANDLER.encode(MessageType.ECG_DATA, new Uint8Array(16), options), 2);
    expect(log.latest(2)).toMatchObject([
      { type: "ECG_DATA", version: "V4", note: "", isError: false },
      { note: '{"stream":"ecg/1","status":"subscribed","id":7,"templates":["188 bytes"]}', isError: false },
    ]);
  });

  it("stays as large as it is, whatever comes, and keeps nothing of a large message alive", () => {
    const log = new FrameLog();
    const large = new Uint8Array(1_000_000);
    large.set(HANDLER.encode(MessageType.ECG_DATA, new Uint8Array(1000)));
    for (let count = 0; count < 1000; count += 1) log.add("in", large, count);
    expect(log.count).toBe(1000);
    expect(log.latest(1000)).toHaveLength(200);
    expect(log.latest(1)[0]).toMatchObject({ number: 1000, type: "ECG_DATA" });
  });
});
