/**
 * The age of the shown samples.
 *
 * A frame has the time of its first sample, by the clock of its source, and the time at which it was sent, by the server's
 * clock. Round trips measure the offset of the server's clock, with an error. If a sample seems to be taken in the future,
 * the clock of the source is wrong, and the age is unknown. Without timestamps or the offset, a frame is only known to be
 * late if earlier ones arrived sooner.
 */

/** The server's clock minus the local one, and the error of that, in seconds. */
export interface ServerClock {
  readonly offset: number;
  readonly error: number;
}

/** A frame and its time of arrival. */
export interface Arrival {
  /** Numbers of its first sample, and of the sample after its last. */
  readonly first: number;
  readonly end: number;
  /** Samples per second of real time. */
  readonly rate: number;
  /** Time of its first sample, in Unix seconds by the source's clock; null if it has none. */
  readonly taken: number | null;
  /** When it was sent, in Unix seconds by the server's clock; null before V3. */
  readonly sent: number | null;
  /** When it arrived, in Unix seconds by the local clock. */
  readonly at: number;
}

/** Whose timestamps the age is calculated from. */
export type TimeSource = "source" | "server";

/** Times are in seconds. */
export type Seen =
  /** The age by these timestamps, with its error. The server sent the frame `sent` seconds ago. */
  | {
      readonly kind: "age";
      readonly seconds: number;
      readonly error: number;
      by: TimeSource;
      readonly sent: number | null;
    }
  /** The clock is this far ahead, so the age is unknown. */
  | { readonly kind: "ahead"; readonly seconds: number; readonly by: TimeSource; readonly sent: number | null }
  /** The clock of the source was set by this much (negative: back), so it was wrong before or is wrong now. */
  | { readonly kind: "set"; readonly seconds: number; readonly sent: number | null }
  /** There are no timestamps or no offset; the frame is this much later than the earliest one. */
  | { readonly kind: "unknown"; readonly late: number };

/** Seconds by which timestamps may be in the future, as timers are not exact. */
const PUNCTUAL = 0.1;
/** Seconds by which the timestamps of consecutive frames may deviate before the clock counts as set. */
const STEP = 1;
/** Up to this age in seconds, a clock that was set counts as right. */
const BELIEVED = 2;
/** Number of frames that are remembered until the screen reaches them. */
const KEPT = 4096;
/** Drift per second that is allowed for the source's clock; real clocks drift less. */
const FORGETTING = 0.002;

/** Calculates the age of the shown samples from the frames that arrived. */
export class Age {
  /** The frame on the screen and those after it, the oldest first. */
  #arrivals: Arrival[] = [];
  /** Number of the sample that would arrive now if all frames were as early as the earliest. */
  #line = Number.NEGATIVE_INFINITY;
  #lineAt = 0;
  /** Seconds by which the clock of the source was set. */
  #set = 0;

  /** Start anew, for another stream. */
  clear(): void {
    this.#arrivals = [];
    this.#set = 0;
    this.#line = Number.NEGATIVE_INFINITY;
  }

  /** Note a frame. @param steady now, in seconds of a monotonic clock */
  arrived(arrival: Arrival, steady: number): void {
    this.#line = Math.max(arrival.end, this.#lineAtTime(steady, arrival.rate));
    this.#lineAt = steady;
    this.#noteStep(arrival);
    this.#arrivals.push(arrival);
    if (this.#arrivals.length > KEPT) this.#arrivals.shift();
  }

  /**
   * Returns the age of the last sample on the screen; null before the first frame.
   *
   * @param position number of the sample at which the screen is.
   * @param now in Unix seconds by the local clock.
   * @param steady now, by the clock of the arrivals.
   * @param server the offset of the server's clock; null if it is unknown.
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
    // Without a time of the source, the last sample was taken at the latest when the frame was sent.
    const own = shown.taken ?? (shown.sent === null ? null : shown.sent - (shown.end - shown.first) / shown.rate);
    if (own === null) return unknown;
    const by = shown.taken === null ? "server" : "source";
    const seconds = now + server.offset - own - from;
    // The last sample was taken before the frame was sent, and the frame was sent before it arrived.
    const last = own + (shown.end - shown.first) / shown.rate;
    const came = shown.at + server.offset + server.error;
    const early = last - Math.min(came, shown.sent ?? came);
    if (early > PUNCTUAL) return { kind: "ahead", seconds: early, by, sent };
    if (this.#set !== 0 && seconds > BELIEVED) return { kind: "set", seconds: this.#set, sent };
    return { kind: "age", seconds, error: server.error, by, sent };
  }

  /** Note a step of the clock: consecutive samples were taken one after the other, whatever their timestamps. */
  #noteStep(arrival: Arrival): void {
    const last = this.#arrivals.at(-1);
    if (last === undefined || last.taken === null || arrival.taken === null) return;
    if (last.end !== arrival.first) {
      this.#set = 0; // after a gap, the source may be another one
      return;
    }
    const by = arrival.taken - (last.taken + (last.end - last.first) / last.rate);
    // A recording that is played fast gets ahead a little with each frame.
    if (Math.abs(by) > STEP + (last.end - last.first) / last.rate) this.#set += by;
  }

  #lineAtTime(steady: number, rate: number): number {
    return this.#line + (steady - this.#lineAt) * rate * (1 - FORGETTING);
  }
}
