/** Which message goes to which subscription, and what the server is asked for and answers. */

import type { Message } from "../codec/protocol-handler.js";
import { ErrorCode, MAX_STREAM_NAME } from "../protocol.js";
import type { SessionEvent } from "../session/client-session.js";
import { microseconds } from "../session/timestamps.js";
import type { Connection } from "./connection.js";
import type { Gap } from "./cursor.js";
import { FollowedStream, type StreamCallback, type SubscribeOptions, type Subscription } from "./subscription.js";

type Answered = Extract<SessionEvent, { kind: "answered" }>;
type ErrorReceived = Extract<SessionEvent, { kind: "error" }>;

/** What the subscriptions tells its owner. */
export interface SubscriptionsOwner {
  granted(stream: string, from: bigint | null): void;
  denied(error: Error): void;
  lost(gap: Gap): void;
  /** Milliseconds to wait before a server in trouble is asked again. */
  pauseBefore(attempt: number): number;
}

/** What was asked for over one connection. */
interface Requests {
  readonly connection: Connection;
  /** Streams for which an answer is under way. */
  readonly asked: Set<string>;
  /** For each stream that was left, who waits for the server to confirm that. */
  readonly leaving: Map<string, (() => void)[]>;
  /** For each stream, answers under way to subscriptions that were left before they came. */
  readonly unheeded: Map<string, number>;
}

export class Subscriptions {
  readonly #owner: SubscriptionsOwner;
  readonly #streams = new Map<string, FollowedStream>();
  #requests: Requests | null = null;

  constructor(owner: SubscriptionsOwner) {
    this.#owner = owner;
  }

  // --- what the application does ---

