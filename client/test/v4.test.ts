/** Frames of version 4: the vectors, which every implementation holds itself against. */
import { describe, expect, test } from "vitest";
import { type Message, type MessageType, ProtocolError, ProtocolHandler } from "../src/index.js";
import { fromHex, fromJson, losesBytes, toHex, V4 } from "./rendering.js";
import { image } from "./same.js";

const ONE_FRAME = V4.accepted.filter((vector) => vector.messages.length === 1);
const CANONICAL = V4.accepted.filter((vector) => vector.canonical);
const RE_ENCODED = CANONICAL.filter((vector) => !losesBytes(vector.messages[0].data));

function handlerFor(vector: { max_payload?: number }): ProtocolHandler {
  return new ProtocolHandler(vector.max_payload === undefined ? {} : { maxPayload: vector.max_payload });
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

/** What a message or a header says of itself, as the vectors write it. */
function headerOf({ version, type, flags, timestamp, form, streamId, sequence }: Omit<Message, "data">): unknown {
  const old = { version, type, flags, timestamp: timestamp === null ? null : String(timestamp) };
  return version === 4 ? { ...old, form, stream: streamId, sequence } : old;
}

describe("accepted", () => {
  test.each(V4.accepted.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const messages = [...handlerFor(vector).decodeAll(fromHex(vector.frames))];
    expect(messages.length).toBe(vector.messages.length);
    messages.forEach((message, i) => {
      const { data, ...header } = vector.messages[i];
      expect(headerOf(message)).toEqual(header);
      expect(image(message.data)).toEqual(image(withoutNil(header.type, fromJson(data))));
    });
  });

  test.each(ONE_FRAME.map((vector) => [vector.name, vector] as const))("no prefix of %s is a frame", (_, vector) => {
    const bytes = fromHex(vector.frames);
    const size = bytes[0] === 4 ? 32 : bytes[0] === 3 ? 19 : 11;
    for (let cut = 0; cut < bytes.length; cut++) {
      const expected = `0x200 check ${cut < (cut === 0 ? 11 : size) ? 1 : 5}`;
      expect(verdict(() => handlerFor(vector).decode(bytes.subarray(0, cut)))).toBe(expected);
    }
  });

  test.each(RE_ENCODED.map((vector) => [vector.name, vector] as const))("sending %s makes its bytes", (_, vector) => {
    const [{ type, flags, timestamp, form, stream, sequence, data }] = vector.messages;
    const handler = new ProtocolHandler({
      version: 4,
      ndarray: vector.canonical?.ndarray ?? "list",
      compression: vector.canonical?.compression ? {} : null,
    });
    const options = { flags, timestamp: BigInt(timestamp), form, streamId: stream, sequence };
    expect(toHex(handler.encode(type as MessageType, fromJson(data), options))).toBe(vector.frames);
  });

  test("most are written again", () => {
    expect(RE_ENCODED.length).toBeGreaterThan(V4.accepted.length / 2);
  });
});

/** What counts as left out of a template is not there. */
function withoutNil(type: number, data: unknown): unknown {
  if (type !== 0x23) return data;
  return Object.fromEntries(Object.entries(data as object).filter(([, value]) => value !== null));
}

describe("headers", () => {
  test.each(V4.headers.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const frame = fromHex(vector.frame);
    const header = new ProtocolHandler().readHeader(frame);
    expect(headerOf({ ...header, frameBytes: 0, payloadBytes: 0 })).toEqual(vector.header);
    expect(toHex(frame.subarray(header.size))).toBe(vector.payload);
  });
});

describe("refused", () => {
  test.each(V4.refused.map((vector) => [vector.name, vector] as const))("%s", (_, vector) => {
    const bytes = fromHex(vector.frame);
    expect(verdict(() => handlerFor(vector).decode(bytes))).toBe(`${vector.code} check ${vector.check}`);
  });

  const ofFields = V4.refused.filter(({ check }) => check === 12);
  test.each(ofFields.map((vector) => [vector.name, vector] as const))("the place of %s", (_, { frame, path, code }) => {
    const place = { check: 12, path: path ?? null };
    expect(() => new ProtocolHandler().decode(fromHex(frame))).toThrow(expect.objectContaining(place));
    expect(path !== undefined || code === "0x102").toBe(true);
  });

  test.each(
    [
      ...ONE_FRAME.map(({ name, frames }) => [name, frames]),
      ...V4.refused.map(({ name, frame }) => [name, frame]),
    ].filter(([, frame]) => frame.startsWith("04") && frame.length >= 22),
  )("%s, by who knows versions 1 to 3 alone", (_, frame) => {
    const handler = new ProtocolHandler({ versions: [1, 2, 3] });
    expect(verdict(() => handler.decode(fromHex(frame)))).toBe("0x100 check 2");
  });
});
