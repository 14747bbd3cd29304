/** Inflating accepts, refuses and gives exactly what zlib does, also of damaged streams. */
import { constants, deflateSync, inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { inflateZlib } from "../src/codec/inflate.js";

const STREAMS = 6000;
const MOST = 1 << 16;
const STRATEGIES = [
  constants.Z_DEFAULT_STRATEGY,
  constants.Z_FIXED,
  constants.Z_HUFFMAN_ONLY,
  constants.Z_RLE,
  constants.Z_FILTERED,
];

/** Numbers that repeat: a linear congruential generator. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function plain(random: (below: number) => number): Uint8Array {
  const size = random(4) === 0 ? random(40) : random(3000);
  const alphabet = 1 + random(256);
  const bytes = Uint8Array.from({ length: size }, () => random(alphabet));
  for (let copies = random(20); copies > 0 && size > 8; copies--) {
    const from = random(size - 4);
    bytes.copyWithin(random(size), from, from + random(size - from));
  }
  return bytes;
}

function damaged(stream: Uint8Array, random: (below: number) => number): Uint8Array {
  const bytes = new Uint8Array(stream);
  switch (random(5)) {
    case 0:
      return bytes;
    case 1:
      return bytes.subarray(0, random(bytes.length));
    case 2:
      bytes[random(Math.min(bytes.length, 40))] = random(256);
      return bytes;
    case 3:
      bytes[random(bytes.length)] ^= 1 << random(8);
      return bytes;
    default:
      return Uint8Array.from([...bytes, ...Array.from({ length: 1 + random(9) }, () => random(256))]);
  }
}

/** What zlib makes of it: the bytes and how many of the input it took; null if it refuses. */
function byZlib(stream: Uint8Array): { bytes: Uint8Array; used: number } | null {
  try {
    const { buffer, engine } = inflateSync(stream, { info: true }) as unknown as {
      buffer: Uint8Array;
      engine: { bytesWritten: number };
    };
    return { bytes: new Uint8Array(buffer), used: engine.bytesWritten };
  } catch {
    return null;
  }
}

test(`${STREAMS} streams, most of them damaged, are inflated or refused as by zlib`, () => {
  const random = generator(20261130);
  let refused = 0;
  for (let at = 0; at < STREAMS; at++) {
    const options = {
      level: random(10),
      strategy: STRATEGIES[random(5)],
      memLevel: 1 + random(9),
      windowBits: 9 + random(7),
    };
    const stream = damaged(deflateSync(plain(random), options), random);
    const expected = byZlib(stream);
    const { output, end, used, fault } = inflateZlib(stream, 3 + MOST, 3, 64);
    if (expected === null) {
      refused++;
      expect(fault, `stream ${at}`).not.toBeNull();
      continue;
    }
    expect(fault, `stream ${at}`).toBeNull();
    expect(Buffer.compare(output.subarray(3, end), expected.bytes), `stream ${at}`).toBe(0);
    expect(used, `stream ${at}`).toBe(expected.used);
  }
  expect(refused).toBeGreaterThan(STREAMS / 4);
  expect(refused).toBeLessThan(STREAMS * 0.9);
});

test("a stream that gives more than it may is inflated to there, and no further", () => {
  const bomb = deflateSync(new Uint8Array(10_000_000));
  const { output, end, fault } = inflateZlib(bomb, 1001, 0, 64);
  expect([output.length, end, fault]).toEqual([1001, 1001, null]);
});

test.each([
  ["", "cut"],
  ["78", "cut"],
  ["789d", "incorrect header check"],
  ["7801", "cut"],
  ["7801 07", "invalid block type"],
  ["7801 01 0100 0000 00", "invalid stored block lengths"],
  ["78bb 00000000", "it needs a preset dictionary"],
  ["7801 03 00 00000002", "incorrect data check"],
])("%s is refused: %s", (hex, fault) => {
  expect(inflateZlib(Buffer.from(hex.replaceAll(" ", ""), "hex"), 100, 0, 64).fault).toBe(fault);
});
