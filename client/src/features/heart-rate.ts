/** Computation of the heart rate from the intervals between beats. */

import { remember, sum } from "./numbers.js";

/** Largest number of intervals in the mean. */
const REMEMBERED = 8;
/**
 * From this many intervals on, the longest and the shortest do not count, as beats may be missed or extra. The newest
 * always counts.
 */
const TRIMMED = 5;
/** The rate is new if the last `FASTER_IN` intervals are all below this fraction of the mean before them. */
const FASTER = 0.8;
const FASTER_IN = 3;
/** The rate is new if the last `SLOWER_IN` intervals are all above this multiple of the mean before them. */
const SLOWER = 1.25;
const SLOWER_IN = 2;

/**
 * The mean of the last intervals, also in bigeminy.
 *
 * If the rate changes, only the new intervals count, after three at most.
 */
export class HeartRate {
  #intervals: number[] = [];

  /** Adds an interval, in working samples. */
  add(interval: number): void {
    remember(this.#intervals, interval, REMEMBERED);
    if (this.#isNew(FASTER_IN, (mean, last) => Math.max(...last) < FASTER * mean)) this.#keep(FASTER_IN);
    else if (this.#isNew(SLOWER_IN, (mean, last) => Math.min(...last) > SLOWER * mean)) this.#keep(SLOWER_IN);
  }

  /** Removes all intervals. */
  clear(): void {
    this.#intervals = [];
  }

  /** The intervals that count, the newest last. */
  get last(): readonly number[] {
    return this.#intervals;
  }

  /** The mean interval in samples; null with fewer than two. */
  get interval(): number | null {
    let intervals = this.#intervals;
    if (intervals.length < 2) return null;
    if (intervals.length >= TRIMMED) {
      const sorted = intervals.slice(0, -1).sort((one, other) => one - other);
      intervals = [...sorted.slice(1, -1), intervals[intervals.length - 1]];
    }
    return sum(intervals) / intervals.length;
  }

  #isNew(count: number, differs: (mean: number, last: readonly number[]) => boolean): boolean {
    const before = this.#intervals.slice(0, -count);
    return before.length > 0 && differs(sum(before) / before.length, this.#intervals.slice(-count));
  }

  #keep(count: number): void {
    this.#intervals = this.#intervals.slice(-count);
  }
}
