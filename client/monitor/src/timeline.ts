/**
 * How many samples are missing between one frame of a stream and the next.
 *
 * Sequence numbers tell whether frames are missing, timestamps tell how long they were. A recording that is played
 * faster than life has more samples in a second of timestamps than its sampling rate says, so that is measured.
 *
 * The clock of the timestamps may be set, and a server that was started again may have another one. Where timestamps go
 * back, or forward by more than can be, a gap is as long as the time that passed here between the two frames.
 */

/** What a frame says of its place. */
export interface Placed {
  /** Samples of each lead. */
  readonly samples: number;
  /** In Hz. */
  readonly samplingRate: number;
  /** Number of the frame within its stream. */
  readonly sequence: number | null;
  /** Of its first sample, in Unix seconds. */
  readonly timestamp: number | null;
}

/** Seconds of signal, and of timestamps, over which the rate is measured before it is believed. */
const MEASURED = { signal: 0.2, timestamps: 0.02 };
/** Share of a frame's length that timestamps may be off where nothing is missing: the clocks of devices jitter. */
const TOLERANCE = 0.5;
/** Seconds of gap where a stream begins anew, at the least. */
const SHORTEST_BREAK = 0.04;
/** Seconds by which timestamps may go back where no clock was set: those of devices jitter. */
const JITTER = 0.25;
/** Seconds that a frame may be old when it arrives, being kept by a server: so much longer than the time that passed here
 * a gap may be. */
const OLDEST = 60;
/** Seconds by which timestamps may be off where nothing is missing; if they are more, a clock was set. */
const STEP = 1;

/** What the service told before a frame came: nothing, that messages may be missing, or that the clock went back as well. */
type Interruption = "none" | "gap" | "clock went back";

export class Timeline {
  /** Samples of each lead in a second of the stream's timestamps. */
  rate = 0;
  #isMeasured = false;
  #last: Placed | null = null;
  #arrived = 0;
  #interruption: Interruption = "none";
  #anchor = 0;
  #sinceAnchor = 0;
  /** Samples by which timestamps have run ahead of the signal, at the measured rate. */
  #drift = 0;
  /** Frames so far, and samples in them; whether all were equally long. */
  #frames = 0;
  #samples = 0;
  #isEven = true;

  /** The service tells that messages may be missing before the next frame. */
  interrupt(clockWentBack: boolean): void {
    if (this.#interruption !== "clock went back") this.#interruption = clockWentBack ? "clock went back" : "gap";
  }

  /**
   * Take the next frame. Returns how many samples are missing before it: 0 where it goes straight on.
   *
   * @param now when it arrived, in seconds of a clock that never steps back.
   */
  follow(frame: Placed, now: number): number {
    const last = this.#last;
    const passed = Math.round((now - this.#arrived) * this.rate) - frame.samples;
    const interruption = this.#interruption;
    this.#last = frame;
    this.#arrived = now;
    this.#interruption = "none";
    this.#isEven &&= last === null || frame.samples === last.samples;
    this.#frames += 1;
    this.#samples += frame.samples;
    if (last === null) {
      this.rate = frame.samplingRate;
      this.#anchorAt(frame);
      return 0;
    }
    const missing = this.#missing(last, frame, interruption);
    if (missing === 0) {
      this.#measure(last, frame);
      return 0;
    }
    this.#anchorAt(frame);
    const isTold = missing !== null && missing <= passed + OLDEST * this.rate;
    return isTold ? missing : Math.max(shortest(last), passed);
  }

  /** Null where some are, and neither sequence numbers nor timestamps tell how many. */
  #missing(last: Placed, frame: Placed, interruption: Interruption): number | null {
    const elapsed = this.#elapsed(last, frame);
    const isSetBack = interruption === "clock went back" || (elapsed !== null && elapsed < -JITTER * this.rate);
    if (frame.sequence === null || last.sequence === null) {
      if (isSetBack) return null;
      if (elapsed === null) return interruption === "none" ? 0 : null;
      const missing = elapsed - last.samples;
      return Math.abs(missing) <= Math.max(2, TOLERANCE * last.samples) ? 0 : Math.max(0, Math.round(missing));
    }
    const frames = frame.sequence - last.sequence - 1;
    if (frames === 0) return 0;
    if (frames < 0 || interruption === "clock went back") {
      // The sender counts from the beginning again.
      return isSetBack || elapsed === null ? null : Math.max(shortest(last), Math.round(elapsed - last.samples));
    }
    const length = this.#samples / this.#frames;
    const expected = Math.max(1, Math.round(frames * length));
    if (this.#isEven || elapsed === null) return expected;
    const told = Math.round(elapsed - last.samples);
    return Math.abs(told - expected) < length + frames ? Math.max(1, told) : expected;
  }

  /** Samples between the first of one frame and the first of the other, by their timestamps. */
  #elapsed(last: Placed, frame: Placed): number | null {
    return last.timestamp === null || frame.timestamp === null ? null : (frame.timestamp - last.timestamp) * this.rate;
  }

  #anchorAt(frame: Placed): void {
    this.#anchor = frame.timestamp ?? Number.NaN;
    this.#sinceAnchor = this.#drift = 0;
  }

  #measure(last: Placed, frame: Placed): void {
    if (this.#isMeasured) this.#drift += (this.#elapsed(last, frame) ?? last.samples) - last.samples;
    const seconds = (frame.timestamp ?? Number.NaN) - this.#anchor;
    if (Math.abs(this.#drift) > STEP * this.rate || seconds < -JITTER) {
      // A clock was set, now or while the rate was measured: it is measured anew, and holds until then.
      this.#anchorAt(frame);
      this.#isMeasured = false;
      return;
    }
    this.#sinceAnchor += last.samples;
    const isLong = this.#sinceAnchor >= MEASURED.signal * last.samplingRate && seconds >= MEASURED.timestamps;
    if (!isLong) return;
    this.rate = this.#sinceAnchor / seconds;
    this.#isMeasured = true;
  }
}

function shortest(last: Placed): number {
  return Math.ceil(SHORTEST_BREAK * last.samplingRate);
}
