/** Strictly increasing microseconds since 1970: the timestamps of frames, which identify messages. */
export class SendClock {
  #last = 0n;

  /** Returns the time, or one more than the last result if the clock did not advance. */
  next(): bigint {
    const now = microsecondsNow();
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last;
  }
}

/** Milliseconds by which the two clocks may differ. */
const FARTHEST = 2;

let origin = 0;

/** Returns microseconds since 1970 by the local clock, with the resolution of `performance.now()`. */
export function microsecondsNow(): bigint {
  const local = Date.now();
  const fine = performance.now();
  // performance.now() may stand still while the machine sleeps, and does not change when the clock is set.
  if (Math.abs(origin + fine - local) > FARTHEST) origin = local - fine;
  return BigInt(Math.round((origin + fine) * 1000));
}

/** Returns microseconds since 1970 by a monotonic clock, which starts from the local clock when the page is loaded. */
export function steadyMicroseconds(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
}
