import { describe, expect, it } from "vitest";
import { load } from "../src/settings.js";
import { Percentiles, Rate } from "../src/statistics.js";
import { describeBytes, latencyText } from "../src/status.js";

describe("statistics", () => {
  it("rates are those of the last seconds", () => {
    const rate = new Rate(4);
    expect(rate.perSecond(0)).toBeNaN();
    for (let second = 1; second <= 10; second += 1) {
      rate.add(20);
      expect(rate.perSecond(second)).toBe(20);
    }
    for (let second = 11; second <= 15; second += 1) rate.perSecond(second);
    expect(rate.perSecond(16)).toBe(0);
  });

  it("percentiles are those of the last values", () => {
    const values = new Percentiles(100);
    expect(values.at(0.5)).toEqual([Number.NaN]);
    for (let value = 0; value < 1000; value += 1) values.add(value);
    expect(values.at(0, 0.5, 0.99)).toEqual([900, 950, 999]);
  });

  it("a latency is never negative: it is a clock that is ahead", () => {
    expect(latencyText(0.0123, 0.04)).toBe("median 12.3 ms · p99 40.0 ms");
    expect(latencyText(-0.00003, 0)).toBe("median 0.0 ms · p99 0.0 ms");
    expect(latencyText(-0.004, 0.001)).toBe("clock of the server 4.0 ms ahead");
    expect(latencyText(-0.5, 0)).toBe("clock of the server 0.50 s ahead");
  });

  it("bytes are said as people read them", () => {
    expect(describeBytes(12_345, 3)).toBe("12.3 kB/s (JSON 37.0 kB/s, −67 %)");
    expect(describeBytes(2_000_000, 0.8)).toBe("2.00 MB/s (JSON 1.60 MB/s, +25 %)");
    expect(describeBytes(0, 3)).toBe("0.0 kB/s");
    expect(describeBytes(Number.NaN, Number.NaN)).toBe("––");
  });
});

describe("settings", () => {
  const kept = (text: string | null) => ({ getItem: () => text });

  it("are those of the address, then those kept, then the usual ones", () => {
    expect(load("", kept(null))).toEqual({ view: "sweep", speed: 25, gain: 10, theme: "dark" });
    expect(load("?view=sheet&speed=12.5", kept('{"speed":50,"theme":"light"}'))).toEqual({
      view: "sheet",
      speed: 12.5,
      gain: 10,
      theme: "light",
    });
  });

  it("are the usual ones where what is kept or asked for makes no sense", () => {
    for (const text of ["", "null", "[]", "7", '{"speed":-1,"view":{}}', "{"]) {
      expect(load("?gain=11&theme=blue", kept(text))).toEqual({ view: "sweep", speed: 25, gain: 10, theme: "dark" });
    }
  });
});
