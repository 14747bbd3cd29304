import type { Algorithm, Capability } from "../protocol.js";

/** Decompresses payloads of version 4 with another algorithm than zlib: `lz4`, or what `zstd()` of "ecgframe/zstd" loads. */
export interface Decompressor {
  readonly algorithm: Algorithm;
  /** What a session announces, so that the peer may compress with the algorithm. */
  readonly capability: Capability;
  /**
   * Decompresses a payload.
   *
   * @param payload the compressed payload, with no other bytes after it
   * @param limit largest size of the result, in bytes
   * @param offset bytes to leave free before the result in its buffer; the size of the header keeps arrays aligned
   * @throws ProtocolError 0x103 (check 9): the payload is damaged; 0x102 (check 10): the result is larger than `limit`
   */
  decompress(payload: Uint8Array, limit: number, offset: number): Uint8Array<ArrayBuffer>;
}
