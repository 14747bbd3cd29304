/** The rate that some intervals between beats come to. */

import { remember, sum } from "./numbers.js";

/** Intervals of which the mean is taken. */
const REMEMBERED = 8;
/** Intervals from which on the longest and the shortest but the newest are left out: a beat missed or one too many. */
const TRIMMED = 5;
/** So many intervals below this share of those before are a new rate. */
const FASTER = 0.8;
const FASTER_IN = 3;
/** So many intervals above this share of those before are a new rate. */
const SLOWER = 1.25;
const SLOWER_IN = 2;

/** The mean of the last intervals, a bigeminy's too. A new rate takes its place within three beats. */
export class HeartRate {
  #intervals: number[] = [];

  /** One more interval, in samples. */
  add(interval: number): void {
    remember(this.#intervals, interval, REMEMBERED);
    if (this.#isNew(FASTER_IN, (mean, last) => Math.max(...last) < FASTER * mean)) this.#keep(FASTER_IN);
    else if (this.#isNew(SLOWER_IN, (mean, last) => Math.min(...last) > SLOWER * mean)) this.#keep(SLOWER_IN);
  }

  /** What comes has nothing to do with what was. */
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
