/**
 * Decompresses zstd (RFC 8878) with the library `zstddec`, which has to be installed beside this package: the reference
 * implementation in WebAssembly. A page whose Content-Security-Policy names `script-src` has to allow `wasm-unsafe-eval`.
 */
import type { ZSTDDecoder } from "zstddec";
import type { Decompressor } from "./codec/decompressor.js";
import { ProtocolError } from "./errors.js";
import { Algorithm, Capability, ErrorCode } from "./protocol.js";

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** Largest window, in bytes: the least that RFC 8878 asks of a decoder. */
const LARGEST_WINDOW = 8 * 1024 * 1024;
/** The highest ratio at which a frame compresses: 4 bytes of a block stand for 128 KiB. */
const HIGHEST_RATIO = 32768;
/** Largest content, in bytes: memory that WebAssembly has taken once is never given back. */
const LARGEST_CONTENT = 256 * 1024 * 1024;

/** Loads what decompresses zstd, for `decompressors` of a service or a `ProtocolHandler`. */
export async function zstd(): Promise<Decompressor> {
  const library = await import("zstddec");
  const decoder = new library.ZSTDDecoder();
  await decoder.init();
  return {
    algorithm: Algorithm.ZSTD,
    capability: Capability.ZSTD,
    decompress(payload, limit, offset) {
      const size = contentSize(payload, Math.min(limit, LARGEST_CONTENT));
      const content = decoded(decoder, payload, size);
      // The library returns no bytes where it fails.
      if (content?.length !== size) throw damaged("the zstd frame is damaged");
      const plain = new Uint8Array(offset + size).subarray(offset);
      plain.set(content);
      return plain;
    },
  };
}

function decoded(decoder: ZSTDDecoder, payload: Uint8Array, size: number): Uint8Array | undefined {
  try {
    return decoder.decode(payload, size);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Checks that a payload is one frame as this protocol allows it, and returns the size that it names for its content. */
function contentSize(payload: Uint8Array, limit: number): number {
  if (MAGIC.some((byte, i) => payload[i] !== byte)) throw damaged("the payload is not a zstd frame");
  if (payload.length < 6) throw damaged("the zstd frame is cut short, within its header");
  const descriptor = payload[4];
  if (descriptor & 0x08) throw damaged("the zstd frame has the reserved bit");
  if (descriptor & 0x03) throw damaged("the zstd frame needs a dictionary");
  if (descriptor & 0x04)
    throw damaged("the zstd frame has a checksum of its content, which the CRC-32 makes superfluous");
  const isSingle = (descriptor & 0x20) !== 0;
  const bytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6];
  if (bytes === 0) throw damaged("the zstd frame does not name its content size");
  const start = isSingle ? 5 : 6;
  if (payload.length < start + bytes) throw damaged("the zstd frame is cut short, within its header");
  let size = bytes === 2 ? 256 : 0;
  for (let i = 0; i < bytes; i++) size += payload[start + i] * 2 ** (8 * i);
  if (size > limit) {
    const why = `the payload of ${payload.length} bytes inflates to ${size} bytes; the limit is ${limit}`;
    throw new ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, why, { check: 10 });
  }
  if (size === 0 || size > HIGHEST_RATIO * payload.length)
    throw damaged(`a zstd frame of ${payload.length} bytes cannot hold the ${size} bytes that it names`);
  const window = isSingle ? size : (8 + (payload[5] & 7)) * 2 ** (7 + (payload[5] >> 3));
  if (window > LARGEST_WINDOW)
    throw damaged(`the zstd frame needs a window of ${window} bytes; it may need ${LARGEST_WINDOW}`);
  checkEnd(payload, start + bytes);
  return size;
}

/** Checks that the frame ends with the payload: the library would go on with another frame. */
function checkEnd(payload: Uint8Array, start: number): void {
  let at = start;
  for (let isLast = false; !isLast; ) {
    if (payload.length - at < 3) throw damaged("the zstd frame is cut short");
    const field = payload[at] | (payload[at + 1] << 8) | (payload[at + 2] << 16);
    const type = (field >> 1) & 3;
    if (type === 3) throw damaged("the zstd frame has a block of the reserved type");
    isLast = (field & 1) !== 0;
    at += 3 + (type === 1 ? 1 : field >> 3);
  }
  if (at > payload.length) throw damaged("the zstd frame is cut short");
  if (at < payload.length) throw damaged(`${payload.length - at} bytes follow the zstd frame of the payload`);
}

function damaged(why: string): ProtocolError {
  return new ProtocolError(ErrorCode.DECOMPRESSION_FAILED, why, { check: 9 });
}
