/**
 * The position of a viewer in a stream: which messages it has, and which ones it will never get.
 *
 * The messages of a stream have rising timestamps and arrive in that order, except for urgent ones, which overtake. So a
 * cursor consists of the timestamp of the last message in order, and the timestamps of urgent messages after it. Times
 * are in microseconds since 1970.
 *
 * A message counts as received before only if its exact timestamp is remembered. Clocks are not compared: if the
 * timestamps of a stream go back, because the server restarted with another clock, the cursor reports a gap and continues
 * from there.
 */
import type { ExactDate } from "../codec/exact-date.js";
import type { Message } from "../codec/protocol-handler.js";
import { Flag, MessageType } from "../protocol.js";
import { dateTime, microseconds } from "../session/timestamps.js";

/** Microseconds to go back where the position is only a time by a clock: the network delays messages. */
const MARGIN = 1_000_000n;
/** Number of messages in order, and of urgent messages after them, whose timestamps are remembered. */
const REMEMBERED = 1024;
/** Number of drop notices that may wait for a message after the dropped frames. */
const MOST_NOTICES = 64;
/** Flags of messages that overtake. Like those of alerts, their timestamps do not move the position in the stream. */
const OUT_OF_LINE = Flag.PRIORITY | Flag.BROADCAST;

/**
 * Messages of a stream that this viewer will not get. Times are in microseconds since 1970.
 *
 * If the server's clock was set back in between, `to` is earlier than `from`.
 */
export interface Gap {
  readonly stream: string;
  /** Timestamp of the first lost message, or of the last message before the gap. */
  readonly from: bigint;
  /** Timestamp of the last lost message, or of the first message after the gap. */
  readonly to: bigint;
  /** Number of lost messages; null if it is unknown. In version 4 it is exact, unless the stream began another epoch. */
  readonly frames: number | null;
}

/** The result for a message: the gaps before it, and whether it is new (not a duplicate). */
export interface Taken {
  readonly gaps: readonly Gap[];
  readonly isNew: boolean;
}

const NOT_NEW: Taken = { gaps: [], isNew: false };
const NEW: Taken = { gaps: [], isNew: true };

/** The position of one viewer in one stream. */
export class StreamCursor {
  readonly #stream: string;
  /** The viewer has everything up to this timestamp; null if nothing has arrived. */
  #until: bigint | null;
  /** True if `#until` is the timestamp of a received message, or one that the server has named. */
  #exact = false;
  /** True if `#until` is only a time by a clock. */
  #isMoment: boolean;
  #margin = 0n;
  /** Timestamps of the last messages in order, since the clock last went back, oldest first. */
  #seen = new Set<bigint>();
  /** Timestamps of urgent messages after `#until`, in the order of arrival. */
  #ahead = new Set<bigint>();
  /** The last timestamp that was removed from `#ahead` because there were too many. */
  #forgotten: bigint | null = null;
  #notices: Gap[] = [];

  /** @param since timestamp of the last message that the viewer has, or a time by the server's clock */
  constructor(stream: string, since: bigint | Date | null = null) {
    this.#stream = stream;
    this.#until = since instanceof Date ? microseconds(since) : since;
    this.#isMoment = since instanceof Date;
  }

