import {
  deflate as deflateWithPako,
  Z_BUF_ERROR,
  Z_FINISH,
  Z_NEED_DICT,
  Z_STREAM_END,
  ZStream,
  zlibInflate,
  zlibInflateInit,
} from "pako";
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";

const FIRST_GUESS = 4;
const SMALLEST_BUFFER = 1024;

/** Compresses a payload to one zlib stream. */
export function deflate(payload: Uint8Array, level: number): Uint8Array {
  return deflateWithPako(payload, { level: level as 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 });
}

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
  const stream = new ZStream();
  zlibInflateInit(stream);
  stream.input = payload;
  stream.avail_in = payload.length;
  // One byte more than the limit, to distinguish a result of exactly that size from a larger one.
  const most = offset + limit + 1;
  let status: number;
  do {
    stream.output = grown(stream.output, Math.min(most, nextSize(stream, payload.length, offset)));
    stream.next_out ||= offset;
    stream.avail_out = stream.output.length - stream.next_out;
    status = zlibInflate(stream, Z_FINISH);
  } while (stream.avail_out === 0 && stream.output.length < most && !isOver(status));
  const size = stream.next_out - offset;
  if (size > limit) {
    throw new ProtocolError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the payload of ${payload.length} bytes inflates past the limit of ${limit} bytes`,
      { check: 10 },
    );
  }
  if (status !== Z_STREAM_END) throw damaged(whyDamaged(stream, status, payload.length, size));
  if (stream.avail_in) throw damaged(`${stream.avail_in} bytes follow the compressed stream of the payload`);
  return stream.output.subarray(offset, stream.next_out);
}

function nextSize(stream: ZStream, compressed: number, offset: number): number {
  const size = stream.output?.length ?? 0;
  return size ? 2 * size : offset + Math.max(SMALLEST_BUFFER, FIRST_GUESS * compressed);
}

function grown(output: Uint8Array<ArrayBuffer> | null, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(size);
  if (output) larger.set(output);
  return larger;
}

/** Returns true if inflating ended or failed; false if it needs a larger buffer or more input. */
function isOver(status: number): boolean {
  return status === Z_STREAM_END || status === Z_NEED_DICT || (status < 0 && status !== Z_BUF_ERROR);
}

function whyDamaged(stream: ZStream, status: number, compressed: number, size: number): string {
  if (status === Z_NEED_DICT) return "the compressed payload needs a preset dictionary";
  if (stream.msg) return `the compressed payload is damaged: ${stream.msg}`;
  return `the compressed payload of ${compressed} bytes is cut short, after ${size} inflated`;
}

function damaged(why: string): ProtocolError {
  return new ProtocolError(ErrorCode.DECOMPRESSION_FAILED, why, { check: 9 });
}
