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

/** The payload as one zlib stream. */
export function deflate(payload: Uint8Array, level: number): Uint8Array {
  return deflateWithPako(payload, { level: level as 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 });
}

/**
 * What one whole zlib stream holds, never inflating more than one byte past the limit.
 *
 * @param payload the stream, and nothing behind it
 * @param limit bytes that the inflated payload may have
 * @param room bytes to leave in front of the result in its buffer, so that what the sender aligned in the frame still is
 * @throws ProtocolError 0x103 (check 9) where it is no zlib stream, cut short, or followed by other bytes;
 *   0x102 (check 10) where it holds more than `limit` bytes
 */
export function inflate(payload: Uint8Array, limit: number, room = 0): Uint8Array<ArrayBuffer> {
  const stream = new ZStream();
  zlibInflateInit(stream);
  stream.input = payload;
  stream.avail_in = payload.length;
  // One byte more than the limit tells "exactly full" from "too large".
  const most = room + limit + 1;
  let status: number;
  do {
    stream.output = grown(stream.output, Math.min(most, nextSize(stream, payload.length, room)));
    stream.next_out ||= room;
    stream.avail_out = stream.output.length - stream.next_out;
    status = zlibInflate(stream, Z_FINISH);
  } while (stream.avail_out === 0 && stream.output.length < most && !isOver(status));
  const size = stream.next_out - room;
  if (size > limit) {
    throw new ProtocolError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the payload of ${payload.length} bytes inflates past the limit of ${limit} bytes`,
      { check: 10 },
    );
  }
  if (status !== Z_STREAM_END) throw damaged(whyDamaged(stream, status, payload.length, size));
  if (stream.avail_in) throw damaged(`${stream.avail_in} bytes follow the compressed stream of the payload`);
  return stream.output.subarray(room, stream.next_out);
}

function nextSize(stream: ZStream, compressed: number, room: number): number {
  const size = stream.output?.length ?? 0;
  return size ? 2 * size : room + Math.max(SMALLEST_BUFFER, FIRST_GUESS * compressed);
}

function grown(output: Uint8Array<ArrayBuffer> | null, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(size);
  if (output) larger.set(output);
  return larger;
}

/** Whether inflating has come to an end, good or bad; otherwise it is short of room or of input. */
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
