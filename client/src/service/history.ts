/** The history of a stream that the application has requested. It is sent beside live messages, and does not delay them. */
import type { Message } from "../codec/protocol-handler.js";
import { ProtocolError } from "../errors.js";
import { ErrorCode, MAX_STREAM_NAME, MessageType } from "../protocol.js";
import { microseconds } from "../session/timestamps.js";
import type { AttachedHistory, HistoryAnswered, HistoryHost } from "./attached-history.js";
import type { Connection } from "./connection.js";
import { callSafely } from "./emitter.js";
import type { StreamMessage } from "./subscription.js";

/** Messages of one part of a history whose arrival is watched. */
const MOST_EXPECTED = 1 << 20;

/**
 * A range of time, both ends included: timestamps in microseconds since 1970, as in `Message.timestamp`, or dates by the
 * server's clock.
 */
export interface HistoryRange {
  readonly start: bigint | Date;
  /** By default, up to now. */
  readonly stop?: bigint | Date;
}

/** The messages of a stream in a range of time, as far as the server keeps them. */
export class History implements AttachedHistory {
  readonly stream: string;
  /**
   * Fulfilled after the last message. Rejected if the history is denied or the service closed; an unhandled rejection is
   * not reported.
   */
  readonly finished: Promise<void>;
  /** Number of messages that were passed to the callback. */
  received = 0;
  /** Number of messages that the server no longer had when it was their turn, or that were refused or not opened. */
  lost = 0;
  /** Number of sealed messages whose key is not known; they count as lost. */
  unopened = 0;
  /** The time from which the rest is requested. */
  #rest: bigint;
  #more: bigint | null = null;
  #expected = new Set<number>();
  #epoch: number | null = null;
  /** Numbers of alerts that arrived before messages in line: they come again with the rest. */
  #ahead = new Set<number>();
  readonly #stop: bigint | null;
  readonly #host: HistoryHost;
  readonly #callback: (message: StreamMessage) => unknown;
  #request = 0;
  #connection: Connection | null = null;
  #settle: (error: Error | null) => void = () => {};

  constructor(
    host: HistoryHost,
    stream: string,
    callback: (message: StreamMessage) => unknown,
    { start, stop }: HistoryRange,
  ) {
    this.stream = stream;
    this.#host = host;
    this.#callback = callback;
    this.#rest = microsecondsOf(start);
    this.#stop = stop === undefined ? null : microsecondsOf(stop);
    if (this.#rest < 0n || (this.#stop !== null && this.#stop < this.#rest))
      throw new RangeError("a history goes from a time since 1970 to a later one");
    this.finished = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve());
    });
    this.finished.catch(() => {});
  }

  /** Ends the history: no more messages are sent. */
  end(): void {
    this.#leave(null);
  }

  #leave(error: Error | null): void {
    this.#connection?.session.endHistory(this.stream, this.#request);
    this.#connection?.wake();
    this.#finish(error);
  }

  // --- what the service calls ---

  connected(connection: Connection, request: number): void {
    this.#connection = connection;
    this.#request = request;
    this.#more = null;
    if (!connection.session.numbered) {
      this.#finish(new ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, "the history of a stream needs version 4"));
      return;
    }
    if (connection.session.lacksSeal(this.stream)) {
      const why = `the stream "${this.stream}" is sealed, and the server has not agreed on encryption`;
      this.#finish(new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why));
      return;
    }
    connection.session.askHistory(this.stream, request, this.#rest, this.#stop, this);
    connection.wake();
  }

  fail(error: Error): void {
    this.#leave(error);
  }

  answered({ status, code, reason, line, history }: HistoryAnswered): void {
    if (status === "denied") {
      const text = `the server denied the history of "${this.stream}"${reason === null ? "" : `: ${reason}`}`;
      this.#finish(new ProtocolError(code ?? ErrorCode.PERMISSION_DENIED, text));
    } else if (status === "subscribed") {
      const { end, more } = history;
      const last = line && end !== null ? Math.min(end, line.next + MOST_EXPECTED) : 0;
      this.#expect(line?.epoch ?? null, line?.next ?? last, last);
      this.#more = more;
    } else {
      this.lost += this.#expected.size;
      this.#expected.clear();
      if (this.#more === null) {
        this.#finish(null);
        return;
      }
      if (this.#more > this.#rest) this.#rest = this.#more;
      this.#host.detachHistory(this);
      this.#host.attachHistory(this);
    }
  }

  /** Expects the messages of a part. What was expected before it, over another connection, is lost. */
  #expect(epoch: number | null, first: number, end: number): void {
    const isSame = epoch === this.#epoch;
    this.#epoch = epoch;
    if (!isSame) this.#ahead.clear();
    for (const number of this.#expected) if (!isSame || number < first) this.lost++;
    this.#expected.clear();
    for (let number = first; number < end; number++) if (!this.#ahead.has(number)) this.#expected.add(number);
  }

  take(message: Message, number: number): void {
    if (message.type === MessageType.ANOMALY_ALERT) {
      if (this.#ahead.has(number)) return;
      this.#ahead.add(number);
      this.passed(number, null); // alerts come ahead: the messages before it are still to come
    } else this.passed(number, message.timestamp);
    this.received++;
    callSafely(() => this.#callback(message as StreamMessage));
  }

  passed(number: number, timestamp: bigint | null): void {
    this.#expected.delete(number);
    if (timestamp === null) return;
    if (timestamp >= this.#rest) this.#rest = timestamp + 1n;
    for (const one of this.#ahead) if (one < number) this.#ahead.delete(one);
  }

  refused(number: number): void {
    this.#expected.delete(number);
    this.lost++;
  }

  notOpened(): void {
    this.unopened++;
  }

  disconnected(): void {
    this.#connection = null;
  }

  closed(error: Error): void {
    this.#finish(error);
  }

  #finish(error: Error | null): void {
    this.#connection = null;
    this.#host.detachHistory(this);
    this.#settle(error);
  }
}

/**
 * Asks for the messages of a stream in a range of time, as far as the server keeps them. Needs version 4.
 *
 * They are sent in the class BULK: while live data waits, they get one eighth of the bytes, so that a subscription of the
 * stream is not delayed. They arrive in order, except that alerts come first. If the connection is lost, the rest arrives
 * over the next one.
 *
 * @throws RangeError if the name is empty or too long, or the range is empty
 */
export function history(
  service: HistoryHost,
  stream: string,
  callback: (message: StreamMessage) => unknown,
  range: HistoryRange,
): History {
  if (!stream || [...stream].length > MAX_STREAM_NAME)
    throw new RangeError(`the name of a stream has 1 to ${MAX_STREAM_NAME} characters`);
  const asked = new History(service, stream, callback, range);
  service.attachHistory(asked);
  return asked;
}

function microsecondsOf(time: bigint | Date): bigint {
  return typeof time === "bigint" ? time : microseconds(time);
}
