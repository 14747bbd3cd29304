/** Holds what arrives from the first compressed frame on, until what inflates it is loaded. */
import { FLAG_SINCE, Flag, HEADER_SIZES } from "../protocol.js";
import type { SessionParts } from "../session/parts.js";

/** Bytes that may wait. */
const MOST_HELD = 16 * 1024 * 1024;
const LENGTH_AT = 3;

export class LateInflating {
  readonly #inflating: SessionParts["inflating"];
  readonly #owner: { take(bytes: Uint8Array): void; failed(why: string): void };
  #held: Uint8Array[] | null = null;
  #bytes = 0;

  /** @param owner gets what was held, in order; or why it cannot be inflated */
  constructor(
    inflating: SessionParts["inflating"],
    owner: { take(bytes: Uint8Array): void; failed(why: string): void },
  ) {
    this.#inflating = inflating;
    this.#owner = owner;
  }

  /** Returns true if a WebSocket message is held. */
  holds(bytes: Uint8Array): boolean {
    if (this.#held === null) {
      if (this.#inflating.inflate !== null || !hasCompressed(bytes)) return false;
      this.#held = [];
      this.#inflating.load().then(
        () => this.#release(),
        (error: unknown) => this.#owner.failed(`cannot load what inflates payloads: ${error}`),
      );
    }
    this.#held.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > MOST_HELD) this.#owner.failed(`${this.#bytes} bytes wait to be inflated`);
    return true;
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    this.#bytes = 0;
    for (const bytes of held) this.#owner.take(bytes);
  }
}

/** Returns true if a frame of a WebSocket message is compressed. What is not a frame is left to the session. */
function hasCompressed(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const version = bytes[at];
    const size = (HEADER_SIZES as Readonly<Record<number, number>>)[version];
    if (size === undefined || bytes.length - at < size) return false;
    if (version >= FLAG_SINCE[Flag.COMPRESSED] && bytes[at + 2] & Flag.COMPRESSED) return true;
    at += size + view.getUint32(at + LENGTH_AT);
  }
  return false;
}
