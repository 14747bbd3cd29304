/** The vectors of the protocol, for all implementations. */
import { describe, expect, test } from "vitest";
import { inflate } from "../src/codec/compression.js";
import { type Message, type MessageType, ProtocolError, ProtocolHandler } from "../src/index.js";
import {
  FRAMES,
  type FramesVector,
  fromHex,
  fromJson,
  INVALID_DEFLATE,
  losesBytes,
  REFUSED,
  type RenderedMessage,
  toHex,
} from "./rendering.js";
import { image } from "./same.js";

const ONE_FRAME = FRAMES.filter((vector) => vector.messages.length === 1);
const CANONICAL = FRAMES.filter((vector) => vector.canonical);
const RE_ENCODED = CANONICAL.filter((vector) => !losesBytes(vector.messages[0].data));

/** A reader of versions 1 to 3, of which these vectors are; those of version 4 are in v4.json. */
function handlerFor(vector: { max_payload?: number }): ProtocolHandler {
  const versions = [1, 2, 3] as const;
  return new ProtocolHandler(
    vector.max_payload === undefined ? { versions } : { versions, maxPayload: vector.max_payload },
  );
}

function expectMessage(message: Message, expected: RenderedMessage): void {
  const { version, type, flags, timestamp } = message;
  expect({ version, type, flags, timestamp: timestamp === null ? null : String(timestamp) }).toEqual({
    version: expected.version,
    type: expected.type,
    flags: expected.flags,
    timestamp: expected.timestamp,
  });
  expect(image(message.data)).toEqual(image(fromJson(expected.data)));
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

/** Every length that a prefix may have, or for a long one those near its ends and some between. */
function cuts(size: number): number[] {
  const all = Array.from({ length: size }, (_, i) => i);
  return size <= 600 ? all : all.filter((i) => i < 200 || i >= size - 50 || i % Math.floor(size / 100) === 0);
}

describe("accepted", () => {
  test("there are as many as were frozen", () => {
    expect([FRAMES.length, REFUSED.length]).toEqual([388, 470]);
    expect(RE_ENCODED.length).toBeGreaterThan(260);
  });

  test.each(FRAMES.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const messages = [...handlerFor(vector).decodeAll(fromHex(vector.frames))];
    expect(messages.length).toBe(vector.messages.length);
    messages.forEach((message, i) => {
      expectMessage(message, vector.messages[i]);
    });
  });

  test.each(ONE_FRAME.map((vector) => [vector.name, vector] as const))("%s, as one frame, anywhere", (_, vector) => {
    const bytes = fromHex(vector.frames);
    for (let offset = 0; offset < 8; offset++) {
      const buffer = new Uint8Array(offset + bytes.length + 3);
      buffer.set(bytes, offset);
      expectMessage(handlerFor(vector).decode(buffer.subarray(offset, offset + bytes.length)), vector.messages[0]);
    }
  });

  test.each(ONE_FRAME.map((vector) => [vector.name, vector] as const))("no prefix of %s is a frame", (_, vector) => {
    const bytes = fromHex(vector.frames);
    const handler = handlerFor(vector);
    const header = bytes[0] === 3 ? 19 : 11;
    for (const size of cuts(bytes.length)) {
      expect(verdict(() => handler.decode(bytes.subarray(0, size)))).toBe(`0x200 check ${size < header ? 1 : 5}`);
    }
  });

  test.each(FRAMES.map((vector) => [vector.name, vector] as const))("%s, and bytes left over", (_, vector) => {
    const handler = handlerFor(vector);
    for (const more of ["00", "c0".repeat(30), "0111000000000000000000"]) {
      const bytes = fromHex(vector.frames + more);
      expect(verdict(() => handler.decode(bytes))).toBe("0x200 check 5");
      const items = [...handler.decodeEach(bytes)];
      expect(items.length).toBe(vector.messages.length + 1);
      expect(items.slice(0, -1).map((item) => (item as Message).type)).toEqual(vector.messages.map(({ type }) => type));
      const alone = verdict(() => [...handler.decodeAll(fromHex(more))]);
      expect(verdict(() => [...handler.decodeAll(bytes)])).toBe(alone);
    }
  });

  test.each(RE_ENCODED.map((vector) => [vector.name, vector] as const))("sending %s makes its bytes", (_, vector) => {
    expect(toHex(encoded(vector))).toBe(vector.frames);
  });

  test.each(CANONICAL.map((vector) => [vector.name, vector] as const))("what is sent of %s is read", (_, vector) => {
    expectMessage(handlerFor(vector).decode(encoded(vector)), vector.messages[0]);
  });
});

function encoded(vector: FramesVector): Uint8Array {
  const [message] = vector.messages;
  const handler = new ProtocolHandler({
    version: message.version,
    ndarray: vector.canonical?.ndarray ?? "list",
    compression: vector.canonical?.compression ? {} : null,
  });
  const { flags, timestamp } = message;
  return handler.encode(message.type as MessageType, fromJson(message.data), {
    flags,
    ...(timestamp === null ? {} : { timestamp: BigInt(timestamp) }),
  });
}

describe("refused", () => {
  test.each(REFUSED.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const bytes = fromHex(vector.frame);
    expect(verdict(() => handlerFor(vector).decode(bytes))).toBe(`${vector.code} check ${vector.check}`);
  });
});

/** libdeflate, which Python uses where it is installed, accepts them: `docs/protocol.md`, "Compression". */
describe("not valid deflate", () => {
  test.each(INVALID_DEFLATE.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    expect(verdict(() => inflate(fromHex(vector.stream), 1 << 24))).toBe("0x103 check 9");
    expect(inflate(fromHex(vector.valid), 1 << 24).length).toBeGreaterThan(0);
  });
});
