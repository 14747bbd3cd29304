import type { Message } from "../codec/protocol-handler.js";
import { steadyMicroseconds } from "../codec/send-clock.js";
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";
import type { SessionEvent } from "../session/client-session.js";
import type { StreamPosition } from "../session/stream-book.js";
import { type Gap, StreamCursor, type Taken } from "./cursor.js";
import { callSafely } from "./emitter.js";
import { NumberedCursor } from "./numbered-cursor.js";

type Answered = Extract<SessionEvent, { kind: "answered" }>;

/** Number of messages whose processing by the application is remembered. */
const MOST_IN_HAND = 1024;

/** A message of a stream. */
export type StreamMessage = Message<Record<string, unknown>>;

/**
 * Called with each message of a stream. If it returns a promise, a message with ACK_REQUIRED is acknowledged once the
 * promise is fulfilled, otherwise at once. Other results are ignored.
 */
export type StreamCallback = (message: StreamMessage) => unknown;

/** Where a subscription begins, and what it tells beside messages. */
export interface SubscribeOptions {
  /**
   * Where to resume: the timestamp of the last message that the application has, in microseconds since 1970, as in
   * `Message.timestamp`. If the server does not know it, a gap is reported, and the server sends everything that it keeps.
   * Or a date by the server's clock. By default, the messages that are published from now on.
   */
  readonly since?: bigint | Date;
  /**
   * True to refuse whatever is not sealed on the stream. The subscription is denied with 0x202 if the server has not agreed on
   * encryption. Without it, plain messages are refused from the first key of the stream on. The service needs `sealing`.
   */
  readonly sealed?: boolean;
  /**
   * Milliseconds from which on a message of a sealed stream has `Message.stale`, by the local clock and the message's
   * `timestamp`; 90,000 by default. Sealing does not prove that a message is new.
   */
  readonly staleAfter?: number;
  /**
   * After an interruption, messages that are older than so many milliseconds are not sent first: the present is, and the older ones,
   * alerts included, are a gap. With version 4, `history` returns them. By default, all that the server keeps is sent. Older servers
   * ignore it.
   */
  readonly catchUp?: number;
  /**
   * Called with each gap, after the message before it and before the message after it. An exception is reported as
   * uncaught, and the client continues.
   */
  readonly onGap?: (gap: Gap) => void;
}

/** `asked` until the server has answered; `denied` if it does not permit the stream, or not any more. */
export type SubscriptionStatus = "asked" | "subscribed" | "unsubscribed" | "denied" | "closed";

/** The messages of one stream, each once and in order, except that urgent ones overtake, over any number of connections. */
export interface Subscription {
  readonly stream: string;
  /**
   * "asked" until the server has answered, and while there is no connection; then "subscribed" or "denied". "unsubscribed"
   * after `unsubscribe`, "closed" after the service is closed.
   */
  readonly status: SubscriptionStatus;
  /**
   * Fulfilled once the server has granted the subscription. Rejected with a `ProtocolError` (0x203 or 0x204) if the server
   * denies it, and with an `Error` if the stream is unsubscribed or the service is closed before. A rejection that is not
   * handled is not reported.
   */
  readonly granted: Promise<void>;
  /** As in `SubscribeOptions`; null for none. A change counts from the next connection on. */
  catchUp: number | null;
  /** Number of messages passed to the callback. */
  readonly received: number;
  /** Number of messages that arrived again and were not passed twice. */
  readonly duplicates: number;
  /** Unsubscribes. Fulfilled once the server confirms it, or the connection ends. */
  unsubscribe(): Promise<void>;
}

/** A subscription, with the methods that the client calls. */
export class FollowedStream implements Subscription {
  readonly stream: string;
  /** The position by time, the only one before version 4. */
  readonly cursor: StreamCursor;
  /** The position by number, in version 4. */
  readonly numbers: NumberedCursor;
  /** True if the messages of this connection have numbers. */
  isNumbered = false;
  /** True if the application has subscribed to it as sealed. */
  readonly isSealed: boolean;
  /** Age in milliseconds of the oldest messages that it gets after an interruption; null for all. */
  catchUp: number | null;
  readonly callback: StreamCallback;
  readonly granted: Promise<void>;
  status: SubscriptionStatus = "asked";
  wasGranted = false;
  received = 0;
  duplicates = 0;
  /** How often SUBSCRIBE was sent again to a server that could not serve the stream. */
  attempts = 0;
  /** The server's clock minus `steadyMicroseconds()`, in microseconds; used where messages have no timestamps. */
  #clockOffset = 0n;
  /** Times of urgent messages that arrived before the stream had numbers: they may arrive again, with one. */
  #hadByTime = new Set<bigint>();
  /** Messages that the application processes, and that are acknowledged afterwards. */
  readonly #inHand = new Set<string>();
  readonly #onGap: ((gap: Gap) => void) | undefined;
  readonly #leave: (stream: FollowedStream) => Promise<void>;
  #settle: { grant: () => void; deny: (error: Error) => void } = { grant: () => {}, deny: () => {} };

