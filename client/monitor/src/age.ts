/**
 * How old what is seen is: by the clocks where they are known, else what can be said without.
 *
 * A frame tells when its first sample was taken, by the clock of its source, and when it was sent, by the server's. The
 * server's clock is known from round trips, up to an error. Where a frame was taken later than now, the clock of its
 * source is off, and its age is not known. Without timestamps, or without the server's clock, only what comes later than
 * the earliest does is known to be late.
 */

/** What is known of the server's clock: how far it is ahead of ours, and by how much that may be wrong. */
export interface ServerClock {
  readonly offset: number;
  readonly error: number;
}

/** A frame, and when it came. */
export interface Arrival {
  /** Numbers of its first sample and of the one after its last. */
  readonly first: number;
  readonly end: number;
  /** Samples a second of real time. */
  readonly rate: number;
  /** When its first sample was taken, in Unix seconds by the source's clock; null where it does not say. */
  readonly taken: number | null;
  /** When it was sent, in Unix seconds by the server's clock; null where frames have no timestamps. */
  readonly sent: number | null;
  /** When it came, in Unix seconds by our clock. */
  readonly at: number;
}

/** Whose timestamps tell. */
export type Teller = "source" | "server";

/** Times are in seconds. */
export type Seen =
  /** So old, by these timestamps; wrong by `error` at most. `sent` ago the server sent it. */
  | { readonly kind: "age"; readonly seconds: number; readonly error: number; by: Teller; readonly sent: number | null }
  /** Its clock is so far ahead of ours that its timestamps tell no age. */
  | { readonly kind: "ahead"; readonly seconds: number; readonly by: Teller; readonly sent: number | null }
  /** Its clock was set by so much, forward or, where negative, back, and may have been right before or be so now. */
  | { readonly kind: "set"; readonly seconds: number; readonly sent: number | null }
  /** Nobody tells; it is so much later than the earliest came. */
  | { readonly kind: "unknown"; readonly late: number };

/** Seconds by which timestamps may lie in the future: they are made by timers. */
const PUNCTUAL = 0.1;
/** Seconds by which the timestamps of two frames that follow one another may be off where no clock was set. */
const STEP = 1;
/** Seconds of age that are believed of a clock that was set: it was set right. */
const BELIEVED = 2;
/** Frames that are remembered until the screen comes to them; more may wait where it stands still, and are passed over. */
const KEPT = 4096;
/** Share by which the earliest arrivals count less with time: clocks of devices are wrong by less. */
const FORGETTING = 0.002;

export class Age {
  /** Those on the screen and behind it, the oldest first. */
  #arrivals: Arrival[] = [];
  /** Number of the sample that would come now, were all as early as the earliest. */
  #line = Number.NEGATIVE_INFINITY;
  #lineAt = 0;
  /** By how many seconds the clock of the source was set since. */
  #set = 0;

  /** Another stream. */
  clear(): void {
    this.#arrivals = [];
    this.#set = 0;
    this.#line = Number.NEGATIVE_INFINITY;
  }

  /** A frame came. @param steady now, in seconds of a clock that never steps back */
  arrived(arrival: Arrival, steady: number): void {
    this.#line = Math.max(arrival.end, this.#lineAtTime(steady, arrival.rate));
    this.#lineAt = steady;
    this.#noteStep(arrival);
    this.#arrivals.push(arrival);
    if (this.#arrivals.length > KEPT) this.#arrivals.shift();
  }

  /**
   * How old what the screen shows last is. Null before the first frame.
   *
   * @param position number of the sample at which the screen is.
   * @param now in Unix seconds by our clock.
   * @param steady now, by the clock of the arrivals.
   * @param server what is known of the server's clock; null where it does not say.
   */
  at(position: number, now: number, steady: number, server: ServerClock | null): Seen | null {
    while (this.#arrivals.length > 1 && this.#arrivals[1].first <= position) this.#arrivals.shift();
    const shown = this.#arrivals.at(0);
    const newest = this.#arrivals.at(-1);
    if (shown === undefined || newest === undefined) return null;
    const unknown: Seen = {
      kind: "unknown",
      late: Math.max(0, this.#lineAtTime(steady, newest.rate) - position) / newest.rate,
    };
    if (server === null) return unknown;
    const from = Math.max(0, position - shown.first) / shown.rate;
    const sent = shown.sent === null ? null : now + server.offset - shown.sent;
    // What was sent was taken before: of a frame whose source does not say, the last sample was at the latest.
    const own = shown.taken ?? (shown.sent === null ? null : shown.sent - (shown.end - shown.first) / shown.rate);
    if (own === null) return unknown;
    const by = shown.taken === null ? "server" : "source";
    const seconds = now + server.offset - own - from;
    // The last sample was taken before the frame was sent, and both were before it came.
    const last = own + (shown.end - shown.first) / shown.rate;
    const came = shown.at + server.offset + server.error;
    const early = last - Math.min(came, shown.sent ?? came);
    if (early > PUNCTUAL) return { kind: "ahead", seconds: early, by, sent };
    if (this.#set !== 0 && seconds > BELIEVED) return { kind: "set", seconds: this.#set, sent };
    return { kind: "age", seconds, error: server.error, by, sent };
  }

  /** Samples that follow one another were taken one after the other, whatever the clock says. */
  #noteStep(arrival: Arrival): void {
    const last = this.#arrivals.at(-1);
    if (last === undefined || last.taken === null || arrival.taken === null) return;
    if (last.end !== arrival.first) {
      this.#set = 0; // behind a gap there may be another source
      return;
    }
    const by = arrival.taken - (last.taken + (last.end - last.first) / last.rate);
    // One that is played faster than life is ahead by little, frame by frame.
    if (Math.abs(by) > STEP + (last.end - last.first) / last.rate) this.#set += by;
  }

  #lineAtTime(steady: number, rate: number): number {
    return this.#line + (steady - this.#lineAt) * rate * (1 - FORGETTING);
  }
}
