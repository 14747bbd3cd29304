/**
 * Where the screen is in the signal: it runs on steadily, a little behind what has arrived.
 *
 * Frames come in jerks; the network delays some of them. The earliest arrivals of late tell how the sender's clock runs
 * against ours. The head follows that line one and a half frames behind, so that a frame may be half its length late
 * before anything is seen. Where nothing arrives, the head runs on, and what it passes over is blank.
 *
 * Where all that arrives is late, the line was wrong, or is no longer right: what arrives earliest is the line then. So
 * the head is never for long where nothing is to be seen, whatever was made of the time between two frames.
 */

/** Frames behind the line of the earliest arrivals. */
const FRAMES_BEHIND = 1.5;
/** Seconds behind it at the least: a screen's frame or two. */
const LEAST_BEHIND = 0.035;
/** Share by which the head may run faster or slower to come back to its line. */
const SLEW = 0.25;
/** Seconds off its line from which the head jumps: after a hidden tab, a new stream, a clock that was set. */
const JUMP = 1;
/** Seconds behind the line from which a frame is late, and seconds after which there is another line if all are. */
const LATE = 0.25;
const PATIENCE = 1;
/** Seconds a second by which the line falls back, so that it follows a network that has become slower. */
const FORGETTING = 0.002;

export class Playhead {
  /** Number of the sample at which the screen is, with its fraction; NaN before the first frame. */
  position = Number.NaN;
  #rate = 0;
  #frame = 0;
  #line = Number.NEGATIVE_INFINITY;
  #lineAt = 0;
  /** Since when all that arrives is late, and by how many samples the least; NaN where it is not. */
  #lateSince = Number.NaN;
  #least = Number.NaN;
  #now = 0;

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
    this.#frame += (samples - this.#frame) * (this.#frame === 0 ? 1 : 0.1);
    const fallen = this.#lineAtTime(now) - FORGETTING * rate * Math.min(1, samples / rate);
    this.#place(end >= fallen - LATE * rate ? this.#onTime(end, fallen) : this.#late(end, fallen, now), now);
  }

  #onTime(end: number, fallen: number): number {
    this.#lateSince = Number.NaN;
    return Math.max(end, fallen);
  }

  #late(end: number, fallen: number, now: number): number {
    const by = fallen - end;
    if (Number.isNaN(this.#lateSince)) {
      this.#lateSince = now;
      this.#least = by;
    }
    this.#least = Math.min(this.#least, by);
    if (now - this.#lateSince < PATIENCE) return fallen;
    this.#lateSince = Number.NaN;
    return fallen - this.#least;
  }

  /** Move on to now. Returns whether it jumped. */
  advance(now: number): boolean {
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
    this.position += this.#rate * elapsed * (1 + slew);
    return false;
  }

  /** Where it should be at that time. */
  target(now: number): number {
    if (this.#line === Number.NEGATIVE_INFINITY) return Number.NaN;
    return this.#lineAtTime(now) - Math.max(FRAMES_BEHIND * this.#frame, LEAST_BEHIND * this.#rate);
  }

  #lineAtTime(now: number): number {
    return this.#line + (now - this.#lineAt) * this.#rate;
  }

  #place(line: number, now: number): void {
    this.#line = line;
    this.#lineAt = now;
  }
}
