/**
 * The position of the screen in the signal. It advances steadily, a little behind the samples that arrived, and never
 * passes them.
 *
 * The network delays some frames. The earliest arrivals define the line: how the sender's clock runs against the local
 * one. The head follows one and a half frames behind the line, so that a frame can be half a frame late without a visible
 * effect. When all arrived samples are shown, the head stops, since late samples are not missing. The next frame then
 * defines the line, so that a higher latency is followed at once; earlier frames move the line back. If the latency varies
 * often, the distance to the line increases.
 */

/** Distance of the head to the line, in frames. */
const FRAMES_BEHIND = 1.5;
/** Smallest distance in seconds: one or two frames of the display. */
const LEAST_BEHIND = 0.035;
/** Share by which the head may run faster or slower to return to its place. */
const SLEW = 0.4;
/** Seconds off its place from which the head jumps, as after a hidden tab or a new stream. */
const JUMP = 1;
/** Seconds per second by which the line falls back, to follow a sender whose clock is slow. */
const FORGETTING = 0.002;
/** A delay that is made up for within this time, in seconds, counts as jitter. */
const JITTER_WITHIN = 1;
/** Largest additional distance for jitter in seconds, and how much of it is given up per second. */
const MOST_ROOM = 0.25;
const GIVING_UP = 0.01;
/** Change of the delay that is reported, in seconds, and how long it has to last. */
const CHANGE = 0.1;
const LASTING = 1;
/** Seconds before the first delay is measured, as a new page is busy. */
const BEGINNING = 3;
/** Seconds within which a slow drift of the delay is forgotten: it is that of two clocks. */
const DRIFTING = 10;

/** A lasting change of the delay, in seconds; negative if it decreased. */
export interface DelayChange {
  readonly seconds: number;
  /** When it was detected, by the clock of the arrivals. */
  readonly at: number;
}

export class Playhead {
  /** Number of the sample at the head, with its fraction; NaN before the first frame. */
  position = Number.NaN;
  /** The last lasting change of the delay. */
  change: DelayChange | null = null;
  #rate = 0;
  #frame = 0;
  #end = Number.NEGATIVE_INFINITY;
  #line = Number.NEGATIVE_INFINITY;
  #lineAt = 0;
  #room = 0;
  /** Samples by which the line was last set back, and when. */
  #setBack = { by: 0, at: Number.NEGATIVE_INFINITY };
  /** Delay of the line since the beginning, as last reported, and the time since which it differs from that. */
  #delay = 0;
  #told = Number.NaN;
  #otherSince = Number.NaN;
  #least = 0;
  #now = 0;
  #movedUnseen = false;

  /** Samples per second of real time, as of the last frame. */
  get rate(): number {
    return this.#rate;
  }

  /**
   * Note a frame.
   *
   * @param end number of the sample after its last one.
   * @param samples in the frame.
   * @param rate samples per second of real time.
   * @param now in seconds of a monotonic clock.
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

  /** Note a gap, whose length is uncertain, so that the delay after it is not reported as a change. */
  interrupted(): void {
    this.#told = this.#otherSince = Number.NaN;
  }

  /** Move the head for drawing. Returns whether it jumped. */
  advance(now: number): boolean {
    const jumped = this.#move(now) || this.#movedUnseen;
    this.#movedUnseen = false;
    return jumped;
  }

  /** Move the head while nothing is drawn, as in a hidden tab. */
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

  /** The place of the head at that time: behind the line, and not beyond the samples that arrived. */
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
      this.#told += changed * Math.min(1, seconds / DRIFTING); // so that many small steps together are a change
      this.#otherSince = Number.NaN;
      return;
    }
    if (Number.isNaN(this.#otherSince)) {
      this.#otherSince = now;
      this.#least = this.#delay;
    }
    this.#least = Math.min(this.#least, this.#delay); // the rest is jitter
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
