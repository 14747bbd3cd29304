/**
 * How many samples are missing between one frame of a stream and the next.
 *
 * Sequence numbers tell whether frames are missing, timestamps tell how long they were. A recording that is played
 * faster than life has more samples in a second of timestamps than its sampling rate says, so that is measured.
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
/** Seconds of gap where a stream begins anew and nothing tells how long it was away. */
const SHORTEST_BREAK = 0.04;

export class Timeline {
  /** Samples of each lead in a second of the stream's timestamps. */
  rate = 0;
  #last: Placed | null = null;
  #anchor = 0;
  #sinceAnchor = 0;
  /** Frames so far, and samples in them; whether all were equally long. */
  #frames = 0;
  #samples = 0;
  #isEven = true;

  /** Take the next frame. Returns how many samples are missing before it: 0 where it goes straight on. */
  follow(frame: Placed): number {
    const last = this.#last;
    this.#last = frame;
    this.#isEven &&= last === null || frame.samples === last.samples;
    this.#frames += 1;
    this.#samples += frame.samples;
    if (last === null) {
      this.rate = frame.samplingRate;
      this.#anchorAt(frame);
      return 0;
    }
    const missing = this.#missing(last, frame);
    if (missing > 0) this.#anchorAt(frame);
    else this.#measure(last, frame);
    return missing;
  }

  #missing(last: Placed, frame: Placed): number {
    const elapsed = this.#elapsed(last, frame);
    if (frame.sequence === null || last.sequence === null) {
      const missing = elapsed === null ? 0 : elapsed - last.samples;
      return Math.abs(missing) <= Math.max(2, TOLERANCE * last.samples) ? 0 : Math.max(0, Math.round(missing));
    }
    const frames = frame.sequence - last.sequence - 1;
    if (frames === 0) return 0;
    if (frames < 0) return this.#begunAnew(last, elapsed);
    const length = this.#samples / this.#frames;
    const expected = Math.max(1, Math.round(frames * length));
    if (this.#isEven || elapsed === null) return expected;
    const told = Math.round(elapsed - last.samples);
    return Math.abs(told - expected) < length + frames ? Math.max(1, told) : expected;
  }

  #begunAnew(last: Placed, elapsed: number | null): number {
    const shortest = Math.ceil(SHORTEST_BREAK * last.samplingRate);
    return Math.max(shortest, elapsed === null ? 0 : Math.round(elapsed - last.samples));
  }

  /** Samples between the first of one frame and the first of the other, by their timestamps. */
  #elapsed(last: Placed, frame: Placed): number | null {
    return last.timestamp === null || frame.timestamp === null ? null : (frame.timestamp - last.timestamp) * this.rate;
  }

  #anchorAt(frame: Placed): void {
    this.#anchor = frame.timestamp ?? Number.NaN;
    this.#sinceAnchor = 0;
  }

  #measure(last: Placed, frame: Placed): void {
    this.#sinceAnchor += last.samples;
    const seconds = (frame.timestamp ?? Number.NaN) - this.#anchor;
    const isLong = this.#sinceAnchor >= MEASURED.signal * last.samplingRate && seconds >= MEASURED.timestamps;
    if (isLong) this.rate = this.#sinceAnchor / seconds;
  }
}
