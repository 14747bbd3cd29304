/** Messages of the application that wait for a connection or for an acknowledgement. */

import { Capability, Flag } from "../protocol.js";
import type { Packed } from "../session/data-sending.js";
import { tierOf, URGENT } from "../session/frame-queue.js";
import type { Connection } from "./connection.js";
import { NotAcknowledged } from "./not-acknowledged.js";

interface Entry {
  readonly message: Packed;
  readonly resolve: (timestamp: bigint) => void;
  readonly reject: (error: Error) => void;
  attempts: number;
}

/** Messages in the order in which they leave, and the bytes of their payloads. */
class WaitingEntries {
  entries: Entry[] = [];
  bytes = 0;

  shift(): Entry | undefined {
    const entry = this.entries.shift();
    if (entry) this.bytes -= sizeOf(entry.message);
    return entry;
  }

  insert(at: number, entry: Entry): void {
    this.entries.splice(at, 0, entry);
    this.bytes += sizeOf(entry.message);
  }
}

/** The outbox. Urgent messages (alerts, and those with PRIORITY) overtake the others, and have a limit of their own. */
export class Outbox {
  #urgent = new WaitingEntries();
  #others = new WaitingEntries();
  readonly #unacknowledged = new Map<bigint, Entry>();
  readonly #attempts: number;
  readonly #most: { readonly messages: number; readonly bytes: number };

  /**
   * @param attempts how often a message is sent at most
   * @param most limits of the waiting messages, which apply to urgent messages and to all others separately
   */
  constructor(attempts: number, most: { readonly messages: number; readonly bytes: number }) {
    this.#attempts = attempts;
    this.#most = most;
  }

  /** Returns whether a message can be sent over a connection at once: there is room, and no message waits before it. */
  lets(message: Packed, connection: Connection): boolean {
    if (isUrgent(message)) return this.#urgent.entries.length === 0 && connection.hasRoomForUrgent;
    return this.#urgent.entries.length + this.#others.entries.length === 0 && connection.hasRoom;
  }

  /** Returns whether a message waits for which a connection has room. */
  canFill(connection: Connection): boolean {
    if (this.#urgent.entries.length) return connection.hasRoomForUrgent;
    return this.#others.entries.length > 0 && connection.hasRoom;
  }

  /**
   * Adds a message. The promise is fulfilled with its timestamp once it is sent, or acknowledged if it has ACK_REQUIRED.
   *
   * It is rejected with a RangeError if too many messages wait, with NotAcknowledged after the last attempt, and with the
   * error of `end`.
   */
  put(message: Packed): Promise<bigint> {
    const { entries, bytes } = this.#waitingLike(message);
    if (entries.length >= this.#most.messages || bytes + sizeOf(message) > this.#most.bytes) {
      return Promise.reject(
        new RangeError(`the outbox is full: ${entries.length} messages of ${bytes} bytes wait for a connection`),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waitingLike(message).insert(entries.length, { message, resolve, reject, attempts: 0 });
    });
  }

  /** Sends messages over a connection until its send queue is full. */
  fill(connection: Connection): void {
    while (this.canFill(connection)) {
      const entry = this.#urgent.shift() ?? this.#others.shift();
      if (entry) this.#send(entry, connection);
    }
  }

  #waitingLike(message: Packed): WaitingEntries {
    return isUrgent(message) ? this.#urgent : this.#others;
  }

  #send(entry: Entry, connection: Connection): void {
    const { message } = entry;
    const asksForReceipt = (message.flags & Flag.ACK_REQUIRED) !== 0;
    if (asksForReceipt && !connection.session.capabilities.has(Capability.ACK)) {
      entry.reject(new Error(`the server has no acknowledgements (it speaks V${connection.session.version})`));
      return;
    }
    try {
      connection.sending.send({ ...message, attempts: this.#attempts - entry.attempts });
    } catch (error) {
      entry.reject(error as Error);
      return;
    }
    if (asksForReceipt) this.#unacknowledged.set(message.timestamp, entry);
    else entry.resolve(message.timestamp);
  }

  /** Notes that a message was acknowledged. */
  acknowledged(timestamp: bigint): void {
    this.#unacknowledged.get(timestamp)?.resolve(timestamp);
    this.#unacknowledged.delete(timestamp);
  }

  /** Sends a message again that a connection did not deliver, unless it was sent `attempts` times in all. */
  undelivered(timestamp: bigint, attempts: number): void {
    const entry = this.#unacknowledged.get(timestamp);
    if (!entry) return;
    this.#unacknowledged.delete(timestamp);
    entry.attempts += attempts;
    if (entry.attempts >= this.#attempts) {
      entry.reject(new NotAcknowledged(timestamp, entry.attempts));
    } else {
      this.#putBack(entry);
    }
  }

  /** Puts a message back in order of timestamps. */
  #putBack(entry: Entry): void {
    const waiting = this.#waitingLike(entry.message);
    const later = waiting.entries.findIndex(({ message }) => message.timestamp > entry.message.timestamp);
    waiting.insert(later < 0 ? waiting.entries.length : later, entry);
  }

  /** Rejects all messages: there will be no connection. */
  end(error: Error): void {
    const waiting = [...this.#urgent.entries, ...this.#others.entries];
    for (const entry of [...waiting, ...this.#unacknowledged.values()]) entry.reject(error);
    this.#urgent = new WaitingEntries();
    this.#others = new WaitingEntries();
    this.#unacknowledged.clear();
  }
}

function isUrgent(message: Packed): boolean {
  return tierOf(message.type, message.flags) === URGENT;
}

function sizeOf(message: Packed): number {
  return message.payload?.length ?? 0;
}
