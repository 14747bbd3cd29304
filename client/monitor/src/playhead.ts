/**
 * Where the screen is in the signal: it runs on steadily, a little behind what has arrived, and never beyond it.
 *
 * Frames come in jerks; the network delays some of them. The earliest arrivals tell how the sender's clock runs against
 * ours: that is the line. The head follows it one and a half frames behind, so that a frame may be half its length late
 * before anything is seen. Where the head has shown all that has come, it stands still: what has not come is late, which
 * is not the same as missing. What comes next is the line from then on, so that a latency that has risen is followed at
 * once; what comes earlier again brings the line back. A network that does both often gets more room.
 */

/** Frames behind the line of the earliest arrivals. */
const FRAMES_BEHIND = 1.5;
/** Seconds behind it at the least: a screen's frame or two. */
const LEAST_BEHIND = 0.035;
/** Share by which the head may run faster or slower to come back to its line. */
const SLEW = 0.4;
/** Seconds behind its line from which the head jumps: after a hidden tab, a new stream, a clock that was set. */
const JUMP = 1;
/** Seconds a second by which the line falls back, so that it follows a sender whose clock is slow. */
const FORGETTING = 0.002;
/** Seconds within which a frame that was late has to be made up for, to count as jitter. */
const JITTER_WITHIN = 1;
/** Seconds of room for jitter at the most, and how many of them are given up in a second. */
const MOST_ROOM = 0.25;
const GIVING_UP = 0.01;
/** Seconds by which the delay has to change, and for how long, before that is told. */
const CHANGE = 0.1;
const LASTING = 1;
/** Seconds until there is a delay that could change: a page that is opened has much to do. */
const BEGINNING = 3;
/** Seconds within which a drift of the delay is forgotten: that of two clocks is told by nobody. */
const DRIFTING = 10;

/** The delay is another one for good, by so many seconds more or, where negative, less. */
export interface DelayChange {
  readonly seconds: number;
  /** When it was found, by the clock of the arrivals. */
  readonly at: number;
}

export class Playhead {
  /** Number of the sample at which the screen is, with its fraction; NaN before the first frame. */
  position = Number.NaN;
  /** The last change of the delay that lasts. */
  change: DelayChange | null = null;
  #rate = 0;
  #frame = 0;
  #end = Number.NEGATIVE_INFINITY;
  #line = Number.NEGATIVE_INFINITY;
  #lineAt = 0;
  #room = 0;
  /** By how many samples the line was set back last, and when. */
  #setBack = { by: 0, at: Number.NEGATIVE_INFINITY };
  /** Seconds by which the line lies behind where it began; as it was last told; and since when it has been another. */
  #delay = 0;
  #told = Number.NaN;
  #otherSince = Number.NaN;
  #least = 0;
  #now = 0;
  #movedUnseen = false;

  /**
   * Samples arrived.
   *
   * @param end number of the sample after the last.
   * @param samples in the frame.
   * @param rate samples a second of real time.
   * @param now in seconds, of a clock that never steps back.
   */
  arrived(end: number, samples: number, rate: number, now: number): void {
    if (rate !== this.#rate) {
      const at = this.#lineAtTime(now);
      this.#rate = rate;
      this.#place(at, now);
    }
    const hadShownAll = this.#lineAtTime(now) - this.#behind >= this.#end;
    this.#frame += (samples - this.#frame) * (this.#frame === 0 ? 1 : 0.1);
    this.#room = Math.max(0, this.#room - GIVING_UP * (samples / rate));
    const fallen = this.#lineAtTime(now) - FORGETTING * rate * Math.min(1, samples / rate);
    if (end < fallen && hadShownAll) this.#setBack = { by: fallen - end, at: now };
    else if (end > fallen && now - this.#setBack.at < JITTER_WITHIN) this.#makeRoom(end - fallen);
    this.#moveLine(hadShownAll ? end : Math.max(end, fallen), now);
    this.#end = end;
    this.#noteDelay(now, samples / rate);
  }

  /** How long the stretch before the next frame is, is not known for certain: the delay behind it is not told as a change. */
  interrupted(): void {
    this.#told = this.#otherSince = Number.NaN;
  }

  /** Move on to now, to draw. Returns whether it jumped. */
  advance(now: number): boolean {
    const jumped = this.#move(now) || this.#movedUnseen;
    this.#movedUnseen = false;
    return jumped;
  }

  /** Move on to now where nothing is drawn, as in a hidden tab. */
  advanceUnseen(now: number): void {
    this.#move(now);
    this.#movedUnseen = true;
  }

  #move(now: number): boolean {
    const target = this.target(now);
    const elapsed = now - this.#now;
    this.#now = now;
    if (Number.isNaN(target)) return false;
    const off = target - this.position;
    if (Number.isNaN(this.position) || Math.abs(off) > JUMP * this.#rate) {
      this.position = target;
      return true;
    }
    const slew = Math.max(-SLEW, Math.min(SLEW, off / (0.5 * this.#rate)));
    this.position = Math.min(this.#end, this.position + this.#rate * elapsed * (1 + slew));
    return false;
  }

  /** Where it should be at that time: on its way behind the line, and not beyond what has arrived. */
  target(now: number): number {
    if (this.#line === Number.NEGATIVE_INFINITY) return Number.NaN;
    return Math.min(this.#end, this.#lineAtTime(now) - this.#behind);
  }

  get #behind(): number {
    return Math.max(FRAMES_BEHIND * this.#frame, LEAST_BEHIND * this.#rate) + this.#room * this.#rate;
  }

  #makeRoom(by: number): void {
    const late = Math.min(by, this.#setBack.by) / this.#rate;
    this.#room = Math.max(this.#room, Math.min(MOST_ROOM, late));
  }

  #noteDelay(now: number, seconds: number): void {
    const changed = this.#delay - this.#told;
    if (Math.abs(changed) < CHANGE) {
      this.#told += changed * Math.min(1, seconds / DRIFTING); // so that many small steps at once are a change
      this.#otherSince = Number.NaN;
      return;
    }
    if (Number.isNaN(this.#otherSince)) {
      this.#otherSince = now;
      this.#least = this.#delay;
    }
    this.#least = Math.min(this.#least, this.#delay); // what is more, is jitter
    if (now - this.#otherSince < (Number.isNaN(this.#told) ? BEGINNING : LASTING)) return;
    const lasting = this.#least - this.#told;
    if (Math.abs(lasting) >= CHANGE) this.change = { seconds: lasting, at: now };
    this.#told = this.#least;
    this.#otherSince = Number.NaN;
  }

  #lineAtTime(now: number): number {
    return this.#line + (now - this.#lineAt) * this.#rate;
  }

  #moveLine(line: number, now: number): void {
    if (this.#line !== Number.NEGATIVE_INFINITY) this.#delay += (this.#lineAtTime(now) - line) / this.#rate;
    this.#place(line, now);
  }

  #place(line: number, now: number): void {
    this.#line = line;
    this.#lineAt = now;
  }
}
