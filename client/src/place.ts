/**
 * Where a viewer is in a stream: up to where it has everything, what it has beyond that, what it will never have.
 *
 * The messages of a stream have rising timestamps, and arrive in that order but for the urgent ones, which overtake.
 * So the place is the timestamp of the last message in line, and the timestamps of those that came ahead of it.
 * Times are in microseconds since 1970.
 */
import { Flag, MessageType } from "./protocol.js";
import type { Message } from "./protocol-handler.js";

/** By how much to go back where the place is only known by a clock: the clocks differ, the network delays. */
const MARGIN = 1_000_000n;
/** Messages ahead of the line whose timestamps are remembered. */
const REMEMBERED_AHEAD = 1024;
/** Notices of dropped frames that may wait until the line has passed them. */
const MOST_NOTICES = 64;
/** Flags of messages whose timestamps do not tell how far the stream has come; nor do those of alerts. */
const OUT_OF_LINE = Flag.PRIORITY | Flag.BROADCAST;

/** Messages of a stream that this viewer will not get. */
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

export class Place {
  readonly #stream: string;
  /** Everything up to here is had; null where nothing is known yet. */
  #until: bigint | null;
  /** Whether that is the timestamp of a message that came, so that no other is to come before it. */
  #exact = false;
  #margin = 0n;
  #ahead = new Set<bigint>();
  #notices: Gap[] = [];

  /** @param since timestamp of the last message that the viewer has already */
  constructor(stream: string, since: bigint | null = null) {
    this.#stream = stream;
    this.#until = since;
  }

  /** From where to go on over a new connection; null where nothing is known yet. */
  since(): bigint | null {
    return this.#until === null ? null : larger(this.#until - this.#margin, 0n);
  }

  /** Notes that a message came, at `now`. */
  take(message: Message, now: bigint): Taken {
    const { timestamp } = message;
    if (timestamp === null) {
      this.#reach(now, false);
      return NEW;
    }
    if (message.flags & OUT_OF_LINE || message.type === MessageType.ANOMALY_ALERT) {
      return this.#goesAhead(timestamp) ? NEW : NOT_NEW;
    }
    if (this.#exact && this.#until !== null && timestamp <= this.#until) return NOT_NEW;
    this.#reach(timestamp, true);
    return this.#notices.length ? { gaps: this.#passedNotices(timestamp), isNew: true } : NEW;
  }

  /**
   * Notes that the server has granted the subscription, over a new connection. Gives what is lost.
   *
   * @param from the moment from which messages follow, where some before it are lost
   * @param timestamp of the server's answer
   */
  answered(from: bigint | null, timestamp: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until === null) {
      // Whatever is published from now on is this viewer's, even if the connection goes before the first came.
      this.#until = timestamp;
      this.#margin = MARGIN;
    } else if (from !== null && from > this.#until + 1n) {
      gaps.push({ stream: this.#stream, from: this.#until, to: from, frames: null });
      this.#until = from - 1n;
      this.#margin = 0n;
      this.#ahead = new Set([...this.#ahead].filter((ahead) => ahead >= from));
    }
    return gaps;
  }

  /** Notes that the stream goes on at `now`, from a server that does not resume. Gives what is lost. */
  startedAnew(now: bigint): Gap[] {
    const gaps = this.#halfPassedNotices();
    if (this.#until !== null) {
      gaps.push({ stream: this.#stream, from: this.#until, to: larger(now, this.#until), frames: null });
    }
    this.#reach(now, false);
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

  #reach(until: bigint, exact: boolean): void {
    this.#until = until;
    this.#exact = exact;
    this.#margin = exact ? 0n : MARGIN;
    if (exact) for (const ahead of this.#ahead) if (ahead <= until) this.#ahead.delete(ahead);
  }

  /** Remembers a message ahead of the line; false if it is remembered already. */
  #goesAhead(timestamp: bigint): boolean {
    if (this.#ahead.has(timestamp)) return false;
    this.#ahead.add(timestamp);
    if (this.#ahead.size > REMEMBERED_AHEAD) {
      // That many overtook a message that still waits? Rather, nothing is in line: the stream is all alerts.
      const oldest = [...this.#ahead].reduce((a, b) => (a < b ? a : b));
      this.#ahead.delete(oldest);
      if (this.#until === null || oldest > this.#until) this.#reach(oldest, true);
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

function joinedGap(one: Gap, other: Gap): Gap {
  return {
    stream: one.stream,
    from: one.from < other.from ? one.from : other.from,
    to: larger(one.to, other.to),
    frames: one.frames === null || other.frames === null ? null : one.frames + other.frames,
  };
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
