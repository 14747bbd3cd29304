/** Cuts a frame of version 4 into fragments, so that urgent messages can leave between them. */
import { crc32 } from "../codec/crc32.js";
import { Flag, FRAGMENT_HEADER, FRAGMENT_SIZE, HEADER_SIZES, STREAM_TYPES } from "../protocol.js";
import { type Outgoing, URGENT } from "./frame-queue.js";

const VERSION = 4;
const HEADER = HEADER_SIZES[VERSION];

/** Returns true if a frame is cut where the peer takes fragments. What overtakes is sent whole, as nothing overtakes it. */
export function isCut({ frame, type, tier }: Outgoing, size = FRAGMENT_SIZE): boolean {
  return frame[0] === VERSION && tier !== URGENT && STREAM_TYPES.has(type) && frame.length - HEADER > size;
}

/** Returns the fragment of a frame whose piece begins at that byte of the payload. */
export function fragmentAt(frame: Uint8Array, offset: number, size = FRAGMENT_SIZE): Uint8Array<ArrayBuffer> {
  const piece = frame.subarray(HEADER + offset, HEADER + offset + size);
  const fragment = new Uint8Array(HEADER + FRAGMENT_HEADER + piece.length);
  fragment.set(frame.subarray(0, HEADER));
  fragment.set(piece, HEADER + FRAGMENT_HEADER);
  fragment[2] |= Flag.FRAGMENT;
  const view = new DataView(fragment.buffer);
  view.setUint32(3, FRAGMENT_HEADER + piece.length);
  view.setUint32(HEADER, frame.length - HEADER);
  view.setUint32(HEADER + 4, offset);
  view.setUint32(7, crc32(fragment, HEADER));
  return fragment;
}
