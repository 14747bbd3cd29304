import { describe, expect, it } from "vitest";
import { type Message, MessageType } from "../../src/index.js";
import { Numerics, numericsOf, numericText } from "../src/numerics.js";

function message(data: unknown): Message {
  return { type: MessageType.FEATURE_DATA, version: 3, flags: 0, timestamp: 1n, data, frameBytes: 9, payloadBytes: 9 };
}

const shown = (data: object): string[] =>
  numericsOf(message(data)).map(({ name, value, unit, kind }) => `${name} ${value} ${unit} ${kind}`);

describe("the numbers that are shown", () => {
  it("have the usual names and units, whichever name of theirs was sent", () => {
    for (const name of ["SpO2", "SpO₂", "oxygen_saturation", "MDC_PULS_OXIM_SAT_O2"])
      expect(shown({ features: { [name]: 97 } })).toEqual(["SpO₂ 97 % pleth"]);
    for (const name of ["respiration_rate", "resp_rate", "MDC_RESP_RATE", "MDC_TTHOR_RESP_RATE"])
      expect(shown({ features: { [name]: 15 } })).toEqual(["RR 15 /min resp"]);
  });

  it("are no intervals, lists, nor the heart rate, which the page determines itself", () => {
    const features = { RR: 0.8, PR: 0.16, QT: 0.4, rr_intervals: [0.8], heart_rate: 75, words: "x" };
    expect(shown({ features })).toEqual([]);
    expect(shown({ features, units: { RR: "s", QT: "s" } })).toEqual(["RR 0.8 s other", "QT 0.4 s other"]);
    expect(shown({ features: { RR: 15, PR: 75 }, units: { RR: "/min", PR: "bpm" } })).toEqual([
      "RR 15 /min resp",
      "PR 75 bpm pleth",
    ]);
  });

  it("have the unit that the sender states", () => {
    expect(shown({ features: { "ABP mean": 93, Temp: 37.2 }, units: { "ABP mean": "mmHg", Temp: "°C" } })).toEqual([
      "ABP mean 93 mmHg pressure",
      "Temp 37.2 °C other",
    ]);
  });

  it("are a few of a map, and none of what is no map", () => {
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`x${index}`, index]));
    expect(
      shown({ features: many, units: Object.fromEntries(Object.keys(many).map((name) => [name, "l"])) }),
    ).toHaveLength(6);
    for (const data of [null, 7, {}, { features: null }, { features: [1] }, { features: { SpO2: 97 }, units: 7 }])
      expect(() => numericsOf(message(data))).not.toThrow();
  });
});

it("a number is shown for ten seconds, or for three windows", () => {
  const numerics = new Numerics();
  numerics.take(message({ features: { SpO2: 97 }, timestamp: 999, window: 1 }), 1000);
  numerics.take(message({ features: { resp_rate: 15 }, timestamp: 940, window: 60 }), 1000);
  const at = (now: number): string[] => numerics.at(now).map(({ value }) => numericText(value));
  expect([at(1000), at(1009), at(1011), at(1181)]).toEqual([
    ["97", "15"],
    ["97", "15"],
    ["––", "15"],
    ["––", "––"],
  ]);
  // A time that is ahead of the server's does not make it last.
  numerics.take(message({ features: { SpO2: 97 }, timestamp: 5000, window: 1 }), 1000);
  expect(at(1011)[0]).toBe("––");
  numerics.clear();
  expect(at(1000)).toEqual([]);
});

it("numbers are written with three digits", () => {
  expect([97, 36.64, 0.123456, -3, 123.6, Number.NaN].map(numericText)).toEqual([
    "97",
    "36.6",
    "0.123",
    "−3",
    "124",
    "––",
  ]);
});
