/** Messages that the server is to acknowledge: waited for, sent again, given up. And those that we have acknowledged. */

import { REMEMBERED } from "../protocol.js";
import type { Outgoing } from "./outgoing.js";

/** A message of ours that is not acknowledged. Times are in seconds of the owner's clock. */
export interface Waiting {
  readonly outgoing: Outgoing;
  attempts: number;
  /** How often it may be sent. */
  readonly most: number;
  /** When it is to be sent again; null while it waits to be sent. */
  due: number | null;
}

/** The sender's book, by timestamp. */
export class Unacknowledged {
  readonly #waiting = new Map<bigint, Waiting>();
  readonly #timeout: number;

  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Notes that the message waits to be sent. */
  add(outgoing: Outgoing, most: number): void {
    this.#waiting.set(outgoing.timestamp, { outgoing, attempts: 0, most, due: null });
  }

  /** Notes that it has been sent; nothing happens if it was acknowledged meanwhile. */
  sent(outgoing: Outgoing, now: number): void {
    const waiting = this.#waiting.get(outgoing.timestamp);
    if (!waiting) return;
    waiting.attempts++;
    waiting.due = now + this.#timeout;
  }

  /** Takes out the message of that timestamp; undefined if none waits that was sent. */
  acknowledged(timestamp: bigint): Waiting | undefined {
    const waiting = this.#waiting.get(timestamp);
    if (!waiting?.attempts) return undefined;
    this.#waiting.delete(timestamp);
    return waiting;
  }

  /** Forgets all, and says what they were. */
  clear(): Waiting[] {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    return all;
  }

  /** When the first is due. */
  deadline(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const { due } of this.#waiting.values()) if (due !== null && due < deadline) deadline = due;
    return deadline;
  }

  /** Those that are to be sent again; each once, until `sent` is told of it. */
  due(now: number): Waiting[] {
    const due = [...this.#waiting.values()].filter((waiting) => waiting.due !== null && waiting.due <= now);
    for (const waiting of due) waiting.due = null;
    return due;
  }
}

/**
 * The receiver's book: which messages came already, and whether the application has them.
 *
 * Two lists, so that a message on which the application works for long is not forgotten for those it has done with.
 */
export class Seen {
  readonly #came = new Set<bigint>();
  readonly #handedOver = new Set<bigint>();

  add(timestamp: bigint): void {
    remember(this.#came, timestamp);
  }

  /** Notes that the application has the message. */
  handOver(timestamp: bigint): void {
    this.#came.delete(timestamp);
    remember(this.#handedOver, timestamp);
  }

  has(timestamp: bigint): boolean {
    return this.#came.has(timestamp) || this.#handedOver.has(timestamp);
  }

  isHandedOver(timestamp: bigint): boolean {
    return this.#handedOver.has(timestamp);
  }
}

function remember(book: Set<bigint>, timestamp: bigint): void {
  book.add(timestamp);
  if (book.size > REMEMBERED) book.delete(oldestOf(book));
}

function oldestOf(book: Set<bigint>): bigint {
  for (const timestamp of book) return timestamp;
  throw new RangeError("an empty book has no oldest entry");
}
