/** When to connect again, and when not to. */
import type { ProtocolError } from "../errors.js";
import { CloseCode, ErrorCode } from "../protocol.js";

/** Seconds after which a connection that breaks counts as one that was good. */
const STEADY = 10;

/** How the delays grow; times in milliseconds. */
export interface BackoffOptions {
  readonly initialDelay: number;
  readonly maxDelay: number;
  /** By what each delay is longer than the one before. */
  readonly factor: number;
  /** The share of a delay that is random, 0 to 1, so that a thousand viewers do not come back at once. */
  readonly jitter: number;
}

export const DEFAULT_BACKOFF: BackoffOptions = { initialDelay: 500, maxDelay: 15_000, factor: 1.6, jitter: 0.5 };

/**
 * How long to wait before the next connection.
 *
 * A good connection that breaks off is replaced at once: most likely the trouble is this viewer's own. One that breaks
 * again soon, or that the server closed, which may have closed a thousand others with it, waits its turn.
 */
export class Backoff {
  readonly #backoff: BackoffOptions;
  readonly #random: () => number;
  #attempts: number | null = null;

  constructor(backoff: BackoffOptions, random: () => number = Math.random) {
    this.#backoff = backoff;
    this.#random = random;
  }

  /**
   * Milliseconds to wait.
   *
   * @param lasted seconds that the connection stood, from the moment when both sides could talk
   * @param closed whether a side closed it; it broke off otherwise
   */
  pause(lasted: number, closed: boolean): number {
    if (lasted >= STEADY) this.#attempts = null;
    if (this.#attempts === null) {
      this.#attempts = 0;
      if (!closed) return 0;
    }
    const { initialDelay, maxDelay, factor, jitter } = this.#backoff;
    const delay = Math.min(maxDelay, initialDelay * factor ** this.#attempts++);
    return delay * (1 - jitter * this.#random());
  }
}

/** Whether it is of no use to connect again: the server does not want this client, or speaks no version of its. */
export function isFinal(code: number, said: ProtocolError | null): boolean {
  const isStranger = code === CloseCode.PROTOCOL_ERROR && said?.code === ErrorCode.INVALID_PROTOCOL_VERSION;
  return code === CloseCode.POLICY || isStranger;
}

/** There is no connection, and the client does not try for another one. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
  /** With which the WebSocket was closed; null where it broke off, or never opened. */
  readonly code: number | null;
  /** What the server said was wrong, or what was wrong with what it said. */
  readonly error: ProtocolError | null;

  constructor(reason: string, code: number | null = null, error: ProtocolError | null = null) {
    super(reason, error ? { cause: error } : undefined);
    this.code = code;
    this.error = error;
  }
}

/** A message was sent as often as it may be, and the server's application never said that it has it. */
export class NotAcknowledged extends Error {
  override readonly name = "NotAcknowledged";
  /** Of the message, in microseconds since 1970. */
  readonly timestamp: bigint;
  readonly attempts: number;

  constructor(timestamp: bigint, attempts: number) {
    super(`the message was sent ${attempts} times, and the server acknowledged none`);
    this.timestamp = timestamp;
    this.attempts = attempts;
  }
}
