/** Decides whether to reconnect, and after which delay. */
import type { ProtocolError } from "../errors.js";
import { CloseCode, ErrorCode } from "../protocol.js";

/** Seconds that a connection has to last for the delays to start anew. */
const STEADY = 10;

/** The delays between attempts to connect, in milliseconds. */
export interface BackoffOptions {
  readonly initialDelay: number;
  readonly maxDelay: number;
  /** The factor by which each delay is longer than the one before. */
  readonly factor: number;
  /** The share of a delay that is random, 0 to 1, so that viewers do not all reconnect at the same time. */
  readonly jitter: number;
}

export const DEFAULT_BACKOFF: BackoffOptions = { initialDelay: 500, maxDelay: 15_000, factor: 1.6, jitter: 0.5 };

/**
 * The delay before the next connection.
 *
 * If a connection breaks that lasted for `STEADY` seconds, the client reconnects at once, as the cause is most likely
 * local. If it breaks again soon, or if the server closed it, the client waits: the server may have closed thousands of
 * connections at the same time.
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
   * Returns the milliseconds to wait.
   *
   * @param lasted seconds from the end of the negotiation to the end of the connection; 0 if it never got that far
   * @param closed whether one side closed the connection; otherwise it broke
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

/** Returns whether the client must not reconnect: after close code 1008, or without a common protocol version. */
export function isFinal(code: number, said: ProtocolError | null): boolean {
  const isStranger = code === CloseCode.PROTOCOL_ERROR && said?.code === ErrorCode.INVALID_PROTOCOL_VERSION;
  return code === CloseCode.POLICY || isStranger;
}

/** The connection is lost, and the client does not reconnect. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
  /** The WebSocket close code; null if the connection broke or never opened. */
  readonly code: number | null;
  /** The last error that the server reported, or the error in its last frame; null if there was none. */
  readonly error: ProtocolError | null;

  constructor(reason: string, code: number | null = null, error: ProtocolError | null = null) {
    super(reason, error ? { cause: error } : undefined);
    this.code = code;
    this.error = error;
  }
}
