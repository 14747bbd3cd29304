import type { Message } from "../codec/protocol-handler.js";
import { steadyMicroseconds } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import { type Gap, StreamCursor } from "./cursor.js";

/** A message of a stream. */
export type StreamMessage = Message<Record<string, unknown>>;

/**
 * Called with each message of a stream; where it returns a promise, it has the message once that is fulfilled. What else
 * it returns means nothing.
 */
export type StreamCallback = (message: StreamMessage) => unknown;

export interface SubscribeOptions {
  /**
   * What came after it is sent first: after the message of this timestamp, in microseconds since 1970, which is there
   * already; or after this moment, approximately, by the server's clock. Where the server cannot tell what came after
   * it, it sends all that it has, behind a gap.
   */
  readonly since?: bigint | Date;
  /** Called with what can no longer be had, between the message before and the one behind. */
  readonly onGap?: (gap: Gap) => void;
}

export type SubscriptionStatus = "asked" | "subscribed" | "unsubscribed" | "denied" | "closed";

/** The messages of one stream, each once and in order, urgent ones ahead, over any number of connections. */
export interface Subscription {
  readonly stream: string;
  /** "asked" until the server has answered, and again while there is no connection. */
  readonly status: SubscriptionStatus;
  /**
   * Fulfilled once the server has granted the stream; rejected with a `ProtocolError` where it denies it, 0x203 or 0x204.
   * It need not be waited for.
   */
  readonly granted: Promise<void>;
  /** Messages handed over. */
  readonly received: number;
  /** Messages that came again and were not handed over twice. */
  readonly duplicates: number;
  /** Leaves the stream. Fulfilled when the server has confirmed it, or the connection is gone. */
  unsubscribe(): Promise<void>;
}

/** A subscription as the client's own side sees it. */
export class FollowedStream implements Subscription {
  readonly stream: string;
  readonly cursor: StreamCursor;
  readonly callback: StreamCallback;
  readonly granted: Promise<void>;
  status: SubscriptionStatus = "asked";
  wasGranted = false;
  received = 0;
  duplicates = 0;
  /** How often a server in trouble has been asked again. */
  attempts = 0;
  /** The server's clock minus this machine's steady one, in microseconds, where messages have no timestamps. */
  #clockOffset = 0n;
  readonly #onGap: ((gap: Gap) => void) | undefined;
  readonly #leave: (stream: FollowedStream) => Promise<void>;
  #settle: { grant: () => void; deny: (error: Error) => void } = { grant: () => {}, deny: () => {} };

  constructor(
    stream: string,
    callback: StreamCallback,
    { since, onGap }: SubscribeOptions,
    leave: (stream: FollowedStream) => Promise<void>,
  ) {
    this.stream = stream;
    this.callback = callback;
    this.cursor = new StreamCursor(stream, since ?? null);
    this.#onGap = onGap;
    this.#leave = leave;
    this.granted = new Promise((grant, deny) => {
      this.#settle = { grant, deny };
    });
    this.granted.catch(() => {}); // whoever does not wait for it is told by the event
  }

  unsubscribe(): Promise<void> {
    return this.#leave(this);
  }

  /** Now by the server's clock, as it is counted on here: setting this machine's clock does not change it. */
  serverNow(): bigint {
    return steadyMicroseconds() + this.#clockOffset;
  }

  /** The server has granted it, with an answer of that timestamp; null where messages have none. Gives what is lost. */
  answered(from: bigint | null, timestamp: bigint | null): Gap[] {
    if (timestamp !== null) return this.cursor.answered(from, timestamp);
    if (from !== null) this.#clockOffset = from - steadyMicroseconds();
    return this.cursor.answeredUntimed(from, this.serverNow());
  }

  grant(): void {
    this.status = "subscribed";
    this.wasGranted = true;
    this.attempts = 0;
    this.#settle.grant();
  }

  deny(code: number | null): ProtocolError {
    const text = `the server denied the stream "${this.stream}"`;
    const error = new ProtocolError(code ?? ErrorCode.PERMISSION_DENIED, text);
    this.end("denied", error);
    return error;
  }

  end(status: SubscriptionStatus, error: Error = new Error(`the stream "${this.stream}" was left`)): void {
    this.status = status;
    this.#settle.deny(error);
  }

  passGap(gap: Gap): void {
    this.#onGap?.(gap);
  }
}