  /** Returns the timestamp after which to resume over a new connection; null if nothing has arrived. */
  since(): bigint | null {
    if (this.#until === null) return this.#forgotten; // only alerts have arrived
    return larger(this.#until - this.#margin, 0n);
  }

  /** Returns `since` for SUBSCRIBE: a bigint is the timestamp of a message, a date is a time by a clock. */
  asksSince(): bigint | ExactDate | null {
    const since = this.since();
    return since === null || !this.#isMoment ? since : dateTime(since);
  }

  /** Notes that a message arrived at `now`, by the server's clock. */
  take(message: Message, now: bigint): Taken {
    const { timestamp } = message;
    if (timestamp === null) {
      this.#reachMoment(now);
      return NEW;
    }
    if (message.flags & OUT_OF_LINE || message.type === MessageType.ANOMALY_ALERT) {
      return this.#goesAhead(timestamp) ? NEW : NOT_NEW;
    }
    if (this.#exact && this.#until !== null && timestamp <= this.#until) {
      if (this.#seen.has(timestamp)) return NOT_NEW;
      const gaps = [...this.ended(), { stream: this.#stream, from: this.#until, to: timestamp, frames: null }];
      this.#seen.clear(); // earlier timestamps say nothing about the messages that follow
      this.#ahead.clear();
      this.#reach(timestamp);
      return { gaps, isNew: true };
    }
    this.#reach(timestamp);
    return this.#notices.length ? { gaps: this.#passedNotices(timestamp), isNew: true } : NEW;
  }

  /** Notes that a message without a number arrived in a numbered stream. Returns true if it is new. */
  followAhead(timestamp: bigint): boolean {
    return this.#goesAhead(timestamp);
  }

  /** Notes the time of a numbered message, for a resume at a server that does not know its number. */
  follow(timestamp: bigint, overtakes: boolean): void {
    if (overtakes) {
      this.#goesAhead(timestamp);
      return;
    }
    if (this.#until !== null && timestamp < this.#until) {
      this.#seen.clear();
      this.#ahead.clear();
    }
    this.#reach(timestamp);
  }

  /** The timestamps of urgent messages that arrived, after the last message in order. */
  get ahead(): ReadonlySet<bigint> {
    return this.#ahead;
  }

  /**
   * Notes that the server granted the subscription over a new connection. Returns the messages that are lost.
   *
   * @param from the time from which messages follow: the beginning of the stream for a new viewer, or, after a resume,
   *   the time after which no message is missing
   * @param timestamp of the server's answer
   */
  answered(from: bigint | null, timestamp: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until === null) {
      // Resume from here if the connection is lost before the first message arrives.
      if (from === null) this.#reachMoment(timestamp);
      else this.#goOnAfter(from - 1n);
    } else if (from !== null) {
      // A time by a clock may be wrong by the margin: only what is earlier shows that the clock went back.
      const wentBack = from <= this.#until - this.#margin;
      if (wentBack || from > this.#until + 1n) {
        gaps.push({ stream: this.#stream, from: this.#until, to: from, frames: null });
      }
      if (wentBack) this.#ahead.clear();
      this.#seen.clear();
      this.#goOnAfter(from - 1n);
    }
    return gaps;
  }

  /** Notes the same over a connection whose messages have no timestamps, at `now` by the server's clock. */
  answeredUntimed(from: bigint | null, now: bigint): Gap[] {
    const wasNew = this.#until === null;
    const gaps = this.answered(from, now);
    if (wasNew) this.#reachMoment(now);
    return gaps;
  }

  /** Notes that a server that does not resume continues the stream at `now`. Returns the messages that are lost. */
  startedAnew(now: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until !== null) {
      gaps.push({ stream: this.#stream, from: this.#until, to: larger(now, this.#until), frames: null });
    }
    this.#reachMoment(now);
    return gaps;
  }

  /**
   * Notes that the server has dropped frames. Returns the gap if it is to be reported at once, because messages have no
   * timestamps.
   *
   * Frames that were not dropped may still arrive between the first and the last dropped one. And if the connection is
   * lost now, the dropped frames arrive after the resume. So the gap is reported with the first message after it.
   *
   * @param timed whether messages have timestamps on this connection
   */
  noticed(from: bigint, to: bigint, frames: number, timed: boolean): Gap | null {
    let gap: Gap = { stream: this.#stream, from, to, frames };
    if (!timed) return gap;
    if (this.#notices.length === MOST_NOTICES) gap = joinedGap(this.#notices.pop() as Gap, gap);
    this.#notices.push(gap);
    return null;
  }

  /** Notes that no more messages will arrive. Returns the gaps that were not reported yet. */
  ended(): Gap[] {
    const notices = this.#notices;
    this.#notices = [];
    return notices;
  }

  /** Notes that a message arrived in order. */
  #reach(until: bigint): void {
    this.#seen.add(until);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value as bigint);
    this.#goOnAfter(until);
  }

  /** Moves the position to a time by the server's clock. */
  #reachMoment(until: bigint): void {
    this.#until = until;
    this.#exact = false;
    this.#isMoment = true;
    this.#margin = MARGIN;
  }

  /** Notes that everything up to a timestamp has arrived, or is reported as lost. */
  #goOnAfter(until: bigint): void {
    this.#until = until;
    this.#exact = true;
    this.#isMoment = false;
    this.#margin = 0n;
    for (const ahead of this.#ahead) if (ahead <= until) this.#ahead.delete(ahead);
  }

  /** Remembers an urgent message; returns false if it is remembered already. */
  #goesAhead(timestamp: bigint): boolean {
    if (this.#ahead.has(timestamp)) return false;
    this.#ahead.add(timestamp);
    // `#until` stays as it is, however many messages overtake: those in order are still to come.
    if (this.#ahead.size > REMEMBERED) {
      this.#forgotten = this.#ahead.values().next().value as bigint;
      this.#ahead.delete(this.#forgotten);
    }
    return true;
  }

  #passedNotices(until: bigint): Gap[] {
    const passed = this.#notices.filter((gap) => gap.to < until);
    this.#notices = this.#notices.filter((gap) => gap.to >= until);
    return passed;
  }

  /** Returns the gaps that begin before `#until`, cut off there: the server sends again what follows. */
  #halfPassedNotices(): Gap[] {
    const until = this.#until;
    const notices = this.ended();
    if (until === null) return [];
    return notices
      .filter((gap) => gap.from <= until)
      .map((gap) => ({ ...gap, to: gap.to < until ? gap.to : until, frames: null }));
  }
}

/** Joins two gaps to one; `second` was reported later. */
function joinedGap(first: Gap, second: Gap): Gap {
  const wentBack = first.to < first.from || second.to < second.from;
  return {
    stream: first.stream,
    from: wentBack || first.from < second.from ? first.from : second.from,
    to: wentBack ? second.to : larger(first.to, second.to),
    frames: first.frames === null || second.frames === null ? null : first.frames + second.frames,
  };
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
