import { describe, expect, it } from "vitest";
import { type Message, MessageType, NdArray, ProtocolError } from "../../src/index.js";
import { ASSUMED_GAIN, ecgFrame, secondsOf } from "../src/feed.js";
import { jsonLength } from "../src/json-cost.js";
import { NOTHING_TOLD } from "../src/signal.js";

function message(data: unknown): Message {
  return { type: MessageType.ECG_DATA, version: 3, flags: 0, timestamp: 1n, data, frameBytes: 100, payloadBytes: 80 };
}

const COUNTS = new NdArray(Int16Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
const LEADS = { leads: ["I", "II"], gain: [200, 100], baseline: [0, 7] };

describe("a frame of ECG", () => {
  it("has what the message says, without a copy of the samples", () => {
    const data = { signal: COUNTS, sampling_rate: 250, ...LEADS, units: "mV", sequence: 3, timestamp: 12.5 };
    const frame = ecgFrame(message(data));
    expect(frame).toEqual({
      signal: COUNTS.data,
      samples: 3,
      samplingRate: 250,
      ...LEADS,
      sequence: 3,
      timestamp: 12.5,
      told: NOTHING_TOLD,
      isGuessed: false,
    });
    expect(frame.signal).toBe(COUNTS.data);
  });

  it("takes the count that stands for a missing sample for none", () => {
    const frame = ecgFrame(message({ signal: COUNTS, sampling_rate: 250, ...LEADS, missing: 4 }));
    expect(Array.from(frame.signal)).toEqual([1, 2, 3, Number.NaN, 5, 6]);
  });

  it("numbers leads that have no names, and takes values for millivolts where nothing else is said", () => {
    const frame = ecgFrame(
      message({
        signal: [
          [1, 2],
          [3, 4],
        ],
        sampling_rate: 250,
      }),
    );
    expect(frame).toMatchObject({ samples: 2, leads: ["1", "2"], gain: [1, 1], sequence: null, timestamp: null });
    expect(Array.from(frame.signal)).toEqual([1, 2, 3, 4]);
  });

  it("is in millivolts, whatever voltage it came in", () => {
    const gainOf = (fields: object): number =>
      ecgFrame(message({ signal: [1], sampling_rate: 250, ...fields })).gain[0];
    const gains = [
      { units: "uV" },
      { units: "µV" },
      { units: " V " },
      { units: "mV", gain: 200 },
      { units: "uV", gain: 2 },
    ];
    expect(gains.map(gainOf)).toEqual([1000, 1000, 0.001, 200, 2000]);
    expect(gainOf({ units: "counts" })).toBe(ASSUMED_GAIN);
    const isGuessed = (units: string) => ecgFrame(message({ signal: [1], sampling_rate: 250, units })).isGuessed;
    expect(["uV", "counts", "NU", "mmHg"].map(isGuessed)).toEqual([false, true, true, false]);
  });

  it("has what the sender says of filter, pacing and leads, where it is in words that are known", () => {
    const told = (fields: object) => ecgFrame(message({ signal: COUNTS, sampling_rate: 250, ...fields })).told;
    expect(told({ filter: " 0.05-150 Hz ", pacing: true, lead_status: ["off", "OK"] })).toEqual({
      filter: "0.05-150 Hz",
      pacing: "on",
      spikes: null,
      leads: ["off", "ok"],
    });
    expect(told({ filter: { highpass: 0.05, lowpass: 150 } }).filter).toBe("highpass 0.05, lowpass 150");
    for (const pacing of [[1, 2], new NdArray(Int32Array.of(1, 2), [2])])
      expect(told({ pacing })).toMatchObject({ pacing: "spikes are marked", spikes: [1, 2] });
    expect(told({ filter: 7, pacing: "", lead_status: ["off"] })).toEqual(NOTHING_TOLD);
    expect(told({ lead_status: ["loose", "saturated"] }).leads).toEqual([null, "saturated"]);
  });

  it("is refused where the fields do not fit", () => {
    const good = { signal: COUNTS, sampling_rate: 250 };
    for (const bad of [{ signal: [[1], [1, 2]] }, { sampling_rate: 0 }, { sampling_rate: null }, { gain: [1, 2, 3] }]) {
      expect(() => ecgFrame(message({ ...good, ...bad }))).toThrow(ProtocolError);
    }
  });
});

it("times are seconds or dates", () => {
  const times = [1.5, new Date(1500), "now", Number.NaN].map(secondsOf);
  expect(times).toEqual([1.5, 1.5, null, null]);
});

it("JSON is counted as it would travel", () => {
  const bytes = (text: string): number => new TextEncoder().encode(text).length;
  expect(jsonLength({ signal: COUNTS, leads: ["I", "µ"] })).toBe(
    bytes('{"signal":[[1,2,3],[4,5,6]],"leads":["I","µ"]}'),
  );
  expect(jsonLength({ signal: new NdArray(BigInt64Array.of(-1n, 2n)) })).toBe(bytes('{"signal":[-1,2]}'));
});
