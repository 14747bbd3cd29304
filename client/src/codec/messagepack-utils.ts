/**
 * Payloads: MessagePack with the specification's wrappers for dates, UUIDs and arrays.
 *
 * | MessagePack | JavaScript |
 * | --- | --- |
 * | int, float | number; bigint for an integer beyond ±(2^53 - 1) |
 * | str, bool, nil, bin | string, boolean, null, Uint8Array |
 * | array, map | Array, object; a `Map`, perhaps of a subclass, if a key is not text |
 * | datetime, UUID | `DateTime` (a `Date`), `Uuid` |
 * | ndarray | `NdArray`: a typed array and a shape |
 */

import { DEFAULT_MAX_PAYLOAD } from "../protocol.js";
import { Reader } from "./messagepack-reader.js";
import { type NdArrayForm, Writer } from "./messagepack-writer.js";
import { RARE_VALUES } from "./rare-values.js";

export { DateTime } from "./date-time.js";
export type { NdArrayForm } from "./messagepack-writer.js";
export { NdArray, type Samples } from "./ndarray.js";
export { Uuid } from "./uuid.js";

/** How a value is packed. */
export interface PackOptions {
  /** Form in which arrays are packed; `"list"` by default. */
  readonly ndarray?: NdArrayForm;
  /** Largest size of the payload, in bytes. */
  readonly maxPayload?: number;
}

/**
 * Packs the payload of a message.
 *
 * A number is packed as an integer if it is an integer of at most 53 bits, otherwise as a float of 64 bits. A `Date`
 * gets the offset +00:00. A `Uint8Array` is packed as bytes, any other typed array as an array of one dimension. To
 * send an array of uint8, make an `NdArray` of the `Uint8Array`. A property that is undefined is left out.
 *
 * @throws TypeError | RangeError a value cannot be packed, or a map has the keys of a wrapper but invalid values; the
 *   message names its path
 * @throws ProtocolError 0x102: the payload exceeds `maxPayload`, or has more values than a receiver accepts
 */
export function pack(value: unknown, { ndarray = "list", maxPayload = DEFAULT_MAX_PAYLOAD }: PackOptions = {}) {
  return new Writer(0, maxPayload, ndarray).frameOf(value);
}

/**
 * Unpacks a payload. An empty payload is null.
 *
 * An array in binary form is a view of `payload` if it is aligned in its buffer, otherwise a copy.
 *
 * @throws ProtocolError check 11: the payload is not exactly one valid value of the types above (0x200), or has too
 *   many values (0x102)
 */
export function unpack(payload: Uint8Array): unknown {
  return new Reader(payload, RARE_VALUES).onlyValue();
}
