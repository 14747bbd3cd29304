/** Holds what arrives from the first message on that needs what is not loaded yet: that is compressed, or has a rare value. */
import { FORM_AT, FORMED_SINCE, isRecord } from "../codec/frame-reader.js";
import { BOUND } from "../codec/record-reader.js";
import { isBinTag } from "../codec/tags.js";
import { DATETIME_KEY, FLAG_SINCE, Flag, HEADER_SIZES, NDARRAY_KEY, UUID_KEY } from "../protocol.js";
import type { SessionParts } from "../session/parts.js";

/** Bytes that may wait. */
const MOST_HELD = 16 * 1024 * 1024;
const LENGTH_AT = 3;
/** Offset of the options in a record. */
const OPTIONS_AT = 3;
/** How the keys begin of the wrappers of arrays, dates and UUIDs. */
const KEY_BEGINS = "__";

const latin = new TextDecoder("latin1");

export class LateUnpacking {
  readonly #unpacking: SessionParts["unpacking"];
  readonly #owner: { take(bytes: Uint8Array): void; failed(why: string): void };
  #held: Uint8Array[] | null = null;
  #bytes = 0;

  /** @param owner gets what was held, in order; or why it cannot be read */
  constructor(
    unpacking: SessionParts["unpacking"],
    owner: { take(bytes: Uint8Array): void; failed(why: string): void },
  ) {
    this.#unpacking = unpacking;
    this.#owner = owner;
  }

  /** Returns true if a WebSocket message is held. */
  holds(bytes: Uint8Array): boolean {
    if (this.#held === null) {
      if (!this.#lacks(bytes)) return false;
      this.#held = [];
      this.#unpacking.load().then(
        () => this.#release(),
        (error: unknown) =>
          this.#owner.failed(`cannot load what reads compressed payloads, lists, dates and bound records: ${error}`),
      );
    }
    this.#held.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > MOST_HELD) this.#owner.failed(`${this.#bytes} bytes wait for what reads them`);
    return true;
  }

  /** Returns true if what a message needs is not loaded. */
  #lacks(bytes: Uint8Array): boolean {
    const { inflate, rare, sha256 } = this.#unpacking;
    return (inflate === null || rare === null || sha256 === null) && (hasRareFrame(bytes) || hasRareValue(bytes));
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    this.#bytes = 0;
    for (const bytes of held) this.#owner.take(bytes);
  }
}

/** Returns true if a message may have a rare value: the keys of one are in no other bytes, but by chance. */
function hasRareValue(bytes: Uint8Array): boolean {
  const text = latin.decode(bytes);
  for (let at = text.indexOf(KEY_BEGINS); at >= 0; at = text.indexOf(KEY_BEGINS, at + 1)) {
    if (text.startsWith(DATETIME_KEY, at) || text.startsWith(UUID_KEY, at)) return true;
    if (text.startsWith(NDARRAY_KEY, at) && !isBinTag(bytes[at + NDARRAY_KEY.length])) return true;
  }
  return false;
}

/** Returns true if a frame of a message is compressed, or a record bound to its template. What is no frame is left to the session. */
function hasRareFrame(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const version = bytes[at];
    const size = (HEADER_SIZES as Readonly<Record<number, number>>)[version];
    if (size === undefined || bytes.length - at < size) return false;
    if (version >= FLAG_SINCE[Flag.COMPRESSED] && bytes[at + 2] & Flag.COMPRESSED) return true;
    if (version >= FORMED_SINCE && isRecord(bytes[at + FORM_AT]) && bytes[at + size + OPTIONS_AT] & BOUND) return true;
    at += size + view.getUint32(at + LENGTH_AT);
  }
  return false;
}
