/**
 * Where a viewer is in a stream: up to where it has everything, what it has beyond that, what it will never have.
 *
 * The messages of a stream have rising timestamps, and arrive in that order but for the urgent ones, which overtake.
 * So the place is the timestamp of the last message in line, and the timestamps of those that came ahead of it.
 * Times are in microseconds since 1970.
 *
 * A timestamp names a message; it does not tell whether the message came before. The server's clock may be set back,
 * and what follows is then new, though its timestamps are earlier. So only a message whose own timestamp is remembered
 * counts as a duplicate, and timestamps that go back are told as a gap.
 */
import type { DateTime } from "../codec/date-time.js";
import type { Message } from "../codec/protocol-handler.js";
import { Flag, MessageType } from "../protocol.js";
import { dateTime, microseconds } from "../session/timestamps.js";

/** By how much to go back where the place is only known by a clock: the network delays. */
const MARGIN = 1_000_000n;
/** Messages in line, and messages ahead of it, whose timestamps are remembered. */
const REMEMBERED = 1024;
/** Notices of dropped frames that may wait until the line has passed them. */
const MOST_NOTICES = 64;
/** Flags of messages whose timestamps do not tell how far the stream has come; nor do those of alerts. */
const OUT_OF_LINE = Flag.PRIORITY | Flag.BROADCAST;

/**
 * Messages of a stream that this viewer will not get, or may not get.
 *
 * Where the server's clock went back in between, `to` is earlier than `from`.
 */
export interface Gap {
  readonly stream: string;
  /** None is missing before: the timestamp of the first lost message, or of the last one before the gap. */
  readonly from: bigint;
  /** None is missing after: the timestamp of the last lost message, or of the first one behind the gap. */
  readonly to: bigint;
  /** How many are missing; null where the server cannot know. */
  readonly frames: number | null;
}

/** What comes of a message: the gaps that it comes behind, and whether it is new. */
export interface Taken {
  readonly gaps: readonly Gap[];
  readonly isNew: boolean;
}

const NOT_NEW: Taken = { gaps: [], isNew: false };
const NEW: Taken = { gaps: [], isNew: true };

export class StreamCursor {
  readonly #stream: string;
  /** Everything up to here is had; null where nothing is known yet. */
  #until: bigint | null;
  /** Whether that is the timestamp of a message that came, or a place that the server has named. */
  #exact = false;
  /** Whether that is known by a clock only. */
  #isMoment: boolean;
  #margin = 0n;
  /** Timestamps of the last messages in line, since the clock last went back, oldest first. */
  #seen = new Set<bigint>();
  #ahead = new Set<bigint>();
  #notices: Gap[] = [];

  /** @param since timestamp of the last message that the viewer has already, or a moment by the server's clock */
  constructor(stream: string, since: bigint | Date | null = null) {
    this.#stream = stream;
    this.#until = since instanceof Date ? microseconds(since) : since;
    this.#isMoment = since instanceof Date;
  }

  /** From where to go on over a new connection; null where nothing is known yet. */
  since(): bigint | null {
    return this.#until === null ? null : larger(this.#until - this.#margin, 0n);
  }

  /** `since` as the server is to be asked: an integer names a message, a date is a moment. */
  asksSince(): bigint | DateTime | null {
    const since = this.since();
    return since === null || !this.#isMoment ? since : dateTime(since);
  }

  /** Notes that a message came, at `now` by the server's clock. */
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
      this.#seen.clear(); // no timestamp from before tells anything of what comes now
      this.#ahead.clear();
      this.#reach(timestamp);
      return { gaps, isNew: true };
    }
    this.#reach(timestamp);
    return this.#notices.length ? { gaps: this.#passedNotices(timestamp), isNew: true } : NEW;
  }

  /**
   * Notes that the server has granted the subscription, over a new connection. Gives what is lost.
   *
   * @param from the moment from which messages follow: where the stream begins for this viewer, or, where it was had
   *   before, from where the server can vouch for it again
   * @param timestamp of the server's answer
   */
  answered(from: bigint | null, timestamp: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until === null) {
      // Whatever is published from now on is this viewer's, even if the connection goes before the first came.
      if (from === null) this.#reachMoment(timestamp);
      else this.#goOnAfter(from - 1n);
    } else if (from !== null) {
      // A place that is known by a clock lies within the margin: only what is before that went back.
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

  /** Notes that the stream goes on at `now`, from a server that does not resume. Gives what is lost. */
  startedAnew(now: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until !== null) {
      gaps.push({ stream: this.#stream, from: this.#until, to: larger(now, this.#until), frames: null });
    }
    this.#reachMoment(now);
    return gaps;
  }

  /**
   * Notes that the server has dropped frames. Gives the gap where nobody could tell later that it is passed.
   *
   * Frames that were not dropped may still come between the first and the last that were, and on a connection that
   * breaks now the dropped ones come after all. So the gap counts once the line has passed it.
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

  /** Notes that nothing more will come. Gives what is known to be lost and was not told. */
  ended(): Gap[] {
    const notices = this.#notices;
    this.#notices = [];
    return notices;
  }

  /** A message in line came. */
  #reach(until: bigint): void {
    this.#seen.add(until);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value as bigint);
    this.#goOnAfter(until);
  }

  /** The stream has come so far, by the server's clock. */
  #reachMoment(until: bigint): void {
    this.#until = until;
    this.#exact = false;
    this.#isMoment = true;
    this.#margin = MARGIN;
  }

  /** All up to here is had or told as lost. */
  #goOnAfter(until: bigint): void {
    this.#until = until;
    this.#exact = true;
    this.#isMoment = false;
    this.#margin = 0n;
    for (const ahead of this.#ahead) if (ahead <= until) this.#ahead.delete(ahead);
  }

  /** Remembers a message ahead of the line; false if it is remembered already. */
  #goesAhead(timestamp: bigint): boolean {
    if (this.#ahead.has(timestamp)) return false;
    this.#ahead.add(timestamp);
    if (this.#ahead.size > REMEMBERED) {
      // That many overtook a message that still waits? Rather, nothing is in line: the stream is all alerts.
      const oldest = [...this.#ahead].reduce((a, b) => (a < b ? a : b));
      this.#ahead.delete(oldest);
      if (this.#until === null || oldest > this.#until) this.#reach(oldest);
    }
    return true;
  }

  #passedNotices(until: bigint): Gap[] {
    const passed = this.#notices.filter((gap) => gap.to < until);
    this.#notices = this.#notices.filter((gap) => gap.to >= until);
    return passed;
  }

  /** Gaps that the line was in the middle of when the connection broke. What lay behind it will come again. */
  #halfPassedNotices(): Gap[] {
    const until = this.#until;
    const notices = this.ended();
    if (until === null) return [];
    return notices
      .filter((gap) => gap.from <= until)
      .map((gap) => ({ ...gap, to: gap.to < until ? gap.to : until, frames: null }));
  }
}

/** One gap in place of two, the first of which was told first. */
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
