/**
 * Payloads: MessagePack with the specification's wrappers for dates, UUIDs and arrays.
 *
 * | on the wire | in JavaScript |
 * | --- | --- |
 * | int, float | number; bigint for an integer beyond ±(2^53 - 1) |
 * | str, bool, nil, bin | string, boolean, null, Uint8Array |
 * | array, map | Array, object; a `Map` where a key is no text |
 * | datetime, UUID | `DateTime` (a `Date`), `Uuid` |
 * | ndarray | `NdArray`: a typed array and a shape |
 */

import { DEFAULT_MAX_PAYLOAD } from "../protocol.js";
import { Reader } from "./messagepack-reader.js";
import { type NdArrayForm, Writer } from "./messagepack-writer.js";

export { DateTime } from "./date-time.js";
export type { NdArrayForm } from "./messagepack-writer.js";
export { NdArray, type Samples } from "./ndarray.js";
export { Uuid } from "./uuid.js";

export interface PackOptions {
  /** How arrays are packed; `"list"` by default. */
  readonly ndarray?: NdArrayForm;
  /** Bytes that the payload may have. */
  readonly maxPayload?: number;
}

/**
 * The payload of a message.
 *
 * A number that is an integer of at most 53 bits travels as an integer, any other as a float of 64 bits. A `Date`
 * travels with the offset +00:00. A typed array travels as an array of one dimension, but for a `Uint8Array`, which is
 * bytes; of an `NdArray`, `data` may be one. A property that is undefined is left out.
 *
 * @throws TypeError | RangeError for what has no form on the wire; the text names its path
 * @throws ProtocolError 0x102 where the payload passes `maxPayload`
 */
export function pack(value: unknown, { ndarray = "list", maxPayload = DEFAULT_MAX_PAYLOAD }: PackOptions = {}) {
  return new Writer(0, maxPayload, ndarray).frameOf(value);
}

/**
 * What a payload holds; null for an empty one.
 *
 * Arrays in binary form are views of `payload` where they are aligned in its buffer.
 *
 * @throws ProtocolError check 11: 0x200 where it is not exactly one well-formed value of the specification's types,
 *   0x102 where it has too many arrays and maps
 */
export function unpack(payload: Uint8Array): unknown {
  return new Reader(payload).onlyValue();
}