  /** @throws Error where the name is none, or the stream is followed already */
  subscribe(stream: string, callback: StreamCallback, options: SubscribeOptions): Subscription {
    if (stream.length === 0 || [...stream].length > MAX_STREAM_NAME) {
      throw new RangeError(`the name of a stream has 1 to ${MAX_STREAM_NAME} characters`);
    }
    if (this.#streams.has(stream)) throw new Error(`the stream "${stream}" is followed already: leave it first`);
    const followed = new FollowedStream(stream, callback, options, (left) => this.#leave(left));
    this.#streams.set(stream, followed);
    if (this.#requests) this.#ask(followed, this.#requests);
    return followed;
  }

  #leave(followed: FollowedStream): Promise<void> {
    const { stream } = followed;
    if (this.#streams.get(stream) !== followed) return Promise.resolve();
    this.#streams.delete(stream);
    this.#tellGaps(followed, followed.cursor.ended());
    followed.end("unsubscribed");
    const requests = this.#requests;
    if (!requests) return Promise.resolve();
    const wasAsked = requests.asked.delete(stream);
    const { session } = requests.connection;
    let confirmed = Promise.resolve();
    if (session.negotiated) {
      // An old server may never answer.
      if (wasAsked) requests.unheeded.set(stream, (requests.unheeded.get(stream) ?? 0) + 1);
      confirmed = new Promise((resolve) => {
        requests.leaving.set(stream, [...(requests.leaving.get(stream) ?? []), resolve]);
      });
    }
    session.unsubscribe(stream);
    requests.connection.stir();
    return confirmed;
  }

  // --- what the connection does ---

  /** There is a connection: what is followed is asked for, from where it broke off. */
  connected(connection: Connection): void {
    const requests = { connection, asked: new Set<string>(), leaving: new Map(), unheeded: new Map() };
    this.#requests = requests;
    for (const followed of this.#streams.values()) this.#ask(followed, requests);
  }

  /** It is gone. */
  disconnected(): void {
    for (const waiting of this.#requests?.leaving.values() ?? []) for (const resolve of waiting) resolve();
    this.#requests = null;
    for (const followed of this.#streams.values()) followed.status = "asked";
  }

  /** There will be no other. */
  end(error: Error): void {
    for (const followed of this.#streams.values()) {
      this.#tellGaps(followed, followed.cursor.ended());
      followed.end("closed", error);
    }
    this.#streams.clear();
  }

  /** The subscription that a message is for, and whether it is to be handed over: it may have come before. */
  take(message: Message): { followed: FollowedStream | null; isNew: boolean } {
    const followed = this.#find(message);
    if (!followed) return { followed: null, isNew: true };
    const { gaps, isNew } = followed.cursor.take(message, followed.serverNow());
    this.#tellGaps(followed, gaps);
    if (isNew) followed.received++;
    else followed.duplicates++;
    return { followed, isNew };
  }

  /** The server answered a request for a stream. */
  answered(answer: Answered): void {
    const requests = this.#requests;
    if (!requests) return;
    const { stream } = answer;
    const unheeded = requests.unheeded.get(stream) ?? 0;
    if (answer.status === "unsubscribed") {
      for (const resolve of requests.leaving.get(stream) ?? []) resolve();
      requests.leaving.delete(stream);
    } else if (unheeded) {
      requests.unheeded.set(stream, unheeded - 1);
    } else if (requests.asked.delete(stream)) {
      const followed = this.#streams.get(stream);
      if (followed) this.#heedAnswer(followed, answer);
    }
  }

  /** The server may have said that it has dropped frames of a stream; whether it has, of one that is followed. */
  noticed(error: ErrorReceived): boolean {
    const notice = dropNotice(error);
    const followed = notice && this.#streams.get(notice.stream);
    if (!notice || !followed || !this.#requests) return false;
    const gap = followed.cursor.noticed(notice.from, notice.to, notice.frames, this.#requests.connection.timed);
    if (gap) this.#tellGaps(followed, [gap]);
    return true;
  }

  // --- inside ---

  #ask(followed: FollowedStream, { connection, asked }: Requests): void {
    asked.add(followed.stream);
    if (connection.session.negotiated) {
      connection.session.subscribe(followed.stream, followed.cursor.asksSince());
    } else {
      // It has been asked, and may or may not answer; it goes on from now in any case.
      connection.session.subscribe(followed.stream, null);
      followed.grant();
      this.#owner.granted(followed.stream, null);
      this.#tellGaps(followed, followed.cursor.startedAnew(followed.serverNow()));
    }
    connection.stir();
  }

  #heedAnswer(followed: FollowedStream, answer: Answered): void {
    if (answer.status === "subscribed") {
      followed.grant();
      this.#owner.granted(followed.stream, answer.from);
      this.#tellGaps(followed, followed.answered(answer.from, answer.timestamp));
    } else if (answer.code === null && followed.wasGranted) {
      this.#askLater(followed);
    } else {
      this.#streams.delete(followed.stream);
      this.#owner.denied(followed.deny(answer.code));
    }
  }

  /** The server has granted it before and now says no without saying why: its own trouble, which may pass. */
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

  #find(message: Message): FollowedStream | null {
    const stream = streamOf(message);
    if (stream === null) return this.#onlyOne();
    const followed = this.#streams.get(stream) ?? null;
    // What was on its way when the stream was left is not for whoever asked for it anew.
    const isLate = this.#requests?.leaving.has(stream) && this.#requests.asked.has(stream);
    return isLate ? null : followed;
  }

  /** An old server may not name the stream in its messages; where only one is followed, it is that. */
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
  const { data } = message;
  if (data === null || typeof data !== "object") return null;
  const { stream } = data as { stream?: unknown };
  return typeof stream === "string" ? stream : null;
}

/** Stream, first and last timestamp and number of the frames that the server says it dropped. */
function dropNotice({ code, details }: ErrorReceived) {
  if (code !== ErrorCode.RATE_LIMIT_EXCEEDED && code !== ErrorCode.MESSAGE_TOO_LARGE) return null;
  if (details === null || typeof details !== "object") return null;
  const { stream, from, to, dropped } = details as {
    stream?: unknown;
    from?: unknown;
    to?: unknown;
    dropped?: unknown;
  };
  if (typeof stream !== "string" || typeof from !== "number" || typeof to !== "number") return null;
  if (!Number.isInteger(dropped)) return null;
  return { stream, from: microseconds(from), to: microseconds(to), frames: dropped as number };
}
