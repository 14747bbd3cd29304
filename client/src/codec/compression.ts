import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import { inflateZlib } from "./inflate.js";

/** A function as `inflate`. */
export type Inflate = (payload: Uint8Array, limit: number, offset?: number) => Uint8Array<ArrayBuffer>;

const FIRST_GUESS = 4;
const SMALLEST_BUFFER = 1024;

/**
 * Inflates a payload that is one zlib stream. Inflates at most one byte more than the limit.
 *
 * @param payload the stream, with no other bytes after it
 * @param limit largest size of the result, in bytes
 * @param offset bytes to leave free before the result in its buffer; the size of the header keeps arrays aligned
 * @throws ProtocolError 0x103 (check 9): the payload is not a zlib stream, is cut short, or is followed by other bytes;
 *   0x102 (check 10): the result is larger than `limit`
 */
export function inflate(payload: Uint8Array, limit: number, offset = 0): Uint8Array<ArrayBuffer> {
  // One byte more than the limit, to distinguish a result of exactly that size from a larger one.
  const most = offset + limit + 1;
  const guess = offset + Math.max(SMALLEST_BUFFER, FIRST_GUESS * payload.length);
  const { output, end, used, fault } = inflateZlib(payload, most, offset, guess);
  const size = end - offset;
  if (size > limit) {
    throw new ProtocolError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the payload of ${payload.length} bytes inflates past the limit of ${limit} bytes`,
      { check: 10 },
    );
  }
  if (fault === "cut")
    throw damaged(`the compressed payload of ${payload.length} bytes is cut short, after ${size} inflated`);
  if (fault !== null) throw damaged(`the compressed payload is damaged: ${fault}`);
  if (used < payload.length)
    throw damaged(`${payload.length - used} bytes follow the compressed stream of the payload`);
  return output.subarray(offset, end);
}

function damaged(why: string): ProtocolError {
  return new ProtocolError(ErrorCode.DECOMPRESSION_FAILED, why, { check: 9 });
}
