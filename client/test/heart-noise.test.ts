/** No rate in any look from 4 s after the last beat on: 200 seeds of each kind of noise, and of fibrillation. */

import { describe, expect, it } from "vitest";
import { HeartDetector, type HeartStatus, Rhythm } from "../src/index.js";

const SEEDS = 200;
const RATES = [125, 250, 360, 500];
/** mV: root mean square of what is random, amplitude of hum. */
const SIZES = [0.005, 0.02, 0.05];
const BEATING = 6;
const SECONDS = 24;

type Random = () => number;

/** Mulberry32: the same on every machine. */
function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const between = (random: Random, low: number, high: number): number => low + (high - low) * random();

type Noise = (random: Random, count: number, rate: number, size: number) => Float64Array;

const white: Noise = (random, count, _rate, size) => Float64Array.from({ length: count }, () => size * normal(random));

/** Over five samples; of this size after it. */
const smoothed: Noise = (random, count, rate, size) => {
  const raw = white(random, count + 4, rate, size * Math.sqrt(5));
  return Float64Array.from(
    { length: count },
    (_, at) => (raw[at] + raw[at + 1] + raw[at + 2] + raw[at + 3] + raw[at + 4]) / 5,
  );
};

const hum =
  (frequency: number): Noise =>
  (random, count, rate, size) => {
    const phase = between(random, 0, 7);
    return Float64Array.from(
      { length: count },
      (_, at) => size * Math.sin((2 * Math.PI * frequency * at) / rate + phase),
    );
  };

const KINDS: Record<string, Noise> = { white, smoothed, "50 Hz": hum(50), "60 Hz": hum(60) };

/** Twelve seconds of it at the most: beats of 75 a minute, and their last second. */
function beating(rate: number): { signal: Float64Array; last: number } {
  const signal = new Float64Array(SECONDS * rate);
  const waves = [
    [-0.16, 0.02, 0.12],
    [-0.026, 0.008, -0.1],
    [0, 0.011, 1.1],
    [0.028, 0.009, -0.22],
    [0.24, 0.045, 0.3],
  ];
  let last = 0;
  for (let beat = 0.3; beat < BEATING - 0.3; beat += 0.8) {
    last = beat;
    for (let at = Math.max(0, Math.floor((beat - 0.6) * rate)); at < (beat + 0.6) * rate; at += 1)
      for (const [delay, width, height] of waves)
        signal[at] += height * Math.exp(-(((at / rate - beat - delay) / width) ** 2) / 2);
  }
  return { signal, last };
}

const CLEAN = new Map(RATES.map((rate) => [rate, beating(rate)]));

/** What is told from `from` on, in looks of a tenth of a second. */
function looksFrom(from: number, signal: Float64Array, rate: number): HeartStatus[] {
  const detector = new HeartDetector(rate, ["II"]);
  const looks: HeartStatus[] = [];
  const step = Math.round(rate / 10);
  for (let at = 0; at < signal.length; at += step) {
    detector.feed([signal.subarray(at, at + step)]);
    if (Math.min(at + step, signal.length) >= from * rate) looks.push(detector.status);
  }
  return looks;
}

describe("where the heart stands still", () => {
  it.each(Object.keys(KINDS))("%s is no rate, and an asystole within 4 s", (kind) => {
    const wrong: string[] = [];
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const random = seeded(seed);
      const rate = RATES[seed % RATES.length];
      const size = SIZES[seed % SIZES.length];
      const { signal, last } = CLEAN.get(rate) as { signal: Float64Array; last: number };
      const noise = KINDS[kind](random, signal.length, rate, size);
      const wander = between(random, 0.1, 0.3);
      const frequency = between(random, 0.15, 0.4);
      const disturbed = signal.map(
        (value, at) => value + noise[at] + wander * Math.sin((2 * Math.PI * frequency * at) / rate + seed),
      );
      for (const { rateBpm, rhythm } of looksFrom(last + 4, disturbed, rate))
        if (rateBpm !== null || rhythm !== Rhythm.ASYSTOLE)
          wrong.push(`seed ${seed}, ${size} mV: ${rhythm} ${rateBpm}`);
    }
    expect(wrong).toEqual([]);
  });
});

describe("where the ventricles fibrillate", () => {
  it("is no rate from 4 s on, and the fibrillation is told most of the time", () => {
    const wrong: string[] = [];
    let told = 0;
    let all = 0;
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const random = seeded(seed);
      const rate = RATES[seed % RATES.length];
      const size = between(random, 0.2, 1);
      const { signal } = CLEAN.get(rate) as { signal: Float64Array };
      const waves = Array.from({ length: 4 }, () => [between(random, 4, 7), between(random, 0, 7)]);
      const noisy = signal.map((value, at) => {
        const time = at / rate;
        const sum = waves.reduce(
          (total, [frequency, phase]) => total + Math.sin(2 * Math.PI * frequency * time + phase),
          0,
        );
        return value + 0.005 * normal(random) + (time < BEATING ? 0 : (size * sum) / 2.2);
      });
      for (const { rateBpm, rhythm } of looksFrom(BEATING + 4, noisy, rate)) {
        all += 1;
        if (rhythm === Rhythm.FIBRILLATION) told += 1;
        if (rateBpm !== null) wrong.push(`seed ${seed}, ${size} mV: ${rhythm} ${rateBpm}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(told / all).toBeGreaterThan(0.9);
  });
});
