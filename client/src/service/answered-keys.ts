/** Takes the keys of sealed streams out of received bytes, before the application or a log sees them. */
import { inflate } from "../codec/compression.js";
import { crc32 } from "../codec/crc32.js";
import { FLAG_SINCE, Flag, HEADER_SIZES, MAX_ANSWER_PAYLOAD, MessageType, STREAM_KEY_SIZE } from "../protocol.js";

const LENGTH_AT = 3;
const CHECKSUM_AT = 7;
const FORM_AT = 19;
/** Bits of the form for the compression algorithm. */
const ALGORITHM = 0x03;
const FIELD = /* @__PURE__ */ new TextEncoder().encode("keys");
/** The heads of 32 bytes in MessagePack. */
const HEADS = [
  [0xc4, STREAM_KEY_SIZE],
  [0xc5, 0, STREAM_KEY_SIZE],
  [0xc6, 0, 0, 0, STREAM_KEY_SIZE],
] as const;

/**
 * Returns a WebSocket message with zeros in place of the keys in its answers; the same bytes if it has none. An answer that
 * was compressed is not any more, and what cannot be inflated is left out.
 */
export function withoutKeys(bytes: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = [];
  let isChanged = false;
  for (let offset = 0; offset < bytes.length; ) {
    const size = sizeAt(bytes, offset);
    const frame = bytes.subarray(offset, size === null ? undefined : offset + size);
    const blanked = size !== null && frame[1] === MessageType.SUBSCRIPTION_ACK ? blankedAnswer(frame) : frame;
    isChanged ||= blanked !== frame;
    frames.push(blanked);
    offset += frame.length;
  }
  return isChanged ? joined(frames) : bytes;
}

/** Returns the size of a frame; null if it cannot be known. */
function sizeAt(bytes: Uint8Array, offset: number): number | null {
  const size = (HEADER_SIZES as Readonly<Record<number, number>>)[bytes[offset]];
  if (size === undefined || bytes.length - offset < size) return null;
  return size + new DataView(bytes.buffer, bytes.byteOffset + offset).getUint32(LENGTH_AT);
}

function blankedAnswer(frame: Uint8Array): Uint8Array {
  const size = (HEADER_SIZES as Readonly<Record<number, number>>)[frame[0]];
  const isDeflated = frame[0] >= FLAG_SINCE[Flag.COMPRESSED] && (frame[2] & Flag.COMPRESSED) !== 0;
  const payload = isDeflated ? inflated(frame.subarray(size)) : frame.subarray(size);
  const blanked = blankedPayload(payload);
  if (blanked === payload && payload.length > 0) return frame;
  const copy = new Uint8Array(size + blanked.length);
  copy.set(frame.subarray(0, size));
  copy.set(blanked, size);
  if (isDeflated) copy[2] &= ~Flag.COMPRESSED;
  if (isDeflated && size > FORM_AT) copy[FORM_AT] &= ~ALGORITHM;
  const view = new DataView(copy.buffer);
  view.setUint32(LENGTH_AT, blanked.length);
  view.setUint32(CHECKSUM_AT, crc32(copy, size));
  return copy;
}

function inflated(payload: Uint8Array): Uint8Array {
  try {
    return inflate(payload, MAX_ANSWER_PAYLOAD);
  } catch {
    return new Uint8Array(0);
  }
}

/** Whatever the packer and the order of the fields: no 32 bytes of an answer with keys are left. */
function blankedPayload(payload: Uint8Array): Uint8Array {
  if (!hasAt(payload, FIELD)) return payload;
  const copy = payload.slice();
  for (let at = 0; at < copy.length; at++)
    for (const head of HEADS)
      if (head.every((byte, i) => payload[at + i] === byte))
        copy.fill(0, at + head.length, at + head.length + STREAM_KEY_SIZE);
  return copy;
}

function hasAt(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let at = bytes.indexOf(part[0]); at >= 0; at = bytes.indexOf(part[0], at + 1))
    if (part.every((byte, i) => bytes[at + i] === byte)) return true;
  return false;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
