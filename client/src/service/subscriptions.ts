/** The subscriptions of a client: requests to the server, its answers, and the delivery of messages. */

import { fieldOf } from "../codec/fields.js";
import type { Message } from "../codec/protocol-handler.js";
import { ProtocolError } from "../errors.js";
import { Capability, ErrorCode, MAX_STREAM_NAME } from "../protocol.js";
import type { SessionEvent } from "../session/client-session.js";
import type { StreamPosition, StreamPositions } from "../session/stream-book.js";
import { microseconds } from "../session/timestamps.js";
import type { Connection } from "./connection.js";
import type { Gap } from "./cursor.js";
import { FollowedStream, type StreamCallback, type SubscribeOptions, type Subscription } from "./subscription.js";

type Answered = Extract<SessionEvent, { kind: "answered" }>;
type Refused = Extract<SessionEvent, { kind: "refused" }>;
type ErrorReceived = Extract<SessionEvent, { kind: "error" }>;

/** The callbacks of the subscriptions' owner. */
export interface SubscriptionsOwner {
  granted(stream: string, from: bigint | null): void;
  denied(error: Error): void;
  lost(gap: Gap): void;
  /** Milliseconds to wait before SUBSCRIBE is sent again to a server that cannot serve a stream. */
  pauseBefore(attempt: number): number;
  /** The sealed streams; null if this side opens nothing. */
  readonly seals: SubscribedSeals | null;
}

/** What subscriptions need of the sealed streams. */
export interface SubscribedSeals {
  /** A subscription begins: it has received nothing yet. */
  begin(stream: string, isSealed: boolean, staleAfter: number | undefined): void;
  /** A subscription has ended. */
  end(stream: string): void;
  /** Returns true if plain messages of the stream are refused. */
  isSealed(stream: string): boolean;
}

/** The requests that were sent over one connection. */
interface Requests {
  readonly connection: Connection;
  /** Streams whose SUBSCRIBE the server has not answered yet. */
  readonly asked: Set<string>;
  /** By stream, the promises that wait for the server to confirm UNSUBSCRIBE. */
  readonly leaving: Map<string, (() => void)[]>;
  /** By stream, the number of expected answers for subscriptions that have ended in the meantime. */
  readonly obsolete: Map<string, number>;
}

export class Subscriptions implements StreamPositions {
  readonly #owner: SubscriptionsOwner;
  readonly #streams = new Map<string, FollowedStream>();
  #requests: Requests | null = null;

  constructor(owner: SubscriptionsOwner) {
    this.#owner = owner;
  }

  // --- what the application does ---