  constructor(
    stream: string,
    callback: StreamCallback,
    { since, onGap, sealed = false, catchUp }: SubscribeOptions,
    leave: (stream: FollowedStream) => Promise<void>,
  ) {
    this.stream = stream;
    this.callback = callback;
    this.cursor = new StreamCursor(stream, since ?? null);
    this.numbers = new NumberedCursor(stream);
    this.isSealed = sealed;
    this.catchUp = catchUp ?? null;
    this.#onGap = onGap;
    this.#leave = leave;
    this.granted = new Promise((grant, deny) => {
      this.#settle = { grant, deny };
    });
    this.granted.catch(() => {}); // not reported as unhandled: the `error` event reports it
  }

  unsubscribe(): Promise<void> {
    return this.#leave(this);
  }

  /** Returns the time by the server's clock, counted by the local monotonic clock, in microseconds since 1970. */
  serverNow(): bigint {
    return steadyMicroseconds() + this.#clockOffset;
  }

  /** Notes the server's answer to SUBSCRIBE. Returns the messages that are lost. */
  answered(answer: Answered): Gap[] {
    const { line, from, timestamp } = answer;
    if (!line || timestamp === null) return [...this.#leaveNumbers(), ...this.#answeredByTime(from, timestamp)];
    const isFirst = this.numbers.position === null;
    this.#enterNumbers();
    const byNumber = this.numbers.answered(line, from ?? timestamp);
    const byTime = this.cursor.answered(from, timestamp);
    return isFirst ? byTime : byNumber;
  }

  /** Notes an answer without a request: the stream may have begun another epoch. */
  changed({ line, timestamp }: Answered): void {
    if (!line || timestamp === null) return;
    this.#enterNumbers();
    this.numbers.changed(line, timestamp);
  }

  /** Notes that a server that does not resume continues the stream now. Returns the messages that are lost. */
  startedAnew(): Gap[] {
    return [...this.#leaveNumbers(), ...this.cursor.startedAnew(this.serverNow())];
  }

  /** Notes that a message arrived; `position` is its number in version 4. */
  take(message: Message, position: StreamPosition | null): Taken {
    if (position) {
      const timestamp = message.timestamp as bigint;
      if (this.numbers.isFirst(position, timestamp, message)) return this.takeNumber(position, timestamp);
      return { gaps: this.numbers.take(position, timestamp).gaps, isNew: false };
    }
    // If the stream has numbers, a message without one does not belong to it, and does not move the position.
    // After a resume, it may come again.
    if (this.isNumbered) return { gaps: [], isNew: this.cursor.followAhead(message.timestamp ?? 0n) };
    return this.cursor.take(message, this.serverNow());
  }

  /** Notes that a numbered message arrived. */
  takeNumber(position: StreamPosition, timestamp: bigint): Taken {
    const { gaps, isNew } = this.numbers.take(position, timestamp);
    if (!isNew) return { gaps, isNew };
    this.cursor.follow(timestamp, position.overtakes);
    return { gaps, isNew: !(position.overtakes && this.#hadByTime.has(timestamp)) };
  }

  /** Notes that the connection is lost. */
  disconnected(): void {
    this.status = "asked";
    this.isNumbered = false;
    this.numbers.disconnected();
  }

  /** Notes that no more messages will arrive. Returns the gaps that were not reported yet. */
  ended(): Gap[] {
    return [...this.numbers.ended(), ...this.cursor.ended()];
  }

  // --- acknowledging ---

  /** Notes that the application begins to process a message. */
  hold(position: StreamPosition): void {
    this.#inHand.add(nameOf(position));
    if (this.#inHand.size > MOST_IN_HAND) this.#inHand.delete(this.#inHand.values().next().value as string);
  }

  /** Notes that the application has the message. */
  release(position: StreamPosition): void {
    this.#inHand.delete(nameOf(position));
  }

  /** Returns whether the application still processes a message. */
  isInHand(position: StreamPosition): boolean {
    return this.#inHand.has(nameOf(position));
  }

  // --- inside ---

  #enterNumbers(): void {
    if (this.numbers.position === null) this.#hadByTime = new Set(this.cursor.ahead);
    this.isNumbered = true;
  }

  #leaveNumbers(): Gap[] {
    this.isNumbered = false;
    this.#hadByTime.clear();
    return this.numbers.forget();
  }

  /** Notes an answer without numbers, whose timestamp is null before V3. See `StreamCursor.answered`. */
  #answeredByTime(from: bigint | null, timestamp: bigint | null): Gap[] {
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

  deny(code: number | null, reason: string | null = null): ProtocolError {
    const text = `the server denied the stream "${this.stream}"`;
    const error = new ProtocolError(code ?? ErrorCode.PERMISSION_DENIED, reason === null ? text : `${text}: ${reason}`);
    this.end("denied", error);
    return error;
  }

  end(status: SubscriptionStatus, error: Error = new Error(`the stream "${this.stream}" was unsubscribed`)): void {
    this.status = status;
    this.#settle.deny(error);
  }

  passGap(gap: Gap): void {
    const onGap = this.#onGap;
    if (onGap) callSafely(() => onGap(gap));
  }
}

function nameOf({ epoch, number }: StreamPosition): string {
  return `${epoch} ${number}`;
}
