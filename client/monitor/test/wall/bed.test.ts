import { describe, expect, it } from "vitest";
import { type Message, MessageType } from "../../../src/index.js";
import { Bed } from "../../src/wall/bed.js";
import { conditionOf, type Facts } from "../../src/wall/condition.js";

const live: Facts = {
  isOpen: true,
  wasCut: false,
  refusal: "",
  fault: "",
  since: 0.05,
  asked: 10,
  frame: 0.05,
  seen: { kind: "age", seconds: 0.1, error: 0.01, by: "source", sent: 0.05 },
};

describe("the condition of a bed", () => {
  it.each([
    ["live", {}, "live", "Live · 0.10 s"],
    ["late", { seen: { kind: "age", seconds: 5, error: 0, by: "source", sent: 5 } }, "delayed", "Delayed 5.0 s"],
    ["very late", { seen: { kind: "age", seconds: 24, error: 0, by: "source", sent: 24 } }, "old", "Delayed 24 s"],
    ["of another clock", { seen: { kind: "ahead", seconds: 9, by: "source", sent: 0 } }, "clock", "Clock error"],
    ["without times", { seen: { kind: "unknown", late: 0 } }, "unknown", "Age unknown"],
    ["silent", { since: 3 }, "silent", "No signal · last sample 3.0 s ago"],
    ["never heard", { since: null, seen: null }, "silent", "No signal"],
    ["not yet heard", { since: null, seen: null, asked: 0.5 }, "connecting", "Connecting"],
    ["cut off", { isOpen: false, wasCut: true, since: 7 }, "lost", "Connection lost · last sample 7.0 s ago"],
    ["denied", { refusal: "no permission" }, "denied", "Denied: no permission"],
    ["invalid", { fault: "no signal" }, "denied", "Refused: no signal"],
  ] as [string, Partial<Facts>, string, string][])("of a signal that is %s", (_, facts, state, words) => {
    expect(conditionOf({ ...live, ...facts })).toEqual({ state, words });
  });

  it("with long messages is not silent between two of them", () => {
    expect(conditionOf({ ...live, since: 3, frame: 2 }).state).toBe("live");
  });
});

function message(sequence: number, samples = 25): Message {
  const row = Array.from({ length: samples }, () => 0);
  const timestamp = 1000 + sequence * (samples / 500);
  const data = { signal: [row, row], sampling_rate: 500, leads: ["II", "V1"], sequence, timestamp };
  return { type: MessageType.ECG_DATA, timestamp: BigInt(Math.round(timestamp * 1e6)), flags: 0, data } as Message;
}

describe("a bed", () => {
  const at = (seconds: number) => ({ steady: seconds, unix: 1000 + seconds, server: { offset: 0, error: 0.001 } });
  const link = { isOpen: true, wasCut: false };

  it("counts its messages once each, and tells gaps for a while", () => {
    const bed = new Bed("ecg/1", 0);
    bed.take(message(0), at(0.1));
    bed.take(message(1), at(0.15));
    bed.take(message(1), at(0.16)); // the last one comes again after a reconnection
    let report = bed.report(at(0.2), link);
    expect([report.messages, report.samples, report.gaps, report.gap]).toEqual([2, 50, 0, ""]);
    expect(report.condition.state).toBe("live");
    bed.take(message(12), at(0.65));
    report = bed.report(at(0.7), link);
    expect([report.gaps, report.missing, report.gap]).toEqual([1, 250, "Gap of 0.5 s"]);
    expect(bed.report(at(11), link).gap).toBe("");
  });

  it("is denied until a message comes", () => {
    const bed = new Bed("ecg/1", 0);
    bed.refusal = "not yours";
    expect(bed.report(at(1), link).condition).toEqual({ state: "denied", words: "Denied: not yours" });
    bed.take(message(0), at(1.1));
    expect(bed.report(at(1.1), link).condition.state).not.toBe("denied");
  });
});
