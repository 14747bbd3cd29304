import { ProtocolError } from "../errors.js";
import { Algorithm, Capability, ErrorCode } from "../protocol.js";
import type { Decompressor } from "./decompressor.js";

/** Bytes before the block: the size of the payload. */
const SIZE_FIELD = 4;
/** The highest ratio at which a block compresses. */
const HIGHEST_RATIO = 255;
const LEAST_MATCH = 4;

/** Decompresses LZ4: the size of the payload in four bytes, then one block. */
export const lz4: Decompressor = {
  algorithm: Algorithm.LZ4,
  capability: Capability.LZ4,
  decompress(payload, limit, offset) {
    const length = payload.length - SIZE_FIELD;
    if (length < 1) throw damaged(`${payload.length} bytes are too few for an LZ4 block and its size`);
    const size = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    if (size > limit) {
      const why = `the payload of ${payload.length} bytes inflates to ${size} bytes; the limit is ${limit}`;
      throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check: 10 });
    }
    if (size === 0 || size > HIGHEST_RATIO * length)
      throw damaged(`an LZ4 block of ${length} bytes cannot hold the ${size} bytes that it names`);
    const result = new Uint8Array(offset + size);
    const plain = result.subarray(offset);
    const fault = readBlock(payload.subarray(SIZE_FIELD), plain);
    if (fault) throw damaged(`the LZ4 block of ${length} bytes is damaged: ${fault}`);
    return plain;
  },
};

/** Decompresses a block to exactly `plain`. Returns what is wrong with it, if anything. */
function readBlock(block: Uint8Array, plain: Uint8Array): string | undefined {
  const size = plain.length;
  let from = 0;
  let to = 0;

  /** Adds the bytes that continue a number of a token; NaN if the block ends within them. */
  const number = (begin: number): number => {
    let total = begin;
    for (let more = begin === 15 ? 255 : 0; more === 255; total += more) {
      if (from === block.length) return Number.NaN;
      more = block[from++];
    }
    return total;
  };

  while (from < block.length) {
    const token = block[from++];
    const literals = number(token >> 4);
    if (!(literals <= block.length - from)) return CUT_SHORT;
    if (literals > size - to) return `it holds more than the ${size} bytes that it names`;
    plain.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === block.length) return to === size ? undefined : `it holds fewer than the ${size} bytes that it names`;
    if (block.length - from < 2) return CUT_SHORT;
    const distance = block[from] | (block[from + 1] << 8);
    from += 2;
    if (distance === 0 || distance > to) return "a match begins before the content";
    const length = number(token & 15) + LEAST_MATCH;
    if (Number.isNaN(length)) return CUT_SHORT;
    if (length > size - to) return `it holds more than the ${size} bytes that it names`;
    if (distance >= length) plain.copyWithin(to, to - distance, to - distance + length);
    else for (let i = to; i < to + length; i++) plain[i] = plain[i - distance]; // it repeats what it has just written
    to += length;
  }
  return CUT_SHORT;
}

const CUT_SHORT = "its last sequence is cut short";

function damaged(why: string): ProtocolError {
  return new ProtocolError(ErrorCode.DECOMPRESSION_FAILED, why, { check: 9 });
}
