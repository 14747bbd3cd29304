/** Acknowledgements: of the messages that this side sent, and of those that it received. */

import { REMEMBERED } from "../protocol.js";
import type { Outgoing } from "./frame-queue.js";

/** A sent message that is not acknowledged. Times are in seconds of the owner's clock. */
export interface Waiting {
  readonly outgoing: Outgoing;
  attempts: number;
  /** How often it may be sent in all. */
  readonly most: number;
  /** When it is to be sent again; null while it is in the send queue. */
  due: number | null;
}

/** The sent messages that are not acknowledged, by timestamp. */
export class Unacknowledged {
  readonly #waiting = new Map<bigint, Waiting>();
  readonly #timeout: number;
  #bytes = 0;

  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Bytes of the frames that are not acknowledged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a message that is in the send queue. */
  add(outgoing: Outgoing, most: number): void {
    this.#waiting.set(outgoing.timestamp, { outgoing, attempts: 0, most, due: null });
    this.#bytes += outgoing.frame.length;
  }

  /** Notes that a message was sent. It may be acknowledged already. */
  sent(outgoing: Outgoing, now: number): void {
    const waiting = this.#waiting.get(outgoing.timestamp);
    if (!waiting) return;
    waiting.attempts++;
    waiting.due = now + this.#timeout;
  }

  /** Removes and returns the message with that timestamp; undefined if no such message was sent. */
  acknowledged(timestamp: bigint): Waiting | undefined {
    const waiting = this.#waiting.get(timestamp);
    if (!waiting?.attempts) return undefined;
    this.#waiting.delete(timestamp);
    this.#bytes -= waiting.outgoing.frame.length;
    return waiting;
  }

  /** Removes and returns all messages. */
  clear(): Waiting[] {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#bytes = 0;
    return all;
  }

  /** Returns when the next message is due; infinity if none is. */
  deadline(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const { due } of this.#waiting.values()) if (due !== null && due < deadline) deadline = due;
    return deadline;
  }

  /** Returns the messages to send again. Each is returned once until `sent` is called for it. */
  due(now: number): Waiting[] {
    const due = [...this.#waiting.values()].filter((waiting) => waiting.due !== null && waiting.due <= now);
    for (const waiting of due) waiting.due = null;
    return due;
  }
}

/**
 * The received messages with ACK_REQUIRED, by timestamp, and whether the application has them.
 *
 * There are two sets, so that a message that the application processes slowly is not forgotten because of those that it
 * has finished.
 */
export class Seen {
  readonly #waiting = new Set<bigint>();
  readonly #handedOver = new Set<bigint>();

  add(timestamp: bigint): void {
    remember(this.#waiting, timestamp);
  }

  /** Notes that the application has the message. */
  handOver(timestamp: bigint): void {
    this.#waiting.delete(timestamp);
    remember(this.#handedOver, timestamp);
  }

  has(timestamp: bigint): boolean {
    return this.#waiting.has(timestamp) || this.#handedOver.has(timestamp);
  }

  isHandedOver(timestamp: bigint): boolean {
    return this.#handedOver.has(timestamp);
  }
}

function remember(timestamps: Set<bigint>, timestamp: bigint): void {
  timestamps.add(timestamp);
  if (timestamps.size > REMEMBERED) timestamps.delete(oldestOf(timestamps));
}

function oldestOf(timestamps: Set<bigint>): bigint {
  for (const timestamp of timestamps) return timestamp;
  throw new RangeError("an empty set has no oldest entry");
}
