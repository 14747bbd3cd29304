import type { Header } from "../codec/frame-reader.js";
import { Flag } from "../protocol.js";
import type { Arrival } from "./arrivals.js";

const KEY_ID_SIZE = 4;
/** First version whose frames may be sealed. */
export const SEALED_SINCE = 3;

/** Returns true if the payload of a frame is sealed. */
export function isOfSealed({ version, flags }: Header): boolean {
  return version >= SEALED_SINCE && (flags & Flag.ENCRYPTED) !== 0;
}

/** Returns the id of the key with which a frame is sealed; -1 if it is too short to have one. */
export function keyIdOf({ frame: { payload } }: Arrival): number {
  if (payload.length < KEY_ID_SIZE) return -1;
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}
