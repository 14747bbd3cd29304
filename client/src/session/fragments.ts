/** The fragments that a session receives: they are put together, and what stays unfinished is refused. */
import type { Frame, Header } from "../codec/frame-reader.js";
import { ProtocolError } from "../errors.js";
import type { SessionEvent } from "./events.js";
import { Reassembly } from "./reassembly.js";
import type { StreamBook } from "./stream-book.js";

/** The session that receives them. */
export interface FragmentsOwner {
  readonly maxPayload: number;
  /** Reads the first frame of a message up to check 7, and decodes no payload. */
  readUndecoded(bytes: Uint8Array): Frame;
  refuse(error: ProtocolError, now: number, events: SessionEvent[], header: Header): void;
  isClosing(): boolean;
}

export class Fragments {
  readonly #owner: FragmentsOwner;
  readonly #book: StreamBook;
  readonly #reassembly: Reassembly;

  constructor(book: StreamBook, owner: FragmentsOwner) {
    this.#book = book;
    this.#owner = owner;
    this.#reassembly = new Reassembly(owner.maxPayload);
  }

  /** Returns a message of version 4 as it came; of a fragment, the whole frame if it is the last one, otherwise null. */
  putTogether(bytes: Uint8Array, now: number, events: SessionEvent[]): Uint8Array | null {
    const reassembly = this.#reassembly;
    if (!reassembly.takes(bytes)) return bytes;
    const { header, item, deferred } = this.#owner.readUndecoded(bytes);
    // What is damaged, or not alone, is refused like any frame.
    if (!header || header.size + header.length !== bytes.length) return bytes;
    try {
      if (item instanceof ProtocolError) throw item;
      if (!deferred) return bytes;
      // A message that was received before is skipped once it is whole.
      if (header.streamId && !this.#book.nameOf(header.streamId) && !this.#book.admits(header)) return null;
      const { frame, lost } = reassembly.add(header, bytes.subarray(0, header.size), deferred.payload, now);
      if (lost) {
        const error = reassembly.incomplete(lost, "another one of its class has begun");
        this.#owner.refuse(error, now, events, lost.header);
      }
      return this.#owner.isClosing() ? null : frame;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      reassembly.refuse(header);
      this.#owner.refuse(error, now, events, header);
      return null;
    }
  }

  /** Drops messages of which no further fragment has arrived for so many seconds, and tells the server. */
  dropUnfinished(timeout: number, now: number, events: SessionEvent[]): void {
    for (const one of this.#reassembly.expire(timeout, now)) {
      const why = `nothing more of it came for ${Math.round(now - one.lastAt)} s`;
      this.#owner.refuse(this.#reassembly.incomplete(one, why), now, events, one.header);
    }
  }

  /** Drops unfinished messages of streams that are no longer bound. */
  forgetUnbound(): void {
    this.#reassembly.forget((id) => id !== 0 && this.#book.nameOf(id) === undefined);
  }

  /** Drops the unfinished messages of a stream that the server sends again, if they belong to what follows. */
  forgetLive(stream: string): void {
    this.#reassembly.forget((id) => this.#book.isLive(id, stream));
  }

  /** When `dropUnfinished` is due. */
  deadline(timeout: number): number {
    return this.#reassembly.deadline(timeout);
  }
}
