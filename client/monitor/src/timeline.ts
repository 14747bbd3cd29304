/**
 * The number of missing samples between two frames of a stream.
 *
 * Sequence numbers show whether frames are missing, and timestamps how long they were. A recording that is played fast has
 * more samples per second of timestamps than its sampling rate. So the samples per second of timestamps are measured.
 *
 * The clock of the timestamps may be set, and a restarted server may have another one. If timestamps go back, or forward by
 * an impossible amount, the gap is as long as the local time between the two frames.
 */

/** The position of a frame in its stream. */
export interface Placed {
  /** Samples of each lead. */
  readonly samples: number;
  /** In Hz. */
  readonly samplingRate: number;
  /** Sequence number of the frame; null if it has none. */
  readonly sequence: number | null;
  /** Time of its first sample, in Unix seconds; null if it has none. */
  readonly timestamp: number | null;
}

/** A measurement of the rate takes at least this many seconds of signal, and of timestamps. */
const MEASURED = { signal: 0.2, timestamps: 0.02 };
/** Deviations of timestamps up to this share of a frame's length are jitter, not missing samples. */
const TOLERANCE = 0.5;
/** Shortest gap in seconds if a stream begins again. */
const SHORTEST_BREAK = 0.04;
/** Timestamps may go back by this many seconds because of jitter; beyond that, a clock was set back. */
const JITTER = 0.25;
/** A gap may exceed the local time between the frames by this many seconds, because a server may have kept them. */
const LONGEST_KEPT = 60;
/** Timestamps may drift from the number of samples by this many seconds; beyond that, a clock was set. */
const STEP = 1;

/** What the service reported before a frame: nothing, a gap, or a gap after which the clock is behind. */
type Interruption = "none" | "gap" | "clock went back";

export class Timeline {
  /** Samples of each lead per second of the stream's timestamps. */
  rate = 0;
  #isMeasured = false;
  #last: Placed | null = null;
  #arrived = 0;
  #interruption: Interruption = "none";
  /** Where the measurement of the rate began: the timestamp, and the number of samples since. */
  #anchor = 0;
  #sinceAnchor = 0;
  /** Samples by which timestamps are ahead of the signal, at the measured rate. */
  #drift = 0;
  /** Number of all frames and of their samples, and whether all frames had the same length. */
  #frames = 0;
  #samples = 0;
  #isEven = true;

  /** Note that messages may be missing before the next frame. */
  interrupt(clockWentBack: boolean): void {
    if (this.#interruption !== "clock went back") this.#interruption = clockWentBack ? "clock went back" : "gap";
  }

  /**
   * Take the next frame. Returns the number of missing samples before it.
   *
   * @param now when it arrived, in seconds of a monotonic clock.
   */
  follow(frame: Placed, now: number): number {
    const last = this.#last;
    // Samples of the local time between the frames, beside those of this frame.
    const elapsedSamples = Math.round((now - this.#arrived) * this.rate) - frame.samples;
    const interruption = this.#interruption;
    this.#last = frame;
    this.#arrived = now;
    this.#interruption = "none";
    this.#isEven &&= last === null || frame.samples === last.samples;
    this.#frames += 1;
    this.#samples += frame.samples;
    if (last === null) {
      this.rate = frame.samplingRate;
      this.#startMeasuring(frame);
      return 0;
    }
    const missing = this.#missing(last, frame, interruption);
    if (missing === 0) {
      this.#measure(last, frame);
      return 0;
    }
    this.#startMeasuring(frame);
    const isPlausible = missing !== null && missing <= elapsedSamples + LONGEST_KEPT * this.rate;
    return isPlausible ? missing : Math.max(shortestBreak(last), elapsedSamples);
  }

  /** The number of missing samples; null if it is unknown but not 0. */
  #missing(last: Placed, frame: Placed, interruption: Interruption): number | null {
    const elapsed = this.#elapsed(last, frame);
    const isSetBack = interruption === "clock went back" || (elapsed !== null && elapsed < -JITTER * this.rate);
    if (frame.sequence === null || last.sequence === null) {
      if (isSetBack) return null;
      if (elapsed === null) return interruption === "none" ? 0 : null;
      const missing = elapsed - last.samples;
      return Math.abs(missing) <= Math.max(2, TOLERANCE * last.samples) ? 0 : Math.max(0, Math.round(missing));
    }
    const missingFrames = frame.sequence - last.sequence - 1;
    if (missingFrames === 0) return 0;
    if (missingFrames < 0 || interruption === "clock went back") {
      // The sender counts from 0 again.
      return isSetBack || elapsed === null ? null : Math.max(shortestBreak(last), Math.round(elapsed - last.samples));
    }
    const meanLength = this.#samples / this.#frames;
    const expected = Math.max(1, Math.round(missingFrames * meanLength));
    if (this.#isEven || elapsed === null) return expected;
    const byTimestamps = Math.round(elapsed - last.samples);
    return Math.abs(byTimestamps - expected) < meanLength + missingFrames ? Math.max(1, byTimestamps) : expected;
  }

  /** Samples from the first of one frame to the first of the other, by their timestamps. */
  #elapsed(last: Placed, frame: Placed): number | null {
    return last.timestamp === null || frame.timestamp === null ? null : (frame.timestamp - last.timestamp) * this.rate;
  }

  /** Start a measurement of the rate at this frame. */
  #startMeasuring(frame: Placed): void {
    this.#anchor = frame.timestamp ?? Number.NaN;
    this.#sinceAnchor = this.#drift = 0;
  }

  #measure(last: Placed, frame: Placed): void {
    if (this.#isMeasured) this.#drift += (this.#elapsed(last, frame) ?? last.samples) - last.samples;
    const seconds = (frame.timestamp ?? Number.NaN) - this.#anchor;
    if (Math.abs(this.#drift) > STEP * this.rate || seconds < -JITTER) {
      // A clock was set, now or during the measurement: keep the rate until a new measurement is complete.
      this.#startMeasuring(frame);
      this.#isMeasured = false;
      return;
    }
    this.#sinceAnchor += last.samples;
    const isComplete = this.#sinceAnchor >= MEASURED.signal * last.samplingRate && seconds >= MEASURED.timestamps;
    if (!isComplete) return;
    this.rate = this.#sinceAnchor / seconds;
    this.#isMeasured = true;
  }
}

function shortestBreak(last: Placed): number {
  return Math.ceil(SHORTEST_BREAK * last.samplingRate);
}
