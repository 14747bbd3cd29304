/** The signal of one stream of a service: subscribes, resumes, and keeps the samples with their ages. */

import { microsecondsNow } from "../../src/codec/send-clock.js";
import { ProtocolError } from "../../src/errors.js";
import type { Gap, Message, Subscription } from "../../src/index.js";
import { MessageType } from "../../src/protocol.js";
import type { ServiceOfParts } from "../../src/service/service-of-parts.js";
import { Age, type Seen, type ServerClock } from "./age.js";
import type { EcgFrame, EcgSignal } from "./signal.js";

/** Seconds of history that are requested for a new stream: a page and a little more. */
export const HISTORY = 12;
/** Seconds without a frame of the display after which the page counts as hidden. */
const HIDDEN = 0.25;
/** Seconds between two measurements of the server's clock while the signal is not live. */
const ASKING = 2;

/** Seconds of the monotonic clock, as in frames of the display. */
export const steady = (): number => performance.now() / 1000;
/** Unix seconds by the monotonic clock. */
export const unixSeconds = (): number => (performance.timeOrigin + performance.now()) / 1000;
/** Unix seconds of the local clock as it is set now, which is compared with the server's. */
export const clock = (): number => Number(microsecondsNow()) / 1e6;

/** What is told of the stream, in this order for each message. */
export interface LiveSignalOwner {
  /** A message of the stream. */
  took?(message: Message): void;
  /** The frame that is kept of a message; null if the message has none for this owner. It may throw a ProtocolError. */
  frameOf(message: Message): EcgFrame | null;
  /** A signal begins with a frame; `before` had other leads or another rate. */
  begins(frame: EcgFrame, before: EcgSignal | null): EcgSignal;
  /** A frame was added; `first` is the number of its first sample. */
  kept(signal: EcgSignal, frame: EcgFrame, message: Message, first: number): void;
  /** Messages are lost, after the message before them. */
  lost?(gap: Gap): void;
  /** A message that is no valid ECG_DATA. */
  failed(error: ProtocolError): void;
  /** The server, or the service, refused the stream. */
  denied(error: Error): void;
}

export class LiveSignal {
  /** The stream that is watched; empty for none. */
  stream = "";
  signal: EcgSignal | null = null;
  subscription: Subscription | null = null;
  /** When a subscription was last granted, by the local clock. */
  #subscribedAt = Number.POSITIVE_INFINITY;
  /** Timestamp of the last message of the stream, in microseconds since 1970. */
  #lastTaken: bigint | null = null;
  #displayedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  readonly #age = new Age();
  readonly #forgetGranted: () => void;

  constructor(
    readonly service: ServiceOfParts,
    readonly owner: LiveSignalOwner,
  ) {
    this.#forgetGranted = service.on("subscribed", () => {
      this.#subscribedAt = clock();
    });
  }

  /** Watch another stream. */
  watch(stream: string): void {
    this.unwatch();
    this.stream = stream;
    this.subscribe();
  }

  /** Watch nothing, and forget the signal. */
  unwatch(): void {
    void this.subscription?.unsubscribe();
    this.subscription = null;
    this.stream = "";
    this.signal = null;
    this.#lastTaken = null;
    this.#age.clear();
  }

  /** Watch nothing from now on, also not when the service gets other streams. */
  end(): void {
    this.unwatch();
    this.#forgetGranted();
  }

  /**
   * Subscribe, unless it waits for a connection already: from the last message on, or from `HISTORY` seconds ago, so that
   * there is a full page at once. A closed service has ended its subscriptions.
   */
  subscribe(): void {
    if (this.stream === "" || this.subscription?.status === "asked") return;
    const since = this.#lastTaken === null ? 1000 * (unixSeconds() - HISTORY) : Number(this.#lastTaken / 1000n);
    const mine = this.service.subscribe(this.stream, (message) => this.#take(message), {
      since: new Date(since),
      onGap: (gap) => {
        this.signal?.interrupt(gap.to < gap.from);
        this.owner.lost?.(gap);
      },
    });
    mine.granted.catch((error: Error) => {
      if (mine === this.subscription) this.owner.denied(error);
    });
    this.subscription = mine;
  }

  /** Note that the samples are displayed. @param now in seconds of the monotonic clock */
  displayed(now: number): void {
    this.#displayedAt = now;
  }

  /**
   * The age of the shown samples; null before the first frame.
   *
   * @param isLive while they are not live, the server's clock is measured again.
   */
  seen(now: number, isLive: boolean): Seen | null {
    const { signal } = this;
    if (signal === null) return null;
    if (now - this.#displayedAt > HIDDEN) signal.head.advanceUnseen(now);
    const { position } = signal.head;
    const { end } = signal.buffer;
    const found = this.#age.at(
      Number.isNaN(position) ? end : Math.min(position, end),
      clock(),
      now,
      this.#serverClock(),
    );
    if (!isLive && this.service.state === "open" && now - this.#askedAt > ASKING) {
      this.#askedAt = now;
      this.service.ping().catch(() => {}); // a lost connection is reported elsewhere
    }
    return found;
  }

  /** Seconds that a message has travelled; null if unknown, or if the server had kept it for a resume. */
  latencyOf({ timestamp }: Message): number | null {
    const { clockOffset } = this.service.statistics;
    if (timestamp === null || clockOffset === null) return null;
    const sent = Number(timestamp) / 1e6 - clockOffset;
    return sent > this.#subscribedAt ? clock() - sent : null;
  }

  #take(message: Message): void {
    this.owner.took?.(message);
    if (message.type !== MessageType.ECG_DATA) return;
    if (message.timestamp !== null && message.timestamp === this.#lastTaken) return; // a new subscription begins with the last message
    this.#lastTaken = message.timestamp;
    try {
      const frame = this.owner.frameOf(message);
      if (frame !== null && frame.samples > 0 && frame.leads.length > 0) this.#keep(frame, message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.owner.failed(error);
    }
  }

  /** Add a frame to the signal. */
  #keep(frame: EcgFrame, message: Message): void {
    const now = steady();
    if (this.signal === null || !this.signal.fits(frame)) {
      this.signal = this.owner.begins(frame, this.signal);
      this.#age.clear();
    }
    const { signal } = this;
    signal.take(frame, now);
    const { end } = signal.buffer;
    const first = end - frame.samples;
    const sent = message.timestamp === null ? null : Number(message.timestamp) / 1e6;
    this.#age.arrived({ first, end, rate: signal.head.rate, taken: frame.timestamp, sent, at: clock() }, now);
    this.owner.kept(signal, frame, message, first);
  }

  #serverClock(): ServerClock | null {
    const { clockOffset: offset, clockError: error } = this.service.statistics;
    return offset === null || error === null ? null : { offset, error };
  }
}
