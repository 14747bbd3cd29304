/** The application's messages on their way to a connection, over any number of connections. */

import { Capability, Flag } from "../protocol.js";
import type { Packed } from "../session/client-session.js";
import { NotAcknowledged } from "./backoff.js";
import type { Connection } from "./connection.js";

interface Entry {
  readonly message: Packed;
  readonly resolve: (timestamp: bigint) => void;
  readonly reject: (error: Error) => void;
  attempts: number;
}

export class Outbox {
  #waiting: Entry[] = [];
  #waitingBytes = 0;
  readonly #unacknowledged = new Map<bigint, Entry>();
  readonly #attempts: number;
  readonly #most: { readonly messages: number; readonly bytes: number };

  /** @param attempts how often a message is sent before it is given up */
  constructor(attempts: number, most: { readonly messages: number; readonly bytes: number }) {
    this.#attempts = attempts;
    this.#most = most;
  }

  /** Whether nothing waits that must go first. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * Has a message wait. Fulfilled with its timestamp once it has left, or once the server's application has it where it
   * asks for that.
   */
  put(message: Packed): Promise<bigint> {
    const bytes = sizeOf(message);
    if (this.#waiting.length >= this.#most.messages || this.#waitingBytes + bytes > this.#most.bytes) {
      return Promise.reject(new RangeError(`${this.#waiting.length} messages wait for a connection already`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ message, resolve, reject, attempts: 0 });
      this.#waitingBytes += bytes;
    });
  }

  /** Gives the connection what it has room for. */
  fill(connection: Connection): void {
    while (connection.hasRoom) {
      const entry = this.#waiting.shift();
      if (!entry) break;
      this.#waitingBytes -= sizeOf(entry.message);
      this.#send(entry, connection);
    }
  }

  #send(entry: Entry, connection: Connection): void {
    const { message } = entry;
    const asksForReceipt = (message.flags & Flag.ACK_REQUIRED) !== 0;
    if (asksForReceipt && !connection.session.capabilities.has(Capability.ACK)) {
      entry.reject(new Error(`the server has no acknowledgements (it speaks V${connection.session.version})`));
      return;
    }
    try {
      connection.session.send({ ...message, attempts: this.#attempts - entry.attempts });
    } catch (error) {
      entry.reject(error as Error);
      return;
    }
    if (asksForReceipt) this.#unacknowledged.set(message.timestamp, entry);
    else entry.resolve(message.timestamp);
  }

  /** The server's application has a message. */
  acknowledged(timestamp: bigint): void {
    this.#unacknowledged.get(timestamp)?.resolve(timestamp);
    this.#unacknowledged.delete(timestamp);
  }

  /** A connection has given a message up: it is sent over the next one, unless it was sent often enough. */
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

  /** Before those that were sent after it. */
  #putBack(entry: Entry): void {
    const later = this.#waiting.findIndex(({ message }) => message.timestamp > entry.message.timestamp);
    this.#waiting.splice(later < 0 ? this.#waiting.length : later, 0, entry);
    this.#waitingBytes += sizeOf(entry.message);
  }

  /** There will be no connection. */
  end(error: Error): void {
    for (const entry of [...this.#waiting, ...this.#unacknowledged.values()]) entry.reject(error);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#unacknowledged.clear();
  }
}

function sizeOf(message: Packed): number {
  return message.payload?.length ?? 0;
}
