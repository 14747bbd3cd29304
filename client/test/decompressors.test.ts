/** zstd and LZ4: the frozen vectors, mutated payloads as Python judges them, and what a session announces. */
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { crc32 } from "../src/codec/crc32.js";
import type { Decompressor } from "../src/codec/decompressor.js";
import {
  ErrorCode,
  Flag,
  lz4,
  MessageType,
  ProtocolError,
  ProtocolHandler,
  WebSocketBinaryService,
} from "../src/index.js";
import { Algorithm, Capability, DEFAULT_MAX_PAYLOAD } from "../src/protocol.js";
import { DEFAULT_SETTINGS, supported } from "../src/session/settings.js";
import { zstd } from "../src/zstd.js";
import { compared, FRAMES } from "./mutated-frames.js";
import { fromHex, vectorsOf } from "./rendering.js";
import { Client, offer, V4 } from "./v4-peer.js";

interface Accepted {
  readonly name: string;
  readonly algorithm: number;
  readonly payload: string;
  readonly nbytes: number;
  readonly crc32: number;
}

interface Refused {
  readonly name: string;
  readonly algorithm: number;
  readonly payload: string;
  readonly code: string;
  readonly check: number;
}

const VECTORS = vectorsOf<{ accepted: Accepted[]; refused: Refused[] }>("v4-compression.json");
const readers: Decompressor[] = [lz4];

beforeAll(async () => {
  readers.push(await zstd());
});

function inflated(algorithm: number, payload: Uint8Array, limit = DEFAULT_MAX_PAYLOAD): Uint8Array {
  return (readers.find((one) => one.algorithm === algorithm) as Decompressor).decompress(payload, limit, 32);
}

function verdict(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ProtocolError) return `0x${error.code.toString(16)} check ${error.check}`;
    throw error;
  }
  return "accepted";
}

describe("the frozen vectors", () => {
  test.each(VECTORS.accepted)("$name", ({ algorithm, payload, nbytes, crc32: sum }) => {
    const content = inflated(algorithm, fromHex(payload), nbytes);
    expect([content.length, crc32(content)]).toEqual([nbytes, sum]);
    expect(content.byteOffset).toBe(32);
    expect(verdict(() => inflated(algorithm, fromHex(payload), nbytes - 1))).toBe("0x102 check 10");
  });

  test.each(VECTORS.refused)("refused: $name", ({ algorithm, payload, code, check }) => {
    expect(verdict(() => inflated(algorithm, fromHex(payload)))).toBe(`${code} check ${check}`);
  });

  test("no prefix is accepted", () => {
    for (const { algorithm, payload } of VECTORS.accepted.filter(({ payload }) => payload.length < 3000)) {
      const bytes = fromHex(payload);
      for (let size = 0; size < bytes.length; size++)
        expect(verdict(() => inflated(algorithm, bytes.subarray(0, size)))).not.toBe("accepted");
    }
  });
});

test("a handler reads what it has a decompressor for, and refuses the rest", () => {
  for (const { algorithm, payload } of VECTORS.accepted) {
    const plain = new ProtocolHandler({ version: 4, compression: null });
    const options = { version: 4, form: algorithm, streamId: 7, sequence: 1 } as const;
    const frame = plain.frame(MessageType.FEATURE_DATA, fromHex(payload), { ...options, form: 0 });
    frame[2] |= Flag.COMPRESSED;
    frame[19] = algorithm;
    expect(new ProtocolHandler({ decompressors: readers }).decode(frame).form).toBe(algorithm);
    expect(verdict(() => plain.decode(frame))).toBe("0x103 check 9");
  }
});

test(`${FRAMES} mutated payloads get Python's verdict and content`, { timeout: 60_000 + 20 * FRAMES }, async () => {
  interface Said {
    readonly frame: string;
    readonly algorithm: number;
    readonly code?: number;
    readonly check?: number;
    readonly nbytes?: number;
    readonly crc32?: number;
  }
  let noticed = 0;
  const both = (said: Said): [unknown, unknown] => {
    let found: unknown;
    try {
      const content = inflated(said.algorithm, fromHex(said.frame), 1 << 20);
      found = [content.length, crc32(content)];
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      found = [error.code, error.check];
    }
    const there = said.code === undefined ? [said.nbytes, said.crc32] : [said.code, said.check];
    // Libraries differ in what of a damaged zstd frame they notice. What both accept is the same.
    const isRefused = [found, there].filter((one) => isDeepStrictEqual(one, [ErrorCode.DECOMPRESSION_FAILED, 9]));
    if (said.algorithm === Algorithm.ZSTD && isRefused.length === 1) {
      noticed++;
      return [null, null];
    }
    return [found, there];
  };
  const verdicts = await compared<Said>("compressed.py", both);
  expect(noticed).toBeLessThan(FRAMES / 50);
  expect(verdicts.get("accepted")).toBeGreaterThan(FRAMES / 100);
  expect(verdicts.get("0x103 at check 9")).toBeGreaterThan(FRAMES / 5);
});

describe("a session", () => {
  test("announces what it has a decompressor for, and the largest payload that it takes", () => {
    const known = Object.values(Capability);
    for (const [decompressors, wanted] of [
      [[], []],
      [[lz4], ["lz4"]],
      [readers, ["lz4", "zstd"]],
    ] as const) {
      const service = new WebSocketBinaryService({ versions: [1, 2, 3, 4], decompressors });
      expect(service).toBeDefined();
      const capabilities = new Set([...supported(V4), ...decompressors.map((one) => one.capability)]);
      const client = new Client(undefined, { capabilities, decompressors, maxPayload: 1 << 20 });
      client.receive(offer({ capabilities: known }));
      const [{ data }] = client.sent();
      const names = data.capabilities as string[];
      expect(names.filter((name) => name === "lz4" || name === "zstd")).toEqual(wanted);
      expect(data.max_payload).toBe(1 << 20);
    }
    expect(DEFAULT_SETTINGS.decompressors).toEqual([]);
  });

  test("is refused an algorithm that it cannot read", () => {
    const options = { versions: [1, 2, 3, 4] as const, capabilities: [Capability.LZ4] };
    expect(() => new WebSocketBinaryService(options)).toThrow('does not have the capability "lz4"');
    expect(() => new WebSocketBinaryService({ ...options, decompressors: [lz4] })).not.toThrow();
    expect(Algorithm.LZ4).toBe(lz4.algorithm);
  });
});