  /** @throws RangeError if the name is empty or too long, or an option is out of range @throws Error if there is a subscription already */
  subscribe(stream: string, callback: StreamCallback, options: SubscribeOptions): Subscription {
    if (stream.length === 0 || [...stream].length > MAX_STREAM_NAME) {
      throw new RangeError(`the name of a stream has 1 to ${MAX_STREAM_NAME} characters, not ${[...stream].length}`);
    }
    if (this.#streams.has(stream)) throw new Error(`there is a subscription of "${stream}" already: unsubscribe first`);
    if (options.staleAfter !== undefined && !(options.staleAfter > 0))
      throw new RangeError(`staleAfter is a number of milliseconds above 0, not ${options.staleAfter}`);
    if (options.catchUp !== undefined && !(options.catchUp > 0 && Number.isFinite(options.catchUp)))
      throw new RangeError(`catchUp is a number of milliseconds above 0, not ${options.catchUp}`);
    if (options.sealed && !this.#owner.seals)
      throw new Error(
        "sealed streams need the option `sealing` of the service, and WebCrypto: load the page over https",
      );
    const followed = new FollowedStream(stream, callback, options, (left) => this.#leave(left));
    this.#streams.set(stream, followed);
    this.#owner.seals?.begin(stream, followed.isSealed, options.staleAfter);
    if (this.#requests) this.#ask(followed, this.#requests);
    return followed;
  }

  #leave(followed: FollowedStream, error?: ProtocolError): Promise<void> {
    const { stream } = followed;
    if (this.#streams.get(stream) !== followed) return Promise.resolve();
    this.#remove(stream);
    this.#tellGaps(followed, followed.ended());
    followed.end(error ? "denied" : "unsubscribed", error);
    const requests = this.#requests;
    if (!requests) return Promise.resolve();
    const wasAsked = requests.asked.delete(stream);
    const { session } = requests.connection;
    let confirmed = Promise.resolve();
    if (session.negotiated) {
      // An old server may never answer.
      if (wasAsked) requests.obsolete.set(stream, (requests.obsolete.get(stream) ?? 0) + 1);
      confirmed = new Promise((resolve) => {
        requests.leaving.set(stream, [...(requests.leaving.get(stream) ?? []), resolve]);
      });
    }
    session.unsubscribe(stream);
    requests.connection.wake();
    return confirmed;
  }

  #remove(stream: string): void {
    this.#streams.delete(stream);
    this.#owner.seals?.end(stream);
  }

  // --- what the connection does ---

  /** Subscribes to all streams over a new connection, and resumes where the last one ended. */
  connected(connection: Connection): void {
    const requests = { connection, asked: new Set<string>(), leaving: new Map(), obsolete: new Map() };
    this.#requests = requests;
    for (const followed of this.#streams.values()) this.#ask(followed, requests);
  }

  /** Notes that the connection is lost. */
  disconnected(): void {
    for (const waiting of this.#requests?.leaving.values() ?? []) for (const resolve of waiting) resolve();
    this.#requests = null;
    for (const followed of this.#streams.values()) followed.disconnected();
  }

  /** Ends all subscriptions: there will be no other connection. */
  end(error: Error): void {
    for (const followed of this.#streams.values()) {
      this.#tellGaps(followed, followed.ended());
      followed.end("closed", error);
      this.#remove(followed.stream);
    }
  }

  /**
   * Returns the subscription of a message, and whether the message is new (not a duplicate).
   *
   * @param position number of the message in its stream, in version 4
   */
  take(message: Message, position: StreamPosition | null): { followed: FollowedStream | null; isNew: boolean } {
    const followed = this.#find(position?.stream ?? streamOf(message));
    if (!followed) return { followed: null, isNew: true };
    const { gaps, isNew } = followed.take(message, position);
    this.#tellGaps(followed, gaps);
    if (isNew) followed.received++;
    else followed.duplicates++;
    return { followed, isNew };
  }

  /** Notes a numbered message that the application does not get, because it only describes the stream. */
  explained(position: StreamPosition, timestamp: bigint): void {
    const followed = this.#find(position.stream);
    if (followed) this.#tellGaps(followed, followed.takeNumber(position, timestamp).gaps);
  }

  /** Notes a message that was skipped because it was received before. Returns whether to acknowledge it again. */
  repeated(position: StreamPosition): boolean {
    const followed = this.#find(position.stream);
    if (!followed) return false;
    followed.duplicates++;
    return !followed.isInHand(position);
  }

  /** Notes that a message was refused. If it was refused over an earlier connection as well, it is reported as a gap. */
  refused({ position, timestamp }: Refused): void {
    const followed = position && this.#find(position.stream);
    if (followed && timestamp !== null) this.#tellGaps(followed, followed.numbers.refused(position, timestamp));
  }

  // --- what the session asks ---

  wasReceived(position: StreamPosition): boolean {
    return this.#find(position.stream)?.numbers.wasReceived(position) ?? false;
  }

  wasRefused(position: StreamPosition): boolean {
    if (position.history !== undefined) return false;
    return this.#find(position.stream)?.numbers.wasRefused(position) ?? false;
  }

  // --- what the server says of streams ---

  /** Processes a SUBSCRIPTION_ACK. */
  answered(answer: Answered): void {
    const requests = this.#requests;
    if (!requests) return;
    const { stream } = answer;
    const obsolete = requests.obsolete.get(stream) ?? 0;
    if (answer.status === "unsubscribed") {
      for (const resolve of requests.leaving.get(stream) ?? []) resolve();
      requests.leaving.delete(stream);
    } else if (obsolete) {
      requests.obsolete.set(stream, obsolete - 1);
    } else if (answer.line && requests.leaving.has(stream)) {
      // It is for a subscription that has ended: the server answers UNSUBSCRIBE before the next SUBSCRIBE.
    } else {
      const isAsked = requests.asked.delete(stream);
      const followed = this.#streams.get(stream);
      if (followed && isAsked) this.#handleAnswer(followed, answer);
      else if (followed) this.#handleUnrequested(followed, answer);
    }
  }

  /**
   * Asks for the keys of a stream, as frames wait for one that is not known.
   *
   * @param stream null if it is not known: version 3 does not name it outside the sealed payload
   */
  keyMissing(stream: string | null): void {
    const requests = this.#requests;
    if (!requests) return;
    const sealed = [...this.#streams.values()].filter((followed) => this.#owner.seals?.isSealed(followed.stream));
    const candidates = sealed.length ? sealed : [...this.#streams.values()];
    for (const followed of stream === null ? candidates : [this.#streams.get(stream)]) {
      if (followed?.status === "subscribed" && !requests.asked.has(followed.stream)) this.#ask(followed, requests);
    }
  }

  /** Ends a subscription whose keys are refused: it could open nothing, and has no answer. */
  keysRefused(stream: string, error: ProtocolError): void {
    const requests = this.#requests;
    const followed = this.#streams.get(stream);
    if (!requests) return;
    const obsolete = requests.obsolete.get(stream) ?? 0;
    if (obsolete) requests.obsolete.set(stream, obsolete - 1);
    else if (followed && !requests.leaving.has(stream) && requests.asked.delete(stream)) this.#leave(followed, error);
  }

  /** Processes an ERROR if it is a drop notice of a subscribed stream. Returns whether it is. */
  noticed(error: ErrorReceived): boolean {
    const notice = dropNotice(error);
    const followed = notice && this.#streams.get(notice.stream);
    if (!notice || !followed || !this.#requests) return false;
    if (followed.isNumbered) return true; // the numbers show which messages are lost, and how many
    const gap = followed.cursor.noticed(notice.from, notice.to, notice.frames, this.#requests.connection.timed);
    if (gap) this.#tellGaps(followed, [gap]);
    return true;
  }

  // --- inside ---

  #ask(followed: FollowedStream, { connection, asked }: Requests): void {
    if (this.#owner.seals?.isSealed(followed.stream) && !connection.session.capabilities.has(Capability.ENCRYPTION)) {
      this.#denyPlain(followed);
      return;
    }
    asked.add(followed.stream);
    if (connection.session.negotiated) {
      connection.session.subscribe(
        followed.stream,
        followed.cursor.asksSince(),
        followed.numbers.position,
        followed.catchUp === null ? null : followed.catchUp / 1000,
      );
    } else {
      // An old server may not answer; the messages follow from now on in any case.
      connection.session.subscribe(followed.stream, null);
      followed.grant();
      this.#owner.granted(followed.stream, null);
      this.#tellGaps(followed, followed.startedAnew());
    }
    connection.wake();
  }

  /** Ends the subscription of a sealed stream at a server that has not agreed on encryption. */
  #denyPlain(followed: FollowedStream): void {
    this.#remove(followed.stream);
    this.#tellGaps(followed, followed.ended());
    const why = `the stream "${followed.stream}" is sealed, and the server has not agreed on encryption`;
    const error = new ProtocolError(ErrorCode.AUTHENTICATION_FAILED, why, { reason: "plain" });
    followed.end("denied", error);
    this.#owner.denied(error);
  }

  #handleAnswer(followed: FollowedStream, answer: Answered): void {
    if (answer.status === "subscribed") {
      followed.grant();
      this.#owner.granted(followed.stream, answer.from);
      this.#tellGaps(followed, followed.answered(answer));
    } else if (answer.code === null && followed.wasGranted) {
      this.#askLater(followed);
    } else {
      this.#remove(followed.stream);
      this.#owner.denied(followed.deny(answer.code, answer.reason));
    }
  }

  /** Processes an answer without a request: another epoch, or the end of a right. */
  #handleUnrequested(followed: FollowedStream, answer: Answered): void {
    if (answer.status === "subscribed") followed.changed(answer);
    else if (answer.status === "denied" && answer.code !== null) this.#handleAnswer(followed, answer);
  }

  /** Subscribes again later, as a server that granted it and now denies it without a code may recover. */
  #askLater(followed: FollowedStream): void {
    const requests = this.#requests as Requests;
    setTimeout(
      () => {
        if (requests === this.#requests && this.#streams.get(followed.stream) === followed)
          this.#ask(followed, requests);
      },
      this.#owner.pauseBefore(followed.attempts++),
    );
  }

  #find(stream: string | null): FollowedStream | null {
    if (stream === null) return this.#onlyOne();
    const followed = this.#streams.get(stream) ?? null;
    // A message that was in transit when the stream was unsubscribed is not for the new subscription.
    const isLate = this.#requests?.leaving.has(stream) && this.#requests.asked.has(stream);
    return isLate ? null : followed;
  }

  /** Returns the only subscription to an old server, which may not name streams in its messages; else null. */
  #onlyOne(): FollowedStream | null {
    if (this.#requests?.connection.session.negotiated || this.#streams.size !== 1) return null;
    return this.#streams.values().next().value ?? null;
  }

  #tellGaps(followed: FollowedStream, gaps: Iterable<Gap>): void {
    for (const gap of gaps) {
      followed.passGap(gap);
      this.#owner.lost(gap);
    }
  }
}

function streamOf(message: Message): string | null {
  const stream = fieldOf(message.data, "stream");
  return typeof stream === "string" ? stream : null;
}

/** Returns stream, first and last timestamp and number of the dropped frames; null if it is no drop notice. */
function dropNotice({ code, details }: ErrorReceived) {
  if (code !== ErrorCode.RATE_LIMIT_EXCEEDED && code !== ErrorCode.MESSAGE_TOO_LARGE) return null;
  const [stream, from, to, dropped] = ["stream", "from", "to", "dropped"].map((name) => fieldOf(details, name));
  if (typeof stream !== "string" || !isMoment(from) || !isMoment(to)) return null;
  if (!Number.isSafeInteger(dropped) || (dropped as number) < 0) return null;
  return { stream, from: microseconds(from), to: microseconds(to), frames: dropped as number };
}

function isMoment(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
