import { readFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { RPeaks } from "../src/r-peaks.js";

function peaksOf(signal: ArrayLike<number>, rate: number): { peaks: number[]; detector: RPeaks } {
  const peaks: number[] = [];
  const detector = new RPeaks(rate, (sample) => peaks.push(sample));
  for (let sample = 0; sample < signal.length; sample += 1) detector.push(sample, signal[sample] as number);
  return { peaks, detector };
}

/** Gaussian waves P, Q, R, S, T around beats at the given seconds, with some noise of mains and breath. */
function synthetic(beats: number[], seconds: number, rate: number, noise = 0.03): Float64Array {
  const waves = [
    [-0.16, 0.02, 0.12],
    [-0.026, 0.008, -0.1],
    [0, 0.011, 1.1],
    [0.028, 0.009, -0.22],
    [0.24, 0.045, 0.3],
  ] as const;
  return Float64Array.from({ length: Math.round(seconds * rate) }, (_, sample) => {
    const time = sample / rate;
    const near = beats.filter((beat) => Math.abs(beat - time) < 0.6);
    const shape = near.flatMap((beat) =>
      waves.map(([at, width, height]) => height * Math.exp(-(((time - beat - at) / width) ** 2) / 2)),
    );
    const drift = 0.15 * Math.sin(2 * Math.PI * 0.25 * time) + noise * Math.sin(2 * Math.PI * 50 * time);
    return shape.reduce((sum, value) => sum + value, drift);
  });
}

const regular = (bpm: number, seconds: number): number[] =>
  Array.from({ length: Math.floor((seconds - 0.6) / (60 / bpm)) }, (_, beat) => 0.5 + (beat * 60) / bpm);

/** Seconds after which every beat is found: until then the detector learns. */
const LEARNED = 2.63;

function expectBeats(peaks: number[], beats: number[], rate: number, tolerance = 0.03): void {
  const found = peaks.map((peak) => peak / rate).filter((time) => time > LEARNED);
  const sought = beats.filter((beat) => beat > LEARNED);
  for (const beat of sought) expect(found.filter((time) => Math.abs(time - beat) <= tolerance)).toHaveLength(1);
  expect(found).toHaveLength(sought.length);
}

describe("R peaks", () => {
  for (const bpm of [30, 45, 60, 100, 150, 200, 220]) {
    for (const rate of [125, 250, 500, 1000]) {
      it(`are found at ${bpm} a minute and ${rate} Hz, each once and in its place`, () => {
        const beats = regular(bpm, 20);
        const { peaks, detector } = peaksOf(synthetic(beats, 20, rate), rate);
        expectBeats(peaks, beats, rate);
        expect(Math.abs(detector.rate - bpm)).toBeLessThan(bpm * 0.02);
      });
    }
  }

  it("are found upside down", () => {
    const beats = regular(72, 20);
    const { peaks } = peaksOf(
      synthetic(beats, 20, 500).map((value) => -value),
      500,
    );
    expectBeats(peaks, beats, 500);
  });

  it("are found when they come too early and pause", () => {
    const beats = [0.5, 1.3, 2.1, 2.9, 3.7, 4.2, 5.3, 6.1, 6.9, 7.7, 8.5, 9.0, 10.1, 10.9];
    const { peaks } = peaksOf(synthetic(beats, 12, 250), 250);
    expectBeats(peaks, beats, 250);
  });

  it("are found again when the signal has become small", () => {
    const beats = regular(60, 40);
    const signal = synthetic(beats, 40, 250, 0.005).map((value, sample) => (sample < 5000 ? value : value * 0.3));
    const { peaks } = peaksOf(signal, 250);
    const late = peaks.filter((peak) => peak > 30 * 250);
    expect(late.length).toBeGreaterThanOrEqual(9);
  });

  it("are not made of noise where the heart stands still", () => {
    const beats = regular(60, 40).filter((beat) => beat < 10);
    const { peaks } = peaksOf(synthetic(beats, 40, 250, 0.02), 250);
    expect(peaks.filter((peak) => peak > 11 * 250)).toEqual([]);
  });

  it("tell no rate before there are intervals, and none across a gap", () => {
    const signal = synthetic(regular(60, 20), 20, 250);
    const { detector } = peaksOf(signal, 250);
    expect(detector.rate).toBeCloseTo(60, 0);
    detector.push(5000, Number.NaN);
    expect(detector.rate).toBeNaN();
  });

  it("of the recorded ECG are its highest points, and none is missed", () => {
    const { signal, leads, samples } = shippedEcg();
    const lead = leads.indexOf("II");
    const row = signal.slice(lead * samples, (lead + 1) * samples);
    const { peaks, detector } = peaksOf(row, 1000);
    const highest = Math.max(...row) - median(row);
    for (const peak of peaks) {
      const around = row.slice(peak - 150, peak + 150);
      expect(row[peak]).toBe(Math.max(...around));
      expect((row[peak] as number) - median(row)).toBeGreaterThan(highest * 0.6);
    }
    const intervals = peaks.slice(1).map((peak, index) => peak - (peaks[index] as number));
    expect(peaks.length).toBeGreaterThan(6);
    expect(Math.max(...intervals) / Math.min(...intervals)).toBeLessThan(1.3);
    expect(60_000 / median(intervals)).toBeCloseTo(detector.rate, -0.5);
    // every maximum of that height is found, but for those of the time of learning
    const beats = localMaxima(row, 0.6 * highest + median(row)).filter((at) => at > 2600 && at < samples - 200);
    expect(peaks.filter((at) => at > 2600 && at < samples - 200)).toEqual(beats);
  });
});

function localMaxima(row: Int16Array, above: number): number[] {
  const found: number[] = [];
  for (let at = 150; at < row.length - 150; at += 1) {
    const value = row[at] as number;
    if (value > above && value === Math.max(...row.slice(at - 150, at + 151)) && at - (found.at(-1) ?? -300) > 200)
      found.push(at);
  }
  return found;
}

function median(values: ArrayLike<number>): number {
  const sorted = Array.from(values).sort((one, other) => one - other);
  return sorted[sorted.length >> 1] as number;
}

/** The recording that ships with the Python package: an archive of NumPy arrays. */
function shippedEcg(): { signal: Int16Array; leads: string[]; samples: number } {
  const archive = readFileSync(new URL("../../../ecgframe/data/ecg12.npz", import.meta.url));
  const differences = entry(archive, "differences.npy");
  const shape = /'shape': \((\d+), (\d+)\)/.exec(differences.header);
  const samples = Number(shape?.[2]);
  expect(differences.header).toContain("'<i2'");
  const signal = new Int16Array(differences.data.buffer);
  for (let index = 0; index < signal.length; index += 1) {
    if (index % samples !== 0) signal[index] = (signal[index] as number) + (signal[index - 1] as number);
  }
  const names = entry(archive, "leads.npy");
  const width = Number(/<U(\d+)/.exec(names.header)?.[1]);
  const text = new Uint32Array(names.data.buffer);
  const leads = Array.from({ length: text.length / width }, (_, lead) =>
    String.fromCodePoint(...text.slice(lead * width, (lead + 1) * width)).replaceAll("\0", ""),
  );
  return { signal, leads, samples };
}

function entry(archive: Buffer, name: string): { header: string; data: Uint8Array } {
  let at = archive.indexOf("PK\u0001\u0002", 0, "latin1");
  while (at >= 0) {
    const nameLength = archive.readUInt16LE(at + 28);
    if (archive.toString("utf8", at + 46, at + 46 + nameLength) === name) {
      const begin = archive.readUInt32LE(at + 42);
      const packed = begin + 30 + archive.readUInt16LE(begin + 26) + archive.readUInt16LE(begin + 28);
      const bytes = archive.subarray(packed, packed + archive.readUInt32LE(at + 20));
      const content = archive.readUInt16LE(at + 10) === 8 ? inflateRawSync(bytes) : bytes;
      const headerEnd = 10 + content.readUInt16LE(8);
      return { header: content.toString("latin1", 10, headerEnd), data: Uint8Array.from(content.subarray(headerEnd)) };
    }
    at = archive.indexOf("PK\u0001\u0002", at + 46, "latin1");
  }
  throw new Error(`the archive has no ${name}`);
}
