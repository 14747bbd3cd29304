/** Microseconds since 1970, each time more than the last: the timestamps of frames, which name messages. */
export class SendClock {
  #last = 0n;

  /** Now, or one more than the last where the clock stands still or steps back. */
  next(): bigint {
    const now = microsecondsNow();
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last;
  }
}

const FARTHEST = 2;

let origin = 0;

/** Microseconds since 1970 by this machine's clock, which alone counts whole milliseconds. */
export function microsecondsNow(): bigint {
  const wall = Date.now();
  const fine = performance.now();
  // The finer clock stands still while the machine sleeps, and does not follow one that is set.
  if (Math.abs(origin + fine - wall) > FARTHEST) origin = wall - fine;
  return BigInt(Math.round((origin + fine) * 1000));
}

/** Microseconds since 1970, by this machine's clock as it was when the page or program began: it is never set. */
export function steadyMicroseconds(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
}
