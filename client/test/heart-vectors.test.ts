/** The same beats, states and lead as Python's detector, to the bit, whatever the chunks. */

import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HeartDetector } from "../src/index.js";

type Look = [
  rate: number | null,
  since: number | null,
  rhythm: string,
  lead: number,
  quality: string[],
  silent: number,
];

interface Vector {
  readonly name: string;
  readonly sampling_rate: number;
  readonly leads: string[];
  readonly pacing: number[];
  readonly signal: string;
  readonly beats: [sample: number, lead: number, amplitude: number, interval: number | null][];
  readonly looks: Look[];
  readonly pacing_seen: [sample: number, lead: number, amplitude: number][];
}

type Told = Pick<Vector, "beats" | "looks" | "pacing_seen">;

const MISSING = -(2 ** 15);
const VECTORS: Vector[] = JSON.parse(
  readFileSync(new URL("../../tests/vectors/heartbeats.json", import.meta.url), "utf8"),
);

function signalOf(vector: Vector): Float64Array[] {
  const octets = inflateSync(Buffer.from(vector.signal, "base64"));
  const samples = octets.length / 2 / vector.leads.length;
  return vector.leads.map((_, lead) =>
    Float64Array.from({ length: samples }, (_, sample) => {
      const value = octets.readInt16LE(2 * (lead * samples + sample));
      return value === MISSING ? Number.NaN : value / 1000;
    }),
  );
}

/** Its beats, its status after every half second, and the pacing spikes that it saw. */
function told(vector: Vector, chunks: readonly number[]): Told {
  const signal = signalOf(vector);
  const detector = new HeartDetector(vector.sampling_rate, vector.leads);
  const half = Math.floor(vector.sampling_rate / 2);
  const beats: Vector["beats"] = [];
  const looks: Look[] = [];
  const seen: Vector["pacing_seen"] = [];
  const samples = signal[0].length;
  for (let at = 0, turn = 0; at < samples; turn += 1) {
    const end = Math.min(at + chunks[turn % chunks.length], samples, at - (at % half) + half);
    const here = vector.pacing.filter((mark) => mark >= at && mark < end).map((mark) => mark - at);
    const rows = signal.map((row) => row.subarray(at, end));
    for (const beat of detector.feed(rows, here)) beats.push([beat.sample, beat.lead, beat.amplitude, beat.interval]);
    for (const { sample, lead, amplitude } of detector.takePacingSpikes()) seen.push([sample, lead, amplitude]);
    at = end;
    if (at % half !== 0) continue;
    const { rateBpm, secondsSinceBeat, rhythm, lead, signalQuality, silentSeconds } = detector.status;
    looks.push([rateBpm, secondsSinceBeat, rhythm, lead, [...signalQuality], silentSeconds]);
  }
  return { beats, looks, pacing_seen: seen };
}

describe("the heartbeat detector", () => {
  it.each(VECTORS)("tells of $name what Python tells", (vector) => {
    const { beats, looks, pacing_seen } = vector;
    expect(told(vector, [Number.MAX_SAFE_INTEGER])).toEqual({ beats, looks, pacing_seen });
  });

  it("tells the same whatever the chunks", () => {
    const chunks = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom(...VECTORS), chunks, (vector, sizes) => {
        const { beats, looks, pacing_seen } = vector;
        expect(told(vector, sizes)).toEqual({ beats, looks, pacing_seen });
      }),
      { numRuns: 20 },
    );
  });

  it("takes skipped samples for missing ones, and hours of them at once", () => {
    const [signal] = signalOf(VECTORS[0]);
    const rate = VECTORS[0].sampling_rate;
    const [skipping, fed] = [0, 1].map(() => new HeartDetector(rate, ["II"]));
    const begin = signal.subarray(0, 800);
    expect(skipping.feed([begin])).toEqual(fed.feed([begin]));
    expect(skipping.skip(7)).toEqual(fed.feed([new Float64Array(7).fill(Number.NaN)]));
    expect(skipping.status).toEqual(fed.status);
    const hours = 8 * 3600 * rate;
    skipping.skip(hours);
    fed.feed([new Float64Array(60 * rate).fill(Number.NaN)]);
    const shift = hours - 60 * rate;
    const rest = signal.subarray(0, 900);
    expect(skipping.feed([rest]).map((beat) => ({ ...beat, sample: beat.sample - shift }))).toEqual(fed.feed([rest]));
    const [skipped, whole] = [skipping.status, fed.status];
    expect(skipped.silentSeconds).toBeCloseTo(whole.silentSeconds, 0); // gaps are counted in whole hops
    expect({ ...skipped, silentSeconds: 0 }).toEqual({ ...whole, silentSeconds: 0 });
  });

  it("tells the same of samples of either precision", () => {
    // Halves of a microvolt, on which rounding turns.
    const exact = Float64Array.from(signalOf(VECTORS[1])[1], (value) => Math.round(value * 400) / 400 + 0.0005);
    const [one, other] = [0, 1].map(() => new HeartDetector(VECTORS[1].sampling_rate, ["II"]));
    const beats = one.feed([exact]);
    expect(beats.length).toBeGreaterThan(20);
    expect(other.feed([Float32Array.from(exact)])).toEqual(beats);
  });

  it("refuses what it cannot follow", () => {
    expect(() => new HeartDetector(250, [])).toThrow(RangeError);
    expect(() => new HeartDetector(50, ["II"])).toThrow(RangeError);
    const detector = new HeartDetector(250, ["I", "II"]);
    expect(() => detector.feed([new Float64Array(3)])).toThrow(RangeError);
    expect(() => detector.feed([new Float64Array(3), new Float64Array(4)])).toThrow(RangeError);
    expect(() => detector.skip(-1)).toThrow(RangeError);
  });
});
